//! Proposes the settings with the least traffic that detect every fault in time.

use core::time::Duration;

use heartwire_core::Policy;
use heartwire_core::kernel::KernelTimers;

use crate::setup::{End, RTT, Setup, TIMER_SLACK};
use crate::{Plan, PlanError, Resume, tcp};

/// Proposed times are multiples of this: people type them, and a verdict is no more exact than a
/// tick anyway.
const STEP_MS: u32 = 100;

/// How soon every fault must be detected, and over what path, to be [met](Self::propose).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Target {
    within: Duration,
    rtt: Duration,
    timer_slack: Duration,
    nat_timeout: Option<Duration>,
    is_v1: bool,
    resume: Option<Resume>,
}

impl Target {
    /// Both ends speak protocol v1 and must detect every fault within this time.
    pub const fn new(within: Duration) -> Self {
        Self {
            within,
            rtt: RTT,
            timer_slack: TIMER_SLACK,
            nat_timeout: None,
            is_v1: true,
            resume: None,
        }
    }

    /// Both ends speak protocol v0. The traffic is less, because the server answers the client's
    /// beats and sends none of its own; names, tokens and BYE are only in v1.
    pub const fn v0(mut self) -> Self {
        self.is_v1 = false;
        self
    }

    /// As for [`Setup::rtt`].
    pub const fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// How late the timers of either end may be, as for [`End::timer_slack`].
    pub const fn timer_slack(mut self, timer_slack: Duration) -> Self {
        self.timer_slack = timer_slack;
        self
    }

    /// As for [`Setup::nat_timeout`].
    pub const fn nat_timeout(mut self, lifetime: Option<Duration>) -> Self {
        self.nat_timeout = lifetime;
        self
    }

    /// As for [`Setup::resume`].
    pub const fn resume(mut self, resume: Option<Resume>) -> Self {
        self.resume = resume;
        self
    }

    /// The plan with the least traffic whose settings detect every fault on both ends in time;
    /// [`Plan::latest`] is when.
    ///
    /// Both ends send beats and have a timeout; on protocol v0 the server answers the client's
    /// beats in place of its own, which makes three packets an interval of four. The timeout
    /// leaves room for two beats, a round trip and the retransmission of a lost packet; the
    /// interval is as long as that allows. The kernel's user timeout, for a peer that does not
    /// read, equals the timeout, so that it hardly ever fires first. All times are multiples of
    /// 100 ms.
    ///
    /// # Errors
    ///
    /// [`PlanError`] says why the target cannot be met, and which one could be.
    pub fn propose(&self) -> Result<Plan, PlanError> {
        let shortest_interval = step_up(self.timer_slack.max(Duration::from_millis(1)));
        let longest_interval = match self.nat_timeout {
            // One millisecond less, because an equal interval is too long.
            Some(nat_timeout) => {
                let slack = self
                    .timer_slack
                    .saturating_add(self.rtt)
                    .saturating_add(Duration::from_millis(1));
                step_down(nat_timeout.saturating_sub(slack))
            }
            None => Duration::MAX,
        };
        if longest_interval < shortest_interval {
            return Err(PlanError::NatTooShort { interval: shortest_interval });
        }
        let with_timeout = |timeout| self.with_timeout(timeout, longest_interval);
        let shortest_timeout = step_up(timeout_for(shortest_interval, self.rtt));
        let least = with_timeout(shortest_timeout)?;
        if latest(&least) > self.within {
            return Err(PlanError::TargetTooShort {
                within: self.within,
                least: latest(&least),
                interval: shortest_interval,
                timeout: shortest_timeout,
            });
        }
        // Binary search for the longest timeout that meets the target.
        let mut best = least;
        let (mut met, mut missed) = (steps(shortest_timeout), steps(self.within).saturating_add(1));
        while missed.saturating_sub(met) > 1 {
            let middle = met + (missed - met) / 2;
            match with_timeout(Duration::from_millis(u64::from(STEP_MS)).saturating_mul(middle)) {
                Ok(plan) if latest(&plan) <= self.within => (best, met) = (plan, middle),
                Ok(_) | Err(_) => missed = middle,
            }
        }
        Ok(best)
    }

    fn with_timeout(&self, timeout: Duration, max_interval: Duration) -> Result<Plan, PlanError> {
        let spare = timeout.saturating_sub(timeout_for(Duration::ZERO, self.rtt));
        let interval = step_down(spare / 2).min(max_interval);
        let beating = Policy::builder().interval(interval).timeout(timeout);
        let client = beating.build().map_err(PlanError::Policy)?;
        let answering = Policy::builder().echo(true).peer_interval(interval).timeout(timeout);
        let server = if self.is_v1 { beating } else { answering };
        let server = server.build().map_err(PlanError::Policy)?;
        let kernel = KernelTimers::new(None, Some(timeout)).map_err(PlanError::Kernel)?;
        let end = |policy| End::new(policy).kernel(kernel).timer_slack(self.timer_slack);
        let setup = Setup::new(end(client), end(server))
            .rtt(self.rtt)
            .nat_timeout(self.nat_timeout)
            .resume(self.resume);
        if self.is_v1 { setup } else { setup.v0() }.plan()
    }
}

/// When all faults are detected; never, if one is not.
fn latest(plan: &Plan) -> Duration {
    plan.latest().unwrap_or(Duration::MAX)
}

/// The shortest timeout for an interval: two intervals, a round trip, and the second retransmission
/// of a lost packet. With less, one lost packet ends a connection.
fn timeout_for(interval: Duration, rtt: Duration) -> Duration {
    interval.saturating_mul(2).saturating_add(rtt).saturating_add(tcp::second_try(rtt))
}

/// How many steps there are in a time, rounded down.
fn steps(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / u128::from(STEP_MS)).unwrap_or(u32::MAX)
}

fn step_down(time: Duration) -> Duration {
    Duration::from_millis(u64::from(STEP_MS)).saturating_mul(steps(time))
}

fn step_up(time: Duration) -> Duration {
    let step = Duration::from_millis(u64::from(STEP_MS));
    let down = step_down(time);
    if down < time { down.saturating_add(step) } else { down }
}

#[cfg(test)]
mod tests;
