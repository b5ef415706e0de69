//! A small flood of the real server, and of one that has no room for it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use heartwire_testkit::built_beside;
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

/// What the lab says of a small flood of `server`, and its exit code.
fn flood(server: &Path, args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(LAB)
        .args(["flood", "--silent", "300", "--handshakes", "100", "--clients", "4"])
        .args(["--time", "4s", "--format", "json", "--bin"])
        .arg(server)
        .args(args)
        .output()
        .unwrap();
    let object: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), object.get("floods").unwrap().clone())
}

#[test]
fn a_flood_harms_no_client_in_plain_text_and_over_tls() {
    let Some(server) = built_beside(LAB, "heartwire") else { return };
    let (code, floods) = flood(&server, &[]);
    assert_eq!(code, Some(0), "{floods}");
    assert_eq!(floods.as_array().unwrap().len(), 2);
    for flood in floods.as_array().unwrap() {
        let count = |name: &str| flood[name].as_u64().unwrap();
        assert_eq!(count("max_silent"), 300, "{flood}");
        assert!(count("handshakes_refused") > 100, "{flood}");
        assert!(count("newcomers") > 2, "{flood}");
        // The server has counted the same crowd.
        let unauthorized = flood["stopped"]["rejected_unauthorized"].as_u64().unwrap();
        assert!(unauthorized >= count("handshakes_refused"), "{flood}");
    }
}

#[test]
fn a_server_without_room_for_the_honest_fails() {
    let Some(server) = built_beside(LAB, "heartwire") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cramped = folder.path().join("cramped");
    let script = format!("#!/bin/sh\nexec '{}' \"$@\" --max-sessions 4\n", server.display());
    fs::write(&cramped, script).unwrap();
    fs::set_permissions(&cramped, PermissionsExt::from_mode(0o755)).unwrap();
    let (code, floods) = flood(&cramped, &["--only", "plain"]);
    assert_eq!(code, Some(1), "{floods}");
    assert_ne!(floods[0]["shut_out"], 0, "{floods}");
}
