//! `serve --presence` and hooks: real servers, a real Redis, and receivers of hooks.

use core::net::SocketAddr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use heartwire_testkit::{Authority, Peer, RedisServer, hello_as, lasting_address, wait_until};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Client, Server, run};

/// A client of that name.
#[track_caller]
fn client(server: &Server, name: &str) -> Client {
    let client = Client::start_plain(server.addr, &["--name", name, "--timeout", "60s", "--stay"]);
    client.event("online");
    client
}

#[track_caller]
fn node(redis: &RedisServer, name: &str) -> Server {
    let server = Server::start_plain(&["--presence", &redis.url(), "--node", name]);
    server.events.event_where("presence", |event| event["state"] == "joined");
    server
}

/// A file that can be run.
#[track_caller]
fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The changes in some deliveries, each in short.
fn in_short(deliveries: &[Value]) -> Vec<String> {
    let changes = deliveries.iter().flat_map(|delivery| delivery["changes"].as_array().unwrap());
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    changes.map(|it| format!("{} {}", text(it, "name"), text(it, "kind"))).collect()
}

#[test]
fn a_client_that_comes_to_another_node_ends_its_session_on_the_first() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let (one, two) = (node(&redis, "one"), node(&redis, "two"));
    let first_lines = one.events.first(2);
    assert!(first_lines[0].text.contains("\"event\":\"listening\""), "{first_lines:?}");
    assert_eq!(one.event("listening").text("node"), "one");
    let first = client(&one, "door 3");
    let held = || redis.ask(&["HGET", "{hw}:p", "door 3"]);
    wait_until("it is there", || held().contains("one."));
    let _second = client(&two, "door 3");
    let offline = one.event("offline");
    assert_eq!((offline.text("name"), offline.text("reason")), ("door 3", "taken_over"));
    assert_eq!(first.event("offline")["bye"]["code"], "taken_over");
    assert!(held().contains("two."), "{}", held());
    let stream = redis.ask(&["XRANGE", "{hw}:ev", "-", "+"]);
    let kinds: Vec<_> = stream
        .split_whitespace()
        .filter(|word| ["online", "moved", "offline"].contains(word))
        .collect();
    assert_eq!(kinds, ["online", "moved"], "{stream}");
    // A server that stops says that its clients are gone, and that it is.
    two.stop();
    assert_eq!(redis.ask(&["HLEN", "{hw}:p"]), "0");
    assert_eq!(redis.ask(&["ZCARD", "{hw}:nodes"]), "1");
}

#[test]
fn names_of_a_server_that_was_killed_go_offline_by_the_hook_of_another() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let folder = TempDir::new().unwrap();
    let (hook, log) = (folder.path().join("on-change"), folder.path().join("log"));
    script(&hook, &format!("#!/bin/sh\ncat >>'{0}'\necho >>'{0}'\n", log.display()));
    let (url, hook) = (redis.url(), hook.to_str().unwrap());
    let start = |name| {
        let lease = ["--presence", &url, "--presence-lease", "3s", "--node", name];
        let server = Server::start_plain(&[&lease[..], &["--hook-command", hook]].concat());
        server.events.event_where("presence", |event| event["state"] == "joined");
        server
    };
    let (one, two) = (start("one"), start("two"));
    let listening = one.event("listening");
    assert_eq!(listening["node_lost_ms"], 6400.0);
    let _door = client(&one, "door");
    let told = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("it is told", || told().contains("\"online\""));
    one.process.signal(Signal::KILL);
    wait_until("it is told", || told().contains("\"node_lost\""));
    let lost = two.events.event_where("presence", |event| event["state"] == "node_lost");
    assert!(lost.text("node").starts_with("one."), "{lost:?}");
}

#[test]
fn a_redis_that_would_forget_names_is_refused() {
    let Some(redis) = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--presence", &redis.url()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("noeviction"), "{said}");
}

#[test]
fn a_server_goes_on_while_redis_is_away_and_tells_it_all_when_it_is_back() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    redis.kill();
    let args = ["--presence", &redis.url(), "--node", "one", "--http", "127.0.0.1:0"];
    let server = Server::start_plain(&args);
    server.events.event_where("presence", |event| event["state"] == "lost");
    let one = client(&server, "one");
    let http = server.event("listening").text("http").to_owned();
    let health = run(&["health", &http]);
    assert!(health.status.success(), "its clients need no Redis: {health:?}");
    redis.start_again();
    wait_until("it is told", || redis.ask(&["HKEYS", "{hw}:p"]) == "one");
    let nodes = run(&["presence", "nodes", "--presence", &redis.url()]);
    assert!(String::from_utf8_lossy(&nodes.stdout).contains(&http), "{nodes:?}");
    server.events.event_where("presence", |event| event["state"] == "joined");
    redis.kill();
    server.events.first_events("presence", 4);
    one.stop();
    let _two = client(&server, "two");
    redis.start_again();
    wait_until("it is told", || redis.ask(&["HKEYS", "{hw}:p"]) == "two");
}

