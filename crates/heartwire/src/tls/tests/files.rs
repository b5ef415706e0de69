//! Errors about files name the file, what is wrong, and what to do.

use std::fs;

use crate::tls::ServerTls;
use crate::tls::config_error::ConfigFault;

use super::certificates::{Authority, Files, Serve as _, Trust as _};

/// Loads a server with these, and gives the message with the directory cut out.
#[track_caller]
fn refusal(server: ServerTls) -> String {
    let error = server.load().expect_err("these files cannot be used");
    let message = error.to_string();
    let words: Vec<_> = message
        .split(' ')
        .map(|word| word.rsplit_once('/').map_or(word, |(_directory, file)| file))
        .collect();
    words.join(" ")
}

struct Broken {
    authority: Authority,
    good: Files,
}

impl Broken {
    fn new() -> Self {
        let authority = Authority::new();
        let good = authority.issue(&["localhost"]);
        Self { authority, good }
    }

    #[track_caller]
    fn certificate(&self, text: &str) -> String {
        let certificate = self.authority.write("bad.pem", text);
        refusal(ServerTls::new(certificate, &self.good.key))
    }

    #[track_caller]
    fn key(&self, text: &str) -> String {
        let key = self.authority.write("bad.key", text);
        refusal(ServerTls::new(&self.good.certificate, key))
    }

    #[track_caller]
    fn roots(&self, text: &str) -> String {
        let roots = self.authority.write("bad-roots.pem", text);
        refusal(self.good.server().require_client_certificates(roots))
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let Broken { good, authority: _authority } = Broken::new();
    let error = ServerTls::new("/nowhere/server.pem", &good.key).load().unwrap_err();
    let ConfigFault::Unreadable { path, .. } = &error.0 else { panic!("{error:?}") };
    assert_eq!(path.to_str(), Some("/nowhere/server.pem"));
    assert!(error.to_string().starts_with("cannot read /nowhere/server.pem: No such file"));
}

#[test]
fn an_empty_file_says_what_is_missing() {
    let broken = Broken::new();
    let missing = "holds no certificate (a line with BEGIN CERTIFICATE)";
    assert_eq!(broken.certificate(""), format!("bad.pem {missing}"));
    assert_eq!(broken.roots(""), format!("bad-roots.pem {missing}"));
    let missing = "holds no private key (a line with BEGIN PRIVATE KEY)";
    assert_eq!(broken.key(""), format!("bad.key {missing}"));
}

#[test]
fn files_that_are_swapped_are_noticed() {
    let Broken { good, authority: _authority } = Broken::new();
    let message = refusal(ServerTls::new(&good.key, &good.certificate));
    assert!(message.ends_with("it holds a private key: perhaps the two files are swapped"));
    let message = refusal(ServerTls::new(&good.certificate, &good.certificate));
    assert!(message.ends_with("it holds a certificate: perhaps the two files are swapped"));
}

#[test]
fn a_key_of_another_certificate_is_noticed() {
    let Broken { authority, good } = Broken::new();
    let other = authority.issue(&["localhost"]);
    let message = refusal(ServerTls::new(&good.certificate, &other.key));
    assert!(message.starts_with("the private key in "), "{message}");
    assert!(message.contains(" is not the one of the first certificate in "), "{message}");
}

#[test]
fn a_key_with_a_password_says_how_to_store_it() {
    let broken = Broken::new();
    for text in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n\
         -----END RSA PRIVATE KEY-----\n",
    ] {
        let message = broken.key(text);
        assert!(message.contains("store it without a password"), "{message}");
    }
}

#[test]
fn a_damaged_file_says_so() {
    let broken = Broken::new();
    let whole = fs::read_to_string(&broken.good.certificate).unwrap();
    let cut = &whole[..whole.len() / 2];
    assert!(broken.certificate(cut).starts_with("bad.pem is not a valid PEM file: "));
    let damaged = whole.replacen("MII", "M!I", 1);
    assert!(broken.certificate(&damaged).starts_with("bad.pem is not a valid PEM file: "));
    assert!(broken.roots(&damaged).starts_with("bad-roots.pem is not a valid PEM file: "));
    let key = fs::read_to_string(&broken.good.key).unwrap();
    let damaged = key.replacen("MI", "M!", 1);
    assert!(broken.key(&damaged).starts_with("bad.key is not a valid PEM file: "));
}

#[test]
fn a_file_with_something_else_inside_says_so() {
    let broken = Broken::new();
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let message = broken.certificate(text);
    assert!(message.starts_with("a certificate in bad.pem cannot be used: "), "{message}");
    let message = broken.roots(text);
    assert!(message.starts_with("a certificate in bad-roots.pem cannot be used: "), "{message}");
    let text = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let message = broken.key(text);
    assert!(message.starts_with("the private key in bad.key cannot be used: "), "{message}");
}

#[test]
fn a_chain_and_its_key_may_be_in_one_file() {
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]);
    let text = [&files.key, &files.certificate].map(|path| fs::read_to_string(path).unwrap());
    let both = authority.write("both.pem", &text.concat());
    ServerTls::new(&both, &both).load().unwrap();
}

#[test]
fn a_client_says_the_same_of_its_files() {
    let broken = Broken::new();
    let error = broken.authority.client().roots("/nowhere/roots.pem").load().unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/roots.pem: "), "{error}");
    let other = broken.authority.issue(&["localhost"]);
    let client = broken.authority.client().certificate(&broken.good.certificate, &other.key);
    let error = client.load().unwrap_err();
    assert!(matches!(error.0, ConfigFault::Mismatch { .. }), "{error:?}");
}

#[test]
fn no_message_shows_a_key() {
    let broken = Broken::new();
    let key = fs::read_to_string(&broken.good.key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let server = broken.good.server();
    for shown in [
        format!("{server:?}"),
        format!("{:?}", server.load().unwrap()),
        broken.key(&key.replacen("MI", "M!", 1)),
        broken.key(&key.replacen("END", "END of", 1)),
    ] {
        assert!(!shown.contains(&secret[4..20]), "{shown}");
    }
}
