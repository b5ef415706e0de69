//! The driver of one connection: it moves bytes and time between a socket and the core.

mod closing;
mod ending;
mod hearing;

use core::future::ready;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::frame::{self, Kind};
use heartwire_core::v1::{Health, Welcome};
use heartwire_core::{Connection, Instant, Spoken, Stall, StallWatch};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::sleep;
use tracing::{Span, debug};

use super::inbox::Inbox;
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;
use super::pace::Pace;
use super::transport::Transport;
use super::{ClientConfig, Event, Farewell, Gate, Link, Wishes, asked_to_close};
use crate::kernel::KernelReport;
use crate::sys::Way;
use crate::{Reason, clock, sys};

/// Reads before a verdict: 1 MiB of data may lie before the beat that says that we are heard. A flood must
/// not hold up a verdict for ever.
const READS_BEFORE_JUDGING: usize = 64;

/// How long a server's system has to acknowledge something after the network has changed: time for four
/// retransmissions on a path of 200 ms.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// After a stall of this process so long, the network may have changed too: the machine may have been
/// suspended, or moved.
const LONG_STALL: Duration = Duration::from_secs(1);

/// One connection while it lasts.
#[derive(Debug)]
pub(super) struct Driver<'a, 'b> {
    transport: Transport,
    connection: Connection,
    link: DriverLink<'b>,
    progress: Option<Duration>,
    close_timeout: Duration,
    /// How many of the last bytes only say that nothing more comes.
    end_len: usize,
    made_at: Instant,
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
    watch: StallWatch,
    /// When the network may have changed, if it is not known yet whether the connection has survived that.
    asked_at: Option<Instant>,
    /// Something was on its way to the server then that it has to acknowledge.
    is_asking: bool,
    /// It may have changed once more since.
    asks_again: bool,
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
        let (now, suspended) = clock::now_and_suspended();
        let mut driver = Self {
            transport,
            connection: Connection::new(config.settings(), now),
            link,
            progress: config.progress,
            close_timeout: config.close_timeout,
            end_len: 0,
            made_at: now,
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
            watch: StallWatch::new(now, suspended),
            asked_at: None,
            is_asking: false,
            asks_again: false,
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
            self.has_news = beat.is_news();
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

    /// Whether anything came from the peer.
    pub(super) fn has_heard(&self) -> bool {
        self.connection.last_heard() > self.made_at
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
        let mut timer = core::pin::pin!(sleep(Duration::ZERO));
        let mut timer_at: Option<Instant> = None;
        loop {
            // A peer that sends without a pause must not keep other tasks from running.
            consume_budget().await;
            let (now, suspended) = clock::now_and_suspended();
            let stall = self.watch.handle_wake(now, suspended);
            let paused = match self.step(now, stall, messages) {
                Ok(paused) => paused,
                Err(reason) => return End::Lost(reason),
            };
            if !paused {
                self.outlet.rest();
            }
            // Deadlines mostly move later, so the timer stays as it is until it fires.
            let deadlines = [
                self.connection.poll_timeout(),
                self.progress_deadline(now),
                self.news_at,
                self.answer_deadline(),
            ];
            let deadline = deadlines.into_iter().flatten().min();
            if let Some(at) = deadline.filter(|&at| timer_at.is_none_or(|set| at < set)) {
                timer.as_mut().reset(tokio::time::Instant::now() + at.saturating_since(now));
                timer_at = Some(at);
            }
            self.watch.handle_sleep(timer_at);
            tokio::select! {
                biased;
                () = asked_to_close(closing) => return End::Closing,
                () = self.outlet.wait_for_room(), if paused => {}
                () = ready(()), if !paused && self.transport.has_ended() => {}
                _ = self.transport.stream().readable(), if !paused => {}
                _ = self.transport.stream().writable(), if self.has_unwritten() => {}
                () = self.link.wishes.changed.notified() => {}
                // Before the server has answered, another time runs. If it does not answer, the wait for
                // the next attempt is cut short.
                () = self.link.wishes.look.notified(), if self.is_online() => self.ask(clock::now()),
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
        if let Some(stall) = self.suspended_since().or(stall) {
            self.connection.handle_stall(stall);
            self.outlet.push_news(Event::Stalled(stall));
            // What was asked may have had no time to be acknowledged; and nothing was heard of a network
            // that has changed meanwhile.
            let was_asked = self.asked_at.take().is_some();
            if was_asked || stall.gap >= LONG_STALL {
                self.ask(now);
            }
        }
        self.judge(now)?;
        self.judge_path(now)?;
        self.tell_news(now)?;
        self.transmit(now);
        self.take(messages);
        self.write(now)?;
        Ok(!self.feed(now)?)
    }

    /// The machine may have been suspended since this task woke, and what it is about to judge by may
    /// have been on its way then.
    fn suspended_since(&mut self) -> Option<Stall> {
        let (now, suspended) = clock::now_and_suspended();
        self.watch.handle_wake(now, suspended)
    }

    fn transmit(&mut self, now: Instant) {
        let has_unwritten = self.has_unwritten();
        if has_unwritten && !self.connection.beat_due() {
            // What waits shows as well as an answer that we live.
            return;
        }
        while let Some(beat) = self.connection.poll_transmit(now) {
            if has_unwritten {
                // Data may wait for long, and does not say or ask what a beat does.
                self.outbox.push_beat_first(beat);
            } else {
                self.outbox.push_beat(beat);
            }
            self.has_news |= beat.is_news();
        }
    }

    /// Whether something waits for the kernel to take it.
    fn has_unwritten(&self) -> bool {
        !self.outbox.is_empty() || self.transport.wants_write()
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
            // What waits will be as good as a beat that asks for nothing.
            self.connection.handle_sent(now);
        }
        Ok(())
    }

    /// The network may have changed. Sends a beat, and looks after [`ANSWER_WITHIN`] whether the server's
    /// system has acknowledged it.
    fn ask(&mut self, now: Instant) {
        if !self.is_online() {
            // Another time runs for the handshake.
            return;
        }
        if self.asked_at.is_some() {
            self.asks_again = true;
            return;
        }
        self.asked_at = Some(now);
        self.asks_again = false;
        let agreed = self.connection.policy().beat();
        let beats = agreed.is_some_and(|interval| self.pace.take(interval, now));
        if beats {
            self.connection.beat_now();
        }
        let unacknowledged = sys::unacknowledged(self.transport.stream());
        self.is_asking = beats || unacknowledged.is_some_and(|bytes| bytes > 0);
    }

    fn answer_deadline(&self) -> Option<Instant> {
        Some(self.asked_at?.saturating_add(ANSWER_WITHIN))
    }

    /// Gives the connection up if it is clear that the network has changed under it: the system tries to
    /// reach the server's, and nothing at all has come from there since.
    fn judge_path(&mut self, now: Instant) -> Result<(), Reason> {
        let Some(asked_at) = self.asked_at.filter(|_| self.answer_deadline() <= Some(now)) else {
            return Ok(());
        };
        self.asked_at = None;
        if let Some(Way { quiet, is_tried }) = sys::way(self.transport.stream()) {
            if is_tried && self.is_asking && quiet >= now.saturating_since(asked_at) {
                return Err(Reason::NetworkChanged);
            }
            if quiet >= ANSWER_WITHIN / 2 {
                // What came may have been on its way when the network changed; or what is to be
                // acknowledged was written just now.
                self.asked_at = Some(now);
                self.is_asking = true;
            }
        }
        if core::mem::take(&mut self.asks_again) {
            self.ask(now);
        }
        Ok(())
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
}

#[cfg(test)]
mod tests;
