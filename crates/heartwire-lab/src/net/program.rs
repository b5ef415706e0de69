//! The program under test: `heartwire serve` and `heartwire connect`, each in its namespace, and
//! their events.

use core::time::Duration;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use heartwire_core::Side;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::namespace::Namespace;
use super::stop::Stop;
use crate::local::without_settings;

/// How often a wait checks whether the lab has to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the system may take to stop or kill a program.
const OBEYS_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait for the last output of a program that has ended.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// A line that is long enough to fill buffers soon, and short enough for any queue.
const FLOOD_LINE_LEN: usize = 8 * 1024;

/// The event that is a message: a warning, an error or a line of the log.
const MESSAGE: &str = "log";

/// The event that stands for the end of a program's output.
const ENDED: &str = "ended";

/// An event of an end, as one object on a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) side: Side,
    /// When it happened, as the end reports.
    pub(super) at: SystemTime,
    pub(super) event: String,
    fields: Value,
}

impl Told {
    pub(super) fn parse(side: Side, line: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let event = fields.get("event")?.as_str()?.to_owned();
        let at = humantime::parse_rfc3339(fields.get("time")?.as_str()?).ok()?;
        Some(Self { side, at, event, fields })
    }

    fn ended(side: Side) -> Self {
        Self { event: ENDED.to_owned(), ..Self::nothing(side) }
    }

    /// An event without a name and without fields.
    pub(super) fn nothing(side: Side) -> Self {
        Self { side, at: SystemTime::now(), event: String::new(), fields: Value::Null }
    }

    /// A field that is text; empty if there is none of that name.
    pub(super) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that is a number; zero if there is none of that name.
    pub(super) fn number(&self, field: &str) -> f64 {
        self.fields.get(field).and_then(Value::as_f64).unwrap_or_default()
    }

    /// A field that counts something; zero if there is none of that name.
    pub(super) fn count(&self, field: &str) -> u64 {
        self.fields.get(field).and_then(Value::as_u64).unwrap_or_default()
    }

    /// How many beats were heard; zero if there is no such field.
    pub(super) fn beats(&self) -> u64 {
        self.count("beats")
    }

    /// All fields.
    pub(super) const fn fields(&self) -> &Value {
        &self.fields
    }
}

/// A process that prints events. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Program {
    process: Child,
    stdin: Option<ChildStdin>,
    events: Arc<Latch>,
    /// Its output besides events: error messages.
    said: Arc<Mutex<String>>,
    /// The thread that reads a separate stream of error messages.
    noting: Option<thread::JoinHandle<()>>,
}

impl Program {
    /// Starts `heartwire serve` with these arguments. Its events go to `tell`.
    pub(super) fn serve(
        namespace: &Namespace,
        heartwire: &Path,
        args: &[String],
        tell: &Sender<Told>,
    ) -> anyhow::Result<Self> {
        let mut command = namespace.lasting_command(heartwire);
        without_settings(&mut command).args(["serve", "--format", "json"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut this = Self::of(command.spawn().context("cannot start ip netns exec")?);
        let (events, complaints) = (this.process.stdout.take(), this.process.stderr.take());
        this.listen(Side::Server, events.context("no output")?, tell);
        this.note(complaints.context("no errors")?);
        Ok(this)
    }

    /// Starts a [client](super::client::Client) with these arguments. Its events, which are on
    /// standard error, go to `tell`, and nothing reads the data that it prints.
    pub(super) fn client(
        namespace: &Namespace,
        program: &Path,
        args: &[String],
        tell: &Sender<Told>,
    ) -> anyhow::Result<Self> {
        let mut command = namespace.lasting_command(program);
        without_settings(&mut command).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut this = Self::of(command.spawn().context("cannot start ip netns exec")?);
        let events = this.process.stderr.take().context("no errors")?;
        this.stdin = this.process.stdin.take();
        this.listen(Side::Client, events, tell);
        Ok(this)
    }

    /// Starts this program as that [part](super::Part) with these arguments. Its events go to
    /// `tell`.
    pub(super) fn part(
        side: Side,
        namespace: &Namespace,
        this_program: &Path,
        part: &str,
        args: &[String],
        tell: &Sender<Told>,
    ) -> anyhow::Result<Self> {
        let mut command = namespace.lasting_command(this_program);
        command.args(["net", part]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut this = Self::of(command.spawn().context("cannot start ip netns exec")?);
        let (events, complaints) = (this.process.stdout.take(), this.process.stderr.take());
        this.stdin = this.process.stdin.take();
        this.listen(side, events.context("no output")?, tell);
        this.note(complaints.context("no errors")?);
        Ok(this)
    }

    fn of(process: Child) -> Self {
        let (events, said) = (Arc::default(), Arc::default());
        Self { process, stdin: None, events, said, noting: None }
    }

    /// Passes on the events in that output, and keeps messages.
    fn listen(&self, side: Side, output: impl Read + Send + 'static, tell: &Sender<Told>) {
        let (latch, said, tell) = (Arc::clone(&self.events), Arc::clone(&self.said), tell.clone());
        thread::spawn(move || {
            let mut lines = BufReader::new(output).lines();
            loop {
                latch.wait_until_open();
                let Some(Ok(line)) = lines.next() else { break };
                match Told::parse(side, &line) {
                    // The receiver is gone when the experiment is over.
                    Some(told) if told.event != MESSAGE => tell.send(told).unwrap_or_default(),
                    Some(_) | None => keep(&said, &line),
                }
            }
            tell.send(Told::ended(side)).unwrap_or_default();
        });
    }

    /// Keeps what is in that output.
    fn note(&mut self, output: impl Read + Send + 'static) {
        let said = Arc::clone(&self.said);
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        self.noting = Some(thread::spawn(move || lines.for_each(|line| keep(&said, &line))));
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), signal)?)
    }

