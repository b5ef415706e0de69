//! What is left to do when a connection ends: hear the rest, say the last words, close.

use core::time::Duration;
use std::io;
use std::net::Shutdown;

use heartwire_core::v1::{Bye, ByeCode, Retry};
use heartwire_core::{Spoken, Violation};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::consume_budget;
use tokio::time::timeout;
use tracing::debug;

use super::{Driver, Inbox, Message};
use crate::{Reason, clock};

/// What a server gets to take the last messages and to close its side: a round trip on any path,
/// with one lost packet.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Reads after a failed write, 16 MiB in all: more than a kernel holds for a socket.
const LAST_READS_MAX: usize = 1024;

/// How long an application that takes no event keeps the client from going on, when a connection was
/// lost and data of it has been read: a moment, so that an application that is only slow loses nothing.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

impl Driver<'_, '_> {
    /// Reports what had come before the connection was lost, and reads on as long as the application takes
    /// an event within [`ROOM_WITHIN`]. Returns why it was lost: the server may have said so where it was
    /// read only now.
    pub(in crate::client) async fn deliver_rest(&mut self, reason: Reason) -> Reason {
        self.read_rest(reason).await;
        match &self.farewell {
            Some(farewell) if self.write_failed => Reason::Bye(farewell.code),
            Some(_) | None => reason,
        }
    }

    async fn read_rest(&mut self, reason: Reason) {
        if matches!(reason, Reason::Dead(_)) {
            // Else the kernel would go on sending to a dead peer, for a quarter of an hour. If this
            // fails, it does.
            let socket = SockRef::from(self.transport.stream());
            socket.set_linger(Some(Duration::ZERO)).unwrap_or_default();
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
            match self.feed(now) {
                Ok(true) if reads_left > 0 => {}
                Ok(false) => {
                    if !self.outlet.wait_for_room_within(ROOM_WITHIN).await {
                        // What has been read is kept, and the client goes on.
                        reads_left = 0;
                        self.outlet.keep_data(true);
                    }
                    continue;
                }
                Ok(true) | Err(_) => break,
            }
            reads_left -= 1;
            let space = self.inbox.space(self.transport.read_len_min());
            let read = self.transport.read_past_runtime(space);
            if !self.handle_read(read, now).unwrap_or(false) {
                break;
            }
        }
        self.outlet.keep_data(false);
    }

    /// Takes leave of a server that broke the protocol, and says how, within [`CLOSING_MAX`]. What waits to
    /// be written stays. Without a WELCOME nothing may be said.
    pub(in crate::client) async fn say_why(&mut self, violation: Violation) {
        if self.connection.contract().is_none() {
            return;
        }
        let is_too_fast = violation == Violation::TooFast;
        let code = if is_too_fast { ByeCode::TooFast } else { ByeCode::Protocol };
        let detail = violation.to_string();
        self.outbox.hold();
        self.outbox.push_control(Bye::new(code, Retry::AtWill).detail(&detail).encode());
        let said = timeout(CLOSING_MAX, async {
            while self.has_unwritten() {
                self.write_some().await?;
            }
            self.hang_up().await
        });
        let said = said.await;
        debug!(in_time = said.is_ok(), %violation, "said why");
    }

    /// Writes what was accepted and closes the connection, within [`CLOSING_MAX`].
    pub(in crate::client) async fn close(&mut self, messages: &mut UnboundedReceiver<Message>) {
        let closed = timeout(CLOSING_MAX, self.flush_and_close(messages)).await;
        debug!(in_time = closed.is_ok(), "closed");
    }

    async fn flush_and_close(
        &mut self,
        messages: &mut UnboundedReceiver<Message>,
    ) -> io::Result<()> {
        let mut said_bye = false;
        loop {
            self.take(messages);
            if self.outbox.is_empty() && !said_bye && self.connection.spoken() == Spoken::V1 {
                said_bye = true;
                self.outbox.push_control(Bye::new(ByeCode::Done, Retry::AtWill).encode());
            }
            if !self.has_unwritten() {
                break;
            }
            self.write_some().await?;
        }
        self.hang_up().await
    }

    /// Writes what the kernel takes, and waits until it takes more if that was not all.
    async fn write_some(&mut self) -> io::Result<()> {
        self.outbox.write(&mut self.transport)?;
        if self.has_unwritten() {
            // A peer that is itself stuck in a write reads nothing until that has gone through.
            tokio::select! {
                writable = self.transport.stream().writable() => writable?,
                discarded = discard(self.transport.stream(), &mut self.inbox) => discarded?,
            }
        }
        Ok(())
    }

    /// Says that nothing follows, and waits until the peer says so too.
    async fn hang_up(&mut self) -> io::Result<()> {
        // It is short, and there is room for it where everything else has just been taken.
        self.transport.close()?;
        let stream = self.transport.stream();
        SockRef::from(stream).shutdown(Shutdown::Write)?;
        // A socket that is closed with bytes unread, or that gets more, resets the connection, and
        // the peer may lose what was just written.
        discard(stream, &mut self.inbox).await
    }
}

/// Reads until the peer has closed its side.
async fn discard(stream: &TcpStream, inbox: &mut Inbox) -> io::Result<()> {
    loop {
        consume_budget().await;
        stream.readable().await?;
        match stream.try_read(inbox.space(1)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
