//! Silence, verdicts, and what comes after them.

use super::*;

#[test]
fn any_byte_is_life_even_of_a_frame_that_never_ends() {
    Rig::new(patient(timeout(15_000)))
        .receive(14_000, &[0], &[])
        .next(29_000)
        .receive(28_000, &[0, 0], &[])
        .next(43_000)
        .wake(42_999, &[])
        .wake(43_000, &[Dead { silence: 15_000 }]);
}

#[test]
fn sending_is_no_sign_of_life() {
    Rig::new(patient(timeout(15_000))).sent(14_999).wake(15_000, &[Dead { silence: 15_000 }]);
}

#[test]
fn the_tutorials_client_lives_by_its_beats_and_dies_15_s_after_the_last() {
    let mut rig = Rig::new(Settings::new(Preset::Tutorial.policy(Side::Server)));
    for beat in 0..100 {
        rig = rig.wake(beat * 3_000, &[]).receive(beat * 3_000, &frame::BEAT, &[Beat]);
    }
    rig.wake(311_999, &[]).wake(312_000, &[Dead { silence: 15_000 }]).ended();
}

#[test]
fn a_verdict_carries_the_drivers_tick_in_its_bound() {
    let mut connection = Connection::new(patient(timeout(15_000)).tick(ms(8)), at(0));
    let (_, Some(Over::Dead(verdict))) = turn(&mut connection, at(15_007), None) else {
        panic!("it lives")
    };
    let bound = verdict.bound.unwrap();
    assert_eq!((bound.earliest, bound.latest), (ms(15_000), ms(15_008)));
    assert_eq!((verdict.cause, verdict.late), (Cause::Silence, ms(7)));
}

#[test]
fn a_verdict_is_the_last_event() {
    Rig::new(patient(echo().timeout(ms(15_000))))
        .wake(15_000, &[Dead { silence: 15_000 }])
        .receive(15_000, &frame::BEAT, &[])
        .ended();
}

#[test]
fn answers_still_owed_die_with_the_connection() {
    let mut connection = Connection::new(patient(echo().timeout(ms(15_000))), at(0));
    let received = connection.handle_received(at(0), &mut frame::BEAT.as_slice());
    assert_eq!(received, Ok(Some(Event::Beat)));
    let (written, over) = turn(&mut connection, at(15_000), None);
    assert!(written.is_empty() && matches!(over, Some(Over::Dead(_))), "{written:?} {over:?}");
}

#[test]
fn bytes_after_the_end_are_not_touched() {
    let mut connection = Connection::new(patient(timeout(15_000)), at(0));
    assert!(matches!(turn(&mut connection, at(15_000), None), (_, Some(Over::Dead(_)))));
    let mut bytes: &[u8] = b"whatever";
    assert_eq!(connection.handle_received(at(15_001), &mut bytes), Ok(None));
    assert_eq!(bytes, b"whatever");
}

#[test]
fn a_pause_gives_the_silence_its_whole_timeout_again() {
    Rig::new(patient(timeout(15_000)))
        .resumed(20_000)
        .wake(20_000, &[])
        .next(35_000)
        .wake(35_000, &[Dead { silence: 35_000 }]);
}

#[test]
fn the_last_byte_is_remembered_after_the_end() {
    let rig = Rig::new(settings(timeout(15_000))).receive(1_234, &frame::BEAT, &[Beat]);
    assert_eq!(rig.connection.last_heard(), at(1_234));
    let rig = rig.wake(20_000, &[Dead { silence: 18_766 }]);
    assert_eq!(rig.connection.last_heard(), at(1_234));
}
