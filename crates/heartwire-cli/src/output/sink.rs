//! Standard output and standard error, each written by a thread of its own.
//!
//! Other threads only add to a queue, which never waits. So a terminal, pipe or disk that accepts
//! nothing stops the thread that writes, and delays no heartbeat, timeout or signal.

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

/// A longer line's buffer is shrunk to this.
const BUFFER_LEN: usize = 64 * 1024;

/// Time between attempts to write after an error such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lines that wait to be printed, in order, with a rule for too many of them. Its methods run under
/// a lock, so none of them may wait.
pub(crate) trait Queue: Send + 'static {
    /// An entry of the queue.
    type Item: Send;

    /// Whether there is nothing to take.
    fn is_empty(&self) -> bool;

    /// Moves the next items, as many as are written together, to `items`, which is empty.
    fn take(&mut self, items: &mut Vec<Self::Item>);

    /// Adds the text of an item, with the end of its line. Called without the lock.
    fn render(item: &Self::Item, text: &mut Vec<u8>);

    /// An item was taken, but could not be written.
    fn lost(&mut self, item: Self::Item);
}

/// Where a [`Sink`] writes to, and what it does when that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output. A failed write is tried again each second and reported on standard error.
    Stdout,
    /// The same, but the end of a pipe's reader ends the output.
    StdoutWhileRead,
    /// Standard error. Errors have nowhere to be reported, so lost lines are counted.
    Stderr,
}

/// The queue in front of one stream. Its thread ends when it is [closed](Self::close), and does not
/// keep the process from exiting.
#[derive(Debug)]
pub(crate) struct Sink<Q> {
    shared: Arc<Shared<Q>>,
}

impl<Q> Clone for Sink<Q> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<Q> {
    state: Mutex<State<Q>>,
    /// An item was added, taken or written.
    changed: Condvar,
    reader_gone: Notify,
}

#[derive(Debug)]
struct State<Q> {
    queue: Q,
    /// The queue is empty, and everything is written.
    is_idle: bool,
    /// Set when nothing more will be added: receives the result when everything is written.
    closed: Option<oneshot::Sender<io::Result<()>>>,
    /// The reader has exited or was given up: nothing more is written.
    has_ended: bool,
}

impl<Q: Queue> Sink<Q> {
    /// `report` says on another stream what became of writing to this one.
    pub(super) fn start(target: Target, queue: Q, report: Report) -> io::Result<Self> {
        let state = State { queue, is_idle: true, closed: None, has_ended: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            reader_gone: Notify::new(),
        });
        let name = if target == Target::Stderr { "stderr" } else { "stdout" };
        let writer = Writer { target, shared: Arc::clone(&shared), report };
        thread::Builder::new().name(name.to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Adds to the queue. Never waits.
    pub(crate) fn put(&self, put: impl FnOnce(&mut Q)) {
        let mut state = self.shared.lock();
        if state.has_ended {
            return;
        }
        put(&mut state.queue);
        // The thread that writes waits only while it is idle, and to wake it for nothing would cost
        // more than all the rest.
        if state.is_idle && !state.queue.is_empty() {
            state.is_idle = false;
            self.shared.changed.notify_all();
        }
    }

    /// Looks at the queue. `None` once nothing more is written. Never waits.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut Q) -> T) -> Option<T> {
        let mut state = self.shared.lock();
        (!state.has_ended).then(|| ask(&mut state.queue))
    }

    /// Waits until `has_room`, then adds to the queue: for threads that nothing else depends on.
    /// False, with nothing added, once the reader has exited.
    pub(crate) fn put_when(&self, has_room: impl Fn(&Q) -> bool, put: impl FnOnce(&mut Q)) -> bool {
        let mut state = self.shared.lock();
        while !state.has_ended && !has_room(&state.queue) {
            state = self.shared.wait(state);
        }
        if state.has_ended {
            return false;
        }
        put(&mut state.queue);
        state.is_idle = false;
        self.shared.changed.notify_all();
        true
    }

    /// Waits until all is written, but not longer than `within`.
    pub(crate) fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut state = self.shared.lock();
        while !state.is_idle {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait_for(state, left);
        }
    }

    /// Ends the output: what waits is lost, and so is what is added later.
    pub(crate) fn abandon(&self) {
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_all();
    }

    /// Closes the queue. The result arrives when everything is written, or cannot be; none arrives
    /// if the reader had already exited.
    pub(crate) fn close(&self) -> oneshot::Receiver<io::Result<()>> {
        let (written, all_written) = oneshot::channel();
        let mut state = self.shared.lock();
        if state.has_ended {
            // The receiver sees that the sender is dropped.
            return all_written;
        }
        state.closed = Some(written);
        drop(state);
        self.shared.changed.notify_all();
        all_written
    }

    /// Waits until a write fails because the reader of the pipe has exited.
    pub(crate) async fn reader_gone(&self) {
        self.shared.reader_gone.notified().await;
    }
}

impl<Q> Shared<Q> {
    fn lock(&self) -> MutexGuard<'_, State<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<Q>>) -> MutexGuard<'a, State<Q>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State<Q>>,
        time: Duration,
    ) -> MutexGuard<'a, State<Q>> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread that writes.
