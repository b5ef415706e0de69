//! A server behind balancers that tell their clients' addresses with the PROXY protocol.

use core::net::{IpAddr, SocketAddr};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use heartwire_testkit::{BEAT, End, Got, Lines, Peer, Process, hello_as, skip};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::program::{Client, Server};
use crate::side_by_side;
use crate::tls::certificate;

/// Where the balancer connects from.
const BALANCER: &str = "127.0.0.9";

/// A connection from the balancer's address that has sent this.
#[track_caller]
fn relayed(server: SocketAddr, first: &[u8]) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: IpAddr = BALANCER.parse().unwrap();
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut peer = Peer::of(TcpStream::from(socket));
    peer.send(first);
    peer
}

fn header(client: &str, port: u16) -> String {
    format!("PROXY TCP4 {client} {BALANCER} {port} 29002\r\n")
}

/// A client of v1 behind the balancer.
#[track_caller]
fn greet(server: SocketAddr, client: &str, name: &str) -> (Peer, Got) {
    let first = [header(client, 4711).as_bytes(), &hello_as(name, None)].concat();
    let mut peer = relayed(server, &first);
    let got = peer.next();
    (peer, got)
}

#[test]
fn clients_behind_a_balancer_are_limited_and_listed_by_their_own_addresses() {
    let args = ["--proxy-from", BALANCER, "--max-per-address", "1", "--commands", "--threads", "2"];
    let mut server = Server::start_with_input(&args, Stdio::piped());
    assert_eq!(server.event("listening")["proxy_from"][0], BALANCER);
    let (_first, got) = greet(server.addr, "192.0.2.1", "first");
    assert!(matches!(got, Got::Welcome(_)), "{got:?}");
    let (_second, got) = greet(server.addr, "192.0.2.2", "second");
    assert!(matches!(got, Got::Welcome(_)), "{got:?}");
    let (_again, got) = greet(server.addr, "192.0.2.1", "third");
    assert!(matches!(got, Got::Bye(..)), "{got:?}");
    assert_eq!(server.event("refusing")["cause"], "max_per_address");
    for client in ["192.0.2.1:4711", "192.0.2.2:4711"] {
        assert_eq!(server.event_of("online", client.parse().unwrap())["peer"], client);
    }
    server.type_in("/who\n");
    let listed = server.events.first_events("session", 2);
    let mut listed: Vec<_> = listed.iter().map(|event| event.text("peer").to_owned()).collect();
    listed.sort_unstable();
    assert_eq!(listed, ["192.0.2.1:4711", "192.0.2.2:4711"]);
    // A client of another address needs no header, and has no use of one.
    let mut direct = Peer::connect(server.addr);
    direct.send(&hello_as("direct", None));
    assert!(matches!(direct.next(), Got::Welcome(_)));
}

#[test]
fn headers_that_are_missing_or_not_allowed_are_told_and_health_checks_are_not() {
    let server =
        Server::start_plain(&["--proxy-from", "127.0.0.8/31", "--handshake-timeout", "1s"]);
    let mut unlisted = Peer::connect(server.addr);
    unlisted.send(header("192.0.2.1", 1).as_bytes());
    unlisted.expect_end();
    let said = server.log.line("PROXY protocol header");
    assert!(said.text.contains("--proxy-from"), "{}", said.text);
    // A health check that only connects, and one that says that it is one.
    drop(relayed(server.addr, b""));
    drop(relayed(server.addr, b"PROXY UNKNOWN\r\n"));
    let mut missing = relayed(server.addr, &BEAT);
    missing.expect_end();
    server.log.line("closed for its PROXY header: a listed balancer's connection began without");
    let mut slow = relayed(server.addr, b"PROXY TCP4 ");
    assert_eq!(slow.expect_end(), End::Closed);
    server.log.line("closed for its PROXY header: no whole header in time");
    let warnings = server.log.so_far();
    let warnings = warnings.iter().filter(|line| line.text.contains("warn")).count();
    assert_eq!(warnings, 3);
    let events = server.stop();
    let stopped = events.last().unwrap();
    let counts = ["accepted", "proxy", "unknown_type", "closed_by_peer"].map(|name| &stopped[name]);
    assert_eq!(counts, [5, 2, 1, 2]);
}

