//! A server that stops tells everybody when to come back.

use std::collections::BTreeSet;

use crate::program::{Client, Server, lasting_address};

#[test]
fn clients_of_a_server_that_stops_come_back_spread_over_the_drain() {
    const CLIENTS: usize = 12;
    let addr = lasting_address();
    let on = addr.to_string();
    let server = Server::start_plain_on(&on, &["--drain", "3s"]);
    // Their own backoff is shorter: what they wait is what the server said. Those that come before the
    // server is back wait for that.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| Client::start_plain(addr, &["--retry", "fixed:2ms", "--handshake-timeout", "10s"]))
        .collect();
    server.events.first_events("online", CLIENTS);
    for event in server.stop() {
        assert!(event.name() != "offline" || event["reason"] == "shutdown", "{event:?}");
    }
    let server = Server::start_plain_on(&on, &["--drain", "3s"]);
    let mut waits = Vec::new();
    for client in &clients {
        let offline = client.event("offline");
        assert_eq!(offline["reason"], "bye", "{offline:?}");
        assert!(offline.text("detail").contains("draining"), "{offline:?}");
        let wait = client.event("waiting").number("wait_ms");
        assert!((0.0..=3000.0).contains(&wait), "{wait}");
        waits.push(wait);
    }
    // One draw in a thousand of a second for each: they are all different, and far apart.
    let different: BTreeSet<_> = waits.iter().map(|wait| wait.to_bits()).collect();
    assert_eq!(different.len(), CLIENTS, "{waits:?}");
    let most = waits.iter().copied().fold(0.0, f64::max);
    let least = waits.iter().copied().fold(3000.0, f64::min);
    assert!(most - least >= 500.0, "{waits:?}");
    server.events.first_events("online", CLIENTS);
    for client in &clients {
        client.events.first_events("online", 2);
    }
}
