//! Clients with TLS: those that have waited too long, and timeouts.

mod certificates;

use core::net::IpAddr;
use core::time::Duration;

use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{Authority, BEAT, data, hello, ms, timeout};

use super::{v0, v1};
use crate::Reason;
use crate::server::limits::{Admission, Limits};
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, ServerConfig, SessionId};
use crate::tls::{
    ClientTls, MIN_READ_LEN, Received, ServerTls, SharedServerTls, Tickets, TlsError, TlsFault,
    TlsSession,
};
use crate::toy::Toy;

/// Longer than they may have waited.
const LONG: Duration = ms(2_400);

/// A server, and the session of a client that has said nothing yet.
fn secured(config: ServerConfig) -> (Rig, impl Fn() -> TlsSession) {
    secured_by(|tls| config.tls(tls))
}

fn secured_by(
    config: impl FnOnce(SharedServerTls) -> ServerConfig,
) -> (Rig, impl Fn() -> TlsSession) {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let server = ServerTls::new(&files.certificate, &files.key).load().unwrap();
    let client = ClientTls::new().roots(authority.roots()).load().unwrap();
    let session =
        move || TlsSession::client(&client, "localhost", &mut Tickets::default()).unwrap();
    (Rig::start(config(server)), session)
}

/// A server, and the first word of a client.
fn start(protocols: Protocols) -> (Rig, Vec<u8>) {
    let (rig, session) =
        secured(v1().protocols(protocols).admission(Admission::default().stale_after(ms(2_000))));
    (rig, Client::new(&Toy::new(), session()).records(b""))
}

struct Client {
    socket: Toy,
    tls: TlsSession,
    /// Between its end of the socket and TLS.
    protocol: Toy,
}

impl Client {
    fn new(socket: &Toy, tls: TlsSession) -> Self {
        Self { socket: socket.clone(), tls, protocol: socket.another() }
    }

    /// What it has to say: this, and what TLS says first.
    fn records(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.flush(&mut self.protocol).unwrap();
        if !plain.is_empty() {
            assert_eq!(self.tls.write(&mut self.protocol, plain).unwrap(), plain.len());
        }
        self.protocol.take_written()
    }

    /// It has shaken hands, and the end of that is returned.
    fn shaken_hands(&mut self, rig: &mut Rig) -> Vec<u8> {
        while self.tls.is_handshaking() {
            let records = self.records(b"");
            self.socket.send(&records);
            rig.run();
            self.protocol.send(&self.socket.take_written());
            let received = self.tls.read(&mut self.protocol, &mut vec![0; MIN_READ_LEN]).unwrap();
            assert!(matches!(received, Received::Bytes(_)), "{received:?}");
        }
        self.records(b"")
    }

    /// A client of v0 that is online.
    fn online(rig: &mut Rig, tls: TlsSession) -> (Self, SessionId) {
        let mut client = Self::new(&rig.door.connect(), tls);
        let last = client.shaken_hands(rig);
        client.socket.send(&last);
        rig.run();
        (client, rig.told_online().0)
    }

    /// So many bytes come at a time, and so much time passes after each.
    fn trickle(&self, rig: &mut Rig, bytes: &[u8], len: usize, pause: Duration) {
        for piece in bytes.chunks(len) {
            self.socket.send(piece);
            rig.pass(pause);
        }
    }
}

#[test]
fn a_handshake_that_has_waited_too_long_is_not_begun_and_a_fresh_one_is() {
    let (mut rig, hello) = start(Protocols::Any);
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
    assert_eq!(rig.count("rejected"), 2);
}

/// Most of the work is done then, and the client comes back if it is for nothing.
#[test]
fn a_handshake_that_was_begun_is_ended_however_late() {
    let config = v1().admission(Admission::default().stale_after(ms(2_000)));
    let (mut rig, session) = secured(config);
    let mut client = Client::new(&rig.door.connect(), session());
    let last = client.shaken_hands(&mut rig);
    client.socket.send(&last);
    let hello = client.records(&hello());
    client.socket.send(&hello);
    rig.toy.pass(LONG);
    rig.run();
    rig.told_online();
    assert_eq!(rig.count("rejected"), 0);
}

