//! The driver of one connection: it moves bytes and time between a socket and the core.

use core::future::ready;
use core::mem::MaybeUninit;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::Shutdown;

use heartwire_core::frame::{self, Kind};
use heartwire_core::v1::{Bye, ByeCode, Health, Retry, Welcome};
use heartwire_core::{
    Connection, Event as FromPeer, Instant, Path, Spoken, Stall, StallWatch, Violation,
};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{sleep, timeout};
use tracing::{Span, debug, trace};

use super::inbox::Inbox;
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;
use super::pace::Pace;
use super::transport::Transport;
use super::{ClientConfig, Event, Farewell, Gate, Link, Wishes, asked_to_close};
use crate::kernel::KernelReport;
use crate::tls::{Received, TlsError, TlsFault};
use crate::{Reason, clock, sys};

/// What a server gets to take the last messages and to close its side: a round trip on any path,
/// with one lost packet.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// Reads before a verdict: 1 MiB of data may lie before the beat that says that we are heard. A flood must
/// not hold up a verdict for ever.
const READS_BEFORE_JUDGING: usize = 64;

/// Reads after a failed write, 16 MiB in all: more than a kernel holds for a socket.
const LAST_READS_MAX: usize = 1024;

/// A beat whose arrival is not known better than this tells nothing of the round trip. A socket that was
/// read so recently need not be asked when its bytes came.
const ARRIVAL_SPAN: Duration = Duration::from_millis(10);

/// One connection while it lasts.
#[derive(Debug)]
pub(super) struct Driver<'a, 'b> {
    transport: Transport,
    connection: Connection,
    link: DriverLink<'b>,
    progress: Option<Duration>,
    online_at: Option<Instant>,
    /// What the server said when it took its leave.
    farewell: Option<Farewell>,
    inbox: Inbox,
    outbox: &'b mut Outbox,
    outlet: &'b mut Outlet<'a>,
    beats: u64,
    write_failed: bool,
    /// A beat that waits to be written says something that the server should read at once.
    has_news: bool,
    /// What the server was told: how often we beat, if not as agreed, and how we are.
    promised: Option<Duration>,
    health: Health,
    pace: Pace,
    /// When it may be told of what has changed since.
    news_at: Option<Instant>,
    /// When the socket was last read.
    read_at: Instant,
    jiffy: Duration,
}

