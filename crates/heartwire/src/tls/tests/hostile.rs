//! Faulty and hostile peers.

use crate::tls::TlsFault;
use crate::tls::session::{MAX_PENDING, RECORD_OVERHEAD, Received};
use rustls::ContentType;

use super::forger::Forger;
use super::pipe::Pipe;
use super::rig::Pair;

/// A server that hears this before anything else.
fn server_hears(bytes: &[u8]) -> Pair {
    let mut pair = Pair::fresh();
    pair.to_server.bytes.extend(bytes);
    pair.server.turn(&mut pair.to_server, &mut pair.to_client);
    pair
}

/// A client that gets this as the answer to its first message.
fn client_hears(bytes: &[u8]) -> Pair {
    let mut pair = Pair::fresh();
    pair.to_client.bytes.extend(bytes);
    pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    pair
}

#[test]
fn bytes_that_are_not_tls_are_named() {
    let beat = [0; 8];
    let hello = [&[2, 0, 0, 0, 3, 0, 0, 0][..], b"xyz"].concat();
    for (bytes, looks_like) in [
        (&beat[..], Some("a Heartwire frame without TLS")),
        (&hello, Some("a Heartwire frame without TLS")),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Some("HTTP")),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Some("SSH")),
        (b"\xff\xfe\xfd\xfc\xfb\xfa", None),
    ] {
        let fault = TlsFault::NotTls { looks_like };
        assert_eq!(server_hears(bytes).server.fault(), fault, "{bytes:?}");
        assert_eq!(client_hears(bytes).client.fault(), fault, "{bytes:?}");
    }
    assert_eq!(
        server_hears(&beat).server.message(),
        "the peer does not speak TLS: what came looks like a Heartwire frame without TLS"
    );
}

#[test]
fn a_client_without_tls_is_answered_with_an_alert() {
    // From which it can tell what it has met: 0x15 is no type of a frame.
    let pair = server_hears(&[0; 8]);
    let answer: Vec<_> = pair.to_client.bytes.into();
    assert_eq!(answer.len(), 7);
    assert_eq!(answer[..5], [0x15, 3, 3, 0, 2]);
}

#[test]
fn bytes_that_are_not_tls_are_named_even_if_they_end_at_once() {
    let mut pair = Pair::fresh();
    pair.to_server.bytes.extend([1, 0, 0, 0]);
    pair.to_server.closed = true;
    pair.run();
    let looks_like = Some("a Heartwire frame without TLS");
    assert_eq!(pair.server.fault(), TlsFault::NotTls { looks_like });
}

#[test]
fn a_goodbye_instead_of_a_handshake_is_a_refusal() {
    let pair = server_hears(&[0x15, 3, 3, 0, 2, 2, 0]);
    assert_eq!(pair.server.fault(), TlsFault::Refused { alert: 0 });
    // One that only warns is nothing yet, but many are.
    let mut pair = server_hears(&[0x15, 3, 3, 0, 2, 1, 0]);
    assert!(pair.server.end.is_none());
    for _ in 0..10 {
        pair.to_server.bytes.extend([0x15, 3, 3, 0, 2, 1, 0]);
    }
    pair.run();
    assert_eq!(pair.server.fault(), TlsFault::TooMuch);
    let pair = client_hears(&[0x15, 3, 3, 0, 2, 2, 70]);
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 70 });
    assert!(pair.client.message().starts_with("the peer does not speak TLS 1.3 (alert 70)"));
}

#[test]
fn noise_behind_a_good_beginning_is_a_fault() {
    let noise: Vec<u8> = (0..400_u32).map(|at| at.wrapping_mul(97).to_le_bytes()[0]).collect();
    // It says to be a ClientHello of the length of the noise.
    let len = noise.len().to_be_bytes();
    let message = [&[1, 0][..], &len[6..], &noise].concat();
    let len = message.len().to_be_bytes();
    let pair = server_hears(&[&[0x16, 3, 1][..], &len[6..], &message].concat());
    assert_eq!(pair.server.fault(), TlsFault::Protocol);
}

#[test]
fn a_handshake_message_that_does_not_end_is_given_up() {
    // A ClientHello that announces 60,000 bytes, and begins like one.
    let mut pair = Pair::fresh();
    let mut record = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60, 3, 3];
    record.resize(5 + 0x4000, 0);
    for _ in 0..2 {
        pair.to_server.bytes.extend(&record);
    }
    pair.to_server.portion = 1000;
    pair.run();
    assert_eq!(pair.server.fault(), TlsFault::TooMuch);
    let left = pair.to_server.bytes.len();
    assert!(left > 0 && 2 * record.len() - left <= MAX_PENDING + 1000, "{left} bytes were left");
}

