//! Heartbeat settings of one end: interval, timeout and echo, and when a verdict comes with them.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::{Typed, millis_down, millis_up};

/// Heartbeat settings of *one* end of a connection: three independent knobs, all off at first.
///
/// - **interval**: send a beat this often. At an end with a timeout, data replaces beats while the
///   peer is heard, but not while it is silent: it may be a peer that sends nothing but answers to
///   beats. At an end without a timeout nothing replaces them: only the peer has a timeout then,
///   and it may count only beats.
/// - **timeout**: declare the peer dead after this silence. Any byte from the peer ends a silence.
/// - **echo**: answer each of the peer's beats with one beat.
///
/// Every policy is valid. It is 16 bytes, because a server keeps one per session.
///
/// ```
/// use core::time::Duration;
/// use heartwire_core::Policy;
///
/// let policy = Policy::builder().timeout(Duration::from_secs(15)).build()?;
/// let bound = policy.bound(Duration::from_millis(100)).expect("it has a timeout");
/// assert_eq!(bound.to_string(), "15.0 to 15.1 s");
/// # Ok::<(), heartwire_core::PolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) interval: Option<Millis>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) peer_interval: Option<Millis>,
    echo: bool,
}

/// [`Preset::Default`], which is the same at both ends.
impl Default for Policy {
    fn default() -> Self {
        Preset::Default.policy(Side::Client)
    }
}

impl Policy {
    /// A builder with all settings off.
    pub const fn builder() -> PolicyBuilder {
        PolicyBuilder { interval: None, timeout: None, peer_interval: None, echo: false }
    }

    /// A builder that starts from this policy.
    pub fn to_builder(self) -> PolicyBuilder {
        PolicyBuilder {
            interval: self.interval(),
            timeout: self.timeout(),
            // An assumed interval of the peer is not copied: `build` assumes it again.
            peer_interval: self
                .peer_interval()
                .filter(|&interval| Some(interval) != self.interval()),
            echo: self.echo,
        }
    }

    /// How often this end sends a beat; with a timeout, data replaces beats while the peer is
    /// heard. `None`: this end sends none by itself.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.interval.map(Millis::duration)
    }

    /// The silence after which this end declares the peer dead; `None`: never.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Millis::duration)
    }

    /// Whether this end answers each beat of the peer with a beat.
    #[must_use]
    pub const fn echo(&self) -> bool {
        self.echo
    }

    /// How often the peer is expected to send something, if that is known.
    #[must_use]
    pub fn peer_interval(&self) -> Option<Duration> {
        self.peer_interval.map(Millis::duration)
    }

    /// When the verdict on a silent peer comes, counted from its **last byte**: from `timeout` to
    /// `timeout + tick`, where `tick` is how late the driver's timers may be. `None` without a
    /// timeout.
    #[must_use]
    pub fn bound(&self, tick: Duration) -> Option<Bound> {
        let timeout = self.timeout()?;
        Some(Bound { earliest: timeout, latest: timeout.saturating_add(tick) })
    }

    /// When the verdict comes, counted from the **fault** that silenced the peer: its last byte may
    /// have come up to one interval earlier, so the range starts at `timeout - peer_interval`, and
    /// at zero where the peer's interval is not known. The time that bytes spend in flight comes on
    /// top of the end of the range. `None` without a timeout.
    #[must_use]
    pub fn bound_after_fault(&self, tick: Duration) -> Option<Bound> {
        let Bound { earliest, latest } = self.bound(tick)?;
        let peer_interval = self.peer_interval().unwrap_or(earliest);
        Some(Bound { earliest: earliest.saturating_sub(peer_interval), latest })
    }

    /// No beats, and no timeout.
    pub(crate) const OFF: Self = Self::agreed(None, None, None);

    /// The policy of one end of a contract, which was checked when the ends agreed.
    pub(crate) const fn agreed(
        interval: Option<Millis>,
        timeout: Option<Millis>,
        peer_interval: Option<Millis>,
    ) -> Self {
        Self { interval, timeout, peer_interval, echo: false }
    }

    pub(crate) fn without_beats(mut self) -> Self {
        // An interval of the peer that was assumed from this end's own goes too.
        self.peer_interval = self.peer_interval.filter(|&interval| Some(interval) != self.interval);
        self.interval = None;
        self.echo = false;
        self
    }

    const fn symmetric(interval_ms: u32, timeout_ms: u32) -> Self {
        Self {
            interval: Millis::new(interval_ms),
            timeout: Millis::new(timeout_ms),
            peer_interval: Millis::new(interval_ms),
            echo: false,
        }
    }
}

/// Builds a [`Policy`]; [`build`](Self::build) is the only step that can fail.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct PolicyBuilder {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    peer_interval: Option<Duration>,
    echo: bool,
}

impl PolicyBuilder {
    /// Sends a beat every `interval`. With a [`timeout`](Self::timeout), data replaces a beat while
    /// something came from the peer within `interval`; a silent peer may be one that only answers
    /// beats. On protocol v1 data replaces none, and each comes up to a quarter of `interval`
    /// early, so that ends which began at the same time do not stay in step.
    ///
    /// Default: off. Bounds: 1 ms to 49 days; fractions of a millisecond are dropped. Keep it under
    /// half the timeout of the peer. Too long: healthy connections time out. Too short: needless
    /// traffic.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Declares the peer dead after `silence`.
    ///
    /// Default: off. Bounds: 1 ms to 49 days, and at least twice the peer's interval where that is
    /// known; a fraction of a millisecond is rounded up. Too short: healthy connections time out
    /// while packets are lost (a blackout of 2 s is up to 4.3 s of silence, because TCP backs off).
    /// Too long: dead peers stay listed.
    pub const fn timeout(mut self, silence: Duration) -> Self {
        self.timeout = Some(silence);
        self
    }

