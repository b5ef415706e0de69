//! An alarm: wakes a shard at its next deadline.

use core::time::Duration;

use heartwire_core::Instant;

use crate::clock;

/// On Linux: a kernel timer that the poller watches, on the clock of the deadlines.
///
/// The poller's timeout would work too, and is used elsewhere. But the kernel sets that up for
/// every wait, that is, for every beat read; this timer is set only when the next deadline changes.
/// It also counts in nanoseconds instead of milliseconds.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub(super) struct Alarm {
    timer: std::os::fd::OwnedFd,
    set_for: Option<Instant>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Alarm {
    /// Creates a timer that wakes `registry`'s poller with its own token.
    pub(super) fn new(registry: &mio::Registry, token: mio::Token) -> std::io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        let fd = timer.as_raw_fd();
        registry.register(&mut mio::unix::SourceFd(&fd), token, mio::Interest::READABLE)?;
        Ok(Self { timer, set_for: None })
    }

    /// Sets the timer to `deadline`. Returns the timeout that the poller needs in addition.
    pub(super) fn set(&mut self, deadline: Option<Instant>) -> Option<Duration> {
        let deadline = deadline?;
        if self.set_for == Some(deadline) {
            return None;
        }
        match self.arm(deadline) {
            Ok(()) => {
                self.set_for = Some(deadline);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "cannot set a timer; using the poller's timeout");
                Some(deadline.saturating_since(clock::now()))
            }
        }
    }

    fn arm(&self, deadline: Instant) -> std::io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let at = Duration::from_nanos(deadline.as_nanos());
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(at).map_err(std::io::Error::other)?,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}

/// On other systems: the poller's own timeout.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub(super) struct Alarm;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Alarm {
    pub(super) fn new(_registry: &mio::Registry, _token: mio::Token) -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Returns the timeout with which the poller wakes at `deadline`.
    pub(super) fn set(&mut self, deadline: Option<Instant>) -> Option<Duration> {
        deadline.map(|deadline| deadline.saturating_since(clock::now()))
    }
}
