//! One connection without its socket: bytes in, events and bytes out.

use core::time::Duration;

use crate::frame::{self, Decoded, Frame};
use crate::liveness::{Liveness, Verdict};
use crate::policy::{Millis, Policy};
use crate::stall::Stall;
use crate::time::Instant;
use crate::violation::Violation;

/// A frame may take this long per KiB of its body on top of [`Caps::frame`]: 1 KiB/s is slower than
/// any link that could carry a beat in time, and still ends a peer that dribbles on purpose.
const TIME_PER_KIB: Duration = Duration::from_secs(1);

/// Beats of the peer that can wait for their answers. An answer proves life and carries nothing, so
/// what a flood asks beyond this is answered by the ones before it.
const ANSWERS_OWED_MAX: u8 = 64;

/// How the bytes of a connection are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// The tutorial's frames, see [`frame`].
    #[default]
    V0,
    /// Bytes without any head. There are no beats on it, so a policy's `beat` and `echo` are off.
    Raw,
}

/// What a peer may make this end hold, or wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    body_len_max: u32,
    first_frame: Option<Millis>,
    frame: Option<Millis>,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            body_len_max: Self::BODY_LEN_MAX,
            first_frame: Millis::new(10_000),
            frame: Millis::new(30_000),
        }
    }
}

impl Caps {
    /// Default for [`body_len_max`](Self::body_len_max): 64 KiB, chosen so that 1,000 peers with a
    /// frame half sent hold 64 MiB at most.
    pub const BODY_LEN_MAX: u32 = 64 * 1024;

    /// The longest body that the peer may send, in bytes; capped at [`frame::BODY_LEN_MAX`].
    #[must_use]
    pub fn body_len_max(mut self, bytes: u32) -> Self {
        self.body_len_max = bytes.min(frame::BODY_LEN_MAX);
        self
    }

    /// Time from the start to the peer's first whole head, if it is limited.
    #[must_use]
    pub fn first_frame_within(&self) -> Option<Duration> {
        self.first_frame.map(Millis::duration)
    }

    /// Time from the first byte of a frame to its last, if it is limited, without what its body adds.
    #[must_use]
    pub fn frame_within(&self) -> Option<Duration> {
        self.frame.map(Millis::duration)
    }

    /// Time from the start to the peer's first whole head. Default 10 s; `None`: any time.
    /// Clamped to 1 ms to 49 days. Must leave room for the peer's first beat.
    #[must_use]
    pub fn first_frame(mut self, within: Option<Duration>) -> Self {
        self.first_frame = within.map(Millis::clamp);
        self
    }

    /// Time from the first byte of a frame to its last, plus one second per KiB of its body.
    /// Default 30 s, the limit of the usual policy: a blackout that a connection outlives between
    /// frames should not end it within one. `None`: any time. Clamped to 1 ms to 49 days.
    #[must_use]
    pub fn frame(mut self, within: Option<Duration>) -> Self {
        self.frame = within.map(Millis::clamp);
        self
    }
}

/// Everything a [`Connection`] is told when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    wire: Wire,
    policy: Policy,
    caps: Caps,
    tick_ms: u16,
}

impl Settings {
    /// Wire v0, default [`Caps`], and a tick of 100 ms.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { wire: Wire::V0, policy, caps: Caps::default(), tick_ms: 100 }
    }

    /// How the bytes are to be read.
    #[must_use]
    pub const fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// What the peer may make this end hold, or wait for.
    #[must_use]
    pub const fn caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self
    }

    /// How late the driver promises to call [`Connection::handle_timeout`] at most. It widens the
    /// bound that verdicts carry. Rounded up to a millisecond; 65 s at most.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick_ms = u16::try_from(tick.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        self
    }

    /// The policy that will be in force: the one given, less its beats on a wire without beats.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self.wire {
            Wire::V0 => self.policy,
            Wire::Raw => self.policy.without_beats(),
        }
    }
}

/// Something that came from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every event")]
pub enum Event<'a> {
    /// A beat. Nothing needs to be done: an answer, if one is owed, is in
    /// [`Connection::poll_transmit`].
    Beat,
    /// A whole body for the application, borrowed from the bytes it came in.
    Data(&'a [u8]),
}

/// A few bytes to write, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    bytes: [u8; frame::HEAD_LEN],
    len: u8,
}

impl Transmit {
    const NOTHING: Self = Self { bytes: [0; frame::HEAD_LEN], len: 0 };

