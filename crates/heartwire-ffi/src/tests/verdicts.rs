use heartwire_core::frame::Kind;

use super::rig::{Calls, Dead, Rig, Told, beat, beat_with, data};
use crate::abi::{Cause, Protocol, Status, Step};

fn dead(rig: &mut Rig) -> Dead {
    match rig.events().pop() {
        Some(Told::Dead(dead)) => dead,
        other => panic!("not dead: {other:?}"),
    }
}

#[test]
fn a_verdict_is_never_early_and_within_its_bound() {
    for step in [1, 10] {
        for late in [0, 1, 99, 100] {
            let mut rig = Rig::welcomed(1, |config| config.clock_step_ms = step);
            let heard = rig.now;
            // The byte came at the end of the clock's step, and the clock is read at its beginning.
            assert_eq!(rig.run_to(heard + 3_000), Step::Sleep);
            let deadline = rig.deadline();
            assert_eq!(deadline, heard + 3_000 + u64::from(step));
            rig.now = deadline + late;
            assert_eq!(rig.poll(), Step::Read);
            assert_eq!(rig.read_done(false), Step::Close);
            let Dead { cause, silence_ms, bound: (earliest, latest), paused_ms } = dead(&mut rig);
            assert_eq!((cause, paused_ms), (Cause::Silence, 0));
            assert_eq!(u64::from(silence_ms), 3_000 + late);
            assert_eq!((earliest, latest), (3_000, 3_100 + 2 * step));
            assert!((earliest..=latest).contains(&silence_ms));
        }
    }
}

#[test]
fn a_verdict_comes_only_after_a_read() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.run_to(rig.now + 3_000);
    rig.now += 50;
    assert_eq!(rig.poll(), Step::Read);
    // Asking again does not help.
    assert_eq!(rig.poll(), Step::Read);
    rig.feed_all(&beat(5));
    assert_eq!(rig.events(), [Told::Beat]);
    assert_ne!(rig.read_done(false), Step::Close);
    assert_eq!(rig.settle(), Step::Sleep);
    assert!(rig.deadline() > rig.now);
}

#[test]
fn a_part_of_a_frame_shows_life() {
    let mut rig = Rig::welcomed(1, |_| {});
    let whole = data(&[1; 40]);
    for byte in &whole[..9] {
        rig.run_to(rig.now + 2_900);
        rig.feed_all(core::slice::from_ref(byte));
        assert_eq!(rig.events(), []);
    }
    assert_eq!(rig.settle(), Step::Sleep);
}

#[test]
fn bytes_left_in_the_socket_delay_a_verdict_but_not_without_end() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.run_to(rig.now + 3_000);
    rig.now += 50;
    let mut step = rig.poll();
    let mut reads = 0;
    while step == Step::Read {
        reads += 1;
        step = rig.read_done(true);
    }
    assert_eq!((reads, step), (65, Step::Close));
}

#[test]
fn asking_again_uses_up_no_reads() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.run_to(rig.now + 3_000);
    rig.now += 50;
    for _ in 0..100 {
        assert_eq!(rig.poll(), Step::Read);
    }
    assert_eq!(rig.read_done(true), Step::Read);
    assert_eq!(rig.read_done(false), Step::Close);
}

#[test]
fn backpressure_is_not_death() {
    let mut rig = Rig::welcomed(1, |config| config.rx_len = 528);
    let many: Vec<u8> = (0..40).flat_map(|number| data(&[number; 20])).collect();
    let taken = rig.feed(&many);
    assert!(taken < many.len());
    let mut rest = &many[taken..];
    // The application is busy with the first message, and the rest waits.
    for _ in 0..10 {
        rig.now = rig.now.max(rig.deadline());
        if rig.poll() == Step::Read {
            assert_eq!(rig.feed(rest), 0);
            let step = rig.read_done(false);
            assert!(matches!(step, Step::Sleep | Step::Write), "{step:?}");
        }
        rig.write_all();
    }
    let mut events = rig.events();
    while !rest.is_empty() {
        rest = &rest[rig.feed(rest)..];
        events.extend(rig.events());
    }
    assert_eq!(events, (0..40).map(|number| Told::Data(vec![number; 20])).collect::<Vec<_>>());
    rig.run_to(rig.now + 4_000);
    assert_eq!(dead(&mut rig).silence_ms, 3_000);
}