#[test]
fn a_handshake_message_may_come_in_many_records() {
    let mut pair = Pair::fresh();
    pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    let hello: Vec<u8> = pair.to_server.bytes.drain(..).collect();
    for byte in &hello[5..] {
        pair.to_server.bytes.extend([0x16, 3, 1, 0, 1, *byte]);
    }
    pair.run();
    pair.expect_online();
}

#[test]
fn a_message_longer_than_any_is_refused_by_its_header() {
    // 16 MiB announced, 11 bytes sent.
    let pair = server_hears(&[0x16, 3, 1, 0, 6, 1, 0xff, 0xff, 0xff, 3, 3]);
    assert_eq!(pair.server.fault(), TlsFault::TooMuch);
    // A record of 65,535 bytes.
    let pair = server_hears(&[0x16, 3, 1, 0xff, 0xff]);
    assert_eq!(pair.server.fault(), TlsFault::TooMuch);
}

#[test]
fn records_of_one_byte_are_slow_but_fine() {
    let mut forger = Forger::online();
    let mut records = Vec::new();
    for byte in 0..10_000_u32 {
        records.extend(forger.say(&byte.to_le_bytes()[..1]));
    }
    assert_eq!(records.len(), 10_000 * (1 + RECORD_OVERHEAD));
    forger.send(&records);
    assert!(forger.server.end.is_none());
    assert_eq!(forger.server.heard.len(), 10_000);
}

#[test]
fn records_with_nothing_in_them_are_soon_too_many() {
    let mut keys = Forger::online().into_keys();
    keys.expect_online();
    for _ in 0..30 {
        let record = keys.record(ContentType::ApplicationData, &[]);
        keys.send(&record);
    }
    keys.expect_online();
    for _ in 0..10_000 {
        let record = keys.record(ContentType::ApplicationData, &[]);
        keys.send(&record);
    }
    assert_eq!(keys.server.fault(), TlsFault::TooMuch);
    assert!(keys.server.heard.is_empty());
}

#[test]
fn keys_that_change_without_end_are_too_much() {
    let mut forger = Forger::online();
    for _ in 0..100 {
        forger.client.refresh_traffic_keys().unwrap();
        let records = forger.say(&[]);
        forger.send(&records);
    }
    assert_eq!(forger.server.fault(), TlsFault::TooMuch);
}

#[test]
fn a_second_handshake_is_refused() {
    let mut keys = Forger::online().into_keys();
    let hello = [1, 0, 0, 4, 3, 3, 0, 0];
    let record = keys.record(ContentType::Handshake, &hello);
    keys.send(&record);
    assert_eq!(keys.server.fault(), TlsFault::Protocol);
}

#[test]
fn a_record_that_comes_twice_is_corrupt() {
    let mut forger = Forger::online();
    let record = forger.say(b"pay 100");
    forger.send(&record);
    forger.send(&record);
    assert_eq!(forger.server.take_heard(), b"pay 100");
    assert_eq!(forger.server.fault(), TlsFault::Corrupt);
}

#[test]
fn a_record_that_was_changed_is_corrupt_and_the_peer_is_told() {
    let mut pair = Pair::online();
    pair.client_says(b"pay 100");
    pair.to_server.bytes[12] ^= 0x10;
    pair.run();
    assert!(pair.server.heard.is_empty());
    assert_eq!(pair.server.fault(), TlsFault::Corrupt);
    assert_eq!(pair.client.fault(), TlsFault::Refused { alert: 20 });
}

#[test]
fn bytes_without_tls_after_the_handshake_are_a_fault() {
    let mut pair = Pair::online();
    pair.to_server.bytes.extend([0; 8]);
    pair.run();
    // Not "does not speak TLS": it did.
    assert_eq!(pair.server.fault(), TlsFault::Protocol);
}

#[test]
fn a_partial_message_within_the_session_does_not_hinder_writing() {
    // The first half of an update of keys: it is decrypted, and kept until the rest comes.
    let mut keys = Forger::online().into_keys();
    let record = keys.record(ContentType::Handshake, &[24, 0, 0]);
    keys.send(&record);
    assert!(keys.server.session.has_partial());
    let mut pipe = Pipe::default();
    assert_eq!(keys.server.session.write(&mut pipe, b"still here").unwrap(), 10);
    let record = keys.record(ContentType::Handshake, &[1, 0]);
    keys.send(&record);
    assert!(keys.server.end.is_none(), "{:?}", keys.server.end);
    assert!(!keys.server.session.has_partial());
}

#[test]
fn a_cut_within_a_partial_message_does_not_hinder_writing() {
    let mut keys = Forger::online().into_keys();
    let record = keys.record(ContentType::Handshake, &[24, 0, 0]);
    keys.send(&record);
    keys.hang_up();
    keys.expect_end(Received::Truncated);
    keys.server.session.close();
    assert!(keys.server.session.flush(&mut Pipe::default()).unwrap());
}
