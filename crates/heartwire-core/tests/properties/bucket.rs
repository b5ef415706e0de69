//! Token buckets against one that puts its tokens in one at a time.

use core::num::NonZeroU32;
use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::internal::{Bucket, Gcra};
use proptest::prelude::*;

const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// Puts its tokens in one at a time.
struct Model {
    tokens: i64,
    refilled_at: u64,
}

impl Model {
    fn refill(&mut self, interval: u64, most: i64, now: u64) {
        while self.refilled_at + interval <= now {
            self.refilled_at += interval;
            if self.tokens < most {
                self.tokens += 1;
            }
        }
    }

    fn take(&mut self, least: i64) -> bool {
        let takes = self.tokens > least;
        self.tokens -= i64::from(takes);
        takes
    }
}

proptest! {
    /// Intervals and timeouts change from one token to the next.
    #[test]
    fn a_bucket_is_filled_as_if_token_by_token(
        tokens in -20_i64..20,
        least in -20_i64..5,
        steps in prop::collection::vec((0_u64..500, 1_u64..60, -5_i64..25), 1..60),
    ) {
        let mut bucket = Bucket::new(tokens, at(0));
        let mut model = Model { tokens, refilled_at: 0 };
        let mut now = 0;
        for (pause, interval, most) in steps {
            now += pause;
            model.refill(interval, most, now);
            bucket.refill(Duration::from_nanos(interval), |_| most, at(now));
            prop_assert_eq!(bucket.tokens(), model.tokens);
            prop_assert_eq!(bucket.take(least), model.take(least));
            prop_assert_eq!(bucket.tokens(), model.tokens);
            let next_at = bucket.next_at(Duration::from_nanos(interval));
            prop_assert_eq!(next_at, at(model.refilled_at + interval));
        }
    }

    /// What came in since the last time may be allowed whatever the timeout is.
    #[test]
    fn a_bucket_tells_how_many_tokens_have_come_in(
        interval in 1_u64..60,
        pause in 0_u64..100_000,
    ) {
        let mut bucket = Bucket::new(3, at(0));
        bucket.refill(Duration::from_nanos(interval), |gained| gained.max(10), at(pause));
        let gained = i64::try_from(pause / interval).unwrap();
        prop_assert_eq!(bucket.tokens(), (3 + gained).min(gained.max(10)));
    }

    #[test]
    fn a_bucket_that_is_a_time_holds_what_one_with_tokens_holds(
        per_second in 1_u32..=2_000_000_000,
        burst in 1_u32..40,
        steps in prop::collection::vec(0_u32..3000, 1..200),
    ) {
        let rate = NonZeroU32::new(per_second).unwrap();
        let interval = 1_000_000_000_u64.div_ceil(u64::from(per_second));
        let buckets = Gcra::new(rate, NonZeroU32::new(burst).unwrap());
        let (mut full_at, mut model) =
            (at(0), Model { tokens: i64::from(burst), refilled_at: 0 });
        // Pauses are thousandths of an interval.
        let mut now: u64 = 0;
        for pause in steps {
            now += u64::from(pause) * interval / 1000;
            // A full bucket begins a new interval with the next token that is taken.
            model.refill(interval, i64::from(burst), now);
            if model.tokens == i64::from(burst) {
                model.refilled_at = now;
            }
            match buckets.take(full_at, at(now)) {
                Ok(then) => {
                    prop_assert!(model.take(0));
                    full_at = then;
                }
                Err(wait) => {
                    prop_assert!(!model.take(0));
                    prop_assert_eq!(at(now).saturating_add(wait), at(model.refilled_at + interval));
                }
            }
            let missing = u64::try_from(i64::from(burst) - model.tokens).unwrap();
            let full = model.refilled_at + missing * interval;
            prop_assert_eq!(full_at.max(at(now)), at(full.max(now)));
        }
        let refilled = full_at.saturating_add(buckets.refill());
        for _ in 0..burst {
            full_at = buckets.take(full_at, refilled).unwrap();
        }
        prop_assert!(buckets.take(full_at, refilled).is_err());
    }
}

#[test]
fn the_longest_times_do_not_overflow() {
    let (first, last) = (at(0), at(u64::MAX));
    let mut bucket = Bucket::new(i64::MAX, first);
    bucket.refill(Duration::ZERO, |_| i64::MAX, last);
    bucket.refill(Duration::MAX, |gained| gained, last);
    assert_eq!(bucket.next_at(Duration::MAX), last);
    let most = Gcra::new(NonZeroU32::MIN, NonZeroU32::MAX);
    assert_eq!(most.refill(), Duration::from_secs(u64::from(u32::MAX)));
    assert_eq!(most.take(last, last), Ok(last));
}
