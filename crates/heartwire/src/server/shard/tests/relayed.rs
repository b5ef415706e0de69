//! Clients behind a balancer: their addresses, their limits, and headers that are not as they
//! should be.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU32;

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{BEAT, Got, Resumable, hello, hello_as, ms, timeout};

use super::v1;
use crate::server::limits::{Admission, Limits, Rate, Refusal};
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, Resume, ServerConfig};
use crate::toy::Toy;

const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A server behind balancers in 10.0.0.0/8, whose clients have no timeout of their own.
fn behind(config: ServerConfig) -> ServerConfig {
    config.proxy_from(["10.0.0.0/8".parse().unwrap()])
}

fn of_address(sessions: u32) -> Admission {
    Admission::default().max_per_address(NonZeroU32::new(sessions)).accept_rate_per_address(None)
}

/// The header of a client of version 1.
fn header(client: &str) -> Vec<u8> {
    let SocketAddr::V4(client) = client.parse().unwrap() else { panic!("{client}") };
    format!("PROXY TCP4 {} 10.0.0.1 {} 7400\r\n", client.ip(), client.port()).into_bytes()
}

/// A balancer's connection that has sent this.
fn relayed(rig: &mut Rig, first: &[u8]) -> Toy {
    let socket = rig.door.connect_from(BALANCER.into());
    socket.send(first);
    rig.run();
    socket
}

/// A client of v1 behind the balancer that is online.
#[track_caller]
fn online(rig: &mut Rig, client: &str) -> Toy {
    let socket = relayed(rig, &[header(client), hello()].concat());
    assert!(matches!(socket.got_but_beats()[..], [Got::Welcome(_)]));
    assert_eq!(told_online(rig), client);
    socket
}

/// The address of a client that is online.
#[track_caller]
fn told_online(rig: &mut Rig) -> String {
    let event = rig.next();
    let Event::Online { peer, .. } = event else { panic!("{event:?}") };
    peer.to_string()
}

/// Asserts that all counts are right: a shard checks its own at its end.
#[track_caller]
fn end_all(mut rig: Rig) {
    rig.handle.shutdown();
    rig.pass(ms(10_000));
    let stats = rig.handle.stats();
    let ends = ["closed_by_peer", "protocol_error", "shutdown", "rejected", "proxy", "tls"];
    let ended: u64 = ends.iter().map(|name| stats.get(name).unwrap()).sum();
    assert_eq!((rig.handle.count(), stats.get("accepted")), (0, Some(ended)), "{stats:?}");
}

#[test]
fn client_behind_a_balancer_has_its_own_address_on_either_protocol() {
    let mut rig = Rig::start(behind(v1().threads(2)));
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f"[..],
        &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 1, 4, 0, 0],
    ];
    let v2 = v2.concat();
    // Of four clients each shard has two.
    for first in [header("192.0.2.7:4711"), v2] {
        for frame in [BEAT.to_vec(), hello()] {
            let socket = rig.door.connect_from(BALANCER.into());
            for byte in [&first[..], &frame].concat() {
                rig.expect_nothing();
                socket.send(&[byte]);
            }
            rig.run();
            assert_eq!(told_online(&mut rig), "192.0.2.7:4711");
        }
    }
    assert_eq!(rig.handle.count(), 4);
    end_all(rig);
}

#[test]
fn client_of_a_server_that_speaks_v0_alone_is_online_with_its_header() {
    let mut rig = Rig::start(behind(v1().protocols(Protocols::V0)));
    let socket = relayed(&mut rig, b"PROXY TCP4");
    rig.expect_nothing();
    assert!(socket.take_written().is_empty());
    socket.send(b" 192.0.2.7 10.0.0.1 4711 7400\r\n");
    rig.run();
    assert_eq!(told_online(&mut rig), "192.0.2.7:4711");
    end_all(rig);
}

#[test]
fn limits_of_an_address_are_the_clients_and_not_the_balancers() {
    let mut rig = Rig::start(behind(v1().admission(of_address(2))));
    let mut clients = Vec::new();
    for address in 1..=4 {
        for port in 1..=2 {
            clients.push(online(&mut rig, &format!("192.0.2.{address}:{port}")));
        }
    }
    // One too many is told so, and has a second from its header on.
    let refused = relayed(&mut rig, b"");
    rig.pass(ms(1_500));
    refused.send(&header("192.0.2.1:3"));
    rig.pass(ms(900));
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::AddressSessions });
    refused.send(&hello_as("anybody", None));
    rig.run();
    let detail = "too many sessions from this address".to_owned();
    assert_eq!(refused.got(), [Got::Bye(ByeCode::Full, RetryHint::AtWill, detail)]);
    refused.close();
    // The balancer's own connections are counted for no address.
    for _ in 0..5 {
        let own = relayed(&mut rig, &[b"PROXY UNKNOWN\r\n", &hello()[..]].concat());
        assert!(matches!(own.got_but_beats()[..], [Got::Welcome(_)]));
        assert!(told_online(&mut rig).starts_with("10.0.0.1:"));
    }
    // Nor is the address of a client that has not told it.
    let silent: Vec<_> = (0..5).map(|_| relayed(&mut rig, b"")).collect();
    assert!(!silent.iter().any(Toy::is_dropped));
    clients.swap_remove(0).close();
    rig.run();
    assert!(matches!(rig.next(), Event::Offline { .. }));
    rig.pass(ms(1_000));
    clients.push(relayed(&mut rig, &[header("192.0.2.1:3"), hello()].concat()));
    assert!(matches!(rig.next(), Event::Accepting { refused: 1 }));
    assert_eq!(told_online(&mut rig), "192.0.2.1:3");
    assert_eq!((rig.count("refused"), rig.count("rejected_full")), (1, 1));
    end_all(rig);
}

