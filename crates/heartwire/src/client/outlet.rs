//! The outlet of events to the application, which may be slow or gone.

use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Pause;
use heartwire_core::frame::HEADER_LEN;
use tokio::sync::OwnedSemaphorePermit;
use tracing::info;

use super::Event;
use super::event::{Delivery, Reports};
use super::meter::Meter;
use super::receipts::{Receipt, Receipts};

/// Maximum number of events kept while the application takes none: those of one read (2,048 empty
/// frames in 16 KiB), and the other events of several hundred connections.
const MAX_KEPT: usize = 4096;

/// Delivers events when the application has room for them. Data can wait in the socket, so the
/// driver asks for room first. Other events cannot wait: they are kept here, and never delay the
/// client. So are the data of a resumable session, whose link is read on for acknowledgements; its
/// window bounds them.
#[derive(Debug)]
pub(super) struct Outlet {
    reports: Reports,
    meter: Meter,
    /// Room for one event, reserved.
    room: Option<OwnedSemaphorePermit>,
    /// Events without room, and counts of those that were dropped in their place. They go before
    /// anything else.
    kept: VecDeque<Kept>,
    /// How many of them may be dropped.
    droppable: usize,
    /// Data is kept too, like other events.
    keeps_data: bool,
    /// Of the session, if it can be resumed: its data is kept, and never dropped.
    receipts: Option<Arc<Receipts>>,
    /// How many of the kept events are data of earlier such sessions. While there are any, no more
    /// is kept: each session adds at most a window.
    old_data: usize,
    /// The application dropped its [`Events`](super::Events): everything is discarded.
    deaf: bool,
}

#[derive(Debug)]
struct Kept {
    event: Event,
    receipt: Option<Receipt>,
}

impl Kept {
    const fn is_droppable(&self) -> bool {
        self.receipt.is_none() && !matches!(self.event, Event::Lagged { .. })
    }
}

impl Outlet {
    pub(super) fn new(reports: Reports, target: &str) -> Self {
        let meter = Meter::new(reports.by.as_deref().unwrap_or(target));
        Self {
            reports,
            meter,
            room: None,
            kept: VecDeque::new(),
            droppable: 0,
            keeps_data: false,
            receipts: None,
            old_data: 0,
            deaf: false,
        }
    }

    /// Emits an event other than data: now, or when there is room, before any data. Never blocks.
    pub(super) fn push_news(&mut self, event: Event) {
        info!(event = event.name(), "{event}");
        self.meter.handle_event(&event);
        match (self.kept.back_mut().map(|kept| &mut kept.event), event) {
            (Some(Event::Paused(first)), Event::Paused(second)) => {
                *first = Pause::new(second.resumed_at, first.gap.saturating_add(second.gap));
            }
            (_, event) => {
                if matches!(event, Event::Connecting { .. }) {
                    self.forget_attempt();
                }
                self.keep(event, None);
            }
        }
        self.flush();
    }

    /// Drops the kept events of the previous attempt when a new one begins.
    fn forget_attempt(&mut self) {
        let is_of_attempts = |kept: &&Kept| {
            matches!(
                kept.event,
                Event::Connecting { .. } | Event::Failed { .. } | Event::Waiting { .. }
            )
        };
        let count = self.kept.iter().rev().take_while(is_of_attempts).count();
        let begin = self.kept.len() - count;
        let has_begun = |kept: &Kept| matches!(kept.event, Event::Connecting { .. });
        if self.kept.iter().skip(begin).any(has_begun) {
            self.kept.truncate(begin);
            self.droppable -= count;
        }
    }

    fn keep(&mut self, event: Event, receipt: Option<Receipt>) {
        let kept = Kept { event, receipt };
        self.droppable += usize::from(kept.is_droppable());
        self.kept.push_back(kept);
        if self.droppable > MAX_KEPT {
            self.drop_oldest();
        }
    }

    /// Drops the oldest event that may be, and counts it in its place.
    fn drop_oldest(&mut self) {
        let Some(at) = self.kept.iter().position(Kept::is_droppable) else { return };
        self.droppable -= 1;
        let before = at.checked_sub(1).and_then(|before| self.kept.get_mut(before));
        if let Some(Kept { event: Event::Lagged { count }, .. }) = before {
            *count = count.saturating_add(1);
            self.kept.remove(at);
        } else if let Some(kept) = self.kept.get_mut(at) {
            kept.event = Event::Lagged { count: 1 };
        }
    }

    /// Emits the last event and everything before it, even without room: the client ends even if
    /// the application takes nothing.
    pub(super) fn finish(&mut self, event: Event) {
        self.push_news(event);
        while let Some(kept) = self.next_kept() {
            self.send(kept, None);
        }
    }

    /// The client's metrics.
    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Emits data for which there [was room](Self::has_room).
    pub(super) fn push_data(&mut self, body: &[u8]) {
        let receipts = self.receipts.as_ref();
        let receipt = receipts.map(|receipts| Receipt::new(receipts, HEADER_LEN + body.len()));
        if self.deaf {
            return;
        }
        let event = Event::Data(body.to_vec());
        match self.room.take() {
            Some(room) => self.send(Kept { event, receipt }, Some(room)),
            None => self.keep(event, receipt),
        }
    }

    /// Emits that the server sends no more data.
    pub(super) fn push_end(&mut self) {
        info!(event = Event::Ended.name(), "{}", Event::Ended);
        let receipt = self.receipts.as_ref().map(|receipts| Receipt::new(receipts, HEADER_LEN));
        self.keep(Event::Ended, receipt);
        self.flush();
    }

    /// From now on data is that of a session that can be resumed: it is kept while the application
    /// has no room, and `receipts` count what the application takes. Or it is not, with `None`.
    pub(super) fn begin_session(&mut self, receipts: Option<Arc<Receipts>>) {
        self.receipts = receipts;
        self.old_data = self.kept.iter().filter(|kept| kept.receipt.is_some()).count();
    }

    /// Sets whether data without room is kept like other events.
    pub(super) const fn keep_data(&mut self, keeps_data: bool) {
        self.keeps_data = keeps_data;
    }

    /// Whether data can be emitted now, after all kept events, or kept.
    pub(super) fn has_room(&mut self) -> bool {
        (self.flush() && self.reserve())
            || self.keeps_data
            || (self.receipts.is_some() && self.old_data == 0)
    }

    /// The number of kept events.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Emits kept events while there is room. Returns whether none is left.
    fn flush(&mut self) -> bool {
        while !self.kept.is_empty() && self.reserve() {
            let room = self.room.take();
            if let Some(kept) = self.next_kept() {
                self.send(kept, room);
            }
        }
        self.kept.is_empty()
    }

    fn next_kept(&mut self) -> Option<Kept> {
        let kept = self.kept.pop_front()?;
        self.droppable -= usize::from(kept.is_droppable());
        self.old_data = self.old_data.saturating_sub(usize::from(kept.receipt.is_some()));
        Some(kept)
    }

    fn send(&mut self, kept: Kept, room: Option<OwnedSemaphorePermit>) {
        let Kept { event, receipt } = kept;
        let told = Delivery { by: self.reports.by.clone(), event, room, receipt };
        self.deaf |= self.reports.sender.send(Box::new(told)).is_err();
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
