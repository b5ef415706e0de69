//! Client names: which session holds a name, and which one comes next.

use core::fmt;
use core::num::NonZero;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heartwire_core::Instant;
use heartwire_core::v1::MAX_NAME_LEN;

use super::tokens::Principal;
use crate::server::epoch::EpochClock;
use crate::server::id::SessionId;

/// Maximum number of takeovers of one name within [`TAKEOVER_WINDOW`] that a single client on a bad
/// path may cause, by reconnecting before its older connection is known to be dead, if it does not
/// tell its instance. More are a fight of two clients.
const MAX_TAKEOVERS: usize = 5;

/// The window of [`MAX_TAKEOVERS`]. A fight is over when there was no attempt for this long after
/// the time to wait.
const TAKEOVER_WINDOW: Duration = Duration::from_secs(60);

/// The first wait in a fight; each takeover in the fight doubles it. At this length a fight never
/// has more takeovers in a minute than are allowed without one.
const FIGHT_WAIT_FIRST: Duration = TAKEOVER_WINDOW;

/// The longest wait between two takeovers of a fight: so long that a fight of days costs nothing,
/// and so short that an operator who ends it soon sees the effect.
const MAX_FIGHT_WAIT: Duration = Duration::from_secs(300);

/// Maximum number of names whose takeovers are remembered: each takes two connections and counts
/// for a minute, so this many need 2,000 connections per second. They take about 20 MB, or 45 MB if
/// all have the longest names. Beyond it the oldest are forgotten.
const MAX_FIGHTS: usize = 65_536;

/// Checks a client name: 1 to [`MAX_NAME_LEN`] bytes of text without control and format characters
/// (Unicode categories Cc and Cf), and without white space except spaces between other characters.
/// So a name stays on its line, and nothing in it is invisible.
///
/// Names are equal if their bytes are. They are not normalised: an é of one character and an é of
/// two make two names; clients should use the first (Unicode form NFC).
///
/// # Errors
///
/// [`NameError`] says which rule is broken. It does not repeat the name, which could be a secret,
/// such as a token in the wrong column.
pub fn valid_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError(NameFault::Empty));
    }
    if name.len() > MAX_NAME_LEN {
        return Err(NameError(NameFault::TooLong { len: name.len() }));
    }
    let (first, last) = (0, name.len() - 1);
    let is_wrong = |at: usize, c: char| match c {
        ' ' => at == first || at == last,
        _ => c.is_control() || c.is_whitespace() || is_format(c),
    };
    match name.char_indices().find(|&(at, c)| is_wrong(at, c)) {
        Some((_, ' ')) => Err(NameError(NameFault::OuterSpace)),
        Some((at, _)) => Err(NameError(NameFault::Character { at })),
        None => Ok(()),
    }
}

/// Unicode's general category Cf, as of version 17.
const fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}'
    )
}

/// Why a client name is invalid, in words.
#[derive(Debug)]
pub struct NameError(NameFault);

#[derive(Debug, PartialEq, Eq)]
enum NameFault {
    Empty,
    /// The length is in bytes.
    TooLong {
        len: usize,
    },
    OuterSpace,
    /// The byte at this offset begins a character that is not allowed.
    Character {
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NameFault::Empty => f.write_str("a name has at least 1 character"),
            NameFault::TooLong { len } => {
                write!(f, "a name has at most {MAX_NAME_LEN} bytes, not {len}")
            }
            NameFault::OuterSpace => f.write_str("a name may not begin or end with a space"),
            NameFault::Character { at } => write!(
                f,
                "a name may not contain tabs, line ends or invisible characters: there is one at \
                 byte {at}"
            ),
        }
    }
}

impl core::error::Error for NameError {}

/// Who claims a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) principal: Principal,
    /// The client's instance, if it tells it.
    pub(crate) instance: Option<NonZero<u64>>,
}

/// The result of a claim to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Claim {
    /// The name was free: the claimer holds it and can be welcomed.
    Yours {
        /// The claimer's epoch.
        epoch: u64,
    },
    /// The claimer comes next: welcome it when `release` of the holder's name returns it. Until
    /// then send it nothing, and report it to no handler.
    After {
        /// The session that holds the name. End it; it may be ending already.
        holder: SessionId,
        /// The claimer's epoch once it is welcomed.
        epoch: u64,
        /// A session that was to come next, and that the claimer replaces. End it too, for the same
        /// reason.
        replaces: Option<SessionId>,
    },
    /// A client with another token holds the name, or waits for it. Reject the claimer; the holder
    /// stays.
    InUse,
    /// The name is taken over too often: two clients use it. Reject the claimer; the holder stays.
    Fighting {
        /// The time from now until a claim can succeed.
        retry_after: Duration,
        /// This fight was not reported before.
        first: bool,
    },
}

/// Whether a session holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    /// Another session does, or comes next.
    ByAnother,
    /// It does, and was begun with another token.
    ForAnotherPrincipal,
}

