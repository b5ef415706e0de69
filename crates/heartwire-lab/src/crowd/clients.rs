//! The clients of one server, in a process of their own that starts the server too.
//!
//! It ends when its standard input does, and its server with it, so that none is left behind when
//! the command is killed.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use rustix::process::Signal;
use serde_json::json;

use super::answer::{Answer, Judged, Measured, Order, Process};
use super::sources::Sources;
use crate::bench::{
    Beats, Contender, Counts, Load, Note, Own, Plan, Protocol, Server, Spread, judge, nanos,
    wait_for_output,
};
use crate::local::{descriptors, without_settings};
use crate::output;
use crate::process::{Memory, Usage, accept_queue, accept_queue_max};

/// How often the clients look for orders and ended connections.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often they say how far they are.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// After so many connects, and again before each of them while too many wait to be accepted, the
/// clients look at the server's accept queue.
const QUEUE_EVERY: u32 = 64;
const QUEUE_AGAIN: Duration = Duration::from_millis(5);

/// How many addresses in a row other programs may use.
const USED_MAX: usize = 10_000;

/// Arguments of `crowd-clients`, which `crowd` runs.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientsArgs {
    /// Which server's clients, from 0: decides their addresses.
    #[arg(long)]
    pub(super) pair: u32,
    /// How many.
    #[arg(long)]
    pub(super) sessions: u32,
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) interval: Duration,
    /// Timeout of the server.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    #[arg(long, value_enum)]
    pub(super) protocol: Protocol,
    #[arg(long)]
    pub(super) coalesce: Option<u16>,
    /// Threads of the server.
    #[arg(long)]
    pub(super) threads: u16,
    /// The server's program.
    #[arg(long)]
    pub(super) bin: PathBuf,
}

pub(super) fn run(args: &ClientsArgs) -> anyhow::Result<()> {
    descriptors()?;
    let orders = listen()?;
    let mut crowd = Clients::new(args)?;
    say(&Answer::Ready { server: crowd.server.pid })?;
    loop {
        match orders.try_recv() {
            Ok(order) => crowd.obey(serde_json::from_str(&order)?)?,
            Err(TryRecvError::Empty) => crowd.turn()?,
            Err(TryRecvError::Disconnected) => return crowd.end(),
        }
    }
}

