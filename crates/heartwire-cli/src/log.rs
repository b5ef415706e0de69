//! The log on standard error, which may have a reader that does not read.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for standard error; further ones are dropped, and counted. Some 150 KB.
const LINES_MAX: usize = 1024;

/// How long the last lines may take at the end of the program.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);

/// Writes to standard error from a thread of its own, so that nobody who logs ever waits: a server
/// that strangers can make log must not stand still because nobody reads that.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Text(Vec<u8>),
    /// The last of them: says so when all before it are written.
    End(Sender<()>),
}

impl Log {
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let log = Self { lines, dropped: Arc::clone(&dropped) };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&waiting, &dropped))?;
        Ok(log)
    }

    /// Waits a moment for what is still to be written.
    pub(crate) fn flush(&self) {
        let (written, wait) = mpsc::channel();
        // Without room, the thread is stuck and there is nothing to wait for.
        if self.lines.try_send(Line::End(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_WITHIN);
        }
    }
}

fn write_lines(waiting: &Receiver<Line>, dropped: &AtomicU64) {
    for line in waiting {
        let mut stderr = io::stderr().lock();
        // There is nowhere to complain if this fails.
        match line {
            Line::Text(text) => drop(stderr.write_all(&text)),
            Line::End(written) => drop(written.send(())),
        }
        let dropped = dropped.swap(0, Relaxed);
        if dropped > 0 {
            let _ = writeln!(stderr, "heartwire: {dropped} lines of the log were dropped here");
        }
    }
}

/// Each event is formatted as a whole, and then written at one go.
impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(text.to_vec())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
