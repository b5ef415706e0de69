//! Where a server listens.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use heartwire::server::{Protocols, Server, ServerConfig, ServerError, SessionId};
use heartwire_testkit::{BEAT, Peer, ServerRig, lasting_address, ms, timeout, wait_until};
use socket2::{Domain, Socket, Type};

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
fn expect_refused(config: ServerConfig, addr: SocketAddr) {
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
    let free = lasting_address();
    expect_refused(listening(&taken.to_string()).threads(1), taken);
    expect_refused(listening(&free.to_string()).also_listen(taken).threads(2), taken);
    // A process that another test starts meanwhile holds the socket until it runs its program.
    wait_until("it is free again", || TcpListener::bind(free).is_ok());
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

/// A server on a socket that listens already.
fn passed(listener: &TcpListener) -> ServerConfig {
    ServerConfig::from_listener(listener.try_clone().unwrap())
        .protocols(Protocols::V0)
        .policy(timeout(60_000))
        .drain(ms(500))
}

#[test]
fn passed_socket_serves_those_who_came_before_and_all_shards_share_them() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    // Nothing accepts it yet, and its first beat is there before the server.
    let mut early = Peer::connect(addr);
    early.send(&BEAT);
    let config = passed(&listener).also_listen("127.0.0.1:0".parse().unwrap());
    let mut rig = ServerRig::echo(config.threads(2));
    let own = rig.addr();
    assert_eq!(rig.server().local_addrs(), [own, addr]);
    let mut peers = vec![(rig.expect_online(&early), early)];
    for addr in [addr, own, addr] {
        let peer = Peer::connect(addr);
        peers.push((rig.expect_online(&peer), peer));
    }
    for (id, peer) in &mut peers {
        rig.expect_echo(peer, *id);
    }
    let shard = |id: &SessionId| id.to_string()[..1].to_owned();
    let shards: Vec<_> = peers.iter().map(|(id, _)| shard(id)).collect();
    assert_eq!(shards.iter().filter(|shard| *shard == "0").count(), 2, "{shards:?}");
    rig.finish();
}

#[test]
fn passed_socket_outlives_its_server_and_the_next_one_serves_who_waits() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut first = ServerRig::echo(passed(&listener).threads(2));
    let mut peer = Peer::connect(addr);
    let id = first.expect_online(&peer);
    first.expect_echo(&mut peer, id);
    first.finish();
    // Nothing serves the socket now, and no client is refused.
    let mut waiting = Peer::connect(addr);
    let mut second = ServerRig::echo(passed(&listener).threads(1));
    let id = second.expect_online(&waiting);
    second.expect_echo(&mut waiting, id);
    second.finish();
}

#[test]
fn passed_socket_that_cannot_be_served_is_refused_with_the_reason() {
    let start = |listener: TcpListener| {
        let config = ServerConfig::from_listener(listener).threads(2);
        Server::start_with_events(config).unwrap_err().to_string()
    };
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let said = start(OwnedFd::from(udp).into());
    assert_eq!(said, "cannot serve a socket that was passed: it is no TCP socket");
    let unix = UnixListener::bind(tempfile::tempdir().unwrap().path().join("socket")).unwrap();
    let said = start(OwnedFd::from(unix).into());
    assert_eq!(said, "cannot serve a socket that was passed: it is no TCP socket");
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let said = start(bound.into());
    assert_eq!(said, "cannot serve a socket that was passed: it does not listen");
}
