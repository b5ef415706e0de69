//! A short schedule of faults with a real Redis. More of them, and longer ones:
//! `heartwire-lab presence`.

#![cfg(target_os = "linux")]

use std::process::Command;

use heartwire_testkit::{built_beside, skip};
use serde_json::{Value, json};

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

#[test]
fn presence_equals_the_truth_after_a_failover_and_a_node_that_was_killed() {
    let Some(server) = built_beside(LAB, "heartwire") else { return };
    if Command::new("redis-server").arg("--version").output().is_err() {
        return skip("redis-server is not installed");
    }
    // Seed 0 has both.
    let output = Command::new(LAB)
        .args(["presence", "schedules", "--seed", "0", "--slack", "60s"])
        .args(["--format", "json", "--bin"])
        .arg(server)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let object: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(object["broken"], json!([]), "{object}");
    let faults = json!({ "failed over to a replica that lags": 1, "node killed": 1 });
    assert_eq!(object["faults"], faults);
    assert!(object["changes"].as_u64().unwrap() > 100, "{object}");
    assert!(output.status.success());
}
