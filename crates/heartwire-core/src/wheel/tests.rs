use std::vec::Vec;

use super::*;

/// Nanoseconds of a tick that is short and no power of two, so that rounding shows.
const TICK: u64 = 10_000;

/// The first instant of a tick.
const fn tick(tick: u64) -> Instant {
    Instant::from_nanos(tick * TICK)
}

/// One nanosecond before a tick.
const fn before(tick: u64) -> Instant {
    Instant::from_nanos(tick * TICK - 1)
}

/// A wheel whose time has come to a tick.
fn wheel_at(ticks: u64) -> Wheel {
    let mut wheel = Wheel::new(Duration::from_nanos(TICK));
    assert_eq!(wheel.poll(tick(ticks)), None);
    wheel
}

fn expired(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
    let mut keys: Vec<_> = core::iter::from_fn(|| wheel.poll(now)).take(100).collect();
    assert!(keys.len() < 100, "it never stops: {keys:?}");
    keys.sort_unstable();
    keys
}

/// The width of a slot of this level, in ticks.
const fn width(level: u8) -> u64 {
    1 << (SLOT_BITS * level)
}

#[test]
fn a_key_takes_16_bytes() {
    assert_eq!(size_of::<Entry>(), 16);
}

#[test]
fn every_place_and_every_time_fit_into_an_entry() {
    let latest = u64::MAX / MIN_TICK_NANOS + 1;
    for level in 0..LEVELS {
        for slot in 0..SLOTS {
            let place = Place { level, slot };
            for at in [0, 1, latest] {
                let entry = Entry::new(at, place, 5);
                assert_eq!((entry.at(), entry.place(), entry.next), (at, Some(place), 5));
            }
        }
    }
    assert_eq!(Entry::IDLE.place(), None);
}

#[test]
fn a_deadline_on_a_tick_expires_at_that_tick() {
    let mut wheel = wheel_at(0);
    wheel.insert(7, tick(3));
    assert_eq!(expired(&mut wheel, before(3)), []);
    assert_eq!(expired(&mut wheel, tick(3)), [7]);
    assert_eq!(expired(&mut wheel, tick(4)), []);
}

#[test]
fn a_deadline_between_ticks_is_rounded_up() {
    let mut wheel = wheel_at(0);
    wheel.insert(7, Instant::from_nanos(2 * TICK + 1));
    assert_eq!(wheel.armed(7), Some(tick(3)));
    assert_eq!(expired(&mut wheel, before(3)), []);
    assert_eq!(expired(&mut wheel, tick(3)), [7]);
}

#[test]
fn a_deadline_at_the_origin_expires_at_once() {
    let mut wheel = wheel_at(0);
    wheel.insert(0, tick(0));
    assert_eq!(expired(&mut wheel, tick(0)), [0]);
}

#[test]
fn a_deadline_in_the_past_expires_at_the_next_poll() {
    let mut wheel = wheel_at(1_000_000);
    wheel.insert(1, tick(5));
    wheel.insert(2, tick(999_999));
    assert!(wheel.next_wake().unwrap() <= tick(1_000_000));
    assert_eq!(expired(&mut wheel, tick(1_000_000)), [1, 2]);
}

/// Distances around every level's first and last slot, from positions around every level's edges.
#[test]
fn every_distance_expires_at_its_tick_from_everywhere() {
    let edges = |widest: u8| {
        (0..=widest).flat_map(|level| {
            let width = width(level);
            [width - 1, width, width + 1, 63 * width, 63 * width + 1]
        })
    };
    for from in edges(5) {
        for distance in edges(5) {
            let at = from + distance;
            let mut wheel = wheel_at(from);
            wheel.insert(1, tick(at));
            if distance > 0 {
                assert_eq!(expired(&mut wheel, before(at)), [], "{distance} from {from}");
            }
            assert_eq!(expired(&mut wheel, tick(at)), [1], "{distance} from {from}");
        }
    }
}

#[test]
fn following_next_wake_comes_to_the_deadline_in_six_steps_at_most() {
    for at in [1, 63, 64, 65, 4_095, 4_096, 300_000, 20_000_000, 5_000_000_000, REACH] {
        let mut wheel = wheel_at(0);
        wheel.insert(1, tick(at));
        let mut steps = 0;
        loop {
            steps += 1;
            let wake = wheel.next_wake().unwrap();
            assert!(wake <= tick(at), "it would wake after {at}");
            if wheel.poll(wake).is_some() {
                assert_eq!(wake, tick(at));
                break;
            }
        }
        assert!(steps <= 6, "{steps} steps to {at}");
    }
}

#[test]
fn a_deadline_beyond_the_reach_is_kept_too() {
    for at in [REACH, REACH + 1, REACH + 2, 3 * REACH, 100 * REACH] {
        let mut wheel = wheel_at(5);
        wheel.insert(1, tick(at));
        assert_eq!(wheel.armed(1), Some(tick(at)));
        assert_eq!(expired(&mut wheel, before(at)), []);
        assert_eq!(expired(&mut wheel, tick(at)), [1]);
    }
}

