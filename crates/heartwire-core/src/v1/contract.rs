//! What two ends agree on before they judge each other.

use core::fmt;
use core::time::Duration;

use crate::policy::{Millis, Policy, Side};
use crate::time::Typed;

/// Default for the shortest beat that an end sends or puts up with. A beat a second is 4 MB a day; who
/// needs less silence than that can afford to ask for it.
pub const BEAT_FLOOR: Duration = Duration::from_secs(1);

/// Default for the longest limit that an end agrees to: an hour. A phone in the background beats every
/// 15 to 30 minutes at the longest, because mobile networks forget a connection after that.
pub const LIMIT_CEILING: Duration = Duration::from_secs(3600);

/// What one end can do, and wants, in the words of its own [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    beat: Option<Millis>,
    floor: Option<Millis>,
    want: Option<Millis>,
    limit: Option<Millis>,
    ceiling: Millis,
}

impl Offer {
    /// An end that works by `policy`: it means to beat as often as that says, wants to hear from the
    /// other as often as that assumes, and calls `limit` of silence death. It beats every
    /// [`BEAT_FLOOR`] at most, or as often as its own policy says if that is more often, and agrees
    /// to limits of [`LIMIT_CEILING`] at most, or its own if that is longer.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let third = policy.limit().map(|limit| limit / 3);
        let want = policy.peer_beat().or(third);
        let floor = [policy.beat(), want].into_iter().flatten().min();
        let floor = floor.map_or(BEAT_FLOOR, |beat| beat.min(BEAT_FLOOR));
        let ceiling = policy.limit().map_or(LIMIT_CEILING, |limit| limit.max(LIMIT_CEILING));
        Self {
            beat: policy.beat().map(Millis::clamp),
            floor: Some(Millis::clamp(floor)),
            want: want.map(Millis::clamp),
            limit: policy.limit().map(Millis::clamp),
            ceiling: Millis::clamp(ceiling),
        }
    }

    pub(super) fn of_parts(
        beat: Option<Millis>,
        floor: Option<Millis>,
        want: Option<Millis>,
        limit: Option<Millis>,
        ceiling: Millis,
    ) -> Self {
        Self { beat, floor, want, limit, ceiling: ceiling_over(limit, ceiling) }
    }

    /// The shortest interval in which this end can beat; `None`: it cannot beat at all, and refuses a
    /// peer that has a limit. Clamped to 1 ms to 49 days.
    #[must_use]
    pub fn floor(mut self, floor: Option<Duration>) -> Self {
        self.floor = floor.map(Millis::clamp);
        self
    }

    /// The longest limit that this end agrees to for the other's silence. Clamped to 1 ms to 49 days;
    /// under this end's own limit, it is that.
    #[must_use]
    pub fn ceiling(mut self, ceiling: Duration) -> Self {
        self.ceiling = ceiling_over(self.limit, Millis::clamp(ceiling));
        self
    }

    /// How often this end means to beat.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.beat.map(Millis::duration)
    }

    /// How often this end can beat.
    #[must_use]
    pub fn beat_floor(&self) -> Option<Duration> {
        self.floor.map(Millis::duration)
    }

    /// How often this end wants to hear from the other.
    #[must_use]
    pub fn want(&self) -> Option<Duration> {
        self.want.map(Millis::duration)
    }

    /// The silence that this end would call death.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.limit.map(Millis::duration)
    }

    /// The longest silence that this end agrees to wait for.
    #[must_use]
    pub fn limit_ceiling(&self) -> Duration {
        self.ceiling.duration()
    }
}

/// Whoever waits for its own limit agrees to wait for so long.
fn ceiling_over(limit: Option<Millis>, ceiling: Millis) -> Millis {
    limit.map_or(ceiling, |limit| limit.max(ceiling))
}

/// What one direction of a connection promises: from who beats to who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    beat: Option<Millis>,
    limit: Option<Millis>,
    ceiling: Millis,
}

impl Direction {
    pub(super) const fn of_parts(
        beat: Option<Millis>,
        limit: Option<Millis>,
        ceiling: Millis,
    ) -> Self {
        Self { beat, limit, ceiling }
    }

    /// How often the sender beats; `None`: it does not.
    #[must_use]
    pub fn beat(&self) -> Option<Duration> {
        self.beat.map(Millis::duration)
    }

    /// The silence that the receiver calls death; `None`: none.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        self.limit.map(Millis::duration)
    }

    /// The longest limit that a promise can stretch this direction to.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        self.ceiling.duration()
    }

    /// The receiver's limit when the sender promises a beat within `promise`: what it leaves for delay
    /// and loss stays what it was, and two beats fit in. `None` where nobody judges.
    #[must_use]
    pub fn limit_for(&self, promise: Duration) -> Option<Duration> {
        let (limit, beat) = (self.limit()?, self.beat()?);
        let allowance = limit.saturating_sub(beat);
        Some(promise.saturating_add(allowance.max(promise)))
    }

    /// The longest promise that the receiver accepts: its limit stays under the ceiling. A whole number
    /// of milliseconds, as beats promise.
    #[must_use]
    pub fn promise_max(&self) -> Duration {
        let ceiling = self.ceiling();
        match (self.limit(), self.beat()) {
            (Some(limit), Some(beat)) => {
                let half = Duration::from_millis(u64::from(self.ceiling.get() / 2));
                (ceiling.saturating_sub(limit.saturating_sub(beat))).min(half).max(beat)
            }
            // What was agreed can be promised, whether or not anybody judges by it.
            (Some(_), None) | (None, _) => ceiling.max(self.beat().unwrap_or_default()),
        }
    }
}

