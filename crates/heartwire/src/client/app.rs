//! The application's side of a client's task: messages, controls and events.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heartwire_core::{Instant, LinkState};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};

use super::SendError;
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;

/// The application as the client's task sees it: its messages and controls, and the outlet for
/// events. It outlives connections.
#[derive(Debug)]
pub(super) struct App {
    pub(super) intake: Arc<Intake>,
    pub(super) controls: Arc<Controls>,
    pub(super) messages: UnboundedReceiver<Message>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) outbox: Outbox,
    pub(super) outlet: Outlet,
}

impl App {
    /// Whether the client has to close: a handle says so, or no handle is left.
    pub(super) fn wants_close(&self) -> bool {
        *self.closing.borrow() || self.messages.is_closed()
    }

    /// Drops every accepted message. Returns how many there were.
    pub(super) fn drop_messages(&mut self) -> usize {
        let mut dropped = self.outbox.clear();
        while self.messages.try_recv().is_ok() {
            dropped += 1;
        }
        dropped
    }
}

/// Waits until [`App::wants_close`] is true.
pub(super) async fn asked_to_close(closing: &mut watch::Receiver<bool>) {
    // An error means that the last handle is gone.
    let _ = closing.wait_for(|&asked| asked).await;
}

/// Settings that the handles change, and the link state that they read.
#[derive(Debug)]
pub(super) struct Controls {
    /// The promised interval, if not the negotiated one.
    promise: Mutex<Option<Duration>>,
    /// When the application last fed the watchdog, in nanoseconds.
    fed_at: AtomicU64,
    /// The network may have changed.
    look: AtomicBool,
    /// The link state as of the last beat, and when that was.
    link_state: Mutex<Option<(LinkState, Instant)>>,
    /// Notified when the application changes something here.
    pub(super) changed: Notify,
}

impl Controls {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            promise: Mutex::default(),
            fed_at: AtomicU64::new(now.as_nanos()),
            look: AtomicBool::new(false),
            link_state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn promise(&self) -> Option<Duration> {
        *self.promise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_promise(&self, promise: Option<Duration>) {
        *self.promise.lock().unwrap_or_else(PoisonError::into_inner) = promise;
        self.changed.notify_one();
    }

    pub(super) fn fed_at(&self) -> Instant {
        Instant::from_nanos(self.fed_at.load(Ordering::Relaxed))
    }

    pub(super) fn feed_watchdog(&self, now: Instant) {
        self.fed_at.store(now.as_nanos(), Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Whether the connection has to be checked now.
    pub(super) fn wants_look(&self) -> bool {
        self.look.load(Ordering::Acquire)
    }

    /// The same, and resets it.
    pub(super) fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::AcqRel)
    }

    pub(super) fn network_changed(&self) {
        self.look.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The link state now. The time since the last beat is added to `unheard`, because the server
    /// is not known to have heard this client since.
    pub(super) fn link_state(&self, now: Instant) -> Option<LinkState> {
        let (mut link_state, at) =
            (*self.link_state.lock().unwrap_or_else(PoisonError::into_inner))?;
        link_state.unheard = link_state.unheard.saturating_add(now.saturating_since(at));
        Some(link_state)
    }

    pub(super) fn set_link_state(&self, link_state: Option<LinkState>, now: Instant) {
        let link_state = link_state.map(|link_state| (link_state, now));
        *self.link_state.lock().unwrap_or_else(PoisonError::into_inner) = link_state;
    }
}

/// Whether messages are accepted.
#[derive(Debug)]
pub(super) struct Intake {
    queues: bool,
    link: Mutex<Link>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    /// With the longest message that the server accepts.
    Up {
        max_frame: usize,
    },
    Closed,
}

impl Intake {
    pub(super) const fn new(queues: bool) -> Self {
        Self { queues, link: Mutex::new(Link::Down) }
    }

    /// Sets the state of the intake. A closed intake stays closed.
    pub(super) fn set(&self, link: Link) {
        let mut now = self.lock();
        if *now != Link::Closed {
            *now = link;
        }
    }

    /// The longest message that the server accepts, if there is a connection.
    pub(super) fn max_frame(&self) -> usize {
        match *self.lock() {
            Link::Up { max_frame } => max_frame,
            Link::Down | Link::Closed => usize::MAX,
        }
    }

    pub(super) fn refusal(&self) -> Option<fn(Vec<u8>) -> SendError> {
        self.refusal_of(&self.lock())
    }

    pub(super) fn refusal_of(&self, link: &Link) -> Option<fn(Vec<u8>) -> SendError> {
        match (link, self.queues) {
            (Link::Closed, _) => Some(SendError::Closed),
            (Link::Down, false) => Some(SendError::NotConnected),
            (Link::Down, true) | (Link::Up { .. }, _) => None,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Link> {
        // Ignores poisoning: nothing panics under the lock, and every value is valid.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
