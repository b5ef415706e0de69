//! The positions of one session.

mod both_ends;

use std::vec::Vec;

use super::*;

/// The lengths of frames, headers included.
const LENS: [usize; 4] = [10, 8, 30, 12];

fn position(frames: u64, bytes: u64) -> Position {
    Position { frames, bytes }
}

/// A ledger with these frames queued, and `written` bytes of them written.
fn sent(window: u32, written: usize) -> Ledger {
    let mut ledger = Ledger::new(window, window);
    for len in LENS {
        assert!(ledger.queue(u32::try_from(len).unwrap()));
    }
    ledger.handle_written(written);
    ledger
}

#[test]
fn only_what_was_written_whole_can_be_acknowledged() {
    let told = |written, frames, bytes| {
        let mut ledger = sent(100, written);
        ledger.handle_told(position(frames, bytes))?;
        ledger.settle(LENS)
    };
    assert_eq!(told(60, 4, 60), Ok(4));
    assert_eq!(told(48, 3, 48), Ok(3));
    assert_eq!(told(18, 2, 18), Ok(2));
    for (written, frames, bytes) in [
        (47, 3, 48),              // the third is written but for a byte
        (60, 5, 60),              // a frame more than there are
        (60, 2, 17),              // within a frame
        (60, 1, 18),              // another number of frames
        (60, 0, 10),              // bytes without a frame
        (60, 4, 61),              // more than was sent
        (60, u64::MAX, u64::MAX), // overflowing
        (60, 1 << 32, 18),        // too far
    ] {
        let refused = Err(Violation::BadPosition { position: position(frames, bytes) });
        assert_eq!(told(written, frames, bytes), refused, "{frames} {bytes}");
    }
}

#[test]
fn acknowledged_positions_never_go_back() {
    let mut ledger = sent(100, 60);
    ledger.handle_told(position(2, 18)).unwrap();
    for (frames, bytes) in [(1, 10), (0, 0), (2, 10), (1, 18)] {
        assert!(ledger.handle_told(position(frames, bytes)).is_err(), "{frames}");
    }
    assert_eq!(ledger.settle(LENS), Ok(2));
    assert!(ledger.handle_told(position(1, 10)).is_err());
    assert_eq!(ledger.handle_told(position(2, 18)), Ok(()));
    assert_eq!(ledger.settle(LENS), Ok(0));
    ledger.handle_told(position(4, 60)).unwrap();
    assert_eq!(ledger.settle([30, 12]), Ok(2));
    assert!(!ledger.has_unacknowledged());
}

#[test]
fn a_resume_goes_on_at_a_boundary_of_what_was_written() {
    let mut ledger = sent(100, 50);
    ledger.handle_told(position(1, 10)).unwrap();
    assert_eq!(ledger.settle(LENS), Ok(1));
    let lens = &LENS[1..];
    let resume = |ledger: &Ledger, frames, bytes| {
        ledger.resume_at(position(frames, bytes), lens.iter().copied())
    };
    assert_eq!(resume(&ledger, 1, 10), Ok(0));
    assert_eq!(resume(&ledger, 3, 48), Ok(2));
    for (frames, bytes) in [(0, 0), (4, 60), (3, 47), (2, 48)] {
        assert!(resume(&ledger, frames, bytes).is_err(), "{frames} {bytes}");
    }
    // Not behind what it had taken over.
    ledger.handle_told(position(2, 18)).unwrap();
    assert!(resume(&ledger, 1, 10).is_err());
    // What was not received whole is told on the next connection, and then taken over.
    ledger.handle_told(position(3, 48)).unwrap();
    assert_eq!(ledger.settle(lens.iter().copied()), Ok(2));
    assert_eq!(ledger.undelivered(), Undelivered { frames: 1, bytes: 4 });
}

