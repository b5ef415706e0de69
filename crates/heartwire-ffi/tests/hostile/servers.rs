//! What a server does to a client.

use core::time::Duration;

use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_ffi::abi::*;

use crate::rig::*;

#[test]
fn a_pad_longer_than_the_memory_passes_in_parts_of_any_size() {
    for part in [1, 7, 8, 9, 100, 527, 528, 5_000, 70_000] {
        let mut rig = Rig::sized(Sizes { rx: HW_MIN_RX, tx: 1024 }, |_| {});
        rig.welcome(1);
        let mut bytes = frame(PAD, &[9; 60_000]);
        bytes.extend(frame(DATA, b"behind it"));
        let events: Vec<Got> = bytes.chunks(part).flat_map(|part| rig.hear(part)).collect();
        assert_eq!(events, [Got::Data(b"behind it".to_vec())], "{part}");
    }
}

#[test]
fn no_message_follows_the_end_by_a_slow_frame() {
    let mut rig = Rig::welcomed(|_| {});
    let whole = frame(DATA, &[7; 400]);
    let (begun, rest) = whole.split_at(300);
    for byte in begun.chunks(1) {
        assert_eq!(rig.hear(byte), []);
        rig.turn();
        rig.now += 100;
    }
    // The socket takes nothing now, so the BYE waits.
    rig.now += 100;
    assert_eq!(rig.poll(), Step::Read);
    assert_eq!(rig.read_done(false), Step::Write);
    let broken = [Got::Broken(ViolationCode::SLOW_FRAME)];
    assert_eq!(rig.events(), broken);
    assert_eq!(rig.hear(rest), []);
    rig.disconnect();
    assert_eq!(rig.events(), []);
}

/// A server cannot have read what was not written. But a caller may learn late that it was.
#[test]
fn a_welcome_before_the_hello_is_written_spoils_nothing() {
    for tx in [HW_MIN_TX, 150, 400] {
        let mut rig = Rig::sized(Sizes { rx: 1024, tx }, |_| {});
        assert_eq!(rig.connected(), Status::OK);
        let begun = rig.output()[..3].to_vec();
        for written in [0, 3] {
            let mut rig = Rig::sized(Sizes { rx: 1024, tx }, |_| {});
            assert_eq!(rig.connected(), Status::OK);
            rig.written(written);
            assert_eq!(rig.hear(&welcome(1)), [Got::Welcome]);
            let mut all = begun[..written].to_vec();
            all.extend(rig.turn().0);
            assert_eq!(kinds(&all), [HELLO, HEART], "{tx} {written}");
        }
    }
}

fn bye(retry: RetryHint) -> Vec<u8> {
    Bye::new(ByeCode::Draining, retry).encode()
}

#[test]
fn a_bye_counts_also_if_it_is_taken_after_the_transport_has_ended() {
    let (earliest, latest) = (Duration::from_secs(600), Duration::from_secs(700));
    for is_drawn in [false, true] {
        let mut rig = Rig::welcomed(|_| {});
        rig.feed(&bye(RetryHint::Within { earliest, latest }));
        rig.disconnect();
        if is_drawn {
            assert!(rig.retry_ms() < 600_000);
        }
        assert_eq!(rig.events(), [Got::Bye(1)]);
        assert!((600_000..=700_000).contains(&rig.retry_ms()));
        assert_eq!(rig.connected(), Status::OK);
        rig.feed(&bye(RetryHint::Never));
        rig.disconnect();
        assert_eq!(rig.events(), [Got::Bye(1)]);
        assert_eq!(rig.retry_ms(), HW_NEVER);
        rig.disconnect();
        assert_eq!(rig.retry_ms(), HW_NEVER);
    }
}

#[test]
fn a_welcome_that_is_taken_after_the_end_is_none_of_the_next_connection() {
    let mut rig = Rig::new(|_| {});
    assert_eq!(rig.connected(), Status::OK);
    rig.turn();
    rig.feed(&welcome(1));
    rig.disconnect();
    assert_eq!(rig.events(), [Got::Welcome, Got::Closed]);
    rig.now += 60_000;
    assert_eq!(rig.connected(), Status::OK);
    // The server has not accepted the client yet, so it is told nothing but HELLO.
    assert_eq!(rig.close(), Status::OK);
    assert_eq!(kinds(&rig.turn().0), [HELLO]);
}
