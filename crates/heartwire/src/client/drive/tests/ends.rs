//! Connections that a server ends, and frames that it must not send.

use heartwire_core::internal::v1::{BEAT_LEN, Beat, MAX_BEAT_LEN};
use heartwire_core::v1::{Hello, RetryHint};

use super::*;

/// The events that are told of a frame, or the breach that it is.
type Reaction = Result<&'static [&'static str], &'static str>;

fn frame(kind: i32, body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(body.len()).unwrap();
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), body].concat()
}

fn beat(change: impl FnOnce(&mut Beat)) -> Vec<u8> {
    let mut beat = Beat { nonce: 1, ..Beat::decode(&[0; BEAT_LEN]) };
    change(&mut beat);
    frame(0, &beat.encode())
}

#[test]
fn every_frame_of_a_server_of_v1_has_one_clear_reaction() {
    let offer = Offer::new(&Policy::default());
    let welcome = Welcome::new(7, 0, Terms::new(offer).agree(&offer).unwrap()).encode();
    let long = |kind: i32, len: i32| [kind.to_le_bytes(), len.to_le_bytes()].concat();
    let frames: [(Vec<u8>, Reaction); 19] = [
        (beat(|_| {}), Ok(&[])),
        (frame(5, &[0; 10]), Ok(&[])),
        (frame(1, b"data"), Ok(&["data"])),
        (frame(0, b""), Err("beat_length")),
        (frame(0, &[0; BEAT_LEN - 1]), Err("beat_length")),
        (frame(0, &[0; MAX_BEAT_LEN]), Ok(&[])),
        (frame(0, &[0; MAX_BEAT_LEN + 1]), Err("beat_length")),
        (beat(|beat| beat.promise_ms = u32::MAX), Err("promise_too_long")),
        (beat(|beat| beat.echo = u64::MAX), Err("unknown_nonce")),
        (Hello::new(offer).encode(), Err("unexpected")),
        (welcome, Err("unexpected")),
        (frame(6, &[0; 16]), Err("unexpected")),
        (frame(7, b""), Err("unexpected")),
        (frame(8, b""), Err("unknown_type")),
        (frame(-1, b""), Err("unknown_type")),
        (long(2, -1), Err("negative_length")),
        (long(1, 65_537), Err("too_long")),
        (long(4, 513), Err("too_long")),
        (long(5, i32::MAX), Err("too_long")),
    ];
    for (bytes, reaction) in frames {
        let mut rig = Rig::welcomed();
        rig.toy.send(&bytes);
        rig.wait();
        let written = rig.toy.take_written();
        match reaction {
            Ok(told) => {
                assert_eq!((&rig.application.names()[..], written.len()), (told, 0), "{bytes:?}");
            }
            Err(name) => {
                rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
                let End { reason: Reason::Protocol(violation), .. } = rig.end() else {
                    panic!("{bytes:?} is no breach")
                };
                assert_eq!(violation.name(), name, "{bytes:?}");
                let bye = Bye::decode(&written[HEADER_LEN..]).unwrap();
                assert_eq!((bye.code, bye.retry), (ByeCode::Protocol, RetryHint::AtWill));
                assert_eq!(bye.detail, violation.to_string());
            }
        }
    }
}

#[test]
fn an_end_within_a_frame_is_a_truncation_and_a_reset_is_no_close() {
    let closed = io::ErrorKind::UnexpectedEof;
    let whole = [frame(1, b"whole"), frame(5, &[0; 3]), frame(5, b"")].concat();
    let cut = |len: usize| [&whole[..], &frame(5, b"not whole")[..len]].concat();
    for (bytes, end, reason) in [
        (whole.clone(), closed, Reason::ClosedByPeer),
        (whole.clone(), io::ErrorKind::ConnectionReset, Reason::Reset),
        (cut(1), closed, Reason::Truncated),
        (cut(7), closed, Reason::Truncated),
        (cut(8), closed, Reason::Truncated),
        (cut(12), closed, Reason::Truncated),
    ] {
        let mut rig = Rig::welcomed();
        rig.toy.send(&bytes);
        rig.toy.state().end = Some(end);
        assert_eq!(rig.end().reason, reason, "{} bytes", bytes.len());
        assert_eq!(rig.application.names(), ["data"]);
    }
}

#[test]
fn a_server_that_resets_a_close_has_not_everything() {
    let mut rig = Rig::new();
    rig.application.client.try_send(vec![7]).unwrap();
    rig.application.client.close();
    rig.toy.state().unacknowledged = Some(10);
    rig.wait();
    rig.toy.state().end = Some(io::ErrorKind::ConnectionReset);
    assert_eq!(rig.end(), End { reason: Reason::Reset, lasted_until: None });
    assert!(rig.driver.unacknowledged() > 0);
}

/// A socket that takes nothing: neither is the verdict late, nor does the question wait behind
/// data.
#[test]
fn a_write_delays_no_verdict_and_data_no_question() {
    let policy = Policy::builder().interval(TIMEOUT / 3).timeout(TIMEOUT).build().unwrap();
    let rig = || {
        let mut rig = Rig::of(&ClientConfig::new("").policy(policy).v0());
        rig.wait();
        rig.toy.take_written();
        rig.toy.state().room = 5;
        (11..14).for_each(|n| rig.application.client.try_send(vec![n]).unwrap());
        assert!(rig.wait().writable);
        rig
    };
    let End { reason: Reason::Dead(verdict), .. } = rig().end() else { panic!("no verdict") };
    assert_eq!((verdict.silence, verdict.late), (TIMEOUT, ms(0)));

    let mut rig = rig();
    assert!(matches!(rig.until_timer(), Step::Wait(_)), "a beat is due");
    rig.toy.state().room = 100;
    rig.wait();
    let all = [frame(1, &[11]), frame(0, b""), frame(1, &[12]), frame(1, &[13])].concat();
    assert_eq!(rig.toy.take_written(), all);
}
