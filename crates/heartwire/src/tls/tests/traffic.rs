//! All written bytes arrive, however sockets split them.

use std::io::{self, ErrorKind, IoSlice};

use crate::tls::session::{MAX_RECORD, MAX_WRITE, MIN_READ_LEN, RECORD_OVERHEAD, Received};

use super::rig::{Pair, write_all};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[test]
fn a_write_costs_a_records_overhead_and_no_more() {
    let mut pair = Pair::online();
    for len in [1, 8, 40, 1000, MAX_RECORD] {
        pair.client_says(&pattern(len));
        assert_eq!(pair.to_server.bytes.len(), len + RECORD_OVERHEAD, "{len}");
        pair.run();
        assert_eq!(pair.server.take_heard(), pattern(len));
    }
    for (len, records) in [(MAX_RECORD + 1, 2), (3 * MAX_RECORD, 3), (100_000, 7)] {
        pair.client_says(&pattern(len));
        assert_eq!(pair.to_server.bytes.len(), len + records * RECORD_OVERHEAD, "{len}");
        pair.run();
        assert_eq!(pair.server.take_heard(), pattern(len));
    }
}

#[test]
fn records_that_are_written_at_once_cost_one_system_call() {
    let mut pair = Pair::online();
    let long = pattern(MAX_WRITE + 1000);
    for (from, len) in [(0, MAX_WRITE), (MAX_WRITE, 1000)] {
        let calls = pair.to_server.writes;
        let written = pair.client.session.write(&mut pair.to_server, &long[from..]);
        assert_eq!((written.unwrap(), pair.to_server.writes - calls), (len, 1));
    }
    pair.run();
    assert_eq!(pair.server.take_heard(), long);
}

#[test]
fn slices_are_written_like_their_bytes_in_a_row() {
    let mut pair = Pair::online();
    for (len, part) in [
        (1, 1),
        (1000, 8),
        (MAX_RECORD, MAX_RECORD - 1),
        (MAX_RECORD + 8, 100),
        (50_000, 50_000),
        (MAX_WRITE + 1000, MAX_RECORD + 8),
    ] {
        let bytes = pattern(len);
        // Every other slice is empty.
        let slices = bytes.chunks(part).flat_map(|part| [IoSlice::new(part), IoSlice::new(&[])]);
        let slices: Vec<_> = slices.collect();
        let calls = pair.to_server.writes;
        let written = pair.client.session.write_vectored(&mut pair.to_server, &slices).unwrap();
        assert_eq!((written, pair.to_server.writes - calls), (len.min(MAX_WRITE), 1), "{len}");
        let records = written.div_ceil(MAX_RECORD);
        assert_eq!(pair.to_server.bytes.len(), written + records * RECORD_OVERHEAD, "{len}");
        pair.run();
        assert_eq!(pair.server.take_heard(), &bytes[..written], "{len}");
    }
}

/// A socket that takes so many bytes and then fails.
struct Failing(usize);

