//! `serve --http`, as monitors, operators and hostile pages meet it. Requests are bytes that a test
//! writes by hand.

mod bounds;
mod events;
mod metrics;
mod openapi;
mod refusals;
mod resources;

use core::net::SocketAddr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use heartwire_testkit::{BEAT, LineEvent as Event, PATIENCE, Peer, wait_until};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Client, Server, run};

const TOKEN: &str = "a-token-of-the-tests";

/// A server with HTTP and a token.
struct Web {
    server: Server,
    at: SocketAddr,
    directory: TempDir,
}

impl Web {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let token = token_file(&directory);
        let http = ["--http", "127.0.0.1:0", "--http-token", token.to_str().unwrap()];
        let server = Server::start_plain(&[&http, args].concat());
        let at = http_at(&server.event("listening"));
        Self { server, at, directory }
    }

    #[track_caller]
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.at, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Writes these bytes, and reads all that comes.
    #[track_caller]
    fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        read_all(&mut stream)
    }

    /// The same where the connection may be closed at any time: then, whatever had come.
    fn try_raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request.as_ref());
        read_all(&mut stream)
    }

    #[track_caller]
    fn ask(&self, request: &str) -> Answer {
        let text = self.raw(request);
        assert!(
            !text.is_empty(),
            "{:?} {:?}",
            self.server.log.so_far(),
            self.server.events.so_far()
        );
        let answer = Answer::of(&text);
        let [method, path] = [0, 1].map(|word| request.split(' ').nth(word).unwrap());
        openapi::check(method, path, &answer);
        answer
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask(&get(path))
    }

    /// With the token.
    #[track_caller]
    fn write(&self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[track_caller]
fn http_at(listening: &Event) -> SocketAddr {
    listening.text("http").strip_prefix("http://").unwrap().parse().unwrap()
}

#[track_caller]
fn token_file(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    path
}

/// What comes until the other end closes, or resets because it did not read everything.
fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // Read to its end or not, what came counts.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    #[track_caller]
    fn expect_refusal(self, status: u16, error: &str) {
        let refusal = self.expect(status);
        assert_eq!(refusal["error"], error);
        assert!(refusal["message"].as_str().unwrap().len() > 20, "{refusal}");
    }
}

