//! Options from environment variables.

use std::process::{Output, Stdio};

use heartwire_testkit::{Lines, Process};
use rustix::process::Signal;
use serde_json::Value;

use crate::program::heartwire;

fn run(variables: &[(&str, &str)], args: &[&str]) -> Output {
    heartwire(args).envs(variables.iter().copied()).output().unwrap()
}

/// What `plan` prints.
#[track_caller]
fn plan(variables: &[(&str, &str)], args: &[&str]) -> String {
    let output = run(variables, &[&["plan"], args].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it refuses its settings.
#[track_caller]
fn refusal(variables: &[(&str, &str)], args: &[&str]) -> String {
    let output = run(variables, args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn variables_set_times_flags_lists_and_off() {
    let mut command = heartwire(&["serve"]);
    command.env("HEARTWIRE_LISTEN", "127.0.0.1:0,127.0.0.1:0").env("HEARTWIRE_JSON", "1");
    command.env("HEARTWIRE_INTERVAL", "off").env("HEARTWIRE_TIMEOUT", "40");
    command.env("HEARTWIRE_THREADS", "").env("HEARTWIRE_COMMANDS", "false");
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let events = Lines::of(process.0.stdout.take().unwrap());
    let listening = events.event("listening");
    assert_eq!(listening["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(listening["policy"]["interval_ms"], Value::Null);
    assert_eq!(listening["policy"]["timeout_ms"], 40_000.0);
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn the_command_line_overrides_the_environment() {
    let from_variable = plan(&[("HEARTWIRE_TIMEOUT", "50s")], &[]);
    assert!(from_variable.contains("timeout 50s"), "{from_variable}");
    let typed = plan(&[("HEARTWIRE_TIMEOUT", "soon")], &["--timeout", "70s"]);
    assert!(typed.contains("timeout 70s"), "{typed}");
    // Also where the two options exclude each other.
    let within = plan(&[("HEARTWIRE_TIMEOUT", "50s")], &["--within", "9s"]);
    assert_eq!(within, plan(&[], &["--within", "9s"]));
    let as_text = plan(&[("HEARTWIRE_JSON", "true")], &["--format", "text"]);
    assert_eq!(as_text, plan(&[], &[]));
    let as_text = plan(&[("HEARTWIRE_JSON", "false"), ("HEARTWIRE_FORMAT", "text")], &[]);
    assert_eq!(as_text, plan(&[], &[]));
}

#[test]
fn an_excluded_variable_is_logged() {
    let output = run(&[("HEARTWIRE_TIMEOUT", "50s")], &["plan", "--within", "9s", "-v"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("HEARTWIRE_TIMEOUT"), "{log}");
}

#[test]
fn a_refused_value_is_that_of_a_variable() {
    let said = refusal(&[("HEARTWIRE_TIMEOUT", "30x")], &["serve"]);
    assert!(said.contains("invalid value '30x' for 'HEARTWIRE_TIMEOUT'"), "{said}");
    let said = refusal(&[("HEARTWIRE_JSON", "maybe")], &["plan"]);
    assert!(said.contains("for 'HEARTWIRE_JSON': write true or false"), "{said}");
    let said = refusal(&[("HEARTWIRE_EVENTS", "online,none")], &["serve"]);
    assert!(said.contains("invalid value 'none' for 'HEARTWIRE_EVENTS'"), "{said}");
    let said = refusal(&[("HEARTWIRE_JSON", "yes"), ("HEARTWIRE_FORMAT", "json")], &["plan"]);
    assert!(said.contains("'HEARTWIRE_FORMAT' cannot be used with 'HEARTWIRE_JSON'"), "{said}");
}

#[test]
fn a_variable_that_contradicts_the_command_line_is_named() {
    let said = refusal(&[("HEARTWIRE_TLS_CA", "ca.pem")], &["connect", "localhost"]);
    assert!(said.contains("tip: the environment sets HEARTWIRE_TLS_CA"), "{said}");
    let args = ["connect", "--protocol", "v0", "localhost"];
    let said = refusal(&[("HEARTWIRE_NAME", "bob"), ("HEARTWIRE_RTT", "")], &args);
    assert!(said.ends_with("heartwire: the environment sets HEARTWIRE_NAME\n"), "{said}");
}
