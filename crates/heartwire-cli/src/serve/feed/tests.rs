use std::sync::Mutex;

use clap::ValueEnum;
use heartwire::server::limits::Refusal;
use heartwire::server::{Control, Server, ServerConfig};
use heartwire::v1::ByeCode;
use heartwire_testkit::{Peer, hello, hello_as, wait_until};
use serde_json::Value;

use super::*;
use crate::serve::clients::Clients;

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
        let line = answer(format!("{source} {}", kind_name(kind)));
        self.0.add(SystemTime::UNIX_EPOCH, Some(source), kind, || What::Line(Box::new(line)));
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
                What::Line(line) => line.to_string().replace("other     ", ""),
                What::Gap(left_out) => left_out.to_string(),
                What::Event(event, ..) => format!("{event:?}"),
            }));
        }
        all
    }

    /// What is printed after `skipped` of it.
    fn rest(&mut self, skipped: usize) -> Vec<String> {
        self.take(usize::MAX).split_off(skipped)
    }
}

fn answer(text: impl ToString) -> Line {
    Line::Other { detail: text.to_string() }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Online => "online",
        Kind::Data => "data",
        Kind::Promise => "promise",
        Kind::Health => "health",
        Kind::Verdict => "verdict",
        Kind::Ended => "ended",
        Kind::Away => "away",
        Kind::Back => "back",
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
    assert_eq!(rig.rest(MAX_DATA - 1), ["1 data", &gap, "1 offline"]);
    // Once there is room it is printed again.
    rig.add(1, Kind::Data);
    assert_eq!(rig.rest(0), ["1 data"]);
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
    assert_eq!(all[..2], ["2 online", "2 offline"]);
    let gap = format!("2 sessions that ended unprinted: {FASTER}");
    let last = [&gap, "1 verdict", "1 offline", "5 online"];
    assert_eq!(all[2 + MAX_ALL - 3..], last);
}

#[test]
fn waiting_events_are_bounded_by_the_sessions_that_are_there() {
    let mut rig = Rig::new();
    let refusing = sort(&Event::Refusing { cause: Refusal::SessionLimit }).1;
    for n in 0..10_u64 {
        rig.add(n, Kind::Online);
    }
    assert_eq!(rig.take(10).len(), 10);
    // Beside ALL_MAX: what the ten, and the last to come, say of themselves; of the server; and
    // the count.
    let most = MAX_ALL + 5 * 10 + 3 + 2;
    for n in 10..200_000 {
        rig.add(n, Kind::Online);
        rig.add(n, Kind::Data);
        rig.add(n, Kind::Promise);
        rig.add(n, Kind::Offline);
        // What the ten say again and again, also of connections that they lose.
        for kind in [Kind::Health, Kind::Promise, Kind::Verdict, Kind::Away, Kind::Back] {
            rig.add(n % 10, kind);
        }
        rig.0.add(SystemTime::UNIX_EPOCH, None, refusing, || {
            What::Line(Box::new(answer("refusing")))
        });
        assert!(rig.0.waiting.len() <= most, "{}", rig.0.waiting.len());
    }
    rig.take(usize::MAX);
    assert!(rig.0.by_source.is_empty() && rig.0.waiting.is_empty());
}

#[test]
fn waiting_events_are_bounded_whichever_are_printed() {
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
            rig.0.push(time, &event, None);
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
    rig.0.push_line(answer(1));
    assert!(!rig.0.has_room_for_answer());
    rig.take(1);
    assert!(rig.0.has_room_for_answer());
}

#[test]
fn name_of_a_client_is_in_each_event_of_its_session_even_if_its_online_is_not_printed() {
    let feed = Arc::new(Mutex::new(Feed::new(Format::Json, vec![EventKind::Data], false)));
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1);
    let clients = Arc::new(Mutex::new(Clients::new()));
    let server = Server::start(config, |_| {
        let (feed, clients) = (Arc::clone(&feed), Arc::clone(&clients));
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            let client = clients.lock().unwrap().of(&event);
            if kind(&event) == Some(EventKind::Data) {
                feed.lock().unwrap().push(SystemTime::UNIX_EPOCH, &event, client);
            }
        }
    });
    let server = server.unwrap();
    let known = |sessions| {
        wait_until("they are known", || clients.lock().unwrap().len() == sessions);
    };
    let address = server.local_addrs()[0];
    let (mut named, welcome) = Peer::welcomed(address, &hello_as("door 3", None));
    let (mut unnamed, _) = Peer::welcomed(address, &hello());
    known(2);
    let mut old = Peer::connect(address);
    old.data(b"on v0");
    named.data(b"on v1");
    unnamed.data(b"without a name");
    drop((named, unnamed));
    known(0);
    drop(server);

    let (mut items, mut printed) = (Vec::new(), Vec::new());
    feed.lock().unwrap().take(&mut items);
    items.iter().for_each(|item| Feed::render(item, &mut printed));
    let printed = String::from_utf8(printed).unwrap();
    let of = |data: &str| {
        let mut lines = printed.lines().filter(|line| line.contains(data));
        serde_json::from_str::<Value>(lines.next().unwrap()).unwrap()
    };
    let of_v1 = of("on v1");
    assert_eq!((&of_v1["name"], &of_v1["epoch"]), (&"door 3".into(), &welcome.epoch.into()));
    let of_v1 = of("without a name");
    assert_eq!((&of_v1["name"], &of_v1["epoch"]), (&Value::Null, &0.into()));
    let of_v0 = of("on v0");
    assert!(of_v0.get("name").is_none() && of_v0.get("epoch").is_none(), "{of_v0}");
    assert!(!printed.contains("\"online\""), "{printed}");
}

#[test]
fn the_stopped_line_is_the_last() {
    let mut rig = Rig::new();
    rig.0.push_line(answer(1));
    rig.0.push_last(answer(2));
    rig.0.push_line(answer(3));
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
    assert_eq!(rig.rest(MAX_ALL - 1), ["1 promise", &gap, "1 health"]);
}
