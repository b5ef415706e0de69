//! The close of a connection by its application: what was accepted is written, and the server has to have
//! it.

use core::time::Duration;
use std::io;

use heartwire_core::v1::{Bye, ByeCode, RetryHint};
use heartwire_core::{Instant, Spoken};
use tracing::debug;

use super::closing::{self, Closing, LINGER};
use super::discard::Discard;
use super::{App, Driver, End, Next, Phase, Wait};
use crate::Reason;
use crate::client::app::Link;
use crate::world::{Socket as _, World};

/// How often to look at what the server has acknowledged: nothing else tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The application has asked for the end of the connection.
#[derive(Debug)]
pub(super) struct Leaving {
    closing: Closing,
    bye_len: usize,
    discard: Discard,
}

impl<W: World> Driver<W> {
    /// The application asks for the end.
    pub(super) fn begin_to_leave(&self, app: &App, now: Instant) -> Phase {
        app.intake.set(Link::Closed);
        // Before the server has answered, nothing of the application's is on its way.
        let is_online = self.is_online();
        let within = if is_online { self.close_timeout } else { self.close_timeout.min(LINGER) };
        let (closing, discard) = (Closing::new(now, within), Discard::default());
        Phase::Leaving(Leaving { closing, bye_len: 0, discard })
    }

    /// Writes what was accepted, closes the connection, and waits until the server has everything,
    /// within the time that the application gave for it. The end is [`Reason::Shutdown`] if the
    /// server has everything.
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
            // A server that closed as well, and has not read the BYE to the end.
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
                let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).encode();
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
            // There may be more messages than are written at a time, and the BYE comes then.
        }
        // A server that is itself stuck in a write reads nothing until that has gone through.
        discard.run(&mut self.transport.socket, &mut self.inbox, now)?;
        closing.server_closed = discard.has_ended();
        let socket = &self.transport.socket;
        closing.resends_after = socket.resends_after().unwrap_or_default();
        Ok(closing.judge(now, took, socket.unacknowledged()))
    }

    /// How many bytes the server has not acknowledged, but for those that only say that nothing
    /// more comes.
    pub(in crate::client) fn unacknowledged(&self) -> usize {
        let all = self.transport.socket.unacknowledged().unwrap_or_default();
        all.saturating_sub(self.end_len)
    }
}
