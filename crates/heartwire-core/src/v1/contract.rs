//! Negotiation of interval and timeout between client and server.

use core::fmt;
use core::time::Duration;

use crate::policy::{Millis, Policy, Side};
use crate::time::Typed;

/// Default minimum interval, for beats sent and received. A beat a second is 4 MB a day; faster
/// ones have to be asked for.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Default maximum timeout: an hour. A phone in the background sends a beat every 15 to 30 minutes
/// at the longest, because mobile networks forget a connection after that.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// Settings that one end offers in the negotiation: what it wants, and the limits it agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub(crate) interval: Option<Millis>,
    pub(crate) min_interval: Option<Millis>,
    pub(super) want: Option<Millis>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) max_timeout: Millis,
}

impl Offer {
    /// The offer of an end with this `policy`: it wants the policy's interval, peer interval and
    /// timeout. Its minimum interval is [`MIN_INTERVAL`], or one of the policy's intervals if that
    /// is shorter; its maximum timeout is [`MAX_TIMEOUT`], or its own timeout if that is longer.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let Policy { interval, timeout, peer_interval, .. } = *policy;
        let want = peer_interval.or(timeout.map(Millis::third));
        let usual = Millis::clamp(MIN_INTERVAL);
        let min_interval = [interval, want].into_iter().flatten().fold(usual, Millis::min);
        let max_timeout = max_timeout_over(timeout, Millis::clamp(MAX_TIMEOUT));
        Self { interval, min_interval: Some(min_interval), want, timeout, max_timeout }
    }

    pub(super) fn of_parts(
        interval: Option<Millis>,
        min_interval: Option<Millis>,
        want: Option<Millis>,
        timeout: Option<Millis>,
        max_timeout: Millis,
    ) -> Self {
        Self {
            interval,
            min_interval,
            want,
            timeout,
            max_timeout: max_timeout_over(timeout, max_timeout),
        }
    }

    /// Minimum interval of this end's beats; `None`: it sends none, and refuses a peer that has a
    /// timeout. Clamped to 1 ms to 49 days.
    #[must_use]
    pub fn min_interval(mut self, min_interval: Option<Duration>) -> Self {
        self.min_interval = min_interval.map(Millis::clamp);
        self
    }

    /// The longest timeout for the peer's silence that this end agrees to. Clamped to 1 ms to 49
    /// days, and never less than this end's own timeout.
    #[must_use]
    pub fn max_timeout(mut self, max_timeout: Duration) -> Self {
        self.max_timeout = max_timeout_over(self.timeout, Millis::clamp(max_timeout));
        self
    }

    /// How often this end wants to send a beat.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.interval.map(Millis::duration)
    }

    /// Minimum interval of this end's beats.
    #[doc(hidden)]
    #[must_use]
    pub fn shortest_interval(&self) -> Option<Duration> {
        self.min_interval.map(Millis::duration)
    }

    /// How often this end wants to hear from the peer.
    #[doc(hidden)]
    #[must_use]
    pub fn want(&self) -> Option<Duration> {
        self.want.map(Millis::duration)
    }

    /// This end's timeout.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Millis::duration)
    }

    /// The longest timeout that this end agrees to.
    #[doc(hidden)]
    #[must_use]
    pub fn longest_timeout(&self) -> Duration {
        self.max_timeout.duration()
    }
}

/// A maximum timeout below an end's own timeout counts as the timeout.
fn max_timeout_over(timeout: Option<Millis>, max_timeout: Millis) -> Millis {
    timeout.map_or(max_timeout, |timeout| timeout.max(max_timeout))
}

/// One direction of a connection: the sender's interval and the receiver's timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    pub(crate) interval: Option<Millis>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) max_timeout: Millis,
}

impl Direction {
    pub(super) const fn of_parts(
        interval: Option<Millis>,
        timeout: Option<Millis>,
        max_timeout: Millis,
    ) -> Self {
        Self { interval, timeout, max_timeout }
    }

