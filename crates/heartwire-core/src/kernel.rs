//! The kernel's own timers for a connection, checked as one set. Setting them is a driver's work.

use core::fmt;
use core::time::Duration;

use crate::time::Typed;

/// `SO_KEEPALIVE` with its three numbers: probes on a connection that is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: Duration,
    interval: Duration,
    count: u32,
}

impl Keepalive {
    /// The first probe after `idle`, the next ones `interval` apart, and the connection is dead
    /// after `count` without an answer: `idle + interval × count` after its last byte. While data
    /// is unacknowledged no probe is sent; the user timeout of [`KernelTimers`] covers that.
    ///
    /// # Errors
    ///
    /// [`KernelError::Keepalive`] unless both times are whole seconds from 1 to 32,767 and `count`
    /// is 1 to 127 (the kernel's ranges, `tcp(7)`).
    pub fn new(idle: Duration, interval: Duration, count: u32) -> Result<Self, KernelError> {
        let seconds = |d: Duration| d.subsec_nanos() == 0 && (1..=32_767).contains(&d.as_secs());
        if !seconds(idle) || !seconds(interval) || !(1..=127).contains(&count) {
            return Err(KernelError::Keepalive { idle, interval, count });
        }
        Ok(Self { idle, interval, count })
    }

    /// The idle time before the first probe.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// The time between probes.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Unanswered probes after which the connection is dead; a user timeout replaces this count.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How long after its last byte an idle connection is dead.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        self.idle.saturating_add(self.interval.saturating_mul(self.count))
    }
}

/// The timers of one end of a connection that fit together: keepalive and `TCP_USER_TIMEOUT`. The
/// default is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelTimers {
    keepalive: Option<Keepalive>,
    user_timeout: Option<Duration>,
}

impl KernelTimers {
    /// Timers that fit together.
    ///
    /// `user_timeout` is `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the
    /// kernel gives up. It covers what keepalive cannot see: data in flight to a machine that is
    /// gone (15 minutes otherwise) and a peer that never reads.
    ///
    /// # Errors
    ///
    /// [`KernelError::UserTimeout`] if `user_timeout` is less than the keepalive's
    /// [bound](Keepalive::bound): it replaces the count of probes, so that one lost probe would
    /// kill a healthy connection (measured with 5 s, 5 s, 9 and 7 s). Also if it is under 1 ms or
    /// over 24 days.
    pub fn new(
        keepalive: Option<Keepalive>,
        user_timeout: Option<Duration>,
    ) -> Result<Self, KernelError> {
        if let Some(user_timeout) = user_timeout {
            let least = keepalive.map_or(Duration::from_millis(1), |keepalive| keepalive.bound());
            // The kernel counts it in an `int` of milliseconds.
            let most = Duration::from_millis(u64::from(i32::MAX.unsigned_abs()));
            if !(least..=most).contains(&user_timeout) {
                return Err(KernelError::UserTimeout { user_timeout, least, most });
            }
        }
        Ok(Self { keepalive, user_timeout })
    }

    /// `SO_KEEPALIVE`, if it is on.
    #[must_use]
    pub const fn keepalive(&self) -> Option<Keepalive> {
        self.keepalive
    }

    /// `TCP_USER_TIMEOUT`, if it is set.
    #[must_use]
    pub const fn user_timeout(&self) -> Option<Duration> {
        self.user_timeout
    }
}

impl fmt::Display for KernelTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keepalive {
            Some(keepalive) => write!(
                f,
                "keepalive after {}, every {}, {} times ({} in all)",
                Typed(keepalive.idle),
                Typed(keepalive.interval),
                keepalive.count,
                Typed(keepalive.bound())
            )?,
            None => f.write_str("keepalive off")?,
        }
        match self.user_timeout {
            Some(user_timeout) => write!(f, ", user timeout {}", Typed(user_timeout)),
            None => f.write_str(", user timeout off"),
        }
    }
}

/// Why timers do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A keepalive number is outside the kernel's range.
    Keepalive {
        /// Time before the first probe.
        idle: Duration,
        /// Time between probes.
        interval: Duration,
        /// Probes without an answer.
        count: u32,
    },
    /// The user timeout would cut the keepalive short, or is out of range.
    UserTimeout {
        /// What was asked for.
        user_timeout: Duration,
        /// The least that fits.
        least: Duration,
        /// The most that fits.
        most: Duration,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keepalive { idle, interval, count } => write!(
                f,
                "keepalive {},{},{count}: both times must be whole seconds from 1 s to 32767 s, \
                 and the count 1 to 127",
                Typed(*idle),
                Typed(*interval)
            ),
            // Without a keepalive the least is 1 ms.
            Self::UserTimeout { user_timeout, least, .. }
                if user_timeout < least && least.as_secs() > 0 =>
            {
                let (user_timeout, least) = (Typed(*user_timeout), Typed(*least));
                write!(
                    f,
                    "a user timeout of {user_timeout} is shorter than the keepalive's idle + \
                     interval × count. Use {least} or more: with less, one lost probe would kill a \
                     healthy connection"
                )
            }
            Self::UserTimeout { user_timeout, .. } => {
                let user_timeout = Typed(*user_timeout);
                write!(f, "a user timeout of {user_timeout} must be 1ms to 24 days")
            }
        }
    }
}

impl core::error::Error for KernelError {}

#[cfg(test)]
mod tests;