    const fn head(bytes: [u8; frame::HEAD_LEN]) -> Self {
        Self { bytes, len: 8 }
    }
}

impl AsRef<[u8]> for Transmit {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// One connection without its socket and its clock.
///
/// A driver keeps to this order whenever it wakes:
///
/// 1. For bytes it has read, once per read: [`handle_heard`](Self::handle_heard), then
///    [`handle_received`](Self::handle_received) until it returns `None`. It keeps the bytes that
///    are left, a frame half arrived, and puts them in front of the next ones.
/// 2. When [`poll_timeout`](Self::poll_timeout) has passed: read what the socket holds *first*
///    (step 1; bytes that have arrived outrank a deadline), report a stall of its own with
///    [`handle_stall`](Self::handle_stall), then [`handle_timeout`](Self::handle_timeout).
/// 3. [`poll_transmit`](Self::poll_transmit) until it returns `None`; with bytes still waiting to
///    be written, [`handle_sent`](Self::handle_sent) instead: a full buffer needs no more beats.
///
/// A verdict or a violation ends the connection: no event follows it.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    liveness: Liveness,
    wire: Wire,
    caps: Caps,
    tick_ms: u16,
    reading: Reading,
    answers_owed: u8,
}

/// Where the peer is in sending a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It has not sent a whole head yet.
    FirstHead { since: Instant },
    /// It is between frames.
    Between,
    /// It is within a frame; `body_len` is 0 until the head is whole.
    Frame { since: Instant, body_len: u32 },
    /// It broke the protocol: whatever else it sends is not looked at.
    Refused,
}

