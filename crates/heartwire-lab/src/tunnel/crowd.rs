//! Many idle connections at once: what they hold, and whether all of them carry what they should.

use core::time::Duration;
use std::fs;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::relay::{Identity, Relay, Running};
use crate::process::need_open_files;

/// Bytes that each connection carries both ways at the end.
const LEN: usize = 64 * 1024;

/// How many connections are opened, or carry bytes, at once.
const AT_ONCE: usize = 64;

/// Long enough for heartbeats, and for buffers to be freed.
const REST: Duration = Duration::from_secs(8);

/// How long a connection may take to open, or to carry its bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Many connections, and the memory of each end for one of them, in bytes: near, far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) connections: u32,
    /// When each has carried one byte each way.
    pub(super) idle: [f64; 2],
    /// When each has carried all, and is idle again.
    pub(super) used: [f64; 2],
}

pub(super) fn measure(
    relay: &Relay,
    identity: &Identity,
    connections: u32,
) -> anyhow::Result<Crowd> {
    // The client and the service are both here.
    need_open_files(2 * connections)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let running = relay.start(identity, listener.local_addr()?)?;
        tokio::spawn(send_back(listener));
        let before = private(&running)?;
        let mut streams = Vec::new();
        for number in 0..connections {
            streams.push((number, TcpStream::connect(running.address).await?));
        }
        let streams = carry_all(streams, 1).await?;
        sleep(REST).await;
        let idle = private(&running)?;
        let streams = carry_all(streams, LEN).await?;
        sleep(REST).await;
        let used = private(&running)?;
        drop(streams);
        let each = |now: [f64; 2]| {
            let [near, far] =
                [now, before].map(|ends| ends.map(|bytes| bytes / f64::from(connections)));
            [near, far]
        };
        let growth = |now| {
            let [[near, far], [near_before, far_before]] = each(now);
            [near - near_before, far - far_before]
        };
        Ok(Crowd { connections, idle: growth(idle), used: growth(used) })
    })
}

/// The service: sends back what it gets.
async fn send_back(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            // The client notices what goes wrong.
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

type Streams = Vec<(u32, TcpStream)>;

/// Each connection carries bytes of its own to the service and back.
async fn carry_all(streams: Streams, len: usize) -> anyhow::Result<Streams> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (number, mut stream) in streams {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire().await?;
            timeout(PATIENCE, carry(number, &mut stream, len))
                .await
                .context("it took too long")?
                .with_context(|| format!("connection {number}"))?;
            anyhow::Ok((number, stream))
        });
    }
    let mut streams = Streams::new();
    while let Some(carried) = tasks.join_next().await {
        streams.push(carried??);
    }
    Ok(streams)
}

async fn carry(number: u32, stream: &mut TcpStream, len: usize) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let sent: Vec<u8> = core::iter::repeat_with(|| random.u8(..)).take(len).collect();
    let mut got = vec![0; len];
    let (mut from, mut to) = stream.split();
    let (written, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut got));
    written?;
    read?;
    ensure!(got == sent, "other bytes came back than were sent");
    Ok(())
}

/// The private memory of each end, in bytes.
fn private(running: &Running) -> anyhow::Result<[f64; 2]> {
    let mut ends = running.ends.iter().map(|end| {
        let all = fs::read_to_string(format!("/proc/{}/smaps_rollup", end.pid()))?;
        let kib = all.lines().filter(|line| line.starts_with("Private_"));
        let kib = kib.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        anyhow::Ok(kib.sum::<f64>() * 1024.0)
    });
    let mut next = || ends.next().context("it has two ends")?;
    Ok([next()?, next()?])
}
