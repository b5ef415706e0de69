//! The queue of events in front of standard output, and which events it drops when nothing reads
//! them.

mod kind;

use core::mem;
use core::task::Waker;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use heartwire::server::Event;

use super::args::EventKind;
use super::left_out::LeftOut;
use super::lines::{Client, Line};
use crate::output::{PREVIEW_LEN, Queue, render};
use crate::values::Format;

use kind::{Kind, Source, sort};
pub(super) use kind::{kind, session};

/// Data events are dropped while more events than this wait: a client can send data without end.
/// About 15 MB, and more than the frames of the largest read, so that a burst of small frames is
/// printed if printing is fast enough.
const MAX_DATA: usize = 32 * 1024;

/// Outdated events are dropped while more events than this wait, see [`Feed`]. More than
/// [`MAX_DATA`], so that only data is dropped where only data comes too fast.
const MAX_ALL: usize = 2 * MAX_DATA;

/// With `--hold-data`, the server does not read from its clients while this many events wait.
const HOLD_FROM: usize = 1024;

/// Rejected clients printed per second. Clients that guess tokens may come faster.
const MAX_REJECTED: u32 = 10;

/// Events written together.
const BATCH: usize = 256;

/// The queue in front of standard output. It accepts every event, and is bounded all the same:
///
/// - Beyond [`MAX_DATA`] events, data events are dropped. With `--hold-data` the server stops
///   reading at [`HOLD_FROM`] instead, so that one read of each shard is the most that follows.
/// - Beyond [`MAX_ALL`] events, a session that ends before any of its events was printed is
///   dropped, and a newer status of a session or of the server replaces the one that waits.
///
/// So only a few events wait for each session that is online or was printed, and the number of
/// sessions bounds them. An `unprinted` event, in the place of the dropped ones, counts them. Where
/// `--events` leaves out `online`, the queue does not know whether a session was printed, and drops
/// the waiting events of every session that ends.
#[derive(Debug)]
pub(super) struct Feed {
    format: Format,
    printed: Vec<EventKind>,
    waiting: BTreeMap<u64, News>,
    /// The place of the next event in `waiting`.
    next: u64,
    /// The place in `waiting` of the event that counts dropped ones.
    gap: Option<u64>,
    left_out: LeftOut,
    /// The places of the waiting events of each session, and of the server itself, in order.
    by_source: HashMap<Source, VecDeque<(u64, Kind)>>,
    hold_data: bool,
    /// The second of the last rejected client, and how many were printed in it.
    rejected: (u64, u32),
    /// Shards that read again when fewer than [`HOLD_FROM`] events wait.
    held: BTreeMap<usize, Waker>,
    /// The last line has been added.
    is_over: bool,
}

/// An entry of the queue.
#[derive(Debug)]
pub(super) struct News {
    source: Source,
    time: SystemTime,
    format: Format,
    what: What,
}

#[derive(Debug)]
enum What {
    /// An event with the beginning of its data, the length of all of it, and the client of its
    /// session.
    Event(Event<Vec<u8>>, usize, Option<Arc<Client>>),
    Gap(LeftOut),
    Line(Box<Line>),
}

impl Feed {
    pub(super) fn new(format: Format, printed: Vec<EventKind>, hold_data: bool) -> Self {
        Self {
            format,
            printed,
            waiting: BTreeMap::new(),
            next: 0,
            gap: None,
            left_out: LeftOut::default(),
            by_source: HashMap::new(),
            hold_data,
            rejected: (0, 0),
            held: BTreeMap::new(),
            is_over: false,
        }
    }

    /// Whether the shard may read data now. If not, it is resumed when there is room.
    pub(super) fn has_room_for_data(&mut self, shard: usize, waker: &Waker) -> bool {
        let has_room = !self.hold_data || self.waiting.len() < HOLD_FROM;
        if !has_room {
            self.held.insert(shard, waker.clone());
        }
        has_room
    }

    /// Adds an event of a session of this client; of data only the beginning.
    pub(super) fn push(
        &mut self,
        time: SystemTime,
        event: &Event<&[u8]>,
        client: Option<Arc<Client>>,
    ) {
        let (source, kind) = sort(event);
        if matches!(event, Event::Rejected { .. }) && !self.has_room_for_rejected(time) {
            return self.leave_out(time, LeftOut { rejected: 1, ..LeftOut::default() });
        }
        self.add(time, source, kind, || {
            let Event::Data { id, data } = *event else {
                return What::Event(event.to_owned(), 0, client);
            };
            let shown = data.get(..PREVIEW_LEN).unwrap_or(data);
            What::Event(Event::Data { id, data: shown.to_vec() }, data.len(), client)
        });
    }

    fn has_room_for_rejected(&mut self, time: SystemTime) -> bool {
        let second = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.rejected.0 != second {
            self.rejected = (second, 0);
        }
        self.rejected.1 += 1;
        self.rejected.1 <= MAX_REJECTED
    }

    /// Adds a line that is not about an event. Nothing comes after the last one.
    pub(super) fn push_line(&mut self, line: Line) {
        if !self.is_over {
            self.insert(SystemTime::now(), None, What::Line(Box::new(line)));
        }
    }

