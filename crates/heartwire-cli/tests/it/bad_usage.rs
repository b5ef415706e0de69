//! What the program says to people: help, manuals, and settings that make no sense.

use heartwire_testkit::{Listener, lasting_address};
use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;

use crate::program::{PROGRAM, run};

/// `TRYCMD=overwrite cargo test` writes anew what the program says; read the difference.
#[test]
fn help_and_refusals_read_as_they_were_approved() {
    trycmd::TestCases::new()
        .register_bin("heartwire", PathBuf::from(PROGRAM))
        .case("tests/it/cmd/*.trycmd");
}

/// The example of a configuration file, and the table of options, are as the program says.
#[test]
fn configuration_is_documented_as_it_is() {
    let printed = text(run(&["serve", "--print-config=all"]));
    expect_file("serve.toml", &printed);
    let docs = fs::read_to_string(docs("configuration.md")).unwrap();
    let (before, _) = docs.split_once("|---|---|---|\n").unwrap();
    let mut table = format!("{before}|---|---|---|\n");
    let mut comment = String::new();
    for line in printed.lines() {
        let option = line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#']));
        let Some((key, default)) = option.and_then(|option| option.split_once(" = ")) else {
            comment = if line.is_empty() { String::new() } else { comment + line };
            continue;
        };
        // Where there is no default, the kind of value stands in capitals.
        let is_value = default.ends_with("iB\"") || default.to_lowercase() == default;
        let default = if is_value { format!("`{default}`") } else { String::new() };
        let reload =
            if comment.contains("# SIGHUP takes over a change.") { "yes" } else { "restart" };
        table.push_str(&format!("| `{key}` | {default} | {reload} |\n"));
    }
    expect_file("configuration.md", &table);
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// Compares a file of the documentation, or writes it anew.
#[track_caller]
fn expect_file(name: &str, expected: &str) {
    if env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        fs::write(docs(name), expected).unwrap();
    }
    let found = fs::read_to_string(docs(name)).unwrap();
    assert!(found == expected, "docs/{name} is out of date: set TRYCMD=overwrite");
}

const COMMANDS: [&str; 9] =
    ["serve", "connect", "health", "top", "presence", "demo", "plan", "completions", "man"];

#[test]
fn the_man_page_mentions_every_command() {
    let page = text(run(&["man"]));
    for command in COMMANDS {
        assert!(page.contains(&format!("heartwire\\-{command}(1)")), "{command}: {page}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(run(&["completions", shell]));
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not complete {command}");
        }
        assert!(script.contains("keepalive"), "{shell} does not complete options");
    }
}

#[test]
fn man_pages_can_be_written_into_a_directory() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man/of/heartwire");
    // Of a run before this one.
    let _ = fs::remove_dir_all(&directory);
    let output = run(&["man", "--directory", directory.to_str().unwrap()]);
    assert_eq!(text(output), "");
    for name in ["heartwire", "heartwire-serve", "heartwire-connect", "heartwire-demo"] {
        let page = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    let file = directory.join("heartwire.1");
    let output = run(&["man", "--directory", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("heartwire.1"), "{output:?}");
}

#[test]
fn a_port_that_is_in_use_is_explained() {
    // Below the range for outgoing connections.
    let addr = lasting_address();
    let _other_program = TcpListener::bind(addr).unwrap();
    let complaint_below = refusal_of(&addr.to_string());
    assert!(complaint_below.contains("Another program listens there"), "{complaint_below}");
    assert!(!complaint_below.contains("range"), "{complaint_below}");

    // In it, where an outgoing connection is enough.
    let listener = Listener::new();
    let outgoing = TcpStream::connect(listener.addr()).unwrap();
    for addr in [listener.addr(), outgoing.local_addr().unwrap()] {
        assert!((32_768..=60_999).contains(&addr.port()), "this system has another range");
        let complaint = refusal_of(&addr.to_string());
        assert!(complaint.contains("an outgoing connection happens to use this port"));
        assert!(
            complaint.contains("the range that the system takes such ports from"),
            "{complaint}"
        );
    }
    let complaint = refusal_of("192.0.2.7:29002");
    assert!(complaint.contains("does not have that address"), "{complaint}");
}

/// What it says when it cannot listen there.
#[track_caller]
fn refusal_of(addr: &str) -> String {
    let output = run(&["serve", "--listen", addr]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(output.stdout, b"", "nothing was listening");
    let complaint = complaint(&output);
    assert!(complaint.contains(addr), "{complaint}");
    complaint
}

/// Standard output of a run that succeeded and complained of nothing.
#[track_caller]
fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(complaint(&output), "");
    String::from_utf8(output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