    /// Answers each of the peer's beats. Default: off. Excludes [`interval`](Self::interval): two
    /// ends that answer answers would never stop.
    pub const fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// How often the peer sends something, at least. It changes no timer: it checks `timeout`, and
    /// narrows [`Policy::bound_after_fault`].
    ///
    /// Default: this end's own `interval` where there is one (a symmetric peer sends beats as
    /// often; an answering peer answers as often), else unknown. Bounds: 1 ms to 49 days; a
    /// fraction of a millisecond is rounded up.
    pub const fn peer_interval(mut self, interval: Duration) -> Self {
        self.peer_interval = Some(interval);
        self
    }

    /// Sends no beats (to override a preset).
    pub const fn no_interval(mut self) -> Self {
        self.interval = None;
        self
    }

    /// Never declares the peer dead (to override a preset).
    pub const fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// The policy, if its settings fit together.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] says which settings do not fit together. Change the builder and try again.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let interval = Millis::exact("interval", self.interval, millis_down)?;
        let timeout = Millis::exact("timeout", self.timeout, millis_up)?;
        let peer_interval =
            Millis::exact("peer interval", self.peer_interval, millis_up)?.or(interval);
        if interval.is_some() && self.echo {
            return Err(PolicyError::BeatAndEcho);
        }
        if let (Some(timeout), Some(peer_interval)) = (timeout, peer_interval) {
            // One beat may be late because of a retransmission.
            if !timeout.holds_two(peer_interval) {
                return Err(PolicyError::TimeoutTooShort {
                    timeout: timeout.duration(),
                    peer_interval: peer_interval.duration(),
                });
            }
        }
        Ok(Policy { interval, timeout, peer_interval, echo: self.echo })
    }
}

/// Why settings are not a valid [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// `interval` and `echo` on one end: two such ends would answer each other forever.
    BeatAndEcho,
    /// `timeout` is less than twice the peer's interval, so one late beat would end a healthy
    /// connection.
    TimeoutTooShort {
        /// The timeout that was asked for.
        timeout: Duration,
        /// How often the peer sends something.
        peer_interval: Duration,
    },
    /// A duration under 1 ms or over 49 days.
    OutOfRange {
        /// Which setting.
        knob: &'static str,
        /// What was asked for.
        value: Duration,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeatAndEcho => f.write_str(
                "one end cannot both send beats and echo: two such ends would answer each other \
                 forever. Send beats on one end and echo on the other, or send beats on both",
            ),
            Self::TimeoutTooShort { timeout, peer_interval } => write!(
                f,
                "a timeout of {} is less than twice the peer's interval of {}: one late beat would \
                 end a healthy connection. Use a timeout of at least {}, or a shorter interval",
                Typed(*timeout),
                Typed(*peer_interval),
                Typed(peer_interval.saturating_mul(2))
            ),
            Self::OutOfRange { knob, value } => {
                let value = Typed(*value);
                write!(f, "the {knob} of {value} is out of range: it must be 1 ms to 49 days")
            }
        }
    }
}

impl core::error::Error for PolicyError {}

/// Ready-made pairs of policies, one for each [`Side`], that work with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Interval 10 s and timeout 30 s at both ends. The default: 10 s is under every idle timeout
    /// found in middleboxes, and 30 s outlives a blackout of 15 s.
    #[default]
    Default,
    /// The tutorial's numbers: the client sends a beat every 3 s and has no timeout, because its
    /// server sends nothing; the server sends nothing and has a timeout of 15 s.
    Tutorial,
    /// Interval 2.5 s and timeout 8.5 s at both ends: the verdict comes 6.0 to 8.6 s after the
    /// fault with timers that are at most 100 ms late. For good networks: a blackout of 4 s can be
    /// up to 7.9 s of silence.
    Fast,
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
            (Self::Default, Side::Client | Side::Server) => Policy::symmetric(10_000, 30_000),
            (Self::Fast, Side::Client | Side::Server) => Policy::symmetric(2_500, 8_500),
            (Self::Tutorial, Side::Client) => Policy {
                interval: Millis::new(3_000),
                timeout: None,
                peer_interval: None,
                echo: false,
            },
            (Self::Tutorial, Side::Server) => Policy {
                interval: None,
                timeout: Millis::new(15_000),
                peer_interval: Millis::new(3_000),
                echo: false,
            },
        }
    }
}

/// The earliest and the latest time of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0.get()))
    }

    /// Whether two intervals are not longer than this timeout.
    pub(crate) const fn holds_two(self, interval: Self) -> bool {
        self.get() / 2 >= interval.get()
    }

    /// A third of it, rounded up.
    pub(crate) fn third(self) -> Self {
        Self(NonZeroU32::new(self.get().div_ceil(3)).unwrap_or(NonZeroU32::MIN))
    }

    /// The nearest value in range, rounded up.
    pub(crate) fn clamp(value: Duration) -> Self {
        Self(
            millis_up(value).map_or(NonZeroU32::MAX, |millis| {
                NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
            }),
        )
    }

    fn exact(
        knob: &'static str,
        value: Option<Duration>,
        millis: fn(Duration) -> Option<u32>,
    ) -> Result<Option<Self>, PolicyError> {
        let Some(value) = value else { return Ok(None) };
        let millis = millis(value).and_then(Self::new);
        millis.map(Some).ok_or(PolicyError::OutOfRange { knob, value })
    }
}

#[cfg(test)]
mod tests;
