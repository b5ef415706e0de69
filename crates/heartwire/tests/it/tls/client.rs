//! The library's client with TLS, against the library's server with TLS.

use core::ops::Deref;
use std::io::{Read, Write};
use std::net::TcpListener;

use heartwire::client::{ClientConfig, ConnectError, Event, Reconnect};
use heartwire::server::{self, Protocols, ServerConfig};
use heartwire::tls::SharedClientTls;
use heartwire::{BackoffPolicy, Reason};
use heartwire_testkit::{ClientRig, DATA, HEART, Listener, frame, ms, timeout};

use super::certificates::{Authority, Trust as _};
use super::peer::{Peer, Rig};

/// A client whose attempts are left out of its events.
struct Side(ClientRig);

impl Deref for Side {
    type Target = ClientRig;

    fn deref(&self) -> &ClientRig {
        &self.0
    }
}

impl Side {
    fn start(config: ClientConfig) -> Self {
        Self(ClientRig::start(config))
    }

    #[track_caller]
    fn next(&self) -> Event {
        loop {
            match self.0.next() {
                Event::Connecting { .. } | Event::Waiting { .. } => {}
                event => return event,
            }
        }
    }

    #[track_caller]
    fn expect_online(&self) {
        let event = self.next();
        assert!(matches!(event, Event::Online { .. }), "{event}");
    }

    /// The attempt fails for a reason of TLS, which is shown like this.
    #[track_caller]
    fn expect_no_tls(&self) -> (&'static str, String) {
        match self.next() {
            Event::Failed { error: error @ ConnectError::Tls { error: tls, .. } } => {
                (tls.name(), error.to_string())
            }
            other => panic!("no failure of TLS, but {other}"),
        }
    }
}

fn config(rig: &Rig) -> ClientConfig {
    to(rig, &rig.client)
}

fn to(rig: &Rig, tls: &SharedClientTls) -> ClientConfig {
    ClientConfig::new(rig.addr().to_string()).tls(tls.clone()).reconnect(None)
}

fn any_protocol(config: ServerConfig) -> ServerConfig {
    config.protocols(Protocols::Any)
}

#[test]
fn both_protocols_work_over_tls_and_each_end_hears_the_others_goodbye() {
    for (is_v1, goodbye) in [(false, "closed_by_peer"), (true, "bye")] {
        for is_kicked in [false, true] {
            let mut rig = Rig::echo(any_protocol);
            let side = Side::start(if is_v1 { config(&rig) } else { config(&rig).v0() });
            side.expect_online();
            let id = rig.online().0;
            for body in [&b"hello"[..], &[7; 60_000], b"x"] {
                side.send(body);
                rig.expect_data(id, body);
                side.expect_data(body);
            }
            if is_kicked {
                rig.handle().kick(id).unwrap();
                assert_eq!(side.offline().name(), goodbye);
                assert_eq!(rig.offline(id), Reason::Kicked);
            } else {
                side.client().close();
                assert_eq!(side.offline(), Reason::Shutdown);
                assert_eq!(rig.offline(id).name(), goodbye);
            }
            rig.finish();
        }
    }
}

#[test]
fn a_long_message_arrives_whole_through_a_narrow_path() {
    let mut rig = Rig::echo(any_protocol);
    let side = Side::start(config(&rig).max_queue(4_000_000));
    side.expect_online();
    let id = rig.online().0;
    let bodies: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 60_000]).collect();
    for body in &bodies {
        side.send(body);
    }
    for body in &bodies {
        rig.expect_data(id, body);
    }
    for body in &bodies {
        side.expect_data(body);
    }
    // Written to the last byte before the end.
    for body in &bodies {
        side.send(body);
    }
    side.client().close();
    for body in &bodies {
        rig.expect_data(id, body);
    }
    assert_eq!(rig.offline(id).name(), "bye");
    rig.finish();
}

