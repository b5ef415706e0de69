//! A small run of `operate`. What it says of time is not asserted: this machine is busy.

#![cfg(target_os = "linux")]

use std::process::Command;

use heartwire_testkit::built_beside;
use serde_json::{Value, json};

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

#[test]
fn a_small_server_is_looked_after_and_drains_in_good_health() {
    let Some(server) = built_beside(LAB, "heartwire") else { return };
    let output = Command::new(LAB)
        .args(["operate", "--clients", "300", "--silent", "40", "--time", "4s"])
        .args(["--format", "json", "--bin"])
        .arg(server)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let object: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap();
    for pointer in ["/late_ms/count", "/late_listed_ms/count", "/listings"] {
        assert!(count(pointer) > 0, "{pointer}: {object}");
    }
    for health in ["livez", "readyz"] {
        assert!(count(&format!("/{health}/right")) > 10, "{object}");
        assert_eq!(count(&format!("/{health}/wrong")), 0, "{object}");
    }
    let is_fine = object["missed"] == json!([]);
    assert_eq!(output.status.code(), Some(i32::from(!is_fine)), "{object}");
}
