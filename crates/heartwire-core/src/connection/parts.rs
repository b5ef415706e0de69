//! The order in parts, for the simulator's own drivers until they leave.

use super::{Connection, Transmit};
use crate::liveness::Verdict;
use crate::order::Over;
use crate::time::Instant;
use crate::violation::Violation;

#[doc(hidden)]
#[allow(missing_docs, reason = "they leave")]
#[allow(clippy::missing_errors_doc, reason = "they leave")]
impl Connection {
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Option<Verdict>, Violation> {
        match self.verdict(now) {
            Some(Over::Dead(verdict)) => Ok(Some(verdict)),
            Some(Over::Broken(violation)) => Err(violation),
            None => {
                self.liveness.handle_beat_time(now);
                Ok(None)
            }
        }
    }

    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let writes = !self.has_ended() && (self.stage.take_answer() || self.beat_due());
        writes.then(|| self.beat(now))
    }
}
