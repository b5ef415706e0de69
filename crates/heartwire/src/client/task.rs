//! The life of a client: connect, keep, wait, and again.

use std::sync::Arc;

use heartwire_core::Backoff;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::sleep;

use super::dial::{Dialled, dial};
use super::drive::{Driver, End};
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;
use super::{ClientConfig, Event, Gate, Link, Retry, WhileDisconnected, asked_to_close};
use crate::{Reason, clock};

/// Everything that the one task of a client owns.
#[derive(Debug)]
pub(super) struct Task {
    config: ClientConfig,
    backoff: Option<Backoff>,
    gate: Arc<Gate>,
    events: Sender<Event>,
    messages: UnboundedReceiver<Message>,
    closing: watch::Receiver<bool>,
    outbox: Outbox,
}

impl Task {
    pub(super) fn new(
        config: ClientConfig,
        gate: Arc<Gate>,
        events: Sender<Event>,
        messages: UnboundedReceiver<Message>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let backoff = match config.retry {
            Retry::Never => None,
            Retry::Backoff(policy) => Some(Backoff::new(policy, config.seed_or_random())),
        };
        Self { config, backoff, gate, events, messages, closing, outbox: Outbox::default() }
    }

    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        let mut outlet = Outlet::new(&events);
        self.keep_connected(&mut outlet).await;
        self.gate.set(Link::Closed);
        // Whoever waits for room gets it from here, and then finds the gate closed.
        self.drop_messages();
        outlet.emit(Event::Closed).await;
    }

    /// Returns when the client is to end.
    async fn keep_connected(&mut self, outlet: &mut Outlet<'_>) {
        let mut attempt: u32 = 1;
        loop {
            outlet.emit(Event::Connecting { attempt }).await;
            attempt = attempt.saturating_add(1);
            let dialled = tokio::select! {
                biased;
                () = asked_to_close(&mut self.closing) => return,
                dialled = dial(&self.config) => dialled,
            };
            match dialled {
                Ok(dialled) => {
                    attempt = 1;
                    let reason = self.keep(dialled, outlet).await;
                    if reason == Reason::Shutdown {
                        return;
                    }
                }
                Err(error) => {
                    let is_retryable = error.is_retryable();
                    outlet.emit(Event::Failed { error }).await;
                    if !is_retryable {
                        return;
                    }
                }
            }
            let Some(backoff) = &mut self.backoff else { return };
            let wait = backoff.next_wait();
            outlet.emit(Event::Waiting { wait, attempt }).await;
            tokio::select! {
                biased;
                () = asked_to_close(&mut self.closing) => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Keeps one connection from its first event to its last.
    async fn keep(&mut self, dialled: Dialled, outlet: &mut Outlet<'_>) -> Reason {
        let Dialled { stream, peer, kernel } = dialled;
        if let Some(backoff) = &mut self.backoff {
            backoff.handle_connected(clock::now());
        }
        self.gate.set(Link::Up);
        outlet.push_news(Event::Online { peer, kernel });
        let mut driver = Driver::new(stream, self.config.settings(), &mut self.outbox, outlet);
        let reason = match driver.run(&mut self.messages, &mut self.closing).await {
            End::Lost(reason) => {
                self.gate.set(Link::Down);
                if let Some(backoff) = &mut self.backoff {
                    // A dead server was stable for as long as it was heard. The kernel of a hung one
                    // keeps up a connection in which nothing is, and waits must grow all the same.
                    let is_dead = matches!(reason, Reason::Dead(_));
                    let lasted_until = if is_dead { driver.last_heard() } else { clock::now() };
                    backoff.handle_disconnected(lasted_until);
                }
                driver.deliver_rest(reason).await;
                reason
            }
            End::Closing => {
                self.gate.set(Link::Closed);
                driver.close(&mut self.messages).await;
                Reason::Shutdown
            }
        };
        let beats = driver.beats();
        drop(driver);
        let unsent = self.settle_messages(reason);
        outlet.emit(Event::Offline { peer, reason, unsent, beats }).await;
        reason
    }

    /// Decides what becomes of the messages of a connection that ended. Returns how many are lost.
    fn settle_messages(&mut self, reason: Reason) -> usize {
        let goes_on = self.backoff.is_some() && reason != Reason::Shutdown;
        match self.config.while_disconnected {
            WhileDisconnected::Queue if goes_on => self.outbox.handle_end(),
            WhileDisconnected::Queue | WhileDisconnected::Refuse => {
                // Nobody can slip in between: the gate is closed.
                if !goes_on {
                    self.gate.set(Link::Closed);
                }
                self.drop_messages()
            }
        }
    }

    /// Drops every message that was accepted. Returns how many that were.
    fn drop_messages(&mut self) -> usize {
        let mut dropped = self.outbox.clear();
        while self.messages.try_recv().is_ok() {
            dropped += 1;
        }
        dropped
    }
}
