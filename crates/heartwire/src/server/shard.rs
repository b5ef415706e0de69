//! A shard: the sessions of one server thread, and a timer wheel with one deadline per session.
//!
//! A turn reads sockets, runs commands, accepts clients, handles deadlines, writes queued bytes and
//! closes ended sessions. It never blocks: the [reactor](super::reactor), or the simulator, waits
//! between two turns. No turn visits all sessions, and traffic moves no timer: a deadline that has
//! moved is noticed when it fires. With coalescing most beats do not even wake the shard: at a
//! deadline it empties the socket and asks the kernel when the last byte came.

mod away;
mod bye;
mod cause;
mod clients;
mod config;
mod deadlines;
mod delivery;
mod hand_over;
mod handshake;
mod pending;
mod progress;
pub(super) mod refused;
mod relayed;
mod resume;
mod survey;
mod traffic;

use core::sync::atomic::Ordering::Relaxed;
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use heartwire_core::{Connection, Instant, Pause, PauseWatch};

pub(super) use self::config::ShardConfig;
pub(super) use self::hand_over::{Adoptee, HandOver};
use self::pending::Pending;
use self::progress::Progress;
use self::refused::Refused;
use super::Handle;
use super::agenda::{Agenda, Held};
use super::event::Event;
use super::handler::{Control, Handler};
use super::id::SessionId;
use super::listener::Listener;
use super::mailbox::Command;
use super::receipts::Receipts;
use super::sessions::Sessions;
use super::state::ShardState;
use super::stats::ShardCounters;
use super::survey::Survey;
use crate::tls::MIN_READ_LEN;
use crate::world::{Break, ServerWorld};

/// The resolution of deadlines. Rounding makes a verdict late by at most this, which leaves most of
/// [`TICK`](crate::TICK) for the event loop.
pub(super) const WHEEL_TICK: Duration = Duration::from_millis(4);

/// Size of the read buffer, which all sessions of a shard share.
const READ_LEN: usize = 64 * 1024;

// TLS decrypts in this buffer.
const _: () = assert!(READ_LEN >= MIN_READ_LEN);

/// Maximum number of TLS handshakes that begin in one turn. One takes 130 µs with an ECDSA key, and
/// a millisecond with an RSA key, nearly all of it at its beginning: however many clients come at
/// once, beats are read in between, and handshakes that have begun end first.
const HANDSHAKES_PER_TURN: usize = 16;

/// An event from the poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator makes them")]
pub enum Ready {
    /// The shard's waker was used: for commands, to shut down, or to go on reading.
    Woken,
    /// Clients wait at the listening socket with this index.
    Listener(usize),
    /// The socket of a session is ready.
    Session {
        /// The session's slot.
        slot: u32,
        /// The socket is readable.
        readable: bool,
        /// The end or an error follows the readable bytes.
        closed: bool,
        /// The socket is writable again.
        writable: bool,
    },
}

/// How many of the events that had come by then the poller reported before a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator makes them")]
pub enum Reported {
    /// All of them.
    All,
    /// Its list was full, so some may be missing.
    Some,
    /// None: it was interrupted.
    Nothing,
}

/// When a shard wants its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator has to do as they say")]
pub enum Wake {
    /// At once: there is more to do. Without that, by this time at the latest.
    Now(Option<Instant>),
    /// As soon as something is ready or its waker is used, and by this time at the latest.
    By(Option<Instant>),
    /// Never: the server has shut down, and all sessions have ended.
    Over,
}

/// A shard and its handler.
#[derive(Debug)]
pub struct Shard<W: ServerWorld, H> {
    state: ShardState<W>,
    application: Application<H>,
    /// `None` while the server shuts down, and on shards to which another shard hands clients.
    listener: Option<Listener<W::Listener>>,
    hand_over: HandOver<W::Socket>,
    commands: Receiver<Command>,
    /// Clients that another shard has accepted.
    adoptees: Receiver<Adoptee<W::Socket>>,
    watch: PauseWatch,
    /// When this turn began.
    awake_at: Instant,
    /// When the poller was last asked, and how much it reported.
    asked_at: Instant,
    told: Reported,
    /// The events of this turn came after this time: earlier ones were reported to an earlier turn.
    unread_since: Instant,
    /// When bytes were last read.
    read_at: Instant,
    /// The client that is being read had not closed when the poller was asked for this turn.
    is_there: bool,
    progress: Progress,
    /// Whether this turn began late: bytes in the sockets may have come long before.
    is_late: bool,
    last_pause: Option<Pause>,
    /// The waker was used: for commands, to shut down, or to go on reading.
    woken: bool,
    buffer: Box<[u8]>,
    /// How many TLS handshakes may still begin in this turn.
    handshakes_left: usize,
    pending: Pending,
    /// Refused clients that are told why, the oldest first.
    refused: VecDeque<Refused>,
    /// When a shutdown stops waiting for queued bytes.
    drained_by: Option<Instant>,
    /// While shutting down: the maximum number of earlier commands that are left.
    commands_left: usize,
    /// While shutting down: sessions whose clients cannot be told when to reconnect, and when each
    /// may end.
    one_by_one: VecDeque<(Instant, SessionId)>,
    /// Ended sessions whose sockets wait for their clients to close, the oldest first.
    lingering: VecDeque<SessionId>,
    /// What the application wants to know of many sessions; the first one has begun.
    surveys: VecDeque<Survey>,
}