impl Connection {
    /// A connection that starts at `now`: silence, the first beat interval and the time for the
    /// first frame count from here.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let reading = match settings.wire {
            Wire::V0 => Reading::FirstHead { since: now },
            Wire::Raw => Reading::Between,
        };
        Self {
            liveness: Liveness::new(settings.policy(), now),
            wire: settings.wire,
            caps: settings.caps,
            tick_ms: settings.tick_ms,
            reading,
            answers_owed: 0,
        }
    }

    /// At least one byte from the peer arrived at `at`, which may lie in the past.
    pub fn handle_heard(&mut self, at: Instant) {
        self.liveness.handle_heard(at);
    }

    /// Takes the next whole frame off the front of `bytes`.
    ///
    /// `bytes` are all the bytes that came after the last frame taken. Returns `None`, and leaves
    /// `bytes` as they are, when they end before the frame does, and after the end of the
    /// connection. An echo that falls due is in [`poll_transmit`](Self::poll_transmit).
    ///
    /// # Errors
    ///
    /// The [`Violation`], once. The connection has then ended.
    pub fn handle_received<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        if bytes.is_empty() || self.has_ended() {
            return Ok(None);
        }
        match self.wire {
            Wire::Raw => Ok(Some(Event::Data(core::mem::take(bytes)))),
            Wire::V0 => self.handle_frame(now, bytes),
        }
    }

    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        match frame::decode(bytes, self.caps.body_len_max) {
            Ok(Decoded::Whole { frame, len }) => {
                *bytes = bytes.get(len..).unwrap_or_default();
                self.reading = Reading::Between;
                Ok(Some(self.handle_whole(frame)))
            }
            Ok(Decoded::Partial { body_len }) => {
                self.handle_partial(now, body_len);
                Ok(None)
            }
            Err(violation) => Err(self.refuse(violation)),
        }
    }

    fn handle_whole<'a>(&mut self, frame: Frame<'a>) -> Event<'a> {
        match frame {
            Frame::Beat => {
                if self.liveness.policy().echo() {
                    self.answers_owed = (self.answers_owed + 1).min(ANSWERS_OWED_MAX);
                }
                Event::Beat
            }
            Frame::Data(body) => Event::Data(body),
        }
    }

    fn handle_partial(&mut self, now: Instant, body_len: Option<u32>) {
        self.reading = match (self.reading, body_len) {
            (Reading::FirstHead { since }, None) => Reading::FirstHead { since },
            (Reading::Frame { since, .. }, body_len) => {
                Reading::Frame { since, body_len: body_len.unwrap_or(0) }
            }
            (Reading::FirstHead { .. } | Reading::Between, body_len) => {
                Reading::Frame { since: now, body_len: body_len.unwrap_or(0) }
            }
            (Reading::Refused, _) => Reading::Refused,
        };
    }

    fn refuse(&mut self, violation: Violation) -> Violation {
        self.reading = Reading::Refused;
        violation
    }

    /// Something other than what [`poll_transmit`](Self::poll_transmit) returned was sent at `at`,
    /// or is waiting to be.
    pub fn handle_sent(&mut self, at: Instant) {
        self.liveness.handle_sent(at);
    }

    /// This end stood still: nobody is held responsible for what they could not show us. The
    /// silence gets another limit (three times at most), a frame its whole time again.
    pub fn handle_stall(&mut self, stall: Stall) {
        self.liveness.handle_stall(stall);
        self.restart_frame(stall.resumed_at);
    }

    /// Bytes of the peer wait that this end has no room for, because its owner is slow. Backpressure
    /// is not death: they count as life, and a frame gets its whole time again.
    pub fn handle_backpressure(&mut self, now: Instant) {
        self.liveness.handle_heard(now);
        self.restart_frame(now);
    }

    fn restart_frame(&mut self, now: Instant) {
        match &mut self.reading {
            Reading::FirstHead { since } | Reading::Frame { since, .. } => {
                *since = (*since).max(now)
            }
            Reading::Between | Reading::Refused => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` if there is no deadline.
    ///
    /// It moves later as bytes come and go, so a driver may leave its timer as it is and look here
    /// when it fires. It can move *earlier* in two cases only: after
    /// [`handle_received`](Self::handle_received) left bytes over, and after
    /// [`handle_timeout`](Self::handle_timeout) with what follows it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_ended() {
            return None;
        }
        match (self.liveness.poll_timeout(), self.frame_deadline()) {
            (Some(liveness), Some(frame)) => Some(liveness.min(frame)),
            (liveness, frame) => liveness.or(frame),
        }
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) at `now` would end the connection. If so,
    /// read what the socket holds before calling it. (If not, only a beat can be due, and reading
    /// first would be wasted.)
    #[must_use]
    pub fn would_end(&self, now: Instant) -> bool {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        !self.has_ended() && (passed(self.liveness.verdict_at()) || passed(self.frame_deadline()))
    }

    /// Time passed. Early and repeated calls do nothing.
    ///
    /// # Errors
    ///
    /// The [`Violation`] of a frame that took too long, once. The connection has then ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Option<Verdict>, Violation> {
        if self.has_ended() {
            return Ok(None);
        }
        if self.frame_deadline().is_some_and(|deadline| now >= deadline) {
            let violation = match self.reading {
                Reading::Frame { since, .. } => {
                    Violation::SlowFrame { waited: now.saturating_since(since) }
                }
                Reading::FirstHead { since } => {
                    Violation::NoFirstFrame { waited: now.saturating_since(since) }
                }
                Reading::Between | Reading::Refused => return Ok(None),
            };
            return Err(self.refuse(violation));
        }
        Ok(self.liveness.handle_timeout(now, Duration::from_millis(u64::from(self.tick_ms))))
    }

    /// Makes a beat due at once. A client calls it at the start, so that its server knows early.
    pub fn beat_now(&mut self) {
        if self.wire != Wire::Raw {
            self.liveness.beat_now();
        }
    }

    /// The next bytes to write: a beat, or the answer to one. They count as sent at `now`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.has_ended() {
            return None;
        }
        if self.answers_owed > 0 {
            self.answers_owed -= 1;
        } else if !self.liveness.beat_due() {
            return None;
        }
        self.liveness.handle_sent(now);
        Some(Transmit::head(frame::BEAT))
    }

    /// What goes before a body of `body_len` bytes; `None` if no frame can be that long.
    #[must_use]
    pub fn data_head(&self, body_len: usize) -> Option<Transmit> {
        match self.wire {
            Wire::V0 => frame::data_head(body_len).map(Transmit::head),
            Wire::Raw => Some(Transmit::NOTHING),
        }
    }

    /// When the last byte from the peer arrived, or when the connection started.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.liveness.last_heard()
    }

    /// Whether the connection ended with a verdict or a violation.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.liveness.is_dead() || self.reading == Reading::Refused
    }

    fn frame_deadline(&self) -> Option<Instant> {
        match self.reading {
            Reading::FirstHead { since } => {
                Some(since.saturating_add(self.caps.first_frame?.duration()))
            }
            Reading::Frame { since, body_len } => {
                let for_body = TIME_PER_KIB.saturating_mul(body_len / 1024);
                Some(since.saturating_add(self.caps.frame?.duration()).saturating_add(for_body))
            }
            Reading::Between | Reading::Refused => None,
        }
    }
}

#[cfg(test)]
mod tests;
