//! `heartwire health`, as a container's health check meets it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use heartwire_testkit::{BEAT, Peer, wait_until};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{Server, run};

/// What it does when a server answers `status` and `body`, and what it asked for.
fn health(args: &[&str], status: &str, body: &str) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request: Vec<_> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
        stream.write_all(answer.as_bytes()).unwrap();
        request[0].clone()
    });
    let output = run(&[&["health", &url], args].concat());
    (output, server.join().unwrap())
}

#[track_caller]
fn expect(output: &Output, code: i32, stdout: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{output:?}");
}

#[test]
fn health_is_said_by_the_exit_code_and_in_words() {
    let (output, asked) = health(&[], "200 OK", r#"{"ready":true,"reasons":[]}"#);
    expect(&output, 0, "ready\n");
    assert_eq!(asked, "GET /readyz HTTP/1.1");
    let evil = r#"{"ready":false,"reasons":["draining","\u001b[2J"]}"#;
    let (output, _) = health(&[], "503 Service Unavailable", evil);
    expect(&output, 1, "not ready: draining, \\u{1b}[2J\n");
    let (output, asked) = health(&["--live", "--json"], "503 Service Unavailable", "{}");
    expect(&output, 1, "{\"check\":\"live\",\"ok\":false,\"reasons\":[]}\n");
    assert_eq!(asked, "GET /livez HTTP/1.1");
}

#[test]
fn health_without_an_answer_says_why() {
    let (output, _) = health(&[], "404 Not Found", "");
    expect(&output, 4, "");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("is not that of `heartwire serve --http` (404"), "{complaint}");
    let output = run(&["health", "unix:/nowhere/http.sock"]);
    expect(&output, 4, "");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("cannot connect to unix:/nowhere/http.sock"), "{complaint}");
}

#[test]
fn health_of_a_server_that_drains_is_not_ready_and_alive() {
    let folder = TempDir::new().unwrap();
    let at = format!("unix:{}", folder.path().join("http.sock").display());
    let server = Server::start(&["--http", &at, "--drain", "10m"]);
    // One that does not close keeps the drain going.
    let mut peer = Peer::connect(server.addr);
    peer.send(&BEAT);
    server.event("online");
    expect(&run(&["health", &at]), 0, "ready\n");
    expect(&run(&["health", "--live", &at]), 0, "alive\n");
    server.process.signal(Signal::TERM);
    wait_until("it drains", || run(&["health", &at]).status.code() == Some(1));
    expect(&run(&["health", &at]), 1, "not ready: draining\n");
    expect(&run(&["health", "--live", &at]), 0, "alive\n");
}
