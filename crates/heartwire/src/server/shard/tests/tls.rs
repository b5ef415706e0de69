//! Clients that speak TLS, and have waited for so long that they are about to leave.

use core::time::Duration;

use heartwire_testkit::{Authority, ms};

use super::v1;
use crate::server::Wires;
use crate::server::rig::Rig;
use crate::tls::{ClientTls, ServerTls, TlsSession};
use crate::toy::Toy;

/// Longer than they may have waited.
const LONG: Duration = ms(2_400);

/// A server, and the first word of a client.
fn start(wires: Wires) -> (Rig, Vec<u8>) {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let server = ServerTls::new(&files.certificate, &files.key).load().unwrap();
    let client = ClientTls::new().roots(authority.roots()).load().unwrap();
    let mut toy = Toy::new();
    TlsSession::client(&client, "localhost").unwrap().flush(&mut toy).unwrap();
    let hello = toy.take_written();
    (Rig::start(v1().wires(wires).tls(server).stale_after(ms(2_000))), hello)
}

#[test]
fn a_handshake_that_has_waited_too_long_is_not_begun_and_a_fresh_one_is() {
    let (mut rig, hello) = start(Wires::Any);
    // One that was accepted before, and one that the kernel has.
    let before = rig.door.connect();
    rig.run();
    let after = rig.door.connect();
    [&before, &after].iter().for_each(|client| client.send(&hello));
    rig.toy.pass(LONG);
    let fresh = rig.door.connect();
    fresh.send(&hello);
    rig.run();
    for old in [before, after] {
        assert!(old.state().is_closed);
        assert!(old.take_written().is_empty(), "not a byte of a handshake");
    }
    assert!(!fresh.take_written().is_empty());
    assert_eq!(rig.handle.stats().turned_away, 2);
}

#[test]
fn a_client_that_speaks_v0_alone_is_shaken_hands_with_however_late() {
    let (mut rig, hello) = start(Wires::V0);
    let old = rig.door.connect();
    old.send(&hello);
    rig.toy.pass(LONG);
    rig.run();
    assert!(!old.take_written().is_empty());
    assert_eq!(rig.handle.stats().turned_away, 0);
}