    /// How often the sender sends a beat; `None`: never.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.interval.map(Millis::duration)
    }

    /// The receiver's timeout; `None`: it never declares the sender dead.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Millis::duration)
    }

    /// The longest timeout that a promise can stretch this direction to.
    #[must_use]
    pub fn max_timeout(&self) -> Duration {
        self.max_timeout.duration()
    }

    /// The receiver's timeout when the sender promises a beat within `promise`: the time for delay
    /// and loss stays the same, and two beats fit in. `None` without a timeout. At most 49 days,
    /// and a fraction of a millisecond is rounded up.
    #[must_use]
    pub fn timeout_for(&self, promise: Duration) -> Option<Duration> {
        self.timeout_after(Millis::clamp(promise)).map(Millis::duration)
    }

    /// The same in milliseconds.
    pub(crate) fn timeout_after(&self, promise: Millis) -> Option<Millis> {
        let (timeout, interval) = (self.timeout?.get(), self.interval?.get());
        let (allowance, promise) = (timeout.saturating_sub(interval), promise.get());
        Millis::new(promise.saturating_add(allowance.max(promise)))
    }

    /// The longest promise that the receiver accepts: its timeout stays under the maximum timeout.
    /// A whole number of milliseconds, as beats promise.
    #[must_use]
    pub fn max_promise(&self) -> Duration {
        self.longest_promise().duration()
    }

    /// The same in milliseconds.
    pub(crate) fn longest_promise(&self) -> Millis {
        let max_timeout = self.max_timeout.get();
        let longest = match (self.timeout, self.interval) {
            (Some(timeout), Some(interval)) => {
                let allowance = timeout.get().saturating_sub(interval.get());
                max_timeout.saturating_sub(allowance).min(max_timeout / 2)
            }
            (Some(_), None) | (None, _) => max_timeout,
        };
        // What was agreed can be promised.
        let longest = Millis::new(longest).max(self.interval);
        longest.unwrap_or(self.max_timeout)
    }
}

/// The negotiated settings of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contract {
    /// The client's interval and the server's timeout.
    pub to_server: Direction,
    /// The server's interval and the client's timeout.
    pub to_client: Direction,
    pub(crate) min_interval: Millis,
    /// How many bytes wake the server: a client that wants its data read at once pads a shorter
    /// write with a PAD frame. 1: any byte does.
    pub wake_bytes: u32,
}

impl Contract {
    pub(super) const fn of_parts(
        to_server: Direction,
        to_client: Direction,
        min_interval: Millis,
        wake_bytes: u32,
    ) -> Self {
        Self { to_server, to_client, min_interval, wake_bytes }
    }

    /// The shortest interval that the server accepts.
    #[must_use]
    pub fn min_interval(&self) -> Duration {
        self.min_interval.duration()
    }

    /// The policy of one end: the interval of the direction from it, the timeout of the one to it.
    #[must_use]
    pub const fn policy(&self, side: Side) -> Policy {
        let (from_peer, to_peer) = self.directions(side);
        Policy::agreed(to_peer.interval, from_peer.timeout, from_peer.interval)
    }

    /// The direction to an end, and the one from it.
    pub(crate) const fn directions(&self, side: Side) -> (Direction, Direction) {
        match side {
            Side::Client => (self.to_client, self.to_server),
            Side::Server => (self.to_server, self.to_client),
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |f: &mut fmt::Formatter<'_>, sender, receiver, direction: &Direction| {
            match direction.interval() {
                Some(interval) => write!(f, "{sender} interval {}", Typed(interval))?,
                None => write!(f, "{sender} interval off")?,
            }
            match direction.timeout() {
                Some(timeout) => write!(f, ", {receiver} timeout {}", Typed(timeout)),
                None => write!(f, ", {receiver} timeout off"),
            }
        };
        side(f, "client", "server", &self.to_server)?;
        f.write_str("; ")?;
        side(f, "server", "client", &self.to_client)
    }
}