#[cfg(target_os = "linux")]
#[test]
fn data_wakes_a_server_that_lets_beats_lie() {
    let mut rig = Rig::echo(|config| config.protocols(Protocols::V1).coalesce(8));
    let side = Side::start(config(&rig));
    let Event::Online { welcome: Some(welcome), .. } = side.next() else { panic!("not online") };
    // Eight beats of 40 bytes, each with its record, do not fill what this does with its own.
    let filled = welcome.contract.wake_bytes + 22;
    assert_eq!(filled, 8 * (40 + 22) + 1);
    let id = rig.online().0;
    for _ in 0..20 {
        side.send(b"!");
        // The deadline, which would bring it too, is further away than a test waits.
        rig.expect_data(id, b"!");
        side.expect_data(b"!");
    }
    rig.finish();
}

#[test]
fn an_address_of_ipv6_is_a_name_too() {
    let rig = Rig::start(|config| any_protocol(config).also_listen("[::1]:0".parse().unwrap()));
    let target = rig.server().local_addrs()[1].to_string();
    assert!(target.starts_with("[::1]:"));
    let side = Side::start(ClientConfig::new(target).tls(rig.client.clone()));
    side.expect_online();
}

/// A client of the library that has begun with a server made by hand.
fn begun(change: impl FnOnce(ClientConfig) -> ClientConfig) -> (Side, Peer) {
    let authority = Authority::new();
    let listener = Listener::new();
    let tls = authority.client().load().unwrap();
    let side = Side::start(change(listener.config().tls(tls).reconnect(None)));
    let peer = Peer::serve(listener.accept().stream, &authority.issue(&["127.0.0.1"]));
    (side, peer)
}

/// The same, online.
fn by_hand(change: impl FnOnce(ClientConfig) -> ClientConfig) -> (Side, Peer) {
    let (side, mut peer) = begun(change);
    peer.shake_hands();
    side.expect_online();
    (side, peer)
}

#[test]
fn a_goodbye_is_heard_though_the_socket_stays_open() {
    let (side, mut peer) = by_hand(|config| config);
    let bytes = [peer.records(&frame(DATA, b"last words")), peer.goodbye()].concat();
    peer.stream.write_all(&bytes).unwrap();
    side.expect_data(b"last words");
    assert_eq!(side.offline(), Reason::ClosedByPeer);
}

#[test]
fn bytes_with_the_end_of_the_handshake_are_not_lost() {
    let (side, mut peer) = begun(|config| config);
    // A server that speaks first says this in the same write in which it ends its handshake.
    peer.read().unwrap();
    peer.data(b"welcome");
    side.expect_online();
    side.expect_data(b"welcome");
}

#[test]
fn a_connection_that_is_cut_is_not_taken_for_one_that_was_closed() {
    let (side, peer) = by_hand(|config| config);
    peer.hang_up();
    assert_eq!(side.offline(), Reason::NoGoodbye);
}

#[test]
fn a_message_costs_one_record() {
    let (side, mut peer) = by_hand(|config| config);
    assert_eq!(peer.hear(8), frame(HEART, &[]), "a first beat, whatever the policy");
    side.send(b"hello");
    let mut stream = &peer.stream;
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
    assert_eq!(header.len() + len, frame(DATA, b"hello").len() + 22);
}

#[test]
fn the_end_of_a_record_is_written_though_nothing_follows_it() {
    const LEN: usize = 16_000;
    // Messages until one is not taken, or so many; how many were taken.
    let fill = |side: &Side, most: usize| {
        for message in 0..most {
            side.send(&[7; LEN]);
            if side.wait_within(ms(2_000), side.client().flush()).is_none() {
                return message;
            }
        }
        most
    };
    let (side, _peer) = by_hand(|config| config.max_queue(1_000_000));
    // TLS took the last of them, and the kernel most likely only a part of that.
    let taken = fill(&side, usize::MAX);
    assert!(taken > 2);
    let (side, mut peer) = by_hand(|config| config.max_queue(1_000_000));
    let taken = fill(&side, taken);
    peer.hear(8 + taken * (8 + LEN));
}

#[test]
fn a_client_without_the_certificate_it_needs_learns_so() {
    let personnel = Authority::new();
    let mut rig =
        Rig::start_with(|tls| tls.require_client_certificates(personnel.roots()), any_protocol);
    let side = Side::start(config(&rig));
    let (fault, message) = side.expect_no_tls();
    assert_eq!(fault, "tls_refused");
    assert!(message.starts_with("no TLS with 127.0.0.1:"), "{message}");
    assert!(message.ends_with("the peer requires a certificate from us (alert 116)"), "{message}");
    // The application did not hear of it.
    rig.wait_for_faults(1);
    rig.expect_nothing();
    let files = personnel.issue(&["device 7"]);
    let tls = rig.client_tls().certificate(&files.certificate, &files.key).load().unwrap();
    let side = Side::start(to(&rig, &tls));
    side.expect_online();
    rig.online();
    rig.finish();
}

