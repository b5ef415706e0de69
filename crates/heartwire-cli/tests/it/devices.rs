//! The clients in C that the book shows.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use heartwire_testkit::{Lines, Process, compile_c, ms, skip, wait_until};
use tempfile::TempDir;

use crate::program::Server;

/// Compiles it, for an interval of 200 ms and a timeout of 2 s.
fn client_in(directory: &TempDir) -> Option<PathBuf> {
    let chapter = include_str!("../../../../docs/book/src/devices.md");
    let (_, listing) = chapter.split_once("```c\n").unwrap();
    let (source, program) = (directory.path().join("client.c"), directory.path().join("client"));
    fs::write(&source, listing.split_once("```").unwrap().0).unwrap();
    let options = ["-std=c99", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"];
    let times = ["-DINTERVAL=200", "-DTIMEOUT=2000", "-o"];
    match Command::new("cc").args(options).args(times).arg(&program).arg(&source).output() {
        Ok(compiled) => {
            assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
            Some(program)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("cc is not installed");
            None
        }
        Err(error) => panic!("cannot run cc: {error}"),
    }
}

/// Starts it, and waits until the server has sent back its `hello`.
#[track_caller]
fn start(program: &Path, server: &Server) -> (Process, Lines) {
    let port = server.addr.port().to_string();
    let mut command = Command::new(program);
    let command = command.args(["127.0.0.1", &port]).stdout(Stdio::piped());
    let mut client = Process::spawn(command);
    let printed = Lines::of(client.0.stdout.take().unwrap());
    assert_eq!(printed.first(1)[0].text, "hello");
    (client, printed)
}

#[test]
fn a_client_in_c_finds_a_server_that_hangs_and_is_found_when_it_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = client_in(&directory) else { return };
    let server = Server::start(&["--interval", "200ms", "--timeout", "2s", "--on-data", "echo"]);

    let (frozen, printed) = start(&program, &server);
    // Long enough for two verdicts, if one end's heartbeats did not reach the other.
    thread::sleep(ms(4_500));
    assert_eq!(server.events.events_so_far("offline").len(), 0);
    assert_eq!(printed.so_far().len(), 1);
    frozen.freeze();
    server.events.event("verdict").expect_silence_of(2_000.0);

    let (mut client, printed) = start(&program, &server);
    server.process.freeze();
    let line = printed.line("dead").text;
    let silence = line.strip_prefix("dead: silent for ").and_then(|rest| rest.strip_suffix(" ms"));
    assert!(silence.unwrap().parse::<u32>().unwrap() >= 2_000, "{line}");
    assert_eq!(client.exit_code(), Some(5));
    server.process.thaw();
}

/// Compiles the first listing of the chapter about the C library, with shorter times.
fn door_in(directory: &TempDir) -> Option<PathBuf> {
    let chapter = include_str!("../../../../docs/book/src/firmware.md");
    let (_, listing) = chapter.split_once("```c\n").unwrap();
    let (listing, _) = listing.split_once("```").unwrap();
    let defaults = "hw_config_default(&config);\n";
    assert!(listing.contains(defaults));
    let shorter =
        format!("{defaults}    config.interval_ms = 200;\n    config.timeout_ms = 2000;\n");
    let (source, program) = (directory.path().join("door.c"), directory.path().join("door"));
    fs::write(&source, listing.replace(defaults, &shorter)).unwrap();
    let compiled = compile_c(&source, &[], &program);
    if compiled.is_none() {
        skip("cc is not installed");
    }
    compiled
}

#[test]
fn first_program_with_the_c_library_beats_finds_a_dead_server_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = door_in(&directory) else { return };
    let server = Server::start_plain(&["--interval", "200ms", "--timeout", "3s"]);
    let port = server.addr.port().to_string();
    let mut command = Command::new(program);
    let mut client = Process::spawn(command.args(["127.0.0.1", &port]).stdout(Stdio::piped()));
    let printed = Lines::of(client.0.stdout.take().unwrap());
    let times = |what: &str| printed.so_far().iter().filter(|line| line.text == what).count();

    assert_eq!(printed.first(1)[0].text, "welcome");
    assert_eq!(server.events.event("online").text("name"), "hall/door-3");
    assert_eq!(server.events.event("data")["preview"], "\"the door is open\"");
    wait_until("it has heard beats", || times("beat") > 2);

    server.process.freeze();
    let line = printed.line("dead").text;
    let silence = line.strip_prefix("dead: silent for ").and_then(|rest| rest.strip_suffix(" ms"));
    assert!(silence.unwrap().parse::<u32>().unwrap() >= 2_000, "{line}");
    server.process.thaw();
    wait_until("it is back", || times("welcome") == 2);
}
