//! How many may come, from where, and how many may stand at the door.

use heartwire_testkit::{BEAT, Peer};
use std::net::TcpStream;
use std::time::Instant;

use crate::program::{Client, Server};
use crate::side_by_side;

#[test]
fn an_address_has_so_many_sessions_and_arrivals() {
    side_by_side(&[
        ("sessions", || {
            let server = Server::start_plain(&["--per-address", "2"]);
            let one = Client::start_plain(server.addr, &[]);
            let two = Client::start_plain(server.addr, &[]);
            server.events.first_events("online", 2);
            let mut third = Client::start_plain(server.addr, &["--retry", "never"]);
            assert_eq!(third.process.exit_code(), Some(4));
            assert_eq!(server.event("refusing")["cause"], "address_sessions");
            // Room again.
            one.stop();
            server.event("offline");
            let fourth = Client::start_plain(server.addr, &[]);
            fourth.event("online");
            assert!(two.events.events_so_far("offline").is_empty());
        }),
        ("arrivals", || {
            let server = Server::start_plain(&["--arrivals", "1"]);
            let start = Instant::now();
            // Whoever is refused may learn it before it is connected.
            let peers: Vec<_> = (0..60).map(|_| TcpStream::connect(server.addr)).collect();
            assert_eq!(server.event("refusing")["cause"], "arrival_rate");
            drop(peers);
            let stopped = server.stop().pop().unwrap();
            // Twenty at once, and one more for each second that this took.
            let most = 21 + start.elapsed().as_secs();
            let accepted = stopped.count("accepted");
            assert!((20..=most).contains(&accepted), "{stopped:?}");
        }),
        ("arrivals without a limit", || {
            let server = Server::start_plain(&["--arrivals", "off", "--all-arrivals", "off"]);
            let mut peers: Vec<_> = (0..200).map(|_| Peer::connect(server.addr)).collect();
            for peer in &mut peers {
                peer.send(&BEAT);
            }
            server.events.first_events("online", 200);
        }),
    ]);
}

#[test]
fn those_that_have_waited_longest_at_the_door_make_room() {
    let server = Server::start_plain(&["--pending", "2", "--shards", "1"]);
    let mut waiting: Vec<_> = (0..4).map(|_| Peer::connect(server.addr)).collect();
    let _youngest = waiting.split_off(2);
    for mut oldest in waiting {
        assert_eq!(oldest.read_to_end().0, b"");
    }
    // And whoever says something is not kept out.
    let client = Client::start_plain(server.addr, &[]);
    client.event("online");
    let events = server.stop();
    assert!(events.last().unwrap().count("turned_away") >= 2);
}
