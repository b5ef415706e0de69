//! What a server may run out of: told before clients are refused or ended, and when it is enough.

use std::io::Write;
use std::net::TcpStream;

use heartwire_testkit::{BEAT, LineEvent as Event, Peer, wait_until};
use serde_json::Value;

use super::{Web, http_at};
use crate::program::Server;
use crate::side_by_side;

const V0: &[&str] = &["--protocol", "v0", "--threads", "1", "--timeout", "60s", "--drain", "0s"];

#[test]
fn resources_that_run_short_are_told_before_the_first_refusal_and_when_they_are_enough() {
    side_by_side(&[
        ("sessions", sessions_run_short),
        ("descriptors", descriptors_run_short),
        ("bytes", bytes_run_short),
    ]);
}

/// Stops the server. Returns its events of resources in order, and among them those that tell that
/// one had run out.
#[track_caller]
fn told(server: Server, is_beyond: impl Fn(&Event) -> bool) -> Vec<String> {
    let events = server.stop();
    let told = events.iter().filter_map(|event| match event.text("event") {
        "resource" => Some(format!("{} {}", event.text("resource"), event["short"])),
        _ => is_beyond(event).then(|| "beyond".to_owned()),
    });
    told.collect()
}

/// How much of a resource was in use at the last look.
fn used(stats: &Value, resource: &str) -> Option<usize> {
    let row = stats["resources"].as_array()?.iter().find(|row| row["resource"] == resource)?;
    usize::try_from(row["used"].as_u64()?).ok()
}

fn sessions_run_short() {
    let web = Web::start(&[V0, &["--max-sessions", "10"]].concat());
    let connect = || Peer::connect(web.server.addr);
    let metric = |name: &str| {
        let name = format!("heartwire_server_resource_{name}{{resource=\"sessions\"}} ");
        let body = web.get("/metrics").body;
        let line = body.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name}: {body}"))
    };
    wait_until("it has looked", || web.get("/metrics").body.contains("resource=\"sessions\""));
    assert_eq!([metric("used"), metric("limit"), metric("short")], ["0", "10", "0"]);
    let mut clients: Vec<_> = (0..9).map(|_| connect()).collect();
    let short = web.server.event("resource");
    assert_eq!((&short["used"], &short["limit"]), (&9.into(), &10.into()));
    assert_eq!((&short["percent"], &short["lasted_ms"]), (&90.into(), &Value::Null));
    web.server.log.line("short of sessions: 9 of 10 (90 %) in use; at the limit further clients");
    assert_eq!([metric("used"), metric("short")], ["9", "1"]);
    // One more can come, so it is ready.
    web.get("/readyz").expect(200);
    clients.push(connect());
    wait_until("it is full", || web.get("/readyz").status == 503);
    assert_eq!(web.get("/readyz").expect(503)["reasons"][0], "refusing_max_sessions");
    wait_until("the next look", || {
        let stats = web.get("/v1/stats").expect(200);
        used(&stats, "sessions") == Some(10)
    });
    connect().expect_end();
    web.server.event("refusing");
    clients.truncate(7);
    let enough = web.server.events.event_where("resource", |event| event["short"] == false);
    assert!(enough["lasted_ms"].as_f64() >= Some(1000.0), "{enough:?}");
    web.server.log.line("enough sessions again: 7 of 10");
    let is_refusing = |event: &Event| event["event"] == "refusing";
    assert_eq!(told(web.server, is_refusing), ["sessions true", "beyond", "sessions false"]);
}

fn descriptors_run_short() {
    const FILES: usize = 64;
    let args = [V0, &["--http", "127.0.0.1:0"]].concat();
    let server = Server::start_with_files("127.0.0.1:0", FILES.try_into().unwrap(), &args);
    let at = http_at(&server.event("listening"));
    let stats = || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(super::get("/v1/stats").as_bytes()).unwrap();
        super::Answer::of(&super::read_all(&mut stream)).expect(200)
    };
    let mut clients: Vec<_> = (0..20).map(|_| Peer::connect(server.addr)).collect();
    // In one look with those of the sessions are its own descriptors.
    wait_until("a look", || used(&stats(), "sessions") == Some(20));
    let others = used(&stats(), "descriptors").unwrap();
    // One more than 90 %, because HTTP may have had one.
    clients.extend((others..59).map(|_| Peer::connect(server.addr)));
    let short = server.event("resource");
    assert_eq!((short.text("resource"), &short["limit"]), ("descriptors", &FILES.into()));
    clients.extend((0..10).map(|_| Peer::connect(server.addr)));
    assert_eq!(server.event("refusing")["cause"], "descriptors");
    clients.clear();
    server.events.event_where("resource", |event| event["short"] == false);
    let is_refusing = |event: &Event| event["event"] == "refusing";
    let told = told(server, is_refusing);
    assert_eq!(told[..2], ["descriptors true", "beyond"], "{told:?}");
}

fn bytes_run_short() {
    // A thousand bytes each of a frame that does not end.
    let begun = [&1_i32.to_le_bytes()[..], &2000_i32.to_le_bytes(), &[0; 992]].concat();
    let web = Web::start(&[V0, &["--max-queue", "64", "--max-buffered", "10000"]].concat());
    let connect = || {
        let mut peer = Peer::connect(web.server.addr);
        peer.send(&BEAT);
        peer.send(&begun);
        peer
    };
    let mut clients: Vec<_> = (0..9).map(|_| connect()).collect();
    let short = web.server.event("resource");
    assert_eq!((short.text("resource"), &short["limit"]), ("buffered", &10_000.into()));
    assert!(short["used"].as_u64() >= Some(9_000), "{short:?}");
    clients.extend((0..2).map(|_| connect()));
    let is_ended = |event: &Event| event["reason"] == "most_buffered";
    web.server.events.event_where("offline", is_ended);
    web.server.events.event_where("resource", |event| event["short"] == false);
    let mut told = told(web.server, is_ended);
    told.dedup();
    assert_eq!(told, ["buffered true", "beyond", "buffered false"]);
}
