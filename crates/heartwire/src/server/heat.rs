//! Counts of sessions by silence and round trip: a picture of any number of them.

use core::time::Duration;

use super::event::SessionInfo;

/// How many sessions are how silent, at which round trip: see
/// [`Handle::heat`](super::Handle::heat).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heat {
    /// A row for each tenth of the timeout that a session has been silent for, and one for those
    /// that are over it; in it a column for each of [`ROUND_TRIPS`](Self::ROUND_TRIPS), one for
    /// those that are over the last, and one for those whose round trip is not known. An edge is in
    /// the lower row or column.
    pub counts: [[u64; Self::COLUMNS]; Self::ROWS],
    /// Sessions that are away.
    pub away: u64,
    /// Sessions that are never declared dead.
    pub without_timeout: u64,
    /// Shards that have not answered within a second, whose sessions are missing.
    pub missing: Vec<usize>,
}

impl Heat {
    /// The upper edges of the columns.
    pub const ROUND_TRIPS: [Duration; 10] = [
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
        Duration::from_millis(500),
        Duration::from_secs(1),
    ];
    /// The number of rows.
    pub const ROWS: usize = 11;
    /// The number of columns.
    pub const COLUMNS: usize = Self::ROUND_TRIPS.len() + 2;

    pub(super) fn count(&mut self, info: &SessionInfo) {
        if info.away_within.is_some() {
            self.away += 1;
            return;
        }
        let Some(timeout) = info.timeout.filter(|timeout| !timeout.is_zero()) else {
            self.without_timeout += 1;
            return;
        };
        let tenths = (info.silence.as_nanos() * 10).div_ceil(timeout.as_nanos()).saturating_sub(1);
        let row = usize::try_from(tenths).unwrap_or(usize::MAX).min(Self::ROWS - 1);
        let rtt = info.link_state.and_then(|link_state| link_state.rtt);
        let column = rtt
            .map_or(Self::COLUMNS - 1, |rtt| Self::ROUND_TRIPS.partition_point(|&edge| edge < rtt));
        if let Some(count) = self.counts.get_mut(row).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let counts = self.counts.iter_mut().flatten().zip(other.counts.iter().flatten());
        counts.for_each(|(count, more)| *count += more);
        self.away += other.away;
        self.without_timeout += other.without_timeout;
    }
}
