//! `heartwire presence`, with records as nodes write them into a real Redis.

use std::process::{Output, Stdio};

use heartwire_testkit::{Lines, Process, RedisServer, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::program::{Client, Server, heartwire, run};

/// A record of a name on the node `eu-1`, since the year 2025.
fn put(redis: &RedisServer, name: &str, epoch: u64) {
    let record = format!("{epoch} eu-1.00000001 0-17-3 1764270000000000 - 192.0.2.7:5123");
    redis.ask(&["HSET", "{hw}:p", name, &record]);
}

/// A change, as the scripts of nodes tell it.
fn tell(redis: &RedisServer, kind: &str, name: &str, rest: &Value) {
    let mut detail = json!({
        "name": name, "epoch": 7, "node": "eu-1.00000001", "session": "0-17-3", "since": 5,
        "peer": "192.0.2.7:5123",
    });
    detail.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let (number, detail) = ("1764270000000001", detail.to_string());
    redis.ask(&["XADD", "{hw}:ev", "*", "k", kind, "n", number, "d", &detail]);
}

#[track_caller]
fn expect(output: &Output, code: i32, stdout: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{output:?}");
}

#[test]
fn presence_of_a_name_is_said_by_the_exit_code_and_in_words() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    put(&redis, "door \"3\"", 1_764_270_000_000_123);
    let get = |words: &[&str]| run(&[&["presence", "get", "--presence", &url], words].concat());
    let online = "\"door \\\"3\\\"\" is online on eu-1.00000001 since 2025-11-27T19:00:00Z: \
                  session 0-17-3 of 192.0.2.7:5123, epoch 1764270000000123\n";
    expect(&get(&["door \"3\""]), 0, online);
    expect(&get(&["door"]), 1, "\"door\" is offline\n");
    expect(&get(&["--json", "door"]), 1, "{\"name\":\"door\",\"online\":false}\n");
    let object: Value = serde_json::from_slice(&get(&["--json", "door \"3\""]).stdout).unwrap();
    assert_eq!((&object["online"], &object["node"]), (&json!(true), &json!("eu-1.00000001")));
    // No client can have this one.
    assert_eq!(get(&["door\u{1b}[2J 3"]).status.code(), Some(2));
}

#[test]
fn presence_is_listed_and_counted_by_prefix_and_by_node() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    let list = |words: &[&str]| run(&[&["presence", "list", "--redis", &url], words].concat());
    expect(&list(&[]), 0, "");
    expect(&list(&["--count"]), 0, "0\n");
    for name in ["door 1", "door\t2", "gate"] {
        put(&redis, name, 7);
    }
    redis.ask(&["HSET", "{hw}:p", "far", "7 us.1.00000002 0-1-1 5 9 192.0.2.8:1"]);
    let output = list(&["--prefix", "door"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().collect();
    lines[1..].sort_unstable();
    let expected = [
        "NAME     NODE           SINCE                 SESSION  PEER",
        "door 1   eu-1.00000001  2025-11-27T19:00:00Z  0-17-3   192.0.2.7:5123",
        "door\\t2  eu-1.00000001  2025-11-27T19:00:00Z  0-17-3   192.0.2.7:5123",
    ];
    assert_eq!(lines, expected);
    for (words, count) in [
        (&["--count"][..], 4),
        (&["--count", "--on", "eu-1"], 3),
        (&["--count", "--on", "us.1.00000002", "--prefix", "f"], 1),
        (&["--count", "--on", "us"], 0),
    ] {
        expect(&list(words), 0, &format!("{count}\n"));
        expect(&list(&[words, &["--json"]].concat()), 0, &format!("{{\"names\":{count}}}\n"));
    }
    let object: Value = serde_json::from_slice(&list(&["--json", "--on", "us.1"]).stdout).unwrap();
    assert_eq!((&object["name"], &object["instance"]), (&json!("far"), &json!(9)));
}

#[test]
fn nodes_are_listed_with_their_leases() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    let nodes = |words: &[&str]| run(&[&["presence", "nodes", "--presence", &url], words].concat());
    expect(&nodes(&[]), 0, "no nodes\n");
    expect(&nodes(&["--json"]), 0, "");
    redis.type_in(
        "ZADD {hw}:nodes 99999999999999 eu-1.00000001 1000 eu-2.00000002\n\
         ZADD {hw}:reaping 1000 eu-3.00000003\n\
         HSET {hw}:node:eu-1.00000001 since 1764270000000000 address 192.0.2.1:29002\n",
    );
    let output = nodes(&[]);
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NODE", "STATE", "LEASE", "NAMES", "SINCE", "ADDRESS"]);
    let first = &words[1];
    assert_eq!((&first[..2], first[4]), (&["eu-1.00000001", "alive"][..], "left"), "{text}");
    assert_eq!(first[5..], ["0", "2025-11-27T19:00:00Z", "192.0.2.1:29002"]);
    assert_eq!(words[2][..4], ["eu-2.00000002", "expired", "over", "for"]);
    assert_eq!(words[3], ["eu-3.00000003", "reaping", "-", "0", "-", "-"]);
    let output = nodes(&["--json"]);
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap().to_owned();
    let expected = r#"{"node":"eu-3.00000003","name":"eu-3","state":"reaping","lease_ms":null,"#;
    assert!(last.starts_with(expected), "{last}");
}

