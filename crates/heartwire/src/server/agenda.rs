//! A shard's agenda: timers and work to do for its sessions, and their buffered bytes.
//!
//! A session is fetched once and passed to each of these calls, which schedule its further work.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Instant;
use heartwire_core::internal::Spoken;
use heartwire_core::order::Next;
use heartwire_core::resume::Ledger;
use heartwire_core::wheel::Wheel;

use super::common::Common;
use super::grants::Grants;
use super::id::SessionId;
use super::session::{Phase, Session, Standing};
use super::shard::{ShardConfig, WHEEL_TICK};
use crate::reason::Reason;
use crate::world::{Break, ServerWorld};

/// How often a session that is too old is looked at, until nothing is under way.
const AGE_LOOK: Duration = Duration::from_millis(50);

/// Room for timers at the start: 128 KiB, which the allocator takes from the system as such. Its
/// pages count when they are used, and it grows in place; a table that starts small leaves holes of
/// all its smaller sizes behind.
pub(super) const FIRST_TIMERS: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Agenda<W: ServerWorld> {
    pub(super) config: Arc<ShardConfig>,
    pub(super) common: Common,
    pub(super) world: W,
    /// The latest time that this turn has judged an age by.
    pub(super) judged_at: Instant,
    /// One deadline for each session.
    pub(super) wheel: Wheel,
    /// Number of deadlines that were set.
    pub(super) timers: u64,
    /// Number of pending clients.
    pub(super) pending: usize,
    pub(super) held: Held,
    /// Sessions with bytes queued in this turn.
    pub(super) unflushed: Vec<u32>,
    /// Sessions that may have more to read than their turn allowed, or that could not be read
    /// because the application had no room. The longest waiting come first.
    pub(super) unread: VecDeque<SessionId>,
    /// The same for clients that are not online, for which there may be room when there is none for
    /// data.
    pub(super) unread_newcomers: VecDeque<SessionId>,
    /// Sessions of both kinds that can be resumed. They are read although the application has no
    /// room, because their data is kept then.
    pub(super) unread_resumable: VecDeque<SessionId>,
    /// Sessions with data that waits for room in the application.
    pub(super) kept: VecDeque<SessionId>,
    /// Clients that want to go on with a session.
    pub(super) resuming: VecDeque<SessionId>,
    /// Sessions that have ended, except for their `Offline`, and sessions that have lost their
    /// links. Their slots stay in use until then.
    pub(super) ending: VecDeque<Ending>,
    /// Sessions that outlive their links; not while the server drains.
    pub(super) parks: bool,
    /// Sessions that are away, the longest first, and since when. They may be back.
    pub(super) away: VecDeque<(Instant, SessionId)>,
    /// How many are away.
    pub(super) away_count: usize,
    /// What the sessions were admitted with.
    pub(super) grants: Grants,
}

/// A session to close, or a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) id: SessionId,
    pub(super) reason: Reason,
    /// Only the link is lost.
    pub(super) only_link: bool,
}

/// The bytes that a shard buffers for its sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) all: Account,
    /// Those for pending clients.
    pub(super) pending: Account,
    /// Those for sessions that are away, which do not count among all.
    pub(super) away: Account,
}

impl Held {
    /// The account of a session in this phase.
    const fn of(&mut self, phase: Phase) -> &mut Account {
        if matches!(phase.standing(), Standing::Away) { &mut self.away } else { &mut self.all }
    }

    const fn is_over(self) -> bool {
        self.all.is_over() || self.pending.is_over()
    }
}

/// A number of bytes, and its maximum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) bytes: usize,
    pub(super) max: usize,
}

impl Account {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: 0, max }
    }

    pub(super) const fn is_over(self) -> bool {
        self.bytes > self.max
    }

    fn count(&mut self, before: u32, now: u32) {
        let as_usize = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.bytes = self.bytes.saturating_sub(as_usize(before)).saturating_add(as_usize(now));
    }
}

impl<W: ServerWorld> Agenda<W> {
    /// `changes`: of the tokens and of TLS, up to now.
    pub(super) fn new(world: W, config: Arc<ShardConfig>, changes: [u64; 2]) -> Self {
        Self {
            judged_at: world.now(),
            world,
            wheel: Wheel::with_capacity(WHEEL_TICK, FIRST_TIMERS),
            timers: 0,
            pending: 0,
            held: config.held,
            common: Common::new(config.settings),
            config,
            unflushed: Vec::new(),
            unread: VecDeque::new(),
            unread_newcomers: VecDeque::new(),
            unread_resumable: VecDeque::new(),
            kept: VecDeque::new(),
            resuming: VecDeque::new(),
            parks: true,
            away: VecDeque::new(),
            away_count: 0,
            grants: Grants::new(changes),
            ending: VecDeque::new(),
        }
    }