#[test]
fn a_client_without_tls_learns_that_the_server_has_it() {
    let rig = Rig::start(any_protocol);
    let side = Side::start(ClientConfig::new(rig.addr().to_string()).reconnect(None));
    let (fault, message) = side.expect_no_tls();
    assert_eq!(fault, "tls_expected");
    assert!(message.ends_with("the peer requires TLS, and this side does not use it"), "{message}");

    let plain = ClientConfig::new(rig.addr().to_string()).reconnect(None).v0();
    let side = Side::start(plain);
    side.expect_online();
    let Reason::Tls(error) = side.offline() else { panic!("another reason") };
    assert_eq!(error.name(), "tls_expected");
    rig.wait_for_faults(2);
    rig.finish();
}

#[test]
fn a_client_with_tls_learns_that_the_server_has_none() {
    let (plain, _events) = server::Server::start_with_events(
        ServerConfig::new("127.0.0.1:0".parse().unwrap()).policy(timeout(60_000)),
    )
    .unwrap();
    let tls = Authority::new().client().load().unwrap();
    let config = ClientConfig::new(plain.local_addrs()[0].to_string()).tls(tls);
    let side = Side::start(config.reconnect(None));
    let (fault, message) = side.expect_no_tls();
    assert_eq!(fault, "tls_unfinished");
    assert!(message.contains("perhaps it does not speak TLS on this port"), "{message}");
}

#[test]
fn a_handshake_that_does_not_come_about_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = Authority::new().client().load().unwrap();
    let config = ClientConfig::new(listener.local_addr().unwrap().to_string())
        .tls(tls)
        .handshake_timeout(ms(300))
        .reconnect(None);
    let started = std::time::Instant::now();
    let side = Side::start(config);
    let (fault, message) = side.expect_no_tls();
    assert_eq!(fault, "tls_too_slow");
    assert!(message.ends_with("not finished within 300ms"), "{message}");
    assert!(started.elapsed() >= ms(300));
}

#[test]
fn a_target_that_no_certificate_can_be_for_is_not_tried_again() {
    let rig = Rig::start(any_protocol);
    // It resolves to the loopback, but is neither an IP address as in certificates nor a name.
    let config = ClientConfig::new(format!("127.1:{}", rig.addr().port()));
    let side = Side::start(config.tls(rig.client.clone()));
    let (fault, message) = side.expect_no_tls();
    assert_eq!(fault, "tls_local");
    assert!(message.contains("\"127.1\" is not the name or the address of a server"), "{message}");
    let event = side.next();
    assert!(matches!(event, Event::Closed), "{event}");
    rig.handle().shutdown();
}

#[test]
fn a_certificate_that_is_renewed_on_disk_is_shown_at_the_next_attempt() {
    let (personnel, others) = (Authority::new(), Authority::new());
    let mut rig =
        Rig::start_with(|tls| tls.require_client_certificates(personnel.roots()), any_protocol);
    let files = others.issue(&["device 7"]);
    let tls = rig.client_tls().certificate(&files.certificate, &files.key).load().unwrap();
    let retry = Reconnect::new(BackoffPolicy::fixed(ms(50)));
    let side = Side::start(to(&rig, &tls).reconnect(retry));
    // With an alert, or with a reset where the server was faster.
    assert!(matches!(side.next(), Event::Failed { .. }));
    let renewed = personnel.issue(&["device 7"]);
    // One after the other, so that an attempt can find two that do not match, and uses the old
    // ones.
    std::fs::copy(&renewed.certificate, &files.certificate).unwrap();
    assert!(matches!(side.next(), Event::Failed { .. }));
    std::fs::copy(&renewed.key, &files.key).unwrap();
    let comes_in = (0..20).any(|_| matches!(side.next(), Event::Online { .. }));
    assert!(comes_in, "it shows the old one");
    rig.online();
    rig.finish();
}
