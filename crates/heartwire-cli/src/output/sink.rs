//! Standard output and standard error, each written by a thread of its own.
//!
//! Threads that beat, judge or take signals only put something into a queue, which never waits. So a
//! terminal, pipe or disk that takes nothing stops the thread that writes, and nothing else.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::say;

/// What is kept of a buffer that a long line has made longer.
const BUFFER_LEN: usize = 64 * 1024;

/// After an error such as a full disk: how long until the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What waits to be printed, in order, and what is done when more comes than is printed. Its calls
/// run under a lock, so none of them may wait.
pub(crate) trait Queue: Send + 'static {
    /// Something that will be printed.
    type Item: Send;

    /// Moves what comes next to `items`, which is empty: as much as is written at one go.
    fn take(&mut self, items: &mut Vec<Self::Item>);

    /// Adds what is printed of an item, with the end of its line. Called without the lock.
    fn render(item: &Self::Item, text: &mut Vec<u8>);

    /// An item was taken, and could not be written.
    fn lost(&mut self, item: Self::Item);
}

/// Where a [`Sink`] writes to, and what it does when that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output. What cannot be written is tried again each second, and standard error says so.
    Stdout,
    /// The same, but when the reader of a pipe has gone, there is nothing more to write for.
    StdoutWhileRead,
    /// Standard error. There is nowhere to complain, so what cannot be written is counted.
    Stderr,
}

/// The queue in front of one stream. The thread that writes ends when it is [closed](Self::close), and
/// keeps nothing from ending the process.
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
    /// Something was put into the queue, taken from it, or written.
    changed: Condvar,
    reader_gone: Notify,
}

#[derive(Debug)]
struct State<Q> {
    queue: Q,
    /// The queue is empty, and all that came out of it is written.
    is_idle: bool,
    /// Told when all is written, or with what error it cannot be: nothing more will come.
    closed: Option<oneshot::Sender<io::Result<()>>>,
    /// The reader has gone for good, or is not waited for any more; nothing is written any more.
    has_ended: bool,
}

impl<Q: Queue> Sink<Q> {
    pub(crate) fn start(target: Target, queue: Q) -> io::Result<Self> {
        let state = State { queue, is_idle: true, closed: None, has_ended: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            reader_gone: Notify::new(),
        });
        let name = if target == Target::Stderr { "stderr" } else { "stdout" };
        let writer = Writer { target, shared: Arc::clone(&shared) };
        thread::Builder::new().name(name.to_owned()).spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Lets `put` add something to the queue. Never waits.
    pub(crate) fn put(&self, put: impl FnOnce(&mut Q)) {
        let mut state = self.shared.lock();
        if state.has_ended {
            return;
        }
        put(&mut state.queue);
        // The thread that writes waits only while it is idle.
        if core::mem::take(&mut state.is_idle) {
            self.shared.changed.notify_all();
        }
    }

    /// Lets `ask` look at the queue. `None` once nothing is written any more. Never waits.
    pub(crate) fn ask<T>(&self, ask: impl FnOnce(&mut Q) -> T) -> Option<T> {
        let mut state = self.shared.lock();
        (!state.has_ended).then(|| ask(&mut state.queue))
    }

    /// As [`put`](Self::put), but first waits until `has_room`: for threads on which nothing else
    /// depends. Nothing is put, and the answer is false, once the reader has gone for good.
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

    /// Nothing more is printed: what waits is lost, and so is what comes.
    pub(crate) fn abandon(&self) {
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_all();
    }

    /// Nothing more will come. The answer arrives when all is written, or cannot be; none does where the
    /// reader had gone before.
    pub(crate) fn close(&self) -> oneshot::Receiver<io::Result<()>> {
        let (written, all_written) = oneshot::channel();
        let mut state = self.shared.lock();
        if state.has_ended {
            // The receiver learns it from the sender that is gone.
            return all_written;
        }
        state.closed = Some(written);
        drop(state);
        self.shared.changed.notify_all();
        all_written
    }

    /// Waits until something was written to a pipe that has no reader any more.
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

/// What the thread does.
struct Writer<Q> {
    target: Target,
    shared: Arc<Shared<Q>>,
}

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
            // The one that closed it may have left.
            let _ = written.send(end);
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits for something to write; false when nothing more will come.
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

    /// Writes all of it, however long that takes.
    fn write_all(&self, mut text: &[u8]) -> io::Result<()> {
        let mut has_failed = false;
        while !text.is_empty() {
            match self.target.write(text) {
                Ok(len) => {
                    text = text.get(len..).unwrap_or_default();
                    if core::mem::take(&mut has_failed) {
                        say("heartwire: standard output is written again");
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
            say(format_args!("heartwire: standard output cannot be written, {then}: {error}"));
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
        // Past the locks of the standard library, which a thread that writes would hold while it waits.
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