    /// Adds the last line.
    pub(super) fn push_last(&mut self, line: Line) {
        self.push_line(line);
        self.is_over = true;
    }

    /// Adds a line of the server's own, if there is room: it may come again and again while nothing
    /// reads.
    pub(super) fn push_own(&mut self, line: Line) {
        if self.has_room_for_answer() {
            self.push_line(line);
        }
    }

    /// Whether an answer may be added to what waits. Until then no further command is read.
    pub(super) fn has_room_for_answer(&self) -> bool {
        self.waiting.len() < MAX_DATA
    }

    fn add(&mut self, time: SystemTime, source: Source, kind: Kind, what: impl FnOnce() -> What) {
        if kind == Kind::Data && !self.hold_data && self.waiting.len() >= MAX_DATA {
            return self.leave_out(time, LeftOut { data: 1, ..LeftOut::default() });
        }
        if self.waiting.len() >= MAX_ALL {
            let left_out = match kind {
                Kind::Offline => self.take_back_unseen(source),
                Kind::Promise
                | Kind::Health
                | Kind::Verdict
                | Kind::Away
                | Kind::Back
                | Kind::Server(_) => self.take_back_outdated(source, kind),
                Kind::Online | Kind::Data | Kind::Ended => LeftOut::default(),
            };
            self.leave_out(time, left_out);
            if left_out.sessions > 0 {
                return;
            }
        }
        if kind == Kind::Offline && !self.prints(EventKind::Offline) {
            return;
        }
        let place = self.insert(time, source, what());
        self.by_source.entry(source).or_default().push_back((place, kind));
    }

    fn insert(&mut self, time: SystemTime, source: Source, what: What) -> u64 {
        let place = self.next;
        self.next += 1;
        self.waiting.insert(place, News { source, time, format: self.format, what });
        place
    }

    /// Counts dropped events, and reports them at this place unless a report already waits.
    fn leave_out(&mut self, time: SystemTime, more: LeftOut) {
        if more == LeftOut::default() {
            return;
        }
        self.left_out += more;
        if self.gap.is_none() {
            self.gap = Some(self.insert(time, None, What::Gap(LeftOut::default())));
        }
    }

    fn prints(&self, kind: EventKind) -> bool {
        self.printed.contains(&kind)
    }

    /// Removes the events of a session that has ended before any was printed, and counts them.
    fn take_back_unseen(&mut self, source: Source) -> LeftOut {
        let places = self.by_source.get(&source);
        let first = places.and_then(|places| places.front()).map(|&(_, kind)| kind);
        let is_unseen = if self.prints(EventKind::Online) {
            first == Some(Kind::Online)
        } else {
            first.is_some() || self.prints(EventKind::Offline)
        };
        if !is_unseen {
            return LeftOut::default();
        }
        let mut left_out = LeftOut { sessions: 1, ..LeftOut::default() };
        for (place, kind) in self.by_source.remove(&source).unwrap_or_default() {
            self.waiting.remove(&place);
            left_out.data += u64::from(kind == Kind::Data);
        }
        left_out
    }

    /// Removes waiting events of a kind, which a newer one replaces, and counts them.
    fn take_back_outdated(&mut self, source: Source, kind: Kind) -> LeftOut {
        let Some(places) = self.by_source.get_mut(&source) else { return LeftOut::default() };
        let mut left_out = LeftOut::default();
        places.retain(|&(place, other)| {
            if other == kind {
                self.waiting.remove(&place);
                left_out.outdated += 1;
            }
            other != kind
        });
        left_out
    }
}

impl Queue for Feed {
    type Item = News;

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take(&mut self, items: &mut Vec<News>) {
        while items.len() < BATCH {
            let Some((place, mut news)) = self.waiting.pop_first() else { break };
            match &mut news.what {
                What::Gap(left_out) => {
                    *left_out = mem::take(&mut self.left_out);
                    self.gap = None;
                }
                What::Event(..) | What::Line(_) => self.forget(news.source, place),
            }
            items.push(news);
        }
        if self.waiting.len() < HOLD_FROM {
            mem::take(&mut self.held).into_values().for_each(Waker::wake);
        }
    }

    fn render(item: &News, text: &mut Vec<u8>) {
        let line = match &item.what {
            What::Event(event, bytes, client) => &Line::of(event, *bytes, client.as_ref()),
            What::Gap(left_out) => &Line::Unprinted(*left_out),
            What::Line(line) => line,
        };
        text.extend_from_slice(render(line, item.time, item.format).as_bytes());
        text.push(b'\n');
    }

    /// Happens only at the end of the program, which reports it.
    fn lost(&mut self, _: News) {}
}

impl Feed {
    /// Forgets the first waiting event of a session, which was taken.
    fn forget(&mut self, source: Source, place: u64) {
        let Some(places) = self.by_source.get_mut(&source) else { return };
        if places.front().is_some_and(|&(first, _)| first == place) {
            places.pop_front();
        }
        if places.is_empty() {
            self.by_source.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests;
