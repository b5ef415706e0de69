//! One server thread: a poller, its sessions, and a wheel with one deadline for each.
//!
//! A turn of the loop goes: wait, read what came, carry out commands, accept, judge whose deadline
//! has passed, write what was queued, and take leave of the sessions that ended. Nothing looks at
//! all sessions, and traffic moves no timer: a deadline that has moved is noticed when it fires.
//! Where the kernel can hold beats back, most of them do not even wake the shard: when a deadline
//! comes, the socket is emptied and the kernel is asked when the last byte came.

mod clients;
mod deadlines;
mod farewell;
mod handshake;
mod progress;
mod traffic;

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::Receiver;

use heartwire_core::v1::Terms;
use heartwire_core::wheel::Wheel;
use heartwire_core::{Instant, Settings, Stall, StallWatch};
use mio::{Events, Interest, Poll, Token};

use self::progress::Progress;
use super::Handle;
use super::alarm::Alarm;
use super::event::Event;
use super::handler::{Control, Handler, Resumer};
use super::id::SessionId;
use super::listener::Listener;
use super::mailbox::Command;
use super::session::TlsWithin;
use super::sessions::Sessions;
use super::state::{Held, ShardState};
use crate::clock;
use crate::tls::READ_LEN_MIN;

/// How finely deadlines are told apart. A verdict is late by this at most for rounding, which leaves
/// most of [`TICK`](crate::TICK) for getting round to it.
const WHEEL_TICK: Duration = Duration::from_millis(4);

/// Poller events taken at one go.
const EVENTS_PER_TURN: usize = 1024;
/// The buffer that all sessions of a shard are read through.
const READ_LEN: usize = 64 * 1024;

// TLS decrypts in it.
const _: () = assert!(READ_LEN >= READ_LEN_MIN);

/// Reads for handshakes of TLS in one turn. One takes 130 µs with a key for ECDSA, and a millisecond
/// with one for RSA: however many clients come at once, beats are read in between.
const HANDSHAKES_PER_TURN: usize = 32;

pub(super) const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Listening sockets have the tokens from here on, sessions those from 0 on, by slot.
pub(super) const FIRST_LISTENER: usize = usize::MAX / 2;

/// A shard and its handler.
#[derive(Debug)]
pub(super) struct Shard<H> {
    state: ShardState,
    handler: H,
    resumer: Resumer,
    poll: Poll,
    alarm: Alarm,
    /// `None` once the server is shutting down, and on shards that are handed their clients.
    listener: Option<Listener>,
    /// The next shard to be handed a client; `None` where each shard accepts for itself.
    hand_over_to: Option<usize>,
    commands: Receiver<Command>,
    watch: StallWatch,
    /// When this turn began.
    awake_at: Instant,
    /// When the poller was asked last, and whether it told of all that had come by then.
    asked_at: Instant,
    has_told_all: bool,
    /// What woke this turn has come since then: what had come before was told to a turn before.
    unread_since: Instant,
    /// When bytes were last read.
    read_at: Instant,
    progress: Progress,
    /// Whether this turn knows what has come: a poller that was interrupted has not looked.
    has_polled: bool,
    /// How long a client may have waited to be shaken hands with.
    stale_after: Duration,
    /// Whether this turn began late: what is in the sockets may have come long before.
    is_late: bool,
    last_stall: Option<Stall>,
    /// Somebody woke this shard, to carry out a command, to shut down or to go on reading.
    woken: bool,
    buffer: Box<[u8]>,
    /// How many reads of this turn may still go to handshakes of TLS.
    handshakes_left: usize,
    /// The low-water mark of sessions that speak v1.
    wake_mark: u32,
    jiffy: Duration,
    /// Sessions that may have more to read than their turn allowed, or that could not be read for
    /// want of room at the owner's. Whoever waits longest comes first.
    unread: VecDeque<SessionId>,
    /// The same of clients that were not online, for which there may be room when there is none for data.
    unread_newcomers: VecDeque<SessionId>,
    drain: Duration,
    /// Clients that were not in when this was last looked at, those that have waited longest first.
    pending: VecDeque<SessionId>,
    pending_max: usize,
    /// Clients need not say anything to be online.
    online_at_once: bool,
    /// When a shutdown stops waiting for queued bytes.
    drained_by: Option<Instant>,
    /// While shutting down, the sessions whose clients cannot be told when to come back, and when each may
    /// end.
    one_by_one: VecDeque<(Instant, SessionId)>,
    /// Sessions that have ended and whose sockets wait for their clients, the oldest first.
    lingering: VecDeque<SessionId>,
}

/// What a shard is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) index: u8,
    pub(super) handle: Handle,
    pub(super) poll: Poll,
    pub(super) listener: Option<Listener>,
    pub(super) hand_over: bool,
    pub(super) commands: Receiver<Command>,
    pub(super) settings: Settings,
    pub(super) receive_mark: u32,
    pub(super) terms: Terms,
    pub(super) held: Held,
    pub(super) wake_mark: u32,
    pub(super) tls_within: TlsWithin,
    pub(super) pending_max: usize,
    pub(super) online_at_once: bool,
    pub(super) stale_after: Duration,
    pub(super) drain: Duration,
}

