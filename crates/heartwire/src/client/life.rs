//! The life cycle of a client: connect, keep the connection, wait, reconnect.
//!
//! [`Life::step`] decides and never blocks: the runtime ([`task`](super::task)) and the simulator
//! do what it returns, which is to connect or to wait.

use core::time::Duration;

use heartwire_core::resume::Ledger;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_core::{Backoff, Connection, Instant};
use tracing::field::Empty;
use tracing::info_span;

use super::app::{App, Link};
use super::config::STABLE;
use super::dial::{Dialled, Dialler};
use super::drive::{self, Driver, End, Ended, Wait};
use super::outbox::Message;
use super::session::Ending;
use super::{Bye, ClientConfig, ConnectError, Event, Reconnect};
use crate::world::{Break, World};
use crate::{Reason, Undelivered};

/// Minimum time between two waits that are cut short: addresses change in bursts.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the task of a client owns.
#[derive(Debug)]
pub struct Life<W: World> {
    world: W,
    pub(super) config: ClientConfig,
    pub(super) dialler: Dialler,
    pub(super) app: App,
    backoff: Option<Backoff>,
    /// How the last connection that was online ended.
    last: Option<Ended>,
    /// The number of the last attempt; 0 after a connection.
    attempt: u32,
    /// When a wait was last cut short.
    looked_at: Option<Instant>,
    phase: Phase<W>,
}

/// The phase of a client.
#[derive(Debug)]
enum Phase<W: World> {
    /// An attempt begins next.
    Starting,
    Dialling,
    Keeping(Box<Driver<W>>),
    /// `is_set`: the time was set by the server, or by `even_if_rejected`.
    Waiting {
        until: Instant,
        is_set: bool,
    },
    Over,
}

/// What to do after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whatever drives a client has to do each")]
pub enum Step {
    /// Connect, and report the result. Returned once per attempt.
    Dial,
    /// Wait for one of these.
    Wait(Wait),
    /// The client has ended.
    Over,
}

impl<W: World> Life<W> {
    pub(super) fn new(world: W, mut config: ClientConfig, app: App) -> Self {
        config.start();
        let backoff = config.reconnect.as_ref().map(Reconnect::backoff);
        Self {
            world,
            config,
            dialler: Dialler::default(),
            app,
            backoff,
            last: None,
            attempt: 0,
            looked_at: None,
            phase: Phase::Starting,
        }
    }

    /// Does everything that can be done without blocking, whatever woke the caller.
    pub fn step(&mut self) -> Step {
        loop {
            if let Phase::Dialling | Phase::Waiting { .. } = self.phase {
                self.end_in_time();
            }
            match &mut self.phase {
                Phase::Starting => {
                    self.attempt = self.attempt.saturating_add(1);
                    self.app.outlet.push_news(Event::Connecting { attempt: self.attempt });
                    self.phase = Phase::Dialling;
                    return Step::Dial;
                }
                Phase::Keeping(driver) => match driver.step(&mut self.app) {
                    drive::Step::Wait(wait) => return Step::Wait(wait),
                    drive::Step::Over(end) => self.handle_end(end),
                },
                Phase::Dialling | Phase::Waiting { .. } if self.app.is_over => self.finish(),
                Phase::Dialling => return Step::Wait(self.wait_and_deliver(None)),
                &mut Phase::Waiting { until, is_set } => {
                    let now = self.world.now();
                    let wake_at = self.look_at(is_set, now).map_or(until, |at| at.min(until));
                    if now < wake_at {
                        return Step::Wait(self.wait_and_deliver(Some(wake_at)));
                    }
                    // Not if the server set the time: it may want its clients to reconnect one
                    // after another.
                    if !is_set && self.app.controls.take_look() && now < until {
                        self.looked_at = Some(now);
                    }
                    self.phase = Phase::Starting;
                }
                Phase::Over => return Step::Over,
            }
        }
    }

    /// Without a connection: ends the client if the application closes it, unless it comes back to
    /// its session first, and ends a session that has been without a connection for too long.
    fn end_in_time(&mut self) {
        if self.app.wants_close() || self.app.away().is_some() {
            let within = self.config.close_timeout;
            let goes_on = self.backoff.is_some();
            self.app.end_in_time(within, goes_on, self.world.now_and_suspended());
        }
    }

