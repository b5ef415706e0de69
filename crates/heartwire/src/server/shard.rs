//! One server thread: a poller, its sessions, and a wheel with one deadline for each.
//!
//! A turn of the loop goes: wait, read what came, carry out commands, accept, judge whose deadline
//! has passed, write what was queued, and take leave of the sessions that ended. Nothing looks at
//! all sessions, and traffic moves no timer: a deadline that has moved is noticed when it fires.
//! Where the kernel can hold beats back, most of them do not even wake the shard: when a deadline
//! comes, the socket is emptied and the kernel is asked when the last byte came.

use core::net::SocketAddr;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::sync::mpsc::Receiver;

use heartwire_core::wheel::Wheel;
use heartwire_core::{
    Cause, Connection, Event as Input, Instant, Settings, Stall, StallWatch, Verdict,
};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::alarm::Alarm;
use super::event::{Event, Refusal, SessionInfo};
use super::handler::{Control, Handler, Resumer};
use super::id::SessionId;
use super::listener::{Accepted, Listener};
use super::mailbox::{COMMANDS_MAX, Command};
use super::session::Session;
use super::sessions::Sessions;
use super::{CommandError, Handle};
use crate::clock;
use crate::reason::Reason;

/// How finely deadlines are told apart. A verdict is late by this at most for rounding, which leaves
/// most of [`TICK`](crate::TICK) for getting round to it.
const WHEEL_TICK: Duration = Duration::from_millis(4);

/// Poller events taken at one go.
const EVENTS_PER_TURN: usize = 1024;
/// The buffer that all sessions of a shard are read through.
const READ_LEN: usize = 64 * 1024;
/// Full buffers read from one session before the others get their turn.
const READS_PER_TURN: usize = 4;
/// Clients accepted before the sessions get their turn.
const ACCEPTS_PER_TURN: usize = 128;
/// Sessions closed before the others get their turn. Closing a socket is the dearest call here
/// (about 20 µs on loopback, measured), and when thousands die at once their verdicts come first.
const CLOSES_PER_TURN: usize = 256;

pub(super) const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Listening sockets have the tokens from here on, sessions those from 0 on, by slot.
pub(super) const FIRST_LISTENER: usize = usize::MAX / 2;

/// A shard and its handler.
#[derive(Debug)]
pub(super) struct Shard<H> {
    core: Core,
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
    last_stall: Option<Stall>,
    buffer: Box<[u8]>,
    jiffy: Duration,
    /// Sessions that may have more to read than their turn allowed, or that could not be read for
    /// want of room at the owner's. Whoever waits longest comes first.
    unread: VecDeque<SessionId>,
    drain: Duration,
    /// When a shutdown stops waiting for queued bytes.
    drained_by: Option<Instant>,
}

/// When bytes that are read came, as far as is known.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    /// They have just woken the shard.
    Now,
    /// They were found in the socket. The kernel knows.
    Earlier,
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
    pub(super) drain: Duration,
}

/// The part of a shard that its handler can reach while it runs.
#[derive(Debug)]
pub(super) struct Core {
    index: u8,
    handle: Handle,
    settings: Settings,
    receive_mark: u32,
    /// Deadlines put into the wheel in this turn.
    timers: u64,
    registry: Registry,
    sessions: Sessions,
    wheel: Wheel,
    /// Sessions with bytes queued in this turn.
    unflushed: Vec<u32>,
    /// Sessions that have ended but for their `Offline`. Their slots stay taken until then.
    ending: VecDeque<(u32, Reason)>,
}

/// A handler that panicked takes its shard along. The sessions of that shard are gone then, and leave
/// their places to those of others.
impl Drop for Core {
    fn drop(&mut self) {
        (0..self.sessions.len()).for_each(|_| self.handle.admission().leave());
    }
}

impl Core {
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn is_mine(&self, id: SessionId) -> bool {
        id.shard() == usize::from(self.index)
    }

