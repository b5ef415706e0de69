use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The stall seen by a driver that was awake at `awake_at`, asked for `until` and woke at `woke`.
fn stall(awake_at: u64, until: Option<u64>, woke: u64) -> Option<Stall> {
    let mut watch = StallWatch::new(at(awake_at));
    watch.handle_sleep(until.map(at));
    watch.handle_wake(at(woke))
}

fn gap(resumed_at: u64, millis: u64) -> Option<Stall> {
    Some(Stall::new(at(resumed_at), Duration::from_millis(millis)))
}

#[test]
fn waking_in_time_is_no_stall() {
    assert_eq!(stall(0, Some(1_000), 1_000), None);
}

#[test]
fn waking_early_for_bytes_is_no_stall() {
    assert_eq!(stall(0, Some(10_000), 400), None);
}

#[test]
fn being_a_little_late_is_no_stall() {
    assert_eq!(stall(0, Some(1_000), 1_249), None);
    assert_eq!(stall(0, Some(1_000), 1_250), gap(1_250, 250));
}

#[test]
fn time_asleep_as_asked_is_not_counted() {
    assert_eq!(stall(0, Some(10_000), 15_000), gap(15_000, 5_000));
}

#[test]
fn time_before_the_driver_went_to_sleep_is_not_counted_for_a_deadline_long_past() {
    assert_eq!(stall(1_000, Some(400), 1_100), None);
    assert_eq!(stall(1_000, Some(400), 1_600), gap(1_600, 600));
}

#[test]
fn without_a_deadline_nothing_can_be_late() {
    assert_eq!(stall(0, None, 3_600_000), None);
}

#[test]
fn a_clock_that_steps_back_is_no_stall() {
    assert_eq!(stall(5_000, Some(6_000), 1_000), None);
}

#[test]
fn one_stall_is_reported_once() {
    let mut watch = StallWatch::new(at(0));
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_000)), gap(9_000, 8_000));
    assert_eq!(watch.handle_wake(at(9_000)), None);
    // It has not slept since, so nothing woke it late.
    assert_eq!(watch.handle_wake(at(9_500)), None);
    watch.handle_sleep(Some(at(10_000)));
    assert_eq!(watch.handle_wake(at(10_001)), None);
}

#[test]
fn the_next_stall_counts_from_the_last_time_awake() {
    let mut watch = StallWatch::new(at(0));
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_000)), gap(9_000, 8_000));
    // The deadline was missed in the first stall already, which must not be counted twice.
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_300)), gap(9_300, 300));
}
