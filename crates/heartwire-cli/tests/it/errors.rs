//! Error messages of the program: one sentence with what happened, why, and what to do.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use heartwire_testkit::Listener;
use socket2::{Domain, Socket, Type};

use crate::program::{Client, Server, heartwire, run};
use crate::tls::certificate;

/// Why an attempt to connect failed. Nothing in it is for programmers alone.
#[track_caller]
fn failed(target: &str, args: &[&str]) -> String {
    let args = [&["--protocol", "v1", "--retry", "never"], args].concat();
    let client = Client::start_at(target, &args);
    let error = client.event("failed").text("error").to_owned();
    for rust in ["Os {", "Error", "(os error", "DnsName(", "protocol error"] {
        assert!(!error.contains(rust), "{error}");
    }
    error
}

/// What the program says when its settings make no sense.
#[track_caller]
fn refusal(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn file(name: &str, content: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("errors");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_host_that_does_not_exist_is_named_without_its_port() {
    let error = failed("no-such-host.invalid:7", &[]);
    assert!(error.starts_with("cannot find the host no-such-host.invalid: "), "{error}");
}

#[test]
fn a_refused_connection_asks_for_the_server() {
    // Bound, so that no other program listens there.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<core::net::SocketAddr>().unwrap().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let expected =
        format!("cannot connect to {addr}: connection refused (is a server running there?)");
    assert_eq!(failed(&addr.to_string(), &[]), expected);
}

#[test]
fn another_service_is_told_from_a_server() {
    let silent = Listener::new();
    let error = failed(&silent.addr().to_string(), &["--handshake-timeout", "100ms"]);
    let expected = "but no Heartwire server answered within 100ms (another service, or one that \
                    speaks v0 only)";
    assert!(error.ends_with(expected), "{error}");

    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = web.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let (mut client, _) = web.accept().unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        client
    });
    let error = failed(&addr.to_string(), &[]);
    assert!(error.contains("its answer is not Heartwire's"), "{error}");
    assert!(error.ends_with("(this looks like HTTP)"), "{error}");
    drop(answering.join().unwrap());
}

#[test]
fn a_client_on_v0_hears_that_its_server_may_speak_v1_only() {
    let server = Server::start(&["--protocol", "v1"]);
    let client = Client::start(server.addr, &["--protocol", "v0", "--retry", "never"]);
    assert_eq!(client.event("offline")["detail"], "closed by the peer");
    client.events.line("perhaps it is full, or speaks only protocol v1 (--protocol v1)");
}

#[test]
fn a_rejected_token_is_told_from_a_file_without_one() {
    let tokens = file("server", "bob 0123456789abcdef0123\n");
    let wrong = file("wrong", "fedcba98765432100123\n");
    let server = Server::start(&["--tokens", &tokens]);
    let error = failed(&server.addr.to_string(), &["--name", "bob", "--token-file", &wrong]);
    assert!(error.ends_with("unauthorized: invalid or missing token for this name"), "{error}");
    let empty = file("empty", "\n");
    let said = refusal(&["connect", "--token-file", &empty, "localhost"]);
    assert!(
        said.ends_with("empty is empty: it must hold the token of this client and nothing else\n")
    );
    let said = refusal(&["connect", "--token-file", &tokens, "localhost"]);
    assert!(said.contains("server holds more than one word"), "{said}");
    let said = refusal(&["serve", "--tokens", &empty]);
    assert!(said.contains("the file has no token, so no client could connect"), "{said}");
}

#[test]
fn certificate_errors_are_printed_on_both_ends() {
    let (cert, key) = certificate("errors");
    let server = Server::start(&["--protocol", "v1", "--tls-cert", &cert, "--tls-key", &key]);
    let target = server.addr.to_string();
    let error = failed(&target, &["--tls", "--tls-ca", &cert]);
    let expected = "the peer's certificate is for another name: it is for localhost, not for \
                    127.0.0.1";
    assert!(error.ends_with(expected), "{error}");
    server.log.line("the peer does not accept our certificate (alert 42): bad certificate");
    let error = failed(&target, &[]);
    assert!(error.ends_with("requires TLS, and this side does not use it"), "{error}");

    let broken =
        file("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let said = refusal(&["serve", "--tls-cert", &cert, "--tls-key", &broken]);
    assert!(said.contains("use an ECDSA or Ed25519 key"), "{said}");
    assert!(!said.contains("unexpected error"), "{said}");
    let broken =
        file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let said = refusal(&["serve", "--tls-cert", &broken, "--tls-key", &key]);
    let expected =
        "cannot be used: it is malformed, or demands something unknown: make a new one\n";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let output = run(&["man", "--directory", "/dev/null/man1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("heartwire: cannot make /dev/null/man1: Not a directory"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_said_to_be_that() {
    for args in [&["man"][..], &["completions", "bash"], &["plan"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = heartwire(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "heartwire: cannot write to standard output: No space left on device";
        assert!(said.starts_with(expected), "{args:?}: {said}");
    }
}