#[test]
fn a_server_tells_over_http_who_is_there_and_disconnects_whom_it_is_told_to() {
    let web = Web::start(&[]);
    assert_eq!(web.get("/livez").expect(200)["live"], true);
    assert_eq!(web.get("/readyz").expect(200)["ready"], true);
    let alice = Client::start_plain(web.server.addr, &["--name", "alice"]);
    let bob = Client::start_plain(web.server.addr, &["--name", "bob"]);
    web.server.events.first_events("online", 2);

    let stats = web.get("/v1/stats").expect(200);
    assert_eq!(stats["now"]["sessions"], 2);
    assert_eq!(stats["accepted"], 2);
    assert_eq!(stats["ready"], true);
    assert_eq!(stats["policy"]["interval_ms"], 10000.0);

    let all = web.get("/v1/sessions").expect(200);
    assert_eq!(all["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(all["after"], Value::Null);
    let first = web.get("/v1/sessions?limit=1").expect(200);
    let after = first["after"].as_str().unwrap();
    let second = web.get(&format!("/v1/sessions?limit=1&after={after}")).expect(200);
    let names = [&first["sessions"][0]["name"], &second["sessions"][0]["name"]];
    assert!(names.contains(&&Value::from("alice")) && names.contains(&&Value::from("bob")));
    let found = web.get("/v1/sessions?name=ali&sort=silence").expect(200);
    assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
    let id = found["sessions"][0]["session"].as_str().unwrap();
    let one = web.get(&format!("/v1/sessions/{id}")).expect(200);
    assert_eq!(one["name"], "alice");

    let heat = web.get("/v1/heat").expect(200);
    let counts = heat["counts"].as_array().unwrap();
    let (rows, columns) = (heat["silence"].as_array().unwrap(), heat["rtt_ms"].as_array().unwrap());
    assert_eq!(counts.len(), rows.len() + 1);
    assert!(counts.iter().all(|row| row.as_array().unwrap().len() == columns.len() + 2));
    let all = counts.iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(all.map(|count| count.as_u64().unwrap()).sum::<u64>(), 2);

    let path = format!("/v1/sessions/{id}?reason=tidying%20up&retry=never");
    assert_eq!(web.write("DELETE", &path, "").expect(202)["session"], *id);
    let offline = web.server.event("offline");
    assert_eq!((&offline["name"], offline.text("reason")), (&Value::from("alice"), "kicked"));
    assert_eq!(alice.event("offline")["bye"]["detail"], "tidying up");
    web.write("DELETE", &path, "").expect_refusal(404, "no_session");
    web.get(&format!("/v1/sessions/{id}")).expect_refusal(404, "no_session");
    assert_eq!(web.get("/v1/stats").expect(200)["kicked"], 1);
    bob.stop();
    web.server.stop();
}

#[test]
fn a_drain_over_http_ends_the_server_as_a_signal_does_and_liveness_outlasts_it() {
    let mut web = Web::start(&["--protocol", "v0", "--timeout", "1h"]);
    // One that does not close keeps the drain going.
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    web.server.event("online");
    let mut old = web.connect();
    let keep = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    old.write_all(keep.as_bytes()).unwrap();
    let mut first = [0; 15];
    old.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");

    let draining = web.write("POST", "/v1/drain", r#"{"window_ms":86400000}"#).expect(202);
    assert_eq!(draining["window_ms"], 86_400_000.0);
    // On a connection that was there before, too.
    old.write_all(get("/readyz").as_bytes()).unwrap();
    let rest = read_all(&mut old);
    assert!(rest.contains("HTTP/1.1 503 ") && rest.contains("draining"), "{rest}");
    let reasons = web.get("/readyz").expect(503);
    assert_eq!(reasons["reasons"][0], "draining");
    assert_eq!(web.get("/livez").expect(200)["live"], true);
    // What an orchestrator does next does not cut the drain short.
    web.server.process.signal(Signal::TERM);
    web.server.log.line("another signal exits at once");
    assert_eq!(web.write("POST", "/v1/drain", "").expect(202)["window_ms"], 86_400_000.0);
    assert_eq!(web.get("/livez").expect(200)["live"], true);
    drop(peer);
    assert_eq!(web.server.process.exit_code(), Some(0));
    assert_eq!(web.server.events.all_events().last().unwrap().name(), "stopped");
}

#[test]
fn a_drain_over_http_has_its_own_window() {
    let mut web = Web::start(&["--protocol", "v0", "--drain", "1h"]);
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    web.server.event("online");
    assert_eq!(
        web.write("POST", "/v1/drain", r#"{"window_ms":100}"#).expect(202)["window_ms"],
        100.0
    );
    // Although the client does not close, and long before --drain is over.
    assert_eq!(web.server.process.exit_code(), Some(0));
    drop(peer);
}

#[test]
fn the_token_is_read_again_on_sighup() {
    let web = Web::start(&[]);
    fs::write(web.directory.path().join("token"), "another-token-of-the-tests").unwrap();
    web.server.process.signal(Signal::HUP);
    web.server.log.line("read the token of HTTP again");
    web.write("POST", "/v1/drain", "").expect_refusal(401, "unauthorized");
    web.server.log.line("refused a request over HTTP with a wrong token");
}

#[test]
fn a_full_server_is_ready_as_soon_as_there_is_room_although_no_client_comes() {
    let web = Web::start(&["--protocol", "v0", "--max-sessions", "1"]);
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    web.server.event("online");
    assert_eq!(web.get("/readyz").expect(503)["reasons"][0], "refusing_max_sessions");
    Peer::connect(web.server.addr).expect_end();
    assert_eq!(web.server.event("refusing")["cause"], "max_sessions");
    drop(peer);
    wait_until("it is ready", || web.get("/readyz").status == 200);
}

#[test]
fn a_unix_socket_is_for_its_user_and_a_stale_one_makes_place() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("http.sock");
    drop(UnixListener::bind(&path).unwrap());
    let at = format!("unix:{}", path.display());
    let server = Server::start_plain(&["--http", &at]);
    assert_eq!(server.event("listening")["http"], *at);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).unwrap();
    // No browser can reach it, so any name will do.
    stream.write_all(get("/livez").replace("localhost", "any.example").as_bytes()).unwrap();
    assert_eq!(Answer::of(&read_all(&mut stream)).status, 200);
    expect_refused(&at, "another process listens there");
    server.stop();
    assert!(!path.exists(), "it goes with its server");

    fs::write(&path, "dear").unwrap();
    expect_refused(&at, "a file that is no socket has this path");
    assert_eq!(fs::read_to_string(&path).unwrap(), "dear");
}

/// Serving HTTP there fails, and this is said.
#[track_caller]
fn expect_refused(at: &str, said: &str) {
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--http", at]);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(said), "{error}");
}

#[test]
fn an_address_that_others_reach_has_to_be_allowed_and_needs_a_token() {
    let refused = |args: &[&str], said: &str| {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"];
        let output = run(&[&serve, args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{error}");
    };
    refused(&[], "--http-anywhere");
    refused(&["--http-anywhere"], "--http-token");
    let directory = TempDir::new().unwrap();
    let token = token_file(&directory);
    let with = |path: &Path| path.to_str().unwrap().to_owned();
    let short = directory.path().join("short");
    fs::write(&short, "short\n").unwrap();
    refused(&["--http-anywhere", "--http-token", &with(&short)], "at least 16");

    let token = with(&token);
    let args = ["--http", "0.0.0.0:0", "--http-anywhere", "--http-token", &token];
    let server = Server::start_plain(&args);
    let port = http_at(&server.event("listening")).port();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let web = Web { server, at, directory };
    web.get("/v1/stats").expect_refusal(401, "unauthorized");
    web.write("GET", "/v1/stats", "").expect(200);
    web.get("/readyz").expect(200);
}
