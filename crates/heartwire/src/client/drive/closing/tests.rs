use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A close at 0 that may take 30 s.
fn closing() -> Closing {
    Closing::new(at(0), ms(30_000))
}

/// One whose last byte was written at 0.
fn all_said() -> Closing {
    Closing { said_all_at: Some(at(0)), ..closing() }
}

#[test]
fn a_server_that_has_everything_and_closes_is_done_with_at_once() {
    let mut closing = all_said();
    assert_eq!(closing.judge(at(1), true, Some(2)), Step::Wait);
    closing.server_closed = true;
    assert_eq!(closing.judge(at(2), false, Some(2)), Step::Wait, "a byte before the end");
    assert_eq!(closing.judge(at(3), false, Some(1)), Step::Done, "only the end itself is left");
}

#[test]
fn a_server_that_has_everything_and_does_not_close_gets_a_second() {
    let mut closing = all_said();
    assert_eq!(closing.judge(at(500), true, Some(100)), Step::Wait);
    assert_eq!(closing.judge(at(700), false, Some(0)), Step::Wait);
    assert_eq!(closing.judge(at(1_699), false, Some(0)), Step::Wait);
    assert_eq!(closing.judge(at(1_700), false, Some(0)), Step::Done);
}

#[test]
fn a_server_that_acknowledges_nothing_is_given_up_after_a_tenth_of_the_time() {
    let mut closing = all_said();
    assert_eq!(closing.judge(at(100), true, Some(500)), Step::Wait);
    assert_eq!(closing.judge(at(3_099), false, Some(500)), Step::Wait);
    assert_eq!(closing.judge(at(3_100), false, Some(500)), Step::GiveUp);
    let mut short = Closing { said_all_at: Some(at(0)), ..Closing::new(at(0), ms(2_000)) };
    assert_eq!(short.judge(at(999), false, Some(500)), Step::Wait, "but a second at least");
    assert_eq!(short.judge(at(1_000), false, Some(500)), Step::GiveUp);
}

#[test]
fn on_a_path_with_long_round_trips_a_packet_may_be_lost_twice() {
    let mut closing = Closing { resends_after: ms(9_000), ..all_said() };
    assert_eq!(closing.judge(at(100), true, Some(500)), Step::Wait);
    assert_eq!(closing.judge(at(18_099), false, Some(500)), Step::Wait);
    assert_eq!(closing.judge(at(18_100), false, Some(500)), Step::GiveUp);
    let mut longer = Closing { resends_after: ms(60_000), ..all_said() };
    assert_eq!(longer.judge(at(30_000), false, Some(500)), Step::GiveUp, "the stated time is over");
}

#[test]
fn time_that_makes_progress_is_no_failure_until_all_of_it_is_over() {
    let mut closing = all_said();
    let mut left = 10_000;
    for now in (0..30_000).step_by(2_900) {
        left -= 1;
        assert_eq!(closing.judge(at(now), false, Some(left)), Step::Wait, "at {now}");
    }
    assert_eq!(closing.judge(at(30_000), false, Some(left - 1)), Step::GiveUp);
}

#[test]
fn nothing_is_done_before_everything_is_said() {
    let mut closing = closing();
    closing.server_closed = true;
    assert_eq!(closing.judge(at(1), true, Some(0)), Step::Wait);
    assert_eq!(closing.judge(at(3_001), false, Some(0)), Step::GiveUp);
}

#[test]
fn where_the_system_cannot_tell_the_servers_end_says_that_it_has_everything() {
    let mut closing = all_said();
    assert_eq!(closing.judge(at(100), true, None), Step::Wait);
    assert_eq!(closing.judge(at(3_099), false, None), Step::Wait);
    closing.server_closed = true;
    assert_eq!(closing.judge(at(3_099), false, None), Step::Done);
    assert_eq!(all_said().judge(at(3_000), false, None), Step::GiveUp);
}

#[test]
fn the_stated_time_is_over_when_it_is_over_also_for_a_server_that_has_everything() {
    let mut closing = Closing { said_all_at: Some(at(0)), ..Closing::new(at(0), ms(300)) };
    assert_eq!(closing.judge(at(299), true, Some(0)), Step::Wait);
    assert_eq!(closing.judge(at(300), false, Some(0)), Step::Done);
}
