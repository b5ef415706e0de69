//! The clients, on a thread of their own: most send heartbeats, and others fall silent at once.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::args::Args;
use crate::bench::{Load, Schedule, Speech, Spread};

/// Clients that connect between two looks at the others.
const CONNECTS_AT_ONCE: u32 = 250;

/// How often silent clients connect.
const STEP: Duration = Duration::from_millis(50);

/// The running load. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The clients do nothing more, and do not close.
    rests: AtomicBool,
    stops: AtomicBool,
    /// Clients that send heartbeats and are still connected.
    open: AtomicUsize,
}

impl Running {
    /// Returns when all clients that send heartbeats have connected.
    pub(super) fn start(args: &Args, target: SocketAddr) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (args, of_thread) = (args.clone(), Arc::clone(&shared));
        let (connected, has_connected) = channel();
        let thread = thread::Builder::new().name("load".to_owned()).spawn(move || {
            let speech = Speech::v1(args.interval, None, false)?;
            let mut load = Load::new(target, speech.clone(), None)?;
            connect(&mut load, &args)?;
            of_thread.open.store(load.open(), Relaxed);
            connected.send(())?;
            run(&mut load, Load::new(target, speech, None)?, &args, &of_thread)
        })?;
        let running = Self { shared, thread: Some(thread) };
        running.wait_for(&has_connected)
    }

    fn wait_for(mut self, has_connected: &Receiver<()>) -> anyhow::Result<Self> {
        if has_connected.recv().is_err() {
            self.stop()?;
        }
        Ok(self)
    }

    /// Fails if the load has failed, or if a client that sends heartbeats has lost its session.
    pub(super) fn check(&mut self, args: &Args) -> anyhow::Result<()> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            self.stop()?;
        }
        let (open, all) = (self.shared.open.load(Relaxed), usize::try_from(args.sessions)?);
        ensure!(open == all, "{} sessions that sent heartbeats have ended", all - open);
        Ok(())
    }

    /// From now on the clients send nothing, do not read, and do not close.
    pub(super) fn rest(&self) {
        self.shared.rests.store(true, Relaxed);
    }

    /// Closes all connections.
    fn stop(&mut self) -> anyhow::Result<()> {
        self.rest();
        self.shared.stops.store(true, Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().ok().context("the load has panicked")?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its error does not matter any more.
        let _ = self.stop();
    }
}

/// Connects the clients, while those that are connected send heartbeats.
fn connect(load: &mut Load, args: &Args) -> anyhow::Result<()> {
    let mut beaten_at = Instant::now();
    for number in 0..args.sessions {
        load.connect()?;
        if number % CONNECTS_AT_ONCE == 0 {
            load.look(Duration::ZERO)?;
            if beaten_at.elapsed() >= args.interval {
                beaten_at = Instant::now();
                beat_once(load, number)?;
            }
        }
    }
    Ok(())
}

/// A beat of each of the first `count` clients.
fn beat_once(load: &mut Load, count: u32) -> anyhow::Result<()> {
    let mut schedule = Schedule::new(count, Duration::from_secs(1), Spread::Burst);
    load.send_beats(&mut schedule, Instant::now(), Duration::from_millis(1), |_| {})?;
    Ok(())
}

fn run(load: &mut Load, mut silent: Load, args: &Args, shared: &Shared) -> anyhow::Result<()> {
    let mut schedule = Schedule::new(args.sessions, args.interval, Spread::Even);
    let start = Instant::now();
    let (mut end, mut connected) = (Duration::ZERO, 0);
    while !shared.rests.load(Relaxed) {
        end += STEP;
        load.send_beats(&mut schedule, start, end, |_| {})?;
        shared.open.store(load.open(), Relaxed);
        let due = end.as_millis() * u128::from(args.silent) / 1000;
        while connected < due {
            silent.connect()?;
            connected += 1;
        }
        silent.look(Duration::ZERO)?;
    }
    while !shared.stops.load(Relaxed) {
        thread::sleep(STEP);
    }
    Ok(())
}
