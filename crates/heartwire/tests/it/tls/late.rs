//! Nobody is shaken hands with who has waited for so long that it is about to leave.

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use heartwire::server::{Control, Event, Server, ServerConfig, Wires};
use heartwire_testkit::{PATIENCE, limit, ms, pass};

use super::certificates::{Authority, Serve as _};
use super::peer::{End, Peer};

const STALE_AFTER: Duration = ms(2000);
/// Longer than that.
const LONG: Duration = ms(2400);

/// A server whose only shard stands still, in its handler, from the first data on until something is sent
/// to it; the authority of its certificate; and what tells that it does.
fn held(wires: Wires) -> (Server, Authority, Sender<()>, Receiver<()>) {
    let authority = Authority::new();
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
        .shards(1)
        .policy(limit(60_000))
        .wires(wires)
        .tls(authority.issue(&["localhost"]).server().load().unwrap())
        .stale_after(STALE_AFTER);
    let (release, released) = channel();
    let (standing, stands) = channel();
    let released = Arc::new(Mutex::new(released));
    let server = Server::start(config, move |_| {
        let (released, standing) = (Arc::clone(&released), standing.clone());
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if matches!(event, Event::Data { .. }) {
                standing.send(()).unwrap();
                released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
        }
    });
    (server.unwrap(), authority, release, stands)
}

/// Its ClientHello is on its way.
fn begin(server: &Server, authority: &Authority) -> Peer {
    let mut peer = Peer::begin(server.local_addrs()[0], authority);
    peer.flush();
    peer
}

#[cfg(target_os = "linux")]
#[test]
fn a_handshake_that_has_waited_too_long_is_not_begun_and_a_fresh_one_is() {
    let (server, authority, release, stands) = held(Wires::Any);
    let addr = server.local_addrs()[0];
    let mut before = Peer::begin(addr, &authority);
    let mut holder = Peer::connect(addr, &authority);
    holder.data(b"stand still");
    stands.recv_timeout(PATIENCE).unwrap();
    // One that was accepted before, and one that the kernel has.
    before.flush();
    let mut after = begin(&server, &authority);
    pass(LONG);
    let mut fresh = begin(&server, &authority);
    release.send(()).unwrap();
    for old in [&mut before, &mut after] {
        // Not a byte of a handshake.
        assert_eq!(old.read(), Err(End::Cut));
    }
    fresh.shake_hands();
    // Once the turn is over.
    drop(server.handle().list());
    let stats = server.handle().stats();
    assert_eq!((stats.turned_away, stats.tls), (2, 0), "{stats:?}");
    server.handle().shut_down();
    server.join().unwrap();
}

#[test]
fn whoever_speaks_v0_alone_is_shaken_hands_with_however_late() {
    let (server, authority, release, stands) = held(Wires::V0);
    let mut holder = Peer::connect(server.local_addrs()[0], &authority);
    holder.data(b"stand still");
    stands.recv_timeout(PATIENCE).unwrap();
    let mut old = begin(&server, &authority);
    pass(LONG);
    release.send(()).unwrap();
    old.shake_hands();
    server.handle().shut_down();
    server.join().unwrap();
}
