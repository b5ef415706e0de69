//! Sending: beats, and the application's messages.

use std::io;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::order::Outbound;
use heartwire_core::resume::Ledger;
use heartwire_core::v1::Health;
use heartwire_core::{Instant, Transmit};
use tracing::warn;

use super::{App, Driver, Message};
use crate::Reason;
use crate::client::outbox::Written;
use crate::world::{Break, World};

impl<W: World> Driver<W> {
    /// Queues a beat before waiting data, which may wait for long and does not replace it.
    pub(super) fn push_beat(&mut self, app: &mut App, beat: Transmit, outbound: Outbound) {
        match outbound {
            Outbound::Clear => app.outbox.push_beat(beat),
            Outbound::Waiting | Outbound::Blocked => app.outbox.push_beat_first(beat),
        }
        self.has_news |= beat.is_news();
    }

    /// Puts a changed promise or health into the next beat. If they change faster than the server
    /// may be told, only the latest is sent.
    pub(super) fn tell_news(&mut self, app: &mut App, now: Instant) {
        self.news_at = None;
        let Some(contract) = self.connection.contract() else { return };
        let (agreed, min_interval) = (contract.to_server.interval(), contract.min_interval());
        let (promise, health) = (app.controls.promise(), self.health_at(app, now));
        if (promise, health) == (self.promised, self.health) {
            return;
        }
        let interval = agreed.unwrap_or(min_interval);
        if !self.pace.take(interval, now) {
            self.news_at = Some(self.pace.next_at(interval));
            return;
        }
        (self.promised, self.health) = (promise, health);
        if let Some(interval) = promise.or(agreed) {
            self.connection.promise(interval);
        }
        self.connection.set_health(health);
    }

    fn health_at(&self, app: &App, now: Instant) -> Health {
        let idle = now.saturating_since(app.controls.fed_at());
        let is_late = self.watchdog.is_some_and(|within| idle >= within);
        if is_late { Health::Degraded } else { Health::Ok }
    }

    /// When the watchdog expires.
    pub(super) fn progress_deadline(&self, app: &App, now: Instant) -> Option<Instant> {
        let at = app.controls.fed_at().saturating_add(self.watchdog?);
        (at > now).then_some(at)
    }

    /// Whether messages can be written: the outbox has room, and the server has answered.
    pub(super) fn takes_messages(&self, app: &App) -> bool {
        self.has_room(app) && app.pending.is_empty()
    }

    fn has_room(&self, app: &App) -> bool {
        app.outbox.has_room() && self.is_online()
    }

    pub(super) fn take(&mut self, app: &mut App) {
        if app.controls.aborts() {
            // What came now, an END too, would be behind a gap.
            return;
        }
        // The last message was accepted before that.
        let ends = app.intake.wants_end();
        while self.has_room(app) {
            let message = app.pending.pop_front().or_else(|| app.messages.try_recv().ok());
            let Some(message) = message else { break };
            if let Some(message) = self.queue(app, message) {
                app.pending.push_front(message);
                break;
            }
        }
        // Also where they have just filled the outbox: nothing else would wake this client.
        let has_all = app.pending.is_empty() && app.messages.is_empty();
        if ends && (has_all || self.world.breaks(Break::EndsTooSoon)) {
            self.queue_end(app);
        }
    }

    /// Takes a message for which there [was room](Self::takes_messages).
    pub(in crate::client) fn push(&mut self, app: &mut App, message: Message) {
        let left = self.queue(app, message);
        app.pending.extend(left);
    }

    /// Queues a message. Returns it if the window has no room for it now.
    fn queue(&mut self, app: &mut App, message: Message) -> Option<Message> {
        let len = message.body.len();
        let Some(header) = self.connection.data_header(len).filter(|_| self.fits_window(len))
        else {
            // It was accepted before this connection.
            warn!(len, "dropped a message that is longer than this server accepts");
            app.outbox.drop_message(&message);
            return None;
        };
        let frame_len = u32::try_from(header.as_ref().len() + len).unwrap_or(u32::MAX);
        if self.connection.ledger_mut().is_some_and(|ledger| !ledger.queue(frame_len)) {
            return Some(message);
        }
        app.outbox.push_message(header, message);
        None
    }

    fn queue_end(&mut self, app: &mut App) {
        if self.connection.ledger_mut().is_some_and(Ledger::queue_end) {
            app.outbox.push_end();
            app.intake.handle_end();
        }
    }

    /// Whether a message of this length can ever be sent in this session.
    fn fits_window(&self, len: usize) -> bool {
        let longest =
            |ledger: &Ledger| usize::try_from(ledger.longest_frame()).unwrap_or(usize::MAX);
        self.connection.ledger().is_none_or(|ledger| HEADER_LEN + len <= longest(ledger))
    }

    pub(super) fn write(&mut self, app: &mut App, now: Instant) -> Result<(), Reason> {
        self.pad(app);
        self.write_now(app).map(drop).map_err(|error| {
            self.write_failed = true;
            self.reason_of(&error, now)
        })
    }

    /// Writes what waits, as far as the kernel takes it. Returns how many bytes it took.
    pub(super) fn write_now(&mut self, app: &mut App) -> io::Result<usize> {
        let written = app.outbox.write(&mut self.transport);
        if let Some(ledger) = self.connection.ledger_mut() {
            // Also before an error: what the kernel took may arrive.
            ledger.handle_written(app.outbox.log_len());
        }
        let Written { len, beat } = written?;
        if len > 0 {
            let written_at = self.world.now();
            self.connection.handle_sent(written_at);
            if let Some(beat) = beat {
                self.connection.handle_beat_written(&beat, written_at);
            }
            if self.world.breaks(Break::HearsItself) {
                self.connection.handle_heard(self.world.now());
            }
        }
        Ok(len)
    }

    /// Pads what is about to be written, so that it wakes the server at once.
    fn pad(&mut self, app: &mut App) {
        let unpadded = app.outbox.unpadded_len(core::mem::take(&mut self.has_news));
        if let Some(pad) = unpadded.and_then(|len| self.connection.pad(len)) {
            app.outbox.push_control(pad.bytes().collect());
        }
    }
}
