//! After a connection is lost: sends a BYE, and reads the rest.

use core::time::Duration;
use std::io;

use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{Bye, ByeCode, LastConnection, RetryHint};
use heartwire_core::{Instant, Violation};
use tracing::debug;

use super::closing::LINGER;
use super::discard::Discard;
use super::{App, Driver, End, Next, Phase, Wait};
use crate::Reason;
use crate::client::app::Link;
use crate::world::{Socket as _, World};

/// Maximum number of reads after a failed write, 16 MiB in all: more than a kernel buffers for a
/// socket.
const MAX_LAST_READS: usize = 1024;

/// How long the client waits for an application that takes no event, when a connection was lost and
/// its data is not delivered yet: long enough that an application that is only slow loses nothing.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// How a connection that was online ended, for the next HELLO.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Ended {
    reason: &'static str,
    at: Instant,
    session: u64,
}

impl Ended {
    pub(super) fn as_told(&self, now: Instant) -> LastConnection<'static> {
        LastConnection::new(self.reason, now.saturating_since(self.at), Some(self.session))
    }
}

/// The state of sending a BYE to a server that broke the protocol.
#[derive(Debug)]
pub(super) struct Explaining {
    reason: Reason,
    lasted_until: Instant,
    /// The deadline.
    until: Instant,
    has_hung_up: bool,
    discard: Discard,
}

/// The state of delivering what came before the connection was lost.
#[derive(Debug)]
pub(super) struct Draining {
    reason: Reason,
    lasted_until: Instant,
    reads_left: usize,
    /// Until when the application has to make room.
    room_until: Option<Instant>,
}

impl<W: World> Driver<W> {
    /// Handles a lost connection. Before a WELCOME no BYE may be sent.
    pub(super) fn lose(&mut self, app: &mut App, reason: Reason, now: Instant) -> Phase {
        if app.session.is_none() {
            app.intake.set(Link::Down);
        }
        self.lost_at = Some(now);
        // A dead server was stable only as long as it was heard. The kernel of a hung server keeps
        // its connection open, and back-off delays must still grow.
        let is_dead = matches!(reason, Reason::Dead(_));
        let lasted_until = if is_dead { self.connection.last_heard() } else { now };
        let Reason::Protocol(violation) = reason else {
            return self.drain_from_here(app, reason, lasted_until, now);
        };
        let only_ends_link = self.is_online() && !self.ends_session(app, &reason);
        // A BYE would end the session, which may be another server's.
        let is_refused = violation == Violation::BadWelcome;
        if self.connection.contract().is_none() || is_refused || only_ends_link {
            return self.drain_from_here(app, reason, lasted_until, now);
        }
        let taken = self.connection.ledger().map(Ledger::taken);
        say_bye(app, violation, taken, self.made_at.as_nanos());
        let (until, discard) = (now.saturating_add(LINGER), Discard::default());
        Phase::Explaining(Explaining { reason, lasted_until, until, has_hung_up: false, discard })
    }

    /// Writes the BYE, and waits until the server has closed too: closing a socket with unread
    /// bytes, or one that receives more, resets the connection, and the server may lose the BYE.
    pub(super) fn explain(&mut self, app: &mut App, mut it: Explaining, now: Instant) -> Next {
        let said = self.explain_more(app, &mut it, now);
        let is_over = now >= it.until;
        if !is_over && matches!(said, Ok(false)) {
            let readable_at = it.discard.resumes_at();
            let until = readable_at.map_or(it.until, |at| at.min(it.until));
            let wait = Wait {
                readable: it.discard.wants_read(),
                writable: self.has_unwritten(app),
                until: Some(until),
                ..Wait::default()
            };
            return Next::Wait(Phase::Explaining(it), wait);
        }
        debug!(in_time = !is_over, "sent BYE");
        Next::Phase(self.drain_from_here(app, it.reason, it.lasted_until, now))
    }

