use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The pause seen by a driver that was awake at `awake_at`, asked for `until` and woke at `woke`.
fn pause(awake_at: u64, until: Option<u64>, woke: u64) -> Option<Pause> {
    let mut watch = PauseWatch::new(at(awake_at), Duration::ZERO);
    watch.handle_sleep(until.map(at));
    watch.handle_wake(at(woke), Duration::ZERO)
}

fn gap(resumed_at: u64, millis: u64) -> Option<Pause> {
    Some(Pause::new(at(resumed_at), Duration::from_millis(millis)))
}

#[test]
fn waking_in_time_is_no_pause() {
    assert_eq!(pause(0, Some(1_000), 1_000), None);
}

#[test]
fn waking_early_for_bytes_is_no_pause() {
    assert_eq!(pause(0, Some(10_000), 400), None);
}

#[test]
fn being_a_little_late_is_no_pause() {
    assert_eq!(pause(0, Some(1_000), 1_249), None);
    assert_eq!(pause(0, Some(1_000), 1_250), gap(1_250, 250));
}

#[test]
fn time_asleep_as_asked_is_not_counted() {
    assert_eq!(pause(0, Some(10_000), 15_000), gap(15_000, 5_000));
}

#[test]
fn time_before_the_driver_went_to_sleep_is_not_counted_for_a_deadline_long_past() {
    assert_eq!(pause(1_000, Some(400), 1_100), None);
    assert_eq!(pause(1_000, Some(400), 1_600), gap(1_600, 600));
}

#[test]
fn without_a_deadline_nothing_can_be_late() {
    assert_eq!(pause(0, None, 3_600_000), None);
}

#[test]
fn a_clock_that_steps_back_is_no_pause() {
    assert_eq!(pause(5_000, Some(6_000), 1_000), None);
}

#[test]
fn one_pause_is_reported_once() {
    let mut watch = PauseWatch::new(at(0), Duration::ZERO);
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_000), Duration::ZERO), gap(9_000, 8_000));
    assert_eq!(watch.handle_wake(at(9_000), Duration::ZERO), None);
    // It has not slept since, so nothing woke it late.
    assert_eq!(watch.handle_wake(at(9_500), Duration::ZERO), None);
    watch.handle_sleep(Some(at(10_000)));
    assert_eq!(watch.handle_wake(at(10_001), Duration::ZERO), None);
}

#[test]
fn the_next_pause_counts_from_the_last_time_awake() {
    let mut watch = PauseWatch::new(at(0), Duration::ZERO);
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_000), Duration::ZERO), gap(9_000, 8_000));
    // The deadline was missed in the first pause already, which must not be counted twice.
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(9_300), Duration::ZERO), gap(9_300, 300));
}

/// Its timer, which stops in a suspend, would fire at 54.9 s; something else wakes it before.
#[test]
fn a_suspend_is_a_pause_though_nothing_was_late() {
    let before = Duration::from_secs(3_600);
    let suspended = Duration::from_millis(24_900);
    let mut watch = PauseWatch::new(at(0), before);
    watch.handle_sleep(Some(at(30_000)));
    assert_eq!(watch.handle_wake(at(30_100), before + suspended), gap(30_100, 24_900));
    assert_eq!(watch.handle_wake(at(30_100), before + suspended), None);
}

#[test]
fn a_suspend_before_the_judgement_is_seen_though_the_driver_has_not_slept_since() {
    let mut watch = PauseWatch::new(at(0), Duration::ZERO);
    watch.handle_sleep(Some(at(1_000)));
    assert_eq!(watch.handle_wake(at(1_000), Duration::ZERO), None);
    let suspended = Duration::from_millis(300);
    assert_eq!(watch.handle_wake(at(1_300), suspended), gap(1_300, 300));
}

#[test]
fn a_suspend_that_made_a_wake_up_late_is_one_pause_and_the_longer_figure_tells() {
    let mut watch = PauseWatch::new(at(0), Duration::ZERO);
    watch.handle_sleep(Some(at(1_000)));
    let suspended = Duration::from_secs(5);
    assert_eq!(watch.handle_wake(at(4_000), suspended), gap(4_000, 5_000));
    watch.handle_sleep(Some(at(5_000)));
    assert_eq!(watch.handle_wake(at(9_000), suspended * 2), gap(9_000, 5_000));
    assert_eq!(watch.handle_wake(at(9_000), suspended * 2), None);
}

#[test]
fn clocks_that_drift_apart_a_little_are_no_suspend() {
    let mut watch = PauseWatch::new(at(0), Duration::ZERO);
    assert_eq!(watch.handle_wake(at(9_000), Duration::from_millis(249)), None);
    assert_eq!(watch.handle_wake(at(9_000), Duration::from_millis(498)), None);
    assert_eq!(watch.handle_wake(at(9_000), Duration::from_millis(0)), None);
}
