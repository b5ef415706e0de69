//! Arrival times of bytes that were read late, as far as the kernel knows them.
//!
//! A driver that reads late must not use the time of the read: a verdict would come that much later
//! than its bound says. Linux tells how long ago the last data arrived (`tcpi_last_data_recv`), in
//! whole jiffies and milliseconds. Both functions return the earliest and the latest time that this
//! allows, for [`Connection::handle_heard_between`](crate::Connection::handle_heard_between); the
//! latest is never before the arrival, so that no verdict is early for it.
//!
//! `now` is a time after the kernel was asked: otherwise a byte would seem older if the driver is
//! held up between the two.

use core::time::Duration;

use crate::time::Instant;

/// Accuracy of an arrival time that is enough for verdicts and round trips. A driver that has read
/// a socket this recently need not ask when its bytes arrived.
pub const MAX_SPAN: Duration = Duration::from_millis(10);

/// The kernel rounds to milliseconds, and not always down.
const MILLISECOND: Duration = Duration::from_millis(1);

/// When the last byte arrived that was found in a socket at `now` and came `since` ago by the
/// kernel's account. It may have been there for long without waking the driver.
#[must_use]
pub fn of_found(now: Instant, since: Duration, jiffy: Duration) -> (Instant, Instant) {
    let about = now.saturating_sub(since);
    let rounding = jiffy.saturating_add(MILLISECOND);
    // One jiffy more, because the count of jiffies lags when the processor that keeps it was busy,
    // or was not available to a virtual machine.
    let latest = about.saturating_add(rounding).saturating_add(jiffy).min(now);
    (about.saturating_sub(rounding), latest)
}

/// The same for a byte that woke the driver, which normally reads it at once: it has just arrived
/// unless the kernel says otherwise.
#[must_use]
pub fn of_news(now: Instant, since: Duration, jiffy: Duration) -> (Instant, Instant) {
    if since <= jiffy.saturating_mul(2).saturating_add(MILLISECOND) {
        return (now, now);
    }
    of_found(now, since, jiffy)
}

#[cfg(test)]
mod tests;
