//! The way of events to the application, which may be slow or gone.

use std::collections::VecDeque;

use heartwire_core::Stall;
use tokio::sync::mpsc::Permit;
use tokio::sync::mpsc::error::TrySendError;
use tracing::info;

use super::Event;
use super::event::{Reports, Told};
use super::meter::Meter;

/// Takes events only when there is room for them: whoever has one that can wait, such as data in a
/// socket, asks first.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    reports: &'a Reports,
    meter: Meter,
    /// Room for one event, reserved.
    room: Option<Permit<'a, Told>>,
    /// Events that could not wait. They go before anything else.
    news: VecDeque<Event>,
    /// The application dropped its end: there is room for anything, and nothing goes anywhere.
    deaf: bool,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(reports: &'a Reports, target: &str) -> Self {
        let meter = Meter::new(reports.by.as_deref().unwrap_or(target));
        Self { reports, meter, room: None, news: VecDeque::new(), deaf: false }
    }

    /// Emits an event, and waits while there is no room for it.
    pub(super) async fn emit(&mut self, event: Event) {
        self.push_news(event);
        while !self.flush() {
            self.wait_for_room().await;
        }
    }

    /// Emits an event as soon as there is room, before any data.
    pub(super) fn push_news(&mut self, event: Event) {
        info!(event = event.name(), "{event}");
        self.meter.handle_event(&event);
        match (self.news.back_mut(), event) {
            // So that the news stay few however long the application takes.
            (Some(Event::Stalled(first)), Event::Stalled(second)) => {
                *first = Stall::new(second.resumed_at, first.gap.saturating_add(second.gap));
            }
            (_, event) => self.news.push_back(event),
        }
    }

    /// What is measured, and no event.
    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Emits data for which there [was room](Self::has_room).
    pub(super) fn push_data(&mut self, body: &[u8]) {
        if self.deaf {
            return;
        }
        if let Some(room) = self.room.take() {
            room.send(self.reports.told(Event::Data(body.to_vec())));
        }
    }

    /// Whether data can be emitted now. News that were waiting have then gone out.
    pub(super) fn has_room(&mut self) -> bool {
        self.flush() && self.reserve()
    }

    /// Whether no news are waiting any more.
    fn flush(&mut self) -> bool {
        while !self.news.is_empty() && self.reserve() {
            if let (Some(event), Some(room)) = (self.news.pop_front(), self.room.take()) {
                room.send(self.reports.told(event));
            }
        }
        self.news.is_empty()
    }

    /// Nothing is to be emitted soon: others may have the room.
    pub(super) fn rest(&mut self) {
        self.room = None;
    }

    fn reserve(&mut self) -> bool {
        if self.room.is_none() && !self.deaf {
            match self.reports.sender.try_reserve() {
                Ok(room) => self.room = Some(room),
                Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => self.deaf = true,
            }
        }
        self.room.is_some() || self.deaf
    }

    /// Waits until [`has_room`](Self::has_room) may be true. Loses nothing when it is dropped.
    pub(super) async fn wait_for_room(&mut self) {
        if self.room.is_some() || self.deaf {
            return;
        }
        match self.reports.sender.reserve().await {
            Ok(room) => self.room = Some(room),
            Err(_) => self.deaf = true,
        }
    }
}