#[test]
fn a_program_is_told_in_order_who_comes_and_goes() {
    let folder = TempDir::new().unwrap();
    let (hook, log) = (folder.path().join("on-change"), folder.path().join("log"));
    script(&hook, &format!("#!/bin/sh\ncat >>'{0}'\necho >>'{0}'\n", log.display()));
    let hook = hook.to_str().unwrap();
    let server = Server::start_plain(&["--hook-command", hook, "--node", "one"]);
    let told = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        // The end of the file may be written now.
        let lines = text.lines().map_while(|line| serde_json::from_str(line).ok());
        in_short(&lines.collect::<Vec<_>>())
    };
    let door = client(&server, "door");
    wait_until("it is told", || told() == ["door online"]);
    door.stop();
    wait_until("it is told", || told() == ["door online", "door offline"]);
    // What waits at the end is told before it.
    let _lamp = client(&server, "lamp");
    server.stop();
    assert_eq!(told().last().map(String::as_str), Some("lamp offline"));
}

#[test]
fn an_offline_that_is_held_back_is_not_told_if_the_client_returns() {
    let folder = TempDir::new().unwrap();
    let (hook, log) = (folder.path().join("on-change"), folder.path().join("log"));
    script(&hook, &format!("#!/bin/sh\ncat >>'{0}'\necho >>'{0}'\n", log.display()));
    let hook = hook.to_str().unwrap();
    let server = Server::start_plain(&["--hook-command", hook, "--offline-after", "1h"]);
    client(&server, "door").stop();
    server.event("offline");
    let _door = client(&server, "door");
    let _lamp = client(&server, "lamp");
    let told = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("it is told", || told().contains("lamp"));
    assert_eq!(told().matches("\"door\"").count(), 1, "{}", told());
}

/// A receiver of hooks that gives these answers, and passes on what it was told.
fn receiver(statuses: &'static [&'static str]) -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (told, deliveries) = mpsc::channel();
    thread::spawn(move || {
        let statuses = statuses.iter().chain(core::iter::repeat(&"204 No Content"));
        for (stream, status) in listener.incoming().zip(statuses) {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if told.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (at, deliveries)
}

#[test]
fn a_receiver_that_fails_is_told_again_and_hooks_say_so() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a secret of thirty bytes or so\n").unwrap();
    let (at, deliveries) = receiver(&["500 Broken"]);
    let hook = format!("http://{at}/pa55word");
    let secret = secret.to_str().unwrap();
    let server = Server::start_plain(&["--hook", &hook, "--hook-secret-file", secret]);
    let listening = server.event("listening");
    assert_eq!(listening.text("hook"), format!("http://{at}/***"));
    let _door = client(&server, "door");
    let (head, first) = deliveries.recv().unwrap();
    assert!(head.contains("\r\nwebhook-signature: v1,"), "{head}");
    let (_, second) = deliveries.recv().unwrap();
    assert_eq!(first, second);
    assert_eq!(in_short(&[second]), ["door online"]);
    let states = server.events.first_events("hook", 2);
    let states: Vec<_> = states.iter().map(|event| event.text("state")).collect();
    assert_eq!(states, ["failing", "works"]);
    assert!(server.events.so_far().iter().all(|line| !line.text.contains("pa55word")));
}

#[test]
fn presence_over_tls_needs_a_redis_whose_certificate_is_trusted() {
    let authority = Authority::new();
    let files = authority.issue(&["127.0.0.1"]);
    let port = lasting_address().port().to_string();
    let of = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key, roots) = (of(&files.certificate), of(&files.key), of(authority.roots()));
    let Some(redis) = RedisServer::start(&[
        "--bind",
        "127.0.0.1",
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &roots,
        "--tls-auth-clients",
        "no",
    ]) else {
        return;
    };
    let url = format!("rediss://127.0.0.1:{port}");
    let start =
        |roots: &Path, node| Server::start_trusting(roots, &["--presence", &url, "--node", node]);
    let trusting = start(authority.roots(), "one");
    trusting.events.event_where("presence", |event| event["state"] == "joined");
    let _door = client(&trusting, "door");
    wait_until("its name is in Redis", || redis.ask(&["HEXISTS", "{hw}:p", "door"]) == "1");
    let stranger = start(Authority::new().roots(), "two");
    let lost = stranger.events.event_where("presence", |event| event["state"] == "lost");
    assert!(lost.text("detail").contains("certificate"), "{lost:?}");
}

