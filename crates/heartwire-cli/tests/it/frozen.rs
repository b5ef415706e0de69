//! Ends that stand still, as under a debugger, a suspended machine or a full swap.

use heartwire_testkit::{Beating, Listener, Peer, ms};
use std::thread;

use crate::program::{Client, Server};
use crate::side_by_side;

#[test]
fn frozen_processes_are_found_and_blame_no_peer() {
    side_by_side(&[
        ("a frozen server blames no client", a_frozen_server),
        ("a frozen client is found, and only that one", a_frozen_client),
        ("a frozen client blames no server", a_client_after_its_freeze),
    ]);
}

fn a_frozen_server() {
    let server = Server::start(&["--interval=off", "--timeout", "2s", "--peer-interval", "250ms"]);
    let clients: Vec<Beating> =
        (0..8).map(|_| Peer::connect(server.addr).beat_every(ms(250))).collect();
    server.events.first_events("online", 8);
    server.process.stand_still(ms(4000));
    let paused = server.event("paused");
    // It was stopped for so long at least, from its first deadline in that time.
    assert!(paused.number("gap_ms") >= 1000.0, "{paused:?}");
    // Long enough for any verdict that is in the making.
    thread::sleep(ms(2500));
    for client in clients {
        let (peer, beats) = client.stop_counted();
        let addr = peer.addr();
        drop(peer);
        let offline = server.event_of("offline", addr);
        assert_eq!(offline.count("beats"), beats, "beats during the freeze count too: {offline:?}");
    }
    let events = server.stop();
    assert!(!events.iter().any(|event| event.name() == "verdict"), "{events:#?}");
}

fn a_frozen_client() {
    let server = Server::start(&["--interval", "250ms", "--timeout", "3s"]);
    let args = ["--interval", "250ms", "--timeout", "20s", "--retry", "100ms"];
    let clients: Vec<Client> = (1..=4)
        .map(|count| {
            let client = Client::start(server.addr, &args);
            // One after the other, so that the sessions are in the same order.
            server.events.first_events("online", count);
            client
        })
        .collect();
    let frozen = server.events.first_events("online", 4)[2].text("session").to_owned();
    clients[2].process.freeze();

    let verdict = server.event("verdict");
    assert_eq!(verdict["session"], *frozen);
    verdict.expect_silence_of(3000.0);

    // When it wakes, it finds out, and comes back.
    clients[2].process.thaw();
    let offline = clients[2].event("offline");
    assert_ne!(offline["reason"], "dead", "its own standstill is no fault of the server");
    server.events.first_events("online", 5);
    for (number, client) in clients.into_iter().enumerate() {
        let events = client.stop();
        let ends = events.iter().filter(|event| event.name() == "offline").count();
        assert_eq!(ends, if number == 2 { 2 } else { 1 }, "client {number}: {events:#?}");
    }
    let verdicts = server.stop().iter().filter(|event| event.name() == "verdict").count();
    assert_eq!(verdicts, 1);
}

fn a_client_after_its_freeze() {
    let listener = Listener::new();
    let args = ["--interval", "250ms", "--timeout", "2s"];
    let client = Client::start(listener.addr(), &args);
    let server = listener.accept().beat_every(ms(250));
    client.event("online");
    client.process.stand_still(ms(4000));
    client.event("paused");
    thread::sleep(ms(2500));
    // Not closed before that is looked at.
    let _server = server.stop();
    assert!(client.events.events_so_far("offline").is_empty());
}
