use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(nanos: Duration) -> Instant {
    Instant::from_nanos(0).saturating_add(nanos)
}

fn pulse() -> Pulse {
    Pulse::new(Policy::builder().timeout(secs(10)).build().unwrap())
}

/// One look, punctually, on a machine that was suspended for `suspended` in all.
fn look(pulse: &mut Pulse, now: Duration, suspended: Duration) -> Option<Verdict> {
    pulse.timer_at = Some(at(now));
    pulse.handle_wake(at(now), suspended);
    pulse.handle_timer(at(now), Found::All)
}

/// The verdict of a second look after one at `now`.
fn look_twice(pulse: &mut Pulse, now: Duration, suspended: Duration) -> Option<Verdict> {
    assert_eq!(look(pulse, now, suspended), None);
    look(pulse, now + LOOK_AGAIN, suspended)
}

#[test]
fn a_verdict_takes_two_looks() {
    let mut pulse = pulse();
    assert_eq!(pulse.handle_timer(at(secs(10)), Found::All), None);
    assert_eq!(pulse.handle_timer(at(secs(10)), Found::All), None);
    let now = secs(10) + LOOK_AGAIN;
    let verdict = pulse.handle_timer(at(now), Found::All).unwrap();
    assert_eq!((verdict.silence, verdict.late), (now, LOOK_AGAIN));
}

#[test]
fn a_peer_that_is_heard_between_the_two_looks_lives() {
    let mut pulse = pulse();
    assert_eq!(pulse.handle_timer(at(secs(10)), Found::All), None);
    pulse.liveness.handle_heard(at(secs(10)));
    assert_eq!(pulse.handle_timer(at(secs(11)), Found::All), None);
    assert_eq!(look_twice(&mut pulse, secs(19), clock::suspended()), None);
    assert!(look_twice(&mut pulse, secs(21), clock::suspended()).is_some());
}

#[test]
fn a_suspend_is_a_pause_though_the_timer_is_punctual() {
    let mut pulse = pulse();
    let long = clock::suspended() + MIN_PAUSE * 2;
    assert_eq!(look_twice(&mut pulse, secs(11), long), None);
    // A whole timeout from when it was noticed, and no more for the same one.
    assert_eq!(look_twice(&mut pulse, secs(20), long), None);
    let verdict = look_twice(&mut pulse, secs(21), long).unwrap();
    assert_eq!(verdict.paused, secs(11));
}

#[test]
fn clocks_that_drift_apart_a_little_are_no_suspend() {
    let mut pulse = pulse();
    let short = clock::suspended() + MIN_PAUSE / 2;
    assert!(look_twice(&mut pulse, secs(11), short).is_some());
}

#[test]
fn a_suspend_before_an_item_is_none_in_the_silence_after_it() {
    let mut pulse = pulse();
    pulse.timer_at = Some(at(secs(10)));
    let long = clock::suspended() + secs(300);
    let compared_at = pulse.compared_at.saturating_add(secs(305));
    pulse.hear(at(secs(5)), compared_at, || long);
    // An item soon after it does not look at the clocks again.
    let soon = compared_at.saturating_add(MIN_PAUSE / 2);
    pulse.hear(at(secs(5)), soon, || panic!("there was no time for a suspend"));
    let verdict = look_twice(&mut pulse, secs(15), long).unwrap();
    assert_eq!(verdict.paused, Duration::ZERO);
}
