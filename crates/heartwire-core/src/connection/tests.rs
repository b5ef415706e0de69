//! A connection on protocol v0 or raw bytes, driven on made-up time.

mod beats;
mod frame_times;
mod frames;
mod life;
#[cfg(feature = "resume")]
mod resuming;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::frame;
use crate::liveness::Cause;
use crate::order::{Found, Next, Outbound, Over};
use crate::pause::Pause;
use crate::policy::{PolicyBuilder, Preset, Side};
use crate::violation::Violation;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a driver sees. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Beat,
    Data(Vec<u8>),
    WroteBeat,
    Dead { silence: u128 },
    Refused(Violation),
}
use Seen::{Beat, Dead, Refused, WroteBeat};

fn data(body: &[u8]) -> Seen {
    Seen::Data(body.to_vec())
}

/// What a driver writes, and its result, with nothing to read and with this last pause.
pub(super) fn turn(
    connection: &mut Connection,
    now: Instant,
    pause: Option<Pause>,
) -> (Vec<Transmit>, Option<Over>) {
    let (mut written, mut end) = (Vec::new(), None);
    let mut next = connection.poll(now, Outbound::Clear);
    loop {
        next = match next {
            Next::ReadFirst(read) => connection.judge(read, Found::All, pause),
            Next::Write(transmit) => {
                assert!(end.is_none(), "{transmit:?} after the end");
                written.push(transmit);
                assert!(written.len() < 2_000, "it never stops");
                connection.poll(now, Outbound::Clear)
            }
            Next::Over(over) => {
                assert_eq!(end.replace(over), None, "it ends twice");
                connection.poll(now, Outbound::Clear)
            }
            Next::SleepUntil(until) => {
                assert_eq!(until, connection.poll_timeout());
                return (written, end);
            }
        };
    }
}

/// A driver of one connection that starts at 0 ms. It keeps the bytes of unfinished frames, and
/// writes whatever is to be written. Times are in milliseconds.
struct Rig {
    connection: Connection,
    unread: Vec<u8>,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings, at(0)), unread: Vec::new() }
    }

    #[track_caller]
    fn receive(mut self, millis: u64, bytes: &[u8], expected: &[Seen]) -> Self {
        self.connection.handle_heard(at(millis));
        self.unread.extend_from_slice(bytes);
        let mut rest = self.unread.as_slice();
        let mut seen = Vec::new();
        loop {
            match self.connection.handle_received(at(millis), &mut rest) {
                Ok(Some(Event::Beat)) => seen.push(Beat),
                Ok(Some(Event::Data(body))) => seen.push(data(body)),
                Ok(Some(event)) => panic!("{event:?} on v0"),
                Ok(None) => break,
                Err(violation) => seen.push(Refused(violation)),
            }
            assert!(seen.len() <= self.unread.len(), "more events than bytes: {seen:?}");
        }
        self.unread = rest.to_vec();
        self.turn(millis, &mut seen);
        assert_eq!(seen, expected, "at {millis} ms");
        self
    }

    #[track_caller]
    fn wake(mut self, millis: u64, expected: &[Seen]) -> Self {
        let mut seen = Vec::new();
        self.turn(millis, &mut seen);
        assert_eq!(seen, expected, "at {millis} ms");
        self
    }

    fn turn(&mut self, millis: u64, seen: &mut Vec<Seen>) {
        let (written, over) = turn(&mut self.connection, at(millis), None);
        for transmit in written {
            assert_eq!(transmit.as_ref(), frame::BEAT);
            seen.push(WroteBeat);
        }
        match over {
            Some(Over::Dead(verdict)) => {
                seen.push(Dead { silence: verdict.silence.as_millis() });
            }
            Some(Over::Broken(violation)) => seen.push(Refused(violation)),
            None => {}
        }
    }

    fn sent(mut self, millis: u64) -> Self {
        self.connection.handle_sent(at(millis));
        self
    }

    fn beat_now(mut self) -> Self {
        self.connection.beat_now();
        self
    }

    fn resumed(mut self, millis: u64) -> Self {
        self.connection.handle_pause(Pause::new(at(millis), ms(1_000)));
        self
    }

    fn no_room(mut self, millis: u64) -> Self {
        self.connection.handle_backpressure(at(millis));
        self
    }

    #[track_caller]
    fn next(self, millis: impl Into<Option<u64>>) -> Self {
        assert_eq!(self.connection.poll_timeout(), millis.into().map(at));
        self
    }

    /// Whatever happens now, nothing comes of it.
    #[track_caller]
    fn ended(self) -> Self {
        assert!(self.connection.has_ended());
        self.next(None)
            .beat_now()
            .receive(100_000, &frame::BEAT, &[])
            .receive(100_001, b"GET / HTTP/1.1", &[])
            .resumed(100_002)
            .no_room(100_002)
            .sent(100_003)
            .wake(1_000_000, &[])
            .next(None)
    }
}

fn timeout(millis: u64) -> PolicyBuilder {
    Policy::builder().timeout(ms(millis))
}

fn echo() -> PolicyBuilder {
    Policy::builder().echo(true)
}

/// Settings under which a frame may take any time, so that only liveness has deadlines.
fn patient(policy: PolicyBuilder) -> Settings {
    settings(policy).limits(FrameLimits::default().handshake_timeout(None).frame_timeout(None))
}

/// With 10 s for a frame, which is told apart from the timeouts.
fn settings(policy: PolicyBuilder) -> Settings {
    Settings::new(policy.build().unwrap())
        .limits(FrameLimits::default().frame_timeout(Some(ms(10_000))))
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&codec::data_header(body.len()).unwrap(), body].concat()
}

#[test]
fn a_connection_is_small_enough_for_a_million_or_for_a_small_device() {
    let most = match (cfg!(feature = "alloc"), cfg!(feature = "resume")) {
        (true, _) => 56,
        (false, true) => 312,
        (false, false) => 232,
    };
    assert!(size_of::<Connection>() <= most, "{} bytes", size_of::<Connection>());
    if cfg!(feature = "alloc") {
        // On protocol v1, in one box each: with the allocator's word, a multiple of 16 bytes.
        let dialogue = size_of::<Dialogue>();
        assert!(dialogue <= 136, "{dialogue} bytes");
        let awaiting = size_of::<handshake::Awaiting>();
        assert!(awaiting <= 96, "{awaiting} bytes");
    }
}
