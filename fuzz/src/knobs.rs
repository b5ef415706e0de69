//! Settings and times from arbitrary bytes.

use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{FrameLimits, Instant, Policy, Protocol, Settings};

/// When every run starts, so that earlier times can be reported too.
pub(crate) const START: u64 = 1_000_000_000_000_000;

pub(crate) const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration of 1 ms to 49 days, as likely to be short as to be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u32);

impl Span {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    pub(crate) fn nanos(self) -> u64 {
        u64::from(self.0) * 1_000_000
    }
}

impl<'a> Arbitrary<'a> for Span {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let bits = u16::arbitrary(u)?;
        let mantissa = u64::from(bits & 0x7ff) + 1;
        let millis = mantissa << ((bits >> 11) % 22);
        Ok(Self(u32::try_from(millis).unwrap_or(u32::MAX)))
    }

    fn size_hint(_depth: usize) -> (usize, Option<usize>) {
        (2, Some(2))
    }
}

/// Settings of one end.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Knobs {
    interval: Option<Span>,
    timeout: Option<Span>,
    peer_interval: Option<Span>,
    min_interval: MinInterval,
    max_timeout: Option<Span>,
    echo: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum MinInterval {
    Default,
    Mute,
    Of(Span),
}

impl Knobs {
    /// `None` where the policy is not valid, which its own tests cover.
    pub(crate) fn policy(&self) -> Option<Policy> {
        let mut policy = Policy::builder().echo(self.echo && self.interval.is_none());
        if let Some(interval) = self.interval {
            policy = policy.interval(interval.duration());
        }
        if let Some(interval) = self.peer_interval {
            policy = policy.peer_interval(interval.duration());
        }
        if let Some(timeout) = self.timeout {
            let least =
                self.peer_interval.or(self.interval).map_or(Duration::ZERO, |b| b.duration() * 2);
            policy = policy.timeout(timeout.duration().max(least));
        }
        policy.build().ok()
    }

    pub(crate) fn offer(&self) -> Option<Offer> {
        let mut offer = Offer::new(&self.policy()?);
        match self.min_interval {
            MinInterval::Default => {}
            MinInterval::Mute => offer = offer.min_interval(None),
            MinInterval::Of(min_interval) => {
                offer = offer.min_interval(Some(min_interval.duration()))
            }
        }
        if let Some(max_timeout) = self.max_timeout {
            offer = offer.max_timeout(max_timeout.duration());
        }
        Some(offer)
    }

    pub(crate) fn terms(&self, wake_bytes: u16) -> Option<Terms> {
        Some(Terms::new(self.offer()?).wake_bytes(u32::from(wake_bytes)))
    }

    pub(crate) fn settings(&self, protocol: Protocol) -> Option<Settings> {
        let settings = Settings::new(self.policy()?).protocol(protocol);
        Some(if protocol == Protocol::V1 { settings.offer(self.offer()?) } else { settings })
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct CapKnobs {
    body_len: u16,
    handshake_timeout: Option<Span>,
    frame: Option<Span>,
}

impl CapKnobs {
    pub(crate) fn limits(&self) -> FrameLimits {
        FrameLimits::default()
            .max_frame(u32::from(self.body_len))
            .handshake_timeout(self.handshake_timeout.map(Span::duration))
            .frame_timeout(self.frame.map(Span::duration))
    }
}

/// Which end, and with which protocol.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Ear {
    Any,
    V1Only,
    Client,
    V0,
    Raw,
}

impl Ear {
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Any => Protocol::Any,
            Self::V1Only => Protocol::V1Only,
            Self::Client => Protocol::V1,
            Self::V0 => Protocol::V0,
            Self::Raw => Protocol::Raw,
        }
    }
}
