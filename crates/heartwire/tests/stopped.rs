//! This process is stopped while five hundred peers keep sending heartbeats: no peer may be
//! declared dead. Then the peers are stopped, and all of them must be.
//!
//! A paused clock does not show this: it takes a runtime that wakes up to more sockets than it
//! reads in one turn, and to timers that are all overdue. It has a `main` of its own because
//! stopping the process would disturb every other test in it.

#![expect(clippy::print_stdout, reason = "a test with a main of its own says how it went")]

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::wrap::{EmptyFrame, Heartbeat};
use heartwire::{Policy, Verdict};
use heartwire_testkit::Process;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const CONNECTIONS: usize = 500;
const BEAT: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Three times the timeout: an end that looks at the clock alone declares every peer dead.
const STOP: Duration = Duration::from_secs(9);

type Fault = Box<dyn Error + Send + Sync>;

/// The other process: sends a heartbeat on every connection now and then, and ignores what it
/// receives.
async fn keep_beating() -> Result<(), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
            let mut ticks = interval(BEAT);
            loop {
                ticks.tick().await;
                if framed.send(Bytes::new()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Waits for the verdict on one connection.
async fn watch(address: SocketAddr) -> Result<Verdict, Fault> {
    let stream = TcpStream::connect(address).await?;
    let policy = Policy::builder().interval(BEAT).timeout(TIMEOUT).build()?;
    let framed = Framed::new(stream, LengthDelimitedCodec::new());
    let mut connection = Heartbeat::new(framed, EmptyFrame, policy);
    match connection.next().await {
        Some(Err(error)) => error.verdict().ok_or_else(|| error.into()),
        other => Err(format!("expected nothing but a verdict: {other:?}").into()),
    }
}

async fn judge() -> Result<(), Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.arg("beat-for-ever").stdout(Stdio::piped()).spawn()?;
    let mut peers = Process(child);
    let stdout = peers.0.stdout.take().ok_or("it is piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim().parse()?;

    let mut watching = JoinSet::new();
    for _ in 0..CONNECTIONS {
        watching.spawn(watch(address));
    }
    if let Ok(ended) = timeout(TIMEOUT * 2, watching.join_next()).await {
        return Err(format!("dead though it beats: {ended:?}").into());
    }

    let stop =
        format!("kill -STOP {0}; sleep {1}; kill -CONT {0}", std::process::id(), STOP.as_secs());
    let stopped_at = Instant::now();
    let mut stopper = Command::new("sh").arg("-c").arg(stop).spawn()?;
    let after = TIMEOUT * 2;
    let ended = timeout(STOP + after, watching.join_next()).await;
    stopper.wait()?;
    if stopped_at.elapsed() < STOP {
        return Err("this process was not stopped".into());
    }
    if let Ok(ended) = ended {
        return Err(format!("dead though only this process was paused: {ended:?}").into());
    }
    println!("stopped for {STOP:?} while {CONNECTIONS} peers beat: no verdict");

    // Bytes that were under way have been read by now, or are read before a verdict.
    sleep(BEAT).await;
    peers.freeze();
    let mut latest = Duration::ZERO;
    while let Some(ended) = timeout(TIMEOUT * 20, watching.join_next()).await? {
        let verdict = ended??;
        if verdict.silence != TIMEOUT + verdict.paused + verdict.late.min(heartwire::TICK) {
            return Err(format!("not at its timeout: {verdict}").into());
        }
        latest = latest.max(verdict.late);
    }
    println!(
        "{CONNECTIONS} peers frozen: {CONNECTIONS} verdicts, none early, the latest {:.1} ms after \
         its timeout",
        latest.as_secs_f64() * 1e3
    );
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    match std::env::args().nth(1).as_deref() {
        Some("beat-for-ever") => keep_beating().await,
        // As the test harness is asked for its tests.
        Some("--list") => Ok(()),
        Some(_) | None => judge().await,
    }
}
