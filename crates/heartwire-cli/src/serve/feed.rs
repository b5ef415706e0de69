//! The queue of events in front of standard output, and which events it drops when nothing reads
//! them.

use core::mem;
use core::task::Waker;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::SystemTime;

use heartwire::server::Event;
use serde_json::json;

use super::args::EventKind;
use super::lines::line;
use crate::output::{Line, PREVIEW_LEN, Queue, grouped};
use crate::values::Format;

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
/// - Beyond [`MAX_ALL`] events, a session that ends before any of its events was printed is dropped,
///   and a newer status of a session or of the server replaces the one that waits.
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

/// The number of a session; `None` for the server itself.
type Source = Option<u64>;

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
    /// An event with the beginning of its data, and the length of all of it.
    Event(Event<Vec<u8>>, usize),
    Gap(LeftOut),
    Line(Line),
}

/// Dropped events that were not reported yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    data: u64,
    sessions: u64,
    outdated: u64,
    rejected: u64,
}

/// Kinds of events that the queue treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Online,
    Data,
    Promise,
    Health,
    Verdict,
    Offline,
    /// Of the server itself.
    Server(mem::Discriminant<Event<Vec<u8>>>),
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

    /// Adds an event; of data only the beginning.
    pub(super) fn push(&mut self, time: SystemTime, event: &Event<&[u8]>) {
        let (source, kind) = sort(event);
        if matches!(event, Event::Rejected { .. }) && !self.has_room_for_rejected(time) {
            return self.leave_out(time, LeftOut { rejected: 1, ..LeftOut::default() });
        }
        self.add(time, source, kind, || {
            let Event::Data { id, data } = *event else { return What::Event(event.to_owned(), 0) };
            let shown = data.get(..PREVIEW_LEN).unwrap_or(data);
            What::Event(Event::Data { id, data: shown.to_vec() }, data.len())
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
            self.insert(SystemTime::now(), None, What::Line(line));
        }
    }

    /// Adds the last line.
    pub(super) fn push_last(&mut self, line: Line) {
        self.push_line(line);
        self.is_over = true;
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
                Kind::Promise | Kind::Health | Kind::Server(_) => {
                    self.take_back_outdated(source, kind)
                }
                Kind::Online | Kind::Data | Kind::Verdict => LeftOut::default(),
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
        self.left_out.data += more.data;
        self.left_out.sessions += more.sessions;
        self.left_out.outdated += more.outdated;
        self.left_out.rejected += more.rejected;
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
            What::Event(event, bytes) => &line(event, *bytes),
            What::Gap(left_out) => &left_out.line(),
            What::Line(line) => line,
        };
        text.extend_from_slice(line.render(item.time, item.format).as_bytes());
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

impl LeftOut {
    fn line(self) -> Line {
        let Self { data, sessions, outdated, rejected } = self;
        let counts = [
            (data, "data events"),
            (sessions, "sessions that ended unprinted"),
            (outdated, "events replaced by newer ones"),
            (rejected, "rejected clients"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let text: Vec<_> =
            counts.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        Line {
            event: "unprinted",
            text: format!("{}: they came faster than they were read", text.join(", ")),
            fields: json!({
                "data": data, "sessions": sessions, "outdated": outdated, "rejected": rejected
            }),
        }
    }
}

/// The session of an event, and its kind.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not of a session is of the server")]
fn sort(event: &Event<&[u8]>) -> (Source, Kind) {
    let (id, kind) = match *event {
        Event::Online { id, .. } => (id, Kind::Online),
        Event::Data { id, .. } => (id, Kind::Data),
        Event::Promise { id, .. } => (id, Kind::Promise),
        Event::Health { id, .. } => (id, Kind::Health),
        Event::Verdict { id, .. } => (id, Kind::Verdict),
        Event::Offline { id, .. } => (id, Kind::Offline),
        ref other => {
            // Owned, because a discriminant depends on the lifetime.
            return (None, Kind::Server(mem::discriminant(&other.to_owned())));
        }
    };
    (Some(id.as_u64()), kind)
}

/// The kind of an event that `--events` can leave out.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known is not left out")]
pub(super) const fn kind<D>(event: &Event<D>) -> Option<EventKind> {
    match event {
        Event::Online { .. } | Event::Promise { .. } | Event::Health { .. } => {
            Some(EventKind::Online)
        }
        Event::Data { .. } => Some(EventKind::Data),
        Event::Verdict { .. } => Some(EventKind::Verdict),
        Event::Offline { .. } => Some(EventKind::Offline),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use heartwire::server::Refusal;
    use heartwire::v1::ByeCode;

    use super::*;

    /// A queue whose events are printed as the texts that they are added with.
    struct Rig(Feed);

    impl Rig {
        fn new() -> Self {
            Self::printing(EventKind::value_variants())
        }

        fn printing(printed: &[EventKind]) -> Self {
            Self(Feed::new(Format::Json, printed.to_vec(), false))
        }

        fn add(&mut self, source: u64, kind: Kind) {
            let line = Line {
                event: "event",
                text: String::new(),
                fields: json!([source, kind_name(kind)]),
            };
            self.0.add(SystemTime::UNIX_EPOCH, Some(source), kind, || What::Line(line));
        }

        fn fill(&mut self, count: usize) {
            (0..count).for_each(|n| self.add(1_000_000 + u64::try_from(n).unwrap(), Kind::Online));
        }

        /// The next `most` of what is printed.
        fn take(&mut self, most: usize) -> Vec<String> {
            let (mut all, mut items) = (Vec::new(), Vec::new());
            while all.len() < most {
                self.0.take(&mut items);
                if items.is_empty() {
                    break;
                }
                all.extend(items.drain(..).map(|news| match news.what {
                    What::Line(line) => line.fields.to_string(),
                    What::Gap(left_out) => left_out.line().text,
                    What::Event(event, _) => format!("{event:?}"),
                }));
            }
            all
        }

        /// What is printed after `skipped` of it.
        fn rest(&mut self, skipped: usize) -> Vec<String> {
            self.take(usize::MAX).split_off(skipped)
        }
    }

    fn kind_name(kind: Kind) -> &'static str {
        match kind {
            Kind::Online => "online",
            Kind::Data => "data",
            Kind::Promise => "promise",
            Kind::Health => "health",
            Kind::Verdict => "verdict",
            Kind::Offline => "offline",
            Kind::Server(_) => "server",
        }
    }

    const FASTER: &str = "they came faster than they were read";

    #[test]
    fn data_that_comes_faster_than_it_is_printed_is_counted_where_it_would_be() {
        let mut rig = Rig::new();
        rig.fill(MAX_DATA - 1);
        for _ in 0..1235 {
            rig.add(1, Kind::Data);
        }
        rig.add(1, Kind::Offline);
        rig.add(1, Kind::Data);
        let gap = format!("1,235 data events: {FASTER}");
        assert_eq!(rig.rest(MAX_DATA - 1), ["[1,\"data\"]", &gap, "[1,\"offline\"]"]);
        // Once there is room it is printed again.
        rig.add(1, Kind::Data);
        assert_eq!(rig.rest(0), ["[1,\"data\"]"]);
    }

    #[test]
    fn only_what_nothing_was_printed_of_is_left_out_and_only_when_too_much_waits() {
        let mut rig = Rig::new();
        rig.add(1, Kind::Online);
        assert_eq!(rig.take(1).len(), 1);
        rig.add(2, Kind::Online);
        rig.add(2, Kind::Offline);
        rig.add(3, Kind::Online);
        rig.fill(MAX_ALL - 3);
        for kind in [Kind::Online, Kind::Promise, Kind::Health, Kind::Verdict, Kind::Offline] {
            rig.add(4, kind);
        }
        for source in [1, 3] {
            rig.add(source, Kind::Verdict);
            rig.add(source, Kind::Offline);
        }
        rig.add(5, Kind::Online);
        let all = rig.rest(0);
        assert_eq!(all[..2], ["[2,\"online\"]", "[2,\"offline\"]"]);
        let gap = format!("2 sessions that ended unprinted: {FASTER}");
        let last = [&gap, "[1,\"verdict\"]", "[1,\"offline\"]", "[5,\"online\"]"];
        assert_eq!(all[2 + MAX_ALL - 3..], last);
    }

    #[test]
    fn what_waits_is_bounded_by_the_sessions_that_are_there() {
        let mut rig = Rig::new();
        let refusing = sort(&Event::Refusing { cause: Refusal::SessionLimit }).1;
        for n in 0..10_u64 {
            rig.add(n, Kind::Online);
        }
        assert_eq!(rig.take(10).len(), 10);
        // Beside ALL_MAX: what the ten, and the last to come, say of themselves; of the server; and
        // the count.
        let most = MAX_ALL + 2 * 10 + 3 + 2;
        for n in 10..200_000 {
            rig.add(n, Kind::Online);
            rig.add(n, Kind::Data);
            rig.add(n, Kind::Promise);
            rig.add(n, Kind::Offline);
            rig.add(n % 10, Kind::Health);
            rig.add(n % 10, Kind::Promise);
            let line = Line { event: "refusing", text: String::new(), fields: json!([]) };
            rig.0.add(SystemTime::UNIX_EPOCH, None, refusing, || What::Line(line));
            assert!(rig.0.waiting.len() <= most, "{}", rig.0.waiting.len());
        }
        rig.take(usize::MAX);
        assert!(rig.0.by_source.is_empty() && rig.0.waiting.is_empty());
    }

    #[test]
    fn what_waits_is_bounded_whichever_events_are_printed() {
        for printed in [
            &[EventKind::Online][..],
            &[EventKind::Offline],
            &[EventKind::Verdict],
            &[EventKind::Verdict, EventKind::Offline],
            &[EventKind::Data, EventKind::Offline],
        ] {
            let mut rig = Rig::printing(printed);
            for n in 0..70_000 {
                for (kind, event) in [
                    (Kind::Online, EventKind::Online),
                    (Kind::Data, EventKind::Data),
                    (Kind::Verdict, EventKind::Verdict),
                ] {
                    if printed.contains(&event) {
                        rig.add(n, kind);
                    }
                }
                rig.add(n, Kind::Offline);
                // What the last to come says, and the count.
                let waiting = rig.0.waiting.len();
                assert!(waiting <= MAX_ALL + 2, "{printed:?}: {waiting} wait after {n}");
            }
            rig.take(usize::MAX);
            assert!(rig.0.by_source.is_empty() && rig.0.waiting.is_empty(), "{printed:?}");
        }
    }

    #[test]
    fn ten_rejected_clients_are_printed_a_second_and_the_others_counted() {
        let mut rig = Rig::new();
        let event = Event::<&[u8]>::Rejected {
            peer: "192.0.2.1:5".parse().unwrap(),
            name: Some("a".into()),
            code: ByeCode::Unauthorized,
        };
        for second in [1, 2] {
            let time = SystemTime::UNIX_EPOCH + core::time::Duration::from_secs(second);
            for _ in 0..MAX_REJECTED + 5 {
                rig.0.push(time, &event);
            }
        }
        let lines = rig.rest(0);
        assert_eq!(lines.len(), 2 * 10 + 1);
        assert!(lines[..10].iter().all(|line| line.starts_with("Rejected")), "{lines:?}");
        assert_eq!(lines[10], format!("10 rejected clients: {FASTER}"));
    }

    #[test]
    fn an_answer_waits_while_as_much_waits_as_where_data_is_left_out() {
        let mut rig = Rig::new();
        rig.fill(MAX_DATA - 1);
        assert!(rig.0.has_room_for_answer());
        rig.0.push_line(Line { event: "answer", text: String::new(), fields: json!(1) });
        assert!(!rig.0.has_room_for_answer());
        rig.take(1);
        assert!(rig.0.has_room_for_answer());
    }

    #[test]
    fn nothing_comes_after_the_last_line() {
        let mut rig = Rig::new();
        let line = |n: u64| Line { event: "answer", text: String::new(), fields: json!(n) };
        rig.0.push_line(line(1));
        rig.0.push_last(line(2));
        rig.0.push_line(line(3));
        assert_eq!(rig.rest(0), ["1", "2"]);
    }

    #[test]
    fn of_what_a_session_says_of_itself_the_newest_is_kept() {
        let mut rig = Rig::new();
        rig.add(1, Kind::Health);
        rig.fill(MAX_ALL - 1);
        rig.add(1, Kind::Promise);
        rig.add(1, Kind::Health);
        rig.add(1, Kind::Health);
        let gap = format!("2 events replaced by newer ones: {FASTER}");
        assert_eq!(rig.rest(MAX_ALL - 1), ["[1,\"promise\"]", &gap, "[1,\"health\"]"]);
    }
}
