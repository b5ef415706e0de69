//! The driver of one connection: moves bytes and time between a socket and the core.
//!
//! [`Driver::step`] does everything that can be done without blocking, and returns what to wait
//! for. It uses only a [`World`], so that the simulator can run it too.

mod closing;
mod discard;
mod ending;
mod hearing;
mod judging;
mod leaving;
mod resuming;
mod sending;
mod suspicion;

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::order::{self, Outbound};
use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{Health, Welcome};
use heartwire_core::{Backoff, Boxed, Connection, Instant, Pause};
use tracing::{Span, debug};

pub(super) use self::ending::Ended;
use self::ending::{Draining, Explaining};
use self::judging::PathCheck;
use self::leaving::Leaving;
use super::app::{App, Link};
use super::dial::Dialled;
use super::inbox::Inbox;
use super::outbox::Message;
use super::pace::Pace;
use super::transport::Transport;
use super::{Bye, ClientConfig, Event};
use crate::Reason;
use crate::kernel::KernelReport;
use crate::world::World;

/// The driver of one connection.
#[derive(Debug)]
pub(super) struct Driver<W: World> {
    world: W,
    transport: Transport<W::Socket>,
    connection: Connection,
    peer: SocketAddr,
    kernel: KernelReport,
    watchdog: Option<Duration>,
    close_timeout: Duration,
    /// How many of the last bytes are only `close_notify` and the end of the stream.
    end_len: usize,
    made_at: Instant,
    online_at: Option<Instant>,
    /// The server's id of this session (protocol v1).
    session: Option<u64>,
    /// When the connection was lost.
    lost_at: Option<Instant>,
    /// The server's BYE, and up to where it has taken over what came in the session, if the BYE
    /// says so.
    bye: Option<Bye>,
    told: Option<Position>,
    resume_backoff: Backoff,
    /// Whether a spare connection is made on [suspicion](suspicion).
    suspects: bool,
    /// Not before this time, once there was one.
    spare_at: Option<Instant>,
    inbox: Inbox,
    beats: u64,
    write_failed: bool,
    /// The application has closed the client, and takes no more data.
    drops_data: bool,
    /// Messages came, or were taken over by the server.
    has_carried: bool,
    /// A waiting beat has news that the server should read at once.
    has_news: bool,
    /// The interval last promised to the server, if not the negotiated one, and the health last
    /// reported.
    promised: Option<Duration>,
    health: Health,
    pace: Pace,
    /// When changes since then may be sent.
    news_at: Option<Instant>,
    last_pause: Option<Pause>,
    /// When the timer fires. Deadlines mostly move later, so it is not changed before that.
    timer_at: Option<Instant>,
    path_check: Option<PathCheck>,
    /// Unread bytes in the socket are no older than this.
    unread_since: Instant,
    jiffy: Duration,
    span: Span,
    phase: Phase,
}

/// The phase of a driver.
#[derive(Debug, Default)]
enum Phase {
    /// The connection is up.
    #[default]
    Keeping,
    Explaining(Explaining),
    Draining(Draining),
    Leaving(Leaving),
}

/// What to do after one phase.
enum Next {
    Wait(Phase, Wait),
    Phase(Phase),
    Over(End),
}

/// The result of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// Wait for one of these.
    Wait(Wait),
    /// The connection is over.
    Over(End),
}