    pub(super) fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        let len = self.handle.frame_len(data)?;
        let most = self.handle.outbound_max();
        let session = self.sessions.get_mut(slot).ok_or(CommandError::Gone)?;
        let head = session.connection.data_head(data.len()).ok_or(CommandError::TooLong)?;
        if session.queued() + len > most && !session.blocked {
            // The queue may have grown within this turn only; an error will be seen at its end.
            let _ = session.flush(&self.registry, token(slot), clock::now());
        }
        if session.queued() + len > most {
            self.end(slot, Reason::SlowReader);
            return Err(CommandError::SlowReader);
        }
        session.queue(head.as_ref());
        session.queue(data);
        self.flush_later(slot);
        Ok(())
    }

    pub(super) fn kick(&mut self, id: SessionId) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        self.end(slot, Reason::Kicked);
        Ok(())
    }

    fn live_slot(&mut self, id: SessionId) -> Result<u32, CommandError> {
        let slot = self.sessions.slot(id).ok_or(CommandError::Gone)?;
        match self.sessions.get_mut(slot) {
            Some(session) if !session.ending => Ok(slot),
            Some(_) | None => Err(CommandError::Gone),
        }
    }

    /// Queues the beats and answers that are due.
    fn transmit(&mut self, slot: u32, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.blocked {
            // What is queued will show that we live, as soon as the peer takes it.
            session.connection.handle_sent(now);
            return;
        }
        let mut any = false;
        while let Some(bytes) = session.connection.poll_transmit(now) {
            session.queue(bytes.as_ref());
            any = true;
        }
        if any {
            self.flush_later(slot);
        }
    }

    fn flush_later(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if !session.unflushed && !session.blocked {
            session.unflushed = true;
            self.unflushed.push(slot);
        }
    }

    /// Ends a session: nothing more happens to it, and its `Offline` comes when its turn is over.
    fn end(&mut self, slot: u32, reason: Reason) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        session.ending = true;
        self.wheel.remove(slot);
        self.ending.push_back((slot, reason));
    }

    /// Sets the session's timer, if it is not already set for that time or an earlier one.
    fn arm(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        if let Some(deadline) = session.connection.poll_timeout() {
            if self.wheel.armed(slot).is_none_or(|armed| deadline < armed) {
                self.wheel.insert(slot, deadline);
                self.timers += 1;
            }
        }
    }
}