/// What the two ends of a connection agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contract {
    /// The client beats, the server judges.
    pub to_server: Direction,
    /// The server beats, the client judges.
    pub to_client: Direction,
    /// The shortest beat that the server puts up with.
    pub floor: Duration,
    /// How many bytes it takes to wake the server: a client that wants its data read at once pads a
    /// shorter write with a PAD frame. 1: any byte does.
    pub wake_bytes: u32,
}

impl Contract {
    pub(super) const fn of_parts(
        to_server: Direction,
        to_client: Direction,
        floor: Duration,
        wake_bytes: u32,
    ) -> Self {
        Self { to_server, to_client, floor, wake_bytes }
    }
}

impl Contract {
    /// The policy that one end goes by: it beats in its own direction and judges the other.
    #[must_use]
    pub fn policy(&self, side: Side) -> Policy {
        let (from_peer, to_peer) = self.directions(side);
        Policy::agreed(to_peer.beat(), from_peer.limit(), from_peer.beat())
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
        let side = |f: &mut fmt::Formatter<'_>, who, judge, direction: &Direction| {
            match direction.beat() {
                Some(beat) => write!(f, "{who} beats every {}", Typed(beat))?,
                None => write!(f, "{who} does not beat")?,
            }
            match direction.limit() {
                Some(limit) => write!(f, ", {judge} calls {} of silence death", Typed(limit)),
                None => write!(f, ", {judge} calls nobody dead"),
            }
        };
        side(f, "the client", "the server", &self.to_server)?;
        f.write_str("; ")?;
        side(f, "the server", "the client", &self.to_client)
    }
}

/// A server's side of every contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// What the server can do and wants.
    pub offer: Offer,
    /// What [`Contract::wake_bytes`] is to be.
    pub wake_bytes: u32,
}

impl Terms {
    /// The terms of a server with this offer, which any byte wakes.
    #[must_use]
    pub const fn new(offer: Offer) -> Self {
        Self { offer, wake_bytes: 1 }
    }

    /// How many bytes it takes to wake the server.
    #[must_use]
    pub const fn wake_bytes(mut self, bytes: u32) -> Self {
        self.wake_bytes = bytes;
        self
    }

    /// Agrees with a client, or says what stands in the way.
    ///
    /// In each direction the beat is what the sender means to send, or what the receiver wants if that
    /// is more often, but never more often than the sender can and the server's floor allows. The limit
    /// is the receiver's own, or three beats if two would not fit into that.
    ///
    /// # Errors
    ///
    /// [`Conflict`] with both figures. Nothing is agreed then.
    pub fn agree(&self, client: &Offer) -> Result<Contract, Conflict> {
        let floor = self.offer.floor.unwrap_or(Millis::clamp(BEAT_FLOOR));
        let to_server = direction(client, &self.offer, floor)?;
        let to_client = direction(&self.offer, client, floor)?;
        Ok(Contract { to_server, to_client, floor: floor.duration(), wake_bytes: self.wake_bytes })
    }
}

fn direction(sender: &Offer, receiver: &Offer, floor: Millis) -> Result<Direction, Conflict> {
    let ceiling = receiver.ceiling;
    let third = |limit: Millis| Millis::clamp(limit.duration() / 3);
    let wanted = receiver.limit.map(|limit| receiver.want.unwrap_or(third(limit)));
    let Some(sender_floor) = sender.floor else {
        return match receiver.limit {
            Some(limit) => Err(Conflict::NoBeats { limit: limit.duration() }),
            None => Ok(Direction { beat: None, limit: None, ceiling }),
        };
    };
    let beat = match (sender.beat, wanted) {
        (Some(meant), Some(wanted)) => Some(meant.min(wanted)),
        (meant, wanted) => meant.or(wanted),
    };
    let beat = beat.map(|beat| beat.max(sender_floor).max(floor));
    let limit = match (receiver.limit, beat) {
        (Some(limit), Some(beat)) => Some(limit_for(limit, beat, ceiling)?),
        (Some(limit), None) => return Err(Conflict::NoBeats { limit: limit.duration() }),
        (None, _) => None,
    };
    Ok(Direction { beat, limit, ceiling })
}

fn limit_for(limit: Millis, beat: Millis, ceiling: Millis) -> Result<Millis, Conflict> {
    if limit.duration() >= beat.duration().saturating_mul(2) {
        return Ok(limit);
    }
    let needed = beat.duration().saturating_mul(3);
    if needed > ceiling.duration() {
        return Err(Conflict::BeatTooSlow {
            beat: beat.duration(),
            needed,
            ceiling: ceiling.duration(),
        });
    }
    Ok(Millis::clamp(needed))
}

/// Why two ends cannot agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// One end judges silence, and the other cannot beat.
    NoBeats {
        /// The silence that would be called death.
        limit: Duration,
    },
    /// One end cannot beat as often as the other needs it to.
    BeatTooSlow {
        /// How often it can beat.
        beat: Duration,
        /// The limit that this needs.
        needed: Duration,
        /// The longest limit that the other agrees to.
        ceiling: Duration,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeats { limit } => {
                write!(
                    f,
                    "one end calls {} of silence death, and the other sends no beats",
                    Typed(*limit)
                )
            }
            Self::BeatTooSlow { beat, needed, ceiling } => write!(
                f,
                "one end beats every {} at most, which needs a limit of {}, and the other agrees to \
                 {} at most",
                Typed(*beat),
                Typed(*needed),
                Typed(*ceiling)
            ),
        }
    }
}

impl core::error::Error for Conflict {}

#[cfg(test)]
mod tests;
