//! Closing a connection for the application, or because its session is over: writes accepted
//! messages, and waits until the server has acknowledged them.

use core::time::Duration;
use std::io;

use heartwire_core::Instant;
use heartwire_core::internal::Spoken;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use tracing::debug;

use super::closing::{self, Closing, LINGER};
use super::discard::Discard;
use super::{App, Driver, End, Next, Phase, Wait};
use crate::Reason;
use crate::client::app::Link;
use crate::world::{Socket as _, World};

/// How often to check what the server has acknowledged; there is no event for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Number of reads in one step: what a server sends to a client that closes is acknowledgements.
const READS_AT_ONCE: u32 = 4;

/// The state of a close on purpose.
#[derive(Debug)]
pub(super) struct Leaving {
    closing: Closing,
    bye_len: usize,
    discard: Discard,
}

impl<W: World> Driver<W> {
    /// Begins the close.
    pub(super) fn begin_to_leave(&mut self, app: &mut App, now: Instant) -> Phase {
        app.intake.set(Link::Closed);
        if app.controls.aborts() {
            app.drop_unwritten();
        }
        // Before the server has answered, no message has been sent.
        let is_online = self.is_online();
        let within = if is_online { self.close_timeout } else { self.close_timeout.min(LINGER) };
        let leave_by = *app.leave_by.get_or_insert(now.saturating_add(within));
        // The session that it was about to come back to is not kept beyond its grace.
        let until = app.away_until().unwrap_or(leave_by);
        let within = within.min(until.saturating_since(now));
        self.drops_data = true;
        if let Some((session, ledger)) =
            app.session.as_deref_mut().zip(self.connection.ledger_mut())
        {
            session.take_last(ledger, app.controls.aborts());
        }
        let (closing, discard) = (Closing::new(now, within), Discard::default());
        Phase::Leaving(Leaving { closing, bye_len: 0, discard })
    }

    /// Writes accepted messages, closes the connection, and waits until the server has acknowledged
    /// everything, within `close_timeout`. Ends with [`Reason::Shutdown`] if it has, or with
    /// [`Reason::Done`] if the application did not ask for the close.
    pub(super) fn leave(&mut self, app: &mut App, mut it: Leaving, now: Instant) -> Next {
        let closed = self.flush_and_close(app, &mut it, now);
        if matches!(closed, Ok(closing::Step::Wait)) {
            let look_at = now.saturating_add(LOOK_EVERY);
            let wait = Wait {
                readable: it.discard.wants_read(),
                writable: self.has_unwritten(app),
                until: Some(it.discard.resumes_at().map_or(look_at, |at| at.min(look_at))),
                ..Wait::default()
            };
            return Next::Wait(Phase::Leaving(it), wait);
        }
        debug!(?closed, "closed");
        self.end_len = it.closing.end_len;
        let wants_close = app.wants_close();
        let left = if wants_close { Reason::Shutdown } else { Reason::Done };
        // The server closed as well, and has not acknowledged the whole BYE. If the session is
        // done, it may not know that yet.
        let is_known =
            if wants_close { self.unacknowledged() <= it.bye_len } else { self.bye.is_some() };
        let reason = match closed {
            Ok(_) if self.is_left(it.bye_len) => {
                Reason::Bye(self.bye.as_ref().map_or(ByeCode::Done, |bye| bye.code))
            }
            Ok(closing::Step::Done | closing::Step::Wait) => left,
            _ if !self.is_online() => Reason::Shutdown,
            Ok(closing::Step::GiveUp) => Reason::Unacknowledged,
            // In a session that can be resumed it may still say what it has taken over.
            Err(_) if !app.has_undelivered() && is_known => left,
            Err(error) => self.reason_of(&error, now),
        };
        Next::Over(End { reason, lasted_until: None })
    }

    fn flush_and_close(
        &mut self,
        app: &mut App,
        it: &mut Leaving,
        now: Instant,
    ) -> io::Result<closing::Step> {
        let Leaving { closing, bye_len, discard } = it;
        let mut took = false;
        // They make room in the window.
        let is_resumable = self.connection.ledger().is_some();
        if is_resumable {
            closing.server_closed |= self.read_acks(app, now)?;
            if self.is_left(*bye_len) {
                return Ok(closing::Step::Done);
            }
        }
        loop {
            self.take(app);
            let is_v1 = self.connection.spoken() == Spoken::V1;
            if app.outbox.is_empty() && app.pending.is_empty() && *bye_len == 0 && is_v1 {
                let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(app.last_taken());
                let bye = bye.encode_greased(self.made_at.as_nanos());
                *bye_len = bye.len() + self.transport.overhead();
                app.outbox.push_control(bye);
            }
            let is_all_taken = app.outbox.is_empty();
            took |= self.write_now(app)? > 0;
            // The rest waits for the kernel or the window.
            let waits = self.has_unwritten(app) || !app.pending.is_empty();
            if closing.said_all_at.is_some() || waits {
                break;
            }
            if is_all_taken {
                closing.end_len += self.transport.close()?;
                if !self.has_unwritten(app) {
                    closing.said_all_at = Some(now);
                    self.transport.socket.shutdown_writing()?;
                }
                break;
            }
            // There may be more messages than one batch; the BYE comes after them.
        }
        // Read on, because a server that is stuck in a write does not read until that is done.
        if !is_resumable {
            discard.run(&mut self.transport.socket, &mut self.inbox, now)?;
            closing.server_closed = discard.has_ended();
        }
        let socket = &self.transport.socket;
        closing.resends_after = socket.resends_after().unwrap_or_default();
        Ok(closing.judge(now, took, socket.unacknowledged()))
    }

    /// Whether the server ended the session before this client did.
    const fn is_left(&self, bye_len: usize) -> bool {
        self.bye.is_some() && bye_len == 0
    }

    /// Reads what the server has taken over, and its BYE, as long as the session can be resumed.
    /// Returns whether the server has closed.
    fn read_acks(&mut self, app: &mut App, now: Instant) -> io::Result<bool> {
        for _ in 0..READS_AT_ONCE {
            let space = self.inbox.space(self.transport.min_read_len());
            let read = self.transport.read(space);
            match self.handle_read(app, read, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Reason::ClosedByPeer | Reason::NoGoodbye | Reason::Truncated) => {
                    return Ok(true);
                }
                // After that it closes.
                Err(Reason::Bye(_)) => break,
                Err(_) => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        self.settle(app).map_err(|_| io::ErrorKind::ConnectionReset)?;
        Ok(false)
    }

    /// Bytes that the server has not acknowledged, except `close_notify` and the end of the stream.
    pub(in crate::client) fn unacknowledged(&self) -> usize {
        let all = self.transport.socket.unacknowledged().unwrap_or_default();
        all.saturating_sub(self.end_len)
    }
}
