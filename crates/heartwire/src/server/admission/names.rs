//! Named clients: which session holds a name, and who comes after it.

use core::fmt;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heartwire_core::Instant;
use heartwire_core::v1::MAX_NAME_LEN;

use super::tokens::Principal;
use crate::server::id::SessionId;

/// Takeovers of one name within [`TAKEOVER_WINDOW`] that are put down to a client on a bad path,
/// which comes back before its older connection is known to be dead. More is a fight.
const MAX_TAKEOVERS: usize = 5;

/// What "a minute" means for [`MAX_TAKEOVERS`]; and a fight is over once nobody has tried for as
/// long beyond the time to wait.
const TAKEOVER_WINDOW: Duration = Duration::from_secs(60);

/// The first wait that a fight earns; each takeover within the fight doubles it. At this length a
/// fight never has more takeovers in a minute than are allowed in peace.
const FIGHT_WAIT_FIRST: Duration = TAKEOVER_WINDOW;

/// The longest wait between two takeovers of a fight: chosen so that a fight that goes on for days
/// costs nothing, and that whoever ends it by hand need not wait long to see that it worked.
const MAX_FIGHT_WAIT: Duration = Duration::from_secs(300);

/// Names whose takeovers are remembered at a time: it takes two connections for each of them, and each
/// counts for a minute, so that this is 2,000 connections a second that do nothing else. Together they
/// take about 20 MB, and 45 MB where all have the longest names. Beyond it those are forgotten whose
/// takeovers began longest ago.
const MAX_FIGHTS: usize = 65_536;

/// Whether a client may be called `name`: 1 to [`MAX_NAME_LEN`] bytes of text without control and
/// format characters (Unicode's categories Cc and Cf), and without white space but spaces between other
/// characters. So a name stays within its line, and nothing in it is invisible.
///
/// Names are the same if their bytes are. Nothing is normalised: an é of one character and an é of two
/// make two names, of which clients should use the first (Unicode's form NFC).
///
/// # Errors
///
/// [`NameError`] says which rule is broken. It does not repeat the name, which may be anything: a
/// token in the wrong column, for example.
pub fn valid_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong { len: name.len() });
    }
    let (first, last) = (0, name.len() - 1);
    let is_wrong = |at: usize, c: char| match c {
        ' ' => at == first || at == last,
        _ => c.is_control() || c.is_whitespace() || is_format(c),
    };
    match name.char_indices().find(|&(at, c)| is_wrong(at, c)) {
        Some((at, _)) => Err(NameError::Character { at }),
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

/// Why a client may not be called what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing in it.
    Empty,
    /// It is longer than [`MAX_NAME_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// There is a character in it that no name may have, or a space at one of its ends.
    Character {
        /// Where that character begins, in bytes, from 0.
        at: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name has at least 1 character"),
            Self::TooLong { len } => {
                write!(f, "a name has at most {MAX_NAME_LEN} bytes, not {len}")
            }
            Self::Character { at } => write!(
                f,
                "a name is made of printable characters, and spaces between them, but byte {at} \
                 (from 0) begins something else"
            ),
        }
    }
}

impl core::error::Error for NameError {}

/// What became of a claim to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Claim {
    /// The name was free; the claimer holds it and can be welcomed.
    Yours {
        /// The claimer's epoch.
        epoch: u64,
    },
    /// The claimer comes next: it is to be welcomed when `release` of the holder's name returns it.
    /// Until then it must get nothing, and be told of to nobody.
    After {
        /// The session that holds the name. It is to be ended; it may be ending already.
        holder: SessionId,
        /// The claimer's epoch once it is welcomed.
        epoch: u64,
        /// A session that was to come next and never will, since somebody newer claims the name. It
        /// is to be ended too, for the same reason.
        replaces: Option<SessionId>,
    },
    /// Somebody else holds the name, or waits for it. The claimer is to be refused; nothing happens
    /// to the holder.
    InUse,
    /// The name is taken over too often: two clients believe that it is theirs. The claimer is to
    /// be refused; nothing happens to the holder.
    Fighting {
        /// When a claim can succeed, from now.
        retry_after: Duration,
        /// Nobody was told of this fight before.
        first: bool,
    },
}

/// The session that comes next, and is to be welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The session. It may have ended meanwhile; it releases the name then like any other.
    pub(crate) id: SessionId,
    /// Its epoch, as its claim was told.
    pub(crate) epoch: u64,
}

/// Who holds which name; shared by all shards. The newest claimer wins.
///
/// # What its callers have to do
///
/// - Whoever claimed a name releases it, once: when its `Offline` has been told, or, if it was never
///   welcomed, when it has ended. One that was refused may do so too; nothing happens then.
/// - The session that [`release`](Self::release) returns is to be welcomed, by its own shard. Should
///   that message get lost, the time timeout of the handshake ends the session, which releases the name.
///
/// Then the events of one name come in the order of their epochs: nobody is welcomed before the one
/// who held the name is known to be offline. Epochs are taken from one counter, so that they grow for
/// each name although a name that no session holds has no entry. There are at most as many entries as
/// there are sessions that hold a name.
///
/// How often a name was taken over is remembered beside them, as long as it matters: a session that takes
/// a name and leaves at once would make it free, and start the count anew.
#[derive(Debug)]
pub(crate) struct Names(Mutex<Registry>);

