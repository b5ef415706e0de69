//! What an operator types into a server.

use std::io::{self, Read, Write};
use std::process::Stdio;

use crate::program::{Client, Server};

#[test]
fn a_server_lists_sends_and_kicks_as_it_is_told_and_outlives_its_input() {
    let mut server = Server::start_with_input(&["--commands"], Stdio::piped());
    let mut bob = Client::start_plain(server.addr, &["--name", "bob", "--retry", "100ms"]);
    let bob_came = server.event("online");
    let alice = Client::start_plain(server.addr, &["--name", "alice"]);
    server.events.first_events("online", 2);

    server.type_in("/who\n");
    assert_eq!(server.event("who")["sessions"], 2);
    let sessions = server.events.events_so_far("session");
    assert_eq!(sessions.len(), 2);
    let listed = sessions.iter().find(|session| session["name"] == "bob").unwrap();
    for field in ["session", "peer"] {
        assert_eq!(listed[field], bob_came[field]);
    }
    assert!(listed["silence_ms"].is_number(), "{listed:?}");

    server.type_in("/send bob for one\n/all for all\n");
    for text in ["for one", "for all"] {
        assert_eq!(bob.output.line(text).text, text);
    }
    alice.output.line("for all");
    // Each client is sent what is for it in the order in which it was typed.
    let to_alice = alice.output.so_far();
    assert_eq!(to_alice.len(), 1, "{to_alice:?}");

    server.type_in("/kick bob go away\n/sing\n");
    assert_eq!(bob.process.exit_code(), Some(4), "it does not come back");
    let bye = bob.event("offline")["bye"].clone();
    assert_eq!((&bye["code"], &bye["detail"]), (&"kicked".into(), &"go away".into()));
    assert_eq!(server.event("offline")["reason"], "kicked");
    let answers = server.events.first_events("answer", 4);
    let ok: Vec<_> = answers.iter().map(|answer| answer["ok"].as_bool().unwrap()).collect();
    assert_eq!(ok, [true, true, true, false]);
    assert!(answers[3].text("text").starts_with("\"/sing\" is no command; "), "{answers:?}");

    // A server goes on without its input: it takes in a client that comes after that.
    server.end_input();
    let carol = Client::start_plain(server.addr, &["--name", "carol"]);
    carol.event("online");
    carol.stop();
    alice.stop();
    assert_eq!(server.stop().last().unwrap().name(), "stopped");
}

#[test]
fn without_the_option_the_input_is_not_read() {
    let (mut input, mut typist) = io::pipe().unwrap();
    typist.write_all(b"/who\n").unwrap();
    drop(typist);
    let server = Server::start_with_input(&[], input.try_clone().unwrap().into());
    let client = Client::start_plain(server.addr, &[]);
    client.event("online");
    client.stop();
    server.stop();
    let mut unread = String::new();
    input.read_to_string(&mut unread).unwrap();
    assert_eq!(unread, "/who\n");
}
