//! What is left to do when a connection ends: hear the rest, say the last words, close.

use core::time::Duration;
use std::io;

use heartwire_core::v1::{Bye, ByeCode, Retry};
use heartwire_core::{Spoken, Violation};
use tokio::task::consume_budget;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::closing::{Closing, LINGER, Step};
use super::{App, Driver, Inbox};
use crate::client::runtime::{Runtime, Stream};
use crate::world::Socket as _;
use crate::{Reason, clock};

/// How often to look at what the server has acknowledged: nothing else tells.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads after a failed write, 16 MiB in all: more than a kernel holds for a socket.
const LAST_READS_MAX: usize = 1024;

/// How long an application that takes no event keeps the client from going on, when a connection was
/// lost and data of it has been read: a moment, so that an application that is only slow loses nothing.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// Reads of 16 KiB between two pauses of [`DISCARD_PAUSE`] while what comes is thrown away. A server that
/// sends as fast as it can gets 64 MB/s at the most then, and costs next to nothing; what is on the way to
/// a client that leaves is less than that.
const DISCARDS_AT_ONCE: u32 = 4;
const DISCARD_PAUSE: Duration = Duration::from_millis(1);

impl Driver<Runtime> {
    /// Reports what had come before the connection was lost, and reads on as long as the application takes
    /// an event within [`ROOM_WITHIN`]. Returns why it was lost: the server may have said so where it was
    /// read only now.
    pub(in crate::client) async fn deliver_rest(
        &mut self,
        app: &mut App,
        reason: Reason,
    ) -> Reason {
        self.read_rest(app, reason).await;
        match &self.farewell {
            Some(farewell) if self.write_failed => Reason::Bye(farewell.code),
            Some(_) | None => reason,
        }
    }

    async fn read_rest(&mut self, app: &mut App, reason: Reason) {
        if matches!(reason, Reason::Dead(_) | Reason::NetworkChanged) {
            // Else the kernel would go on sending to a dead peer, for a quarter of an hour.
            self.transport.socket.reset_when_closed();
        }
        let now = clock::now();
        if self.connection.has_ended() {
            // It decodes no more. What is left begins with a frame, so another one can.
            self.connection = self.connection.for_the_rest(now);
        }
        // A peer that sends its last words and goes makes the next write fail, often before those
        // words were read.
        let mut reads_left = if self.write_failed { LAST_READS_MAX } else { 0 };
        loop {
            match self.feed(app, now) {
                Ok(true) if reads_left > 0 => {}
                Ok(false) => {
                    if !app.outlet.wait_for_room_within(ROOM_WITHIN).await {
                        // What has been read is kept, and the client goes on.
                        reads_left = 0;
                        app.outlet.keep_data(true);
                    }
                    continue;
                }
                Ok(true) | Err(_) => break,
            }
            reads_left -= 1;
            let space = self.inbox.space(self.transport.read_len_min());
            let read = self.transport.read_now(space);
            if !self.handle_read(app, read, now).unwrap_or(false) {
                break;
            }
        }
        app.outlet.keep_data(false);
    }

    /// Takes leave of a server that broke the protocol, and says how, within [`LINGER`]. What waits to
    /// be written stays. Without a WELCOME nothing may be said.
    pub(in crate::client) async fn say_why(&mut self, app: &mut App, violation: Violation) {
        if self.connection.contract().is_none() {
            return;
        }
        let is_too_fast = violation == Violation::TooFast;
        let code = if is_too_fast { ByeCode::TooFast } else { ByeCode::Protocol };
        let detail = violation.to_string();
        app.outbox.hold();
        app.outbox.push_control(Bye::new(code, Retry::AtWill).detail(&detail).encode());
        let said = timeout(LINGER, async {
            while self.has_unwritten(app) {
                self.write_some(app).await?;
            }
            self.hang_up().await
        });
        let said = said.await;
        debug!(in_time = said.is_ok(), %violation, "said why");
    }

