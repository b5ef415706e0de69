use std::fs;

use crate::tls::config_error::ConfigFault;
use crate::tls::{CertificateFault, SharedServerTls, TlsFault};

use super::certificates::{Authority, Files, Serve as _, Trust as _};
use super::rig::Pair;

/// Puts other certificates where the server's are.
fn replace(files: &Files, with: &Files) {
    fs::copy(&with.certificate, &files.certificate).unwrap();
    fs::copy(&with.key, &files.key).unwrap();
}

fn meet(server: &SharedServerTls, authority: &Authority) -> Pair {
    let client = authority.client().load().unwrap();
    let mut pair = Pair::new(server, &client, "localhost");
    pair.run();
    pair
}

#[test]
fn new_certificates_are_for_new_sessions_and_the_others_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.issue(&["localhost"]);
    let server = files.server().load().unwrap();
    let mut before = meet(&server, &old);
    before.expect_online();
    let mut during = Pair::new(&server, &old.client().load().unwrap(), "localhost");
    during.client.turn(&mut during.to_client, &mut during.to_server);

    replace(&files, &new.issue(&["localhost"]));
    meet(&server, &old).expect_online();
    server.clone().reload().unwrap();

    before.expect_talk();
    // A handshake that had begun ends as it began.
    during.run();
    during.expect_online();
    meet(&server, &new).expect_online();
    let unknown = TlsFault::Certificate(CertificateFault::UnknownIssuer);
    assert_eq!(meet(&server, &old).client.fault(), unknown);
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_are_named() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let server = files.server().load().unwrap();

    // Half of a renewal: the certificate is there, the key is not.
    fs::copy(authority.issue(&["localhost"]).certificate, &files.certificate).unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(error.0, ConfigFault::Mismatch { .. }), "{error:?}");
    meet(&server, &authority).expect_online();

    fs::write(&files.certificate, "").unwrap();
    let error = server.reload().unwrap_err().to_string();
    assert!(error.starts_with(&files.certificate.display().to_string()), "{error}");
    meet(&server, &authority).expect_online();

    fs::remove_file(&files.key).unwrap();
    server.reload().unwrap_err();
    meet(&server, &authority).expect_online();

    replace(&files, &authority.issue(&["localhost"]));
    server.reload().unwrap();
    meet(&server, &authority).expect_online();
}

#[test]
fn other_roots_for_clients_are_for_new_sessions() {
    let (authority, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let roots = authority.write("clients.pem", &fs::read_to_string(old.roots()).unwrap());
    let server = authority.issue(&["localhost"]).server().require_client_certificates(&roots);
    let server = server.load().unwrap();
    let client = |issuer: &Authority| {
        let files = issuer.issue(&["device 7"]);
        authority.client().certificate(files.certificate, files.key).load().unwrap()
    };
    let (formerly, nowadays) = (client(&old), client(&new));
    let meet = |client| {
        let mut pair = Pair::new(&server, client, "localhost");
        pair.run();
        pair
    };
    let mut before = meet(&formerly);
    before.expect_online();
    fs::copy(new.roots(), &roots).unwrap();
    server.reload().unwrap();
    before.expect_talk();
    meet(&nowadays).expect_online();
    let unknown = TlsFault::Certificate(CertificateFault::UnknownIssuer);
    assert_eq!(meet(&formerly).server.fault(), unknown);
}

#[test]
fn a_client_takes_other_roots_too() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = new.issue(&["localhost"]).server().load().unwrap();
    let client = old.client().load().unwrap();
    let meet = || {
        let mut pair = Pair::new(&server, &client, "localhost");
        pair.run();
        pair
    };
    meet().client.fault();
    fs::write(old.roots(), "").unwrap();
    client.reload().unwrap_err();
    fs::copy(new.roots(), old.roots()).unwrap();
    client.reload().unwrap();
    meet().expect_online();
}
