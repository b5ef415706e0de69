//! Closing a connection for the application: writes accepted messages, and waits until the server
//! has acknowledged them.

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

/// The state of a close that the application asked for.
#[derive(Debug)]
pub(super) struct Leaving {
    closing: Closing,
    bye_len: usize,
    discard: Discard,
}

impl<W: World> Driver<W> {
    /// Begins the close.
    pub(super) fn begin_to_leave(&self, app: &App, now: Instant) -> Phase {
        app.intake.set(Link::Closed);
        // Before the server has answered, no message has been sent.
        let is_online = self.is_online();
        let within = if is_online { self.close_timeout } else { self.close_timeout.min(LINGER) };
        let (closing, discard) = (Closing::new(now, within), Discard::default());
        Phase::Leaving(Leaving { closing, bye_len: 0, discard })
    }

    /// Writes accepted messages, closes the connection, and waits until the server has acknowledged
    /// everything, within `close_timeout`. Ends with [`Reason::Shutdown`] if it has.
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
        let reason = match closed {
            Ok(closing::Step::Done | closing::Step::Wait) => Reason::Shutdown,
            _ if !self.is_online() => Reason::Shutdown,
            Ok(closing::Step::GiveUp) => Reason::Unacknowledged,
            // The server closed as well, and has not acknowledged the whole BYE.
            Err(_) if !app.outbox.has_message() && self.unacknowledged() <= it.bye_len => {
                Reason::Shutdown
            }
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
        loop {
            self.take(app);
            let is_v1 = self.connection.spoken() == Spoken::V1;
            if app.outbox.is_empty() && *bye_len == 0 && is_v1 {
                let bye = Bye::new(ByeCode::Done, RetryHint::AtWill);
                let bye = bye.encode_greased(self.made_at.as_nanos());
                *bye_len = bye.len() + self.transport.overhead();
                app.outbox.push_control(bye);
            }
            let is_all_taken = app.outbox.is_empty();
            took |= app.outbox.write(&mut self.transport)?.len > 0;
            if closing.said_all_at.is_some() || self.has_unwritten(app) {
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
        discard.run(&mut self.transport.socket, &mut self.inbox, now)?;
        closing.server_closed = discard.has_ended();
        let socket = &self.transport.socket;
        closing.resends_after = socket.resends_after().unwrap_or_default();
        Ok(closing.judge(now, took, socket.unacknowledged()))
    }

    /// Bytes that the server has not acknowledged, except `close_notify` and the end of the stream.
    pub(in crate::client) fn unacknowledged(&self) -> usize {
        let all = self.transport.socket.unacknowledged().unwrap_or_default();
        all.saturating_sub(self.end_len)
    }
}
