//! The FreeRTOS task (`examples/freertos.c`) and real servers, over a few calls of FreeRTOS on
//! POSIX threads (`crates/heartwire-ffi/tests/freertos`).

use core::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use heartwire_testkit::{Lines, Listener, Peer, Process, c_sources, ms};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{Dead, compile, expect_count};
use crate::program::Server;

/// Compiles the task in a device.
fn device() -> Option<(TempDir, PathBuf)> {
    let directory = tempfile::tempdir().unwrap();
    let sources =
        ["examples/net_posix.c", "tests/freertos/main.c", "tests/freertos/posix/kernel.c"];
    let include = format!("-I{}", c_sources().join("tests/freertos/posix").display());
    let program = directory.path().join("freertos");
    let program = compile("examples/freertos.c", &sources, &[&include], &program)?;
    Some((directory, program))
}

/// Starts the device with this protocol.
#[track_caller]
fn start(program: &Path, server: SocketAddr, protocol: &str) -> (Process, Lines) {
    let mut command = Command::new(program);
    command.env("HOST", server.ip().to_string()).env("PORT", server.port().to_string());
    command.env("PROTOCOL", protocol).stdout(Stdio::piped());
    let times = if protocol == "raw" { ["0", "0"] } else { ["200", "3000"] };
    command.env("INTERVAL", times[0]).env("TIMEOUT", times[1]);
    let mut device = Process::spawn(&mut command);
    let printed = Lines::of(device.0.stdout.take().unwrap());
    (device, printed)
}

const BEATS: [&str; 6] = ["--interval", "200ms", "--timeout", "2s", "--on-data", "echo"];

#[test]
fn freertos_task_is_served_and_finds_each_fault() {
    let Some((_directory, program)) = device() else { return };
    let more = ["--protocol", "v1", "--min-interval", "100ms", "--commands"];
    let mut server = Server::start_with_input(&[&BEATS[..], &more].concat(), Stdio::piped());
    let (device, printed) = start(&program, server.addr, "v1");
    for line in ["welcome", "data press 1", "data press 2", "data press 3"] {
        printed.line(line);
    }
    server.type_in("/all good morning\n");
    printed.line("data good morning");
    // Longer than both timeouts, and over the end of the tick counter's 32 bits.
    thread::sleep(ms(6_500));
    assert_eq!(server.events.events_so_far("offline").len(), 0);
    assert_eq!(printed.so_far().len(), 5, "{:?}", printed.so_far());

    server.process.freeze();
    expect_count(&printed, "dead", 1);
    Dead::nth(&printed, 0).expect_bound();
    server.process.thaw();
    expect_count(&printed, "welcome", 2);
    server.events.first_events("online", 2);

    device.freeze();
    server.events.first_events("offline", 2)[1].expect_silence_of(2_000.0);
    device.thaw();
    // It finds a connection that the server has closed, and no dead server: it was paused itself.
    expect_count(&printed, "welcome", 3);
    expect_count(&printed, "dead", 1);

    server.type_in("/kick freertos\n");
    printed.line("the server refuses this device");
    let so_far = printed.so_far().len();
    thread::sleep(ms(2_500));
    assert_eq!(printed.so_far().len(), so_far, "it waits until a person has looked at it");
    device.signal(Signal::USR1);
    expect_count(&printed, "welcome", 4);
}

#[test]
fn freertos_task_of_v0_finds_a_frozen_server_and_is_found() {
    let Some((_directory, program)) = device() else { return };
    let server = Server::start(&BEATS);
    let (device, printed) = start(&program, server.addr, "v0");
    printed.line("data press 3");
    server.process.freeze();
    expect_count(&printed, "dead", 1);
    Dead::nth(&printed, 0).expect_bound();
    server.process.thaw();
    server.events.first_events("online", 2);
    device.freeze();
    server.events.first_events("offline", 2)[1].expect_silence_of(2_000.0);
}

#[test]
fn freertos_task_answers_raw_bytes_in_upper_case_as_the_tutorials_does() {
    let Some((_directory, program)) = device() else { return };
    let listener = Listener::new();
    let (_device, printed) = start(&program, listener.addr(), "raw");
    let mut peer = listener.accept();
    // More than all of its buffers, and the sockets': it answers as fast as its server reads.
    let text = "long text, ".repeat(20_000);
    let mut typist = Peer::of(peer.stream.try_clone().unwrap());
    let sent = text.clone();
    let typist = thread::spawn(move || typist.send(sent.as_bytes()));
    assert!(peer.read(text.len()) == text.to_uppercase().as_bytes());
    typist.join().unwrap();
    drop(peer);
    printed.line("closed");
    let mut peer = listener.accept();
    peer.send(b"again");
    assert_eq!(peer.read(5), b"AGAIN");
}