/// The handler of a shard, and the waker of the shard.
#[derive(Debug)]
struct Application<H> {
    handler: H,
    waker: Waker,
}

impl<H: Handler> Application<H> {
    fn has_room(&mut self) -> bool {
        self.handler.has_room(&self.waker)
    }

    fn has_room_for_newcomers(&mut self) -> bool {
        self.handler.has_room_for_newcomers(&self.waker)
    }

    /// Calls the handler; nothing else does. Any session may have ended when it returns.
    fn tell<W: ServerWorld>(&mut self, event: Event<&[u8]>, state: &mut ShardState<W>) {
        self.handler.handle(event, &mut Control { state });
    }
}

/// How clients and commands reach a shard.
#[derive(Debug)]
pub(super) struct Inlets<W: ServerWorld> {
    pub(super) commands: Receiver<Command>,
    pub(super) listener: Option<Listener<W::Listener>>,
    pub(super) hand_over: HandOver<W::Socket>,
    pub(super) adoptees: Receiver<Adoptee<W::Socket>>,
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    pub(super) fn new(
        index: u8,
        handle: Handle,
        config: Arc<ShardConfig>,
        world: W,
        inlets: Inlets<W>,
        handler: H,
    ) -> Option<Self> {
        let waker = handle.mailbox(usize::from(index))?.waker();
        let (now, suspended) = world.now_and_suspended();
        let changes = handle.changes();
        let state = ShardState {
            index,
            handle,
            sessions: Sessions::new(index),
            agenda: Agenda::new(world, config, changes),
            turns: 0,
            receipts: Receipts::new(waker.clone()),
            untaken: None,
        };
        Some(Self {
            state,
            application: Application { handler, waker },
            listener: inlets.listener,
            hand_over: inlets.hand_over,
            commands: inlets.commands,
            adoptees: inlets.adoptees,
            watch: PauseWatch::new(now, suspended),
            awake_at: now,
            asked_at: now,
            told: Reported::Nothing,
            unread_since: now,
            read_at: now,
            is_there: false,
            progress: Progress::new(now),
            is_late: false,
            last_pause: None,
            woken: true,
            buffer: vec![0; READ_LEN].into_boxed_slice(),
            handshakes_left: HANDSHAKES_PER_TURN,
            pending: Pending::default(),
            refused: VecDeque::new(),
            drained_by: None,
            commands_left: 0,
            one_by_one: VecDeque::new(),
            lingering: VecDeque::new(),
            surveys: VecDeque::new(),
        })
    }

    /// Runs one turn with the poller's events. The first turn can run at once.
    pub fn turn(&mut self, ready: impl IntoIterator<Item = Ready>, told: Reported) -> Wake {
        self.told = told;
        self.is_late = false;
        self.awake_at = self.notice_pause();
        self.state.agenda.judged_at = self.awake_at;
        self.handshakes_left = HANDSHAKES_PER_TURN;
        self.collect_receipts();
        self.deliver_kept();
        self.read_unread();
        self.handle_ready(ready);
        self.resume_clients();
        if core::mem::take(&mut self.woken) {
            // Before the commands, because those from before the shutdown are still carried out.
            if self.mailbox_is_shutdown() && self.drained_by.is_none() {
                self.begin_shutdown();
            }
            self.notice_changes();
            self.adopt_handed_over();
            self.resume_clients();
            self.handle_commands();
        }
        self.go_on_with_surveys();
        self.accept_clients();
        self.handle_timeouts();
        self.end_for_cause();
        self.end_refused();
        self.flush();
        self.handle_drained();
        self.close_ended();
        self.hold_less_away();
        self.end_progress();
        self.state.count_turn();
        if self.drained_by.is_some() && self.state.sessions.len() == 0 {
            // All sessions have gone, so all counts must be 0.
            let Held { all, pending, away } = self.state.agenda.held;
            let counts = (self.state.agenda.pending, self.state.agenda.away_count);
            debug_assert_eq!((all.bytes, pending.bytes, away.bytes, counts), (0, 0, 0, (0, 0)));
            self.state.counters().into_iter().for_each(ShardCounters::end);
            return Wake::Over;
        }
        self.next_wake()
    }

