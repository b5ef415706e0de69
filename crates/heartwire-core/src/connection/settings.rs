//! Settings of a connection.

use core::time::Duration;

use super::Connection;
use super::handshake::Resume;
use crate::boxed::Shared;
use crate::frame;
use crate::policy::{Millis, Policy};
use crate::time::{Instant, millis_up};
use crate::v1::{Offer, ResumeOffer};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The tutorial's frames, see [`frame`].
    #[default]
    V0,
    /// Bytes without any header. There are no beats on it, so a policy's `interval` and `echo` are
    /// off.
    Raw,
    /// [Version 1](crate::v1), for the end that connects: it sends HELLO, and the server's WELCOME
    /// carries the contract. The policy is off until then, and that of the contract afterwards.
    V1,
    /// For the end that accepts: the peer's first frame decides between v0, with the policy as it
    /// is, and v1, with that of the contract. Without the feature `alloc` a HELLO is a violation.
    Any,
    /// For the end that accepts: version 1 only. A client that speaks v0 is rejected. Needs the
    /// feature `alloc`.
    V1Only,
}

/// Frame limits: the longest frame, and how long a peer may take to send one.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    pub(super) max_frame: u32,
    pub(super) handshake_timeout: Option<Millis>,
    pub(super) frame: Option<Millis>,
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

    /// The longest body that the peer may send, in bytes.
    #[must_use]
    pub const fn longest_frame(&self) -> u32 {
        self.max_frame
    }

    /// The handshake timeout, if there is one.
    #[doc(hidden)]
    #[must_use]
    pub fn handshake_within(&self) -> Option<Duration> {
        self.handshake_timeout.map(Millis::duration)
    }

    /// The frame timeout without the time for the body, if there is one.
    #[doc(hidden)]
    #[must_use]
    pub fn frame_within(&self) -> Option<Duration> {
        self.frame.map(Millis::duration)
    }

    /// Time from the start to the peer's first whole header. Default 10 s; `None`: no limit.
    /// Clamped to 1 ms to 49 days. Must leave time for the peer's first beat.
    #[must_use]
    pub fn handshake_timeout(mut self, within: Option<Duration>) -> Self {
        self.handshake_timeout = within.map(Millis::clamp);
        self
    }

    /// Time from the first byte of a frame to its last, plus one second per KiB of its body.
    /// Default 30 s, the timeout of the default preset: a blackout that a connection survives
    /// between frames should not end it within one. `None`: no limit. Clamped to 1 ms to 49 days.
    #[must_use]
    pub fn frame_timeout(mut self, within: Option<Duration>) -> Self {
        self.frame = within.map(Millis::clamp);
        self
    }
}

/// Settings of a [`Connection`](crate::Connection).
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub(super) protocol: Protocol,
    policy: Policy,
    offer: Option<Offer>,
    pub(super) resume: Resume,
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
            resume: Resume::default(),
            limits: FrameLimits::default(),
            tick_ms: 100,
        }
    }

    /// Sets the protocol.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// What a client offers in its HELLO, and checks the WELCOME against. Default: [`Offer::new`]
    /// with the policy.
    #[must_use]
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// What a client offers in its HELLO so that its session can be resumed. Default: nothing.
    #[must_use]
    pub const fn resume(mut self, offer: Option<ResumeOffer>) -> Self {
        self.resume.offer = offer;
        self
    }

    /// The session that a client goes on with by its HELLO; and whether it takes no other.
    #[must_use]
    pub const fn resuming(mut self, session: u64, only: bool) -> Self {
        self.resume.session = Some((session, only));
        self
    }

    pub(super) fn offer_in_force(&self) -> Offer {
        self.offer.unwrap_or_else(|| Offer::new(&self.policy))
    }

    /// Sets the frame limits.
    #[must_use]
    pub const fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How late the driver calls [`Connection::poll`](crate::Connection::poll) at most. It widens
    /// the bound that verdicts carry. Rounded up to a millisecond; 65 s at most.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        let millis = millis_up(tick).and_then(|millis| u16::try_from(millis).ok());
        self.tick_ms = millis.unwrap_or(u16::MAX);
        self
    }

    pub(super) fn rules(&self) -> Rules {
        Rules { policy: self.policy(), limits: self.limits, tick_ms: self.tick_ms }
    }

    /// The policy at the start: the given one, without beats on a protocol that has none, and off
    /// if a handshake comes first.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self.protocol {
            Protocol::V0 | Protocol::Any => self.policy,
            Protocol::Raw => self.policy.without_beats(),
            Protocol::V1 | Protocol::V1Only => Policy::OFF,
        }
    }
}

/// The settings that a connection needs for all its life. They are the same for many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The policy at the start.
    pub(super) policy: Policy,
    pub(super) limits: FrameLimits,
    pub(super) tick_ms: u16,
}

/// Begins connections with the same settings. With the feature `alloc` they keep one copy of these
/// together, which saves 32 bytes for each.
#[derive(Clone, Debug)]
pub struct Template {
    settings: Settings,
    rules: Shared<Rules>,
}

impl Template {
    /// Connections with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, rules: Shared::new(settings.rules()) }
    }

    /// A connection that starts at `now`, like that of [`Connection::new`].
    #[must_use]
    pub fn connection(&self, now: Instant) -> Connection {
        Connection::with_rules(&self.settings, self.rules.clone(), now)
    }
}
