//! Interoperability with OpenSSL. Where it is not installed, these tests say that they were
//! skipped.

use core::net::SocketAddr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::tls::session::TlsSession;
use crate::tls::{ClientTls, ServerTls, SharedServerTls, Tickets, TlsFault};
use heartwire_testkit::skip;

use super::certificates::{Authority, Files, Serve as _, Trust as _};
use super::rig::Pair;
use super::sockets::{Outcome, serve, talk};

fn openssl(arguments: &[&str]) -> Option<Command> {
    let found = Command::new("openssl").arg("version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        skip("openssl is not installed");
        return None;
    }
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// What a client of theirs heard and said about it, and how it went at our server.
struct Visit {
    stdout: String,
    stderr: String,
    server: Outcome,
}

/// A client of theirs connects to our server, says a line, and leaves when it has heard it back.
fn visit(server: &SharedServerTls, authority: &Authority, arguments: &[&str]) -> Option<Visit> {
    let mut client = openssl(&["s_client", "-verify_return_error", "-no_ign_eof", "-servername"])?;
    let (addr, server) = serve(TlsSession::server(server).unwrap());
    client.arg("localhost").args(["-verify_hostname", "localhost", "-CAfile"]);
    client.arg(authority.roots()).args(["-connect", &addr.to_string()]).args(arguments);
    let mut client = client.spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // It may be gone already.
    let _ = stdin.write_all(b"hello\n");
    let mut lines = BufReader::new(client.stdout.take().unwrap());
    let mut stdout = String::new();
    // It may be within a line: what they say of a ticket is written in blocks.
    while !stdout.ends_with("hello\n") {
        if lines.read_line(&mut stdout).unwrap() == 0 {
            break;
        }
    }
    drop(stdin);
    lines.read_to_string(&mut stdout).unwrap();
    let mut stderr = String::new();
    client.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    client.wait().unwrap();
    Some(Visit { stdout, stderr, server: server.join().unwrap() })
}

#[test]
fn their_client_talks_to_our_server_with_every_cipher() {
    let authority = Authority::new();
    let server = authority.issue(&["localhost"]).server().load().unwrap();
    for cipher in
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    {
        let Some(visit) = visit(&server, &authority, &["-ciphersuites", cipher]) else { return };
        assert_eq!(visit.server.heard, b"hello\n", "{}", visit.stderr);
        visit.server.expect_closed();
        assert!(visit.stdout.contains(&format!("TLSv1.3, Cipher is {cipher}")), "{}", visit.stdout);
    }
}

#[test]
fn their_client_returns_with_our_ticket() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let server = files.server().require_client_certificates(authority.roots()).load().unwrap();
    let session = authority.write("session.pem", "");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let [certificate, key, session] = [&files.certificate, &files.key, &session].map(|p| path(p));
    let own = ["-cert", &certificate, "-key", &key, "-sess_out", &session];
    let Some(first) = visit(&server, &authority, &own) else { return };
    assert!(first.stdout.contains("New, TLSv1.3"), "{}", first.stdout);
    for _ in 0..2 {
        let again = ["-sess_in", &session, "-sess_out", &session];
        let again = visit(&server, &authority, &again).unwrap();
        assert!(again.stdout.contains("Reused, TLSv1.3"), "{}", again.stdout);
        assert_eq!(again.server.heard, b"hello\n", "{}", again.stderr);
    }
}

#[test]
fn their_client_gets_in_with_a_certificate_only() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let server = files.server().require_client_certificates(authority.roots()).load().unwrap();
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    let arguments = ["-cert", certificate, "-key", key];
    let Some(with) = visit(&server, &authority, &arguments) else { return };
    assert_eq!(with.server.heard, b"hello\n", "{}", with.stderr);
    let without = visit(&server, &authority, &[]).unwrap();
    assert_eq!(without.server.fault(), TlsFault::NoCertificate);
    assert!(without.stderr.contains("alert certificate required"), "{}", without.stderr);
}

#[test]
fn their_client_without_tls_1_3_is_refused_with_the_reason() {
    let authority = Authority::new();
    let server = authority.issue(&["localhost"]).server().load().unwrap();
    let Some(visit) = visit(&server, &authority, &["-tls1_2"]) else { return };
    assert_eq!(visit.server.fault(), TlsFault::Version);
    assert!(visit.stderr.contains("alert protocol version"), "{}", visit.stderr);
}

