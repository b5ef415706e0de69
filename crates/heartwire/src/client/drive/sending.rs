//! Sending: beats, and the application's messages.

use heartwire_core::order::Outbound;
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
        let (agreed, min_interval) = (contract.to_server.interval(), contract.min_interval);
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
        app.outbox.has_room() && self.is_online()
    }

    pub(super) fn take(&mut self, app: &mut App) {
        while self.takes_messages(app) {
            let Ok(message) = app.messages.try_recv() else { return };
            self.push(app, message);
        }
    }

    pub(in crate::client) fn push(&self, app: &mut App, message: Message) {
        let len = message.body.len();
        match self.connection.data_header(len) {
            Some(header) => app.outbox.push_message(header, message),
            // It was accepted before this connection.
            None => {
                warn!(len, "dropped a message that is longer than this server accepts");
                app.outbox.drop_too_long(message);
            }
        }
    }

    pub(super) fn write(&mut self, app: &mut App, now: Instant) -> Result<(), Reason> {
        self.pad(app);
        match app.outbox.write(&mut self.transport) {
            Ok(Written { len: 0, .. }) => Ok(()),
            Ok(Written { beat, .. }) => {
                let written_at = self.world.now();
                self.connection.handle_sent(written_at);
                if let Some(beat) = beat {
                    self.connection.handle_beat_written(&beat, written_at);
                }
                if self.world.breaks(Break::HearsItself) {
                    self.connection.handle_heard(self.world.now());
                }
                Ok(())
            }
            Err(error) => {
                self.write_failed = true;
                Err(self.reason_of(&error, now))
            }
        }
    }

    /// Pads what is about to be written, so that it wakes the server at once.
    fn pad(&mut self, app: &mut App) {
        let unpadded = app.outbox.unpadded_len(core::mem::take(&mut self.has_news));
        if let Some(pad) = unpadded.and_then(|len| self.connection.pad(len)) {
            app.outbox.push_control(pad);
        }
    }
}