impl io::Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.0);
        self.0 -= len;
        if len > 0 { Ok(len) } else { Err(ErrorKind::ConnectionReset.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_write_that_may_have_arrived_counts_as_taken() {
    for (takes, taken) in [(0, None), (MAX_RECORD + 100, Some(2 * MAX_RECORD))] {
        let mut pair = Pair::online();
        let mut socket = Failing(takes);
        let written = pair.client.session.write(&mut socket, &pattern(2 * MAX_RECORD));
        assert_eq!(written.ok(), taken);
        let error = pair.client.session.write(&mut socket, &[0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn the_overhead_is_the_same_with_every_cipher() {
    let suites = rustls::crypto::ring::default_provider().cipher_suites;
    // Another crate may have TLS 1.2 compiled in, with ciphers of its own.
    for suite in suites.iter().filter(|suite| suite.tls13().is_some()) {
        let mut forger = super::forger::Forger::online_with(Some(suite.suite()));
        let record = forger.say(&[0; 40]);
        assert_eq!(record.len(), 40 + RECORD_OVERHEAD, "{suite:?}");
    }
}

#[test]
fn a_byte_at_a_time_is_enough() {
    let mut pair = Pair::fresh();
    pair.to_server.portion = 1;
    pair.to_client.portion = 1;
    pair.run();
    pair.expect_online();
    let long = pattern(20_000);
    pair.client_says(&long);
    pair.run();
    assert_eq!(pair.server.take_heard(), long);
}

#[test]
fn a_narrow_socket_loses_nothing_and_leaves_little_waiting() {
    let mut pair = Pair::online();
    let long = pattern(1_000_000);
    for capacity in [1, 7, 100, MAX_RECORD + RECORD_OVERHEAD, 50_000] {
        pair.to_server.capacity = capacity;
        let mut written = 0;
        while written < long.len() {
            match pair.client.session.write(&mut pair.to_server, &long[written..]) {
                Ok(len) => {
                    assert!(len > 0 && len <= MAX_WRITE);
                    written += len;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    assert!(pair.client.session.wants_write(), "a reason to wait for the socket");
                    pair.server.turn(&mut pair.to_server, &mut pair.to_client);
                }
            }
            let records = MAX_WRITE / MAX_RECORD;
            assert!(pair.client.session.queued() <= MAX_WRITE + records * RECORD_OVERHEAD);
            if capacity < 100 && written > 100_000 {
                break;
            }
        }
        pair.run();
        assert_eq!(pair.server.take_heard(), &long[..written], "capacity {capacity}");
        assert!(!pair.client.session.wants_write());
    }
}

#[test]
fn reads_of_any_length_give_the_same_bytes() {
    let mut pair = Pair::online();
    let long = pattern(60_000);
    for portion in [2, 5, 21, 22, 23, 1000, MAX_RECORD + RECORD_OVERHEAD - 1, 17_000] {
        pair.to_server.portion = usize::MAX;
        // Records of all lengths, some of them smaller than the portion and some larger.
        for piece in long.chunks(portion * 3 / 2) {
            pair.client_says(piece);
        }
        pair.to_server.portion = portion;
        pair.run();
        assert_eq!(pair.server.take_heard(), long, "portion {portion}");
    }
}

#[test]
fn everything_that_fits_in_the_buffer_comes_with_one_read() {
    let mut pair = Pair::online();
    for byte in 0..100 {
        pair.client_says(&[byte; 40]);
    }
    let mut buffer = vec![0; MIN_READ_LEN];
    let read = pair.server.session.read(&mut pair.to_server, &mut buffer);
    assert_eq!(read.unwrap(), Received::Bytes(4000));
    assert!(!pair.server.session.has_more());
    assert_eq!(buffer[..4000], (0..100).flat_map(|byte| [byte; 40]).collect::<Vec<_>>());
    let read = pair.server.session.read(&mut pair.to_server, &mut buffer);
    assert_eq!(read.unwrap(), Received::Nothing);
}

#[test]
fn a_read_that_fills_the_buffer_says_that_there_may_be_more() {
    let mut pair = Pair::online();
    pair.client_says(&pattern(MIN_READ_LEN));
    let mut buffer = vec![0; MIN_READ_LEN];
    let read = pair.server.session.read(&mut pair.to_server, &mut buffer);
    assert!(matches!(read.unwrap(), Received::Bytes(len) if len > 0));
    assert!(pair.server.session.has_more());
    assert!(pair.server.session.has_partial());
}

#[test]
fn a_part_of_a_record_is_a_sign_of_life_without_plaintext() {
    let mut pair = Pair::online();
    pair.client_says(b"whole");
    let last = pair.to_server.bytes.pop_back().unwrap();
    let mut buffer = vec![0; MIN_READ_LEN];
    let read = pair.server.session.read(&mut pair.to_server, &mut buffer);
    assert_eq!(read.unwrap(), Received::Bytes(0));
    assert!(pair.server.session.has_partial());
    pair.to_server.bytes.push_back(last);
    let read = pair.server.session.read(&mut pair.to_server, &mut buffer);
    assert_eq!(read.unwrap(), Received::Bytes(5));
    assert!(!pair.server.session.has_partial());
}

#[test]
fn a_buffer_that_is_too_short_is_refused() {
    let mut pair = Pair::online();
    pair.client_says(b"hello");
    let mut buffer = vec![0; MIN_READ_LEN - 1];
    let error = pair.server.session.read(&mut pair.to_server, &mut buffer).unwrap_err();
    let error = match error {
        crate::tls::TlsFailure::Socket(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    pair.run();
    assert_eq!(pair.server.take_heard(), b"hello", "nothing was lost");
}

#[test]
fn nothing_is_taken_before_the_handshake_is_over() {
    let mut pair = Pair::fresh();
    let say = |pair: &mut Pair| {
        let client = pair.client.session.write(&mut pair.to_server, b"early");
        let server = pair.server.session.write(&mut pair.to_client, b"early");
        (client.map_err(|error| error.kind()), server.map_err(|error| error.kind()))
    };
    // It has written its first message, though.
    assert_eq!(say(&mut pair), (Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock)));
    assert!(!pair.to_server.bytes.is_empty());
    pair.run();
    assert_eq!(say(&mut pair), (Ok(5), Ok(5)));
}

#[test]
fn writing_nothing_sends_nothing() {
    let mut pair = Pair::online();
    assert_eq!(pair.client.session.write(&mut pair.to_server, b"").unwrap(), 0);
    assert!(pair.to_server.bytes.is_empty());
}

#[test]
fn a_socket_that_fails_is_not_blamed_on_tls() {
    struct Failing;
    impl io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::ConnectionReset.into())
        }
    }
    impl io::Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::ConnectionReset.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut pair = Pair::online();
    let error = pair.client.session.read(&mut Failing, &mut vec![0; MIN_READ_LEN]).unwrap_err();
    assert_eq!(error.fault(), None);
    let error = pair.client.session.write(&mut Failing, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_peer_that_changes_its_keys_is_followed_and_answered() {
    let mut forger = super::forger::Forger::online();
    for round in 0..10 {
        forger.client.refresh_traffic_keys().unwrap();
        forger.expect_heard(b"with a new key");
        // The answer to it goes out with what is said next.
        let mut pipe = super::pipe::Pipe::default();
        write_all(&mut forger.server.session, &mut pipe, b"me too").unwrap();
        let plain = b"me too".len() + RECORD_OVERHEAD;
        assert!(pipe.bytes.len() > plain, "round {round}: no answer");
        assert_eq!(forger.hears(pipe), b"me too");
    }
}
