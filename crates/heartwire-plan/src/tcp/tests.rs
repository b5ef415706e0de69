//! The formulas against what was measured on Linux 6.18 over links without delay.

use super::*;
use heartwire_core::kernel::Keepalive;

const NO_RTT: Duration = Duration::ZERO;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

#[track_caller]
fn assert_within(bound: Bound, measured: f64) {
    assert!(bound.contains(secs(measured)), "{measured} s is not within {bound}");
}

#[test]
fn the_user_timeout_was_measured_within_its_bound() {
    let measured = [
        (0.5, 0.93),
        (1.0, 1.45),
        (3.0, 3.5),
        (5.0, 5.7),
        (10.0, 10.6),
        (15.0, 15.6),
        (30.0, 30.6),
    ];
    for (user_timeout, at) in measured {
        assert_within(unacked(Some(secs(user_timeout)), NO_RTT), at);
    }
}

#[test]
fn retransmissions_without_a_user_timeout_were_measured_within_their_bound() {
    for at in [938.4, 939.2, 939.4] {
        assert_within(unacked(None, NO_RTT), at);
    }
}

#[test]
fn keepalive_was_measured_within_its_bound() {
    for (idle, interval, count, at) in
        [(3, 3, 3, 12.2), (3, 3, 3, 12.4), (10, 1, 3, 13.2), (15, 5, 3, 30.4)]
    {
        let numbers =
            Keepalive::new(Duration::from_secs(idle), Duration::from_secs(interval), count);
        assert_within(keepalive(numbers.unwrap(), None), at);
    }
}

#[test]
fn a_user_timeout_instead_of_the_count_was_measured_within_its_bound() {
    let threes = Keepalive::new(secs(3.0), secs(3.0), 3).unwrap();
    for (user_timeout, at) in [(1.0, 6.2), (5.0, 6.3), (10.0, 12.2), (20.0, 21.4), (30.0, 30.7)] {
        assert_within(keepalive(threes, Some(secs(user_timeout))), at);
    }
    let tens = Keepalive::new(secs(10.0), secs(1.0), 3).unwrap();
    assert_within(keepalive(tens, Some(secs(5.0))), 11.2);
}

#[test]
fn a_system_by_default_gives_up_after_two_hours_and_eleven_minutes() {
    let default = Keepalive::new(secs(7200.0), secs(75.0), 9).unwrap();
    let bound = keepalive(default, None);
    assert_eq!(bound.earliest, secs(7875.0));
    assert!(bound.latest < secs(7875.0 * 1.13), "{bound}");
}

#[test]
fn kernel_timers_are_late_by_less_than_13_percent_and_a_jiffy() {
    assert_eq!(lateness(Duration::ZERO), JIFFY);
    assert!(lateness(secs(63.0)) <= secs(8.01));
}
