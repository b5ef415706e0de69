//! The progress and timeout of closing a connection.

use core::time::Duration;

use heartwire_core::Instant;

/// How long a server that has acknowledged everything has to close its side: a round trip on any
/// path with one lost packet. A socket that is closed earlier answers the server's next beat with a
/// reset, and the server may lose what it has not read.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A server that acknowledges nothing for this fraction of the whole time is given up.
const PAUSES: u32 = 10;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// The server has everything.
    Done,
    /// The time is over, and the server has not acknowledged everything.
    GiveUp,
}

/// The state of a close. It neither blocks nor reads a clock.
#[derive(Debug)]
pub(super) struct Closing {
    until: Instant,
    max_pause: Duration,
    /// The kernel's retransmission timeout, computed from the round trips. Zero if unknown.
    pub(super) resends_after: Duration,
    /// When the kernel last took bytes, or the server last acknowledged some.
    moved_at: Instant,
    /// Bytes that the server had not acknowledged at the last check.
    left: Option<usize>,
    /// When the sending half was closed, after the last byte.
    pub(super) said_all_at: Option<Instant>,
    /// How many of the last bytes are only `close_notify` and the end of the stream.
    pub(super) end_len: usize,
    /// The server has closed its side.
    pub(super) server_closed: bool,
}

impl Closing {
    pub(super) fn new(now: Instant, within: Duration) -> Self {
        Self {
            until: now.saturating_add(within),
            max_pause: (within / PAUSES).max(LINGER),
            resends_after: Duration::ZERO,
            moved_at: now,
            left: None,
            said_all_at: None,
            end_len: 1,
            server_closed: false,
        }
    }

    /// Decides what to do next: the kernel `took` bytes since the last call, and `left` are not
    /// acknowledged, if the system can tell.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        took: bool,
        unacknowledged: Option<usize>,
    ) -> Step {
        let before = core::mem::replace(&mut self.left, unacknowledged);
        if took || unacknowledged.zip(before).is_some_and(|(now, before)| now < before) {
            self.moved_at = now;
        }
        if let Some(said_all_at) = self.said_all_at.filter(|_| self.has_all(unacknowledged)) {
            let since = said_all_at.max(self.moved_at);
            let has_lingered = now.saturating_since(since) >= LINGER || now >= self.until;
            return if self.server_closed || has_lingered { Step::Done } else { Step::Wait };
        }
        let paused = now.saturating_since(self.moved_at);
        // A packet that is lost twice delays the acknowledgement of everything after it.
        let max_pause = self.max_pause.max(self.resends_after.saturating_mul(2));
        if now >= self.until || paused >= max_pause { Step::GiveUp } else { Step::Wait }
    }

    /// Whether the server has received everything. If the system cannot tell, the server's close
    /// says so.
    pub(super) fn has_all(&self, unacknowledged: Option<usize>) -> bool {
        let acknowledged = unacknowledged.map(|bytes| bytes <= self.end_len);
        self.said_all_at.is_some() && acknowledged.unwrap_or(self.server_closed)
    }
}

#[cfg(test)]
mod tests;
