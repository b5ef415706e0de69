//! `heartwire bench` from end to end, with few connections. It asserts counts; times are the
//! benchmark's business, not a test's.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::process::Command;

use serde_json::{Value, json};

fn bench(args: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_heartwire");
    let output = Command::new(program).arg("bench").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_beat_is_sent_and_every_verdict_is_right() {
    let (code, report, progress) =
        bench(&["--connections=200", "--beat=500ms", "--time=2s", "--limit=3s", "--format=json"]);
    assert_eq!(code, Some(0), "{report}{progress}");
    let report: Value = serde_json::from_str(&report).unwrap();
    let counts = ["connections", "beats", "early", "false", "missing"].map(|name| &report[name]);
    assert_eq!(json!(counts), json!([200, 800, 0, 0, 0]), "{report}");
    assert_eq!(report.pointer("/verdict_ms/count"), Some(&json!(200)), "{report}");
    assert_eq!(report.pointer("/seen_ms/count"), Some(&json!(200)), "{report}");
}

#[test]
fn either_wire_is_loaded_in_the_open_and_over_tls() {
    for args in [&["--tls"][..], &["--wire=v1", "--both"], &["--wire=v1", "--tls"]] {
        expect_no_wrong_verdict(args);
    }
}

#[track_caller]
fn expect_no_wrong_verdict(args: &[&str]) {
    let load = ["--connections=40", "--beat=500ms", "--time=1s", "--limit=3s", "--format=json"];
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
    let (code, report, progress) = bench(&[
        "--connections=20",
        "--beat=100ms",
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
    // By way of a shell, because only it can lower its own limit.
    let program = env!("CARGO_BIN_EXE_heartwire");
    let script = format!("ulimit -n 100; exec '{program}' bench --connections 90");
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
