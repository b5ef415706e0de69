//! A slow application does not make the server dead.

use heartwire_core::FrameLimits;

use super::*;

const MESSAGE: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_server_that_died_with_nothing_left_unread_is_judged_in_time_and_told_of_after_its_data() {
    let mut rig = Rig::new();
    let room = rig.application.leave_room(1);
    rig.toy.send(&MESSAGE.repeat(3));
    assert!(rig.wait().room);
    let Step::Wait(wait) = rig.until_timer() else { panic!("its data comes first") };
    assert!(wait.room && !wait.close, "{wait:?}");
    assert_eq!(rig.application.names(), ["data"]);
    drop(room);
    let Step::Over(End { reason: Reason::Dead(verdict), .. }) = rig.driver.step(&mut rig.app)
    else {
        panic!("no verdict")
    };
    // Had it been put off until the application listened, it would be late.
    assert_eq!((verdict.silence, verdict.late), (TIMEOUT, ms(0)));
    assert_eq!(rig.application.names(), ["data", "data"]);
}

#[test]
fn a_first_frame_has_its_time_again_while_the_application_has_no_room() {
    let limits = FrameLimits::default().handshake_timeout(Some(ms(2_000)));
    let policy = Policy::builder().build().unwrap();
    let config = ClientConfig::new("").policy(policy).v0().limits(limits);
    let mut rig = Rig::of(&config);
    assert_eq!(rig.application.names(), ["online"]);
    let room = rig.application.leave_room(0);
    rig.toy.send(&MESSAGE);
    for _ in 0..5 {
        assert!(matches!(rig.until_timer(), Step::Wait(_)), "it is here, and cannot be taken");
    }
    drop(room);
    rig.wait();
    rig.wait();
    assert_eq!(rig.application.names(), ["data"]);
}

#[test]
fn beats_go_on_and_messages_are_written() {
    let beat = TIMEOUT / 3;
    let policy = Policy::builder().interval(beat).timeout(TIMEOUT).build().unwrap();
    let mut rig = Rig::of(&ClientConfig::new("").policy(policy).v0());
    rig.wait();
    rig.toy.take_written();
    let _room = rig.application.leave_room(0);
    rig.toy.send(&MESSAGE);
    let began = rig.toy.now();
    while rig.toy.now() < began.saturating_add(TIMEOUT * 3) {
        assert!(matches!(rig.until_timer(), Step::Wait(_)), "what waits is life");
    }
    assert_eq!(rig.toy.take_written(), [0; 8].repeat(9));
    rig.application.client.try_send(vec![7]).unwrap();
    rig.wait();
    assert_eq!(rig.toy.take_written(), [1, 0, 0, 0, 1, 0, 0, 0, 7]);
}
