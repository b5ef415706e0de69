//! `heartwire-lab bench` and `swarm` from end to end, with few connections. They assert
//! counts and no times.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use heartwire_testkit::{Process, built_beside, descendants, skip, wait_until_gone};
use rustix::process::Signal;
use serde_json::{Value, json};

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

fn bench(args: &[&str]) -> (Option<i32>, String, String) {
    lab(&[&["bench"], args].concat())
}

fn lab(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LAB).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_beat_is_sent_and_every_verdict_is_right() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let (code, report, progress) = bench(&[
        "--connections=200",
        "--interval=500ms",
        "--time=2s",
        "--timeout=3s",
        "--format=json",
    ]);
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let counts = ["connections", "beats", "early", "false", "missing"].map(|name| &report[name]);
    assert_eq!(json!(counts), json!([200, 800, 0, 0, 0]), "{report}");
    assert_eq!(report.pointer("/verdict_ms/count"), Some(&json!(200)), "{report}");
    assert_eq!(report.pointer("/seen_ms/count"), Some(&json!(200)), "{report}");
}

#[test]
fn either_protocol_is_loaded_in_the_open_and_over_tls() {
    for args in [&["--tls"][..], &["--protocol=v1", "--both"], &["--protocol=v1", "--tls"]] {
        expect_no_wrong_verdict(args);
    }
}

#[track_caller]
fn expect_no_wrong_verdict(args: &[&str]) {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let load =
        ["--connections=40", "--interval=500ms", "--time=1s", "--timeout=3s", "--format=json"];
    let (code, report, progress) = bench(&[&load, args].concat());
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let counts = ["connections", "beats", "early", "false", "missing"].map(|name| &report[name]);
    assert_eq!(json!(counts), json!([40, 80, 0, 0, 0]), "{report}");
    let is_tls = report["server"].as_str().unwrap().contains("TLS");
    assert_eq!(is_tls, args.contains(&"--tls"), "{report}");
}

#[test]
fn without_a_freeze_there_is_no_verdict() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let (code, report, progress) = bench(&[
        "--connections=20",
        "--interval=100ms",
        "--spread=burst",
        "--time=300ms",
        "--no-freeze",
        "--format=json",
    ]);
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["beats"], &report["verdict_ms"]), (&json!(60), &Value::Null), "{report}");
}

#[test]
fn more_connections_than_open_files_are_refused_with_the_reason() {
    // By way of a shell, because only it can lower its own timeout.
    let script = format!("ulimit -n 100; exec '{LAB}' bench --connections 90");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("at most --connections 36"), "{said}");
}

#[test]
fn the_load_never_leaves_this_machine() {
    let (code, _, said) = bench(&["--server=1", "--target=192.0.2.1:29002"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("loopback"), "{said}");
}

#[test]
fn the_baselines_and_the_server_are_compared_in_one_object() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let load =
        ["--connections=10", "--interval=200ms", "--time=200ms", "--timeout=3s", "--no-freeze"];
    let only = "--only=tokio,sweep,v0-coalesce-0,v0,v0-coalesce-5,v0-coalesce-16,v0-echo,v0-tls,v1,\
                v1-both,v1-tls";
    let (code, report, progress) =
        bench(&[&load, ["--compare", "--format=json", only].as_slice()].concat());
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 13, "{report}");
    for server in servers {
        // As many as beats, but for those at the edges of the time. A server that sends beats of
        // its own sends a seventh more.
        let answers = server["answers_per_beat"].as_f64().unwrap();
        let expected = if server["answers"] == json!(true) { 0.5..2.0 } else { 0.0..0.1 };
        assert!(expected.contains(&answers), "{server}");
        assert_eq!(
            (&server["connections"], &server["beats"]),
            (&json!(10), &json!(10)),
            "{server}"
        );
    }
}

#[test]
fn a_baseline_is_no_command_for_people() {
    let (code, help, _) = lab(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("bench") && !help.contains("baseline"), "{help}");
}

#[test]
fn a_swarm_sees_every_promise_kept() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let phases = ["--interval=300ms", "--timeout=2s", "--calm=500ms", "--stop=2500ms"];
    let (code, said, why) = lab(&[["swarm", "--connections=30"].as_slice(), &phases].concat());
    assert_eq!(code, Some(0), "{said}{why}");
    assert!(said.contains("30 verdicts"), "{said}");
}

