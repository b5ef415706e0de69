//! The storm as a program, and a small one with real clients.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::process::{Command, Output};

use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

#[test]
fn a_simulated_storm_is_printed_in_each_format() {
    let args = ["--clients", "2000", "--capacity", "1000", "--seed", "5"];
    let text = run(&args);
    assert!(text.status.success());
    assert!(String::from_utf8_lossy(&text.stderr).contains("seed 5"));
    let printed = String::from_utf8(text.stdout).unwrap();
    // A title, and a line for each policy.
    assert_eq!(printed.lines().count(), 1 + 6, "{printed}");

    let json = run(&[&args[..], &["--policy", "jitter", "--format", "json"]].concat());
    let object: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(object["storms"][0]["back"], 2000);
    assert_eq!(object["seed"], 5);

    let page = run(&[&args[..], &["--policy", "jitter", "--format", "markdown"]].concat());
    assert!(String::from_utf8(page.stdout).unwrap().starts_with("| policy |"));
}

#[test]
fn a_default_that_stays_outside_is_a_failure() {
    let slow = ["--clients", "30000", "--capacity", "200", "--policy", "jitter"];
    let stuck = run(&[&slow[..], &["--stale-after", "off"]].concat());
    assert_eq!(stuck.status.code(), Some(1));
    assert!(String::from_utf8(stuck.stdout).unwrap().contains("stuck"));
}

#[test]
fn drawn_storms_are_held_against_what_is_promised() {
    let args = ["--random", "5", "--clients", "2000", "--seed", "1"];
    let kept = run(&args);
    assert!(kept.status.success());
    assert!(String::from_utf8(kept.stdout).unwrap().starts_with("5 storms, 0 not over in time"));
}

#[test]
fn impossible_arguments_are_refused() {
    for args in [&["--clients", "0"][..], &["--real", "--capacity", "5"], &["--outage", "2days"]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn real_clients_come_back_to_a_real_server() {
    if heartwire_testkit::built_beside(LAB, "heartwire").is_none() {
        return;
    }
    let args = ["--real", "--clients", "300", "--outage", "1s", "--format", "json"];
    let real = run(&[&args[..], &["--policy", "jitter,hint,fixed-100ms"]].concat());
    let said = String::from_utf8_lossy(&real.stderr);
    assert!(real.status.success(), "{said}");
    let object: Value = serde_json::from_slice(&real.stdout).unwrap();
    for storm in object["storms"].as_array().unwrap() {
        assert_eq!(storm["back"], 300, "{storm}\n{said}");
        assert!(storm["attempts"].as_u64().unwrap() >= 300, "{storm}");
        // All may be back before a busy machine has heard the server say that it listens.
        let are_early = storm["back_100_s"] == 0.0;
        assert!(are_early || storm["peak_per_second"].as_u64().unwrap() >= 1, "{storm}");
    }
    // Clients that wait 100 ms are refused about ten times a second, the others less often.
    let refused = |storm: usize| object["storms"][storm]["refused_in_outage"].as_u64().unwrap();
    assert!(refused(2) > refused(0), "{object}");
}

fn run(args: &[&str]) -> Output {
    Command::new(LAB).arg("storm").args(args).output().unwrap()
}
