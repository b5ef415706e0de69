//! The driver of one connection: it moves bytes and time between a socket and the core.

use core::mem::MaybeUninit;
use core::time::Duration;
use std::io::{self, Read};
use std::net::Shutdown;

use heartwire_core::{Connection, Event as FromPeer, Instant, Settings, Stall, StallWatch};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::inbox::Inbox;
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;
use super::{Event, asked_to_close};
use crate::{Reason, clock};

/// What a server gets to take the last messages and to close its side: a round trip on any path,
/// with one lost packet.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Reads after a failed write, 16 MiB in all: more than a kernel holds for a socket.
const LAST_READS_MAX: usize = 1024;

/// One connection while it lasts.
#[derive(Debug)]
pub(super) struct Driver<'a, 'b> {
    stream: TcpStream,
    settings: Settings,
    connection: Connection,
    inbox: Inbox,
    outbox: &'b mut Outbox,
    outlet: &'b mut Outlet<'a>,
    beats: u64,
    write_failed: bool,
}

/// How a connection came to its end.
#[derive(Debug)]
pub(super) enum End {
    Lost(Reason),
    /// The application asked for it. The connection still stands.
    Closing,
}

impl<'a, 'b> Driver<'a, 'b> {
    pub(super) fn new(
        stream: TcpStream,
        settings: Settings,
        outbox: &'b mut Outbox,
        outlet: &'b mut Outlet<'a>,
    ) -> Self {
        let now = clock::now();
        let mut connection = Connection::new(settings, now);
        connection.beat_now();
        if let Some(beat) = connection.poll_transmit(now) {
            outbox.push_first_beat(beat);
        }
        let inbox = Inbox::default();
        Self { stream, settings, connection, inbox, outbox, outlet, beats: 0, write_failed: false }
    }

    /// Beats that came from the peer.
    pub(super) const fn beats(&self) -> u64 {
        self.beats
    }

    /// When the last byte came from the peer, or the connection was made.
    pub(super) const fn last_heard(&self) -> Instant {
        self.connection.last_heard()
    }

    /// Keeps the connection until it ends. Nothing in here waits for one thing alone: whatever
    /// wakes the task, everything that can be done is done, in the order that the core asks for.
    pub(super) async fn run(
        &mut self,
        messages: &mut UnboundedReceiver<Message>,
        closing: &mut watch::Receiver<bool>,
    ) -> End {
        let mut watch = StallWatch::new(clock::now());
        let mut timer = core::pin::pin!(sleep(Duration::ZERO));
        let mut timer_at: Option<Instant> = None;
        loop {
            // A peer that sends without a pause must not keep other tasks from running.
            consume_budget().await;
            let now = clock::now();
            let stall = watch.handle_wake(now);
            let paused = match self.step(now, stall, messages) {
                Ok(paused) => paused,
                Err(reason) => return End::Lost(reason),
            };
            // Deadlines mostly move later, so the timer stays as it is until it fires.
            let deadline = self.connection.poll_timeout();
            if let Some(at) = deadline.filter(|&at| timer_at.is_none_or(|set| at < set)) {
                timer.as_mut().reset(tokio::time::Instant::now() + at.saturating_since(now));
                timer_at = Some(at);
            }
            watch.handle_sleep(timer_at);
            tokio::select! {
                biased;
                () = asked_to_close(closing) => return End::Closing,
                () = self.outlet.wait_for_room(), if paused => {}
                _ = self.stream.readable(), if !paused => {}
                _ = self.stream.writable(), if !self.outbox.is_empty() => {}
                message = messages.recv(), if self.outbox.has_room() => match message {
                    Some(message) => self.push(message),
                    None => return End::Closing,
                },
                () = &mut timer, if timer_at.is_some() => timer_at = None,
            }
        }
    }

    /// Everything that can be done without waiting. Returns whether reading has to pause until the
    /// application takes an event.
    fn step(
        &mut self,
        now: Instant,
        stall: Option<Stall>,
        messages: &mut UnboundedReceiver<Message>,
    ) -> Result<bool, Reason> {
        self.read(now)?;
        if let Some(stall) = stall {
            self.connection.handle_stall(stall);
            self.outlet.push_news(Event::Stalled(stall));
        }
        self.judge(now)?;
        if self.outbox.is_empty() {
            while let Some(beat) = self.connection.poll_transmit(now) {
                self.outbox.push_beat(beat);
            }
        }
        self.take(messages);
        self.write(now)?;
        Ok(!self.feed(now)?)
    }

    /// Reads once if the runtime has seen bytes arrive and the application has room for them.
    fn read(&mut self, now: Instant) -> Result<(), Reason> {
        if self.feed(now)? {
            let read = self.stream.try_read(self.inbox.space());
            self.handle_read(read, now)?;
        }
        Ok(())
    }

