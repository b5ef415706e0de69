use std::vec::Vec;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Ceilings of 500 ms doubling to 30 s; stable after 30 s.
fn usual(seed: u64) -> Backoff {
    Backoff::new(BackoffPolicy::default(), seed)
}

fn waits(backoff: &mut Backoff, count: usize) -> Vec<Duration> {
    (0..count).map(|_| backoff.next_wait()).collect()
}

/// A connection that began at `from` and ended at `to`, in milliseconds.
fn live(backoff: &mut Backoff, from: u64, to: u64) {
    backoff.handle_connected(at(from));
    backoff.handle_disconnected(at(to));
}

#[test]
fn the_default_is_half_a_second_doubling_to_30_s() {
    let policy = BackoffPolicy::default().first(ms(500)).cap(ms(30_000)).stable(ms(30_000));
    assert_eq!(BackoffPolicy::default(), policy);
}

#[test]
fn ceilings_double_up_to_the_cap() {
    let mut backoff = usual(1);
    let mut max_waits = Vec::new();
    for _ in 0..9 {
        max_waits.push(backoff.max_wait().as_millis());
        assert!(backoff.next_wait() <= ms(30_000));
    }
    assert_eq!(max_waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn waits_are_spread_from_zero_to_the_cap_at_the_cap_too() {
    let mut backoff = usual(2);
    waits(&mut backoff, 20);
    let mut drawn = waits(&mut backoff, 1_000);
    drawn.sort();
    assert!(drawn[0] < ms(300), "never low: {:?}", drawn[0]);
    assert!(drawn[999] > ms(29_700) && drawn[999] <= ms(30_000), "never high: {:?}", drawn[999]);
    let median = drawn[500];
    assert!((ms(13_500)..ms(16_500)).contains(&median), "uneven: median {median:?}");
}

#[test]
fn clients_with_different_seeds_do_not_come_back_together() {
    let mut first: Vec<_> = (0..100).map(|seed| usual(seed).next_wait()).collect();
    first.sort();
    first.dedup();
    assert!(first.len() > 95, "{} different waits", first.len());
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    assert_eq!(waits(&mut usual(7), 50), waits(&mut usual(7), 50));
    assert_ne!(waits(&mut usual(7), 50), waits(&mut usual(8), 50));
}

#[test]
fn only_a_connection_that_lasted_starts_over() {
    let mut backoff = usual(3);
    waits(&mut backoff, 5);
    live(&mut backoff, 1_000, 30_999);
    assert_eq!(backoff.max_wait(), ms(16_000), "accepted and dropped after 29.999 s");
    live(&mut backoff, 31_000, 61_000);
    assert_eq!(backoff.max_wait(), ms(500), "stable for 30 s");
}

#[test]
fn an_attempt_that_never_connected_was_not_stable() {
    let mut backoff = usual(4);
    waits(&mut backoff, 3);
    backoff.handle_disconnected(at(1_000_000));
    assert_eq!(backoff.max_wait(), ms(4_000));
}

#[test]
fn one_connection_is_counted_once() {
    let mut backoff = usual(5);
    live(&mut backoff, 0, 30_000);
    waits(&mut backoff, 3);
    backoff.handle_disconnected(at(90_000));
    assert_eq!(backoff.max_wait(), ms(4_000));
}

#[test]
fn a_clock_that_steps_back_shows_no_stability() {
    let mut backoff = usual(6);
    waits(&mut backoff, 3);
    live(&mut backoff, 100_000, 10_000);
    assert_eq!(backoff.max_wait(), ms(4_000));
}

#[test]
fn after_a_stable_connection_the_servers_hint_wins_once_and_is_no_attempt() {
    let mut backoff = usual(7);
    for n in 0..100 {
        live(&mut backoff, n * 100_000, n * 100_000 + 30_000);
        backoff.handle_hint(ms(60_000), ms(90_000));
        assert!((ms(60_000)..=ms(90_000)).contains(&backoff.next_wait()));
    }
    assert_eq!(backoff.max_wait(), ms(500));
    assert!(backoff.next_wait() <= ms(500));
    live(&mut backoff, 100_000_000, 100_030_000);
    backoff.handle_hint(ms(0), ms(0));
    assert_eq!(backoff.next_wait(), ms(0), "shorter than its own, and taken");
}

#[test]
fn a_hint_without_a_stable_connection_never_shortens_a_wait() {
    let (mut hinted, mut own) = (usual(8), usual(8));
    let mut waited = Duration::ZERO;
    for n in 0..20 {
        live(&mut hinted, n * 1_000, n * 1_000 + 100);
        hinted.handle_hint(ms(0), ms(0));
        let before = hinted.max_wait();
        waited += hinted.next_wait();
        assert_eq!(before, own.max_wait(), "it counts as an attempt");
        own.next_wait();
    }
    // A server that says "at once" each time is asked 20 times in minutes, not in an instant.
    assert!(waited > ms(60_000), "{waited:?}");
    hinted.handle_hint(ms(500_000), ms(600_000));
    assert!(hinted.next_wait() >= ms(500_000), "a longer one is taken");
}

#[test]
fn a_stable_connection_gives_one_hint_its_way() {
    let mut backoff = usual(10);
    waits(&mut backoff, 10);
    live(&mut backoff, 0, 30_000);
    backoff.handle_hint(ms(0), ms(0));
    assert_eq!(backoff.next_wait(), ms(0));
    let again = (0..50).map(|_| {
        backoff.handle_hint(ms(0), ms(0));
        backoff.next_wait()
    });
    assert!(again.sum::<Duration>() > ms(100_000));
}

#[test]
fn a_hint_spreads_over_its_whole_window() {
    let mut backoff = usual(8);
    let mut drawn: Vec<_> = (0..1_000)
        .map(|_| {
            live(&mut backoff, 0, 30_000);
            backoff.handle_hint(ms(10_000), ms(20_000));
            backoff.next_wait()
        })
        .collect();
    drawn.sort();
    assert!(drawn[0] < ms(10_100) && drawn[999] > ms(19_900), "{:?}", (drawn[0], drawn[999]));
}

#[test]
fn with_a_fixed_wait_a_hint_makes_it_longer_and_never_shorter() {
    let mut backoff = Backoff::new(BackoffPolicy::fixed(ms(100)), 1);
    live(&mut backoff, 0, 1_000_000);
    backoff.handle_hint(ms(5_000), ms(5_000));
    assert_eq!(waits(&mut backoff, 2), [ms(5_000), ms(100)]);
    live(&mut backoff, 0, 1_000_000);
    backoff.handle_hint(ms(0), ms(0));
    assert_eq!(backoff.next_wait(), ms(100));
}

#[test]
fn a_hint_delays_a_client_up_to_its_cap() {
    let day = BackoffPolicy::MAX_HINT;
    assert_eq!(day, ms(86_400_000));
    let mut drawn: Vec<_> = (0..1_000)
        .map(|seed| {
            let mut backoff = usual(seed);
            backoff.handle_hint(ms(4_294_967_295), ms(4_294_967_295));
            backoff.next_wait()
        })
        .collect();
    drawn.sort();
    // And not all of them at one moment.
    assert!(drawn[0] >= day / 2 && drawn[0] < day * 51 / 100, "{:?}", drawn[0]);
    assert!(drawn[999] > day * 99 / 100 && drawn[999] <= day, "{:?}", drawn[999]);

    let policy = BackoffPolicy::default().max_hint(ms(60_000));
    let mut backoff = Backoff::new(policy, 1);
    backoff.handle_hint(ms(50_000), ms(60_000));
    assert!((ms(50_000)..=ms(60_000)).contains(&backoff.next_wait()), "it fits");
    backoff.handle_hint(ms(50_000), ms(70_000));
    assert!((ms(30_000)..=ms(60_000)).contains(&backoff.next_wait()), "it is cut");
}

#[test]
fn a_nonsensical_hint_is_harmless() {
    let mut backoff = usual(9);
    backoff.handle_hint(ms(5_000), ms(1_000));
    assert_eq!(backoff.next_wait(), ms(5_000), "its end lies before its start");
    backoff.handle_hint(Duration::MAX, Duration::MAX);
    assert!(backoff.next_wait() <= BackoffPolicy::MAX_HINT);
    backoff.handle_hint(Duration::ZERO, Duration::MAX);
    assert!(backoff.next_wait() <= BackoffPolicy::MAX_HINT);
}

#[test]
fn a_fixed_wait_never_changes() {
    let mut backoff = Backoff::new(BackoffPolicy::fixed(ms(100)), 1);
    for _ in 0..100 {
        assert_eq!(waits(&mut backoff, 2), [ms(100), ms(100)]);
        live(&mut backoff, 0, 50);
    }
}

#[test]
fn no_number_of_attempts_is_too_many() {
    let mut backoff = usual(10);
    for attempts in [31, 32, 33, 64, u32::MAX - 1, u32::MAX] {
        backoff.attempts = attempts;
        assert_eq!(backoff.max_wait(), ms(30_000));
        assert!(backoff.next_wait() <= ms(30_000));
    }
    assert_eq!(backoff.attempts, u32::MAX);
}

#[test]
fn no_wait_is_too_long_to_draw() {
    let longest = BackoffPolicy::default().first(Duration::MAX).cap(Duration::MAX);
    let mut backoff = Backoff::new(longest, 11);
    waits(&mut backoff, 40);
    assert_eq!(backoff.max_wait(), ms(u32::MAX.into()), "49 days");
    backoff.come_back_within(Duration::MAX, Duration::MAX);
    assert!(backoff.next_wait() <= ms(u32::MAX.into()));
}

#[test]
fn a_wait_is_one_millisecond_at_least() {
    for short in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(999_999)] {
        assert_eq!(BackoffPolicy::fixed(short), BackoffPolicy::fixed(BackoffPolicy::MIN_WAIT));
        let growing = Backoff::new(BackoffPolicy::default().first(short), 12);
        assert_eq!(growing.max_wait(), BackoffPolicy::MIN_WAIT, "{short:?}");
    }
}

#[test]
fn with_a_cap_below_the_first_wait_it_does_not_grow() {
    let policy = BackoffPolicy::default().cap(ms(999)).first(ms(1_000));
    let mut backoff = Backoff::new(policy, 13);
    for _ in 0..5 {
        assert_eq!(backoff.max_wait(), ms(1_000));
        backoff.next_wait();
    }
}

#[test]
fn a_fixed_wait_stays_as_it_is() {
    let fixed = BackoffPolicy::fixed(ms(100));
    assert_eq!(fixed.first(ms(1)).cap(ms(9_000)).stable(Duration::ZERO), fixed);
}

#[test]
fn a_window_of_this_ends_own_is_not_cut() {
    let policy = BackoffPolicy::default().max_hint(ms(1_000));
    let mut backoff = Backoff::new(policy, 21);
    backoff.come_back_within(ms(60_000), ms(120_000));
    let wait = backoff.next_wait();
    assert!((ms(60_000)..=ms(120_000)).contains(&wait), "{wait:?}");
    // It is for one wait, as a hint is.
    assert!(backoff.next_wait() <= ms(1_000));
}
