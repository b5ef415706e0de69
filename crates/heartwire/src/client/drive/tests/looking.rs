//! `network_changed`: path checks of a client.

use super::*;
use crate::sys::Way;

/// How long the server's system has.
const WITHIN: Duration = Duration::from_secs(3);
const HEART: [u8; 8] = [0; 8];

/// One that beats every hour and judges nothing, with its first beat written; or does not beat
/// either.
fn rig(beats: bool) -> Rig {
    let policy = if beats { Policy::builder().interval(TIMEOUT * 120) } else { Policy::builder() };
    let config = ClientConfig::new("").policy(policy.build().unwrap()).v0();
    let mut rig = Rig::of(&config);
    rig.wait();
    assert_eq!(rig.toy.take_written(), HEART);
    rig.application.names();
    rig
}

/// It is told to look, and all that it has written is on its way `WITHIN` later.
fn look(rig: &mut Rig, way: Way) -> Step {
    rig.application.client.network_changed();
    let wait = rig.wait();
    let at = rig.toy.now().saturating_add(WITHIN);
    assert_eq!(wait.until, Some(at), "nothing else is to come so soon");
    rig.toy.state().way = Some(way);
    rig.until_timer()
}

fn is_given_up(step: &Step) -> bool {
    matches!(step, Step::Over(End { reason: Reason::NetworkChanged, .. }))
}

#[test]
fn a_beat_goes_out_at_once_and_a_server_that_never_answers_is_left_alone() {
    let mut rig = rig(true);
    rig.application.client.network_changed();
    rig.wait();
    assert_eq!(rig.toy.take_written(), HEART);
    // Its system has acknowledged it.
    rig.toy.state().way = None;
    let Step::Wait(wait) = rig.until_timer() else { panic!("nothing is wrong") };
    assert!(wait.until > Some(rig.toy.now().saturating_add(TIMEOUT)), "{wait:?}");
}

#[test]
fn a_connection_that_did_not_survive_is_given_up() {
    let mut rig = rig(true);
    let step = look(&mut rig, Way { quiet: WITHIN, is_tried: true });
    assert!(is_given_up(&step), "{step:?}");
    assert!(rig.toy.state().resets, "its system goes on trying else");
}

#[test]
fn a_server_that_reads_nothing_is_left_alone() {
    let mut rig = rig(true);
    let step = look(&mut rig, Way { quiet: WITHIN, is_tried: false });
    assert!(matches!(step, Step::Wait(_)), "{step:?}");
}

#[test]
fn a_server_that_was_heard_is_asked_once_more_though_nothing_is_acknowledged() {
    let mut rig = rig(true);
    let step = look(&mut rig, Way { quiet: WITHIN / 2, is_tried: true });
    assert!(matches!(step, Step::Wait(_)), "what came may have been on its way: {step:?}");
    rig.toy.state().way = Some(Way { quiet: WITHIN / 2 + WITHIN, is_tried: true });
    let step = rig.until_timer();
    assert!(is_given_up(&step), "{step:?}");
}

#[test]
fn a_server_that_was_just_heard_is_left_alone() {
    let mut rig = rig(true);
    let Step::Wait(wait) = look(&mut rig, Way { quiet: ms(100), is_tried: true }) else {
        panic!("nothing is wrong")
    };
    assert!(wait.until > Some(rig.toy.now().saturating_add(TIMEOUT)), "{wait:?}");
}

/// Without beats nothing was asked when the network changed, and what is written later has its own
/// time.
#[test]
fn bytes_that_were_just_written_have_time_to_be_acknowledged() {
    let mut rig = rig(false);
    let step = look(&mut rig, Way { quiet: WITHIN * 2, is_tried: true });
    assert!(matches!(step, Step::Wait(_)), "{step:?}");
    let step = rig.until_timer();
    assert!(is_given_up(&step), "{step:?}");
}

#[test]
fn looks_without_end_do_not_make_beats_without_end() {
    let mut rig = rig(true);
    for _ in 0..1000 {
        rig.application.client.network_changed();
        rig.wait();
        rig.toy.pass(WITHIN);
    }
    // In less than the hour of one interval: as many as may go out in a row.
    assert_eq!(rig.toy.take_written().len(), 16 * HEART.len());
}

#[test]
fn a_look_before_the_server_has_answered_is_for_the_next_attempt() {
    let mut rig = Rig::of(&ClientConfig::new(""));
    rig.application.client.network_changed();
    let within = rig.wait().until.map(|at| at.saturating_since(rig.toy.now()));
    assert_eq!(within, Some(Duration::from_secs(5)), "the time of the handshake");
    assert!(rig.app.controls.wants_look());
}
