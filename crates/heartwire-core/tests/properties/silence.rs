//! Verdicts and beats against a model of silence: never early, never after their bound, and
//! nothing after a verdict, however this end pauses.

use core::time::Duration;

use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::{Connection, Event, FrameLimits, Instant, Pause, Policy, Settings, Verdict};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

const MAX_GRACES: u8 = 3;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The settings of one run, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Knobs {
    interval: Option<u64>,
    timeout: u64,
    echo: bool,
    /// How late the driver wakes at most.
    tick: u64,
}

impl Knobs {
    fn settings(self) -> Settings {
        let mut policy =
            Policy::builder().timeout(Duration::from_millis(self.timeout)).echo(self.echo);
        if let Some(interval) = self.interval {
            policy = policy.interval(Duration::from_millis(interval));
        }
        let Ok(policy) = policy.build() else { panic!("{self:?} make no policy") };
        Settings::new(policy)
            .tick(Duration::from_millis(self.tick))
            .limits(FrameLimits::default().handshake_timeout(None).frame_timeout(None))
    }
}

/// What a peer's silence amounts to. It does not know whether the verdict was given: what happens
/// after that is no longer compared. Times are in milliseconds.
#[derive(Clone, Debug)]
struct Model {
    knobs: Knobs,
    now: u64,
    last_heard: u64,
}

#[derive(Clone, Debug)]
enum Step {
    /// Nothing happens for a while, and each of the driver's timers fires this late.
    Sleep { millis: u64, late: u64 },
    /// This many bytes are read, which arrived some time ago.
    Hear { len: usize, ago: u64 },
    /// The application sends something.
    Send,
    /// The driver is paused, and may find a byte when it runs again.
    Pause { millis: u64, heard: bool },
}

impl Model {
    fn hear(&mut self, at: u64) {
        self.last_heard = self.last_heard.max(at);
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        (20_u64..1_000, 0_u8..3, 1_u64..50)
            .prop_flat_map(|(timeout, kind, tick)| {
                (5..=timeout / 2).prop_map(move |interval| Knobs {
                    interval: (kind == 0).then_some(interval),
                    echo: kind == 1,
                    timeout,
                    tick,
                })
            })
            .prop_map(|knobs| Self { knobs, now: 0, last_heard: 0 })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let Knobs { timeout, tick, .. } = state.knobs;
        let millis = prop_oneof![
            6 => 0..=timeout / 2,
            1 => timeout - 1..=timeout,
            1 => 0..=2 * timeout,
        ];
        let late = prop_oneof![Just(0), Just(tick), 0..=tick];
        prop_oneof![
            6 => (millis, late).prop_map(|(millis, late)| Step::Sleep { millis, late }),
            4 => (0_usize..20, 0..=timeout / 4).prop_map(|(len, ago)| Step::Hear { len, ago }),
            1 => Just(Step::Send),
            3 => (1..=2 * timeout, prop::bool::weighted(0.2))
                .prop_map(|(millis, heard)| Step::Pause { millis, heard }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match *step {
            Step::Sleep { millis, .. } => state.now += millis,
            Step::Hear { len, ago } if len > 0 => state.hear(state.now.saturating_sub(ago)),
            Step::Hear { .. } | Step::Send => {}
            Step::Pause { millis, heard } => {
                state.now += millis;
                if heard {
                    state.hear(state.now);
                }
            }
        }
        state
    }
}

/// A driver without a socket. Times are in milliseconds.
struct Driver {
    connection: Connection,
    /// The peer sends zeros, whose every eight are a beat; these make no whole one yet.
    unread_len: usize,
    now: u64,
    last_sent: u64,
    last_beat: u64,
    ended: bool,
    /// The timeout counts from here: the last byte, or the end of a pause after it.
    judged_from: u64,
    graces: u8,
    /// It is told each time that the connection is judged.
    pause: Option<Pause>,
}

impl Driver {
    /// A beat is due an interval after this: neither was anything sent since, or nothing that the
    /// peer would answer and nothing heard.
    fn quiet_since(&self, model: &Model) -> u64 {
        self.last_sent.min(self.last_beat.max(model.last_heard))
    }

    fn sleep(&mut self, until: u64, late: u64, model: &Model) {
        while let Some(deadline) = self.connection.poll_timeout() {
            let wake = (deadline.as_nanos() / 1_000_000 + late).max(self.now);
            if wake > until {
                break;
            }
            let early = Instant::from_nanos(deadline.as_nanos() - 1);
            let next = self.connection.poll(early, Outbound::Clear);
            assert!(matches!(next, Next::SleepUntil(_)), "{next:?} before the deadline");
            self.now = wake;
            self.turn(model, model.knobs.tick);
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > deadline), "woken at {wake} ms for nothing");
        }
        self.now = until;
    }