    /// When the next turn should run. Ask the poller after this call, so that the events that it
    /// reports have come since.
    fn next_wake(&mut self) -> Wake {
        let has_room = self.application.has_room();
        let takes_newcomers = self.application.has_room_for_newcomers();
        let room_at = self.room_among_pending_at();
        let agenda = &self.state.agenda;
        // The start of the turn is exact enough: a deadline that has passed since wakes it at once.
        let now = self.awake_at;
        let next_accept = self.listener.as_ref().and_then(|listener| listener.next_try(now));
        let next_end = self.one_by_one.front().map(|&(at, _)| at);
        let next_refused = self.refused.front().map(|refused| refused.until);
        let next_accept = next_accept.filter(|_| takes_newcomers);
        let next_accept = next_accept.map(|at| room_at.map_or(at, |room_at| room_at.max(at)));
        let deadline =
            [agenda.wheel.next_wake(), self.drained_by, next_end, next_refused, next_accept];
        let deadline = deadline.into_iter().chain([agenda.grants.look_at()]).flatten().min();
        // A handler that answers an `Offline` queues bytes after the flush of a turn.
        let has_work = !agenda.ending.is_empty()
            || !self.surveys.is_empty()
            || !agenda.unflushed.is_empty()
            || !agenda.unread_resumable.is_empty()
            || !agenda.resuming.is_empty()
            || agenda.grants.is_looking()
            || (has_room && !(agenda.unread.is_empty() && agenda.kept.is_empty()))
            || (takes_newcomers && !agenda.unread_newcomers.is_empty());
        self.watch.handle_sleep(deadline);
        if self.told == Reported::All {
            self.unread_since = self.asked_at;
        }
        self.asked_at = agenda.world.now();
        if has_work || deadline.is_some_and(|at| at <= now) {
            Wake::Now(deadline)
        } else {
            Wake::By(deadline)
        }
    }

    /// Detects a pause: this shard is much later than planned, or was suspended. Returns the time.
    fn notice_pause(&mut self) -> Instant {
        let (now, suspended) = self.state.agenda.world.now_and_suspended();
        if let Some(pause) = self.watch.handle_wake(now, suspended) {
            self.handle_pause(pause);
        }
        now
    }

    fn handle_pause(&mut self, pause: Pause) {
        self.is_late = true;
        if !self.state.agenda.world.breaks(Break::IgnoresPauses) {
            self.last_pause = Some(pause);
        }
        self.state.counts().pauses.fetch_add(1, Relaxed);
        let shard = usize::from(self.state.index);
        tracing::warn!(shard, gap = ?pause.gap, "the shard was paused; timeouts restarted");
        self.tell(Event::Paused { shard, pause });
    }

    fn tell(&mut self, event: Event<&[u8]>) {
        self.application.tell(event, &mut self.state);
    }
}

/// A session, for the simulator's oracle.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the simulator reads them")]
pub struct SessionView<'a, S> {
    /// Its id.
    pub id: SessionId,
    /// Its key in the poller.
    pub slot: u32,
    /// Its protocol and liveness state.
    pub connection: &'a Connection,
    /// Its socket, which is registered; `None` while it is away.
    pub socket: Option<&'a S>,
    /// Its `Online` was reported.
    pub is_online: bool,
    /// It has ended; its `Offline` may not have been reported yet, and its socket may wait for the
    /// client.
    pub is_ending: bool,
    /// Its socket took no more bytes, and the poller will report when it does.
    pub is_blocked: bool,
    /// It is online, and its link is lost.
    pub is_away: bool,
    /// It waits to be read: for its turn, or for room in the application.
    pub is_unread: bool,
    /// Bytes that wait to be written.
    pub queued: usize,
    /// Memory allocated for its buffers, in bytes.
    pub held: u32,
}

impl<W: ServerWorld, H> Shard<W, H> {
    /// The shard's world.
    pub const fn world(&self) -> &W {
        &self.state.agenda.world
    }

    /// The shard's world, to change it between two turns.
    pub const fn world_mut(&mut self) -> &mut W {
        &mut self.state.agenda.world
    }

    /// The shard's handler.
    pub const fn handler(&self) -> &H {
        &self.application.handler
    }

    /// The shard's sessions, in the order of their slots.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_, W::Socket>> {
        self.state.sessions.iter().map(|session| SessionView {
            id: session.id,
            slot: session.slot(),
            connection: &session.link.connection,
            socket: session.link.stream.as_ref(),
            is_online: session.phase().is_known(),
            is_ending: session.phase().has_ended(),
            is_blocked: session.link.blocked,
            is_away: session.is_away(),
            is_unread: session.is_unread,
            queued: session.queued(),
            held: session.held,
        })
    }
}

#[cfg(test)]
mod tests;