/// The session that comes next and has to be welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The session. If it has ended meanwhile, it releases the name like any other.
    pub(crate) id: SessionId,
    /// Its epoch, as returned by its claim.
    pub(crate) epoch: u64,
}

/// The registry of names and their sessions; shared by all shards. The newest claimer wins.
///
/// # Duties of the callers
///
/// - Release each claimed name once: after the session's `Offline` was reported, or, if it was
///   never welcomed, when it has ended. Releasing the name of a rejected claimer does nothing.
/// - Welcome the session that [`release`](Self::release) returns, on its own shard. If that message
///   is lost, the handshake timeout ends the session, which releases the name.
///
/// Then the events of one name come in the order of their epochs: a session is welcomed only after
/// the previous holder was reported offline. Each epoch is higher than all before it, so they grow
/// for each name although a free name has no entry. There are at most as many entries as sessions
/// with a name.
///
/// Recent takeovers are remembered separately: otherwise a session that takes a name and leaves at
/// once would free it and reset the count.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Names(Mutex<Registry>);

#[derive(Debug)]
struct Registry {
    names: HashMap<Box<str>, Entry>,
    fights: Fights,
    epochs: Epochs,
}

/// Epochs are times, so that those of another run or another server compare.
#[derive(Debug)]
struct Epochs {
    clock: EpochClock,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    /// Who claimed it last: it holds the name, or comes next.
    newest: Claimant,
    holder: SessionId,
    epoch: u64,
    next: Option<Next>,
}

impl Names {
    /// An empty registry, whose epochs come from this clock.
    pub(crate) fn new(clock: EpochClock) -> Self {
        let epochs = Epochs { clock, last: 0 };
        Self(Mutex::new(Registry { names: HashMap::new(), fights: Fights::default(), epochs }))
    }

    /// Claims `name` for a session of `claimant`. A repeated claim by the session that holds the
    /// name, or comes next, changes nothing. A client that takes the name over from itself, because
    /// it lost its connection before this server did, fights with no other client.
    pub(crate) fn claim(
        &self,
        name: &str,
        claimant: Claimant,
        id: SessionId,
        now: Instant,
    ) -> Claim {
        let mut registry = self.lock();
        let Registry { names, fights, epochs } = &mut *registry;
        fights.forget_old(now);
        let Some(entry) = names.get_mut(name) else {
            let epoch = epochs.next();
            let entry = Entry { newest: claimant, holder: id, epoch, next: None };
            names.insert(name.into(), entry);
            return Claim::Yours { epoch };
        };
        entry.claim(claimant, id, epochs, || fights.admit(name, now))
    }

    /// Whether a session of this principal holds a name, and no other comes next.
    pub(crate) fn held_by(&self, name: &str, id: SessionId, principal: Principal) -> Held {
        match self.lock().names.get(name) {
            Some(entry) if entry.holder != id || entry.next.is_some() => Held::ByAnother,
            Some(entry) if entry.newest.principal != principal => Held::ForAnotherPrincipal,
            Some(_) => Held::Yes,
            None => Held::ByAnother,
        }
    }

    /// The session that holds a name.
    pub(crate) fn holder(&self, name: &str) -> Option<SessionId> {
        self.lock().names.get(name).map(|entry| entry.holder)
    }

    /// Releases `name` after a session that claimed it has ended. Returns the session that comes
    /// next, if the ended one held the name and another one waits.
    pub(crate) fn release(&self, name: &str, id: SessionId) -> Option<Next> {
        let mut registry = self.lock();
        let entry = registry.names.get_mut(name)?;
        if entry.holder != id {
            entry.next = entry.next.filter(|next| next.id != id);
            return None;
        }
        let next = entry.hand_on();
        if next.is_none() {
            registry.names.remove(name);
        }
        next
    }

    /// Releases the names of a shard that ended because a handler panicked. Returns the sessions
    /// that come next, with their names. Takes time linear in the number of names.
    pub(crate) fn release_shard(&self, shard: usize) -> Vec<(Box<str>, Next)> {
        let is_gone = |id: SessionId| id.shard() == shard;
        let mut welcome = Vec::new();
        self.lock().names.retain(|name, entry| {
            entry.next = entry.next.filter(|next| !is_gone(next.id));
            if !is_gone(entry.holder) {
                return true;
            }
            let next = entry.hand_on();
            welcome.extend(next.map(|next| (name.clone(), next)));
            next.is_some()
        });
        welcome
    }

    /// The number of names that are held.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().names.len()
    }

    /// The number of names whose takeovers are remembered.
    #[cfg(test)]
    pub(crate) fn fights(&self) -> usize {
        self.lock().fights.past.len()
    }

    /// Ignores poisoning: nothing that runs under the lock panics.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Epochs {
    fn next(&mut self) -> u64 {
        self.last = self.clock.now_micros().max(self.last.saturating_add(1));
        self.last
    }
}

