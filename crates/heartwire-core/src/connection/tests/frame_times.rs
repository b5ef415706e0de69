//! The time that a frame may take.

use super::*;

fn slow(millis: u64) -> Seen {
    Refused(Violation::SlowFrame { waited: ms(millis) })
}

fn no_first_frame(millis: u64) -> Seen {
    Refused(Violation::NoFirstFrame { waited: ms(millis) })
}

#[test]
fn a_peer_that_sends_no_frame_is_refused_after_10_s() {
    Rig::new(settings(timeout(15_000)))
        .next(10_000)
        .wake(9_999, &[])
        .wake(10_000, &[no_first_frame(10_000)])
        .ended();
}

#[test]
fn part_of_a_header_is_no_first_frame() {
    Rig::new(settings(timeout(15_000)))
        .receive(9_000, &[0; 7], &[])
        .next(10_000)
        .wake(10_020, &[no_first_frame(10_020)]);
}

#[test]
fn a_first_header_trickled_byte_by_byte_is_tolerated_within_its_time() {
    let mut rig = Rig::new(settings(timeout(15_000)));
    for second in 1..8 {
        rig = rig.receive(second * 1_000, &[0], &[]).wake(second * 1_000, &[]);
    }
    rig.receive(9_999, &[0], &[Beat]).wake(10_000, &[]).next(24_999);
}

#[test]
fn a_whole_header_ends_the_wait_for_the_first_frame_and_starts_the_wait_for_its_body() {
    Rig::new(settings(timeout(60_000)))
        .receive(4_000, &packet(b"hello")[..7], &[])
        .receive(9_000, &packet(b"hello")[7..8], &[])
        .next(19_000)
        .wake(19_000, &[slow(10_000)])
        .ended();
}

#[test]
fn a_frame_has_as_long_as_a_usual_silence_by_default() {
    let usual = Preset::Default.policy(Side::Server).timeout();
    assert_eq!(FrameLimits::default().frame_within(), usual);
}

#[test]
fn a_frame_has_10_s_from_its_first_byte_however_its_bytes_trickle() {
    let bytes = packet(b"hello");
    let mut rig =
        Rig::new(settings(timeout(60_000))).receive(1_000, &frame::BEAT, &[Beat]).next(61_000);
    for (millis, byte) in (20_000..30_000).step_by(1_000).zip(bytes) {
        rig = rig.receive(millis, &[byte], &[]).next(30_000);
    }
    rig.wake(29_999, &[]).wake(30_000, &[slow(10_000)]);
}

#[test]
fn a_trickled_frame_that_is_whole_in_time_is_a_frame() {
    let bytes = packet(b"hello");
    let mut rig = Rig::new(settings(timeout(60_000))).receive(1_000, &frame::BEAT, &[Beat]);
    for (millis, byte) in (20_000..).step_by(800).zip(&bytes[..12]) {
        rig = rig.receive(millis, &[*byte], &[]).wake(millis, &[]);
    }
    rig.receive(29_999, &bytes[12..], &[data(b"hello")]).wake(30_000, &[]).next(89_999);
}

#[test]
fn a_long_body_gets_a_second_more_for_each_kib() {
    let bytes = packet(&[7; 4_096]);
    let rig = || Rig::new(settings(timeout(60_000))).receive(0, &frame::BEAT, &[Beat]);
    rig().receive(1_000, &bytes[..9], &[]).next(15_000);
    rig().receive(1_000, &packet(&[7; 1_023])[..9], &[]).next(11_000);
    rig()
        .receive(1_000, &bytes[..5], &[])
        .next(11_000)
        .receive(2_000, &bytes[5..100], &[])
        .next(15_000)
        .wake(14_999, &[])
        .wake(15_000, &[slow(14_000)]);
}

#[test]
fn the_next_frame_has_its_whole_time_again() {
    let bytes = [packet(b"one"), packet(b"two")].concat();
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &bytes[..10], &[])
        .next(11_000)
        .receive(9_000, &bytes[10..12], &[data(b"one")])
        .next(19_000)
        .wake(19_000, &[slow(10_000)]);
}

#[test]
fn bytes_that_complete_a_frame_outrank_its_deadline() {
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &[0; 5], &[])
        .receive(30_000, &[0; 3], &[Beat])
        .wake(30_000, &[]);
}

#[test]
fn times_for_frames_are_the_applications_choice() {
    let capped = |handshake_timeout: Option<u64>, frame: Option<u64>| {
        let limits = FrameLimits::default()
            .handshake_timeout(handshake_timeout.map(ms))
            .frame_timeout(frame.map(ms));
        Rig::new(settings(timeout(60_000)).limits(limits))
    };
    capped(Some(200), None).next(200).receive(100, &packet(b"a")[..8], &[]).next(60_100);
    capped(None, Some(200)).next(60_000).receive(100, &packet(b"a")[..8], &[]).next(300);
    capped(None, None).receive(100, &[0], &[]).next(60_100);
}

#[test]
fn a_pause_gives_a_frame_its_whole_time_again() {
    Rig::new(settings(timeout(60_000))).resumed(9_000).next(19_000).wake(10_000, &[]);
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .receive(2_000, &[0], &[])
        .resumed(1_500)
        .next(12_000)
        .resumed(40_000)
        .wake(40_000, &[])
        .next(50_000)
        .wake(50_000, &[slow(10_000)]);
}

#[test]
fn a_pause_between_frames_sets_no_deadline_for_one() {
    Rig::new(settings(timeout(60_000)))
        .receive(0, &frame::BEAT, &[Beat])
        .resumed(5_000)
        .next(65_000);
}

#[test]
fn bytes_that_wait_for_a_slow_application_are_life_and_take_no_time_from_a_frame() {
    Rig::new(settings(timeout(15_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .receive(2_000, &[0], &[])
        .next(12_000)
        .no_room(11_999)
        .wake(12_000, &[])
        .next(21_999)
        .wake(21_999, &[slow(10_000)])
        .ended();
    Rig::new(settings(timeout(15_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .no_room(14_000)
        .next(29_000)
        .wake(29_000, &[Dead { silence: 15_000 }]);
}