#[test]
fn secret_of_the_hook_is_read_again_on_sighup() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let (at, deliveries) = receiver(&[]);
    let hook = format!("http://{at}");
    fs::write(&path, "the first secret of the tests").unwrap();
    let secret = path.to_str().unwrap();
    let server = Server::start_plain(&["--hook", &hook, "--hook-secret-file", secret]);
    fs::write(&path, "too short").unwrap();
    server.process.signal(Signal::HUP);
    server.log.line("nothing has changed");
    fs::write(&path, "the second secret of the tests").unwrap();
    server.process.signal(Signal::HUP);
    server.log.line("read the secret of the hook again");
    let _door = client(&server, "door");
    let (head, _) = deliveries.recv().unwrap();
    assert!(head.contains("\r\nwebhook-signature: v1,"), "{head}");
}

#[test]
fn clients_that_are_lost_together_are_one_incident_and_their_hooks_say_so() {
    let (at, deliveries) = receiver(&[]);
    let hook = format!("http://{at}");
    let server = Server::start_plain(&["--hook", &hook, "--hold", "1s", "--hold-pace", "1000"]);
    let connect =
        |number| Peer::welcomed(server.addr, &hello_as(&format!("door {number}"), None)).0;
    let clients: Vec<_> = (0..25).map(connect).collect();
    server.events.first_events("online", 25);
    clients.into_iter().for_each(Peer::reset);
    let incident = server.event("incident");
    assert_eq!((incident.text("cause"), incident.count("of")), ("burst", 25));
    assert_eq!(incident["networks"][0]["network"], "127.0.0.0/24");
    let over = server.event("incident_over");
    assert_eq!(over["incident"], incident["incident"]);
    assert_eq!((over.count("returned"), over.count("gone")), (0, 25));
    let mut told: Vec<Value> = Vec::new();
    let is_part = |change: &&Value| change["incident"] == incident["incident"];
    // Those of different names, and the incident's own, can overtake each other.
    while told.iter().filter(is_part).count() < 27 {
        let (_, delivery) = deliveries.recv().unwrap();
        told.extend(delivery["changes"].as_array().unwrap().clone());
    }
    let count = |kind| told.iter().filter(|it| it["kind"] == kind).filter(is_part).count();
    assert_eq!(["incident", "offline", "incident_over"].map(count), [1, 25, 1], "{told:?}");
}

#[test]
fn options_that_cannot_work_are_refused_and_say_why() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (short, plain) = (file("short", "12345"), file("plain", "#!/bin/sh\n"));
    let redis = "redis://localhost";
    for (args, says) in [
        (&["--node", "one"][..], "--node has no effect without --presence, --hook or"),
        (&["--hook-give-up", "5m", "--presence", redis], "--hook-give-up has no effect without"),
        (&["--hold", "off", "--hold-pace", "5", "--presence", redis], "no effect with --hold off"),
        (&["--presence", redis, "--protocol", "v0"], "protocol v0 has no names"),
        (&["--presence", "http://ann:pa55word@x"], "cannot use --presence http://ann:***@x"),
        (&["--presence", "redis://ann:***@x"], "was printed without its secret"),
        (&["--hook", "http://ann:pa55word@x"], "cannot use --hook http://ann:***@x"),
        (&["--hook", "http://x", "--hook-secret-file", &short], "at least 24 bytes"),
        (&["--hook-command", &plain], "Permission denied"),
        (&["--hook-command", "/nowhere/hook"], "/nowhere/hook: No such file"),
        (&["--presence", redis, "--node", "a b"], "the name of a node is 1 to 64 letters"),
    ] {
        let output = run(&[&["serve", "--check-config"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert!(!said.contains("pa55word"), "{said}");
    }
    let right = ["serve", "--check-config", "--presence", "rediss://ann:pa55word@localhost/1"];
    assert!(run(&right).status.success());
}

#[test]
fn a_password_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("serve.toml");
    let config = |password: &str| {
        let hook = format!("hook = \"http://127.0.0.1:9/{password}\"\n");
        fs::write(&file, hook).unwrap();
    };
    config("pa55word");
    let path = file.to_str().unwrap();
    let url = "redis://:pa55word@localhost/2";
    let printed = run(&["serve", "--config", path, "--presence", url, "--print-config"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("presence = \"redis://:***@localhost/2\"\n"), "{printed}");
    assert!(printed.contains("hook = \"http://127.0.0.1:9/***\"\n"), "{printed}");
    let server = Server::start_plain(&["--config", path]);
    config("pa55word2");
    server.process.signal(Signal::HUP);
    let said = server.log.line("hook can be").text;
    assert!(said.contains("only after a restart"), "{said}");
    let lines = [server.log.so_far(), server.events.so_far()].concat();
    assert!(lines.iter().all(|line| !line.text.contains("pa55word")), "{lines:?}");
}
