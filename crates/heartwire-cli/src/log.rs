//! The log on standard error.

use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};

use crate::output::{grouped, print_stderr, say};

/// How long after a warning the next one of its kind is logged.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands each line to the thread that writes to standard error, so that no thread that logs ever waits: a
/// server that strangers can make log must go on when nothing reads that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

/// Each event is formatted as a whole, and then written at one go.
impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        print_stderr(text.to_vec());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Lets one warning or error of each kind, which is a place in the source, through per second, and counts
/// the others: strangers can cause some of them without end, and fill a disk. Lower levels are for those who
/// asked for all of it. How many were left out is said before the next line of the kind, and at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limit {
    kinds: Arc<Mutex<HashMap<Identifier, Kind>>>,
}

#[derive(Debug)]
struct Kind {
    metadata: &'static Metadata<'static>,
    /// Until then further ones are only counted.
    until: Instant,
    left_out: u64,
}

impl Limit {
    /// Says what was left out and not said yet, because no further line of its kind came.
    pub(crate) fn tell(&self) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values_mut().for_each(Kind::tell);
    }

    /// Whether a line of this kind is logged now.
    fn admits(&self, metadata: &'static Metadata<'static>, now: Instant) -> bool {
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind =
            kinds.entry(metadata.callsite()).or_insert(Kind { metadata, until: now, left_out: 0 });
        if now < kind.until {
            kind.left_out += 1;
            return false;
        }
        kind.tell();
        kind.until = now + PAUSE;
        true
    }
}

impl Kind {
    fn tell(&mut self) {
        let left_out = core::mem::take(&mut self.left_out);
        if left_out > 0 {
            say(format_args!(
                "heartwire: {} more lines of this kind were left out: {} {}",
                grouped(left_out),
                self.metadata.level(),
                self.metadata.target(),
            ));
        }
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event.metadata(), Instant::now())
    }
}