    /// Sets the session's timer, unless it is set for an earlier time. (A timer for the same time
    /// is set again, because the wheel has rounded it up; this happens only within frames.)
    pub(super) fn arm(&mut self, session: &Session<W::Socket>) {
        if session.phase().has_ended() || session.is_away() {
            return;
        }
        let tls = session.link.tls_deadline(self.config.tls_handshake_timeout);
        let own = session.link.connection.poll_timeout().filter(|_| !session.link.is_handshaking());
        let age = self.age_deadline(session);
        if let Some(deadline) = [tls, own, age].into_iter().flatten().min() {
            self.arm_for(session, deadline);
        }
    }

    /// When to look at a session's age.
    fn age_deadline(&self, session: &Session<W::Socket>) -> Option<Instant> {
        let at = self.too_old_at(session)?;
        // One that is too old already ends as soon as nothing is under way. The next look is after
        // this turn, or it would not end.
        Some(if at > self.judged_at { at } else { self.judged_at.saturating_add(AGE_LOOK) })
    }

    /// When a session has reached its greatest age: up to a quarter before that of all, which its
    /// id decides.
    pub(super) fn too_old_at(&self, session: &Session<W::Socket>) -> Option<Instant> {
        let max_age = self.config.max_age?;
        Some(session.since.saturating_add(max_age.saturating_sub(session.id.share_of(max_age / 4))))
    }

    fn arm_for(&mut self, session: &Session<W::Socket>, deadline: Instant) {
        if self.wheel.armed(session.slot()).is_none_or(|armed| deadline < armed) {
            self.set_timer(session, deadline);
        }
    }

    /// Sets the session's timer to `at`.
    pub(super) fn set_timer(&mut self, session: &Session<W::Socket>, at: Instant) {
        self.wheel.insert(session.slot(), at);
        self.timers += 1;
    }

    /// Whether the client's TLS timeout has passed.
    pub(super) fn is_tls_late(&self, session: &Session<W::Socket>, now: Instant) -> bool {
        session.link.tls_deadline(self.config.tls_handshake_timeout).is_some_and(|at| at <= now)
    }

    /// Queues due beats and answers, and sets the timer for the next beat. A beat that had to wait
    /// for the socket was due all the while: the timer was set for the verdict only.
    pub(super) fn transmit(&mut self, session: &mut Session<W::Socket>, now: Instant) {
        if session.phase().has_ended() || session.is_away() || session.link.is_handshaking() {
            return;
        }
        let is_blocked = session.link.blocked;
        let next = session.link.poll(now);
        let writes = matches!(next, Next::Write(_));
        let reads_first = matches!(self.queue_beats(session, next, now), Next::ReadFirst(_));
        let has_deadline = session.link.connection.poll_timeout().is_some_and(|at| at <= now);
        if reads_first && !has_deadline {
            // For a beat that was requested: it reports what was heard, and comes in its turn. (A
            // deadline that has passed is in the timer already.)
            self.arm_for(session, now);
        } else if writes || is_blocked {
            self.arm(session);
        }
    }

    /// Queues the beats and answers that a connection has to write. Returns what comes next.
    pub(super) fn queue_beats(
        &mut self,
        session: &mut Session<W::Socket>,
        mut next: Next,
        now: Instant,
    ) -> Next {
        while let Next::Write(bytes) = &next {
            session.queue_first(bytes.as_ref());
            self.flush_later(session);
            next = session.link.poll(now);
        }
        next
    }

    /// Writes the beats that are due at a deadline: at once where that is possible, which saves a
    /// buffer and a second visit of a session that is in the processor's cache now. (Where this
    /// turn has queued data already, they go with it.) Returns what comes next.
    pub(super) fn write_beats(
        &mut self,
        session: &mut Session<W::Socket>,
        mut next: Next,
        now: Instant,
    ) -> Next {
        while let Next::Write(bytes) = &next {
            if !session.writes_at_once() {
                return self.queue_beats(session, next, now);
            }
            if self.world.breaks(Break::HearsItself) {
                session.link.connection.handle_heard(now);
            }
            match session.link.write_at_once(bytes.as_ref(), now) {
                Ok([]) => {}
                Ok(rest) => {
                    session.queue_first(rest);
                    self.flush_later(session);
                }
                Err(error) => {
                    session.fail(error.kind());
                    // Bytes that the client sent before it went can still be read.
                    self.read_later(session);
                    return Next::SleepUntil(None);
                }
            }
            next = session.link.poll(now);
        }
        next
    }

    /// Sets the low-water mark of a session's socket after a read; `frame_has_begun`: the rest may
    /// be shorter than the mark.
    pub(super) fn set_mark(&self, session: &mut Session<W::Socket>, frame_has_begun: bool) {
        // An acknowledgement is shorter than the mark, too.
        let waits = session.ledger().is_some_and(Ledger::has_unacknowledged);
        let mark = self.mark(session);
        session.link.set_mark(mark, frame_has_begun || waits);
    }

