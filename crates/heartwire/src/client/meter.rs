//! The metrics of a client.

#[cfg(feature = "metrics")]
use core::cell::Cell;
use core::time::Duration;

use super::Event;

/// Reports one connection, see [`metrics`](crate::metrics). Without the feature it does nothing.
#[derive(Debug)]
pub(super) struct Meter {
    #[cfg(feature = "metrics")]
    connection: String,
    #[cfg(feature = "metrics")]
    online: Cell<bool>,
}

#[cfg(not(feature = "metrics"))]
impl Meter {
    pub(super) const fn new(_connection: &str) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "it has something to say with the feature only")]
    pub(super) const fn handle_event(&self, _event: &Event) {}

    #[expect(clippy::unused_self, reason = "it has something to say with the feature only")]
    pub(super) const fn handle_beat(&self, _round_trip: Option<Duration>) {}
}

#[cfg(feature = "metrics")]
mod reporting {
    use metrics::{Counter, Histogram, counter, gauge, histogram};

    use super::{Cell, Duration, Event, Meter};
    use crate::Reason;
    use crate::metrics::{
        CLIENT_ATTEMPTS, CLIENT_AWAY, CLIENT_BACK, CLIENT_BEATS, CLIENT_CONNECTIONS, CLIENT_ENDS,
        CLIENT_FAILURES, CLIENT_ONLINE, CLIENT_PAUSE, CLIENT_ROUND_TRIP, CLIENT_UNDELIVERED,
        CLIENT_UNSENT, CLIENT_VERDICT_LATE, LABEL_CONNECTION, LABEL_REASON,
    };

    impl Meter {
        pub(in crate::client) fn new(connection: &str) -> Self {
            Self { connection: connection.to_owned(), online: Cell::new(false) }
        }

        pub(in crate::client) fn handle_event(&self, event: &Event) {
            match event {
                Event::Connecting { .. } => self.counter(CLIENT_ATTEMPTS).increment(1),
                Event::Failed { .. } => self.counter(CLIENT_FAILURES).increment(1),
                Event::Online { .. } => {
                    self.counter(CLIENT_CONNECTIONS).increment(1);
                    self.set_online(true);
                }
                Event::Away { reason, .. } => {
                    self.counter(CLIENT_AWAY).increment(1);
                    self.record_verdict(reason);
                }
                Event::Back { .. } => self.counter(CLIENT_BACK).increment(1),
                Event::Offline { reason, unsent, undelivered, .. } => {
                    self.set_online(false);
                    self.counter(CLIENT_UNDELIVERED).increment(undelivered.frames);
                    let unsent = u64::try_from(*unsent).unwrap_or(u64::MAX);
                    self.counter(CLIENT_UNSENT).increment(unsent);
                    let connection = self.connection.clone();
                    let labels =
                        [(LABEL_CONNECTION, connection), (LABEL_REASON, reason.name().to_owned())];
                    counter!(CLIENT_ENDS, &labels).increment(1);
                    self.record_verdict(reason);
                }
                Event::Paused(pause) => self.histogram(CLIENT_PAUSE).record(pause.gap),
                Event::Health(_)
                | Event::TooFast
                | Event::Data(_)
                | Event::Ended
                | Event::Waiting { .. }
                | Event::Lagged { .. }
                | Event::Closed => {}
            }
        }

        pub(in crate::client) fn handle_beat(&self, round_trip: Option<Duration>) {
            self.counter(CLIENT_BEATS).increment(1);
            if let Some(round_trip) = round_trip {
                self.histogram(CLIENT_ROUND_TRIP).record(round_trip);
            }
        }

        fn record_verdict(&self, reason: &Reason) {
            if let Reason::Dead(verdict) = reason {
                self.histogram(CLIENT_VERDICT_LATE).record(verdict.late);
            }
        }

        fn set_online(&self, online: bool) {
            self.online.set(online);
            let connection = self.connection.clone();
            gauge!(CLIENT_ONLINE, LABEL_CONNECTION => connection).set(f64::from(u8::from(online)));
        }

        fn counter(&self, name: &'static str) -> Counter {
            counter!(name, LABEL_CONNECTION => self.connection.clone())
        }

        fn histogram(&self, name: &'static str) -> Histogram {
            histogram!(name, LABEL_CONNECTION => self.connection.clone())
        }
    }

    impl Drop for Meter {
        fn drop(&mut self) {
            // An aborted task reports nothing more.
            if self.online.get() {
                self.set_online(false);
            }
        }
    }
}
