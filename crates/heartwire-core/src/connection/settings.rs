//! What a connection is told when it starts.

use core::time::Duration;

use crate::frame;
use crate::policy::{Millis, Policy};
use crate::v1::Offer;

/// How the bytes of a connection are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The tutorial's frames, see [`frame`].
    #[default]
    V0,
    /// Bytes without any header. There are no beats on it, so a policy's `interval` and `echo` are off.
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
pub struct FrameLimits {
    pub(super) max_frame: u32,
    handshake_timeout: Option<Millis>,
    frame: Option<Millis>,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            max_frame: Self::MAX_FRAME,
            handshake_timeout: Millis::new(10_000),
            frame: Millis::new(30_000),
        }
    }
}

impl FrameLimits {
    /// Default for [`max_frame`](Self::max_frame): 64 KiB, chosen so that 1,000 peers with a
    /// frame half sent hold 64 MiB at most.
    pub const MAX_FRAME: u32 = 64 * 1024;

    /// The longest body that the peer may send, in bytes; capped at [`frame::MAX_FRAME`].
    #[must_use]
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes.min(frame::MAX_FRAME);
        self
    }

    /// Time from the start to the peer's first whole header, if it is limited.
    #[must_use]
    pub fn handshake_within(&self) -> Option<Duration> {
        self.handshake_timeout.map(Millis::duration)
    }

    /// Time from the first byte of a frame to its last, if it is limited, without what its body
    /// adds.
    #[must_use]
    pub fn frame_within(&self) -> Option<Duration> {
        self.frame.map(Millis::duration)
    }

    /// Time from the start to the peer's first whole header. Default 10 s; `None`: any time.
    /// Clamped to 1 ms to 49 days. Must leave room for the peer's first beat.
    #[must_use]
    pub fn handshake_timeout(mut self, within: Option<Duration>) -> Self {
        self.handshake_timeout = within.map(Millis::clamp);
        self
    }

    /// Time from the first byte of a frame to its last, plus one second per KiB of its body.
    /// Default 30 s, the timeout of the usual policy: a blackout that a connection outlives between
    /// frames should not end it within one. `None`: any time. Clamped to 1 ms to 49 days.
    #[must_use]
    pub fn frame_timeout(mut self, within: Option<Duration>) -> Self {
        self.frame = within.map(Millis::clamp);
        self
    }
}

/// Everything a [`Connection`](crate::Connection) is told when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) protocol: Protocol,
    policy: Policy,
    offer: Option<Offer>,
    pub(super) limits: FrameLimits,
    pub(super) tick_ms: u16,
}

impl Settings {
    /// Protocol v0, default [`FrameLimits`], and a tick of 100 ms.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            protocol: Protocol::V0,
            policy,
            offer: None,
            limits: FrameLimits::default(),
            tick_ms: 100,
        }
    }

    /// How the bytes are to be read.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
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
    pub const fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How late the driver promises to call [`Connection::poll`](crate::Connection::poll) at most.
    /// It widens the bound that verdicts carry. Rounded up to a millisecond; 65 s at most.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick_ms = u16::try_from(tick.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
        self
    }

    /// The policy that will be in force at first: the one given, less its beats on a protocol without
    /// beats, and nothing where a handshake comes first.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self.protocol {
            Protocol::V0 | Protocol::Any => self.policy,
            Protocol::Raw => self.policy.without_beats(),
            Protocol::V1 | Protocol::V1Only => Policy::agreed(None, None, None),
        }
    }
}