    /// Makes a session's socket wake the shard for every byte.
    pub(super) fn wake_for_all(&self, session: &mut Session<W::Socket>) {
        let mark = self.mark(session);
        session.link.wake_for_all(mark);
    }

    /// When the client's last byte came, if that is known without a read; see
    /// [`Link::heard_unread`](super::link::Link::heard_unread). It reads until there is a beat to
    /// echo, with which the client measures a round trip. From the first beat of a link it knows
    /// its own round trip, too, and that the client can come back.
    pub(super) fn heard_unread(&self, session: &Session<W::Socket>) -> Option<Instant> {
        if !session.link.connection.has_echo() || session.is_unread {
            return None;
        }
        session.link.heard_unread(self.mark(session), &self.world)
    }

    fn mark(&self, session: &Session<W::Socket>) -> u32 {
        match session.link.connection.spoken() {
            Spoken::V1 if session.link.looks_often_enough() => {
                self.config.mark_v1(session.link.connection.contract())
            }
            Spoken::V0 | Spoken::Raw => self.config.mark_v0,
            // The handshake never waits.
            Spoken::V1 | Spoken::Unknown => 1,
        }
    }

    pub(super) fn flush_later(&mut self, session: &mut Session<W::Socket>) {
        if !session.is_unflushed && !session.link.blocked {
            session.is_unflushed = true;
            self.unflushed.push(session.slot());
        }
    }

    pub(super) fn read_later(&mut self, session: &mut Session<W::Socket>) {
        if !session.is_unread {
            session.is_unread = true;
            let unread = match session.phase().is_known() {
                _ if session.is_resumable() => &mut self.unread_resumable,
                true => &mut self.unread,
                false => &mut self.unread_newcomers,
            };
            unread.push_back(session.id);
        }
    }

    /// Ends a session: nothing more happens to it, and its `Offline` comes at the end of the turn.
    pub(super) fn end(&mut self, session: &mut Session<W::Socket>, reason: Reason) {
        let Some(standing) = session.end() else { return };
        if !standing.is_known() && !session.is_refused() {
            self.pending = self.pending.saturating_sub(1);
        }
        self.wheel.remove(session.slot());
        self.ending.push_back(Ending { id: session.id, reason, only_link: false });
    }

    /// Handles the loss of a session's link. A session that does not outlive it ends.
    pub(super) fn lose_link(&mut self, session: &mut Session<W::Socket>, reason: Reason) {
        if session.is_away() {
            // One loss often shows in several ways within a turn.
            return;
        }
        let parks = self.parks && !self.world.breaks(Break::EndsWithItsLink);
        if !parks || !session.lose_link() {
            return self.end(session, reason);
        }
        self.held.all.count(session.held, 0);
        self.held.away.count(0, session.held);
        self.wheel.remove(session.slot());
        self.ending.push_back(Ending { id: session.id, reason, only_link: true });
    }

    /// Handles the return of a client. Returns how long it was away, if it was.
    pub(super) fn come_back(
        &mut self,
        session: &Session<W::Socket>,
        now: Instant,
    ) -> Option<Duration> {
        self.wheel.remove(session.slot());
        if session.is_away() {
            self.held.away.count(session.held, 0);
            self.held.all.count(0, session.held);
        }
        let away = session.away()?;
        self.away_count = self.away_count.saturating_sub(1);
        Some(now.saturating_since(away.since))
    }

    /// Brings a pending session online.
    pub(super) fn let_in(&mut self, session: &mut Session<W::Socket>) {
        session.go_online();
        self.held.pending.count(session.held, 0);
        self.pending = self.pending.saturating_sub(1);
    }

    /// Closes an ended session's connection with its next timer.
    pub(super) fn end_parting_now(&mut self, session: &mut Session<W::Socket>) {
        let now = self.world.now();
        if let Some(parting) = session.link.parting_mut() {
            parting.until = now;
            self.wheel.insert(session.slot(), now);
        }
    }

    /// Counts a session's buffered bytes after a change. Returns whether there are more than
    /// before, and too many.
    #[must_use]
    pub(super) fn count_held(&mut self, session: &mut Session<W::Socket>) -> bool {
        let now = session.held_now();
        let before = core::mem::replace(&mut session.held, now);
        if now == before {
            return false;
        }
        self.held.of(session.phase()).count(before, now);
        if !session.phase().is_known() {
            self.held.pending.count(before, now);
        }
        now > before && self.held.is_over()
    }

    /// Forgets a session that was removed.
    pub(super) fn forget(&mut self, session: &Session<W::Socket>) {
        self.wheel.remove(session.slot());
        self.grants.forget(session.slot());
        if session.away().is_some() {
            self.away_count = self.away_count.saturating_sub(1);
        }
        self.held.of(session.phase()).count(session.held, 0);
        if !session.phase().is_known() {
            self.held.pending.count(session.held, 0);
        }
    }
}