/// What to wait for: the next step is due when the first of them happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing to wait for, in any combination"
)]
pub struct Wait {
    /// The socket has something to read.
    pub readable: bool,
    /// The socket is writable.
    pub writable: bool,
    /// The application has room for an event.
    pub room: bool,
    /// The application has a message.
    pub message: bool,
    /// The application closes the client.
    pub close: bool,
    /// A spare connection, which is to be made meanwhile; while this is false, it is given up.
    pub spare: bool,
    /// This time. The caller resets its timer only if this has changed.
    pub until: Option<Instant>,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(super) struct End {
    pub(super) reason: Reason,
    /// Until when it worked; `None` if the application closed it.
    pub(super) lasted_until: Option<Instant>,
}

impl<W: World> Driver<W> {
    pub(super) fn new(
        world: W,
        dialled: Dialled<W::Socket>,
        config: &ClientConfig,
        last: Option<&Ended>,
        span: Span,
        app: &mut App,
    ) -> Self {
        let entered = span.clone().entered();
        let Dialled { transport, said, peer, kernel } = dialled;
        let (now, suspended) = world.now_and_suspended();
        // A pause before this connection is none of it.
        let _ = app.handle_wake(now, suspended);
        let only = config.reconnect.is_none() || app.leave_by.is_some();
        let resuming =
            app.session.as_deref_mut().and_then(|session| session.next_link(only, &world));
        let mut driver = Self {
            transport,
            connection: Connection::new(config.settings(resuming.as_ref()), now),
            peer,
            kernel,
            watchdog: config.v1_settings().and_then(|v1| v1.watchdog),
            close_timeout: config.close_timeout,
            end_len: 0,
            made_at: now,
            online_at: None,
            session: None,
            lost_at: None,
            bye: None,
            told: None,
            resume_backoff: config.resume_backoff(),
            suspects: config.suspects(),
            spare_at: None,
            inbox: Inbox::default(),
            beats: 0,
            write_failed: false,
            drops_data: false,
            has_carried: false,
            has_news: false,
            promised: None,
            health: Health::Ok,
            pace: Pace::new(now),
            news_at: None,
            last_pause: None,
            timer_at: None,
            path_check: None,
            unread_since: now,
            jiffy: world.jiffy(),
            span,
            phase: Phase::Keeping,
            world,
        };
        match config.hello(last.map(|last| last.as_told(now)), resuming, now) {
            Some(hello) => {
                // Messages kept from the last connection must not be sent before the WELCOME.
                app.outbox.hold();
                app.outbox.push_control(hello);
            }
            None => driver.go_online(app, None, now),
        }
        driver.inbox.push(&said);
        drop(entered);
        driver
    }

    /// A new session begins. `welcome` is that of protocol v1.
    fn go_online(&mut self, app: &mut App, welcome: Option<Box<Welcome>>, now: Instant) {
        if let Some(welcome) = &welcome {
            self.span.record("session", welcome.session);
            self.session = Some(welcome.session);
        }
        let max_frame = self.begin_session(app, welcome.as_deref());
        app.intake.set(Link::Up { max_frame, is_resumable: app.session.is_some() });
        let (peer, kernel) = (self.peer, self.kernel.clone());
        app.outlet.push_news(Event::Online { peer, kernel, welcome });
        app.outbox.release();
        self.begin_link(app, now);
    }

    /// Messages kept from the last connection follow the first beat.
    fn begin_link(&mut self, app: &mut App, now: Instant) {
        self.online_at = Some(now);
        self.connection.beat_now();
        self.promised = app.controls.promise();
        if let Some(promise) = self.promised {
            self.connection.promise(promise);
        }
        let is_v1 = self.connection.contract().is_some();
        let outbound = if is_v1 { Outbound::Waiting } else { Outbound::Clear };
        if let order::Next::Write(beat) = self.connection.poll(now, outbound) {
            self.push_beat(app, beat, Outbound::Waiting);
        }
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    pub(super) const fn socket(&self) -> &W::Socket {
        &self.transport.socket
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the connection is neither lost nor being closed.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.phase, Phase::Keeping)
    }

    /// Whether `Online` was reported.
    pub(super) const fn is_online(&self) -> bool {
        self.online_at.is_some()
    }

    /// When `Online` was reported, if it was.
    pub(super) const fn online_at(&self) -> Option<Instant> {
        self.online_at
    }

    /// Takes the server's BYE.
    pub(super) const fn take_bye(&mut self) -> Option<Bye> {
        self.bye.take()
    }

    /// Up to where the server has taken over what came, if it said so at the end of the session.
    pub(super) const fn told(&self) -> Option<Position> {
        self.told
    }

    /// Takes the positions of the session, if it can be resumed.
    pub(super) fn detach(&mut self) -> Option<Boxed<Ledger>> {
        self.connection.detach()
    }

    /// Beats received from the server.
    pub(super) const fn beats(&self) -> u64 {
        self.beats
    }

    /// Whether messages came, or were taken over by the server, in a session that can be resumed.
    pub(super) const fn has_carried(&self) -> bool {
        self.has_carried
    }