#[test]
fn a_pause_of_the_device_is_not_the_servers_silence() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    rig.now += 60_000;
    assert_ne!(rig.settle(), Step::Close);
    assert_eq!(rig.events(), []);
    rig.run_to(rig.now + 4_000);
    let Dead { silence_ms, bound, paused_ms, .. } = dead(&mut rig);
    assert!(silence_ms > 60_000);
    assert!((bound.0..=bound.1).contains(&(silence_ms - paused_ms)));
}

#[test]
fn pauses_do_not_keep_a_dead_server_alive_forever() {
    let mut rig = Rig::welcomed(1, |_| {});
    let mut pauses = 0;
    while rig.settle() == Step::Sleep {
        rig.now = rig.deadline() + 10_000;
        pauses += 1;
    }
    assert!((3..20).contains(&pauses), "{pauses}");
    assert!(matches!(rig.events()[..], [Told::Dead(_)]));
}

#[test]
fn a_caller_that_is_awake_in_time_was_not_paused() {
    let mut rig = Rig::welcomed(1, |_| {});
    let heard = rig.now;
    rig.settle();
    // Bytes that come move the deadline, and the caller sleeps on without a poll.
    rig.now += 400;
    rig.feed_all(&beat(5));
    rig.events();
    assert_eq!(rig.run_to(heard + 10_000), Step::Close);
    assert_eq!(dead(&mut rig).paused_ms, 0);
    assert_eq!(rig.now, heard + 3_401);
}

#[test]
fn a_clock_that_goes_back_is_taken_as_standing_still() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    let (now, deadline) = (rig.now, rig.deadline());
    rig.now = 5;
    assert_eq!(rig.settle(), Step::Sleep);
    assert_eq!(rig.deadline(), deadline);
    assert_eq!(rig.run_to(now + 10_000), Step::Close);
    assert_eq!(dead(&mut rig).silence_ms, 3_000);
}

#[test]
fn a_path_that_is_cut_towards_the_server_is_found() {
    let mut rig = Rig::welcomed(1, |_| {});
    let mut silence = 0;
    while rig.settle() == Step::Sleep {
        rig.now += 500;
        silence += 500;
        assert!(silence < 20_000);
        rig.feed_all(&beat_with(u64::from(silence), 1_000, silence));
        rig.events();
    }
    let Dead { cause, silence_ms, bound, .. } = dead(&mut rig);
    assert_eq!(cause, Cause::Unheard);
    assert!((bound.0..=bound.1 + 500).contains(&silence_ms), "{silence_ms} {bound:?}");
}

#[test]
fn a_client_of_v0_gives_verdicts_too() {
    for protocol in [Protocol::V0, Protocol::Raw] {
        let mut rig = Rig::new(protocol, |_| {});
        let began = rig.now;
        rig.connected();
        assert_eq!(rig.run_to(began + 3_000), Step::Sleep);
        assert_eq!(rig.run_to(began + 3_001), Step::Close);
        assert_eq!(dead(&mut rig).silence_ms, 3_000);
    }
}

#[test]
fn without_a_timeout_there_is_no_verdict() {
    let mut rig = Rig::new(Protocol::V0, |config| config.timeout_ms = 0);
    rig.connected();
    rig.feed_all(&[0; 8]);
    rig.events();
    assert_eq!(rig.run_to(rig.now + 60_000), Step::Sleep);
    assert!(rig.kinds().iter().all(|&kind| kind == Kind::Heart));
    assert_eq!(rig.send(b"still here"), Status::OK);
}

#[test]
fn bytes_that_had_no_room_keep_the_server_alive_until_they_have() {
    let mut rig = Rig::welcomed(1, |config| config.rx_len = 528);
    let many = [data(&[1; 400]), data(&[2; 400])].concat();
    let taken = rig.feed(&many);
    for _ in 0..10 {
        rig.now = rig.now.max(rig.deadline());
        if rig.poll() == Step::Read {
            assert_ne!(rig.read_done(false), Step::Close);
        }
        rig.write_all();
    }
    assert_eq!(rig.events(), [Told::Data(vec![1; 400])]);
    rig.feed_all(&many[taken..]);
    assert_eq!(rig.events(), [Told::Data(vec![2; 400])]);
}
