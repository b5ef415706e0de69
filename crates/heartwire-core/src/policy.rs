//! When one end beats, what silence it calls death, and what that promises.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::Typed;

/// The heartbeat settings of *one* end of a connection: three independent knobs, all off at first.
///
/// - **beat**: send a beat this often. At an end with a limit, data stands in for beats while the peer is
///   heard; not while it is silent, because it may be one that only answers. At an end without a limit
///   nothing does: the peer alone judges, and may count nothing but beats.
/// - **limit**: the silence of the peer that means death. Any byte from the peer ends a silence.
/// - **echo**: answer each of the peer's beats with one beat.
///
/// A policy that exists is valid. It is 16 bytes, because a server keeps one per session.
///
/// ```
/// use core::time::Duration;
/// use heartwire_core::Policy;
///
/// let policy = Policy::builder().limit(Duration::from_secs(15)).build()?;
/// let bound = policy.bound(Duration::from_millis(100)).expect("it has a limit");
/// assert_eq!(bound.to_string(), "15.0 to 15.1 s");
/// # Ok::<(), heartwire_core::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    beat: Option<Millis>,
    limit: Option<Millis>,
    peer_beat: Option<Millis>,
    echo: bool,
}

/// The default policy is [`Preset::Usual`], which is the same at both ends.
impl Default for Policy {
    fn default() -> Self {
        Preset::Usual.policy(Side::Client)
    }
}

impl Policy {
    /// A builder with every knob off.
    pub const fn builder() -> PolicyBuilder {
        PolicyBuilder { beat: None, limit: None, peer_beat: None, echo: false }
    }

    /// A builder that starts from this policy.
    pub fn to_builder(self) -> PolicyBuilder {
        PolicyBuilder {
            beat: self.beat(),
            limit: self.limit(),
            // An assumed promise is not carried over: it follows the knobs it was assumed from.
            peer_beat: self.peer_beat().filter(|&beat| Some(beat) != self.beat()),
            echo: self.echo,
        }
    }

    /// A beat is due when none was sent for this long; at an end with a limit, data will do instead while
    /// the peer is heard. `None`: this end sends none of its own.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.beat.map(Millis::duration)
    }

    /// The peer's silence that means death; `None`: this end never calls the peer dead.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.limit.map(Millis::duration)
    }

    /// Whether this end answers each beat of the peer with a beat.
    #[must_use]
    pub const fn echo(&self) -> bool {
        self.echo
    }

    /// How often the peer is expected to send something, if that is known.
    #[must_use]
    pub fn peer_beat(&self) -> Option<Duration> {
        self.peer_beat.map(Millis::duration)
    }

    /// When the verdict on a silent peer comes, counted from its **last byte**: from `limit` to
    /// `limit + tick`, where `tick` is how late the driver's timers may be. `None` without a limit.
    #[must_use]
    pub fn bound(&self, tick: Duration) -> Option<Bound> {
        let limit = self.limit()?;
        Some(Bound { earliest: limit, latest: limit.saturating_add(tick) })
    }

    /// When the verdict comes, counted from the **fault** that silenced the peer: its last byte may
    /// have come up to one of its beats earlier, so the range starts at `limit - peer_beat`, and at
    /// zero where the peer's beat is not known. The time that bytes spend under way comes on top of
    /// the end of the range. `None` without a limit.
    #[must_use]
    pub fn bound_after_fault(&self, tick: Duration) -> Option<Bound> {
        let Bound { earliest, latest } = self.bound(tick)?;
        let peer_beat = self.peer_beat().unwrap_or(earliest);
        Some(Bound { earliest: earliest.saturating_sub(peer_beat), latest })
    }

    /// The policy of one end of a contract. Its relations were checked when that was made.
    pub(crate) fn agreed(
        beat: Option<Duration>,
        limit: Option<Duration>,
        peer_beat: Option<Duration>,
    ) -> Self {
        Self {
            beat: beat.map(Millis::clamp),
            limit: limit.map(Millis::clamp),
            peer_beat: peer_beat.map(Millis::clamp),
            echo: false,
        }
    }

    pub(crate) fn without_beats(mut self) -> Self {
        // A promise that was assumed from this end's own beat goes with it.
        self.peer_beat = self.peer_beat.filter(|&beat| Some(beat) != self.beat);
        self.beat = None;
        self.echo = false;
        self
    }

    const fn symmetric(beat_ms: u32, limit_ms: u32) -> Self {
        Self {
            beat: Millis::new(beat_ms),
            limit: Millis::new(limit_ms),
            peer_beat: Millis::new(beat_ms),
            echo: false,
        }
    }
}