    /// Whether anything came from the server.
    pub(super) fn has_heard(&self) -> bool {
        self.connection.last_heard() > self.made_at
    }

    /// Does everything that can be done without blocking, whatever woke the caller.
    pub(super) fn step(&mut self, app: &mut App) -> Step {
        let _entered = self.span.clone().entered();
        let (now, suspended) = self.world.now_and_suspended();
        let mut pause = app.handle_wake(now, suspended);
        self.timer_at = self.timer_at.filter(|&at| at > now);
        loop {
            let next = match core::mem::take(&mut self.phase) {
                Phase::Keeping if app.wants_close() && !self.comes_back_first(app, now) => {
                    Next::Phase(self.begin_to_leave(app, now))
                }
                Phase::Keeping => match self.keep(app, pause.take(), now) {
                    Ok(wait) => Next::Wait(Phase::Keeping, wait),
                    // There is no connection yet that could be drained.
                    Err(reason @ Reason::NotBack) => {
                        Next::Over(End { reason, lasted_until: Some(now) })
                    }
                    Err(Reason::Done) => Next::Phase(self.begin_to_leave(app, now)),
                    Err(reason) => Next::Phase(self.lose(app, reason, now)),
                },
                Phase::Explaining(explaining) => self.explain(app, explaining, now),
                Phase::Draining(draining) => self.drain(app, draining, now),
                Phase::Leaving(leaving) => self.leave(app, leaving, now),
            };
            match next {
                Next::Wait(phase, mut wait) => {
                    self.phase = phase;
                    self.inbox.rest();
                    self.timer_at = [self.timer_at, wait.until].into_iter().flatten().min();
                    app.watch.handle_sleep(self.timer_at);
                    wait.until = self.timer_at;
                    return Step::Wait(wait);
                }
                Next::Phase(phase) => self.phase = phase,
                Next::Over(end) => return Step::Over(end),
            }
        }
    }

    /// One step of a connection that is up, in the order that the core requires.
    fn keep(&mut self, app: &mut App, pause: Option<Pause>, now: Instant) -> Result<Wait, Reason> {
        // Before the server has answered, the handshake timeout runs. If it does not answer, the
        // wait for the next attempt is cut short.
        if self.is_online() && app.controls.take_look() {
            self.ask(now);
        }
        self.read(app, now)?;
        // The grace of the session, while the server has not answered.
        let away_until = app.away_until();
        if away_until.is_some_and(|until| now >= until) {
            return Err(Reason::NotBack);
        }
        self.count_taken(app);
        self.account_for_pauses(app, pause, now);
        self.judge_path(now)?;
        self.tell_news(app, now);
        self.follow(app, now)?;
        self.settle(app)?;
        if self.connection.ledger().is_some_and(Ledger::is_done) {
            return Err(Reason::Done);
        }
        self.take(app);
        self.write(app, now)?;
        // Reading stops until the application has room.
        let has_room = self.feed(app, now)?;
        if has_room {
            app.outlet.rest();
        }
        let acks = self.wait_for_acks(app);
        let deadlines = [
            self.connection.poll_timeout(),
            self.progress_deadline(app, now),
            self.news_at,
            self.path_check.as_ref().map(PathCheck::deadline),
            app.leave_by,
            self.spare_deadline(app, now),
            acks.then_some(now),
            away_until,
            // The end is known, and only has to be read.
            (has_room && self.transport.has_ended()).then_some(now),
        ];
        Ok(Wait {
            readable: has_room,
            writable: self.has_unwritten(app),
            room: !has_room || app.outlet.kept() > 0,
            message: self.takes_messages(app),
            close: app.leave_by.is_none(),
            spare: has_room && self.wants_spare(app, now),
            until: deadlines.into_iter().flatten().min(),
        })
    }

    /// Whether bytes wait to be written.
    fn has_unwritten(&self, app: &App) -> bool {
        !app.outbox.is_empty() || self.transport.wants_write()
    }

    fn reason_of(&self, error: &io::Error, now: Instant) -> Reason {
        debug!(%error, "the socket failed");
        Reason::of_error(error, now.saturating_since(self.connection.last_heard()))
    }
}

#[cfg(test)]
mod tests;
