//! The outlet of events to the application, which may be slow or gone.

use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Pause;
use tokio::sync::OwnedSemaphorePermit;
use tracing::info;

use super::Event;
use super::event::{Delivery, Reports};
use super::meter::Meter;

/// Maximum number of events kept while the application takes none: those of one read (2,048 empty
/// frames in 16 KiB), and the other events of several hundred connections.
const MAX_KEPT: usize = 4096;

/// Delivers events when the application has room for them. Data can wait in the socket, so the
/// driver asks for room first. Other events cannot wait: they are kept here, and never delay the
/// client.
#[derive(Debug)]
pub(super) struct Outlet {
    reports: Reports,
    meter: Meter,
    /// Room for one event, reserved.
    room: Option<OwnedSemaphorePermit>,
    /// Events without room. They go before anything else.
    kept: VecDeque<Event>,
    /// Number of events dropped before those.
    lagged: u64,
    /// Data is kept too, like other events.
    keeps_data: bool,
    /// The application dropped its [`Events`](super::Events): everything is discarded.
    deaf: bool,
}

impl Outlet {
    pub(super) fn new(reports: Reports, target: &str) -> Self {
        let meter = Meter::new(reports.by.as_deref().unwrap_or(target));
        Self {
            reports,
            meter,
            room: None,
            kept: VecDeque::new(),
            lagged: 0,
            keeps_data: false,
            deaf: false,
        }
    }

    /// Emits an event other than data: now, or when there is room, before any data. Never blocks.
    pub(super) fn push_news(&mut self, event: Event) {
        info!(event = event.name(), "{event}");
        self.meter.handle_event(&event);
        match (self.kept.back_mut(), event) {
            (Some(Event::Paused(first)), Event::Paused(second)) => {
                *first = Pause::new(second.resumed_at, first.gap.saturating_add(second.gap));
            }
            (_, event) => {
                if matches!(event, Event::Connecting { .. }) {
                    self.forget_attempt();
                }
                self.keep(event);
            }
        }
        self.flush();
    }

    /// Drops the kept events of the previous attempt when a new one begins.
    fn forget_attempt(&mut self) {
        let is_of_attempts = |event: &&Event| {
            matches!(event, Event::Connecting { .. } | Event::Failed { .. } | Event::Waiting { .. })
        };
        let count = self.kept.iter().rev().take_while(is_of_attempts).count();
        let begin = self.kept.len() - count;
        let has_begun = |event: &Event| matches!(event, Event::Connecting { .. });
        if self.kept.iter().skip(begin).any(has_begun) {
            self.kept.truncate(begin);
        }
    }

    fn keep(&mut self, event: Event) {
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
            self.lagged = self.lagged.saturating_add(1);
        }
        self.kept.push_back(event);
    }

    /// Emits the last event and everything before it, even without room: the client ends even if
    /// the application takes nothing.
    pub(super) fn finish(&mut self, event: Event) {
        self.push_news(event);
        while let Some(event) = self.next_kept() {
            self.send(event, None);
        }
    }

    /// The client's metrics.
    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Emits data for which there [was room](Self::has_room).
    pub(super) fn push_data(&mut self, body: &[u8]) {
        if self.deaf {
            return;
        }
        let event = Event::Data(body.to_vec());
        match self.room.take() {
            Some(room) => self.send(event, Some(room)),
            None => self.keep(event),
        }
    }

    /// Sets whether data without room is kept like other events.
    pub(super) const fn keep_data(&mut self, keeps_data: bool) {
        self.keeps_data = keeps_data;
    }

    /// Whether data can be emitted now, after all kept events.
    pub(super) fn has_room(&mut self) -> bool {
        (self.flush() && self.reserve()) || self.keeps_data
    }

    /// The number of kept events.
    pub(super) fn kept(&self) -> usize {
        self.kept.len() + usize::from(self.lagged > 0)
    }

    /// Emits kept events while there is room. Returns whether none is left.
    fn flush(&mut self) -> bool {
        while (self.lagged > 0 || !self.kept.is_empty()) && self.reserve() {
            let room = self.room.take();
            if let Some(event) = self.next_kept() {
                self.send(event, room);
            }
        }
        self.lagged == 0 && self.kept.is_empty()
    }

    fn next_kept(&mut self) -> Option<Event> {
        match core::mem::take(&mut self.lagged) {
            0 => self.kept.pop_front(),
            count => Some(Event::Lagged { count }),
        }
    }

    fn send(&mut self, event: Event, room: Option<OwnedSemaphorePermit>) {
        let told = Delivery { by: self.reports.by.clone(), event, room };
        self.deaf |= self.reports.sender.send(told).is_err();
    }

    /// Emits kept events while there is room, then releases the reserved room. Returns whether none
    /// is left.
    pub(super) fn deliver(&mut self) -> bool {
        let is_done = self.flush();
        self.rest();
        is_done
    }

    /// Releases the reserved room, because no event will follow soon.
    pub(super) fn rest(&mut self) {
        self.room = None;
    }

    fn reserve(&mut self) -> bool {
        self.deaf |= self.reports.sender.is_closed();
        if self.room.is_none() && !self.deaf {
            self.room = Arc::clone(&self.reports.room).try_acquire_owned().ok();
        }
        self.room.is_some() || self.deaf
    }

    /// Waits until [`has_room`](Self::has_room) may be true. Cancel-safe.
    pub(super) async fn wait_for_room(&mut self) {
        if self.room.is_some() || self.deaf {
            return;
        }
        tokio::select! {
            room = Arc::clone(&self.reports.room).acquire_owned() => self.room = room.ok(),
            () = self.reports.sender.closed() => self.deaf = true,
        }
    }
}

#[cfg(test)]
mod tests;