    /// When to cut the wait short, if at all.
    fn look_at(&self, is_set: bool, now: Instant) -> Option<Instant> {
        let looks = !is_set && self.app.controls.wants_look();
        looks.then(|| self.looked_at.map_or(now, |at| at.saturating_add(LOOK_PAUSE)))
    }

    /// Without a connection, delivers kept events to the application as it makes room.
    fn wait_and_deliver(&mut self, until: Option<Instant>) -> Wait {
        let is_done = self.app.outlet.deliver();
        let until = [until, self.app.away_until()].into_iter().flatten().min();
        self.app.watch.handle_sleep(until);
        Wait { room: !is_done, close: self.app.leave_by.is_none(), until, ..Wait::default() }
    }

    /// Handles the result of an attempt.
    pub(super) fn handle_dialled(&mut self, outcome: Result<Dialled<W::Socket>, ConnectError>)
    where
        W: Clone,
    {
        let Phase::Dialling = self.phase else { return };
        match outcome {
            Ok(dialled) => {
                let span = info_span!("session", peer = %dialled.peer, session = Empty);
                let (world, app) = (self.world.clone(), &mut self.app);
                let last = self.last.as_ref();
                let driver = Driver::new(world, dialled, &self.config, last, span, app);
                self.phase = Phase::Keeping(Box::new(driver));
            }
            Err(error) => {
                let (is_retryable, is_rejection) = (error.is_retryable(), error.is_rejection());
                self.app.outlet.push_news(Event::Failed { error });
                // A server that the client rejects is treated like a server that rejects the
                // client.
                let is_set = is_rejection && self.heed(Some(RetryHint::Never));
                let goes_on = is_retryable || is_set;
                if !goes_on {
                    self.app.end_away(Reason::NotBack, None, false);
                }
                if goes_on { self.wait(is_set) } else { self.finish() }
            }
        }
    }

    /// Handles the result of a [spare](Wait::spare) connection. If there is one, and the present
    /// one is still suspected to be lost, the session goes on over it.
    pub(super) fn handle_spare(&mut self, outcome: Result<Dialled<W::Socket>, ConnectError>)
    where
        W: Clone,
    {
        let now = self.world.now();
        let Phase::Keeping(driver) = &mut self.phase else { return };
        let span = driver.span().clone();
        let judge = || driver.judge_spare(&mut self.app, outcome.is_ok(), now);
        let Some((reason, dialled)) = span.in_scope(judge).zip(outcome.ok()) else { return };
        let phase = core::mem::replace(&mut self.phase, Phase::Dialling);
        let Phase::Keeping(driver) = phase else { return };
        self.attempt = 0;
        self.last = driver.ended(reason).or(self.last);
        self.app.controls.set_link_state(None, now);
        span.in_scope(|| self.go_away(*driver, reason, now));
        self.handle_dialled(Ok(dialled));
    }

