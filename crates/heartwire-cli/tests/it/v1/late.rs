//! A server that was stopped while clients came.

use std::thread;

use heartwire::v1::{Hello, Offer};
use heartwire::{Preset, Side};
use heartwire_testkit::{BEAT, Got, Peer, ms, wait_until};

use crate::program::Server;

/// Returns when all threads stand still: each stops for itself, a little later.
fn freeze(server: &Server) {
    server.process.freeze();
    let tasks = format!("/proc/{}/task", server.process.0.id());
    let is_still = || {
        std::fs::read_dir(&tasks).unwrap().all(|task| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            stat.contains(") T ")
        })
    };
    wait_until("it stands still", is_still);
}

#[test]
fn those_who_waited_too_long_for_a_stopped_server_are_sent_away_and_others_served() {
    let hello = Hello::new(Offer::new(&Preset::Usual.policy(Side::Client))).encode();
    let server = Server::start_plain(&["--shards", "1"]);
    let mut accepted = Peer::connect(server.addr);
    // Whoever connects after it is accepted after it.
    Peer::connect(server.addr).send(&BEAT);
    server.event("online");
    freeze(&server);
    accepted.send(&hello);
    let mut old: Vec<Peer> = (0..300).map(|_| Peer::connect(server.addr)).collect();
    old.iter_mut().for_each(|peer| peer.send(&hello));
    let mut patient = Peer::connect(server.addr);
    patient.send(&BEAT);
    // More than 2.5 s.
    thread::sleep(ms(2700));
    let mut fresh = Peer::connect(server.addr);
    fresh.send(&hello);
    server.process.thaw();
    for peer in old.iter_mut().chain([&mut accepted]) {
        assert!(matches!(peer.next(), Got::Bye(..)));
    }
    fresh.expect_welcome();
    server.event_of("online", patient.addr());
    let events = server.stop();
    let online = events.iter().filter(|event| event.name() == "online").count();
    assert_eq!(online, 3, "the first v0 client, the patient one, and the fresh one");
}
