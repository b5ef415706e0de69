//! The log on standard error.

mod fields;

use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};
use tracing_subscriber::{EnvFilter, reload};

use crate::exit::Usage;
use crate::output::{Message, grouped, print_stderr, warn};
use fields::Fields;

/// Minimum time between two lines of a kind.
const PAUSE: Duration = Duration::from_secs(1);

/// What is logged; it can change.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// The filter that `--log-level` and its like name.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, Usage> {
    EnvFilter::try_new(level)
        .map_err(|error| Usage(format!("--log-level cannot be `{level}`: {error}")))
}

/// A layer with this filter, which [`set_filter`] can replace.
pub(crate) fn filtering(filter: EnvFilter) -> reload::Layer<EnvFilter, Registry> {
    let (layer, handle) = reload::Layer::new(filter);
    // A second one is never made.
    let _ = FILTER.set(handle);
    layer
}

/// Replaces the filter.
pub(crate) fn set_filter(filter: EnvFilter) {
    // It fails only if there is no log any more.
    let _ = FILTER.get().map(|handle| handle.reload(filter));
}

/// Hands each line to the thread that writes to standard error, so that logging never waits:
/// clients can make a server log, and it must go on when nothing reads the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

/// Each event is formatted as a whole, and written with one call.
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

/// The log as JSON. Each line has the fields of the spans that it is in, as in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonLog;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in ctx.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span);
            }
        }
        event.record(&mut fields);
        let (message, fields) = fields.into_parts();
        let metadata = event.metadata();
        let (level, target) = (level_name(*metadata.level()), metadata.target().to_owned());
        print_stderr(Message { level, target, message, fields }.to_line());
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Rate limit: one warning or error per second of each kind, which is a place in the source. Any
/// client can cause some of them without end, and would fill a disk. Lower levels are not limited.
/// The next line of the kind, or the end of the program, reports how many were dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limit {
    kinds: Arc<Mutex<HashMap<Identifier, Kind>>>,
}

#[derive(Debug)]
struct Kind {
    metadata: &'static Metadata<'static>,
    /// Until then further lines are only counted.
    until: Instant,
    left_out: u64,
}

impl Limit {
    /// Reports the dropped lines that no further line of their kind has reported.
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
            warn(format_args!(
                "{} more lines of this kind were dropped: {} {}",
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