impl<H: Handler> Shard<H> {
    pub(super) fn new(parts: Parts, handler: H) -> io::Result<Self> {
        let mailbox = parts.handle.mailbox(usize::from(parts.index));
        let resumer = Resumer(mailbox.ok_or(io::ErrorKind::NotFound)?.waker());
        let now = clock::now();
        let alarm = Alarm::new(parts.poll.registry(), ALARM)?;
        let mut shard = Self {
            core: Core {
                index: parts.index,
                handle: parts.handle,
                settings: parts.settings,
                receive_mark: parts.receive_mark,
                timers: 0,
                registry: parts.poll.registry().try_clone()?,
                sessions: Sessions::new(parts.index),
                wheel: Wheel::new(WHEEL_TICK),
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
            watch: StallWatch::new(now),
            last_stall: None,
            buffer: vec![0; READ_LEN].into_boxed_slice(),
            jiffy: clock::jiffy(),
            unread: VecDeque::new(),
            drain: parts.drain,
            drained_by: None,
        };
        for (socket, index) in shard.listener.iter_mut().flat_map(Listener::sockets_mut).zip(0..) {
            let token = Token(FIRST_LISTENER + index);
            shard.core.registry.register(socket, token, Interest::READABLE)?;
        }
        Ok(shard)
    }

    /// Runs until the server has shut down and all sessions have ended.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        loop {
            self.wait(&mut events);
            self.read_unread();
            self.handle_poll_events(&events);
            // Before the commands: those that were given before the shutdown are carried out.
            if self.mailbox_is_shut_down() && self.drained_by.is_none() {
                self.begin_shutdown();
            }
            self.handle_commands();
            if self.handler.has_room(&self.resumer) {
                self.accept_clients();
            }
            self.handle_timeouts();
            self.flush();
            self.handle_drained();
            self.take_leave();
            self.count_turn();
            if self.drained_by.is_some() && self.core.sessions.len() == 0 {
                return;
            }
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let has_room = self.handler.has_room(&self.resumer);
        let now = clock::now();
        let next_accept = self.listener.as_ref().and_then(|listener| listener.next_try(now));
        let deadline =
            [self.core.wheel.next_wake(), self.drained_by, next_accept.filter(|_| has_room)];
        let deadline = deadline.into_iter().flatten().min();
        // Bytes are queued after the flush of a turn by a handler that answers an `Offline`.
        let has_work = !self.core.ending.is_empty()
            || !self.core.unflushed.is_empty()
            || (has_room && !self.unread.is_empty());
        let timeout = if has_work { Some(Duration::ZERO) } else { self.alarm.set(deadline, now) };
        self.watch.handle_sleep(deadline);
        if let Err(error) = self.poll.poll(events, timeout) {
            // Interrupted by a signal: an empty turn. The poller has no other errors in store for a
            // descriptor that exists.
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!(%error, "the poller failed");
            }
        }
        self.notice_stall();
    }

    fn count_turn(&mut self) {
        let counters = self.core.handle.counters();
        counters.turns.fetch_add(1, Relaxed);
        if self.core.timers > 0 {
            counters.timers.fetch_add(core::mem::take(&mut self.core.timers), Relaxed);
        }
    }

    /// Looks whether this shard is much later than it meant to be. Returns the time.
    fn notice_stall(&mut self) -> Instant {
        let now = clock::now();
        if let Some(stall) = self.watch.handle_wake(now) {
            self.last_stall = Some(stall);
            self.core.handle.counters().stalls.fetch_add(1, Relaxed);
            let shard = usize::from(self.core.index);
            tracing::warn!(shard, gap = ?stall.gap, "stood still; everybody gets another chance");
            self.tell(Event::Stalled { shard, stall });
        }
        now
    }

    fn tell(&mut self, event: Event<&[u8]>) {
        self.handler.handle(event, &mut Control { core: &mut self.core });
    }

    fn handle_poll_events(&mut self, events: &Events) {
        for event in events {
            let Token(number) = event.token();
            if event.token() == WAKER || event.token() == ALARM {
                continue;
            }
            if let Some(socket) = number.checked_sub(FIRST_LISTENER) {
                if let Some(listener) = &mut self.listener {
                    listener.handle_ready(socket);
                }
                continue;
            }
            let Ok(slot) = u32::try_from(number) else { continue };
            if event.is_writable() {
                self.unblock(slot);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(slot, event.is_read_closed() || event.is_error(), Arrival::Now);
            }
        }
    }

    /// Sessions whose turn was not enough, or that had to wait for the owner.
    fn read_unread(&mut self) {
        for _ in 0..self.unread.len() {
            if !self.handler.has_room(&self.resumer) {
                return;
            }
            let Some(id) = self.unread.pop_front() else { return };
            let Some(slot) = self.core.sessions.slot(id) else { continue };
            if let Some(session) = self.core.sessions.get_mut(slot) {
                session.unread = false;
            }
            self.read(slot, true, Arrival::Now);
        }
    }

    fn read_later(&mut self, slot: u32) {
        let Some(id) = self.core.sessions.id(slot) else { return };
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        if !session.unread {
            session.unread = true;
            self.unread.push_back(id);
        }
    }

    /// Reads what has come for a session. A read that does not fill the buffer has emptied the
    /// socket; `to_end` goes on nevertheless, to see whether the end or an error comes after it.
    fn read(&mut self, slot: u32, to_end: bool, arrival: Arrival) {
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.core.sessions.get_mut(slot) else { return };
            if session.ending {
                return;
            }
            if !self.handler.has_room(&self.resumer) {
                break;
            }
            match session.read(&mut self.buffer) {
                Ok(None) if !session.has_failed() => return,
                Ok(None | Some(0)) => {
                    let reason = session.reason_to_end(clock::now());
                    return self.core.end(slot, reason);
                }
                Ok(Some(len)) => {
                    self.receive(slot, len, arrival);
                    if len < self.buffer.len() && !to_end {
                        return;
                    }
                }
                Err(error) => {
                    session.fail(error.kind());
                    let reason = session.reason_to_end(clock::now());
                    return self.core.end(slot, reason);
                }
            }
        }
        self.read_later(slot);
    }

    /// Handles the first `len` bytes of the buffer, which came for a session.
    fn receive(&mut self, slot: u32, len: usize, arrival: Arrival) {
        let Self { core, handler, buffer, jiffy, .. } = self;
        let Some(id) = core.sessions.id(slot) else { return };
        let Some(session) = core.sessions.get_mut(slot) else { return };
        // After the read, not before: a byte must not seem older than it is.
        let now = clock::now();
        match arrival {
            Arrival::Now => session.connection.handle_heard(now),
            Arrival::Earlier => session.hear_from_kernel(*jiffy),
        }
        let fresh = buffer.get(..len).unwrap_or_default();
        let mut kept = session.take_inbound();
        let had_partial = !kept.is_empty();
        let mut rest = if had_partial {
            kept.extend_from_slice(fresh);
            kept.as_slice()
        } else {
            fresh
        };
        loop {
            // The handler may have ended this session, and the slot is not reused before the leave.
            let Some(session) = core.sessions.get_mut(slot) else { return };
            if session.ending {
                return;
            }
            match session.connection.handle_received(now, &mut rest) {
                Ok(Some(Input::Beat)) => session.beats = session.beats.saturating_add(1),
                Ok(Some(Input::Data(data))) => {
                    handler.handle(Event::Data { id, data }, &mut Control { core });
                }
                Ok(None) => break,
                Err(violation) => return core.end(slot, Reason::Protocol(violation)),
            }
        }
        let rest_len = rest.len();
        if !had_partial || rest_len < kept.len() {
            // Exactly as much as there is: a long frame would leave its memory to the next one.
            kept = rest.to_vec();
        }
        if let Some(session) = core.sessions.get_mut(slot) {
            session.keep_inbound(kept);
            session.set_mark(core.receive_mark, rest_len > 0);
        }
        if rest_len > 0 {
            core.arm(slot);
        }
        core.transmit(slot, now);
    }

    fn handle_commands(&mut self) {
        // As many as there can be at one time: those who send more must not keep it from its
        // sessions.
        for _ in 0..COMMANDS_MAX {
            let Ok(command) = self.commands.try_recv() else { return };
            match command {
                // The session may have ended on the way; its owner has been told, or will be.
                Command::Send { id, data } => {
                    let _ = self.core.send(id, &data);
                }
                Command::Kick { id } => {
                    let _ = self.core.kick(id);
                }
                Command::Broadcast { data } => self.broadcast(&data),
                Command::List { reply } => {
                    let _ = reply.send(self.list());
                }
                Command::Adopt { stream, peer } => self.adopt(stream, peer),
            }
        }
        self.resumer.resume();
    }

    fn broadcast(&mut self, data: &[u8]) {
        let all: Vec<SessionId> = self.core.sessions.iter().map(|(id, _)| id).collect();
        for id in all {
            // A slow reader is closed; the others get theirs.
            let _ = self.core.send(id, data);
        }
    }

    fn list(&self) -> Vec<SessionInfo> {
        let now = clock::now();
        let live = self.core.sessions.iter().filter(|(_, session)| !session.ending);
        live.map(|(id, session)| SessionInfo {
            id,
            peer: session.peer,
            silence: session.silence(now),
            beats: session.beats,
            queued: session.queued(),
        })
        .collect()
    }

    fn accept_clients(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &mut self.listener else { return };
            match listener.accept(self.core.handle.admission(), clock::now()) {
                Accepted::Client(stream, peer) => self.welcome(stream, peer),
                Accepted::Refused { cause, first } => self.refused(cause, first),
                Accepted::Nobody => return,
            }
        }
    }

    /// Takes in a client that this shard accepted, or hands it to the shard whose turn it is.
    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.core.handle.admission().accept(clock::now()) {
            let refused = self.core.handle.counters().refused.load(Relaxed);
            tracing::info!(refused, "accepting clients again");
            self.tell(Event::Accepting { refused });
        }
        let Some(shard) = self.hand_over_to else { return self.adopt(stream, peer) };
        let shards = self.core.handle.shards();
        self.hand_over_to = Some((shard + 1) % shards);
        if shard == usize::from(self.core.index) {
            return self.adopt(stream, peer);
        }
        let posted =
            self.core.handle.mailbox(shard).map(|m| m.post(Command::Adopt { stream, peer }));
        if !matches!(posted, Some(Ok(()))) {
            // That shard is stalled or gone; the client is closed and can come again.
            self.core.handle.admission().leave();
            self.core.handle.counters().refused.fetch_add(1, Relaxed);
        }
    }

    fn refused(&mut self, cause: Refusal, first: bool) {
        self.core.handle.counters().refused.fetch_add(1, Relaxed);
        if first {
            let sessions = self.core.handle.count();
            match cause {
                Refusal::SessionLimit => {
                    tracing::warn!(sessions, "at the limit of sessions: refusing new clients");
                }
                Refusal::Descriptors => {
                    tracing::warn!(
                        sessions,
                        "out of file descriptors: refusing new clients (raise the limit, ulimit -n)"
                    );
                }
            }
            self.tell(Event::Refusing { cause });
        }
    }

    /// Makes a session of a client.
    fn adopt(&mut self, stream: TcpStream, peer: SocketAddr) {
        let now = clock::now();
        if let Err(error) = self.core.handle.prepare(&stream) {
            // The client is gone already, most likely.
            tracing::debug!(%peer, %error, "could not set a new client's options");
        }
        let connection = Connection::new(self.core.settings, now);
        let session = Session::new(stream, peer, connection, now);
        let Some(slot) = self.core.sessions.insert(session) else {
            self.core.handle.admission().leave();
            self.core.handle.counters().refused.fetch_add(1, Relaxed);
            return;
        };
        self.core.handle.counters().accepted.fetch_add(1, Relaxed);
        let Some(id) = self.core.sessions.id(slot) else { return };
        self.tell(Event::Online { id, peer });
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        // Not before: its token is its slot.
        let registered =
            self.core.registry.register(&mut session.stream, token(slot), Interest::READABLE);
        match registered {
            Ok(()) => self.core.arm(slot),
            Err(error) => self.core.end(slot, Reason::Failed(error.kind())),
        }
    }

    /// Looks at the sessions whose timer has fired: most have been heard since, and are only armed
    /// again.
    fn handle_timeouts(&mut self) {
        let until = clock::now();
        loop {
            // A handler may have held this shard up since it woke, or since the last judgement.
            self.watch.handle_sleep(self.core.wheel.next_wake());
            let now = self.notice_stall();
            let Some(slot) = self.core.wheel.poll(until) else { return };
            self.judge(slot, now);
            self.core.arm(slot);
        }
    }

    /// Bytes that are in the socket already outrank a deadline.
    fn read_before_judging(&mut self, slot: u32) {
        if self.handler.has_room(&self.resumer) {
            return self.read(slot, false, Arrival::Earlier);
        }
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        if session.has_news() {
            // The owner is slow, so it has to wait where it is.
            session.connection.handle_backpressure(clock::now());
            self.read_later(slot);
        }
    }

    /// Judges a session as of `now`. What it is judged by must have been read at `now` or later, so
    /// the time is not taken again in between.
    fn judge(&mut self, slot: u32, now: Instant) {
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        if session.connection.would_end(now) {
            self.read_before_judging(slot);
        }
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        if let Some(stall) = self.last_stall {
            session.connection.handle_stall(stall);
        }
        match session.connection.handle_timeout(now) {
            Ok(None) => self.core.transmit(slot, now),
            Ok(Some(verdict)) => self.call_dead(slot, verdict),
            Err(violation) => self.core.end(slot, Reason::Protocol(violation)),
        }
    }

    fn call_dead(&mut self, slot: u32, verdict: Verdict) {
        let Some(id) = self.core.sessions.id(slot) else { return };
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        let peer = session.peer;
        // First, so that nothing the handler does can give it another reason.
        self.core.end(slot, Reason::Dead(verdict));
        self.tell(Event::Verdict { id, peer, verdict });
    }

    /// The socket of a session takes bytes again.
    fn unblock(&mut self, slot: u32) {
        let Some(session) = self.core.sessions.get_mut(slot) else { return };
        if session.blocked {
            session.blocked = false;
            self.core.flush_later(slot);
        }
    }

    /// Writes what was queued in this turn, each session's bytes together.
    fn flush(&mut self) {
        for slot in core::mem::take(&mut self.core.unflushed) {
            let Some(session) = self.core.sessions.get_mut(slot) else { continue };
            session.unflushed = false;
            if session.ending {
                continue;
            }
            let now = clock::now();
            if let Err(error) = session.flush(&self.core.registry, token(slot), now) {
                session.fail(error.kind());
                // What the client said before it went is still there to be read.
                self.read(slot, true, Arrival::Now);
            }
        }
    }

    fn mailbox_is_shut_down(&self) -> bool {
        let mailbox = self.core.handle.mailbox(usize::from(self.core.index));
        mailbox.is_some_and(super::mailbox::Mailbox::is_shut_down)
    }

    /// Stops accepting. Sessions end once what is queued for them is sent.
    fn begin_shutdown(&mut self) {
        self.listener = None;
        self.drained_by = Some(clock::now().saturating_add(self.drain));
    }

    /// While shutting down, ends the sessions that have nothing left to send, or all when the time
    /// is up. This looks at all sessions, once per turn of a server that does nothing else any more.
    fn handle_drained(&mut self) {
        let Some(drained_by) = self.drained_by else { return };
        let time_is_up = clock::now() >= drained_by;
        let drained = self
            .core
            .sessions
            .iter()
            .filter(|(_, session)| !session.ending && (time_is_up || session.queued() == 0));
        let drained: Vec<u32> = drained.map(|(id, _)| id.slot()).collect();
        for slot in drained {
            self.core.end(slot, Reason::Shutdown);
        }
    }

    /// Closes sessions that have ended and tells their owner.
    fn take_leave(&mut self) {
        for _ in 0..CLOSES_PER_TURN {
            let Some((slot, reason)) = self.core.ending.pop_front() else { return };
            let Some(id) = self.core.sessions.id(slot) else { continue };
            let Some(mut session) = self.core.sessions.remove(slot) else { continue };
            let now = clock::now();
            if !matches!(reason, Reason::Dead(_) | Reason::Protocol(_)) {
                // The last chance for what is queued; whether it succeeds changes nothing.
                let _ = session.flush(&self.core.registry, token(slot), now);
            }
            if matches!(reason, Reason::Shutdown | Reason::Kicked) {
                self.say_goodbye(&mut session);
            }
            if session.blocked {
                // Else the kernel would go on sending what is queued, to nobody, for minutes. If
                // this fails, it does.
                let _ = socket2::SockRef::from(&session.stream).set_linger(Some(Duration::ZERO));
            }
            let _ = self.core.registry.deregister(&mut session.stream);
            let Session { stream, peer, beats, online_at, .. } = session;
            drop(stream);
            self.core.handle.admission().leave();
            self.core.handle.counters().count_end(&reason);
            if let Reason::Protocol(violation) = reason {
                tracing::warn!(session = %id, %peer, "closed for a protocol error: {violation}");
            } else {
                tracing::debug!(session = %id, %peer, "offline: {reason}");
            }
            if let Reason::Dead(verdict) = reason {
                // Ours was told when it was given; this one shows only here, as the socket's error.
                if verdict.cause == Cause::Kernel {
                    self.tell(Event::Verdict { id, peer, verdict });
                }
            }
            let lasted = now.saturating_since(online_at);
            self.tell(Event::Offline { id, peer, reason, beats, lasted });
        }
    }
}

impl<H: Handler> Shard<H> {
    /// Closes the sending half and discards what has come: a socket that is closed with bytes unread
    /// resets the connection, and the client may lose what was just sent to it.
    fn say_goodbye(&mut self, session: &mut Session) {
        // A client that is gone already needs no goodbye.
        let _ = session.stream.shutdown(Shutdown::Write);
        for _ in 0..READS_PER_TURN {
            match session.read(&mut self.buffer) {
                Ok(Some(len)) if len > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn token(slot: u32) -> Token {
    Token(usize::try_from(slot).unwrap_or(usize::MAX))
}