#[test]
fn kick_says_whom_it_has_told_and_whether_the_session_has_ended() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    let kick = ["presence", "kick", "door", "--presence", &url];
    expect(&run(&kick), 1, "\"door\" is offline\n");
    put(&redis, "door", 7);
    let dead = "the node of \"door\" is dead: others tell it offline soon\n";
    expect(&run(&kick), 1, dead);
    redis.ask(&["ZADD", "{hw}:nodes", "99999999999999", "eu-1.00000001"]);
    let told = "told eu-1.00000001 to end the session of \"door\"\n";
    let idle = "eu-1.00000001 has not ended it within 2s: it will when it reads that, if it is \
                not dead\n";
    expect(&run(&kick), 1, &format!("{told}{idle}"));

    // A node that does as it was told, and a client that comes back.
    for (next, ended) in [
        (None, "the session of \"door\" has ended\n"),
        (Some(8), "the session of \"door\" has ended; it is online again\n"),
    ] {
        put(&redis, "door", 7);
        redis.ask(&["DEL", "{hw}:cmd:eu-1.00000001"]);
        let mut process = Process::spawn(heartwire(&kick).stdout(Stdio::piped()));
        let lines = Lines::of(process.0.stdout.take().unwrap());
        redis.ask(&["XREAD", "BLOCK", "0", "STREAMS", "{hw}:cmd:eu-1.00000001", "0"]);
        match next {
            Some(epoch) => put(&redis, "door", epoch),
            None => drop(redis.ask(&["HDEL", "{hw}:p", "door"])),
        }
        assert_eq!(process.exit_code(), Some(0));
        let said: String = lines.all().iter().map(|line| line.text.clone() + "\n").collect();
        assert_eq!(said, format!("{told}{ended}"));
    }
}

#[test]
fn watch_prints_the_names_and_then_each_change_and_says_that_redis_is_away() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    put(&redis, "gate", 7);
    put(&redis, "door 1", 7);
    let url = redis.url();
    let watch = |words: &[&str]| {
        let words = [&["presence", "watch", "--json", "--presence", &url], words].concat();
        let mut process = Process::spawn(heartwire(&words).stdout(Stdio::piped()));
        let lines = Lines::of(process.0.stdout.take().unwrap());
        (process, lines)
    };
    let (mut process, lines) = watch(&["--prefix", "door"]);
    let (mut other, other_lines) = watch(&["--changes-only"]);
    assert_eq!(other_lines.event("snapshot").count("names"), 2);
    let snapshot = lines.event("snapshot");
    assert_eq!((snapshot.text("because"), snapshot.count("names")), ("first", 1));
    assert_eq!(lines.event("entry").text("name"), "door 1");

    tell(&redis, "moved", "door 1", &json!({"from": "us.1.00000002"}));
    tell(&redis, "online", "gate", &json!({}));
    tell(&redis, "incident", "gate", &json!({"incident": "a1"}));
    tell(&redis, "offline", "door 1", &json!({"reason": "dead", "incident": "a1"}));
    let moved = lines.event("moved");
    assert_eq!(moved.text("from"), "us.1.00000002");
    assert_eq!(moved.text("time"), "2025-11-27T19:00:00.000001Z");
    assert_eq!(lines.event("incident")["says"]["incident"], "a1");
    let offline = lines.event("offline");
    assert_eq!((offline.text("reason"), offline.text("incident")), ("dead", "a1"));
    assert_eq!(other_lines.event("online").text("name"), "gate");

    redis.kill();
    assert!(lines.event("disconnected").text("detail").starts_with("redis+unix://"));
    redis.start_again();
    lines.event("connected");
    let all = lines.first_events("snapshot", 2);
    assert_eq!((all[1].text("because"), all[1].count("names")), ("another_server", 0));
    for process in [&mut process, &mut other] {
        process.signal(Signal::TERM);
        assert_eq!(process.exit_code(), Some(0));
    }
    let events = other_lines.all_events();
    assert!(events.iter().all(|event| event.name() != "entry"), "{events:?}");
    assert!(lines.all_events().iter().all(|event| event["name"] != "gate"), "it is no door");
}

#[test]
fn kick_ends_a_session_on_a_server_of_another_process() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let url = redis.url();
    let server = Server::start_plain(&["--presence", &url, "--node", "one"]);
    server.events.event_where("presence", |event| event["state"] == "joined");
    let client = Client::start_plain(server.addr, &["--name", "door 3", "--timeout", "60s"]);
    client.event("online");
    let get = ["presence", "get", "door 3", "--presence", &url];
    wait_until("it is there", || run(&get).status.success());
    let output = run(&["presence", "kick", "door 3", "--presence", &url]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.event("offline").text("reason"), "kicked");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("told one.") && text.contains("\"door 3\" has ended"), "{text}");
}
