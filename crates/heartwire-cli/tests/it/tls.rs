//! TLS on both ends of the program.

use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use std::time::SystemTime;

use heartwire_testkit::{Authority, Files, Peer, ms};
use rustix::process::Signal;

use crate::program::{Client, Server, run};

/// A certificate for `localhost` that vouches for itself, and its key.
pub(crate) fn certificate(name: &str) -> (String, String) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tls");
    fs::create_dir_all(&directory).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |suffix: &str, text: String| {
        let path = directory.join(format!("{name}-{suffix}.pem"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    (write("cert", made.cert.pem()), write("key", made.signing_key.serialize_pem()))
}

/// A server for clients with a certificate of this CA, and a client of it with one.
fn with_client_certificates(
    name: &str,
    clients: &Authority,
    more: &[&str],
) -> (Server, impl Fn(&Files) -> Client) {
    let (cert, key) = certificate(name);
    let ca = clients.roots().to_str().unwrap();
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", ca];
    let server = Server::start_plain(&[&args, more].concat());
    let addr = server.addr;
    let client = move |files: &Files| {
        let own = [&files.certificate, &files.key].map(|path| path.to_str().unwrap());
        let trust = ["--tls", "--tls-server-name", "localhost", "--tls-ca", &cert];
        let show = ["--tls-cert", own[0], "--tls-key", own[1], "--retry", "10ms"];
        let client = Client::start_plain(addr, &[&trust[..], &show].concat());
        client.event("online");
        client
    };
    (server, client)
}

#[test]
fn a_session_ends_when_its_client_certificate_expires() {
    let clients = Authority::new();
    let (server, client) = with_client_certificates("expires", &clients, &[]);
    let expires = SystemTime::now() + ms(3_000);
    let files = clients.issue_with(&["device"], |params| params.not_after = expires.into());
    let stays = client(&clients.issue(&["other"]));
    let ends = client(&files);
    let offline = ends.event("offline");
    assert_eq!(offline["bye"]["code"], "unauthorized");
    assert_eq!(offline["bye"]["detail"], "its certificate has expired");
    assert_eq!(server.event("offline")["reason"], "expired");
    // It comes back with what its files have, and that is not accepted.
    assert!(ends.event("failed").text("error").contains("expired"));
    assert!(stays.events.events_so_far("offline").is_empty());
}

#[test]
fn a_session_ends_when_its_client_certificate_is_revoked() {
    let clients = Authority::new();
    let list = clients.write("revoked.pem", &clients.revoke(&[]));
    let crl = ["--tls-client-crl", list.to_str().unwrap()];
    let (server, client) = with_client_certificates("revoked", &clients, &crl);
    let [one, two] = [1_u64, 2].map(|serial| {
        clients.issue_with(&["device"], |params| params.serial_number = Some(serial.into()))
    });
    let (ends, stays) = (client(&one), client(&two));
    clients.write("revoked.pem", "no list");
    server.process.signal(Signal::HUP);
    server.log.line("holds no revocation list");
    clients.write("revoked.pem", &clients.revoke(&[1]));
    server.process.signal(Signal::HUP);
    assert_eq!(server.event("offline")["reason"], "revoked");
    let offline = ends.event("offline");
    assert_eq!(offline["bye"]["detail"], "its certificate is not accepted any more");
    // "Certificate revoked."
    assert!(ends.event("failed").text("error").contains("alert 44"));
    assert!(stays.events.events_so_far("offline").is_empty());
}

#[test]
fn both_ends_speak_tls_and_certificates_are_read_again() {
    let (cert, key) = certificate("own");
    let server = Server::start(&["--protocol", "v1", "--tls-cert", &cert, "--tls-key", &key]);
    let trusting =
        ["--protocol", "v1", "--tls", "--tls-server-name", "localhost", "--tls-ca", &cert];
    let mut client = Client::start(server.addr, &trusting);
    client.event("online");
    client.type_in("hello\n");
    assert_eq!(server.event("data")["bytes"], 5);

    // A client without TLS, or with another CA, is rejected with the reason.
    let plain = Client::start(server.addr, &["--protocol", "v1", "--retry", "never"]);
    assert!(plain.event("failed").text("error").contains("the peer requires TLS"));
    let (other, other_key) = certificate("other");
    let args = ["--protocol", "v1", "--tls", "--tls-server-name", "localhost", "--retry", "never"];
    let distrusting = [&args[..], &["--tls-ca", &other]].concat();
    let distrusting = Client::start(server.addr, &distrusting);
    let failed = distrusting.event("failed");
    let error = failed.text("error");
    assert!(error.contains("not signed by the trusted CA"), "{error}");

    // Another certificate is used from the next handshake on, and the session stays.
    fs::copy(&other, &cert).unwrap();
    fs::copy(&other_key, &key).unwrap();
    server.process.signal(Signal::HUP);
    server.log.line("read the certificates again");
    let trusting_other = [&args[..], &["--tls-ca", &other]].concat();
    Client::start(server.addr, &trusting_other).event("online");
    client.type_in("still here\n");
    server.events.event_where("data", |event| event["bytes"] == 10);

    // A broken file changes nothing.
    fs::write(&cert, "no certificate").unwrap();
    server.process.signal(Signal::HUP);
    server.log.line("cannot reload, and nothing has changed");
    Client::start(server.addr, &trusting_other).event("online");
}

#[test]
pub(crate) fn certificates_that_cannot_be_used_are_refused_at_the_start() {
    let args = ["serve", "--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(str::from_utf8(&output.stderr).unwrap().contains("/nowhere/"), "{output:?}");
}

/// The health checks of a load balancer connect and leave, or keep the connection open. With TLS
/// and without, connections that send nothing are counted and not logged.
#[test]
fn connections_without_a_word_are_counted_and_not_warned_of() {
    let (cert, key) = certificate("checked");
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    for (tls, count, words) in [
        (&tls[..], "tls", "the peer does not speak TLS"),
        (&["--handshake-timeout", "50ms"], "no_first_frame", "closed for a protocol error"),
    ] {
        let args = ["--protocol", "v1", "--threads", "1"];
        let server = Server::start(&[&args, tls].concat());
        let mut holds = Peer::connect(server.addr);
        drop(Peer::connect(server.addr));
        Peer::connect(server.addr).reset();
        let mut half = Peer::connect(server.addr);
        half.stream.shutdown(Shutdown::Write).unwrap();
        half.read_to_end();
        assert_eq!(holds.read_to_end().0, b"");

        let mut speaks = Peer::connect(server.addr);
        speaks.send(&[0xff; 8]);
        speaks.read_to_end();
        let log = server.log.clone();
        log.line(words);
        let stopped = server.stop().pop().unwrap();
        assert_eq!(log.so_far().len(), 1, "{:?}", log.so_far());
        assert!(stopped.count(count) > 0 && stopped.count("accepted") == 5, "{stopped:?}");
    }
}
