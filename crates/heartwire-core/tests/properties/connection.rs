//! Whatever a peer, a clock and an application do to a connection, it keeps its word to the driver.

use core::time::Duration;

use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::{
    Connection, FrameLimits, Instant, Pause, Policy, Protocol, Settings, Violation,
};
use proptest::prelude::*;

const MAX_FRAME: u32 = 3_000;
/// What the longest body is given on top of the cap for a frame, in milliseconds.
const FOR_BODY: u64 = 2_000;
const TICK: u64 = 20;
const MAX_ANSWERS_OWED: usize = 64;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// The settings of one run, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Knobs {
    protocol: Protocol,
    interval: Option<u64>,
    timeout: Option<u64>,
    echo: bool,
    handshake_timeout: Option<u64>,
    frame: Option<u64>,
}

impl Knobs {
    fn connection(self) -> Connection {
        let ms = Duration::from_millis;
        let mut policy = Policy::builder().echo(self.echo && self.interval.is_none());
        if let Some(interval) = self.interval {
            policy = policy.interval(ms(interval));
        }
        if let Some(timeout) = self.timeout {
            policy = policy.timeout(ms(timeout + 2 * self.interval.unwrap_or(0)));
        }
        let limits = FrameLimits::default()
            .max_frame(MAX_FRAME)
            .handshake_timeout(self.handshake_timeout.map(ms))
            .frame_timeout(self.frame.map(ms));
        let Ok(policy) = policy.build() else { panic!("{self:?} make no policy") };
        let settings = Settings::new(policy).protocol(self.protocol).limits(limits).tick(ms(TICK));
        Connection::new(settings, at(0))
    }
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let millis = || prop::option::weighted(0.7, 1_u64..2_000);
    let protocol = prop_oneof![4 => Just(Protocol::V0), 1 => Just(Protocol::Raw)];
    (protocol, millis(), millis(), any::<bool>(), millis(), millis()).prop_map(
        |(protocol, interval, timeout, echo, handshake_timeout, frame)| Knobs {
            protocol,
            interval,
            timeout,
            echo,
            handshake_timeout,
            frame,
        },
    )
}

