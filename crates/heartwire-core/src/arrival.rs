//! When bytes arrived that a driver has read, from what its kernel tells.
//!
//! A driver that reads late must not take the time of the read for that of the arrival: a verdict would
//! come that much later than its bound says. Linux tells how long ago the last data came
//! (`tcpi_last_data_recv`), in whole jiffies and milliseconds. Both functions return the earliest and the
//! latest time that this allows, for [`Connection::handle_heard_between`](crate::Connection::handle_heard_between);
//! the latest is never before the arrival, so that no verdict is early for it.
//!
//! `now` is a time after the kernel was asked: a driver that is held up between the two would
//! otherwise have a byte seem that much older.

use core::time::Duration;

use crate::time::Instant;

/// An arrival that is known to within this is known well enough: to judge by, and to measure a round trip
/// by. A driver that has looked at a socket so recently need not ask when its bytes came.
pub const MAX_SPAN: Duration = Duration::from_millis(10);

/// The kernel rounds to milliseconds, and not always down.
const MILLISECOND: Duration = Duration::from_millis(1);

/// When the last byte arrived that was found in a socket at `now`, of which the kernel says that it came
/// `since` ago. It may have lain there for long without waking anything.
#[must_use]
pub fn of_found(now: Instant, since: Duration, jiffy: Duration) -> (Instant, Instant) {
    let about = now.saturating_sub(since);
    let rounding = jiffy.saturating_add(MILLISECOND);
    // One jiffy more, because the count of jiffies itself lags when the processor that keeps it was busy
    // elsewhere, or was withheld from a virtual machine.
    let latest = about.saturating_add(rounding).saturating_add(jiffy).min(now);
    (about.saturating_sub(rounding), latest)
}

/// The same for a byte that woke the driver, which then read it at once, unless it was held up. So it has
/// just come if the kernel knows no better.
#[must_use]
pub fn of_news(now: Instant, since: Duration, jiffy: Duration) -> (Instant, Instant) {
    if since <= jiffy.saturating_mul(2).saturating_add(MILLISECOND) {
        return (now, now);
    }
    of_found(now, since, jiffy)
}

#[cfg(test)]
mod tests;
