//! Beats of protocol v1 come up to a quarter of the interval early, and never late, so that ends
//! which began at the same time do not stay in step.

use core::time::Duration;
use std::collections::BTreeSet;

use heartwire_core::order::{Found, Next, Outbound};
use heartwire_core::v1::{Contract, Hello, Offer, Terms, Welcome};
use heartwire_core::{Connection, Instant, Policy, Protocol, Settings, Side};
use proptest::prelude::*;

const START: Instant = Instant::from_nanos(1_000_000_000_000);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An end that sends beats, whose driver wakes when it asked to, or late.
struct End {
    connection: Connection,
    now: Instant,
}

impl End {
    /// One that was welcomed at [`START`].
    fn new(side: Side, session: u64, interval: Duration) -> Self {
        let Ok(policy) = Policy::builder().interval(interval).build() else { panic!("no policy") };
        let offer = Offer::new(&policy);
        let Ok(contract) = Terms::new(offer).agree(&offer) else { panic!("no contract") };
        Self { connection: welcomed(side, &policy, session, contract), now: START }
    }

    /// Sends its next beat, with its driver this much later than it asked. Returns how late the
    /// beat says it is.
    fn beat(&mut self, wakes_late: Duration) -> Duration {
        loop {
            match self.connection.poll(self.now, Outbound::Clear) {
                Next::ReadFirst(read) => {
                    let Next::Write(beat) = self.connection.judge(read, Found::All, None) else {
                        panic!("it reads before a beat only")
                    };
                    return late(beat.as_ref());
                }
                Next::Write(beat) => return late(beat.as_ref()),
                Next::SleepUntil(Some(until)) => self.now = until.saturating_add(wakes_late),
                next @ (Next::SleepUntil(None) | Next::Over(_)) => panic!("{next:?}"),
            }
        }
    }

    /// The time until its next beat.
    fn gap(&mut self) -> Duration {
        let before = self.now;
        self.beat(Duration::ZERO);
        self.now.saturating_since(before)
    }
}

/// The field of a beat that says how late it is.
fn late(frame: &[u8]) -> Duration {
    let Some(late) = frame.get(8 + 28..).and_then(|rest| rest.first_chunk()) else {
        panic!("{frame:?} is no beat")
    };
    ms(u16::from_le_bytes(*late).into())
}

fn welcomed(side: Side, policy: &Policy, session: u64, contract: Contract) -> Connection {
    let protocol = match side {
        Side::Client => Protocol::V1,
        Side::Server => Protocol::V1Only,
    };
    let mut connection = Connection::new(Settings::new(*policy).protocol(protocol), START);
    let frame = match side {
        Side::Client => Welcome::new(session, 0, contract).encode(),
        Side::Server => Hello::new(Offer::new(policy)).encode(),
    };
    let event = connection.handle_received(START, &mut frame.as_slice());
    assert!(matches!(event, Ok(Some(_))), "{event:?}");
    connection.welcome(START, session, contract);
    connection
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

proptest! {
    #[test]
    fn a_beat_comes_at_most_a_quarter_early_and_says_how_late_it_is_beyond_the_interval(
        side in side(),
        session: u64,
        interval in 1_u64..100_000,
        steps in prop::collection::vec((0_u64..60_000, prop::option::of(1_u64..400_000)), 1..40),
    ) {
        let mut end = End::new(side, session, ms(interval));
        end.beat(Duration::ZERO);
        let mut interval = ms(interval);
        for (wakes_late, promise) in steps {
            if let Some(promise) = promise {
                let Some(promised) = end.connection.promise(ms(promise)) else {
                    panic!("it sends beats")
                };
                if promised != interval {
                    // The beat that says so comes at once.
                    prop_assert_eq!(end.gap(), Duration::ZERO);
                }
                interval = promised;
            }
            let before = end.now;
            let late = end.beat(ms(wakes_late));
            let gap = end.now.saturating_since(before);
            let planned = gap.saturating_sub(ms(wakes_late));
            prop_assert!(planned <= interval, "{planned:?} of {interval:?}");
            prop_assert!(planned >= interval / 4 * 3, "{planned:?} of {interval:?}");
            prop_assert_eq!(late, gap.saturating_sub(interval));
        }
    }

    #[test]
    fn connections_that_begin_at_once_draw_on_their_own(
        side in side(),
        sessions: (u64, u64),
        interval in 100_u64..100_000,
    ) {
        prop_assume!(sessions.0 != sessions.1);
        let gaps = |session| {
            let mut end = End::new(side, session, ms(interval));
            (0..40).map(|_| end.gap()).collect::<Vec<_>>()
        };
        prop_assert_ne!(gaps(sessions.0), gaps(sessions.1));
        prop_assert_eq!(gaps(sessions.0), gaps(sessions.0), "a run repeats itself");
    }
}

#[test]
fn a_fleet_that_began_at_once_spreads_over_the_whole_interval() {
    for side in [Side::Client, Side::Server] {
        let (mut in_eighth, mut total, mut first) = ([0; 8], Duration::ZERO, BTreeSet::new());
        for session in 1..=800 {
            let mut end = End::new(side, session, ms(10_000));
            end.beat(Duration::ZERO);
            first.insert(end.gap());
            for _ in 1..100 {
                end.gap();
            }
            let elapsed = end.now.saturating_since(START);
            total += elapsed;
            let eighth = usize::try_from(elapsed.as_millis() % 10_000 / 1_250);
            in_eighth[eighth.unwrap_or_default()] += 1;
        }
        // Of 2,501 possible times.
        assert!(first.len() > 600, "{} first beats are apart", first.len());
        let mean = total / 800 / 100;
        assert!((ms(8_700)..=ms(8_800)).contains(&mean), "on average 7/8 of 10 s: {mean:?}");
        assert!(in_eighth.iter().all(|count| (60..=140).contains(count)), "{in_eighth:?}");
    }
}