    /// Continues with the BYE. Returns whether the server has closed after all was written.
    fn explain_more(
        &mut self,
        app: &mut App,
        it: &mut Explaining,
        now: Instant,
    ) -> io::Result<bool> {
        app.outbox.write(&mut self.transport)?;
        if !it.has_hung_up && !self.has_unwritten(app) {
            // It is short, and the kernel has room, because it has just taken everything else.
            self.transport.close()?;
            self.transport.socket.shutdown_writing()?;
            it.has_hung_up = true;
        }
        // Read on, because a server that is stuck in a write does not read until that is done.
        it.discard.run(&mut self.transport.socket, &mut self.inbox, now)?;
        Ok(it.has_hung_up && it.discard.has_ended())
    }

    /// How it ended, for the next HELLO. `None` if it was not online on v1, or was not lost.
    pub(in crate::client) fn ended(&self, reason: Reason) -> Option<Ended> {
        Some(Ended { reason: reason.name(), at: self.lost_at?, session: self.session? })
    }

    fn drain_from_here(
        &mut self,
        app: &App,
        reason: Reason,
        lasted_until: Instant,
        now: Instant,
    ) -> Phase {
        let may_be_cut = matches!(reason, Reason::Dead(_) | Reason::NetworkChanged);
        if may_be_cut || !self.ends_session(app, &reason) {
            // Otherwise the kernel would go on sending to a dead peer for a quarter of an hour.
            self.transport.socket.reset_when_closed();
        }
        if self.connection.has_ended() {
            // This connection decodes no more. The rest begins with a frame, so a new one can.
            self.connection = self.connection.without_output(now);
        }
        // A server that sends a BYE and closes makes the next write fail, often before the BYE was
        // read.
        let reads_left = if self.write_failed { MAX_LAST_READS } else { 0 };
        Phase::Draining(Draining { reason, lasted_until, reads_left, room_until: None })
    }

    /// Delivers what came before the connection was lost, and reads on as long as the application
    /// takes an event within [`ROOM_WITHIN`].
    pub(super) fn drain(&mut self, app: &mut App, mut it: Draining, now: Instant) -> Next {
        loop {
            let kept = app.outlet.kept();
            if app.outlet.has_room() || app.outlet.kept() < kept {
                // It takes events, even if only those kept before the data.
                it.room_until = None;
            }
            match self.feed(app, now) {
                Ok(true) if it.reads_left > 0 => {}
                Ok(true) | Err(_) => break,
                Ok(false) => {
                    let until = *it.room_until.get_or_insert(now.saturating_add(ROOM_WITHIN));
                    if now < until {
                        let wait = Wait { room: true, until: Some(until), ..Wait::default() };
                        return Next::Wait(Phase::Draining(it), wait);
                    }
                    // Keep what was read, and go on.
                    it.reads_left = 0;
                    app.outlet.keep_data(true);
                    continue;
                }
            }
            it.reads_left -= 1;
            let space = self.inbox.space(self.transport.min_read_len());
            let read = self.transport.read_now(space);
            if !self.handle_read(app, read, now).unwrap_or(false) {
                break;
            }
        }
        app.outlet.keep_data(false);
        app.outlet.rest();
        // The server's BYE may have been read only now. It ends a session that could be resumed.
        let is_end = self.write_failed || self.connection.ledger().is_some();
        let reason = match &self.bye {
            Some(bye) if is_end => Reason::Bye(bye.code),
            Some(_) | None => it.reason,
        };
        Next::Over(End { reason, lasted_until: Some(it.lasted_until) })
    }
}

/// Queues the client's BYE after everything else that waits.
fn say_bye(app: &mut App, violation: Violation, taken: Option<Position>, seed: u64) {
    let is_too_fast = violation == Violation::TooFast;
    let code = if is_too_fast { ByeCode::TooFast } else { ByeCode::Protocol };
    let detail = violation.to_string();
    app.outbox.hold();
    let bye = Bye::new(code, RetryHint::AtWill).detail(&detail).taken(taken);
    app.outbox.push_control(bye.encode_greased(seed));
}