/// HAProxy in front of a server, and its address.
struct Balancer {
    _process: Process,
    addr: SocketAddr,
    log: Lines,
}

impl Balancer {
    /// With these options for its server. `None` if HAProxy is not here.
    fn start(name: &str, server: SocketAddr, options: &str) -> Option<Self> {
        if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
            skip("there is no haproxy");
            return None;
        }
        // It inherits the socket, so that the system can choose the port.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        let config = format!(
            "defaults\n  mode tcp\n  log stderr format raw daemon\n  \
             option log-health-checks\n  timeout connect 30s\n  timeout client 1h\n  \
             timeout server 1h\n\
             listen heartwire\n  bind fd@{}\n  server one {server} source {BALANCER} {options}\n",
            listener.as_raw_fd()
        );
        let path = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, config).unwrap();
        let mut command = Command::new("haproxy");
        let mut process =
            Process::spawn(command.arg("-db").arg("-f").arg(&path).stderr(Stdio::piped()));
        let log = Lines::of(process.0.stderr.take().unwrap());
        Some(Self { _process: process, addr: listener.local_addr().unwrap(), log })
    }
}

#[test]
fn haproxy_tells_the_clients_addresses_in_both_versions() {
    fn story(name: &str, option: &str) {
        let server = Server::start(&["--proxy-from", BALANCER, "--on-data", "echo"]);
        let Some(balancer) = Balancer::start(name, server.addr, option) else { return };
        let mut peer = Peer::connect(balancer.addr);
        peer.send(&BEAT);
        let online = server.event("online");
        assert_eq!(online["peer"], peer.addr().to_string(), "{:?}", balancer.log.so_far());
        peer.send(&heartwire_testkit::data(b"through"));
        while peer.next() != Got::Data(b"through".to_vec()) {}
        drop(peer);
        assert_eq!(server.event("offline")["peer"], online["peer"]);
    }
    side_by_side(&[
        ("version 1", || story("haproxy-v1", "send-proxy")),
        ("version 2", || story("haproxy-v2", "send-proxy-v2")),
        ("version 2 with extensions", || {
            story("haproxy-tlv", "send-proxy-v2 proxy-v2-options unique-id,crc32c");
        }),
    ]);
}

#[test]
fn haproxy_passes_tls_through_behind_its_header() {
    let (cert, key) = certificate("balancer");
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--protocol", "v1"];
    let server = Server::start_plain(&[&tls[..], &["--proxy-from", BALANCER]].concat());
    let Some(balancer) = Balancer::start("haproxy-tls", server.addr, "send-proxy-v2") else {
        return;
    };
    let args = ["--tls", "--tls-ca", &cert, "--tls-server-name", "localhost"];
    let client = Client::start_plain(balancer.addr, &args);
    client.event("online");
    assert!(server.event("online").text("peer").starts_with("127.0.0.1:"));
}

#[test]
fn haproxys_health_checks_are_served_and_silent() {
    fn story(name: &str, option: &str, most: &str) {
        // One shard accepts in order: before the client's connection the check's.
        let args = ["--proxy-from", BALANCER, "--max-per-address", most, "--threads", "1"];
        let server = Server::start_plain(&args);
        let option = format!("{option} check inter 20ms check-send-proxy");
        let Some(balancer) = Balancer::start(name, server.addr, &option) else { return };
        balancer.log.line("Health check for server heartwire/one succeeded");
        let mut peer = Peer::connect(balancer.addr);
        peer.send(&BEAT);
        server.event("online");
        drop(peer);
        server.event("offline");
        server.process.signal(Signal::TERM);
        let stopped = server.event("stopped");
        assert!(stopped["accepted"].as_u64() >= Some(2), "{stopped:?}");
        let faults = ["proxy", "protocol_error", "refused"].map(|name| &stopped[name]);
        assert_eq!(faults, [0; 3]);
        let log = server.log.so_far();
        assert!(log.iter().all(|line| !line.text.contains("warn")), "{log:?}");
    }
    side_by_side(&[
        // Version 1 has no word for a connection of the balancer's own: a check is a client of its
        // address, and the next one can come before it has ended.
        ("version 1", || story("haproxy-check-v1", "send-proxy", "100")),
        ("version 2", || story("haproxy-check-v2", "send-proxy-v2", "1")),
    ]);
}