#[test]
fn their_client_for_another_protocol_is_refused() {
    let authority = Authority::new();
    let server = authority.issue(&["localhost"]).server().load().unwrap();
    let Some(web) = visit(&server, &authority, &["-alpn", "h2,http/1.1"]) else { return };
    assert_eq!(web.server.fault(), TlsFault::NothingInCommon);
    let ours = visit(&server, &authority, &["-alpn", "heartwire"]).unwrap();
    assert_eq!(ours.server.heard, b"hello\n", "{}", ours.stderr);
}

/// The first commands of the operator's chapter that make a certificate.
fn recipe() -> &'static str {
    let chapter = include_str!("../../../../../docs/book/src/operating.md");
    let from = chapter.find("openssl req -x509").expect("the recipe is there");
    let recipe = &chapter[from..];
    &recipe[..recipe.find("```").expect("the recipe ends")]
}

/// A server with a certificate that these commands make, and a client that trusts just that.
fn meet_by(recipe: &str) -> Option<Pair> {
    openssl(&[])?;
    let directory = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", recipe]).current_dir(&directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name| directory.path().join(name);
    let server = ServerTls::new(path("server.pem"), path("server.key")).load().unwrap();
    let client = ClientTls::new().roots(path("server.pem")).load().unwrap();
    let mut pair = Pair::new(&server, &client, "localhost");
    pair.run();
    Some(pair)
}

#[test]
fn the_recipe_in_the_book_makes_a_certificate_that_works() {
    let Some(mut pair) = meet_by(recipe()) else { return };
    pair.expect_online();
}

#[test]
fn the_certificate_that_openssl_makes_by_default_is_refused_with_what_to_do() {
    let default = recipe().replace("-addext basicConstraints=critical,CA:FALSE", "");
    assert_ne!(default, recipe());
    let Some(pair) = meet_by(&default) else { return };
    assert_eq!(
        pair.client.message(),
        "the peer's certificate is a CA certificate: make one with basicConstraints CA:FALSE, or \
         sign a second one with it"
    );
}

/// A server of theirs, which says each line backwards.
struct Theirs {
    child: Child,
    addr: SocketAddr,
}

impl Theirs {
    fn start(files: &Files, arguments: &[&str]) -> Option<Self> {
        let mut command =
            openssl(&["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-rev"])?;
        command.arg("-cert").arg(&files.certificate).arg("-key").arg(&files.key).args(arguments);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        let addr = line["ACCEPT ".len()..].trim().parse().unwrap();
        // So that it is not stopped by what it has to say.
        child.stdout = Some(stdout.into_inner());
        Some(Self { child, addr })
    }

    fn talk(mut self, client: &ClientTls) -> Outcome {
        let session = TlsSession::client(
            &client.clone().load().unwrap(),
            "localhost",
            &mut Tickets::default(),
        )
        .unwrap();
        let outcome = talk(session, self.addr, b"hello\n");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        outcome
    }
}

#[test]
fn our_client_talks_to_their_server() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let Some(server) = Theirs::start(&files, &[]) else { return };
    let outcome = server.talk(&authority.client());
    assert_eq!(outcome.heard, b"olleh\n", "{outcome:?}");
    outcome.expect_closed();
}

#[test]
fn our_client_shows_their_server_a_certificate() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let roots = authority.roots().to_str().unwrap();
    let arguments = ["-Verify", "1", "-verify_return_error", "-CAfile", roots];
    let Some(server) = Theirs::start(&files, &arguments) else { return };
    let outcome = server.talk(&authority.client());
    assert_eq!(outcome.fault(), TlsFault::Refused { alert: 116 });
    let server = Theirs::start(&files, &arguments).unwrap();
    let outcome = server.talk(&authority.client().certificate(&files.certificate, &files.key));
    assert_eq!(outcome.heard, b"olleh\n", "{outcome:?}");
}

#[test]
fn our_client_says_that_their_server_is_too_old() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let Some(server) = Theirs::start(&files, &["-tls1_2"]) else { return };
    assert_eq!(server.talk(&authority.client()).fault(), TlsFault::Refused { alert: 70 });
}

#[test]
fn our_client_does_not_talk_to_their_server_for_another_protocol() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let Some(server) = Theirs::start(&files, &["-alpn", "h2,http/1.1"]) else { return };
    assert_eq!(server.talk(&authority.client()).fault(), TlsFault::Refused { alert: 120 });
    let server = Theirs::start(&files, &["-alpn", "heartwire"]).unwrap();
    assert_eq!(server.talk(&authority.client()).heard, b"olleh\n");
}

#[test]
fn our_client_does_not_trust_their_server_without_a_reason_to() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let Some(server) = Theirs::start(&files, &[]) else { return };
    let outcome = server.talk(&Authority::new().client());
    assert_eq!(outcome.fault().name(), "certificate_unknown_issuer");
}
