//! One session of a name: the newest.

use crate::program::{Client, Server};
use heartwire_testkit::LineEvent as Event;

use super::tokens::{TOKEN, file};

#[test]
fn a_name_is_taken_over_by_the_newest_and_the_older_one_stays_away() {
    let server = Server::start_plain(&[]);
    let mut older = Client::start_plain(server.addr, &["--name", "bob", "--retry", "100ms"]);
    let first = older.event("online");
    let newer = Client::start_plain(server.addr, &["--name", "bob"]);
    let second = newer.event("online");
    assert!(second.count("epoch") > first.count("epoch"));

    assert_eq!(older.process.exit_code(), Some(4), "it does not come back");
    let offline = older.event("offline");
    assert_eq!(offline["reason"], "bye");
    assert!(offline.text("detail").contains("taken_over"), "{offline:?}");
    assert_eq!(older.events.all_events().last().unwrap().name(), "closed");

    newer.stop();
    let events = server.stop();
    let told: Vec<_> = events.iter().filter_map(of_bob).collect();
    assert_eq!(told, ["online", "offline taken_over", "online", "offline bye"]);
}

fn of_bob(event: &Event) -> Option<String> {
    match event.name() {
        "online" => Some("online".to_owned()),
        "offline" => Some(format!("offline {}", event.text("reason"))),
        _ => None,
    }
}

#[test]
fn names_of_other_systems_come_in_under_their_tokens_and_are_printed_as_they_are() {
    let long = "sensor-gateway-6f9c7d5b8-x2lqv.telemetry.svc.cluster.local.example";
    let uuid = "{0c1b6a2e-7f54-4f0e-9b3a-2d2f0c3b9a11}";
    let names = [long, uuid, "a+tag@host", "door 3", "网关-1", "\"#\\"];
    let line = |name: &str| format!("\"{name}\" {TOKEN}\n");
    let tokens = file("names", &names.map(line).concat());
    let token = file("names-token", TOKEN);
    let server = Server::start_plain(&["--tokens", &tokens]);
    for name in names {
        let client = Client::start_plain(server.addr, &["--name", name, "--token-file", &token]);
        client.event("online");
        client.stop();
    }
    let events = server.stop();
    let online = events.iter().filter(|event| event.name() == "online");
    assert_eq!(online.map(|event| event.text("name")).collect::<Vec<_>>(), names);
}
