//! The life of a client: connect, keep, wait, and again.

use core::time::Duration;

use heartwire_core::Backoff;
use heartwire_core::v1::Retry as RetryHint;
use tokio::time::{sleep, sleep_until};
use tracing::field::Empty;
use tracing::{Instrument, info_span};

use super::app::{App, Link, Wishes, asked_to_close};
use super::dial::{Dialled, Dialler};
use super::drive::{Driver, End};
use super::runtime::{Runtime, Stream};
use super::{ClientConfig, ConnectError, Event, Farewell, Retry, WhileDisconnected};
use crate::tls::TlsError;
use crate::{Reason, clock};

/// How often waits are cut short: addresses come and go in bursts when a network changes.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Everything that the one task of a client owns.
#[derive(Debug)]
pub(super) struct Task {
    config: ClientConfig,
    backoff: Option<Backoff>,
    app: App,
    dialler: Dialler,
}

impl Task {
    pub(super) fn new(config: ClientConfig, app: App) -> Self {
        let backoff = match config.retry {
            Retry::Never => None,
            Retry::Backoff(policy) => Some(Backoff::new(policy, config.seed_or_random())),
        };
        Self { config, backoff, app, dialler: Dialler::default() }
    }

    pub(super) async fn run(mut self) {
        self.keep_connected().await;
        let Self { mut app, .. } = self;
        app.gate.set(Link::Closed);
        // A `send` that waits for room gets it from here, and then finds the gate closed.
        app.drop_messages();
        // `Client::closed` returns.
        app.messages.close();
        app.outlet.finish(Event::Closed);
    }

    /// Returns when the client is to end.
    async fn keep_connected(&mut self) {
        let mut attempt: u32 = 1;
        let mut looked_at: Option<tokio::time::Instant> = None;
        loop {
            let mut window = None;
            self.app.outlet.push_news(Event::Connecting { attempt });
            attempt = attempt.saturating_add(1);
            let dialled = tokio::select! {
                biased;
                () = asked_to_close(&mut self.app.closing) => return,
                dialled = self.app.outlet.deliver_during(self.dialler.dial(&mut self.config)) => dialled,
            };
            match dialled {
                Ok(dialled) => {
                    let failed = core::mem::replace(&mut attempt, 1).saturating_sub(1);
                    let Kept { goes_on, is_replaced, hint, was_online } =
                        self.keep_in_span(dialled).await;
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
                    self.app.outlet.push_news(Event::Failed { error });
                    if !is_retryable {
                        return;
                    }
                }
            }
            let Some(backoff) = &mut self.backoff else { return };
            // The connection may have ended before its driver came to see that it is to close.
            if self.app.wants_close() {
                return;
            }
            let wait = backoff.next_wait();
            self.app.outlet.push_news(Event::Waiting { wait, attempt });
            let look = look(&self.app.wishes, looked_at);
            tokio::select! {
                biased;
                () = asked_to_close(&mut self.app.closing) => return,
                () = self.app.outlet.deliver_during(sleep(wait)) => {}
                // The server may want its clients to come back one after another.
                () = look, if window.is_none() => looked_at = Some(tokio::time::Instant::now()),
            }
            if window.is_none() {
                self.app.wishes.take_look();
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

    async fn keep_in_span(&mut self, dialled: Dialled<Stream>) -> Kept {
        let span = info_span!("session", peer = %dialled.peer, session = Empty);
        self.keep(dialled).instrument(span).await
    }

    /// Keeps one connection from its first event to its last.
    async fn keep(&mut self, dialled: Dialled<Stream>) -> Kept {
        let peer = dialled.peer;
        let mut driver = Driver::new(Runtime, dialled, &self.config, &mut self.app);
        let End { reason, lasted_until } = driver.run(&mut self.app).await;
        let was_online = driver.is_online();
        let is_leaving = lasted_until.is_none();
        if let (Some(backoff), Some(from), Some(until)) =
            (&mut self.backoff, driver.online_at(), lasted_until)
        {
            backoff.handle_connected(from);
            backoff.handle_disconnected(until);
        }
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
        self.app.wishes.set_path(None, clock::now());
        let goes_on = !is_leaving && !self.is_final(hint);
        let unsent = self.settle_messages(goes_on);
        if was_online {
            let farewell = farewell.map(Box::new);
            self.app.outlet.push_news(Event::Offline {
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
            self.app.outlet.push_news(Event::Failed { error });
        }
        let is_replaced = reason == Reason::NetworkChanged;
        Kept { goes_on, is_replaced, hint, was_online }
    }

    /// Decides what becomes of the messages of a connection that ended. Returns how many are lost.
    fn settle_messages(&mut self, goes_on: bool) -> usize {
        let goes_on = goes_on && self.backoff.is_some();
        match self.config.while_disconnected {
            WhileDisconnected::Queue if goes_on => self.app.outbox.handle_end(),
            WhileDisconnected::Queue | WhileDisconnected::Refuse => {
                // Nobody can slip in between: the gate is closed.
                if !goes_on {
                    self.app.gate.set(Link::Closed);
                }
                self.app.drop_messages()
            }
        }
    }
}

/// Waits until the client is told to look now, and for [`LOOK_PAUSE`] since it last did.
async fn look(wishes: &Wishes, last: Option<tokio::time::Instant>) {
    while !wishes.wants_look() {
        wishes.changed.notified().await;
    }
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