impl<H: Handler> Shard<H> {
    pub(super) fn new(parts: Parts, handler: H) -> io::Result<Self> {
        let mailbox = parts.handle.mailbox(usize::from(parts.index));
        let resumer = Resumer(mailbox.ok_or(io::ErrorKind::NotFound)?.waker());
        let (now, suspended) = clock::now_and_suspended();
        let alarm = Alarm::new(parts.poll.registry(), ALARM)?;
        let mut shard = Self {
            state: ShardState {
                index: parts.index,
                handle: parts.handle,
                settings: parts.settings,
                receive_mark: parts.receive_mark,
                tls_within: parts.tls_within,
                terms: parts.terms,
                pending: 0,
                turns: 0,
                timers: 0,
                registry: parts.poll.registry().try_clone()?,
                sessions: Sessions::new(parts.index),
                wheel: Wheel::new(WHEEL_TICK),
                held: parts.held,
                unflushed: Vec::new(),
                ending: VecDeque::new(),
            },
            handler,
            resumer,
            poll: parts.poll,
            alarm,
            listener: parts.listener,
            hand_over_to: parts.hand_over.then_some(0),
            commands: parts.commands,
            watch: StallWatch::new(now, suspended),
            awake_at: now,
            asked_at: now,
            has_told_all: false,
            unread_since: now,
            read_at: now,
            progress: Progress::new(now),
            has_polled: true,
            stale_after: parts.stale_after,
            is_late: false,
            last_stall: None,
            woken: true,
            buffer: vec![0; READ_LEN].into_boxed_slice(),
            handshakes_left: HANDSHAKES_PER_TURN,
            wake_mark: parts.wake_mark,
            jiffy: clock::jiffy(),
            unread: VecDeque::new(),
            unread_newcomers: VecDeque::new(),
            pending: VecDeque::new(),
            pending_max: parts.pending_max,
            online_at_once: parts.online_at_once,
            drain: parts.drain,
            drained_by: None,
            one_by_one: VecDeque::new(),
            lingering: VecDeque::new(),
        };
        for (socket, index) in shard.listener.iter_mut().flat_map(Listener::sockets_mut).zip(0..) {
            let token = Token(FIRST_LISTENER + index);
            shard.state.registry.register(socket, token, Interest::READABLE)?;
        }
        Ok(shard)
    }

    /// Runs until the server has shut down and all sessions have ended.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.wait(&mut events);
            self.handshakes_left = HANDSHAKES_PER_TURN;
            self.read_unread();
            self.handle_poll_events(&events);
            if core::mem::take(&mut self.woken) {
                // Before the commands: those that were given before the shutdown are carried out.
                if self.mailbox_is_shut_down() && self.drained_by.is_none() {
                    self.begin_shutdown();
                }
                self.handle_commands();
            }
            self.accept_clients();
            self.handle_timeouts();
            self.flush();
            self.handle_drained();
            self.take_leave();
            self.end_progress(&events);
            self.state.count_turn();
            if self.drained_by.is_some() && self.state.sessions.len() == 0 {
                // What was counted for sessions has gone with them.
                let Held { all, pending } = self.state.held;
                debug_assert_eq!((all.bytes, pending.bytes, self.state.pending), (0, 0, 0));
                return;
            }
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let has_room = self.handler.has_room(&self.resumer);
        let takes_newcomers = self.handler.has_room_for_newcomers(&self.resumer);
        // The time at which the turn began will do: what has come due since wakes it at once.
        let now = self.awake_at;
        let next_accept = self.listener.as_ref().and_then(|listener| listener.next_try(now));
        let next_end = self.one_by_one.front().map(|&(at, _)| at);
        let next_accept = next_accept.filter(|_| takes_newcomers);
        let deadline = [self.state.wheel.next_wake(), self.drained_by, next_end, next_accept];
        let deadline = deadline.into_iter().flatten().min();
        // Bytes are queued after the flush of a turn by a handler that answers an `Offline`.
        let has_work = !self.state.ending.is_empty()
            || !self.state.unflushed.is_empty()
            || (has_room && !self.unread.is_empty())
            || (takes_newcomers && !self.unread_newcomers.is_empty());
        let timeout = if has_work { Some(Duration::ZERO) } else { self.alarm.set(deadline, now) };
        self.watch.handle_sleep(deadline);
        let asked_at = clock::now();
        let polled = self.poll.poll(events, timeout);
        self.has_polled = polled.is_ok();
        if let Err(error) = polled {
            // Interrupted by a signal: an empty turn. The poller has no other errors in store for a
            // descriptor that exists.
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!(%error, "the poller failed");
            }
        }
        self.is_late = false;
        if self.has_told_all {
            self.unread_since = self.asked_at;
        }
        self.asked_at = asked_at;
        // A poller that was interrupted has not looked, and a full list may leave something out.
        self.has_told_all = self.has_polled && events.iter().count() < EVENTS_PER_TURN;
        self.awake_at = self.notice_stall();
    }

    /// Looks whether this shard is much later than it meant to be, or was suspended. Returns the time.
    fn notice_stall(&mut self) -> Instant {
        let (now, suspended) = clock::now_and_suspended();
        if let Some(stall) = self.watch.handle_wake(now, suspended) {
            self.handle_stall(stall);
        }
        now
    }

    fn handle_stall(&mut self, stall: Stall) {
        self.is_late = true;
        self.last_stall = Some(stall);
        self.state.handle.counters().stalls.fetch_add(1, Relaxed);
        let shard = usize::from(self.state.index);
        tracing::warn!(shard, gap = ?stall.gap, "stood still; everybody gets another chance");
        self.tell(Event::Stalled { shard, stall });
    }

    fn tell(&mut self, event: Event<&[u8]>) {
        self.handler.handle(event, &mut Control { state: &mut self.state });
    }
}
