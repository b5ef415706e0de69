use core::time::Duration;

use heartwire_core::Instant;

use super::Progress;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_shard_that_keeps_up_is_behind_by_two_turns_at_most() {
    let mut progress = Progress::new(at(0));
    for turn in 1..100 {
        progress.end_turn(at(10 * turn), true, true);
        assert_eq!(progress.oldest(at(10 * turn + 10)), ms(20));
    }
}

/// The shard slept until 5,000; then it accepted a client that had waited during the previous turn.
#[test]
fn late_accepts_are_known_as_late_when_read_in_the_next_turn() {
    let mut progress = Progress::new(at(0));
    progress.end_turn(at(5), true, true);
    // This turn lasts until 3,000. Somebody comes at 10.
    progress.end_turn(at(8), true, true);
    // Accepted in this one, and read in the next.
    progress.end_turn(at(3_000), true, true);
    assert!(progress.oldest(at(3_001)) >= ms(2_991));
    progress.end_turn(at(3_001), true, true);
    assert_eq!(progress.oldest(at(3_002)), ms(2));
}

#[test]
fn progress_is_held_back_by_waiting_input() {
    for (read_all, accepted_all) in [(false, true), (true, false), (false, false)] {
        let mut progress = Progress::new(at(0));
        for turn in 1..=10 {
            progress.end_turn(at(1_000 * turn), read_all, accepted_all);
        }
        assert_eq!(progress.oldest(at(10_000)), ms(10_000));
        // Two turns after that it has caught up.
        progress.end_turn(at(10_001), true, true);
        progress.end_turn(at(10_002), true, true);
        assert_eq!(progress.oldest(at(10_003)), ms(2));
    }
}