impl Entry {
    fn claim(
        &mut self,
        claimant: Claimant,
        id: SessionId,
        epochs: &mut Epochs,
        admit_takeover: impl FnOnce() -> Result<(), Refused>,
    ) -> Claim {
        if self.holder == id {
            return Claim::Yours { epoch: self.epoch };
        }
        if self.newest.principal != claimant.principal {
            return Claim::InUse;
        }
        let holder = self.holder;
        if let Some(next) = self.next.filter(|next| next.id == id) {
            return Claim::After { holder, epoch: next.epoch, replaces: None };
        }
        let is_itself = claimant.instance.is_some() && claimant == self.newest;
        if let Err(fight) = if is_itself { Ok(()) } else { admit_takeover() } {
            return Claim::Fighting { retry_after: fight.retry_after, first: fight.first };
        }
        self.newest = claimant;
        let epoch = epochs.next();
        let replaced = self.next.replace(Next { id, epoch });
        Claim::After { holder, epoch, replaces: replaced.map(|next| next.id) }
    }

    /// Makes the session that comes next the holder.
    fn hand_on(&mut self) -> Option<Next> {
        let next = self.next.take()?;
        self.holder = next.id;
        self.epoch = next.epoch;
        Some(next)
    }
}

/// Names that were taken over lately, held or not.
#[derive(Debug, Default)]
struct Fights {
    past: HashMap<Box<str>, Takeovers>,
    /// The same names, each once, and when to check whether to forget it, soonest first.
    order: VecDeque<(Instant, Box<str>)>,
}

impl Fights {
    /// Counts a takeover of `name`, or refuses it.
    fn admit(&mut self, name: &str, now: Instant) -> Result<(), Refused> {
        if let Some(takeovers) = self.past.get_mut(name) {
            return takeovers.admit(now);
        }
        if self.past.len() >= MAX_FIGHTS {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.past.remove(&oldest);
            }
        }
        self.order.push_back((now.saturating_add(TAKEOVER_WINDOW), name.into()));
        self.past.entry(name.into()).or_default().admit(now)
    }

    /// Checks two names. At most one is added per call, so the number of expired ones shrinks.
    fn forget_old(&mut self, now: Instant) {
        for _ in 0..2 {
            if self.order.front().is_none_or(|&(at, _)| at > now) {
                return;
            }
            let Some((_, name)) = self.order.pop_front() else { return };
            if self.past.get(&name).is_some_and(|takeovers| takeovers.matters(now)) {
                self.order.push_back((now.saturating_add(TAKEOVER_WINDOW), name));
            } else {
                self.past.remove(&name);
            }
        }
    }
}

/// The recent takeovers of a name.
#[derive(Clone, Copy, Debug)]
enum Takeovers {
    /// The times of the last ones, oldest first. `None` is a takeover long ago.
    Few { last: [Option<Instant>; MAX_TAKEOVERS] },
    /// Too many. One takeover is allowed after each wait, and the next one is followed by `wait`.
    Fight { not_before: Instant, wait: Duration },
}

/// A refused takeover.
#[derive(Clone, Copy, Debug)]
struct Refused {
    retry_after: Duration,
    first: bool,
}

impl Default for Takeovers {
    fn default() -> Self {
        Self::Few { last: [None; MAX_TAKEOVERS] }
    }
}

impl Takeovers {
    /// Whether it affects the next takeover.
    fn matters(&self, now: Instant) -> bool {
        match *self {
            Self::Few { last: [.., newest] } => newest.is_some_and(|at| is_recent(at, now)),
            Self::Fight { not_before, .. } => is_recent(not_before, now),
        }
    }

    /// Counts a takeover, or refuses it. A claim that is too early changes nothing: a client that
    /// does not wait must not lock out one that does.
    fn admit(&mut self, now: Instant) -> Result<(), Refused> {
        let is_recent = |at| is_recent(at, now);
        match *self {
            Self::Few { last: [Some(oldest), ..] } if is_recent(oldest) => {
                let not_before = now.saturating_add(FIGHT_WAIT_FIRST);
                *self = Self::Fight { not_before, wait: FIGHT_WAIT_FIRST * 2 };
                Err(Refused { retry_after: FIGHT_WAIT_FIRST, first: true })
            }
            Self::Few { last: [_, b, c, d, e] } => {
                *self = Self::Few { last: [b, c, d, e, Some(now)] };
                Ok(())
            }
            Self::Fight { not_before, .. } if now < not_before => {
                Err(Refused { retry_after: not_before.saturating_since(now), first: false })
            }
            Self::Fight { not_before, wait } if is_recent(not_before) => {
                let not_before = now.saturating_add(wait);
                *self = Self::Fight { not_before, wait: (wait * 2).min(MAX_FIGHT_WAIT) };
                Ok(())
            }
            // There was no attempt for so long that the fight is over.
            Self::Fight { .. } => {
                *self = Self::default();
                self.admit(now)
            }
        }
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now < at.saturating_add(TAKEOVER_WINDOW)
}

#[cfg(test)]
mod tests;