/// A server's side of every contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The server's own offer.
    pub offer: Offer,
    /// See [`Contract::wake_bytes`].
    pub wake_bytes: u32,
}

impl Terms {
    /// The terms of a server with this offer, which any byte wakes.
    #[must_use]
    pub const fn new(offer: Offer) -> Self {
        Self { offer, wake_bytes: 1 }
    }

    /// Sets [`Contract::wake_bytes`].
    #[must_use]
    pub const fn wake_bytes(mut self, bytes: u32) -> Self {
        self.wake_bytes = bytes;
        self
    }

    /// Negotiates the contract with a client.
    ///
    /// In each direction the interval is the shorter one of what the sender wants and what the
    /// receiver wants, but not shorter than the sender's minimum interval and the server's. The
    /// timeout is the receiver's own, or three intervals if that is less than two.
    ///
    /// # Errors
    ///
    /// [`Conflict`] with the numbers of both ends. Nothing is agreed then.
    pub fn agree(&self, client: &Offer) -> Result<Contract, Conflict> {
        let min_interval = self.offer.min_interval.unwrap_or(Millis::clamp(MIN_INTERVAL));
        let to_server = direction(client, &self.offer, min_interval)?;
        let to_client = direction(&self.offer, client, min_interval)?;
        Ok(Contract { to_server, to_client, min_interval, wake_bytes: self.wake_bytes })
    }
}

fn direction(
    sender: &Offer,
    receiver: &Offer,
    min_interval: Millis,
) -> Result<Direction, Conflict> {
    let max_timeout = receiver.max_timeout;
    let wanted = receiver.timeout.map(|timeout| receiver.want.unwrap_or(timeout.third()));
    let Some(sender_min_interval) = sender.min_interval else {
        return match receiver.timeout {
            Some(timeout) => Err(Conflict::NoBeats { timeout: timeout.duration() }),
            None => Ok(Direction { interval: None, timeout: None, max_timeout }),
        };
    };
    let interval = match (sender.interval, wanted) {
        (Some(meant), Some(wanted)) => Some(meant.min(wanted)),
        (meant, wanted) => meant.or(wanted),
    };
    let interval = interval.map(|interval| interval.max(sender_min_interval).max(min_interval));
    let timeout = match (receiver.timeout, interval) {
        (Some(timeout), Some(interval)) => Some(timeout_for(timeout, interval, max_timeout)?),
        (Some(timeout), None) => return Err(Conflict::NoBeats { timeout: timeout.duration() }),
        (None, _) => None,
    };
    Ok(Direction { interval, timeout, max_timeout })
}

fn timeout_for(timeout: Millis, interval: Millis, max_timeout: Millis) -> Result<Millis, Conflict> {
    if timeout.holds_two(interval) {
        return Ok(timeout);
    }
    let needed = interval.duration().saturating_mul(3);
    if needed > max_timeout.duration() {
        return Err(Conflict::BeatTooSlow {
            interval: interval.duration(),
            needed,
            max_timeout: max_timeout.duration(),
        });
    }
    Ok(Millis::clamp(needed))
}

/// Why a negotiation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// One end has a timeout, and the other sends no beats.
    NoBeats {
        /// That timeout.
        timeout: Duration,
    },
    /// One end cannot send beats as often as the other needs.
    BeatTooSlow {
        /// Its shortest interval.
        interval: Duration,
        /// The timeout that this needs.
        needed: Duration,
        /// The longest timeout that the other agrees to.
        max_timeout: Duration,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeats { timeout } => {
                write!(
                    f,
                    "one end has a timeout of {}, and the other sends no beats",
                    Typed(*timeout)
                )
            }
            Self::BeatTooSlow { interval, needed, max_timeout } => write!(
                f,
                "one end sends beats every {} at most, which needs a timeout of {}, and the other \
                 agrees to {} at most",
                Typed(*interval),
                Typed(*needed),
                Typed(*max_timeout)
            ),
        }
    }
}

impl core::error::Error for Conflict {}

#[cfg(test)]
mod tests;
