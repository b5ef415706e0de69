use crate::tls::config_error::ConfigFault;
use crate::tls::session::TlsSession;
use crate::tls::{CertificateFault, Tickets, TlsFault};
use rcgen::date_time_ymd;

use super::certificates::{Authority, Files, Serve as _, Trust as _};
use super::rig::Pair;

/// A client of `authority` that expects `localhost` meets a server with `files`.
fn meet(authority: &Authority, files: &Files) -> Pair {
    let server = files.server().load().unwrap();
    let client = authority.client().load().unwrap();
    let mut pair = Pair::new(&server, &client, "localhost");
    pair.run();
    pair
}

#[track_caller]
fn expect_not_accepted(pair: &Pair, fault: CertificateFault, words: &[&str]) {
    assert_eq!(pair.client.fault(), TlsFault::Certificate(fault));
    let message = pair.client.message();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn both_ends_shake_hands_and_talk() {
    Pair::online();
}

#[test]
fn a_server_is_known_by_its_name_or_its_address() {
    let authority = Authority::new();
    let files =
        authority.issue(&["gateway.example", "127.0.0.1", "::1", "*.wild.example", "fe80::1"]);
    let server = files.server().load().unwrap();
    let client = authority.client().load().unwrap();
    for host in [
        "gateway.example",
        "gateway.example.",
        "127.0.0.1",
        "::1",
        "[::1]",
        "a.wild.example",
        "fe80::1%eth0",
    ] {
        let mut pair = Pair::new(&server, &client, host);
        pair.run();
        pair.expect_online();
    }
}

#[test]
fn a_name_that_is_asked_for_replaces_that_of_the_host() {
    let authority = Authority::new();
    let server = authority.issue(&["gateway.example"]).server().load().unwrap();
    let client = authority.client().server_name("gateway.example").load().unwrap();
    let mut pair = Pair::new(&server, &client, "192.0.2.1");
    pair.run();
    pair.expect_online();
}

#[test]
fn a_certificate_for_another_name_is_not_accepted_and_both_names_are_told() {
    let authority = Authority::new();
    let pair = meet(&authority, &authority.issue(&["gateway.example"]));
    let words = ["is for another name", "it is for gateway.example, not for localhost"];
    expect_not_accepted(&pair, CertificateFault::WrongName, &words);
    assert_eq!(pair.server.fault(), TlsFault::Refused { alert: 42 });
    assert!(pair.server.message().starts_with("the peer does not accept our certificate"));
}

#[test]
fn a_certificate_whose_time_is_over_is_not_accepted() {
    let authority = Authority::new();
    let files = authority.issue_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let pair = meet(&authority, &files);
    expect_not_accepted(&pair, CertificateFault::Expired, &["has expired", " days ago"]);
    assert_eq!(pair.server.fault(), TlsFault::Refused { alert: 45 });
    assert!(pair.server.message().contains("our certificate has expired"));
}

#[test]
fn a_certificate_whose_time_has_not_begun_is_not_accepted() {
    let authority = Authority::new();
    let files = authority.issue_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let pair = meet(&authority, &files);
    expect_not_accepted(&pair, CertificateFault::NotYetValid, &["is not valid yet"]);
}

#[test]
fn a_certificate_of_an_unknown_issuer_is_not_accepted() {
    let pair = meet(&Authority::new(), &Authority::new().issue(&["localhost"]));
    expect_not_accepted(&pair, CertificateFault::UnknownIssuer, &["not signed by a trusted CA"]);
    assert_eq!(pair.server.fault(), TlsFault::Refused { alert: 48 });
}

#[test]
fn a_root_that_was_made_anew_is_another_one() {
    let (old, new) = (Authority::named("Example CA"), Authority::named("Example CA"));
    let pair = meet(&old, &new.issue(&["localhost"]));
    expect_not_accepted(&pair, CertificateFault::WrongIssuer, &["one of the same name"]);
}

#[test]
fn a_certificate_for_clients_is_not_accepted_from_a_server() {
    let authority = Authority::new();
    let files = authority.issue_with(&["localhost"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let pair = meet(&authority, &files);
    expect_not_accepted(&pair, CertificateFault::WrongPurpose, &["not for this side"]);
}

#[test]
fn a_server_does_not_show_the_certificate_of_an_issuer() {
    let authority = Authority::new();
    let pair = meet(&authority, &authority.own());
    expect_not_accepted(
        &pair,
        CertificateFault::IsAuthority,
        &["make one with basicConstraints CA:FALSE"],
    );
}

#[test]
fn a_host_that_cannot_be_a_server_is_refused_before_anything_is_sent() {
    let client = Authority::new().client().load().unwrap();
    for host in ["", "two words", "a..b", "[127.0.0.1"] {
        let error = client.check_host(host).unwrap_err();
        assert!(matches!(error.0, ConfigFault::BadServerName { .. }), "{error:?}");
        let error = TlsSession::client(&client, host, &mut Tickets::default()).unwrap_err();
        assert_eq!(error.fault(), Some(TlsFault::Local));
        assert!(error.to_string().contains(&format!("{host:?} is not the name")), "{error}");
    }
    let error = Authority::new().client().server_name("a..b").load().unwrap_err();
    assert_eq!(error.to_string(), "\"a..b\" is not the name or the address of a server");
}
