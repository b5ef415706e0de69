//! What a connection is told when it starts.

use core::time::Duration;

use crate::frame;
use crate::policy::{Millis, Policy};
use crate::v1::Offer;

/// How the bytes of a connection are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// The tutorial's frames, see [`frame`].
    #[default]
    V0,
    /// Bytes without any head. There are no beats on it, so a policy's `beat` and `echo` are off.
    Raw,
    /// [Version 1](crate::v1), for the end that connects: it says HELLO, and the server's WELCOME
    /// says what both go by. The policy becomes that of the contract then, and is off until then.
    V1,
    /// For the end that accepts: the peer's first frame decides between v0, by the policy as it is,
    /// and v1, by the contract.
    Any,
    /// For the end that accepts: version 1, and nothing is heard from anybody who speaks v0.
    V1Only,
}

/// What a peer may make this end hold, or wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub(super) body_len_max: u32,
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

    /// Time from the first byte of a frame to its last, if it is limited, without what its body
    /// adds.
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

/// Everything a [`Connection`](crate::Connection) is told when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) wire: Wire,
    policy: Policy,
    offer: Option<Offer>,
    pub(super) caps: Caps,
    pub(super) tick_ms: u16,
}

impl Settings {
    /// Wire v0, default [`Caps`], and a tick of 100 ms.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { wire: Wire::V0, policy, offer: None, caps: Caps::default(), tick_ms: 100 }
    }

    /// How the bytes are to be read.
    #[must_use]
    pub const fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// What a client offers in its HELLO, and holds the WELCOME against. Default:
    /// [`Offer::new`] with the policy.
    #[must_use]
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    pub(super) fn offer_in_force(&self) -> Offer {
        self.offer.unwrap_or_else(|| Offer::new(&self.policy))
    }

    /// What the peer may make this end hold, or wait for.
    #[must_use]
    pub const fn caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self
    }

    /// How late the driver promises to call [`Connection::poll`](crate::Connection::poll) at most.
    /// It widens the bound that verdicts carry. Rounded up to a millisecond; 65 s at most.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick_ms = u16::try_from(tick.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        self
    }

    /// The policy that will be in force at first: the one given, less its beats on a wire without
    /// beats, and nothing where a handshake comes first.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self.wire {
            Wire::V0 | Wire::Any => self.policy,
            Wire::Raw => self.policy.without_beats(),
            Wire::V1 | Wire::V1Only => Policy::agreed(None, None, None),
        }
    }
}