#[test]
fn a_pinned_load_leaves_its_processor_to_itself() {
    let has_two = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    if !has_two || Command::new("taskset").arg("--version").output().is_err() {
        skip("there is one processor only, or no taskset (util-linux)");
        return;
    }
    let load = ["--connections=5", "--interval=100ms", "--time=100ms", "--no-freeze"];
    let args = ["--compare", "--only=tokio", "--pin", "--format=json"];
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let (code, report, progress) = bench(&[load.as_slice(), &args].concat());
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let load = report["load"].as_str().unwrap();
    assert!(load.contains("The server is on one processor"), "{load}");
    // Counted before: not the one that the load was kept on.
    assert!(!report["machine"].as_str().unwrap().starts_with("1 cores"), "{report}");
}

/// A comparison with one other server, in which the load ends with a freeze. Its row.
fn row_of(peer: &str) -> Option<Value> {
    built_beside(LAB, "heartwire")?;
    let load = ["--connections=50", "--interval=100ms", "--time=1s", "--timeout=3s"];
    let only = format!("--only={peer}");
    let args = ["--compare", "--format=json", &only];
    let (code, report, progress) = bench(&[load.as_slice(), &args].concat());
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    if let Some(line) = report["left_out"].as_array().unwrap().first() {
        skip(line.as_str().unwrap());
        return None;
    }
    let row = report["servers"].as_array().unwrap().iter().find(|row| row["id"] == *peer);
    Some(row.unwrap().clone())
}

/// Each beat is answered, or none is, as the row says; no connection is closed before the server's
/// own timeout, and each is after it.
#[track_caller]
fn expect_as_the_row_says(peer: &str, answers: bool, timeout_ms: f64) {
    let Some(row) = row_of(peer) else { return };
    assert_eq!(
        (&row["answers"], &row["timeout_ms"]),
        (&json!(answers), &json!(timeout_ms)),
        "{row}"
    );
    assert_eq!((&row["connections"], &row["beats"]), (&json!(50), &json!(500)), "{row}");
    let answered = row["answers_per_beat"].as_f64().unwrap();
    let expected = if answers { 0.5..2.0 } else { 0.0..0.001 };
    assert!(expected.contains(&answered), "{row}");
    let wrong = ["false", "missing"].map(|name| &row[name]);
    assert_eq!(json!(wrong), json!([0, 0]), "{row}");
    // nats-server was seen to close some clients 14 ms before its third ping was due.
    assert!(row["early"] == json!(0) || peer == "nats", "{row}");
    assert_eq!(row.pointer("/seen_ms/count"), Some(&json!(50)), "{row}");
}

#[test]
fn mosquitto_answers_and_closes_after_its_keep_alive() {
    expect_as_the_row_says("mosquitto", true, 3_000.0);
}

#[test]
fn nats_answers_and_closes_after_its_pings() {
    expect_as_the_row_says("nats", true, 3_000.0);
}

#[test]
fn redis_answers_and_closes_after_its_timeout() {
    expect_as_the_row_says("redis", true, 3_000.0);
}

#[test]
fn ws_on_node_answers_and_terminates_what_does_not() {
    expect_as_the_row_says("ws", true, 3_000.0);
}

#[test]
fn netty_reads_and_closes_when_idle() {
    expect_as_the_row_says("netty", false, 3_000.0);
}

#[test]
fn erlang_reads_and_closes_when_idle() {
    expect_as_the_row_says("erlang", false, 3_000.0);
}

#[test]
fn killed_bench_leaves_no_server() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    for (server, signal) in [(&[][..], Signal::KILL), (&["--compare"], Signal::TERM)] {
        let mut command = Command::new(LAB);
        command.args(["bench", "--connections=5", "--time=60s", "--interval=100ms"]).args(server);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut bench = Process::spawn(&mut command);
        let mut progress = BufReader::new(bench.0.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("measuring") {
            line.clear();
            assert!(progress.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        let servers = descendants(bench.0.id());
        assert_eq!(servers.len(), 1, "{servers:?}");
        bench.signal(signal);
        bench.0.wait().unwrap();
        wait_until_gone(&servers);
    }
}

#[test]
fn all_servers_of_a_comparison_are_listed() {
    let (code, list, _) = bench(&["--compare", "--list"]);
    assert_eq!(code, Some(0), "{list}");
    for name in ["epoll", "answer", "v0-coalesce-5", "v1-both", "mosquitto", "erlang"] {
        assert!(list.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {list}");
    }
}
