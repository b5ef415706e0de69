//! Sessions that outlive their connections, as users of the two programs meet them.

use core::net::SocketAddr;
use std::net::TcpListener;
use std::process::Stdio;

use heartwire_testkit::{Proxy, wait_until};
use rustix::process::Signal;

use crate::program::{Client, Server};

/// Numbered lines, which `serve` shows in full.
fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("{number:060}\n")).collect()
}

/// An address where no server listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A client that is frozen once the server has heard it: before its first heartbeat no session is
/// kept.
fn frozen_bob(server: &Server, proxy: &Proxy) -> Client {
    let mut client = Client::start_plain(proxy.addr, &["--name", "bob", "--stay"]);
    client.type_in("here\n");
    server.event("data");
    client.process.freeze();
    client
}

#[test]
fn lines_arrive_once_and_in_order_over_connections_that_are_lost() {
    // A small window, so that lines and answers wait for each other.
    let server = Server::start_plain(&["--on-data", "echo", "--window", "1000"]);
    let proxy = Proxy::plain(server.addr);
    let mut client = Client::start_plain(proxy.addr, &[]);
    assert_eq!(client.event("online")["grace_ms"], 120_000.0);
    for round in 0..3 {
        let begins = round * 100;
        client.type_in(&numbered(begins, begins + 50));
        client.output.first(begins + 50);
        // The proxy's kernel acknowledges these, and the proxy drops them.
        proxy.cut_to_server();
        let came = proxy.came();
        client.type_in(&numbered(begins + 50, begins + 100));
        wait_until("the client writes one of them", || proxy.came() > came + 500);
        proxy.hang_up_and_lead_to(server.addr);
        let back = client.events.first_events("back", round + 1).pop().unwrap();
        assert!(back.count("replayed") > 0, "{back:?}");
    }
    // After the end of its input, the client still comes back to deliver the rest.
    client.output.first(300);
    proxy.hang_up_and_lead_to(nowhere());
    client.events.first_events("away", 4);
    client.type_in("the last\n");
    client.end_input();
    client.event("failed");
    proxy.hang_up_and_lead_to(server.addr);
    assert_eq!(client.process.exit_code(), Some(0));

    let typed = numbered(0, 300);
    let typed: Vec<_> = typed.lines().chain(["the last"]).collect();
    let data = server.events.first_events("data", 301);
    let received: Vec<_> = data.iter().map(|data| data.text("preview").trim_matches('"')).collect();
    assert_eq!(received, typed);
    // It may leave before the last comes back.
    let echoed: Vec<_> = client.output.all().into_iter().map(|line| line.text).collect();
    assert_eq!(echoed[..300], typed[..300]);
    let offline = client.event("offline");
    assert_eq!((offline.text("reason"), offline.count("undelivered")), ("shutdown", 0));
    let events = server.stop();
    let of = |name: &str| events.iter().filter(|event| event.name() == name).count();
    assert_eq!((of("online"), of("offline"), of("data"), of("back")), (1, 1, 301, 4));
}

#[test]
fn a_session_is_given_up_after_its_grace_and_counts_what_it_did_not_deliver() {
    let args = ["--commands", "--grace", "1s"];
    let mut server = Server::start_with_input(&args, Stdio::piped());
    let proxy = Proxy::plain(server.addr);
    let mut client = frozen_bob(&server, &proxy);
    server.type_in("/send bob for nothing\n");
    assert_eq!(server.event("answer")["ok"], true);
    proxy.hang_up();
    let away = server.event("away");
    assert_eq!(away.number("within_ms"), 1000.0);
    // With a reset, if the proxy had not read the message yet.
    assert!(["closed_by_peer", "reset"].contains(&away.text("reason")), "{away:?}");
    let offline = server.event("offline");
    assert_eq!((offline.text("reason"), offline.text("name")), ("not_back", "bob"));
    let undelivered = ["undelivered", "undelivered_bytes"].map(|field| offline.count(field));
    assert_eq!(undelivered, [1, 11], "{:#?} {:#?}", server.events.so_far(), client.events.so_far());
    // When it runs again, its session is gone, and it gets another.
    client.process.thaw();
    client.event("offline");
    client.events.first_events("online", 2);
    client.process.signal(Signal::TERM);
    client.process.exit_code();
    let stopped = server.stop().pop().unwrap();
    assert_eq!(["away", "resumed", "not_back"].map(|name| stopped.count(name)), [1, 0, 1]);
}

#[test]
fn messages_to_a_client_that_is_away_arrive_when_it_is_back() {
    let mut server = Server::start_with_input(&["--commands"], Stdio::piped());
    let proxy = Proxy::plain(server.addr);
    let client = frozen_bob(&server, &proxy);
    proxy.hang_up();
    server.event("away");
    server.type_in("/who\n/send bob for one\n/all for all\n");
    let listed = server.event("session");
    assert!(listed.number("away_within_ms") > 0.0, "{listed:?}");
    assert_eq!(server.events.first_events("answer", 2)[1]["ok"], true);
    client.process.thaw();
    assert_eq!(server.event("back")["name"], "bob");
    client.output.line("for all");
    let lines: Vec<_> = client.output.so_far().into_iter().map(|line| line.text).collect();
    assert_eq!(lines, ["for one", "for all"]);
    client.stop();
    server.stop();
}

#[test]
fn restart_of_the_server_counts_what_it_loses() {
    let mut server = Server::start_plain(&[]);
    let proxy = Proxy::plain(server.addr);
    let mut client = Client::start_plain(proxy.addr, &["--stay"]);
    client.type_in("taken over\n");
    server.event("data");
    // Its kernel acknowledges what the server never reads.
    server.process.freeze();
    let came = proxy.came();
    client.type_in(&format!("{}\n", "x".repeat(1000)).repeat(3));
    wait_until("the client writes them", || proxy.came() > came + 3000);
    server.process.signal(Signal::KILL);
    server.process.exit_code();
    let another = Server::start_plain(&[]);
    proxy.hang_up_and_lead_to(another.addr);
    let offline = client.event("offline");
    assert_eq!(offline["reason"], "not_resumed");
    // The server may have died before it told that it took the first line over.
    assert!((3..=4).contains(&offline.count("undelivered")), "{offline:?}");
    assert_eq!(offline["undelivered_exact"], false);
    client.events.first_events("online", 2);
    client.process.signal(Signal::TERM);
    assert_eq!(client.process.exit_code(), Some(8));
    let stopped = another.stop().pop().unwrap();
    assert_eq!((stopped.count("accepted"), stopped.count("lost")), (1, 1));
}