#[test]
fn pending_clients_that_tls_has_answered_are_dropped_last_and_new_ones_wait_in_the_kernel() {
    let (mut rig, session) = secured(v1().admission(Admission::default().max_pending(2)));
    let mut answered = Client::new(&rig.door.connect(), session());
    let last = answered.shaken_hands(&mut rig);
    let silent = rig.door.connect();
    rig.run();
    let mut new = Client::new(&rig.door.connect(), session());
    rig.pass(ms(390));
    assert_eq!((silent.is_dropped(), rig.count("accepted")), (false, 2));
    rig.pass(ms(10));
    assert_eq!((silent.is_dropped(), rig.count("accepted")), (true, 3));
    // The one that has waited longest can still say HELLO, and then there is room.
    new.shaken_hands(&mut rig);
    let hello = answered.records(&hello());
    answered.socket.send(&last);
    answered.socket.send(&hello);
    rig.run();
    rig.told_online();
    assert_eq!(rig.count("rejected"), 1);
    // Two that are answered and say nothing more have a second.
    Client::new(&rig.door.connect(), session()).shaken_hands(&mut rig);
    rig.door.connect();
    rig.pass(ms(990));
    assert_eq!((new.socket.is_dropped(), rig.count("accepted")), (false, 4));
    rig.pass(ms(10));
    assert_eq!((new.socket.is_dropped(), rig.count("accepted")), (true, 5));
}

#[test]
fn a_client_that_speaks_v0_alone_is_shaken_hands_with_however_late() {
    let (mut rig, hello) = start(Protocols::V0);
    let old = rig.door.connect();
    old.send(&hello);
    rig.toy.pass(LONG);
    rig.run();
    assert!(!old.take_written().is_empty());
    assert_eq!(rig.count("rejected"), 0);
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    let (mut rig, session) = secured_by(|tls| v0().tls_with_timeout(tls, ms(2_000)));
    let silent = rig.door.connect();
    let mut half = Client::new(&rig.door.connect(), session());
    let hello = half.records(b"");
    half.socket.send(&hello);
    // A byte now and then does not help.
    let mut slow = Client::new(&rig.door.connect(), session());
    let hello = slow.records(b"");
    slow.trickle(&mut rig, &hello[..100], 1, Duration::from_micros(19_990));
    let left = [&silent, &half.socket, &slow.socket].map(|socket| socket.state().is_shutdown);
    assert_eq!((left, rig.count("tls")), ([false; 3], 0));
    rig.pass(ms(6));
    let left = [&silent, &half.socket, &slow.socket].map(|socket| socket.state().is_shutdown);
    assert_eq!((left, rig.count("tls")), ([true; 3], 3));
    rig.expect_nothing();
    // Others are not concerned.
    Client::online(&mut rig, session());
}

#[test]
fn tls_begins_behind_a_balancers_header_and_so_does_its_time() {
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 7400\r\n";
    let here = IpAddr::from([127, 0, 0, 1]);
    let (mut rig, session) =
        secured_by(|tls| v0().tls_with_timeout(tls, ms(2_000)).proxy_from([here.into()]));
    let mut client = Client::new(&rig.door.connect(), session());
    rig.pass(ms(5_000));
    client.socket.send(HEADER);
    rig.pass(ms(1_990));
    let last = client.shaken_hands(&mut rig);
    client.socket.send(&last);
    rig.run();
    assert!(
        matches!(rig.next(), Event::Online { peer, .. } if peer.to_string() == "192.0.2.7:4711")
    );
    // The first bytes of TLS come with the header.
    let mut client = Client::new(&rig.door.connect(), session());
    let first = client.records(b"");
    client.socket.send(&[HEADER, &first].concat());
    rig.run();
    client.protocol.send(&client.socket.take_written());
    client.tls.read(&mut client.protocol, &mut vec![0; MIN_READ_LEN]).unwrap();
    let last = client.records(b"");
    client.socket.send(&last);
    rig.run();
    assert!(matches!(rig.next(), Event::Online { .. }));
    let slow = rig.door.connect();
    rig.pass(ms(1_000));
    slow.send(HEADER);
    rig.pass(ms(1_990));
    assert_eq!(rig.count("tls"), 0);
    rig.pass(ms(14));
    assert_eq!((rig.count("tls"), rig.count("proxy")), (1, 0));
}

