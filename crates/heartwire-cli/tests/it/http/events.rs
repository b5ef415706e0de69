//! Events as a stream.

use std::io::Write;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use heartwire_testkit::{BEAT, Peer, data};
use serde_json::Value;

use super::Web;

/// A stream of events, without the chunks in which it comes.
struct Stream(BufReader<TcpStream>);

impl Stream {
    #[track_caller]
    fn open(web: &Web, query: &str) -> Self {
        let mut stream = web.connect();
        let request = format!("GET /v1/events{query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = Self(BufReader::new(stream));
        assert!(stream.line().contains(" 200 "));
        while !stream.line().is_empty() {}
        // The first comment: it has begun.
        assert_eq!(stream.line(), ": keep-alive");
        stream
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event; `None` at the end.
    #[track_caller]
    fn next(&mut self) -> Option<(String, Value)> {
        let kind = loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(kind) = line.strip_prefix("event: ") {
                break kind.trim_end().to_owned();
            }
        };
        let data = self.line();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        Some((kind, data))
    }
}

#[test]
fn events_come_as_they_are_printed_and_data_only_if_it_is_asked_for() {
    let mut web = Web::start(&["--protocol", "v0", "--events", "verdict"]);
    let mut all = Stream::open(&web, "");
    let mut some = Stream::open(&web, "?kinds=data,offline");
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    peer.send(&data(b"hello"));
    let (kind, online) = all.next().unwrap();
    assert_eq!((kind.as_str(), &online["event"]), ("online", &Value::from("online")));
    assert_eq!(online["peer"], peer.addr().to_string());
    let (_, said) = some.next().unwrap();
    assert_eq!((&said["bytes"], &said["session"]), (&Value::from(5), &online["session"]));
    drop(peer);
    for stream in [&mut all, &mut some] {
        let (kind, offline) = stream.next().unwrap();
        assert_eq!(
            (kind.as_str(), &offline["reason"]),
            ("offline", &Value::from("closed_by_peer"))
        );
    }
    web.write("POST", "/v1/drain", "").expect(202);
    let (kind, stopped) = all.next().unwrap();
    assert_eq!((kind.as_str(), &stopped["accepted"]), ("stopped", &Value::from(1)));
    assert_eq!(all.next(), None);
    assert_eq!(some.next(), None);
    assert_eq!(web.server.process.exit_code(), Some(0));
}

#[test]
fn a_reader_that_is_too_slow_is_told_how_much_it_missed_and_slows_down_nothing() {
    const FRAMES: u64 = 60_000;
    let web = Web::start(&["--protocol", "v0", "--events", "verdict"]);
    let mut slow = Stream::open(&web, "?kinds=data,offline");
    let mut quick = Stream::open(&web, "?kinds=offline");
    let mut peer = Peer::connect(web.server.addr);
    let frames = data(b"x").repeat(1000);
    for _ in 0..FRAMES / 1000 {
        peer.send(&frames);
    }
    drop(peer);
    // The server has gone on without the reader.
    assert_eq!(quick.next().unwrap().1["reason"], "closed_by_peer");
    let (mut came, mut missed) = (0, 0);
    while came + missed < FRAMES + 1 {
        let (kind, event) = slow.next().unwrap();
        match kind.as_str() {
            "lagged" => missed += event["dropped"].as_u64().unwrap(),
            _ => came += 1,
        }
    }
    assert!(missed > 0, "{came} events came at once");
    assert_eq!(came + missed, FRAMES + 1);
}