#[test]
fn one_poll_after_a_long_sleep_expires_everything_due() {
    let mut wheel = wheel_at(0);
    let deadlines = [1, 63, 64, 4_000, 4_096, 262_143, 262_144, 17_000_000, 2_000_000_000];
    for (key, at) in (0..).zip(deadlines) {
        wheel.insert(key, tick(at));
    }
    assert_eq!(expired(&mut wheel, tick(1_999_999_999)), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(expired(&mut wheel, tick(2_000_000_000)), [8]);
}

#[test]
fn an_insert_replaces_the_deadline_there_was() {
    let mut wheel = wheel_at(0);
    wheel.insert(1, tick(10));
    wheel.insert(1, tick(5_000));
    assert_eq!(wheel.armed(1), Some(tick(5_000)));
    assert_eq!(expired(&mut wheel, tick(4_999)), [], "moved later");
    wheel.insert(1, tick(5_001));
    wheel.insert(1, tick(5_000));
    assert_eq!(expired(&mut wheel, tick(5_000)), [1], "moved earlier");
    assert_eq!(wheel.next_wake(), None);
}

#[test]
fn a_key_that_was_cancelled_does_not_expire() {
    let mut wheel = wheel_at(0);
    wheel.insert(1, tick(10));
    assert!(wheel.remove(1));
    assert_eq!((wheel.armed(1), wheel.next_wake()), (None, None));
    assert_eq!(expired(&mut wheel, tick(100)), []);
}

#[test]
fn a_key_can_be_cancelled_once_and_not_after_it_expired() {
    let mut wheel = wheel_at(0);
    assert!(!wheel.remove(1), "never armed");
    wheel.insert(1, tick(10));
    assert!(wheel.remove(1));
    assert!(!wheel.remove(1), "cancelled");
    wheel.insert(1, tick(10));
    assert_eq!(expired(&mut wheel, tick(10)), [1]);
    assert!(!wheel.remove(1), "expired");
    assert!(!wheel.remove(u32::MAX), "no key");
}

#[test]
fn cancelling_any_key_of_a_slot_leaves_the_others() {
    for gone in 0..5 {
        let mut wheel = wheel_at(0);
        for key in 0..5 {
            wheel.insert(key, tick(200));
        }
        assert!(wheel.remove(gone));
        let left: Vec<u32> = (0..5).filter(|&key| key != gone).collect();
        assert_eq!(expired(&mut wheel, tick(200)), left);
    }
}

#[test]
fn a_key_can_be_armed_again_while_others_expire() {
    let mut wheel = wheel_at(0);
    for key in 0..3 {
        wheel.insert(key, tick(10));
    }
    let first = wheel.poll(tick(12)).unwrap();
    wheel.insert(first, tick(11));
    assert_eq!(expired(&mut wheel, tick(12)), [0, 1, 2]);
}

#[test]
fn a_key_whose_deadline_moved_later_is_simply_armed_again() {
    let mut wheel = wheel_at(0);
    let last_heard = 2_900;
    wheel.insert(1, tick(3_000));
    assert_eq!(wheel.poll(tick(3_000)), Some(1));
    wheel.insert(1, tick(last_heard + 3_000));
    assert_eq!(expired(&mut wheel, before(5_900)), []);
    assert_eq!(expired(&mut wheel, tick(5_900)), [1]);
}

#[test]
fn while_the_clock_stands_back_nothing_expires() {
    let mut wheel = wheel_at(100);
    wheel.insert(1, tick(60));
    wheel.insert(2, tick(120));
    assert_eq!(expired(&mut wheel, tick(99)), []);
    assert_eq!(expired(&mut wheel, tick(0)), []);
    assert_eq!(expired(&mut wheel, tick(100)), [1]);
    assert_eq!(expired(&mut wheel, tick(119)), []);
    assert_eq!(expired(&mut wheel, tick(120)), [2]);
}

#[test]
fn next_wake_is_never_later_than_the_earliest_deadline() {
    let mut wheel = wheel_at(777);
    assert_eq!(wheel.next_wake(), None);
    for at in [70_000_000_000, 90_000_000, 5_000_000, 262_922, 262_921, 10_000, 841, 840, 778] {
        wheel.insert(u32::try_from(at % 1_000).unwrap(), tick(at));
        let wake = wheel.next_wake().unwrap();
        assert!(tick(777) < wake && wake <= tick(at), "{wake:?} for {at}");
    }
}

#[test]
fn a_tick_of_zero_is_the_shortest_there_is() {
    let mut wheel = Wheel::new(Duration::ZERO);
    wheel.insert(1, Instant::from_nanos(1));
    assert_eq!(wheel.poll(Instant::from_nanos(999)), None);
    assert_eq!(wheel.poll(Instant::from_nanos(1_000)), Some(1));
}

#[test]
fn the_end_of_time_is_far_away_and_harmless() {
    let mut wheel = Wheel::new(Duration::from_millis(8));
    wheel.insert(1, Instant::from_nanos(u64::MAX));
    let last_tick = Instant::from_nanos(u64::MAX / 8_000_000 * 8_000_000);
    assert!(wheel.next_wake().unwrap() <= last_tick);
    assert_eq!(wheel.poll(last_tick), None, "the next tick lies beyond the clock");
    assert!(wheel.remove(1));
}

#[test]
#[should_panic(expected = "a wheel's keys are below u32::MAX")]
fn the_key_that_means_no_key_is_refused() {
    wheel_at(0).insert(u32::MAX, tick(1));
}