    /// Handles the end of a connection: reports it, and decides how to go on.
    fn handle_end(&mut self, end: End) {
        let phase = core::mem::replace(&mut self.phase, Phase::Over);
        let Phase::Keeping(mut driver) = phase else { return };
        let End { reason, lasted_until } = end;
        let bye = driver.take_bye();
        let hint = bye.as_ref().map(|bye| bye.retry);
        if bye.as_ref().is_some_and(|bye| bye.code == ByeCode::Unauthorized) {
            self.dialler.forget_tickets();
        }
        let now = self.world.now();
        if let Some((from, until)) = driver.online_at().zip(lasted_until) {
            if let Some(session) = self.app.session.as_deref_mut() {
                let lasted = if driver.has_carried() { STABLE } else { Duration::ZERO };
                session.backoff.handle_connected(from);
                session.backoff.handle_disconnected(until.max(from.saturating_add(lasted)));
            }
            if let Some(backoff) = &mut self.backoff {
                backoff.handle_connected(from);
                backoff.handle_disconnected(until);
            }
        }
        self.last = driver.ended(reason).or(self.last);
        let is_dead = matches!(reason, Reason::Dead(_));
        if driver.is_online() && driver.has_heard() && !is_dead {
            self.dialler.handle_worked(driver.peer());
        } else {
            self.dialler.handle_failed(driver.peer(), now);
        }
        self.app.controls.set_link_state(None, now);
        let is_final = hint == Some(RetryHint::Never) && self.config.even_if_rejected().is_none();
        let goes_on = lasted_until.is_some() && !is_final;
        if driver.is_online() {
            self.attempt = 0;
        }
        let span = driver.span().clone();
        let ends_session = driver.ends_session(&self.app, &reason);
        if !ends_session {
            span.in_scope(|| self.go_away(*driver, reason, now));
        } else {
            span.in_scope(|| self.tell_end(*driver, reason, bye, goes_on));
            if !goes_on && self.app.away().is_none() {
                return self.finish();
            }
        }
        let is_lost = reason == Reason::NetworkChanged;
        if is_lost && self.backoff().is_some() {
            // The path to the server was lost, and another one may exist.
            self.phase = Phase::Starting;
        } else {
            let is_set = self.heed(hint);
            self.wait(is_set);
        }
    }

    /// The session goes on without a connection.
    fn go_away(&mut self, mut driver: Driver<W>, reason: Reason, now: Instant) {
        let (peer, beats, ledger) = (driver.peer(), driver.beats(), driver.detach());
        // Close the socket before the application learns of the end.
        drop(driver);
        let Some((session, ledger)) = self.app.session.as_deref_mut().zip(ledger) else { return };
        session.beats = session.beats.saturating_add(beats);
        session.go_away(ledger, peer, now);
        let within = session.grace();
        self.app.outbox.handle_link_end();
        self.app.outlet.push_news(Event::Away { peer, reason, within });
        if self.world.breaks(Break::TellsAwayTwice) {
            self.app.outlet.push_news(Event::Away { peer, reason, within });
        }
    }

    fn tell_end(&mut self, mut driver: Driver<W>, reason: Reason, bye: Option<Bye>, goes_on: bool) {
        let (peer, beats, was_online) = (driver.peer(), driver.beats(), driver.is_online());
        let (told, ledger) = (driver.told(), driver.detach());
        let unacknowledged = driver.unacknowledged();
        // Close the socket before the application learns of the end.
        drop(driver);
        let follows = goes_on && self.backoff.is_some();
        if was_online {
            let earlier = self.app.session.as_deref().map_or(0, |session| session.beats);
            let beats = beats.saturating_add(earlier);
            let goes_on = follows;
            let ending = Ending { reason, peer, beats, unacknowledged, bye, told, goes_on };
            self.app.end_session(ledger, ending);
            if self.world.breaks(Break::TellsOfflineTwice) {
                let (unsent, undelivered) = (0, Undelivered::NOTHING);
                let (unacknowledged, bye) = (0, None);
                let again = Event::Offline {
                    peer,
                    reason,
                    unsent,
                    undelivered,
                    unacknowledged,
                    beats,
                    bye,
                };
                self.app.outlet.push_news(again);
            }
            if self.world.breaks(Break::SpeaksAfterOffline) {
                self.app.outlet.push_news(Event::TooFast);
            }
            return;
        }
        if self.app.away().is_none() {
            self.app.settle_messages(follows);
        } else {
            self.app.outbox.handle_link_end();
        }
        if reason == Reason::Shutdown {
            let is_rest = self.app.has_undelivered();
            let reason = if is_rest { Reason::Unacknowledged } else { reason };
            return self.app.end_away(reason, None, false);
        }
        let ends_session = bye.as_ref().map(|bye| (bye.code, goes_on));
        let error = match (reason, bye) {
            (Reason::Bye(code), Some(Bye { retry, detail, .. })) => {
                ConnectError::Rejected { peer, code, retry, detail }
            }
            (Reason::Tls(error), _) => ConnectError::Tls { peer, error, detail: String::new() },
            (reason, _) => ConnectError::NoWelcome { peer, reason },
        };
        self.app.outlet.push_news(Event::Failed { error });
        match ends_session {
            Some((ByeCode::NotResumable, _)) => {
                self.app.end_away(Reason::NotResumed, told, follows);
            }
            // It is gone, or this client may not come back to it.
            Some((code, goes_on)) if code == ByeCode::TakenOver || !goes_on => {
                self.app.end_away(Reason::Bye(code), told, follows);
            }
            Some(_) | None => {}
        }
    }

