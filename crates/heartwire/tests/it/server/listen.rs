//! Where a server listens.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::net::TcpListener;

use heartwire::server::{Server, ServerError};
use heartwire_testkit::{Peer, ServerRig};

use super::{config, listening};

#[test]
fn a_server_serves_ipv4_and_ipv6_at_once() {
    for reuse_port in [true, false] {
        let config = listening("127.0.0.1:0").also_listen("[::1]:0".parse().unwrap());
        let mut rig = ServerRig::echo(config.threads(2).reuse_port(reuse_port));
        let addrs = rig.server().local_addrs().to_vec();
        assert!(matches!(addrs[..], [SocketAddr::V4(_), SocketAddr::V6(_)]), "{addrs:?}");
        for addr in addrs.iter().cycle().take(8) {
            let mut peer = Peer::connect(*addr);
            let id = rig.expect_online(&peer);
            assert_eq!(peer.addr().is_ipv6(), addr.is_ipv6());
            rig.expect_echo(&mut peer, id);
            drop(peer);
            rig.expect_offline(id);
        }
        rig.finish();
    }
}

#[test]
fn all_addresses_of_ipv6_stand_for_those_of_ipv4_too() {
    for reuse_port in [true, false] {
        let mut rig = ServerRig::echo(listening("[::]:0").threads(2).reuse_port(reuse_port));
        let port = rig.addr().port();
        for addr in ["127.0.0.1", "::1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap()) {
            let mut peer = Peer::connect((addr, port).into());
            // By its own address, not the mapped one.
            let id = rig.expect_online(&peer);
            rig.expect_echo(&mut peer, id);
            drop(peer);
            rig.expect_offline(id);
        }
        rig.finish();
    }
}

#[test]
fn all_addresses_of_ipv6_leave_an_ipv4_address_with_their_port_alone() {
    let mut other = ServerRig::echo(config());
    let port = other.addr().port();
    expect_refused(listening(&format!("[::]:{port}")), (Ipv6Addr::UNSPECIFIED, port).into());
    let beside: SocketAddr = (Ipv4Addr::new(127, 0, 0, 2), port).into();
    let config = listening(&format!("[::]:{port}")).also_listen(beside).threads(2);
    let mut rig = ServerRig::echo(config.reuse_port(true));
    for addr in [beside, (Ipv6Addr::LOCALHOST, port).into()] {
        let mut peer = Peer::connect(addr);
        let id = rig.expect_online(&peer);
        rig.expect_echo(&mut peer, id);
        drop(peer);
        rig.expect_offline(id);
    }
    let (mut peer, id) = other.connect();
    other.expect_echo(&mut peer, id);
}

#[track_caller]
fn expect_refused(config: heartwire::server::ServerConfig, addr: SocketAddr) {
    let error = Server::start_with_events(config).unwrap_err();
    assert!(matches!(error, ServerError::Bind { addr: of, .. } if of == addr), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {addr}: ")), "{text}");
    assert!(text.contains("Another program listens there"), "{text}");
    assert!(text.contains("ss -t"), "{text}");
    // A port that the system has chosen.
    assert!(text.contains("an outgoing connection"), "{text}");
}

#[test]
fn a_second_server_on_the_same_port_is_refused_and_told_why() {
    for shards in [1, 2] {
        let mut first = ServerRig::echo(config().threads(shards).reuse_port(true));
        let addr = first.addr();
        let again = listening(&addr.to_string());
        for reuse_port in [true, false] {
            expect_refused(again.clone().threads(1).reuse_port(reuse_port), addr);
            expect_refused(again.clone().threads(2).reuse_port(reuse_port), addr);
        }
        // The first one has lost none of its clients to the attempts.
        for _ in 0..10 {
            let (mut peer, id) = first.connect();
            first.expect_echo(&mut peer, id);
            drop(peer);
            first.expect_offline(id);
        }
        first.finish();
    }
}

#[test]
fn an_address_that_another_program_has_is_refused_and_leaves_none_taken() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = other.local_addr().unwrap();
    let free = {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        probe.local_addr().unwrap()
    };
    expect_refused(listening(&taken.to_string()).threads(1), taken);
    expect_refused(listening(&free.to_string()).also_listen(taken).threads(2), taken);
    drop(TcpListener::bind(free).expect("it is free again"));
}

#[test]
fn an_address_that_this_machine_does_not_have_is_refused_with_the_remedy() {
    let error = Server::start_with_events(listening("192.0.2.1:0")).unwrap_err();
    assert!(error.to_string().contains("does not have that address"), "{error}");
}

#[test]
fn a_port_can_be_taken_again_right_after_a_shutdown() {
    let mut rig = ServerRig::start(config());
    let addr = rig.addr();
    // The server closes first, so its end is in TIME_WAIT.
    let (mut peer, _) = rig.connect();
    rig.finish();
    peer.expect_end();
    drop(peer);
    for shards in [2, 1] {
        let mut again = ServerRig::start(listening(&addr.to_string()).threads(shards));
        assert_eq!(again.addr(), addr);
        let (peer, _) = again.connect();
        again.finish();
        drop(peer);
    }
}
