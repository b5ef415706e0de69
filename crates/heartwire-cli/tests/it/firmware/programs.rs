//! The other examples, and what checks all of them at run time.

use std::fs;
use std::process::{Command, Stdio};

use heartwire_testkit::{
    Lines, Listener, Process, SANITIZERS, c_sources, compile_c, skip, wait_until,
};

use super::{Client, SERVER, built, sanitizes};
use crate::program::Server;

/// `examples/upper.c`, as `reference` plays it with our own client: keepalive, no headers, and it
/// starts over after each end.
#[test]
fn c_client_of_the_tutorials_kernel_variant_sends_back_capitals() {
    let options = if sanitizes() { &SANITIZERS[..] } else { &[] };
    let source = c_sources().join("examples/upper.c");
    let Some(program) = compile_c(&source, options, &built("upper")) else {
        return skip("cc is not installed");
    };
    let listener = Listener::new();
    let (client, _output) = Client::start_unread(&mut Command::new(program), listener.addr(), &[]);
    let sent = "straße 39002, BEAT\n".as_bytes();
    for _ in 0..3 {
        let mut server = listener.accept();
        server.send(sent);
        assert_eq!(server.read(sent.len()), sent.to_ascii_uppercase(), "ASCII letters only");
        #[cfg(target_os = "linux")]
        {
            let port = server.stream.peer_addr().unwrap().port();
            wait_until("the first probe is due in 6 s", || {
                keepalive_ms(port).is_some_and(|ms| (1..=6_000).contains(&ms))
            });
        }
    }
    client.events.line("keepalive after 6 s, every 1 s, 6 times; user timeout 12000 ms");
}

/// When the kernel sends a probe on the connection from this port of the IPv4 loopback; `None` if
/// its timer is another.
#[cfg(target_os = "linux")]
fn keepalive_ms(port: u16) -> Option<u64> {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let from = format!("0100007F:{port:04X}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let socket = sockets.lines().map(fields).find(|fields| fields[1] == from)?;
    // Timer 2 is keepalive; in hundredths of a second.
    let due = socket[5].strip_prefix("02:")?;
    Some(u64::from_str_radix(due, 16).unwrap() * 10)
}

/// `examples/hello.cc`.
#[test]
fn cpp_client_talks_and_finds_a_server_that_hangs() {
    let options = if sanitizes() { &SANITIZERS[..] } else { &[] };
    let source = c_sources().join("examples/hello.cc");
    let Some(program) = compile_c(&source, options, &built("hello")) else {
        return skip("c++ is not installed");
    };
    let server = Server::start_plain(&[&SERVER[..], &["--on-data", "upper"]].concat());
    let mut command = Command::new(program);
    command.args([server.addr.ip().to_string(), server.addr.port().to_string()]);
    let mut client = Process::spawn(command.arg("pump-7").stdout(Stdio::piped()));
    let output = Lines::of(client.0.stdout.take().unwrap());
    let first: Vec<_> = output.first(2).into_iter().map(|line| line.text).collect();
    assert_eq!(first, ["online, and the server is dead after 3000 ms", "HELLO"]);
    assert_eq!(server.event("online")["name"], "pump-7");
    server.process.freeze();
    let verdict = output.line("dead: silent for ").text;
    let silence = verdict.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
    assert!(silence >= 3_000, "{verdict}");
    assert_eq!(client.exit_code(), Some(5));
    server.process.thaw();
}

/// Memory that is not initialised, which sanitizers do not see.
#[test]
fn c_client_is_clean_under_valgrind() {
    let source = c_sources().join("examples/posix.c");
    let Some(program) = compile_c(&source, &[], &built("posix-plain")) else {
        return skip("cc is not installed");
    };
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return skip("valgrind is not installed");
    }
    let mut server = Server::start_with_input(&["--commands", "--on-data", "echo"], Stdio::piped());
    for args in [&["-n", "pump-7", "-g", "60000"][..], &["-n", "pump-8"], &["-0"]] {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]).arg(&program);
        let (mut client, output) = Client::start_unread(&mut valgrind, server.addr, args);
        client.event("online");
        // The first client only receives.
        client.type_in("one\n");
        let output = Lines::of(output);
        if args.contains(&"-g") {
            server.type_in("/all two\n");
            output.line("two");
        } else {
            output.line("one");
        }
        client.stop();
    }
}

/// What makes the other tests here check more than they say.
#[test]
fn c_programs_are_stopped_at_their_first_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("mistake.c");
    fs::write(&source, MISTAKES).unwrap();
    let program = directory.path().join("mistake");
    if !sanitizes() {
        return skip("cc has no sanitizers");
    }
    let program = compile_c(&source, &SANITIZERS, &program).unwrap();
    for (mistake, report) in
        [("rx", "heap-buffer-overflow"), ("sum", "signed integer overflow"), ("leak", "leaked")]
    {
        let output = Command::new(&program).arg(mistake).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(report), "{mistake}: {said}");
    }
    assert!(Command::new(&program).arg("none").status().unwrap().success());
}

const MISTAKES: &str = r#"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    int sum = INT_MAX;
    char *rx = malloc((size_t)argc * 100);
    if (rx == NULL) return 1;
    memset(rx, 0, (size_t)argc * 100 + (argv[1][0] == 'r'));
    if (argv[1][0] == 's') sum += argc;
    if (argv[1][0] != 'l') free(rx);
    rx = NULL;
    return sum == 0;
}
"#;