/// Builds a [`Policy`]; [`build`](Self::build) is the only step that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PolicyBuilder {
    beat: Option<Duration>,
    limit: Option<Duration>,
    peer_beat: Option<Duration>,
    echo: bool,
}

impl PolicyBuilder {
    /// Beat when no beat was sent for `interval`. With a [`limit`](Self::limit), data will do instead while
    /// something came from the peer within `interval`; a silent peer may be one that only answers.
    ///
    /// Default: off. Bounds: 1 ms to 49 days; fractions of a millisecond are dropped. Keep it under
    /// half the limit of the peer. Too long shows as verdicts on healthy connections, too short as
    /// traffic that does nothing.
    pub const fn beat(mut self, interval: Duration) -> Self {
        self.beat = Some(interval);
        self
    }

    /// Call the peer dead after `silence`.
    ///
    /// Default: off. Bounds: 1 ms to 49 days, and at least twice the peer's beat where that is
    /// known; a fraction of a millisecond is rounded up. Too short shows as verdicts while packets
    /// are lost (a blackout of 2 s is up to 4.3 s of silence, because TCP backs off), too long as
    /// peers that are dead and still listed.
    pub const fn limit(mut self, silence: Duration) -> Self {
        self.limit = Some(silence);
        self
    }

    /// Answer each of the peer's beats. Default: off. Excludes [`beat`](Self::beat): two ends that
    /// answer answers would never stop.
    pub const fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// What the peer promised: it sends something at least this often. It changes no timer; it
    /// checks `limit`, and narrows [`Policy::bound_after_fault`].
    ///
    /// Default: this end's own `beat` where there is one (a symmetric peer beats as often; an
    /// answering peer answers as often), else unknown. Bounds: 1 ms to 49 days; a fraction of a
    /// millisecond is rounded up.
    pub const fn peer_beat(mut self, interval: Duration) -> Self {
        self.peer_beat = Some(interval);
        self
    }

    /// No beats of one's own (to change a preset).
    pub const fn no_beat(mut self) -> Self {
        self.beat = None;
        self
    }

    /// No verdicts (to change a preset).
    pub const fn no_limit(mut self) -> Self {
        self.limit = None;
        self
    }

    /// The policy, if its knobs fit together.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] says which relation is broken. The builder can be changed and tried again.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let beat = Millis::floor("beat", self.beat)?;
        let limit = Millis::ceil("limit", self.limit)?;
        let peer_beat = Millis::ceil("peer's beat", self.peer_beat)?.or(beat);
        if beat.is_some() && self.echo {
            return Err(PolicyError::BeatAndEcho);
        }
        if let (Some(limit), Some(peer_beat)) = (limit, peer_beat) {
            // One beat may be lost to a retransmission without the peer being dead.
            if limit.duration() < peer_beat.duration().saturating_mul(2) {
                return Err(PolicyError::LimitTooShort {
                    limit: limit.duration(),
                    peer_beat: peer_beat.duration(),
                });
            }
        }
        Ok(Policy { beat, limit, peer_beat, echo: self.echo })
    }
}

/// Why some settings are no [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// `beat` and `echo` on one end: an answer would be answered, for ever.
    BeatAndEcho,
    /// `limit` is less than twice the peer's beat, so one late beat would look like death.
    LimitTooShort {
        /// The limit that was asked for.
        limit: Duration,
        /// How often the peer sends something.
        peer_beat: Duration,
    },
    /// A duration under 1 ms or over 49 days.
    OutOfRange {
        /// Which knob.
        knob: &'static str,
        /// What was asked for.
        value: Duration,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeatAndEcho => f.write_str(
                "one end cannot both beat and echo: two such ends would answer each other for \
                 ever. Beat on one end, echo on the other, or beat on both",
            ),
            Self::LimitTooShort { limit, peer_beat } => write!(
                f,
                "a limit of {} is less than twice the peer's beat of {}: one late beat would look \
                 like death. Use a limit of at least {}, or a shorter beat",
                Typed(*limit),
                Typed(*peer_beat),
                Typed(peer_beat.saturating_mul(2))
            ),
            Self::OutOfRange { knob, value } => {
                let value = Typed(*value);
                write!(f, "a {knob} of {value} is out of range: it must be 1 ms to 49 days")
            }
        }
    }
}

