//! The sessions of one server thread, and a wheel with one deadline for each.
//!
//! A turn goes: read what came, carry out commands, accept, judge whose deadline has passed, write
//! what was queued, and take leave of the sessions that ended. It waits for nothing: what waits
//! between two turns is the [reactor](super::reactor), or the simulator, which has the shard run in
//! a world of its own. Nothing looks at all sessions, and traffic moves no timer: a deadline that
//! has moved is noticed when it fires. Where the kernel can hold beats back, most of them do not
//! even wake the shard: when a deadline comes, the socket is emptied and the kernel is asked when
//! the last byte came.

mod bye;
mod clients;
mod config;
mod deadlines;
mod handshake;
mod pending;
mod progress;
mod traffic;

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use heartwire_core::{Connection, Instant, Pause, PauseWatch};

pub(super) use self::clients::{Adoptee, HandOver};
pub(super) use self::config::ShardConfig;
use self::progress::Progress;
use super::Handle;
use super::agenda::{Agenda, Held};
use super::event::Event;
use super::handler::{Control, Handler, Resumer};
use super::id::SessionId;
use super::listener::Listener;
use super::mailbox::Command;
use super::sessions::Sessions;
use super::state::ShardState;
use crate::tls::MIN_READ_LEN;
use crate::world::{Break, ServerWorld};

/// How finely deadlines are told apart. A verdict is late by this at most for rounding, which
/// leaves most of [`TICK`](crate::TICK) for getting round to it.
pub(super) const WHEEL_TICK: Duration = Duration::from_millis(4);

/// The buffer that all sessions of a shard are read through.
const READ_LEN: usize = 64 * 1024;

// TLS decrypts in it.
const _: () = assert!(READ_LEN >= MIN_READ_LEN);

/// Reads for handshakes of TLS in one turn. One takes 130 µs with a key for ECDSA, and a
/// millisecond with one for RSA: however many clients come at once, beats are read in between.
const HANDSHAKES_PER_TURN: usize = 32;

/// What a poller has to tell a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator makes them")]
pub enum Ready {
    /// The shard was woken by its waker: there are commands, it is to shut down, or to go on
    /// reading.
    Woken,
    /// Clients wait at a listening socket, by its place in the list.
    Listener(usize),
    /// Something is to be done at the socket of a session.
    Session {
        /// Which one.
        slot: u32,
        /// There is something to read.
        readable: bool,
        /// The end or an error is there, behind what there is to read.
        closed: bool,
        /// It takes bytes again.
        writable: bool,
    },
}

/// How much of what had come by then the poller told of, when it was asked before a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator makes them")]
pub enum Reported {
    /// All of it.
    All,
    /// Its list was full, and may leave something out.
    Some,
    /// It was interrupted and has not looked.
    Nothing,
}

/// When a shard wants its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the simulator has to do as they say")]
pub enum Wake {
    /// At once: there is more to do. And by this time at the latest, if nothing were.
    Now(Option<Instant>),
    /// As soon as something is ready, or it is woken; and by this time at the latest.
    By(Option<Instant>),
    /// Never: the server has shut down, and all sessions have ended.
    Over,
}

/// A shard and its handler.
#[derive(Debug)]
pub struct Shard<W: ServerWorld, H> {
    state: ShardState<W>,
    application: Application<H>,
    /// `None` once the server is shutting down, and on shards that are handed their clients.
    listener: Option<Listener<W::Listener>>,
    /// `None` where each shard accepts for itself.
    hand_over: Option<HandOver<W::Socket>>,
    commands: Receiver<Command>,
    /// Clients that another shard has accepted.
    adoptees: Option<Receiver<Adoptee<W::Socket>>>,
    watch: PauseWatch,
    /// When this turn began.
    awake_at: Instant,
    /// When the poller was asked last, and what it told then.
    asked_at: Instant,
    told: Reported,
    /// What woke this turn has come since then: what had come before was told to a turn before.
    unread_since: Instant,
    /// When bytes were last read.
    read_at: Instant,
    progress: Progress,
    /// Whether this turn began late: what is in the sockets may have come long before.
    is_late: bool,
    last_pause: Option<Pause>,
    /// This shard was woken, to carry out a command, to shut down or to go on reading.
    woken: bool,
    buffer: Box<[u8]>,
    /// How many reads of this turn may still go to handshakes of TLS.
    handshakes_left: usize,
    /// Clients that were not in when this was last looked at, those that have waited longest first.
    pending: VecDeque<SessionId>,
    /// When a shutdown stops waiting for queued bytes.
    drained_by: Option<Instant>,
    /// While shutting down, how many commands may be left of those that were given before.
    commands_left: usize,
    /// While shutting down, the sessions whose clients cannot be told when to come back, and when
    /// each may end.
    one_by_one: VecDeque<(Instant, SessionId)>,
    /// Sessions that have ended and whose sockets wait for their clients, the oldest first.
    lingering: VecDeque<SessionId>,
}

/// The application of a server, as one of its shards sees it.
#[derive(Debug)]
struct Application<H> {
    handler: H,
    resumer: Resumer,
}

impl<H: Handler> Application<H> {
    fn has_room(&mut self) -> bool {
        self.handler.has_room(&self.resumer)
    }

    fn has_room_for_newcomers(&mut self) -> bool {
        self.handler.has_room_for_newcomers(&self.resumer)
    }

    /// The only place that calls the handler. Any session may have ended when it returns.
    fn tell<W: ServerWorld>(&mut self, event: Event<&[u8]>, state: &mut ShardState<W>) {
        self.handler.handle(event, &mut Control { state });
    }
}