    /// The waits that count now: those for the session that has no connection, or the client's own.
    fn backoff(&mut self) -> Option<&mut Backoff> {
        match self.app.session.as_deref_mut() {
            Some(session) => Some(&mut session.backoff),
            None => self.backoff.as_mut(),
        }
    }

    /// Applies the server's retry hint to the next wait. Returns whether the hint set its time.
    fn heed(&mut self, hint: Option<RetryHint>) -> bool {
        let even_if_rejected = self.config.even_if_rejected();
        let Some(backoff) = self.backoff() else { return false };
        match (hint, even_if_rejected) {
            (Some(RetryHint::Within { earliest, latest }), _) => {
                backoff.handle_hint(earliest, latest);
            }
            (Some(RetryHint::Never), Some(every)) => {
                backoff.come_back_within(every, every.saturating_mul(2));
            }
            (Some(RetryHint::Never | RetryHint::AtWill) | None, _) => return false,
        }
        true
    }

    /// Waits before the next attempt, or ends if there is none.
    fn wait(&mut self, is_set: bool) {
        // The connection may have ended before its driver noticed the close.
        let closes = self.app.is_over || (self.app.wants_close() && self.app.away().is_none());
        let Some(backoff) = self.backoff().filter(|_| !closes) else { return self.finish() };
        let wait = backoff.next_wait();
        let attempt = self.attempt.saturating_add(1);
        self.app.outlet.push_news(Event::Waiting { wait, attempt });
        self.phase = Phase::Waiting { until: self.world.now().saturating_add(wait), is_set };
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.app.intake.set(Link::Closed);
        // A `send` that waits for room gets it now, and then finds the intake closed.
        self.app.drop_messages();
        // Makes `Client::closed` return.
        self.app.messages.close();
        self.app.outlet.finish(Event::Closed);
    }

    /// Takes a message from the queue, because a step [asked](Wait::message) for one.
    pub(super) fn push(&mut self, message: Message) {
        if let Phase::Keeping(driver) = &mut self.phase {
            driver.push(&mut self.app, message);
        }
    }

    /// Whether another session may follow this one.
    pub(super) const fn reconnects(&self) -> bool {
        self.backoff.is_some()
    }

    /// Makes a spare connection, to where the present one leads.
    pub(super) fn spare_parts(&self) -> (Dialler, ClientConfig) {
        let mut dialler = Dialler::default();
        if let Phase::Keeping(driver) = &self.phase {
            dialler.session_at = Some(driver.peer());
        }
        (dialler, self.config.clone())
    }

    /// The socket, while there is a connection, and the application.
    pub(super) fn parts(&mut self) -> (Option<&W::Socket>, &mut App) {
        let socket = match &self.phase {
            Phase::Keeping(driver) => Some(driver.socket()),
            Phase::Starting | Phase::Dialling | Phase::Waiting { .. } | Phase::Over => None,
        };
        (socket, &mut self.app)
    }

    /// The positions of the session, if it can be resumed, with or without a connection.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        let with_connection = self.connection().and_then(Connection::ledger);
        with_connection.or_else(|| self.app.away().map(|away| &*away.ledger))
    }

    /// Whether the session is away, if there is one that outlives its connections.
    #[must_use]
    pub fn is_away(&self) -> Option<bool> {
        self.app.session.as_ref().map(|session| session.away.is_some())
    }

    /// The core's state of the connection, while there is one.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Keeping(driver) => Some(driver.connection()),
            Phase::Starting | Phase::Dialling | Phase::Waiting { .. } | Phase::Over => None,
        }
    }

    /// Whether there is a connection that is neither lost nor being closed.
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        matches!(&self.phase, Phase::Keeping(driver) if driver.is_kept())
    }
}

#[cfg(test)]
mod tests;