impl core::error::Error for PolicyError {}

/// Ready-made pairs of policies, one for each [`Side`], that work with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Both ends beat every 10 s and call 30 s of silence death. The default: 10 s is under every
    /// idle limit found in middleboxes, and 30 s outlives a blackout of 15 s.
    #[default]
    Usual,
    /// The tutorial's numbers: the client beats every 3 s and judges nobody, because its server
    /// sends nothing; the server sends nothing and calls 15 s of silence death.
    Reference,
    /// Both ends beat every 2.5 s and call 8.5 s of silence death: the verdict comes 6.0 to 8.6 s
    /// after the fault with timers that are at most 100 ms late. For good networks: a blackout of
    /// 4 s can be up to 7.9 s of silence.
    Strict,
}

/// Which end of a connection a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Side {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
}

impl Preset {
    /// The policy of this preset for one end.
    #[must_use]
    pub const fn policy(self, side: Side) -> Policy {
        match (self, side) {
            (Self::Usual, Side::Client | Side::Server) => Policy::symmetric(10_000, 30_000),
            (Self::Strict, Side::Client | Side::Server) => Policy::symmetric(2_500, 8_500),
            (Self::Reference, Side::Client) => {
                Policy { beat: Millis::new(3_000), limit: None, peer_beat: None, echo: false }
            }
            (Self::Reference, Side::Server) => Policy {
                beat: None,
                limit: Millis::new(15_000),
                peer_beat: Millis::new(3_000),
                echo: false,
            },
        }
    }
}

/// The earliest and the latest time of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bound {
    /// A verdict never comes before this.
    pub earliest: Duration,
    /// A verdict has come by this.
    pub latest: Duration,
}

impl Bound {
    /// Whether a measured time lies within this bound.
    #[must_use]
    pub fn contains(&self, time: Duration) -> bool {
        (self.earliest..=self.latest).contains(&time)
    }
}

/// In seconds, with as many decimals as it takes to be exact, one at least and three at most.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact_to = |unit_ms: u128| {
            [self.earliest, self.latest].iter().all(|d| d.as_millis() % unit_ms == 0)
        };
        let decimals = if exact_to(100) {
            1
        } else if exact_to(10) {
            2
        } else {
            3
        };
        write!(
            f,
            "{:.decimals$} to {:.decimals$} s",
            self.earliest.as_secs_f64(),
            self.latest.as_secs_f64()
        )
    }
}

/// A duration of 1 ms to 49 days in 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(NonZeroU32);

impl Millis {
    pub(crate) const fn new(millis: u32) -> Option<Self> {
        match NonZeroU32::new(millis) {
            Some(millis) => Some(Self(millis)),
            None => None,
        }
    }

    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0.get()))
    }

    /// The nearest value in range, rounded up.
    pub(crate) fn clamp(value: Duration) -> Self {
        let millis = value.as_nanos().div_ceil(1_000_000);
        Self(
            u32::try_from(millis).ok().map_or(NonZeroU32::MAX, |millis| {
                NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
            }),
        )
    }

    fn floor(knob: &'static str, value: Option<Duration>) -> Result<Option<Self>, PolicyError> {
        value.map(|value| Self::exact(knob, value, value.as_millis())).transpose()
    }

    fn ceil(knob: &'static str, value: Option<Duration>) -> Result<Option<Self>, PolicyError> {
        value
            .map(|value| Self::exact(knob, value, value.as_nanos().div_ceil(1_000_000)))
            .transpose()
    }

    fn exact(knob: &'static str, value: Duration, millis: u128) -> Result<Self, PolicyError> {
        u32::try_from(millis)
            .ok()
            .and_then(Self::new)
            .ok_or(PolicyError::OutOfRange { knob, value })
    }
}

#[cfg(test)]
mod tests;