#[test]
fn the_time_for_the_first_frame_begins_after_the_handshake() {
    let limits = Limits::default().handshake_timeout(Some(ms(400)));
    let (mut rig, session) = secured(v1().limits(limits));
    let mut client = Client::new(&rig.door.connect(), session());
    rig.pass(ms(300));
    let last = client.shaken_hands(&mut rig);
    client.socket.send(&last);
    rig.pass(ms(399));
    assert!(!client.socket.state().is_closed);
    rig.pass(ms(5));
    assert!(client.socket.state().is_closed);
    assert_eq!(rig.count("no_first_frame"), 1);
}

#[test]
fn a_record_has_as_much_time_as_a_frame_and_the_next_one_too() {
    let (mut rig, session) = secured(v0().limits(Limits::default().frame_timeout(Some(ms(2_000)))));
    let (mut client, id) = Client::online(&mut rig, session());
    let beats: Vec<u8> = (0..40).flat_map(|_| client.records(&BEAT)).collect();
    // Each piece ends in the middle of a record.
    client.trickle(&mut rig, &beats, beats.len() / 40 + 1, ms(110));
    rig.expect_nothing();
    let record = client.records(&data(&[0; 1_000]));
    client.trickle(&mut rig, &record[..100], 1, ms(19));
    rig.expect_nothing();
    rig.pass(ms(105));
    assert_eq!(rig.offline(id), (Reason::Tls(TlsError(TlsFault::TooSlow)), 40));
}

#[test]
fn a_part_of_a_record_is_life() {
    let limits = Limits::default().frame_timeout(None);
    let (mut rig, session) = secured(v0().limits(limits).policy(timeout(2_000)));
    let (mut client, id) = Client::online(&mut rig, session());
    let record = client.records(&data(b"slowly but surely"));
    client.trickle(&mut rig, &record, 4, ms(700));
    rig.expect_data(id, b"slowly but surely");
    rig.expect_nothing();
}

#[test]
fn an_end_that_waits_for_a_slow_application_is_no_silence() {
    let (mut rig, session) = secured(v0().policy(timeout(2_000)));
    let (mut client, id) = Client::online(&mut rig, session());
    // Together, so that the end is known when the data is handed over. The socket stays open.
    let last_words = client.records(&data(b"last words"));
    client.tls.close();
    let goodbye = client.records(b"");
    client.socket.send(&[last_words, goodbye].concat());
    rig.leave_room(1);
    rig.pass(ms(2_500));
    rig.expect_data(id, b"last words");
    rig.expect_nothing();
    rig.leave_room(usize::MAX);
    rig.run();
    assert_eq!(rig.offline(id).0, Reason::ClosedByPeer);
}

#[test]
fn a_client_that_finds_the_server_full_is_told_so_after_its_handshake() {
    let (mut rig, session) = secured(v1().admission(Admission::default().max_sessions(0)));
    let mut client = Client::new(&rig.door.connect(), session());
    let last = client.shaken_hands(&mut rig);
    let hello = client.records(&hello());
    client.socket.send(&[last, hello].concat());
    rig.run();
    client.protocol.send(&client.socket.take_written());
    let mut buffer = vec![0; MIN_READ_LEN];
    let received = client.tls.read(&mut client.protocol, &mut buffer).unwrap();
    let Received::Bytes(len) = received else { panic!("{received:?}") };
    let bye = Bye::new(ByeCode::Full, RetryHint::AtWill);
    let bye = bye.detail("maximum number of sessions reached").encode();
    assert!(buffer[..len].ends_with(&bye), "{:?}", &buffer[..len]);
    // One that does not get so far has its second, too.
    let slow = Client::new(&rig.door.connect(), session());
    rig.run();
    assert!(!slow.socket.is_dropped());
    rig.pass(ms(1_000));
    assert!(slow.socket.is_dropped());
    assert_eq!((rig.count("refused"), rig.count("tls")), (2, 0));
}