struct Writer<Q> {
    target: Target,
    shared: Arc<Shared<Q>>,
    report: Report,
}

/// Reports on another stream; gets the end of a sentence about this one.
type Report = fn(fmt::Arguments<'_>);

impl<Q: Queue> Writer<Q> {
    fn run(self) {
        let mut items = Vec::new();
        let mut text = Vec::new();
        let mut end = Ok(());
        while self.take(&mut items) {
            items.iter().for_each(|item| Q::render(item, &mut text));
            let written = self.write_all(&text);
            text.clear();
            text.shrink_to(BUFFER_LEN);
            match written {
                Ok(()) => items.clear(),
                Err(_) if self.target == Target::Stderr => {
                    let queue = &mut self.shared.lock().queue;
                    items.drain(..).for_each(|item| queue.lost(item));
                }
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        let mut state = self.shared.lock();
        state.has_ended = true;
        state.is_idle = true;
        if let Some(written) = state.closed.take() {
            // The receiver may be dropped.
            let _ = written.send(end);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits for items to write; false when the queue is closed and empty.
    fn take(&self, items: &mut Vec<Q::Item>) -> bool {
        let mut state = self.shared.lock();
        loop {
            state.queue.take(items);
            if !items.is_empty() {
                // There is room now.
                self.shared.changed.notify_all();
                return true;
            }
            if state.closed.is_some() {
                return false;
            }
            state.is_idle = true;
            self.shared.changed.notify_all();
            while state.is_idle && state.closed.is_none() {
                state = self.shared.wait(state);
            }
        }
    }

    /// Writes everything, however long that takes.
    fn write_all(&self, mut text: &[u8]) -> io::Result<()> {
        let mut has_failed = false;
        while !text.is_empty() {
            match self.target.write(text) {
                Ok(len) => {
                    text = text.get(len..).unwrap_or_default();
                    if core::mem::take(&mut has_failed) {
                        (self.report)(format_args!("is written again"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.target.wait_until_writable();
                }
                Err(error) => self.cannot_write(error, &mut has_failed)?,
            }
        }
        Ok(())
    }

    /// Waits until it is time for another try, or returns the error if there will be none.
    fn cannot_write(&self, error: io::Error, has_failed: &mut bool) -> io::Result<()> {
        let is_gone = is_reader_gone(&error);
        if is_gone {
            self.shared.reader_gone.notify_one();
        }
        if self.target == Target::Stderr || is_gone && self.target == Target::StdoutWhileRead {
            return Err(error);
        }
        let until = Instant::now() + RETRY_AFTER;
        let mut state = self.shared.lock();
        if !core::mem::replace(has_failed, true) {
            let then = if state.closed.is_some() {
                "and what was still to be printed is lost"
            } else {
                "and is tried again each second"
            };
            (self.report)(format_args!("cannot be written, {then}: {error}"));
        }
        loop {
            // On the way out there is no time to wait for a better disk.
            if state.closed.is_some() {
                return Err(error);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state = self.shared.wait_for(state, left);
        }
    }
}

/// Writes all of it to standard output from this thread, however long that takes.
pub(super) fn write_stdout(mut text: &[u8]) -> io::Result<()> {
    let stdout = Target::Stdout;
    while !text.is_empty() {
        match stdout.write(text) {
            Ok(len) => text = text.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stdout.wait_until_writable(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(unix)]
impl Target {
    fn write(self, text: &[u8]) -> io::Result<usize> {
        // Past the locks of the standard library, which a thread that writes would hold while it
        // waits.
        let written = match self {
            Self::Stdout | Self::StdoutWhileRead => rustix::io::write(io::stdout(), text),
            Self::Stderr => rustix::io::write(io::stderr(), text),
        };
        Ok(written?)
    }

    /// Another process may have made the stream one that does not wait (`O_NONBLOCK`).
    fn wait_until_writable(self) {
        use rustix::event::{PollFd, PollFlags, poll};
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let stream = match self {
            Self::Stdout | Self::StdoutWhileRead => PollFd::new(&stdout, PollFlags::OUT),
            Self::Stderr => PollFd::new(&stderr, PollFlags::OUT),
        };
        if poll(&mut [stream], None).is_err() {
            thread::sleep(RETRY_AFTER);
        }
    }
}

#[cfg(not(unix))]
impl Target {
    fn write(self, text: &[u8]) -> io::Result<usize> {
        use std::io::Write;
        match self {
            Self::Stdout | Self::StdoutWhileRead => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text)?;
                stdout.flush()?;
            }
            Self::Stderr => io::stderr().lock().write_all(text)?,
        }
        Ok(text.len())
    }

    fn wait_until_writable(self) {
        thread::sleep(RETRY_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Text;
    use crate::values::Format;

    #[test]
    fn thread_that_writes_is_not_woken_for_nothing() {
        let sink = Sink::start(Target::Stderr, Text::new(Format::Text), |_| ()).unwrap();
        sink.flush(Duration::from_secs(60));
        sink.put(|_| ());
        assert!(sink.shared.lock().is_idle);
        sink.put(|text| text.push(b"the line of a test\n".to_vec()));
        sink.flush(Duration::from_secs(60));
        assert!(sink.ask(|text| text.is_empty()).unwrap());
        sink.abandon();
    }
}