/// How clients and commands reach a shard.
#[derive(Debug)]
pub(super) struct Inlets<W: ServerWorld> {
    pub(super) commands: Receiver<Command>,
    pub(super) listener: Option<Listener<W::Listener>>,
    pub(super) hand_over: Option<HandOver<W::Socket>>,
    pub(super) adoptees: Option<Receiver<Adoptee<W::Socket>>>,
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
        let resumer = Resumer(handle.mailbox(usize::from(index))?.waker());
        let (now, suspended) = world.now_and_suspended();
        let state = ShardState {
            index,
            handle,
            sessions: Sessions::new(index),
            agenda: Agenda::new(world, config),
            turns: 0,
        };
        Some(Self {
            state,
            application: Application { handler, resumer },
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
            progress: Progress::new(now),
            is_late: false,
            last_pause: None,
            woken: true,
            buffer: vec![0; READ_LEN].into_boxed_slice(),
            handshakes_left: HANDSHAKES_PER_TURN,
            pending: VecDeque::new(),
            drained_by: None,
            commands_left: 0,
            one_by_one: VecDeque::new(),
            lingering: VecDeque::new(),
        })
    }

    /// One turn, for what the poller says is `ready`. The first one can be had at once.
    pub fn turn(&mut self, ready: impl IntoIterator<Item = Ready>, told: Reported) -> Wake {
        self.told = told;
        self.is_late = false;
        self.awake_at = self.notice_pause();
        self.handshakes_left = HANDSHAKES_PER_TURN;
        self.read_unread();
        self.handle_ready(ready);
        if core::mem::take(&mut self.woken) {
            // Before the commands: those that were given before the shutdown are carried out.
            if self.mailbox_is_shutdown() && self.drained_by.is_none() {
                self.begin_shutdown();
            }
            self.adopt_handed_over();
            self.handle_commands();
        }
        self.accept_clients();
        self.handle_timeouts();
        self.flush();
        self.handle_drained();
        self.close_ended();
        self.end_progress();
        self.state.count_turn();
        if self.drained_by.is_some() && self.state.sessions.len() == 0 {
            // What was counted for sessions has gone with them.
            let Held { all, pending } = self.state.agenda.held;
            debug_assert_eq!((all.bytes, pending.bytes, self.state.agenda.pending), (0, 0, 0));
            return Wake::Over;
        }
        self.next_wake()
    }

    /// When the next turn is to be. The poller must be asked after this, so that what it then tells
    /// has come since.
    fn next_wake(&mut self) -> Wake {
        let has_room = self.application.has_room();
        let takes_newcomers = self.application.has_room_for_newcomers();
        let agenda = &self.state.agenda;
        // The time at which the turn began will do: what has come due since wakes it at once.
        let now = self.awake_at;
        let next_accept = self.listener.as_ref().and_then(|listener| listener.next_try(now));
        let next_end = self.one_by_one.front().map(|&(at, _)| at);
        let next_accept = next_accept.filter(|_| takes_newcomers);
        let deadline = [agenda.wheel.next_wake(), self.drained_by, next_end, next_accept];
        let deadline = deadline.into_iter().flatten().min();
        // Bytes are queued after the flush of a turn by a handler that answers an `Offline`.
        let has_work = !agenda.ending.is_empty()
            || !agenda.unflushed.is_empty()
            || (has_room && !agenda.unread.is_empty())
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

    /// Looks whether this shard is much later than it meant to be, or was suspended. Returns the
    /// time.
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
        self.state.handle.counters().pauses.fetch_add(1, Relaxed);
        let shard = usize::from(self.state.index);
        tracing::warn!(shard, gap = ?pause.gap, "stood still; everybody gets another chance");
        self.tell(Event::Paused { shard, pause });
    }

    fn tell(&mut self, event: Event<&[u8]>) {
        self.application.tell(event, &mut self.state);
    }
}

/// A session, as the simulator's oracle sees it.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the simulator reads them")]
pub struct SessionView<'a, S> {
    /// Its id.
    pub id: SessionId,
    /// What the poller calls it.
    pub slot: u32,
    /// Its liveness.
    pub connection: &'a Connection,
    /// Its socket, which is registered for as long as the session is there.
    pub socket: &'a S,
    /// Its application has been told of it.
    pub is_online: bool,
    /// It has ended; its application may not have been told yet, and its socket may wait for the client.
    pub is_ending: bool,
    /// Its socket took no more bytes, and the poller is asked to tell when it does.
    pub is_blocked: bool,
    /// It waits for its turn to be read, or for room at its application's.
    pub is_unread: bool,
    /// Bytes that wait to be written.
    pub queued: usize,
}

impl<W: ServerWorld, H> Shard<W, H> {
    /// The world that it runs in.
    pub const fn world(&self) -> &W {
        &self.state.agenda.world
    }

    /// The same, to change it between two turns.
    pub const fn world_mut(&mut self) -> &mut W {
        &mut self.state.agenda.world
    }

    /// Its handler.
    pub const fn handler(&self) -> &H {
        &self.application.handler
    }

    /// Its sessions, in the order of their slots.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_, W::Socket>> {
        self.state.sessions.iter().map(|session| SessionView {
            id: session.id,
            slot: session.slot(),
            connection: &session.link.connection,
            socket: &session.link.stream,
            is_online: session.phase().is_known(),
            is_ending: session.phase().has_ended(),
            is_blocked: session.link.blocked,
            is_unread: session.is_unread,
            queued: session.queued(),
        })
    }
}

#[cfg(test)]
mod tests;
