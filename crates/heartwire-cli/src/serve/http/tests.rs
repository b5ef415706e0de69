use core::net::SocketAddr;
use std::io::{Read, Write};
use std::net::TcpStream;

use clap::Parser;
use heartwire::server::{Control, Server, ServerConfig};
use heartwire_testkit::{BEAT, Latch, PATIENCE, Peer, data, wait_until};

use super::*;
use crate::args::{Cli, Command};

/// What is at this path: the whole answer.
#[track_caller]
fn get(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_is_alive_until_a_shard_hangs_and_again_when_it_turns() {
    let Command::Serve(args) =
        Cli::parse_from(["heartwire", "serve", "--http", "127.0.0.1:0"]).command
    else {
        panic!("another command")
    };
    let http = Http::start(&args.http, None).unwrap().unwrap();
    let HttpAddress::Tcp(at) = http.address().clone() else { panic!("{http:?}") };
    assert!(get(at, "/livez").starts_with("HTTP/1.1 200 "));
    let starting = get(at, "/readyz");
    assert!(starting.starts_with("HTTP/1.1 503 ") && starting.contains("starting"), "{starting}");
    assert!(get(at, "/v1/stats").starts_with("HTTP/1.1 503 "));

    let hang = Latch::default();
    let handler = |_| {
        let hang = hang.clone();
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if matches!(event, Event::Data { .. }) {
                hang.pass();
            }
        }
    };
    let config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0))).threads(2);
    let server = Server::start(config, handler).unwrap();
    let policy = args.policy.policy(heartwire::Side::Server).unwrap();
    let settings = Settings { policy, shards: 2, drain: Duration::ZERO, presence: None };
    http.started(server.handle().clone(), settings);
    assert!(get(at, "/livez").starts_with("HTTP/1.1 200 "));
    assert!(get(at, "/readyz").starts_with("HTTP/1.1 200 "));

    let mut peer = Peer::connect(server.local_addrs()[0]);
    peer.send(&BEAT);
    let start = Instant::now();
    peer.send(&data(b"hang"));
    wait_until("it is not alive", || get(at, "/livez").starts_with("HTTP/1.1 503 "));
    assert!(start.elapsed() >= Duration::from_secs(4), "too soon: {:?}", start.elapsed());
    assert!(get(at, "/livez").contains("\"hanging_shards\":["));
    assert!(get(at, "/readyz").contains("\"hanging\""));
    assert!(get(at, "/metrics").contains("\nheartwire_server_hanging_shards 1\n"));
    hang.open();
    wait_until("it is alive again", || get(at, "/livez").starts_with("HTTP/1.1 200 "));
}
