//! `heartwire-lab crowd` from end to end, with few sessions on several servers.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use heartwire_testkit::{built_beside, descendants, wait_until_gone};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

fn crowd(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LAB).arg("crowd").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn sessions_on_three_servers_are_held_and_judged() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    for protocol in ["v0", "v1"] {
        let (code, report, progress) = crowd(&[
            "--sessions=300",
            "--per-process=100",
            "--interval=1s",
            "--timeout=4s",
            "--freeze=20%",
            "--format=json",
            "--protocol",
            protocol,
        ]);
        assert_eq!(code, Some(0), "{report}{progress}");
        let report: Value = serde_json::from_str(&report).unwrap();
        let names = ["sessions", "held", "processes", "frozen", "early", "false", "missing"];
        let counts = names.map(|name| &report[name]);
        assert_eq!(json!(counts), json!([300, 300, 3, 60, 0, 0, 0]), "{report}");
        assert_eq!(report.pointer("/verdict_ms/count"), Some(&json!(60)), "{report}");
        let beats = report["beats"].as_u64().unwrap();
        assert!((600..=1500).contains(&beats), "{report}");
    }
}

#[test]
fn too_few_descriptors_are_refused_with_how_many_sessions_would_do() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    // By way of a shell, because only it can lower its own limit.
    let script = format!("ulimit -n 100; exec '{LAB}' crowd --sessions 5000");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ulimit -n") && said.contains("at most --sessions"), "{said}");
}

#[test]
fn clients_are_no_command_for_people() {
    let output = Command::new(LAB).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("crowd") && !help.contains("crowd-clients"), "{help}");
}

#[test]
fn stopped_and_killed_crowds_leave_no_process() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    for (signal, code) in [(Signal::INT, Some(1)), (Signal::TERM, Some(1)), (Signal::KILL, None)] {
        let mut crowd = Running::start();
        let others = descendants(crowd.child.id());
        // Two processes of clients, and their servers.
        assert_eq!(others.len(), 4, "{others:?}");
        kill_process(Pid::from_child(&crowd.child), signal).unwrap();
        assert_eq!(crowd.child.wait().unwrap().code(), code);
        wait_until_gone(&others);
    }
}

#[test]
fn killed_clients_take_their_server_and_the_crowd_along() {
    if built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let mut crowd = Running::start();
    let others = descendants(crowd.child.id());
    // Its own children come before theirs.
    kill(others[0], Signal::KILL);
    assert_eq!(crowd.child.wait().unwrap().code(), Some(1));
    wait_until_gone(&others);
}

/// A crowd whose clients are connected.
struct Running {
    child: Child,
    _progress: BufReader<ChildStderr>,
}

impl Running {
    fn start() -> Self {
        let mut child = Command::new(LAB)
            .args(["crowd", "--sessions=40", "--per-process=20", "--interval=500ms"])
            .args(["--timeout=60s", "--time=60s"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("settle") {
            line.clear();
            assert!(progress.read_line(&mut line).unwrap() > 0, "it ended before all connected");
        }
        Self { child, _progress: progress }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}
