//! Which sessions an application wants to see, and the page of them that it gets.

use heartwire_core::internal::nanos;

use super::event::SessionInfo;
use super::id::SessionId;

/// Which sessions a [`Handle::query`](super::Handle::query) returns, and in which order. Methods
/// can be chained.
#[derive(Clone, Debug)]
#[must_use]
pub struct Query {
    pub(super) after: Option<SessionId>,
    pub(super) limit: usize,
    pub(super) sort: Sort,
    name: Option<Box<str>>,
    away: Option<bool>,
}

/// The order of a [`Query`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// By shard, and by slot in it. The only order that goes on from page to page.
    #[default]
    Id,
    /// The longest silent first.
    Silence,
    /// Those first whose verdict is due soonest if they stay silent; those without one last.
    Due,
    /// The longest round trip first; those whose round trip is not known last.
    RoundTrip,
    /// The oldest first.
    Age,
    /// Those first for which most bytes are queued.
    Queued,
}

impl Query {
    /// Maximum for [`limit`](Self::limit).
    pub const MAX_LIMIT: usize = 1000;
    /// Default for [`limit`](Self::limit).
    pub const LIMIT: usize = 100;

    /// The first sessions by id.
    pub const fn new() -> Self {
        Self { after: None, limit: Self::LIMIT, sort: Sort::Id, name: None, away: None }
    }

    /// All sessions of a server.
    pub(super) fn all() -> Self {
        Self { limit: usize::MAX, ..Self::new() }
    }

    /// Goes on after this session, as [`Page::next`] says. It may have ended since. Only for
    /// [`Sort::Id`]; other orders have one page.
    pub const fn after(mut self, id: SessionId) -> Self {
        self.after = Some(id);
        self
    }

    /// Maximum number of sessions. Default [`LIMIT`](Self::LIMIT); 1 to
    /// [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub fn limit(mut self, sessions: usize) -> Self {
        self.limit = sessions.clamp(1, Self::MAX_LIMIT);
        self
    }

    /// The order. Default [`Sort::Id`].
    pub const fn sort(mut self, sort: Sort) -> Self {
        self.sort = sort;
        self
    }

    /// Only sessions whose name contains this.
    pub fn name(mut self, part: &str) -> Self {
        self.name = Some(part.into());
        self
    }

    /// Only sessions that are away, or only those that are not.
    pub const fn away(mut self, is_away: bool) -> Self {
        self.away = Some(is_away);
        self
    }

    /// The first shard that may have such sessions.
    pub(super) fn first_shard(&self) -> usize {
        self.cursor().map_or(0, SessionId::shard)
    }

    /// The first slot of a shard that may have one.
    pub(super) fn first_slot(&self, shard: usize) -> u32 {
        let cursor = self.cursor().filter(|after| after.shard() == shard);
        cursor.map_or(0, |after| after.slot().saturating_add(1))
    }

    fn cursor(&self) -> Option<SessionId> {
        self.after.filter(|_| self.sort == Sort::Id)
    }

    /// Whether it asks for a session of this name.
    pub(super) fn admits(&self, name: Option<&str>, is_away: bool) -> bool {
        let part = self.name.as_deref();
        part.is_none_or(|part| name.is_some_and(|name| name.contains(part)))
            && self.away.is_none_or(|away| away == is_away)
    }
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

impl Sort {
    /// Of several sessions, those of the highest rank come first.
    pub(super) fn rank(self, info: &SessionInfo) -> u64 {
        match self {
            Self::Id => u64::MAX - u64::from(info.id.place()),
            Self::Silence => nanos(info.silence),
            Self::Due => info.due.map_or(0, |due| u64::MAX - nanos(due)),
            Self::RoundTrip => {
                info.link_state.and_then(|link_state| link_state.rtt).map_or(0, nanos)
            }
            Self::Age => nanos(info.age),
            Self::Queued => u64::try_from(info.queued).unwrap_or(u64::MAX),
        }
    }
}

/// The sessions that a [`Handle::query`](super::Handle::query) found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The sessions, in the order that was asked for.
    pub sessions: Vec<SessionInfo>,
    /// Where the [next page](Query::after) begins, if there may be one.
    pub next: Option<SessionId>,
    /// Shards that have not answered within a second, whose sessions are missing.
    pub missing: Vec<usize>,
}
