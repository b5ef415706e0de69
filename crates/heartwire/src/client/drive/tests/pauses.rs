//! A client whose process was paused.

use super::*;

/// A byte arrives between the runtime's last look at the sockets and the client's turn.
#[test]
fn bytes_that_the_runtime_has_not_seen_outrank_a_deadline_too() {
    let mut rig = Rig::new();
    rig.toy.state().is_unseen = true;
    for _ in 0..4 {
        let deadline = rig.wait().until.unwrap();
        let now = rig.toy.now();
        rig.toy.pass(deadline.saturating_since(now));
        rig.toy.send(&[0; 8]);
        let later = rig.wait().until;
        assert_eq!(later, Some(rig.toy.now().saturating_add(TIMEOUT)));
    }
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    assert_eq!(rig.end().reason, Reason::ClosedByPeer, "so does an end");
    assert_eq!(rig.driver.beats(), 4);
}

#[test]
fn a_pause_of_our_own_is_told_and_gives_the_server_another_timeout() {
    let mut rig = Rig::new();
    let deadline = rig.wait().until.unwrap();
    let now = rig.toy.now();
    let late = ms(2_500);
    rig.toy.pass(deadline.saturating_since(now).saturating_add(late));
    rig.wait();
    let told = rig.application.events();
    assert!(matches!(told[..], [Event::Paused(pause)] if pause.gap == late), "{told:?}");
    let End { reason: Reason::Dead(verdict), .. } = rig.end() else { panic!("no verdict") };
    // The whole timeout had passed unheard, and none of it counts.
    assert_eq!((verdict.paused, verdict.silence), (TIMEOUT + late, TIMEOUT + late + TIMEOUT));
}
