//! A name with two addresses: what is at the first one accepts connections and is no server that works.
#![cfg(target_os = "linux")]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::v1::{Offer, Terms, Welcome};
use heartwire_core::{Policy, Wire};
use tokio::time::timeout;

use crate::Reason;
use crate::client::dial::Resolver;
use crate::client::{Client, ClientConfig, Event, Retry};
use crate::server::{Server, ServerConfig};

const GIVE_UP: Duration = Duration::from_secs(20);

fn policy() -> Policy {
    Policy::builder().beat(Duration::from_secs(1)).limit(Duration::from_secs(3)).build().unwrap()
}

/// A listener at the first address, a server at the second, on one port.
fn two_hosts() -> (TcpListener, Server) {
    loop {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 3], port))).shards(1);
        // Another program may have that port there.
        if let Ok((server, _)) = Server::start_with_events(config.policy(policy())) {
            return (first, server);
        }
    }
}

/// A client of both. The resolver names the first one first, each time.
fn config(port: u16) -> ClientConfig {
    let addresses = [2, 3].map(|host| SocketAddr::from(([127, 0, 0, host], port)));
    let mut config = ClientConfig::new(format!("gateway.example:{port}"))
        .policy(policy())
        .handshake_timeout(Duration::from_millis(500))
        .retry(Retry::Backoff(BackoffPolicy::fixed(Duration::from_millis(10)).unwrap()));
    config.resolver = Resolver::of(move |host, _| {
        assert_eq!(host, "gateway.example");
        Ok(addresses.to_vec())
    });
    config
}

/// What happens until the client is online at the second address.
async fn until_online(config: ClientConfig) -> Vec<Event> {
    let (_client, mut events) = Client::start(config);
    let mut seen = Vec::new();
    let found = timeout(GIVE_UP, async {
        loop {
            seen.push(events.recv().await.unwrap());
            if let Some(Event::Online { peer, .. }) = seen.last() {
                if peer.ip().to_string() == "127.0.0.3" {
                    return;
                }
            }
        }
    });
    assert!(found.await.is_ok(), "it takes too long: {seen:?}");
    seen
}

/// Runs what is at the first address, and expects that the second attempt leads to the second one.
#[track_caller]
fn expect_the_second(play: impl Fn(TcpStream) + Send + 'static) {
    let (first, server) = two_hosts();
    let port = first.local_addr().unwrap().port();
    thread::spawn(move || first.incoming().flatten().for_each(play));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen = runtime.block_on(until_online(config(port)));
    let names: Vec<_> = seen.iter().map(Event::name).collect();
    assert_eq!(names, ["connecting", "failed", "waiting", "connecting", "online"], "{seen:?}");
    drop(server);
}

#[test]
fn one_that_accepts_and_says_nothing_is_tried_last_the_next_time() {
    let kept = std::sync::Mutex::new(Vec::new());
    expect_the_second(move |stream| kept.lock().unwrap().push(stream));
}

#[test]
fn so_is_one_that_accepts_and_closes() {
    expect_the_second(drop);
}

#[test]
fn so_is_one_that_speaks_http() {
    expect_the_second(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
}

#[tokio::test]
async fn so_is_a_frozen_one_whose_kernel_accepts() {
    let (first, server) = two_hosts();
    // Nothing accepts here, and nobody closes it.
    let seen = until_online(config(first.local_addr().unwrap().port())).await;
    let names: Vec<_> = seen.iter().map(Event::name).collect();
    assert_eq!(names, ["connecting", "failed", "waiting", "connecting", "online"], "{seen:?}");
    drop(server);
}

#[tokio::test]
async fn so_is_one_that_was_called_dead() {
    let (first, server) = two_hosts();
    let port = first.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in first.incoming().flatten() {
            let offer = Offer::new(&policy());
            let contract = Terms::new(offer).agree(&offer).unwrap();
            stream.write_all(&Welcome::new(1, 0, contract).encode()).unwrap();
            kept.push(stream);
        }
    });
    let seen = until_online(config(port)).await;
    let mut verdicts = Vec::new();
    for event in &seen {
        if let Event::Offline { peer, reason, .. } = event {
            verdicts.push((peer.ip().to_string(), matches!(reason, Reason::Dead(_))));
        }
    }
    assert_eq!(verdicts, [("127.0.0.2".to_owned(), true)], "{seen:?}");
    let online = seen.iter().filter(|event| event.name() == "online").count();
    assert_eq!(online, 2, "{seen:?}");
    drop(server);
}

#[tokio::test]
async fn on_v0_too_one_that_closes_without_a_byte_is_tried_last() {
    let (first, server) = two_hosts();
    let port = first.local_addr().unwrap().port();
    thread::spawn(move || first.incoming().for_each(drop));
    let seen = until_online(config(port).wire(Wire::V0)).await;
    let online = seen.iter().filter(|event| event.name() == "online").count();
    assert_eq!(online, 2, "{seen:?}");
    drop(server);
}

#[tokio::test]
async fn one_that_swallows_syns_costs_no_attempt() {
    let (first, server) = two_hosts();
    let address = first.local_addr().unwrap();
    // With more waiting than the backlog holds, the kernel drops what comes.
    socket2::SockRef::from(&first).listen(0).unwrap();
    let soon = Duration::from_millis(100);
    let fillers: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, soon)).collect();
    assert!(fillers.iter().any(Result::is_err), "the backlog is full");
    let seen = until_online(config(address.port())).await;
    let names: Vec<_> = seen.iter().map(Event::name).collect();
    assert_eq!(names, ["connecting", "online"], "{seen:?}");
    drop(server);
}
