//! Waits stay within what the policy and the server allow, whatever connections do.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::backoff::{Backoff, BackoffPolicy};
use proptest::prelude::*;

/// What happens to a client. Times are in milliseconds.
#[derive(Clone, Debug)]
enum Step {
    Wait,
    /// A connection that lasts this long.
    Live(u64),
    /// An attempt that fails.
    Fail,
    /// The server says when to come back.
    Hint {
        earliest: u64,
        span: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Wait),
        1 => (0_u64..60_000).prop_map(Step::Live),
        1 => Just(Step::Fail),
        1 => (0_u64..100_000, 0_u64..100_000)
            .prop_map(|(earliest, span)| Step::Hint { earliest, span }),
    ]
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The exact ceiling after this many attempts.
fn max_wait(first: u64, cap: u64, attempts: u32) -> u64 {
    first.checked_mul(1 << attempts.min(40)).map_or(cap, |max_wait| max_wait.min(cap))
}

proptest! {
    #[test]
    fn a_wait_is_under_the_ceiling_or_in_the_hints_window(
        first in 1_u64..10_000,
        more in 0_u64..3_600_000,
        stable in 0_u64..60_000,
        seed: u64,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let cap = first + more;
        let policy = BackoffPolicy::default().first(ms(first)).cap(ms(cap)).stable(ms(stable));
        let mut backoff = Backoff::new(policy, seed);
        let (mut attempts, mut hint, mut now) = (0, None, 0);
        let mut was_stable = false;
        for step in steps {
            prop_assert_eq!(backoff.max_wait(), ms(max_wait(first, cap, attempts)));
            match step {
                Step::Wait => {
                    let wait = backoff.next_wait();
                    let (earliest, latest) = match (hint.take(), was_stable) {
                        (Some(window), true) => window,
                        (hint, _) => {
                            attempts += 1;
                            let (earliest, latest) = hint.unwrap_or((0, 0));
                            (earliest, max_wait(first, cap, attempts - 1).max(latest))
                        }
                    };
                    was_stable = false;
                    prop_assert!((ms(earliest)..=ms(latest)).contains(&wait), "{:?}", wait);
                }
                Step::Live(lasted) => {
                    backoff.handle_connected(Instant::from_nanos(now * 1_000_000));
                    now += lasted;
                    backoff.handle_disconnected(Instant::from_nanos(now * 1_000_000));
                    if lasted >= stable {
                        attempts = 0;
                    }
                    was_stable = lasted >= stable && stable > 0;
                }
                Step::Fail => backoff.handle_disconnected(Instant::from_nanos(now * 1_000_000)),
                Step::Hint { earliest, span } => {
                    backoff.handle_hint(ms(earliest), ms(earliest + span));
                    hint = Some((earliest, earliest + span));
                }
            }
        }
    }

    #[test]
    fn a_fixed_wait_never_changes(interval in 1_u64..100_000, seed: u64, attempts in 1_usize..200) {
        let mut backoff = Backoff::new(BackoffPolicy::fixed(ms(interval)), seed);
        for _ in 0..attempts {
            prop_assert_eq!(backoff.next_wait(), ms(interval));
        }
    }

    #[test]
    fn a_seed_stands_for_its_waits(seed: u64) {
        let waits = || {
            let mut backoff = Backoff::new(BackoffPolicy::default(), seed);
            [(); 20].map(|()| backoff.next_wait())
        };
        prop_assert_eq!(waits(), waits());
    }
}