    /// Stops it. Returns when none of its threads runs any more.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = PathBuf::from(format!("/proc/{}/task", self.process.id()));
        wait_until("a program is stopped", || {
            let states = fs::read_dir(&tasks)?.map(|task| {
                let stat = fs::read_to_string(task?.path().join("stat"))?;
                // After the name, which is in parentheses and may hold anything.
                Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
            });
            states.collect::<io::Result<Vec<bool>>>().map(|stopped| !stopped.contains(&false))
        })
    }

    /// Kills it. Returns when it is gone.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        wait_until("a program is gone", || Ok(self.process.try_wait()?.is_some()))
    }

    /// Types a line into it.
    pub(super) fn type_line(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("this program reads no input")?;
        Ok(writeln!(stdin, "{line}")?)
    }

    /// Types long lines for as long as the program reads them; so many at most. The result is when
    /// it had read them.
    pub(super) fn flood(
        &mut self,
        lines: Option<u32>,
    ) -> anyhow::Result<thread::JoinHandle<SystemTime>> {
        let mut stdin = self.stdin.take().context("this program reads no input")?;
        let mut line = vec![b'.'; FLOOD_LINE_LEN];
        line.push(b'\n');
        Ok(thread::spawn(move || {
            let mut left = lines;
            while left != Some(0) && stdin.write_all(&line).is_ok() {
                left = left.map(|left| left.saturating_sub(1));
            }
            // The program goes on when its input has ended.
            SystemTime::now()
        }))
    }

    /// Ends its input.
    pub(super) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Leaves its events in the pipe, until it is full.
    pub(super) fn stop_reading(&self) {
        self.events.set(false);
    }

    /// Reads its events again.
    pub(super) fn read_again(&self) {
        self.events.set(true);
    }

    /// Its error messages. A program that has ended may have printed more than was read so far.
    pub(super) fn complaints(&self) -> String {
        let deadline = Instant::now() + LAST_WORDS_WITHIN;
        let is_read = || self.noting.as_ref().is_none_or(thread::JoinHandle::is_finished);
        while !is_read() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A reader that waits would outlive the pipe.
        self.read_again();
        // It may be gone. One that is stopped is killed as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> io::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + OBEYS_WITHIN;
    while !done()? {
        ensure!(Instant::now() < deadline, "not within {OBEYS_WITHIN:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn keep(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    *said = format!("{said}{line}\n");
}

/// Whether output is read.
#[derive(Debug)]
struct Latch {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Default for Latch {
    fn default() -> Self {
        Self { is_open: Mutex::new(true), changed: Condvar::new() }
    }
}

impl Latch {
    fn set(&self, is_open: bool) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = is_open;
        self.changed.notify_all();
    }

    fn wait_until_open(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing that holds the lock can panic.
        drop(self.changed.wait_while(is_open, |is_open| !*is_open));
    }
}

/// The events of both ends, so far and to come.
#[derive(Debug)]
pub(super) struct Telling {
    told: Receiver<Told>,
    pub(super) so_far: Vec<Told>,
    stop: Stop,
}

impl Telling {
    pub(super) const fn new(told: Receiver<Told>, stop: Stop) -> Self {
        Self { told, so_far: Vec::new(), stop }
    }

    /// Listens until `done` is true for the events so far, or until `deadline`. Returns whether it
    /// was.
    pub(super) fn listen_until(
        &mut self,
        deadline: Instant,
        mut done: impl FnMut(&[Told]) -> bool,
    ) -> anyhow::Result<bool> {
        loop {
            if done(&self.so_far) {
                return Ok(true);
            }
            if self.stop.is_asked() {
                bail!("stopped");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            match self.told.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(told) => self.so_far.push(told),
                Err(RecvTimeoutError::Timeout) => {}
                // The ends are gone; no more events will come.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(left.min(LOOK_EVERY)),
            }
        }
    }

    /// Listens for a while.
    pub(super) fn listen_for(&mut self, time: Duration) -> anyhow::Result<()> {
        self.listen_until(Instant::now() + time, |_| false).map(drop)
    }

    /// Waits for the first event of that name from that end.
    pub(super) fn expect(
        &mut self,
        side: Side,
        event: &str,
        within: Duration,
    ) -> anyhow::Result<()> {
        let first = |told: &[Told]| {
            let mut of_side = told.iter().filter(|told| told.side == side);
            of_side.find(|told| told.event == event || told.event == ENDED).cloned()
        };
        self.listen_until(Instant::now() + within, |told| first(told).is_some())?;
        match first(&self.so_far) {
            Some(told) if told.event == event => Ok(()),
            Some(_) => bail!("the {side:?} ended before it was {event}"),
            None => bail!("no event {event:?} from the {side:?} within {within:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