#[derive(Debug)]
struct Registry {
    names: HashMap<Box<str>, Entry>,
    fights: Fights,
    last_epoch: u64,
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    holder: SessionId,
    epoch: u64,
    next: Option<Next>,
}

impl Names {
    /// No name is held, and the first epoch is the one after `last_epoch`.
    pub(crate) fn new(last_epoch: u64) -> Self {
        Self(Mutex::new(Registry { names: HashMap::new(), fights: Fights::default(), last_epoch }))
    }

    /// A session that was authenticated as `principal` wants to be called `name`. A repeated claim
    /// by the session that holds the name, or comes next, changes nothing.
    pub(crate) fn claim(
        &self,
        name: &str,
        principal: Principal,
        id: SessionId,
        now: Instant,
    ) -> Claim {
        let mut registry = self.lock();
        let Registry { names, fights, last_epoch } = &mut *registry;
        fights.forget_old(now);
        let Some(entry) = names.get_mut(name) else {
            *last_epoch += 1;
            let epoch = *last_epoch;
            let entry = Entry { principal, holder: id, epoch, next: None };
            names.insert(name.into(), entry);
            return Claim::Yours { epoch };
        };
        entry.claim(principal, id, last_epoch, || fights.admit(name, now))
    }

    /// The session that holds a name.
    pub(crate) fn holder(&self, name: &str) -> Option<SessionId> {
        self.lock().names.get(name).map(|entry| entry.holder)
    }

    /// A session that claimed `name` has ended. Returns the session that comes next, if there is
    /// one and the name was held by the one that ended.
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

    /// A shard has ended without releasing its sessions' names, because a handler panicked. Returns
    /// those that come next, with their names. This looks at all names.
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

    /// How many names are held.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().names.len()
    }

    /// Of how many names it is remembered that they were taken over.
    #[cfg(test)]
    pub(crate) fn fights(&self) -> usize {
        self.lock().fights.past.len()
    }

    /// Nothing is left half done by a panic while it is locked, because nothing in here panics.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn claim(
        &mut self,
        principal: Principal,
        id: SessionId,
        last_epoch: &mut u64,
        admit_takeover: impl FnOnce() -> Result<(), Refused>,
    ) -> Claim {
        if self.holder == id {
            return Claim::Yours { epoch: self.epoch };
        }
        if self.principal != principal {
            return Claim::InUse;
        }
        let holder = self.holder;
        if let Some(next) = self.next.filter(|next| next.id == id) {
            return Claim::After { holder, epoch: next.epoch, replaces: None };
        }
        if let Err(fight) = admit_takeover() {
            return Claim::Fighting { retry_after: fight.retry_after, first: fight.first };
        }
        *last_epoch += 1;
        let epoch = *last_epoch;
        let replaced = self.next.replace(Next { id, epoch });
        Claim::After { holder, epoch, replaces: replaced.map(|next| next.id) }
    }

    /// Makes the one who comes next the holder.
    fn hand_on(&mut self) -> Option<Next> {
        let next = self.next.take()?;
        self.holder = next.id;
        self.epoch = next.epoch;
        Some(next)
    }
}

/// The names that were taken over lately, whether they are held or not.
#[derive(Debug, Default)]
struct Fights {
    past: HashMap<Box<str>, Takeovers>,
    /// The same names, each once, and when to look whether it can be forgotten, soonest first.
    order: VecDeque<(Instant, Box<str>)>,
}

impl Fights {
    /// Counts a takeover of a name, or refuses it.
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

    /// Looks at two of the names, so that there are ever fewer of those whose time has come: at most one
    /// is added for each call.
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

/// How often a name is taken over.
#[derive(Clone, Copy, Debug)]
enum Takeovers {
    /// When the last ones were, oldest first. A free place is a takeover long ago.
    Few { last: [Option<Instant>; MAX_TAKEOVERS] },
    /// Too often. There is one takeover for each wait, and the next one is followed by `wait`.
    Fight { not_before: Instant, wait: Duration },
}

/// A takeover that is refused.
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
    /// Whether it makes a difference to the next takeover.
    fn matters(&self, now: Instant) -> bool {
        match *self {
            Self::Few { last: [.., newest] } => newest.is_some_and(|at| is_recent(at, now)),
            Self::Fight { not_before, .. } => is_recent(not_before, now),
        }
    }

    /// Counts a takeover, or refuses it. A claim that comes too early changes nothing: a client
    /// that does not wait must not keep away one that does.
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
            // Nobody has tried for so long that it is over.
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
