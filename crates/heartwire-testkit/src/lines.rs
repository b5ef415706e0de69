//! The output of a process, line by line, with the time at which each line was seen.

use core::ops::Index;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::PATIENCE;

/// A line of output.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was seen.
    pub at: Instant,
    /// The text.
    pub text: String,
}

/// A line that is a JSON object.
#[derive(Clone, Debug)]
pub struct LineEvent {
    /// When it was seen.
    pub at: Instant,
    /// The object.
    pub fields: Value,
}

impl LineEvent {
    /// The name of the event.
    #[track_caller]
    pub fn name(&self) -> &str {
        self.text("event")
    }

    /// The text of a field.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self[field].as_str().unwrap_or_else(|| panic!("{field} of {self:?} is no text"))
    }

    /// The number of a field.
    #[track_caller]
    pub fn number(&self, field: &str) -> f64 {
        self[field].as_f64().unwrap_or_else(|| panic!("{field} of {self:?} is no number"))
    }

    /// The whole number of a field.
    #[track_caller]
    pub fn count(&self, field: &str) -> u64 {
        self[field].as_u64().unwrap_or_else(|| panic!("{field} of {self:?} is no count"))
    }

    /// Checks a verdict's numbers: its silence is the timeout plus the program's pauses plus how
    /// late its timer was.
    #[track_caller]
    pub fn expect_silence_of(&self, timeout_ms: f64) {
        let [silence, paused, late] =
            ["silence_ms", "paused_ms", "late_ms"].map(|field| self.number(field));
        // Lateness beyond 100 ms is counted in `paused_ms`.
        assert!((silence - paused - late.min(100.0) - timeout_ms).abs() < 0.01, "{self:?}");
        // A longer lateness would have been a pause.
        assert!(late < 1000.0, "{self:?}");
    }
}

impl Index<&str> for LineEvent {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.fields[field]
    }
}

/// One stream of a process. It is read on a thread, so that the process never waits for the test.
#[derive(Clone, Debug)]
pub struct Lines {
    shared: Arc<(Mutex<Log>, Condvar)>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<Line>,
    ended: bool,
}

impl Log {
    /// The lines since the last call: reading all of them again for each new one would slow down
    /// the reader.
    fn since(&self, seen: &mut usize) -> &[Line] {
        let from = core::mem::replace(seen, self.lines.len());
        self.lines.get(from..).unwrap_or_default()
    }
}

impl Lines {
    /// Reads this stream from now on.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Log::default()), Condvar::new()));
        let lines = Self { shared: Arc::clone(&shared) };
        thread::spawn(move || {
            let (log, changed) = &*shared;
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while matches!(stream.read_until(b'\n', &mut bytes), Ok(1..)) {
                let at = Instant::now();
                let text = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes));
                log.lock().unwrap().lines.push(Line { at, text: text.into_owned() });
                changed.notify_all();
                bytes.clear();
            }
            log.lock().unwrap().ended = true;
            changed.notify_all();
        });
        lines
    }

    /// Waits until `look`, which gets all lines so far, returns `Some`.
    #[track_caller]
    fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Log) -> Option<T>) -> T {
        let (log, changed) = &*self.shared;
        let deadline = Instant::now() + PATIENCE;
        let mut log = log.lock().unwrap();
        loop {
            if let Some(found) = look(&log) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if log.ended || left.is_zero() {
                let end = if log.ended { ", and there will be no more" } else { "" };
                let lines: Vec<_> = log.lines.iter().map(|line| line.text.clone()).collect();
                // Release the lock first, so that other threads do not find it poisoned.
                drop(log);
                let tail = lines.split_at(lines.len().saturating_sub(40)).1.join("\n");
                panic!("waited for {what} in {} lines{end}:\n{tail}", lines.len());
            }
            log = changed.wait_timeout(log, left).unwrap().0;
        }
    }

    /// The first line that contains `part`.
    #[track_caller]
    pub fn line(&self, part: &str) -> Line {
        let mut seen = 0;
        self.wait_for(part, |log| {
            log.since(&mut seen).iter().find(|l| l.text.contains(part)).cloned()
        })
    }

    /// The lines seen until now.
    pub fn so_far(&self) -> Vec<Line> {
        self.shared.0.lock().unwrap().lines.clone()
    }

    /// Waits until there are `count` lines.
    #[track_caller]
    pub fn first(&self, count: usize) -> Vec<Line> {
        self.wait_for(&format!("{count} lines"), |log| Some(log.lines.get(..count)?.to_vec()))
    }

    /// All lines, once the process has closed the stream.
    #[track_caller]
    pub fn all(&self) -> Vec<Line> {
        // At the end of the output, the lines are looked at before the end is reported.
        self.wait_for("the end", |log| log.ended.then(|| log.lines.clone()))
    }

    /// The first event of that name for which `test` is true.
    #[track_caller]
    pub fn event_where(&self, name: &str, test: impl Fn(&LineEvent) -> bool) -> LineEvent {
        let mut seen = 0;
        self.wait_for(name, |log| {
            events_of(log.since(&mut seen)).find(|event| event.name() == name && test(event))
        })
    }

    /// The first event of that name.
    #[track_caller]
    pub fn event(&self, name: &str) -> LineEvent {
        self.event_where(name, |_| true)
    }

    /// Waits until there are `count` events of that name, and returns those.
    #[track_caller]
    pub fn first_events(&self, name: &str, count: usize) -> Vec<LineEvent> {
        let (mut seen, mut events) = (0, Vec::new());
        self.wait_for(&format!("{count} times {name}"), |log| {
            events.extend(events_of(log.since(&mut seen)).filter(|event| event.name() == name));
            (events.len() >= count).then(|| events.drain(..count).collect())
        })
    }

    /// The events of that name seen until now.
    pub fn events_so_far(&self, name: &str) -> Vec<LineEvent> {
        events_of(&self.so_far()).filter(|event| event.name() == name).collect()
    }

    /// All events, once the process has closed the stream.
    ///
    /// Among them may be any number of `paused`, on a machine that is busy with something else.
    #[track_caller]
    pub fn all_events(&self) -> Vec<LineEvent> {
        events_of(&self.all()).collect()
    }
}

/// The lines that are events, without messages: `connect` has both on one stream.
fn events_of(lines: &[Line]) -> impl Iterator<Item = LineEvent> {
    lines.iter().filter_map(|line| {
        let fields: Value = serde_json::from_str(&line.text).ok()?;
        fields.get("event").filter(|event| *event != "log")?;
        Some(LineEvent { at: line.at, fields })
    })
}