#[test]
fn the_window_and_half_of_it_for_a_frame_push_back() {
    let mut ledger = Ledger::new(40, 40);
    assert!(!ledger.queue(21), "more than half of the window");
    assert!(ledger.queue(20) && ledger.queue(12));
    assert_eq!(ledger.room(), 8);
    assert!(!ledger.queue(9));
    assert!(ledger.queue(8));
    assert_eq!(ledger.room(), 0);
    ledger.handle_written(40);
    ledger.handle_told(position(1, 20)).unwrap();
    assert_eq!(ledger.settle([20, 12, 8]), Ok(1));
    assert_eq!(ledger.room(), 20);
    // Nothing at all without a window.
    assert!(!Ledger::new(0, 0).queue(8));
}

#[test]
fn more_than_the_window_may_not_come() {
    let mut ledger = Ledger::new(40, 40);
    ledger.handle_frame(20, false).unwrap();
    ledger.handle_frame(20, false).unwrap();
    assert_eq!(ledger.handle_frame(8, false), Err(Violation::Window { window: 40 }));
    ledger.take(20);
    // The peer does not know it yet.
    assert_eq!(ledger.handle_frame(8, false), Err(Violation::Window { window: 40 }));
    assert!(ledger.ack_due());
    assert_eq!(ledger.tell(), position(1, 20));
    assert!(!ledger.ack_due());
    ledger.handle_frame(8, false).unwrap();
    assert_eq!((ledger.taken(), ledger.received()), (position(1, 20), position(3, 48)));
}

#[test]
fn an_ack_is_due_at_a_quarter_of_the_window_or_at_64_kib() {
    for (window, due) in [(400, 100), (1 << 30, 64 * 1024)] {
        let mut ledger = Ledger::new(0, window);
        ledger.handle_frame(due, false).unwrap();
        ledger.take(usize::try_from(due - 1).unwrap());
        assert!(!ledger.ack_due(), "{window}");
        ledger.take(1);
        assert!(ledger.ack_due(), "{window}");
    }
}

#[test]
fn after_its_end_an_end_sends_nothing_and_a_session_is_done_after_both() {
    let (mut one, mut other) = (Ledger::new(400, 400), Ledger::new(400, 400));
    assert!(one.queue(10) && one.queue_end());
    assert!(!one.queue(8) && !one.queue_end());
    one.handle_written(18);
    other.handle_frame(10, false).unwrap();
    other.handle_frame(8, true).unwrap();
    other.take(10);
    assert!(!other.ack_due() && other.until_ack() == 8, "less than a quarter of the window");
    assert!(other.queue_end());
    other.handle_written(8);
    one.handle_frame(8, true).unwrap();
    one.take(8);
    one.handle_told(other.tell()).unwrap();
    assert_eq!(one.undelivered(), Undelivered::default());
    assert!(!one.is_done() && !other.is_done());
    other.take(8);
    assert!(other.ack_due(), "the last of all");
    other.handle_told(one.tell()).unwrap();
    one.handle_told(other.tell()).unwrap();
    assert!(one.is_done() && other.is_done());
}

#[test]
fn an_end_needs_no_room_in_the_window() {
    for window in [0, 16, 20] {
        let (mut one, mut other) = (Ledger::new(window, 0), Ledger::new(0, window));
        let frames: Vec<u32> = core::iter::from_fn(|| one.queue(8).then_some(8)).collect();
        assert_eq!(frames.len(), usize::try_from(window / 8).unwrap());
        assert!(one.queue_end() && one.room() == 0);
        one.handle_written(8 * (frames.len() + 1));
        for len in &frames {
            other.handle_frame(*len, false).unwrap();
        }
        assert!(other.handle_frame(8, false).is_err(), "data does");
        other.handle_frame(8, true).unwrap();
        other.take_all();
        assert!(other.ack_due());
        one.handle_told(other.tell()).unwrap();
        assert!(!one.has_unacknowledged());
    }
}

#[test]
fn a_position_has_two_numbers_in_sixteen_bytes() {
    let position = position(0x0102_0304_0506_0708, 0x1112_1314_1516_1718);
    let bytes: Vec<u8> = (1..=8).rev().chain((0x11..=0x18).rev()).collect();
    assert_eq!(position.encode().as_slice(), bytes);
    assert_eq!(Position::decode(&position.encode()), position);
}

#[test]
fn a_ledger_is_small() {
    assert!(size_of::<Ledger>() <= 88, "{}", size_of::<Ledger>());
}
