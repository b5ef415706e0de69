//! Settings and times made of arbitrary bytes.

use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{Caps, Instant, Policy, Settings, Wire};

/// When every run starts. Times before it can be told, too.
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

/// What one end is told.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Knobs {
    beat: Option<Span>,
    limit: Option<Span>,
    peer_beat: Option<Span>,
    floor: Floor,
    ceiling: Option<Span>,
    echo: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Floor {
    Usual,
    Mute,
    Of(Span),
}

impl Knobs {
    /// `None` where these make no policy. That is for the tests of the policy.
    pub(crate) fn policy(&self) -> Option<Policy> {
        let mut policy = Policy::builder().echo(self.echo && self.beat.is_none());
        if let Some(beat) = self.beat {
            policy = policy.beat(beat.duration());
        }
        if let Some(beat) = self.peer_beat {
            policy = policy.peer_beat(beat.duration());
        }
        if let Some(limit) = self.limit {
            let least = self.peer_beat.or(self.beat).map_or(Duration::ZERO, |b| b.duration() * 2);
            policy = policy.limit(limit.duration().max(least));
        }
        policy.build().ok()
    }

    pub(crate) fn offer(&self) -> Option<Offer> {
        let mut offer = Offer::new(&self.policy()?);
        match self.floor {
            Floor::Usual => {}
            Floor::Mute => offer = offer.floor(None),
            Floor::Of(floor) => offer = offer.floor(Some(floor.duration())),
        }
        if let Some(ceiling) = self.ceiling {
            offer = offer.ceiling(ceiling.duration());
        }
        Some(offer)
    }

    pub(crate) fn terms(&self, wake_bytes: u16) -> Option<Terms> {
        Some(Terms::new(self.offer()?).wake_bytes(u32::from(wake_bytes)))
    }

    pub(crate) fn settings(&self, wire: Wire) -> Option<Settings> {
        let settings = Settings::new(self.policy()?).wire(wire);
        Some(if wire == Wire::V1 { settings.offer(self.offer()?) } else { settings })
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct CapKnobs {
    body_len: u16,
    first_frame: Option<Span>,
    frame: Option<Span>,
}

impl CapKnobs {
    pub(crate) fn caps(&self) -> Caps {
        Caps::default()
            .body_len_max(u32::from(self.body_len))
            .first_frame(self.first_frame.map(Span::duration))
            .frame(self.frame.map(Span::duration))
    }
}

/// Which end, and how it reads what comes.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Ear {
    Any,
    V1Only,
    Client,
    V0,
    Raw,
}

impl Ear {
    pub(crate) const fn wire(self) -> Wire {
        match self {
            Self::Any => Wire::Any,
            Self::V1Only => Wire::V1Only,
            Self::Client => Wire::V1,
            Self::V0 => Wire::V0,
            Self::Raw => Wire::Raw,
        }
    }
}
