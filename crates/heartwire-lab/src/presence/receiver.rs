//! A receiver of hooks, as a process of its own: it fails, hangs and answers late when it is told
//! to, and says what it has taken.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::node;
use super::record::Micros;
use crate::output;

/// How late a slow answer is.
const SLOW: Duration = Duration::from_millis(300);

/// The longest body that is read.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// What the receiver does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It answers 200.
    Works,
    /// It answers 500.
    Fails,
    /// It takes nothing and does not answer, until its mood changes.
    Hangs,
    /// It answers 200, late.
    Slow,
    /// It closes every connection.
    Refuses,
}

impl Mood {
    pub(super) const ALL: [Self; 5] =
        [Self::Works, Self::Fails, Self::Hangs, Self::Slow, Self::Refuses];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Fails => "fails",
            Self::Hangs => "hangs",
            Self::Slow => "slow",
            Self::Refuses => "refuses",
        }
    }
}

/// A change, or something about an incident, that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) at: Micros,
    pub(super) number: u64,
    pub(super) kind: String,
    /// Empty for an incident.
    pub(super) name: String,
    pub(super) epoch: u64,
    pub(super) incident: Option<String>,
}

/// The process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

impl Receiver {
    /// Starts it with a command made by `command`, as in a namespace.
    pub(super) fn start(command: impl FnOnce(&std::path::Path) -> Command) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut command = command(&program);
        command.args(["presence", "receiver"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the receiver")?;
        let orders = child.stdin.take().context("no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut first = String::new();
        answers.read_line(&mut first)?;
        let address = first.trim().parse().context("the receiver does not listen")?;
        Ok(Self { child, orders, answers, address })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(super) fn mood(&mut self, mood: Mood) -> anyhow::Result<()> {
        Ok(writeln!(self.orders, "{}", mood.name())?)
    }

    /// What it has taken, in the order in which it came.
    pub(super) fn taken(&mut self) -> anyhow::Result<Vec<Taken>> {
        writeln!(self.orders, "ask")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).context("the receiver has not answered")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct State {
    mood: Mood,
    taken: Vec<Taken>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Runs it until standard input ends. Lines of it are moods, or `ask`.
pub(super) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    output::print(listener.local_addr()?)?;
    let state = State { mood: Mood::Works, taken: Vec::new() };
    let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
    let of_thread = Arc::clone(&shared);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let shared = Arc::clone(&of_thread);
            thread::spawn(move || {
                // The other end closes when it likes.
                let _ = serve(stream, &shared);
            });
        }
    });
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut state = lock(&shared);
        match Mood::ALL.into_iter().find(|mood| mood.name() == line) {
            Some(mood) => {
                state.mood = mood;
                shared.1.notify_all();
            }
            None => output::print(serde_json::to_string(&state.taken)?)?,
        }
    }
    Ok(())
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream)? {
        let mut state = lock(shared);
        let mood = state.mood;
        match mood {
            Mood::Refuses => return Ok(()),
            Mood::Fails => {
                drop(state);
                answers.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            Mood::Hangs => {
                let hangs = |state: &mut State| state.mood == Mood::Hangs;
                // It was not taken: the sender may have given up by now.
                drop(shared.1.wait_while(state, hangs));
                return Ok(());
            }
            Mood::Works | Mood::Slow => state.taken.extend(changes(&body)?),
        }
        drop(state);
        if mood == Mood::Slow {
            thread::sleep(SLOW);
        }
        answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// The body of the next request; `None` at the end.
fn request(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut len = 0;
    let mut is_first = true;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() && !is_first {
            break;
        }
        is_first = false;
        if let Some(value) = line.strip_prefix("content-length:") {
            len = value.trim().parse()?;
        }
    }
    anyhow::ensure!(len <= MAX_BODY, "a body that is too long");
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

fn changes(body: &[u8]) -> anyhow::Result<Vec<Taken>> {
    let body: Value = serde_json::from_slice(body)?;
    let changes = body.get("changes").and_then(Value::as_array).context("no changes")?;
    let at = node::now();
    let taken = |change: &Value| {
        let text = |key: &str| change.get(key).and_then(Value::as_str).map(str::to_owned);
        Taken {
            at,
            number: change.get("number").and_then(Value::as_u64).unwrap_or(0),
            kind: text("kind").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
            epoch: change.get("epoch").and_then(Value::as_u64).unwrap_or(0),
            incident: text("incident"),
        }
    };
    Ok(changes.iter().map(taken).collect())
}
