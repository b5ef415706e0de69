use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(nanos: Duration) -> Instant {
    Instant::from_nanos(0).saturating_add(nanos)
}

fn pulse() -> Pulse {
    Pulse::new(Policy::builder().limit(secs(10)).build().unwrap())
}

/// The verdict of a second look after one at `now`, if the machine was suspended for `suspended` in all.
fn look_twice(pulse: &mut Pulse, now: Duration, suspended: Duration) -> Option<Verdict> {
    let suspended = pulse.suspended.max(suspended);
    assert_eq!(pulse.handle_timer(at(now), suspended), None);
    pulse.handle_timer(at(now + LOOK_AGAIN), suspended)
}

#[test]
fn a_verdict_takes_two_looks() {
    let mut pulse = pulse();
    assert_eq!(pulse.handle_timer(at(secs(10)), Duration::ZERO), None);
    assert_eq!(pulse.handle_timer(at(secs(10)), Duration::ZERO), None);
    let now = secs(10) + LOOK_AGAIN;
    let verdict = pulse.handle_timer(at(now), Duration::ZERO).unwrap();
    assert_eq!((verdict.silence, verdict.late), (now, LOOK_AGAIN));
}

#[test]
fn whoever_is_heard_between_the_two_looks_lives() {
    let mut pulse = pulse();
    assert_eq!(pulse.handle_timer(at(secs(10)), Duration::ZERO), None);
    pulse.liveness.handle_heard(at(secs(10)));
    assert_eq!(pulse.handle_timer(at(secs(11)), Duration::ZERO), None);
    assert_eq!(look_twice(&mut pulse, secs(19), Duration::ZERO), None);
    assert!(look_twice(&mut pulse, secs(21), Duration::ZERO).is_some());
}

#[test]
fn a_suspend_is_a_stall_though_the_timer_is_punctual() {
    let mut pulse = pulse();
    let suspended = pulse.suspended;
    let long = suspended + STALL_MIN;
    assert_eq!(look_twice(&mut pulse, secs(11), long), None);
    // A whole limit from when it was noticed, and no more for the same one.
    assert_eq!(look_twice(&mut pulse, secs(20), long), None);
    let verdict = look_twice(&mut pulse, secs(22), long).unwrap();
    assert_eq!(verdict.stalled, secs(11));
}

#[test]
fn clocks_that_drift_apart_a_little_are_no_suspend() {
    let mut pulse = pulse();
    let short = pulse.suspended + STALL_MIN.saturating_sub(Duration::from_nanos(1));
    assert!(look_twice(&mut pulse, secs(11), short).is_some());
}