#[test]
fn accept_rate_of_an_address_is_the_clients_and_that_of_all_counts_at_once() {
    let admission = Admission::default().accept_rate_per_address(Some(Rate::of(1, 2)));
    let mut rig = Rig::start(behind(v1().admission(admission.accept_rate(Some(Rate::of(1, 5))))));
    online(&mut rig, "192.0.2.1:1");
    online(&mut rig, "192.0.2.1:2");
    let fast = relayed(&mut rig, &header("192.0.2.1:3"));
    assert!(fast.is_dropped() && fast.state().resets);
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::ArrivalRate });
    online(&mut rig, "192.0.2.2:1");
    // The fifth may be silent, and then the rate of all is used up.
    assert!(!relayed(&mut rig, b"").is_dropped());
    let sixth = relayed(&mut rig, b"");
    assert!(sixth.is_dropped() && sixth.state().resets);
    assert_eq!((rig.count("refused"), rig.count("accepted")), (2, 5));
    end_all(rig);
}

#[test]
fn header_from_an_address_that_is_not_listed_is_no_frame() {
    let mut rig = Rig::start(behind(v1()));
    let socket = rig.door.connect_from(Ipv4Addr::new(11, 0, 0, 1).into());
    socket.send(&[header("192.0.2.7:1"), hello()].concat());
    rig.run();
    assert!(socket.is_dropped());
    let counts = ["unknown_type", "proxy", "hellos"].map(|name| rig.count(name));
    assert_eq!(counts, [1, 0, 0]);
    rig.expect_nothing();
}

#[test]
fn balancers_connection_without_a_header_is_closed_with_its_first_byte() {
    let mut rig = Rig::start(behind(v1()));
    for first in [&b"\x04"[..], &hello(), b"PROXY TCP4 1 2 3 4\r\n", b"PROXY UNKNOWN\n"] {
        assert!(relayed(&mut rig, first).is_dropped(), "{}", first.escape_ascii());
    }
    assert_eq!((rig.count("proxy"), rig.count("hellos")), (4, 0));
    rig.expect_nothing();
    // A health check that only connects.
    let check = relayed(&mut rig, b"");
    check.close();
    rig.run();
    assert!(check.is_dropped());
    assert_eq!(rig.count("closed_by_peer"), 1);
    end_all(rig);
}

#[test]
fn header_has_the_time_of_the_handshake_and_the_first_frame_has_it_after_that() {
    let limits = Limits::default().handshake_timeout(Some(ms(400)));
    let mut rig = Rig::start(behind(v1().limits(limits)));
    let silent = relayed(&mut rig, b"");
    let slow = relayed(&mut rig, b"PROXY");
    for byte in header("192.0.2.7:1").iter().skip(5).take(19) {
        rig.pass(ms(20));
        assert!(!silent.is_dropped() && !slow.is_dropped());
        slow.send(&[*byte]);
    }
    rig.pass(ms(24));
    assert!(silent.is_dropped() && slow.is_dropped());
    assert_eq!((rig.count("proxy"), rig.count("no_first_frame")), (2, 0));
    let late = relayed(&mut rig, b"");
    rig.pass(ms(390));
    late.send(&header("192.0.2.7:1"));
    rig.pass(ms(390));
    assert!(!late.is_dropped());
    rig.pass(ms(20));
    assert!(late.is_dropped());
    assert_eq!((rig.count("proxy"), rig.count("no_first_frame")), (2, 1));
    // Without a limit for clients there is one for balancers.
    let limits = Limits::default().handshake_timeout(None);
    let mut rig = Rig::start(behind(v1().policy(timeout(60_000)).limits(limits)));
    let silent = relayed(&mut rig, b"");
    rig.pass(ms(4_990));
    assert!(!silent.is_dropped());
    rig.pass(ms(20));
    assert!(silent.is_dropped());
}

#[test]
fn header_of_a_refused_client_is_read_and_the_client_is_told() {
    let mut rig = Rig::start(behind(v1().admission(of_address(1).max_sessions(1))));
    let inside = online(&mut rig, "192.0.2.7:1");
    let refused = relayed(&mut rig, &[header("192.0.2.7:2"), hello()].concat());
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    let detail = "maximum number of sessions reached".to_owned();
    assert_eq!(refused.got(), [Got::Bye(ByeCode::Full, RetryHint::AtWill, detail)]);
    assert_eq!((rig.handle.count(), rig.count("refused"), rig.count("accepted")), (1, 1, 1));
    drop(inside);
    end_all(rig);
}

/// Nothing is encrypted between it and the server, whatever the balancer's own machine is to it.
#[test]
fn session_behind_a_balancer_elsewhere_is_not_resumable_in_the_clear() {
    let resumable = |balancer: IpAddr, client: &str| {
        let config =
            v1().proxy_from([BALANCER, Ipv4Addr::LOCALHOST].map(|ip| IpAddr::V4(ip).into()));
        let mut rig = Rig::start(config.resume(Resume::new()));
        let socket = rig.door.connect_from(balancer);
        socket.send(&[header(client), Resumable::hello().encode()].concat());
        rig.run();
        rig.told_online().1.unwrap().grace.is_some()
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(resumable(here, "127.0.0.1:1"));
    assert!(!resumable(here, "192.0.2.7:1"));
    assert!(!resumable(BALANCER.into(), "127.0.0.1:1"));
}