    /// Whether anything was read.
    fn handle_read(&mut self, read: io::Result<usize>, now: Instant) -> Result<bool, Reason> {
        match read {
            Ok(0) if self.inbox.bytes().is_empty() => Err(Reason::ClosedByPeer),
            Ok(0) => Err(Reason::Truncated),
            Ok(len) => {
                self.inbox.filled(len);
                // Not at `now`, which was before the read: a byte must not seem older than it is.
                let now = clock::now();
                self.connection.handle_heard(now);
                self.feed(now)?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(self.reason_of(&error, now)),
        }
    }

    /// Decodes what was read, as long as the application has room. Returns whether it had room for
    /// everything. Only then may more be read: an end would overtake what is left.
    fn feed(&mut self, now: Instant) -> Result<bool, Reason> {
        while self.outlet.has_room() {
            let mut bytes = self.inbox.bytes();
            let held = bytes.len();
            let received = self.connection.handle_received(now, &mut bytes);
            match received.map_err(Reason::Protocol)? {
                Some(FromPeer::Beat) => self.beats += 1,
                Some(FromPeer::Data(body)) => self.outlet.push_data(body),
                None => return Ok(true),
            }
            let left = bytes.len();
            self.inbox.consume(held - left);
        }
        Ok(false)
    }

    /// Looks at the deadlines. Bytes that have arrived outrank them, so before a verdict the kernel
    /// itself is asked: what the runtime knows of the socket is as old as its last turn.
    fn judge(&mut self, now: Instant) -> Result<(), Reason> {
        while self.connection.would_end(now) && self.find_life(now)? {}
        match self.connection.handle_timeout(now) {
            Ok(None) => {}
            Ok(Some(verdict)) => return Err(Reason::Dead(verdict)),
            Err(violation) => return Err(Reason::Protocol(violation)),
        }
        if !self.outbox.is_empty() {
            // What waits will be as good as a beat. A beat behind it would only wait as well.
            self.connection.handle_sent(now);
        }
        Ok(())
    }

    fn find_life(&mut self, now: Instant) -> Result<bool, Reason> {
        if self.feed(now)? {
            let read = (&*SockRef::from(&self.stream)).read(self.inbox.space());
            return self.handle_read(read, now);
        }
        // Reading is paused. While anything waits there, be it an end, the peer cannot be judged.
        let peeked = SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]);
        let waiting = !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if waiting {
            debug!("the application is slow: a verdict is postponed");
            self.connection.handle_backpressure(clock::now());
        }
        Ok(waiting)
    }

    fn take(&mut self, messages: &mut UnboundedReceiver<Message>) {
        while self.outbox.has_room() {
            let Ok(message) = messages.try_recv() else { return };
            self.push(message);
        }
    }

    fn push(&mut self, message: Message) {
        // There is a head for every length that the handles let through.
        if let Some(head) = self.connection.data_head(message.body.len()) {
            self.outbox.push_message(head, message);
        }
    }

    fn write(&mut self, now: Instant) -> Result<(), Reason> {
        match self.outbox.write(&self.stream) {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.connection.handle_sent(clock::now());
                Ok(())
            }
            Err(error) => {
                self.write_failed = true;
                Err(self.reason_of(&error, now))
            }
        }
    }

    fn reason_of(&self, error: &io::Error, now: Instant) -> Reason {
        debug!(%error, "the socket failed");
        Reason::of_error(error, now.saturating_since(self.connection.last_heard()))
    }

    /// Reports what had come before the connection was lost, when the application has room.
    pub(super) async fn deliver_rest(&mut self, reason: Reason) {
        if matches!(reason, Reason::Dead(_)) {
            // Else the kernel would go on sending to a dead peer, for a quarter of an hour. If this
            // fails, it does.
            SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap_or_default();
        }
        let now = clock::now();
        if self.connection.has_ended() {
            // It decodes no more. What is left begins with a frame, so a new one can.
            self.connection = Connection::new(self.settings, now);
        }
        // A peer that sends its last words and goes makes the next write fail, often before those
        // words were read.
        let mut reads_left = if self.write_failed { LAST_READS_MAX } else { 0 };
        loop {
            self.outlet.wait_for_room().await;
            match self.feed(now) {
                Ok(true) if reads_left > 0 => {}
                Ok(false) => continue,
                Ok(true) | Err(_) => return,
            }
            reads_left -= 1;
            let read = (&*SockRef::from(&self.stream)).read(self.inbox.space());
            if !self.handle_read(read, now).unwrap_or(false) {
                return;
            }
        }
    }

    /// Writes what was accepted and closes the connection, within [`CLOSING_MAX`].
    pub(super) async fn close(&mut self, messages: &mut UnboundedReceiver<Message>) {
        let closed = timeout(CLOSING_MAX, self.flush_and_close(messages)).await;
        debug!(in_time = closed.is_ok(), "closed");
    }

    async fn flush_and_close(
        &mut self,
        messages: &mut UnboundedReceiver<Message>,
    ) -> io::Result<()> {
        loop {
            self.take(messages);
            if self.outbox.is_empty() {
                break;
            }
            self.outbox.write(&self.stream)?;
            if !self.outbox.is_empty() {
                // A peer that is itself stuck in a write reads nothing until that has gone through.
                tokio::select! {
                    writable = self.stream.writable() => writable?,
                    discarded = discard(&self.stream, &mut self.inbox) => discarded?,
                }
            }
        }
        SockRef::from(&self.stream).shutdown(Shutdown::Write)?;
        // A socket that is closed with bytes unread, or that gets more, resets the connection, and
        // the peer may lose what was just written.
        discard(&self.stream, &mut self.inbox).await
    }
}

/// Reads until the peer has closed its side.
async fn discard(stream: &TcpStream, inbox: &mut Inbox) -> io::Result<()> {
    loop {
        consume_budget().await;
        stream.readable().await?;
        match stream.try_read(inbox.space()) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