    /// Writes what was accepted, closes the connection, and waits until the server has everything, within
    /// the time that the application gave for it. Returns how that ended: [`Reason::Shutdown`] if the server
    /// has everything.
    pub(in crate::client) async fn close(&mut self, app: &mut App) -> Reason {
        // Before the server has answered, nothing of the application's is on its way.
        let is_online = self.is_online();
        let within = if is_online { self.close_timeout } else { self.close_timeout.min(LINGER) };
        let mut closing = Closing::new(clock::now(), within);
        let mut bye_len = 0;
        let closed = self.flush_and_close(app, &mut closing, &mut bye_len).await;
        debug!(?closed, "closed");
        self.end_len = closing.end_len;
        match closed {
            Ok(Step::Done | Step::Wait) => Reason::Shutdown,
            _ if !is_online => Reason::Shutdown,
            Ok(Step::GiveUp) => Reason::Unacknowledged,
            // A server that closed as well, and has not read the BYE to the end.
            Err(_) if !app.outbox.has_message() && self.unacknowledged() <= bye_len => {
                Reason::Shutdown
            }
            Err(error) => self.reason_of(&error, clock::now()),
        }
    }

    async fn flush_and_close(
        &mut self,
        app: &mut App,
        closing: &mut Closing,
        bye_len: &mut usize,
    ) -> io::Result<Step> {
        loop {
            consume_budget().await;
            self.take(app);
            let is_v1 = self.connection.spoken() == Spoken::V1;
            if app.outbox.is_empty() && *bye_len == 0 && is_v1 {
                let bye = Bye::new(ByeCode::Done, Retry::AtWill).encode();
                *bye_len = bye.len() + self.transport.overhead();
                app.outbox.push_control(bye);
            }
            let is_all_taken = app.outbox.is_empty();
            let took = app.outbox.write(&mut self.transport)? > 0;
            if closing.said_all_at.is_none() && !self.has_unwritten(app) {
                if !is_all_taken {
                    // There may be more messages than are written at a time, and the BYE comes then.
                    continue;
                }
                closing.end_len += self.transport.close()?;
                if !self.has_unwritten(app) {
                    closing.said_all_at = Some(clock::now());
                    self.transport.socket.shut_down_writing()?;
                }
            }
            let socket = &self.transport.socket;
            closing.resends_after = socket.resends_after().unwrap_or_default();
            let step = closing.judge(clock::now(), took, socket.unacknowledged());
            if step != Step::Wait {
                return Ok(step);
            }
            tokio::select! {
                writable = socket.writable(), if self.has_unwritten(app) => writable?,
                // A server that is itself stuck in a write reads nothing until that has gone through.
                ended = discard(socket, &mut self.inbox), if !closing.server_closed => {
                    ended?;
                    closing.server_closed = true;
                }
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// How many bytes the server has not acknowledged, but for those that only say that nothing more comes.
    pub(in crate::client) fn unacknowledged(&self) -> usize {
        let all = self.transport.socket.unacknowledged().unwrap_or_default();
        all.saturating_sub(self.end_len)
    }

    /// Writes what the kernel takes, and waits until it takes more if that was not all.
    async fn write_some(&mut self, app: &mut App) -> io::Result<()> {
        app.outbox.write(&mut self.transport)?;
        if self.has_unwritten(app) {
            // A peer that is itself stuck in a write reads nothing until that has gone through.
            tokio::select! {
                writable = self.transport.socket.writable() => writable?,
                discarded = discard(&self.transport.socket, &mut self.inbox) => discarded?,
            }
        }
        Ok(())
    }

    /// Says that nothing follows, and waits until the peer says so too.
    async fn hang_up(&mut self) -> io::Result<()> {
        // It is short, and there is room for it where everything else has just been taken.
        self.transport.close()?;
        self.transport.socket.shut_down_writing()?;
        // A socket that is closed with bytes unread, or that gets more, resets the connection, and
        // the peer may lose what was just written.
        discard(&self.transport.socket, &mut self.inbox).await
    }
}

/// Reads until the peer has closed its side.
async fn discard(stream: &Stream, inbox: &mut Inbox) -> io::Result<()> {
    let mut reads_left = DISCARDS_AT_ONCE;
    loop {
        consume_budget().await;
        stream.readable().await?;
        match stream.try_read(inbox.space(1)) {
            Ok(0) => return Ok(()),
            Ok(_) if reads_left > 1 => reads_left -= 1,
            Ok(_) => {
                sleep(DISCARD_PAUSE).await;
                reads_left = DISCARDS_AT_ONCE;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
