//! A name with two addresses: what is at the first one accepts connections and is no server that
//! works.
#![cfg(target_os = "linux")]

use core::net::SocketAddr;
use core::time::Duration;
use std::net::{TcpListener, TcpStream};
use std::thread;

use heartwire_core::Policy;
use heartwire_core::backoff::BackoffPolicy;
use tokio::time::timeout;

use crate::client::dial::Resolver;
use crate::client::{Client, ClientConfig, Event, Reconnect};
use crate::server::{Server, ServerConfig};

const GIVE_UP: Duration = Duration::from_secs(90);

fn policy() -> Policy {
    Policy::builder()
        .interval(Duration::from_secs(1))
        .timeout(Duration::from_secs(3))
        .build()
        .unwrap()
}

/// A listener at the first address, a server at the second, on one port.
fn two_hosts() -> (TcpListener, Server) {
    loop {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 3], port))).threads(1);
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
        .reconnect(Reconnect::new(BackoffPolicy::fixed(Duration::from_millis(10))));
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
fn an_address_that_accepts_and_closes_is_tried_last_the_next_time() {
    expect_the_second(drop);
}

#[tokio::test]
async fn an_address_that_swallows_syns_costs_no_attempt() {
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
