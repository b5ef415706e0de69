//! Ends that are flooded, or that lack something: they refuse, hold nothing, and go on.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;

use heartwire_testkit::{Lines, Process, wait_until};

use super::{Sidecar, Tunnel, accept, connect, expect_bytes, expect_reset, fill, listen, reset};
use crate::program::{PROGRAM, heartwire};

/// Whether a new connection carries bytes both ways.
#[track_caller]
fn expect_service(tunnel: &Tunnel) {
    let mut opened = tunnel.open();
    opened.program.write_all(b"hello").unwrap();
    expect_bytes(&opened.service, b"hello");
    opened.service.write_all(b"and hello").unwrap();
    expect_bytes(&opened.program, b"and hello");
}

#[test]
fn tunnel_that_has_many_opens_at_once_holds_none_of_those_that_were_killed() {
    const COUNT: usize = 300;
    let tunnel = Tunnel::start(&[]);
    let ends = [&tunnel.near, &tunnel.far];
    let held = ends.map(Sidecar::descriptors);
    let service = tunnel.service.try_clone().unwrap();
    let serves = thread::spawn(move || {
        // Each way of going: at once, with bytes on the way, and after the other end.
        let mut streams: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = service.accept() {
            if matches!((&stream).write_all(b"welcome"), Ok(())) {
                streams.push(stream);
            }
        }
    });
    let programs: Vec<_> = (0..COUNT).map(|_| connect(tunnel.near.addr())).collect();
    for (mut program, number) in programs.into_iter().zip(0..) {
        match number % 3 {
            0 => reset(program),
            1 => drop(program.write_all(b"request")),
            _ => {
                let _ = program.write_all(b"request");
                reset(program);
            }
        }
    }
    for end in ends {
        // A program that has ended with bytes unread is reset by its kernel.
        wait_until("nothing is held", || end.descriptors() <= held_of(end, ends, held));
        let told = ["opened", "closed"].map(|name| end.log.events_so_far(name).len());
        assert_eq!(told[0], told[1], "each that was opened was closed");
    }
    drop(serves);
}

fn held_of(end: &Sidecar, ends: [&Sidecar; 2], held: [usize; 2]) -> usize {
    if core::ptr::eq(end, ends[0]) { held[0] } else { held[1] }
}

/// Such a client could hold a place for as long as it likes.
#[test]
fn tunnel_far_end_ends_a_client_that_names_no_service() {
    let tunnel = Tunnel::start(&[]);
    let held = tunnel.far.descriptors();
    let mut client = heartwire(&["connect", &tunnel.far.addr().to_string(), "--retry", "never"]);
    client.args(["--format", "json", "--grace", "1m"]).stdin(Stdio::piped());
    let mut client = Process::spawn(client.stdout(Stdio::null()).stderr(Stdio::piped()));
    let events = Lines::of(client.0.stderr.take().unwrap());
    let session = events.event("online").count("session");
    let refused = tunnel.far.event_of("refused", session);
    assert_eq!(refused["detail"], "no service was named within 5s");
    assert_ne!(client.exit_code(), Some(0));
    wait_until("nothing is held", || tunnel.far.descriptors() <= held);
    expect_service(&tunnel);
}

#[test]
fn tunnel_end_without_descriptors_resets_and_goes_on_when_it_has_some() {
    for is_far in [true, false] {
        let service = listen();
        let named = format!("s={}", service.local_addr().unwrap());
        let limited = |is_limited: bool, args: &[&str]| {
            let script =
                if is_limited { "ulimit -n 40; exec \"$0\" \"$@\"" } else { "exec \"$0\" \"$@\"" };
            let mut command = Command::new("sh");
            command.args(["-c", script, PROGRAM, "tunnel"]).args(args);
            Sidecar::spawn(command.args(["--format", "json"]).stdin(Stdio::null()))
        };
        let far = ["serve", "--listen", "127.0.0.1:0", "--service", &named];
        let far = limited(is_far, &far);
        let near = ["connect", &far.addr().to_string(), "s", "--listen", "127.0.0.1:0"];
        let near = limited(!is_far, &near);
        let tunnel = Tunnel { far, near, service };
        let programs: Vec<_> = (0..40).map(|_| connect(tunnel.near.addr())).collect();
        tunnel.near.log.event("refused");
        drop(programs);
        // Those that were open have a service that has not ended.
        tunnel.service.set_nonblocking(true).unwrap();
        let works = || {
            while let Ok((stream, _)) = tunnel.service.accept() {
                reset(stream);
            }
            let refused = tunnel.near.log.events_so_far("refused").len();
            let opened = tunnel.near.log.events_so_far("opened").len();
            let _program = connect(tunnel.near.addr());
            let count = |name: &str| tunnel.near.log.events_so_far(name).len();
            wait_until("an answer", || count("refused") > refused || count("opened") > opened);
            count("opened") > opened
        };
        wait_until("it has some again", works);
    }
}

#[test]
fn tunnel_ends_whose_lines_cannot_be_written_carry_on() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let service = listen();
    let named = format!("s={}", service.local_addr().unwrap());
    // Without their lines, the ports must be known before.
    let ports = [(); 2].map(|()| heartwire_testkit::lasting_address());
    let [far, near] = ports.map(|port| port.to_string());
    let start = |args: &[&str]| {
        let mut command = heartwire(args);
        Process::spawn(command.stderr(full()).stdout(Stdio::null()))
    };
    let _far = start(&["tunnel", "serve", "--listen", &far, "--service", &named]);
    wait_until("it listens", || TcpStream::connect(ports[0]).is_ok());
    let _near = start(&["tunnel", "connect", &far, "s", "--listen", &near]);
    wait_until("it listens", || TcpStream::connect(ports[1]).is_ok());
    drop(accept(&service));
    let mut program = connect(ports[1]);
    let at_service = accept(&service);
    program.write_all(b"hello").unwrap();
    expect_bytes(&at_service, b"hello");
    reset(at_service);
    expect_reset(&program);
}

/// A flood that is refused does not slow the others down for long, nor fill the log.
#[test]
fn tunnel_that_is_flooded_with_strangers_serves_its_own() {
    let tunnel = Tunnel::start(&[]);
    let held = tunnel.far.descriptors();
    let mut opened = tunnel.open();
    for number in 0..300 {
        let mut stranger = connect(tunnel.far.addr());
        if number % 2 == 0 {
            let _ = stranger.write_all(b"GET / HTTP/1.1\r\n\r\n");
        }
    }
    opened.program.write_all(b"still here").unwrap();
    expect_bytes(&opened.service, b"still here");
    expect_service(&tunnel);
    // An open connection has two.
    wait_until("nothing is held", || tunnel.far.descriptors() <= held + 2);
    assert!(tunnel.far.log.so_far().len() < 200);
}

#[test]
fn tunnel_whose_programs_are_frozen_holds_a_window_of_each() {
    let tunnel = Tunnel::start(&["--window", "64KiB"]);
    let stuck: Vec<_> = (0..8).map(|_| tunnel.open()).collect();
    for opened in &stuck {
        assert!(fill(&opened.program) < 12 << 20);
        assert!(fill(&opened.service) < 12 << 20);
    }
    expect_service(&tunnel);
    for opened in stuck {
        reset(opened.program);
        expect_reset(&opened.service);
        assert_eq!(tunnel.near.how(opened.session), "reset_here");
    }
}
