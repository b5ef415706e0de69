//! The life of a client: connect, keep, wait, and again.

use core::time::Duration;
use std::sync::Arc;

use heartwire_core::Backoff;
use heartwire_core::v1::Retry as RetryHint;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tracing::field::Empty;
use tracing::{Instrument, info_span};

use super::dial::{Dialled, Dialler};
use super::drive::{Driver, DriverLink, End};
use super::event::Reports;
use super::outbox::{Message, Outbox};
use super::outlet::Outlet;
use super::{
    ClientConfig, ConnectError, Event, Farewell, Gate, Link, Retry, WhileDisconnected, Wishes,
    asked_to_close,
};
use crate::tls::TlsError;
use crate::{Reason, clock};

/// How often waits are cut short: addresses come and go in bursts when a network changes.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the one task of a client owns.
#[derive(Debug)]
pub(super) struct Task {
    config: ClientConfig,
    backoff: Option<Backoff>,
    gate: Arc<Gate>,
    wishes: Arc<Wishes>,
    reports: Reports,
    messages: UnboundedReceiver<Message>,
    closing: watch::Receiver<bool>,
    outbox: Outbox,
    dialler: Dialler,
}

impl Task {
    pub(super) fn new(
        config: ClientConfig,
        gate: Arc<Gate>,
        wishes: Arc<Wishes>,
        reports: Reports,
        messages: UnboundedReceiver<Message>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let backoff = match config.retry {
            Retry::Never => None,
            Retry::Backoff(policy) => Some(Backoff::new(policy, config.seed_or_random())),
        };
        Self {
            config,
            backoff,
            gate,
            wishes,
            reports,
            messages,
            closing,
            outbox: Outbox::default(),
            dialler: Dialler::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let reports = self.reports.clone();
        let mut outlet = Outlet::new(&reports, &self.config.target);
        self.keep_connected(&mut outlet).await;
        self.gate.set(Link::Closed);
        // A `send` that waits for room gets it from here, and then finds the gate closed.
        self.drop_messages();
        // `Client::closed` returns.
        self.messages.close();
        outlet.finish(Event::Closed);
    }

    /// Returns when the client is to end.
    async fn keep_connected(&mut self, outlet: &mut Outlet<'_>) {
        let mut attempt: u32 = 1;
        let mut looked_at: Option<tokio::time::Instant> = None;
        loop {
            let mut window = None;
            outlet.push_news(Event::Connecting { attempt });
            attempt = attempt.saturating_add(1);
            let dialled = tokio::select! {
                biased;
                () = asked_to_close(&mut self.closing) => return,
                dialled = outlet.deliver_during(self.dialler.dial(&mut self.config)) => dialled,
            };
            match dialled {
                Ok(dialled) => {
                    let failed = core::mem::replace(&mut attempt, 1).saturating_sub(1);
                    let Kept { goes_on, is_replaced, hint, was_online } =
                        self.keep_in_span(dialled, outlet).await;
                    if !goes_on {
                        return;
                    }
                    if is_replaced && self.backoff.is_some() {
                        continue;
                    }
                    window = self.window(hint);
                    if let (Some(backoff), Some((earliest, latest))) = (&mut self.backoff, window) {
                        if hint == Some(RetryHint::Never) {
                            backoff.come_back_within(earliest, latest);
                        } else {
                            backoff.handle_hint(earliest, latest);
                        }
                    }
                    if !was_online {
                        attempt = failed.saturating_add(1);
                    }
                }
                Err(error) => {
                    let is_retryable = error.is_retryable();
                    outlet.push_news(Event::Failed { error });
                    if !is_retryable {
                        return;
                    }
                }
            }
            let Some(backoff) = &mut self.backoff else { return };
            // The connection may have ended before its driver came to see that it is to close.
            if *self.closing.borrow() || self.closing.has_changed().is_err() {
                return;
            }
            let wait = backoff.next_wait();
            outlet.push_news(Event::Waiting { wait, attempt });
            let look = look(&self.wishes, looked_at);
            tokio::select! {
                biased;
                () = asked_to_close(&mut self.closing) => return,
                () = outlet.deliver_during(sleep(wait)) => {}
                // The server may want its clients to come back one after another.
                () = look, if window.is_none() => looked_at = Some(tokio::time::Instant::now()),
            }
        }
    }

    /// Whether the client does not come back when the server has said this.
    fn is_final(&self, hint: Option<RetryHint>) -> bool {
        hint == Some(RetryHint::Never) && self.config.retry_rejected.is_none()
    }

    /// When to come back, if not as the backoff says.
    fn window(&self, hint: Option<RetryHint>) -> Option<(Duration, Duration)> {
        match hint? {
            RetryHint::Within { earliest, latest } => Some((earliest, latest)),
            RetryHint::Never => {
                let every = self.config.retry_rejected?;
                Some((every, every.saturating_mul(2)))
            }
            RetryHint::AtWill => None,
        }
    }

    async fn keep_in_span(&mut self, dialled: Dialled, outlet: &mut Outlet<'_>) -> Kept {
        let span = info_span!("session", peer = %dialled.peer, session = Empty);
        self.keep(dialled, outlet).instrument(span).await
    }

    /// Keeps one connection from its first event to its last.
    async fn keep(&mut self, dialled: Dialled, outlet: &mut Outlet<'_>) -> Kept {
        let Dialled { transport, said, peer, kernel } = dialled;
        let link = DriverLink { peer, kernel, gate: &self.gate, wishes: &self.wishes };
        let mut driver =
            Driver::new(transport, &said, &self.config, link, &mut self.outbox, outlet);
        let end = driver.run(&mut self.messages, &mut self.closing).await;
        let was_online = driver.is_online();
        let is_leaving = matches!(end, End::Closing);
        let reason = match end {
            End::Lost(reason) => {
                self.gate.set(Link::Down);
                if let Some(backoff) = self.backoff.as_mut().filter(|_| was_online) {
                    backoff.handle_connected(driver.online_at());
                    // A dead server was stable for as long as it was heard. The kernel of a hung one
                    // keeps up a connection in which nothing is, and waits must grow all the same.
                    let is_dead = matches!(reason, Reason::Dead(_));
                    let lasted_until = if is_dead { driver.last_heard() } else { clock::now() };
                    backoff.handle_disconnected(lasted_until);
                }
                if let Reason::Protocol(violation) = reason {
                    driver.say_why(violation).await;
                }
                driver.deliver_rest(reason).await
            }
            End::Closing => {
                self.gate.set(Link::Closed);
                driver.close(&mut self.messages).await
            }
        };
        let has_worked = was_online && driver.has_heard() && !matches!(reason, Reason::Dead(_));
        let beats = driver.beats();
        let unacknowledged = driver.unacknowledged();
        let farewell = driver.take_farewell();
        let hint = farewell.as_ref().map(|farewell| farewell.retry);
        drop(driver);
        if has_worked {
            self.dialler.handle_worked(peer);
        } else {
            self.dialler.handle_failed(peer);
        }
        self.wishes.set_path(None);
        let goes_on = !is_leaving && !self.is_final(hint);
        let unsent = self.settle_messages(goes_on);
        if was_online {
            let farewell = farewell.map(Box::new);
            outlet.push_news(Event::Offline {
                peer,
                reason,
                unsent,
                unacknowledged,
                beats,
                farewell,
            });
        } else if reason != Reason::Shutdown {
            let error = match (reason, farewell) {
                (Reason::Bye(code), Some(Farewell { retry, detail, .. })) => {
                    ConnectError::TurnedAway { peer, code, retry, detail }
                }
                (Reason::Tls(fault), _) => {
                    let error = TlsError::Fault { fault, detail: String::new() };
                    ConnectError::Tls { peer, error }
                }
                (reason, _) => ConnectError::NoWelcome { peer, reason },
            };
            outlet.push_news(Event::Failed { error });
        }
        let is_replaced = reason == Reason::NetworkChanged;
        Kept { goes_on, is_replaced, hint, was_online }
    }

    /// Decides what becomes of the messages of a connection that ended. Returns how many are lost.
    fn settle_messages(&mut self, goes_on: bool) -> usize {
        let goes_on = goes_on && self.backoff.is_some();
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

/// Waits until the client is told to look now, and for [`LOOK_PAUSE`] since it last did.
async fn look(wishes: &Wishes, last: Option<tokio::time::Instant>) {
    wishes.look.notified().await;
    if let Some(last) = last {
        sleep_until(last + LOOK_PAUSE).await;
    }
}

/// What became of a connection.
struct Kept {
    /// Neither end has said that this was the last one.
    goes_on: bool,
    /// What the server said about coming back, if it took its leave.
    hint: Option<RetryHint>,
    was_online: bool,
    /// The way to the server was lost, and another one may be there.
    is_replaced: bool,
}

#[cfg(test)]
mod tests;