/// What a driver tells others of.
#[derive(Debug)]
pub(super) struct DriverLink<'b> {
    pub(super) peer: SocketAddr,
    pub(super) kernel: KernelReport,
    pub(super) gate: &'b Gate,
    pub(super) wishes: &'b Wishes,
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
        transport: Transport,
        said: &[u8],
        config: &ClientConfig,
        link: DriverLink<'b>,
        outbox: &'b mut Outbox,
        outlet: &'b mut Outlet<'a>,
    ) -> Self {
        let now = clock::now();
        let mut driver = Self {
            transport,
            connection: Connection::new(config.settings(), now),
            link,
            progress: config.progress,
            online_at: None,
            farewell: None,
            inbox: Inbox::default(),
            outbox,
            outlet,
            beats: 0,
            write_failed: false,
            has_news: false,
            promised: None,
            health: Health::Ok,
            pace: Pace::new(now),
            news_at: None,
            read_at: now,
            jiffy: clock::jiffy(),
        };
        match config.hello() {
            Some(hello) => {
                // What was kept from the last connection may not be sent before the WELCOME.
                driver.outbox.hold();
                driver.outbox.push_control(hello);
            }
            None => driver.go_online(None, now),
        }
        driver.inbox.push(said);
        driver
    }

    fn go_online(&mut self, welcome: Option<Welcome>, now: Instant) {
        self.online_at = Some(now);
        self.link.gate.set(Link::Up);
        if let Some(welcome) = &welcome {
            Span::current().record("session", welcome.session);
        }
        let DriverLink { peer, kernel, wishes, .. } = &self.link;
        let (peer, kernel) = (*peer, kernel.clone());
        self.outlet.push_news(Event::Online { peer, kernel, welcome: welcome.map(Box::new) });
        self.outbox.release();
        self.connection.beat_now();
        self.promised = wishes.promise();
        if let Some(promise) = self.promised {
            self.connection.promise(promise);
        }
        if let Some(beat) = self.connection.poll_transmit(now) {
            self.outbox.push_beat_first(beat);
            self.has_news = self.connection.has_told_news();
        }
    }

    /// Whether the application was told that there is a connection.
    pub(super) const fn is_online(&self) -> bool {
        self.online_at.is_some()
    }

    /// Since when; now, if it never was.
    pub(super) fn online_at(&self) -> Instant {
        self.online_at.unwrap_or_else(clock::now)
    }

    /// What the server said about coming back, and why it left.
    pub(super) const fn take_farewell(&mut self) -> Option<Farewell> {
        self.farewell.take()
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
            if !paused {
                self.outlet.rest();
            }
            // Deadlines mostly move later, so the timer stays as it is until it fires.
            let deadlines =
                [self.connection.poll_timeout(), self.progress_deadline(now), self.news_at];
            let deadline = deadlines.into_iter().flatten().min();
            if let Some(at) = deadline.filter(|&at| timer_at.is_none_or(|set| at < set)) {
                timer.as_mut().reset(tokio::time::Instant::now() + at.saturating_since(now));
                timer_at = Some(at);
            }
            watch.handle_sleep(timer_at);
            tokio::select! {
                biased;
                () = asked_to_close(closing) => return End::Closing,
                () = self.outlet.wait_for_room(), if paused => {}
                () = ready(()), if !paused && self.transport.has_ended() => {}
                _ = self.transport.stream().readable(), if !paused => {}
                _ = self.transport.stream().writable(), if self.has_unwritten() => {}
                () = self.link.wishes.changed.notified() => {}
                message = messages.recv(), if self.takes_messages() => match message {
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
        self.tell_news(now)?;
        self.transmit(now);
        self.take(messages);
        self.write(now)?;
        Ok(!self.feed(now)?)
    }

    fn transmit(&mut self, now: Instant) {
        if self.connection.spoken() == Spoken::V1 {
            // It carries what data does not, so it does not wait behind them either.
            while let Some(beat) = self.connection.poll_transmit(now) {
                self.outbox.push_beat_first(beat);
                self.has_news |= self.connection.has_told_news();
            }
        } else if !self.has_unwritten() {
            while let Some(beat) = self.connection.poll_transmit(now) {
                self.outbox.push_beat(beat);
            }
        }
    }

    /// Reads once if the runtime has seen bytes arrive and the application has room for them.
    fn read(&mut self, now: Instant) -> Result<(), Reason> {
        if self.feed(now)? {
            let space = self.inbox.space(self.transport.read_len_min());
            let read = self.transport.try_read(space);
            self.handle_read(read, now)?;
        }
        Ok(())
    }

    /// Whether something waits for the kernel to take it.
    fn has_unwritten(&self) -> bool {
        !self.outbox.is_empty() || self.transport.wants_write()
    }

    /// Whether anything was read.
    fn handle_read(
        &mut self,
        read: Result<Received, TlsError>,
        now: Instant,
    ) -> Result<bool, Reason> {
        match read {
            Ok(Received::Closed | Received::Truncated) if self.is_answered_in_tls() => {
                Err(Reason::Tls(TlsFault::Expected))
            }
            Ok(Received::Closed) if self.inbox.bytes().is_empty() => Err(Reason::ClosedByPeer),
            Ok(Received::Closed | Received::Truncated) => Err(Reason::Truncated),
            Ok(Received::Bytes(len)) => {
                self.inbox.filled(len);
                self.handle_heard();
                self.feed(clock::now())?;
                Ok(true)
            }
            Ok(Received::Nothing) => Ok(false),
            Err(TlsError::Socket(error)) => Err(self.reason_of(&error, now)),
            Err(error @ TlsError::Fault { fault, .. }) => {
                debug!(%error, "TLS ended the connection");
                Err(Reason::Tls(fault))
            }
        }
    }

    /// Something was read. When it came is not when it was read, if this process stood still in between: a
    /// round trip would seem that much longer, on both ends.
    fn handle_heard(&mut self) {
        // Not the time of this turn, which was before the read: a byte must not seem older than it is.
        let now = clock::now();
        let unread_for = now.saturating_since(core::mem::replace(&mut self.read_at, now));
        if self.connection.spoken() == Spoken::V1 && unread_for > ARRIVAL_SPAN {
            // The kernel counts in jiffies and rounds to milliseconds, so it knows better only of what has
            // been there for longer. One jiffy more, because the count itself can lag.
            let rounding = self.jiffy + Duration::from_millis(1);
            let since = sys::since_last_receive(self.transport.stream()).unwrap_or_default();
            if since > rounding + self.jiffy {
                let about = now.saturating_sub(since);
                let latest = about.saturating_add(rounding + self.jiffy).min(now);
                self.connection.handle_heard_between(about.saturating_sub(rounding), latest);
                return;
            }
        }
        self.connection.handle_heard(now);
    }

    /// Whether what the server said last is an alert of TLS, which begins with its type and version. No
    /// frame does.
    fn is_answered_in_tls(&self) -> bool {
        self.inbox.bytes().starts_with(&[0x15, 3])
    }

    /// Decodes what was read, as long as the application has room. Returns whether it had room for
    /// everything. Only then may more be read: an end would overtake what is left.
    fn feed(&mut self, now: Instant) -> Result<bool, Reason> {
        while self.outlet.has_room() {
            let mut bytes = self.inbox.bytes();
            let held = bytes.len();
            let (mut was_beat, mut welcomed) = (false, None);
            let received = self.connection.handle_received(now, &mut bytes);
            match received.map_err(Reason::Protocol)? {
                Some(FromPeer::Beat | FromPeer::Promise(_)) => was_beat = true,
                Some(FromPeer::Data(body)) => self.outlet.push_data(body),
                Some(FromPeer::Welcome(welcome)) => welcomed = Some(welcome),
                Some(FromPeer::Bye(bye)) => {
                    let Bye { code, retry, detail, .. } = bye;
                    self.farewell = Some(Farewell { code, retry, detail: detail.to_owned() });
                    return Err(Reason::Bye(code));
                }
                // No server of ours says so: it comes from clients.
                Some(FromPeer::Hello(_)) => {}
                None => return Ok(true),
            }
            let left = bytes.len();
            self.inbox.consume(held - left);
            if was_beat {
                self.handle_beat(now);
            }
            if welcomed.is_some() {
                self.go_online(welcomed, now);
            }
        }
        Ok(false)
    }

    fn handle_beat(&mut self, now: Instant) {
        self.beats += 1;
        let path = self.connection.path(now);
        self.outlet.meter().handle_beat(path.and_then(|path| path.rtt));
        let Some(path) = path else { return };
        let before = self.link.wishes.path();
        let health = |path: Option<Path>| path.map_or(Health::Ok, |path| path.peer_health);
        if health(before) != path.peer_health {
            self.outlet.push_news(Event::Health(path.peer_health));
        }
        if path.too_fast && !before.is_some_and(|before| before.too_fast) {
            self.outlet.push_news(Event::TooFast);
        }
        self.link.wishes.set_path(Some(path));
    }

    /// Has the next beat say what the application wants of the beats, and how it is, if the server does not
    /// know that yet. What changes faster than the server may be told is told as it is in the end.
    fn tell_news(&mut self, now: Instant) -> Result<(), Reason> {
        self.news_at = None;
        let Some(contract) = self.connection.contract() else { return Ok(()) };
        let (agreed, floor) = (contract.to_server.beat(), contract.floor);
        let (promise, health) = (self.link.wishes.promise(), self.health_at(now));
        if (promise, health) == (self.promised, self.health) {
            return Ok(());
        }
        let interval = agreed.unwrap_or(floor);
        if !self.pace.take(interval, now) {
            self.news_at = Some(self.pace.next_at(interval));
            return Ok(());
        }
        // The beat that tells it also says what has been heard.
        self.find_life(now)?;
        (self.promised, self.health) = (promise, health);
        if let Some(interval) = promise.or(agreed) {
            self.connection.promise(interval);
        }
        self.connection.set_health(health);
        Ok(())
    }

    fn health_at(&self, now: Instant) -> Health {
        let idle = now.saturating_since(self.link.wishes.checked_in_at());
        let is_late = self.progress.is_some_and(|within| idle >= within);
        if is_late { Health::Degraded } else { Health::Ok }
    }

    /// When the application will have failed to check in.
    fn progress_deadline(&self, now: Instant) -> Option<Instant> {
        let at = self.link.wishes.checked_in_at().saturating_add(self.progress?);
        (at > now).then_some(at)
    }

    /// Whether messages can be written: there is room, and the server has answered.
    fn takes_messages(&self) -> bool {
        self.outbox.has_room() && self.is_online()
    }

    /// Looks at the deadlines. Bytes that have arrived outrank them, so before a verdict the kernel
    /// itself is asked: what the runtime knows of the socket is as old as its last turn.
    fn judge(&mut self, now: Instant) -> Result<(), Reason> {
        let is_due = self.connection.poll_timeout().is_some_and(|at| at <= now);
        if is_due && self.connection.spoken() == Spoken::V1 {
            // A beat says what has been heard, and the server judges by that.
            self.find_life(now)?;
        }
        for _ in 0..READS_BEFORE_JUDGING {
            if !self.connection.would_end(now) || !self.find_life(now)? {
                break;
            }
        }
        match self.connection.handle_timeout(now) {
            Ok(None) => {}
            Ok(Some(verdict)) => return Err(Reason::Dead(verdict)),
            Err(violation) => return Err(Reason::Protocol(violation)),
        }
        if self.has_unwritten() {
            // What waits will be as good as a beat. A beat behind it would only wait as well.
            self.connection.handle_sent(now);
        }
        Ok(())
    }

    /// Whether there was something in the socket that the runtime need not have seen.
    fn find_life(&mut self, now: Instant) -> Result<bool, Reason> {
        if self.feed(now)? {
            let space = self.inbox.space(self.transport.read_len_min());
            let read = self.transport.read_past_runtime(space);
            return self.handle_read(read, now);
        }
        // Reading is paused. While anything waits there, be it an end, the peer cannot be judged, and
        // must not be told that it is silent.
        let peeked = SockRef::from(self.transport.stream()).peek(&mut [MaybeUninit::uninit()]);
        let waiting = self.transport.has_ended()
            || !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if waiting {
            trace!("the application is slow: what waits counts as life");
            self.connection.handle_backpressure(clock::now());
        }
        Ok(waiting)
    }

    fn take(&mut self, messages: &mut UnboundedReceiver<Message>) {
        while self.takes_messages() {
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
        self.pad();
        match self.outbox.write(&mut self.transport) {
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

    /// Makes what is about to be written long enough for the server to read it at once.
    fn pad(&mut self) {
        let unpadded = self.outbox.unpadded_len(core::mem::take(&mut self.has_news));
        let padding = unpadded.and_then(|len| self.connection.padding(len));
        if let Some(len) = padding {
            let mut pad = Vec::from(frame::head(Kind::Pad, len).unwrap_or_default());
            pad.resize(pad.len() + len, 0);
            self.outbox.push_control(pad);
        }
    }

    fn reason_of(&self, error: &io::Error, now: Instant) -> Reason {
        debug!(%error, "the socket failed");
        Reason::of_error(error, now.saturating_since(self.connection.last_heard()))
    }

    /// Reports what had come before the connection was lost, when the application has room. Returns why
    /// it was lost: the server may have said so where it was read only now.
    pub(super) async fn deliver_rest(&mut self, reason: Reason) -> Reason {
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
            self.outlet.wait_for_room().await;
            match self.feed(now) {
                Ok(true) if reads_left > 0 => {}
                Ok(false) => continue,
                Ok(true) | Err(_) => return,
            }
            reads_left -= 1;
            let space = self.inbox.space(self.transport.read_len_min());
            let read = self.transport.read_past_runtime(space);
            if !self.handle_read(read, now).unwrap_or(false) {
                return;
            }
        }
    }

    /// Takes leave of a server that broke the protocol, and says how, within [`CLOSING_MAX`]. What waits to
    /// be written stays. Without a WELCOME nothing may be said.
    pub(super) async fn say_why(&mut self, violation: Violation) {
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
    pub(super) async fn close(&mut self, messages: &mut UnboundedReceiver<Message>) {
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
