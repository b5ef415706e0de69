//! The body of a v1 beat.

use core::time::Duration;

use crate::{codec, frame};

/// Bytes of a beat's body that this version knows, and sends.
pub const BEAT_LEN: usize = 32;
/// The same in a session that can be resumed: the position of what the sender has taken over
/// follows.
pub const RESUMABLE_BEAT_LEN: usize = BEAT_LEN + frame::ACK_LEN;
/// Longest body of a beat: room for what later versions append. It is skipped.
pub const MAX_BEAT_LEN: usize = 128;

/// A beat of protocol v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is the frame as sent")]
pub struct Beat {
    /// When this beat was sent, on the sender's own clock; never 0, and growing. To the receiver it
    /// is only a number to echo.
    pub nonce: u64,
    /// The nonce of the last beat that the sender has read from the receiver; 0 before the first.
    pub echo: u64,
    /// How long ago that beat arrived, in microseconds; [`u32::MAX`] stands for anything longer.
    pub held_us: u32,
    /// How long ago the last byte of the receiver arrived, in milliseconds.
    pub silence_ms: u32,
    /// The next beat comes within this, in milliseconds; 0: there may be no further beat.
    pub promise_ms: u32,
    /// How much later than it was due this beat was sent, in milliseconds; 65,535 stands for
    /// anything longer.
    pub late_ms: u16,
    /// The sender's health.
    pub health: Health,
    /// The receiver sends beats far more often than agreed, and will be disconnected if it goes on.
    pub too_fast: bool,
}

/// Health of an end, by its own report. It never makes an end dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It works.
    #[default]
    Ok,
    /// Its application has not fed the watchdog in time.
    Degraded,
    /// It is about to shut down.
    Draining,
}

impl Health {
    /// A short name that does not change between versions, for logs and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded => 1,
            Self::Draining => 2,
        }
    }

    /// An unknown code is a later version's kind of degraded.
    const fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Ok,
            2 => Self::Draining,
            _ => Self::Degraded,
        }
    }
}

const TOO_FAST: u8 = 1;

impl Beat {
    /// Encodes the body: little-endian integers in the order of the fields, `health` and the
    /// notices in a byte each.
    #[must_use]
    pub fn encode(&self) -> [u8; BEAT_LEN] {
        let mut body = [0; BEAT_LEN];
        let notices = if self.too_fast { TOO_FAST } else { 0 };
        let fields: [&[u8]; 8] = [
            &self.nonce.to_le_bytes(),
            &self.echo.to_le_bytes(),
            &self.held_us.to_le_bytes(),
            &self.silence_ms.to_le_bytes(),
            &self.promise_ms.to_le_bytes(),
            &self.late_ms.to_le_bytes(),
            &[self.health.code()],
            &[notices],
        ];
        codec::join(&mut body, &fields);
        body
    }

    /// Decodes a body. Any 32 bytes are valid: the connection checks the numbers. Unknown notices
    /// are ignored.
    #[must_use]
    pub fn decode(body: &[u8; BEAT_LEN]) -> Self {
        let [
            n0,
            n1,
            n2,
            n3,
            n4,
            n5,
            n6,
            n7, //
            e0,
            e1,
            e2,
            e3,
            e4,
            e5,
            e6,
            e7, //
            h0,
            h1,
            h2,
            h3,
            s0,
            s1,
            s2,
            s3, //
            p0,
            p1,
            p2,
            p3,
            l0,
            l1,
            health,
            notices,
        ] = *body;
        Self {
            nonce: u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            echo: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]),
            held_us: u32::from_le_bytes([h0, h1, h2, h3]),
            silence_ms: u32::from_le_bytes([s0, s1, s2, s3]),
            promise_ms: u32::from_le_bytes([p0, p1, p2, p3]),
            late_ms: u16::from_le_bytes([l0, l1]),
            health: Health::of_code(health),
            too_fast: notices & TOO_FAST != 0,
        }
    }

    /// [`held_us`](Self::held_us) as a duration.
    #[must_use]
    pub fn held(&self) -> Duration {
        Duration::from_micros(u64::from(self.held_us))
    }

    /// [`silence_ms`](Self::silence_ms) as a duration.
    #[must_use]
    pub fn silence(&self) -> Duration {
        Duration::from_millis(u64::from(self.silence_ms))
    }

    /// [`promise_ms`](Self::promise_ms) as a duration; `None` for 0.
    #[must_use]
    pub fn promise(&self) -> Option<Duration> {
        (self.promise_ms > 0).then(|| Duration::from_millis(u64::from(self.promise_ms)))
    }
}

#[cfg(test)]
mod tests;