/// What happens to a connection. Times are in milliseconds.
#[derive(Clone, Debug)]
enum Step {
    Receive(Vec<u8>),
    Sleep { millis: u64, late: u64 },
    WakeForNothing,
    Send,
    BeatNow,
    Pause { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![
        6 => (0_usize..20).prop_map(|len| vec![0; len]),
        2 => (0_usize..=3_000, 0_usize..3_100).prop_map(|(body_len, len)| {
            let header = heartwire_core::internal::codec::data_header(body_len);
            let header = header.into_iter().flatten();
            header.chain(core::iter::repeat_n(7, body_len)).take(len).collect()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => Just(vec![0; 8 * 100]),
    ];
    prop_oneof![
        5 => bytes.prop_map(Step::Receive),
        4 => (0_u64..500, 0..=TICK).prop_map(|(millis, late)| Step::Sleep { millis, late }),
        1 => Just(Step::WakeForNothing),
        1 => Just(Step::Send),
        1 => Just(Step::BeatNow),
        1 => (250_u64..5_000).prop_map(|millis| Step::Pause { millis }),
    ]
}

struct Driver {
    knobs: Knobs,
    connection: Connection,
    unread: Vec<u8>,
    now: u64,
    ended: bool,
    pause: Option<Pause>,
}

impl Driver {
    fn receive(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.connection.handle_heard(at(self.now));
        }
        self.unread.extend_from_slice(bytes);
        let unread = core::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        loop {
            let before = rest.len();
            match self.connection.handle_received(at(self.now), &mut rest) {
                Ok(Some(_)) => {
                    assert!(!self.ended, "an event after the end");
                    assert!(rest.len() < before, "an event out of nothing");
                }
                Ok(None) => break,
                Err(violation) => {
                    assert!(!self.ended, "{violation} after the end");
                    self.ended = true;
                }
            }
        }
        self.unread = rest.to_vec();
    }

    /// Does what the connection asks for; there is nothing in the socket.
    fn turn(&mut self) {
        let now = at(self.now);
        let is_due = self.connection.poll_timeout().is_some_and(|deadline| now >= deadline);
        let mut count = 0;
        let mut next = self.connection.poll(now, Outbound::Clear);
        loop {
            next = match next {
                Next::ReadFirst(read) => {
                    assert!(is_due, "before the deadline");
                    self.connection.judge(read, Found::All, self.pause)
                }
                Next::Write(_) => {
                    assert!(!self.ended, "bytes to write after the end");
                    count += 1;
                    assert!(count <= MAX_ANSWERS_OWED + 1, "{count} beats at once");
                    self.connection.poll(now, Outbound::Clear)
                }
                Next::SleepUntil(until) => {
                    assert_eq!(until, self.connection.poll_timeout());
                    return;
                }
                Next::Over(over) => {
                    self.handle_over(over);
                    self.connection.poll(now, Outbound::Clear)
                }
            };
        }
    }

    fn handle_over(&mut self, over: Over) {
        match over {
            Over::Dead(_) => {}
            Over::Broken(Violation::NoFirstFrame { waited }) => {
                self.waited(waited, self.knobs.handshake_timeout, 0)
            }
            Over::Broken(Violation::SlowFrame { waited }) => {
                self.waited(waited, self.knobs.frame, FOR_BODY)
            }
            Over::Broken(violation) => panic!("{violation} cannot come of waiting"),
        }
        assert!(!self.ended, "{over} after the end");
        self.ended = true;
    }

    #[track_caller]
    fn waited(&self, waited: Duration, cap: Option<u64>, more: u64) {
        let Some(cap) = cap else { panic!("waited {waited:?} without a cap") };
        let waited = waited.as_millis();
        assert!(waited >= u128::from(cap), "gave up {waited} ms into {cap}");
        assert!(waited <= u128::from(cap + more + TICK), "gave up {waited} ms into {cap}");
    }

    fn sleep(&mut self, until: u64, late: u64) {
        while let Some(deadline) = self.connection.poll_timeout() {
            let wake = (deadline.as_nanos() / 1_000_000 + late).max(self.now);
            if wake > until {
                break;
            }
            let early = Instant::from_nanos(deadline.as_nanos() - 1);
            let next = self.connection.poll(early, Outbound::Clear);
            assert!(matches!(next, Next::SleepUntil(_)), "{next:?} before the deadline");
            self.now = wake;
            self.turn();
            let next = self.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > deadline), "{deadline:?} passed to no avail");
        }
        self.now = until;
    }

    fn apply(&mut self, step: &Step) {
        let timer = self.connection.poll_timeout();
        let mut may_move = false;
        match step {
            Step::Receive(bytes) => {
                self.receive(bytes);
                self.check_timer(timer, !self.unread.is_empty());
                self.turn();
                may_move = true;
            }
            Step::Sleep { millis, late } => {
                self.sleep(self.now + millis, *late);
                may_move = true;
            }
            Step::WakeForNothing => {
                self.turn();
                may_move = true;
            }
            Step::Send => self.connection.handle_sent(at(self.now)),
            Step::BeatNow => {
                self.connection.beat_now();
                self.check_timer(timer, false);
                self.turn();
                may_move = true;
            }
            Step::Pause { millis } => {
                self.now += millis;
                let gap = Duration::from_millis(*millis);
                self.pause = Some(Pause::new(at(self.now), gap));
                self.turn();
                may_move = true;
            }
        }
        self.check_timer(timer, may_move);
        assert_eq!(self.connection.has_ended(), self.ended);
        let next = self.connection.poll_timeout();
        assert!(!self.ended || next.is_none(), "it would wake after the end");
    }

    fn check_timer(&self, timer: Option<Instant>, may_move: bool) {
        let moved = self.connection.poll_timeout();
        let earlier = moved.is_some_and(|moved| timer.is_none_or(|timer| moved < timer));
        assert!(may_move || !earlier, "the timer moved from {timer:?} to {moved:?}");
    }
}

proptest! {
    #[test]
    fn a_connection_keeps_its_word(
        knobs in knobs(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let connection = knobs.connection();
        let (unread, now, ended, pause) = (Vec::new(), 0, false, None);
        let mut driver = Driver { knobs, connection, unread, now, ended, pause };
        for step in &steps {
            driver.apply(step);
        }
    }
}