/// The lines of standard input.
fn listen() -> anyhow::Result<Receiver<String>> {
    let (sender, orders) = channel();
    thread::Builder::new().name("orders".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(orders)
}

fn say(answer: &Answer) -> anyhow::Result<()> {
    output::print(json!(answer))
}

struct Clients {
    sessions: u32,
    interval: Duration,
    timeout: Duration,
    server: Server,
    load: Load,
    sources: Sources,
    start: Instant,
    /// When the first one connects, and over which time all do.
    connect: Option<(Duration, Duration)>,
    connected: u32,
    /// No client connects before this, because too many wait to be accepted.
    queue_at: Duration,
    /// When each client sends its next beat: an interval after it connected, and after that each
    /// interval, whether or not the beat before was late.
    due: BinaryHeap<Reverse<(Duration, u32)>>,
    beats: Beats,
    /// Of both processes, counters when the measurement began, and memory before the first client.
    server_before: (Usage, u64),
    own_before: (Usage, u64),
    frozen: Option<Frozen>,
    look_at: Duration,
    say_at: Duration,
}

/// Clients that send nothing any more.
#[derive(Clone, Copy)]
struct Frozen {
    clients: u32,
    at_ns: u64,
}

impl Clients {
    fn new(args: &ClientsArgs) -> anyhow::Result<Self> {
        let contender = Contender::Own(Own {
            shards: Some(args.threads),
            coalesce: args.coalesce,
            protocol: args.protocol,
            both: false,
            echo: false,
            tls: false,
            resume: false,
        });
        let plan = Plan {
            connections: args.sessions,
            interval: args.interval,
            spread: Spread::Even,
            time: Duration::ZERO,
            timeout: args.timeout,
            freeze: true,
            bin: Some(args.bin.clone()),
            pin: None,
        };
        let mut command: Command = contender.command(&plan, None)?.context("no server")?;
        // Should this process and the command be killed, the end of the first client that is
        // printed without a reader ends the server.
        without_settings(&mut command).args(["--exit-with-reader", "--events", "offline"]);
        let server = Server::spawn(command)?;
        let load = Load::new(server.target, contender.speech(&plan)?, None)?;
        let own = std::process::id();
        Ok(Self {
            sessions: args.sessions,
            interval: args.interval,
            timeout: args.timeout,
            sources: Sources::new(args.pair),
            start: Instant::now(),
            connect: None,
            connected: 0,
            queue_at: Duration::ZERO,
            due: BinaryHeap::new(),
            beats: Beats::new()?,
            server_before: (Usage::default(), Memory::of(server.pid)?.user),
            own_before: (Usage::default(), Memory::of(own)?.user),
            frozen: None,
            look_at: Duration::ZERO,
            say_at: Duration::ZERO,
            server,
            load,
        })
    }

    fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Connect { over } => self.connect = Some((self.start.elapsed(), over)),
            Order::Measure => {
                self.beats = Beats::new()?;
                self.server_before.0 = Usage::of(self.server.pid)?;
                self.own_before.0 = Usage::of(std::process::id())?;
            }
            Order::Freeze { clients } => {
                say(&Answer::Measured(self.measured()?))?;
                self.frozen = Some(Frozen { clients, at_ns: nanos(SystemTime::now()) });
            }
            Order::Judge => say(&Answer::Judged(self.judged()?))?,
        }
        Ok(())
    }

    /// Does one thing that is due, or waits until the next one is.
    fn turn(&mut self) -> anyhow::Result<()> {
        let now = self.start.elapsed();
        if now >= self.look_at {
            self.load.look(Duration::ZERO)?;
            self.look_at = now + LOOK_EVERY;
            if now >= self.say_at {
                let open = u32::try_from(self.load.open())?;
                say(&Answer::Now { connected: self.connected, open })?;
                self.say_at = now + SAY_EVERY;
            }
            return Ok(());
        }
        // A beat that is due goes before another client: who is connected must not seem dead.
        if let Some(&Reverse((due, client))) = self.due.peek()
            && due <= now
        {
            self.due.pop();
            if !self.is_frozen(client) {
                let late = now.saturating_sub(due);
                self.load.beat(usize::try_from(client)?, late, &mut self.beats);
                self.due.push(Reverse((due + self.interval, client)));
            }
            return Ok(());
        }
        let connect_at = self.connect_at();
        if connect_at.is_some_and(|at| at <= now) {
            return self.connect(now);
        }
        let beat_at = self.due.peek().map(|Reverse((due, _))| *due);
        let next = [connect_at, beat_at].into_iter().flatten().fold(self.look_at, Duration::min);
        thread::sleep(next.saturating_sub(now));
        Ok(())
    }

    /// When the next client connects.
    fn connect_at(&self) -> Option<Duration> {
        let (from, over) = self.connect?;
        let is_left = self.connected < self.sessions;
        let share = f64::from(self.connected) / f64::from(self.sessions);
        is_left.then(|| (from + over.mul_f64(share)).max(self.queue_at))
    }

    fn connect(&mut self, now: Duration) -> anyhow::Result<()> {
        let is_look = self.connected.is_multiple_of(QUEUE_EVERY) || self.queue_at > Duration::ZERO;
        if is_look && accept_queue(self.server.target)? > u64::from(accept_queue_max() / 4) {
            self.queue_at = now + QUEUE_AGAIN;
            return Ok(());
        }
        self.queue_at = Duration::ZERO;
        self.connect_one()?;
        self.due.push(Reverse((self.start.elapsed() + self.interval, self.connected)));
        self.connected += 1;
        if self.connected == self.sessions {
            say(&Answer::Connected)?;
        }
        Ok(())
    }

    /// From the next address that no other program uses.
    fn connect_one(&mut self) -> anyhow::Result<()> {
        let mut outcome = Err(anyhow::anyhow!("no address of these clients is left"));
        for source in self.sources.by_ref().take(USED_MAX) {
            outcome = self.load.connect_from(Some(source));
            if !outcome.as_ref().is_err_and(is_used) {
                break;
            }
        }
        outcome
    }

    /// Whether a client is one of those that are frozen, which are spread evenly over all.
    fn is_frozen(&self, client: u32) -> bool {
        self.frozen.is_some_and(|frozen| is_chosen(client, frozen.clients, self.sessions))
    }

    fn measured(&mut self) -> anyhow::Result<Measured> {
        let process = |pid, before: (Usage, u64)| {
            let bytes = Memory::of(pid)?.user;
            let usage = Usage::of(pid).context("the server is gone")? - before.0;
            let more_bytes = bytes.saturating_sub(before.1);
            anyhow::Ok(Process { usage, bytes, more_bytes })
        };
        self.load.look(Duration::ZERO)?;
        Ok(Measured {
            open: u32::try_from(self.load.open())?,
            beats: self.beats.sent,
            stuck: self.beats.stuck,
            late: Counts::of(&self.beats.late),
            server: process(self.server.pid, self.server_before)?,
            clients: process(std::process::id(), self.own_before)?,
        })
    }

    fn judged(&mut self) -> anyhow::Result<Judged> {
        self.load.look(Duration::ZERO)?;
        let notes = self.load.notes();
        let verdicts = wait_for_output(&self.server, Some(notes.len() - self.load.open()));
        let (mut silent, mut beating): (Vec<Note>, Vec<Note>) = Default::default();
        for (note, client) in notes.into_iter().zip(0..) {
            if self.is_frozen(client) { silent.push(note) } else { beating.push(note) }
        }
        let frozen = judge(&silent, &verdicts, self.timeout, self.frozen.map(|it| it.at_ns))?;
        let others = judge(&beating, &verdicts, self.timeout, None)?;
        Ok(Judged {
            frozen: u32::try_from(silent.len())?,
            late: frozen.verdicts.counts(),
            min_us: frozen.verdicts.min_us(),
            early: frozen.early,
            wrong: frozen.wrong + others.wrong,
            missing: frozen.missing,
        })
    }

    /// Closes all. The server is stopped first, so that it does not look at each end.
    fn end(self) -> anyhow::Result<()> {
        self.server.signal(Signal::STOP)?;
        drop(self.load);
        drop(self.server);
        Ok(())
    }
}

/// Whether a client is one of so many that are spread evenly over all.
fn is_chosen(client: u32, chosen: u32, all: u32) -> bool {
    let before = |client: u64| client * u64::from(chosen) / u64::from(all.max(1));
    before(client.into()) < before(u64::from(client) + 1)
}

fn is_used(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_clients_are_spread_evenly() {
        let chosen =
            |count, all| (0..all).filter(|&one| is_chosen(one, count, all)).collect::<Vec<_>>();
        assert_eq!(chosen(2, 10), [4, 9]);
        assert_eq!(chosen(0, 10).len(), 0);
        assert_eq!(chosen(10, 10).len(), 10);
        assert_eq!(chosen(1_999, 19_999).len(), 1_999);
    }

    #[test]
    fn a_used_address_is_told_from_other_failures() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let mut load = Load::new(target, crate::bench::Speech::v0(), None).unwrap();
        assert!(is_used(&load.connect_from(Some(target)).unwrap_err()));
        let elsewhere = "192.0.2.1:10000".parse().unwrap();
        assert!(!is_used(&load.connect_from(Some(elsewhere)).unwrap_err()));
        load.connect_from(Some("127.0.0.9:0".parse().unwrap())).unwrap();
    }
}
