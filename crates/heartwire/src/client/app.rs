//! The application's side of a client's task: messages, controls and events.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heartwire_core::{Instant, LinkState, PauseWatch};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};

use super::SendError;
use super::outbox::{Message, Outbox, Tally};
use super::outlet::Outlet;
use super::session::Session;

/// The application as the client's task sees it: its messages and controls, and the outlet for
/// events. It outlives connections.
#[derive(Debug)]
pub(super) struct App {
    pub(super) intake: Arc<Intake>,
    pub(super) controls: Arc<Controls>,
    pub(super) messages: UnboundedReceiver<Message>,
    /// Messages that were taken from there, and for which there was no connection or no window.
    pub(super) pending: VecDeque<Message>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) outbox: Outbox,
    pub(super) outlet: Outlet,
    /// The session, if it can be resumed.
    pub(super) session: Option<Box<Session>>,
    /// Of this process, also while there is no connection.
    pub(super) watch: PauseWatch,
    /// When a close has to be done, once it has begun.
    pub(super) leave_by: Option<Instant>,
    /// No other connection follows.
    pub(super) is_over: bool,
}

impl App {
    /// Whether the client has to close: a handle says so, or no handle is left.
    pub(super) fn wants_close(&self) -> bool {
        *self.closing.borrow() || self.messages.is_closed()
    }

    /// Drops every accepted message. Returns how many there were.
    pub(super) fn drop_messages(&mut self) -> Tally {
        let (kept, mut dropped) = self.outbox.handle_end();
        let waiting = core::iter::from_fn(|| self.messages.try_recv().ok());
        for message in kept.into_iter().chain(self.pending.drain(..)).chain(waiting) {
            dropped.add(message.body.len());
        }
        dropped
    }

    /// Drops every message whose writing has not begun: the session goes on only to be closed.
    pub(super) fn drop_unwritten(&mut self) {
        self.intake.handle_end();
        self.outbox.drop_unwritten();
        let waiting = core::iter::from_fn(|| self.messages.try_recv().ok());
        for message in self.pending.drain(..).chain(waiting) {
            self.outbox.drop_message(&message);
        }
    }

    /// Keeps the messages that were never written for the next connection. Returns how many are
    /// lost.
    pub(super) fn keep_messages(&mut self) -> Tally {
        let (kept, dropped) = self.outbox.handle_end();
        for message in kept.into_iter().rev() {
            self.pending.push_front(message);
        }
        dropped
    }

    /// Keeps or drops the messages of a connection that ended, and after which `goes_on` says
    /// whether another one follows. Returns how many are lost.
    pub(super) fn settle_messages(&mut self, goes_on: bool) -> Tally {
        self.intake.set(if goes_on { Link::Down } else { Link::Closed });
        if goes_on && self.intake.queues { self.keep_messages() } else { self.drop_messages() }
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
    /// The application closes the client and drops what was not written.
    aborts: AtomicBool,
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
            aborts: AtomicBool::new(false),
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

    /// Called before the client is closed.
    pub(super) fn abort(&self) {
        self.aborts.store(true, Ordering::Release);
    }

    pub(super) fn aborts(&self) -> bool {
        self.aborts.load(Ordering::Acquire)
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
    /// The application sends no more in this session, and its END is not queued yet.
    ends: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    Up {
        /// The longest message that the server accepts; `None`: not even an empty one.
        max_frame: Option<usize>,
        /// The session can be resumed.
        is_resumable: bool,
    },
    /// The application sends no more in this session.
    Ended,
    Closed,
}

impl Intake {
    pub(super) const fn new(queues: bool) -> Self {
        Self { queues, link: Mutex::new(Link::Down), ends: AtomicBool::new(false) }
    }

    /// Sets the state of the intake. A closed intake stays closed.
    pub(super) fn set(&self, link: Link) {
        let mut now = self.lock();
        if *now != Link::Closed {
            *now = link;
        }
        if *now != Link::Closed {
            self.ends.store(false, Ordering::Release);
        }
    }

    /// The longest message that the server accepts, if there is a connection; `None`: not even an
    /// empty one.
    pub(super) fn max_frame(&self) -> Option<usize> {
        match *self.lock() {
            Link::Up { max_frame, .. } => max_frame,
            Link::Down | Link::Ended | Link::Closed => Some(usize::MAX),
        }
    }

    pub(super) fn refusal(&self) -> Option<fn(Vec<u8>) -> SendError> {
        self.refusal_of(&self.lock())
    }

    pub(super) fn refusal_of(&self, link: &Link) -> Option<fn(Vec<u8>) -> SendError> {
        match (link, self.queues) {
            (Link::Closed, _) => Some(SendError::Closed),
            (Link::Ended, _) => Some(SendError::Ended),
            (Link::Down, false) => Some(SendError::NotConnected),
            (Link::Down, true) | (Link::Up { .. }, _) => None,
        }
    }

    /// Accepts no more messages in this session. Returns whether it can be resumed.
    pub(super) fn end(&self) -> bool {
        let mut now = self.lock();
        if let Link::Up { is_resumable: true, .. } = *now {
            *now = Link::Ended;
            self.ends.store(true, Ordering::Release);
        }
        *now == Link::Ended
    }

    /// Whether the application sends no more than it has sent, and its END is not queued yet.
    pub(super) fn wants_end(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }

    /// The END is queued, or is not sent at all.
    pub(super) fn handle_end(&self) {
        self.ends.store(false, Ordering::Release);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Link> {
        // Ignores poisoning: nothing panics under the lock, and every value is valid.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
