//! What a caller does with a client.

use core::ptr;

use heartwire_ffi::abi::*;

use crate::rig::*;

#[test]
fn bytes_written_while_a_read_is_due_keep_their_frames() {
    let mut rig = Rig::sized(Sizes { rx: 1024, tx: 400 }, |_| {});
    rig.welcome(2_000);
    assert_eq!(rig.send(b"hello"), Status::OK);
    assert_eq!(rig.poll(), Step::Write);
    rig.now += 1_000;
    assert_eq!(rig.poll(), Step::Read);
    // The socket takes the message and the part of its PAD that is in memory.
    let mut written = rig.output();
    rig.written(written.len());
    let step = rig.read_done(false);
    assert_ne!(step, Step::Close);
    written.extend(rig.turn().0);
    assert_eq!(kinds(&written), [DATA, PAD, HEART]);
}

#[test]
fn a_message_is_padded_also_if_a_beat_comes_behind_it() {
    for written_first in [0, 4, 13] {
        let mut rig = Rig::new(|_| {});
        rig.welcome(500);
        rig.now += 1_000;
        assert_eq!(rig.send(b"hello"), Status::OK);
        let mut written = rig.output()[..written_first].to_vec();
        rig.written(written_first);
        written.extend(rig.turn().0);
        assert!(kinds(&written).contains(&PAD), "{written_first}");
        assert!(written.len() >= 500);
    }
}

#[test]
fn memory_that_overlaps_is_refused() {
    let mut bytes = [0_u8; 4_000];
    let mut memory = ClientMemory { bytes: [0; HW_CLIENT_SIZE] };
    let bytes = bytes.as_mut_ptr();
    let memory = ptr::from_mut(&mut memory);
    let init = |rx: usize, tx: usize, in_client: bool| {
        let base = if in_client { memory.cast() } else { bytes };
        let mut config = config(|_| {});
        (config.rx, config.rx_len) = (bytes.wrapping_add(rx), 1_000);
        (config.tx, config.tx_len) = (base.wrapping_add(tx), 200);
        // SAFETY: all of it stays.
        unsafe { hw_client_init(memory.cast(), HW_CLIENT_SIZE, &config) }
    };
    assert_eq!(init(0, 0, false), Status::ERR_ARGUMENT);
    assert_eq!(init(0, 999, false), Status::ERR_ARGUMENT);
    assert_eq!(init(199, 0, false), Status::ERR_ARGUMENT);
    assert_eq!(init(0, 100, true), Status::ERR_ARGUMENT);
    assert_eq!(init(0, 1_000, false), Status::OK);
    assert_eq!(init(200, 0, false), Status::OK);
}

/// Such as the deadline of a client that has none.
#[test]
fn a_time_that_cannot_be_is_taken_as_standing_still() {
    let mut rig = Rig::welcomed(|_| {});
    let now = rig.now;
    rig.now = HW_NEVER;
    assert_eq!(rig.turn().1, Step::Sleep);
    rig.now = now + 1_000;
    assert_eq!(rig.hear(&beat()), [Got::Beat]);
    assert_eq!(rig.pass(3_000), Step::Sleep);
    assert_eq!(rig.pass(1), Step::Close);
}

/// A device that says that it polls rarely gets the bound that it is told.
#[test]
fn polling_as_late_as_the_settings_say_is_no_pause() {
    let mut rig = Rig::new(|config| config.tick_ms = 1_000);
    rig.welcome(1);
    let heard = rig.now;
    loop {
        let (_, step) = rig.turn();
        if step == Step::Close {
            break;
        }
        rig.now = rig.deadline() + 1_000;
    }
    let silence = rig.now - heard;
    let [Got::Dead(dead)] = rig.events()[..] else { panic!("it is dead") };
    assert!(silence >= 3_000 && silence <= u64::from(dead.latest_ms), "{silence} {dead:?}");
}

#[test]
fn a_bad_place_for_an_event_costs_none() {
    let mut rig = Rig::welcomed(|_| {});
    rig.feed(&frame(DATA, b"hello"));
    let now = rig.now;
    let mut place = [0_u64; 32];
    let unaligned = ptr::from_mut(&mut place).cast::<u8>().wrapping_add(1).cast();
    // SAFETY: it is a client.
    let status = unsafe { hw_client_event(rig.client(), now, unaligned) };
    assert_eq!(status, Status::ERR_ARGUMENT);
    assert_eq!(rig.events(), [Got::Data(b"hello".to_vec())]);
}

#[test]
fn feeding_nothing_does_not_hide_that_something_had_no_room() {
    let mut rig = Rig::sized(Sizes { rx: HW_MIN_RX, tx: 1024 }, |_| {});
    rig.welcome(1);
    let message = frame(DATA, &[1; 400]);
    assert_eq!(rig.feed(&message), 408);
    assert!(rig.feed(&message) < 408);
    assert_eq!(rig.feed(&[]), 0);
    // The application is slow. That is no silence of the server.
    assert_eq!(rig.pass(10_000), Step::Sleep);
}