    /// Does what the connection asks for; there is nothing in the socket. Returns how many answers
    /// it sent.
    fn turn(&mut self, model: &Model, max_late: u64) -> usize {
        let now = at(self.now);
        let mut answers = 0;
        let mut next = self.connection.poll(now, Outbound::Clear);
        loop {
            next = match next {
                Next::ReadFirst(read) => {
                    self.grant();
                    self.connection.judge(read, Found::All, self.pause)
                }
                Next::Write(_) if model.knobs.echo => {
                    answers += 1;
                    self.connection.poll(now, Outbound::Clear)
                }
                Next::Write(_) => {
                    let interval = model.knobs.interval.filter(|_| !self.ended);
                    let Some(interval) = interval else { panic!("nothing was to be sent") };
                    let due_at = self.quiet_since(model) + interval;
                    assert!(due_at <= self.now, "a beat {} ms early", due_at - self.now);
                    assert!(self.now <= due_at + max_late, "a beat {} ms late", self.now - due_at);
                    self.last_sent = self.now;
                    self.last_beat = self.now;
                    self.connection.poll(now, Outbound::Clear)
                }
                Next::SleepUntil(_) => return answers,
                Next::Over(Over::Dead(verdict)) => {
                    self.check(verdict, model, max_late);
                    self.connection.poll(now, Outbound::Clear)
                }
                Next::Over(Over::Broken(violation)) => panic!("zeros break no rule: {violation}"),
            };
        }
    }

    /// The last pause gives the silence another timeout, if there was nothing since.
    fn grant(&mut self) {
        let Some(pause) = self.pause else { return };
        let resumed_at = pause.resumed_at.as_nanos() / 1_000_000;
        if resumed_at > self.judged_from && self.graces < MAX_GRACES {
            self.graces += 1;
            self.judged_from = resumed_at;
        }
    }

    fn check(&mut self, verdict: Verdict, model: &Model, max_late: u64) {
        assert!(!self.ended, "a second verdict");
        self.ended = true;
        let deadline = self.judged_from + model.knobs.timeout;
        assert!(deadline <= self.now, "a verdict {} ms early", deadline - self.now);
        assert!(self.now <= deadline + max_late, "a verdict {} ms late", self.now - deadline);
        let figures = [verdict.silence, verdict.paused, verdict.late].map(|d| d.as_millis());
        let expected = [
            self.now - model.last_heard,
            self.judged_from - model.last_heard
                + (self.now - deadline).saturating_sub(model.knobs.tick),
            self.now - deadline,
        ];
        assert_eq!(figures, expected.map(u128::from), "silence, paused, late");
        let Some(bound) = verdict.bound else { panic!("a silence has a bound") };
        assert!(bound.contains(verdict.silence.saturating_sub(verdict.paused)), "{verdict:?}");
    }

    fn hear(&mut self, len: usize, heard_at: u64, model: &Model, max_late: u64) {
        if len == 0 {
            return;
        }
        self.connection.handle_heard(at(heard_at));
        if heard_at >= self.judged_from {
            self.judged_from = heard_at;
            self.graces = 0;
        }
        let bytes = vec![0; self.unread_len + len];
        let mut rest = bytes.as_slice();
        let mut beats = 0;
        while let Ok(Some(event)) = self.connection.handle_received(at(self.now), &mut rest) {
            assert_eq!(event, Event::Beat);
            beats += 1;
        }
        self.unread_len = rest.len();
        assert_eq!(beats, if self.ended { 0 } else { bytes.len() / 8 });
        if model.knobs.echo {
            let answers = self.turn(model, max_late);
            assert!(self.ended || answers == beats, "{answers} answers to {beats} beats");
        }
    }
}

impl StateMachineTest for Driver {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let connection = Connection::new(model.knobs.settings(), at(0));
        Self {
            connection,
            unread_len: 0,
            now: 0,
            last_sent: 0,
            last_beat: 0,
            ended: false,
            judged_from: 0,
            graces: 0,
            pause: None,
        }
    }

    fn apply(mut driver: Self, model: &Model, step: Step) -> Self {
        let timer = driver.connection.poll_timeout();
        match step {
            Step::Sleep { late, .. } => {
                driver.sleep(model.now, late, model);
                return driver;
            }
            Step::Hear { len, ago } => {
                driver.hear(len, driver.now.saturating_sub(ago), model, model.knobs.tick);
            }
            Step::Send => {
                driver.connection.handle_sent(at(driver.now));
                driver.last_sent = driver.now;
            }
            Step::Pause { millis, heard } => {
                driver.now += millis;
                driver.hear(heard.into(), driver.now, model, model.knobs.tick + millis);
                let gap = Duration::from_millis(millis);
                driver.pause = Some(Pause::new(at(driver.now), gap));
            }
        }
        let moved = driver.connection.poll_timeout();
        assert!(driver.ended || moved >= timer, "the timer moved from {timer:?} to {moved:?}");
        if let Step::Pause { millis, .. } = step {
            driver.turn(model, model.knobs.tick + millis);
        }
        driver
    }

    fn check_invariants(driver: &Self, model: &Model) {
        let Knobs { interval, timeout, tick, .. } = model.knobs;
        assert_eq!(driver.connection.has_ended(), driver.ended);
        if driver.ended {
            assert_eq!(driver.connection.poll_timeout(), None);
            return;
        }
        assert_eq!(driver.connection.last_heard(), at(model.last_heard));
        let overdue = driver.now.saturating_sub(driver.judged_from + timeout);
        assert!(overdue < tick, "no verdict {overdue} ms after the timeout");
        let overdue =
            driver.now.saturating_sub(driver.quiet_since(model) + interval.unwrap_or(u64::MAX / 2));
        assert!(overdue < tick, "no beat {overdue} ms after it was due");
    }
}

prop_state_machine! {
    #[test]
    fn a_silent_peer_gets_one_verdict_within_its_bound(sequential 1..60 => Driver);
}
