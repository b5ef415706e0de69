//! How many may come, and from where.

use std::net::TcpStream;
use std::time::Instant;

use crate::program::{Client, Server};
use crate::side_by_side;

#[test]
fn an_address_has_so_many_sessions_and_arrivals() {
    side_by_side(&[
        ("sessions", || {
            let server = Server::start_plain(&["--max-per-address", "2"]);
            let one = Client::start_plain(server.addr, &[]);
            let two = Client::start_plain(server.addr, &[]);
            server.events.first_events("online", 2);
            let mut third = Client::start_plain(server.addr, &["--retry", "never"]);
            assert_eq!(third.process.exit_code(), Some(4));
            let error = third.event("failed").text("error").to_owned();
            assert!(error.contains("the server is full: too many sessions from"), "{error}");
            assert_eq!(server.event("refusing")["cause"], "max_per_address");
            // Room again.
            one.stop();
            server.event("offline");
            let fourth = Client::start_plain(server.addr, &[]);
            fourth.event("online");
            assert!(two.events.events_so_far("offline").is_empty());
        }),
        ("arrivals", || {
            let server = Server::start_plain(&["--accept-rate-per-address", "1"]);
            let start = Instant::now();
            // A client that is refused may learn it before it is connected.
            let peers: Vec<_> = (0..60).map(|_| TcpStream::connect(server.addr)).collect();
            assert_eq!(server.event("refusing")["cause"], "accept_rate");
            drop(peers);
            let stopped = server.stop().pop().unwrap();
            // Twenty at once, and one more for each second that this took.
            let most = 21 + start.elapsed().as_secs();
            let accepted = stopped.count("accepted");
            assert!((20..=most).contains(&accepted), "{stopped:?}");
        }),
    ]);
}
