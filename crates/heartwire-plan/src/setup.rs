//! Input of a plan: both ends and the path between them.

use core::time::Duration;

use heartwire_core::kernel::KernelTimers;
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{Policy, Side};

use crate::{Plan, PlanError, Resume};

/// The default round trip, chosen so that bounds hold between most places on one continent.
pub(crate) const RTT: Duration = Duration::from_millis(100);
/// The longest round trip. Beyond it the formulas for retransmissions no longer hold: their first
/// timer would come near the kernel's maximum of 120 s.
pub(crate) const MAX_RTT: Duration = Duration::from_secs(10);
/// The default timer slack: that of this project's drivers.
pub(crate) const TIMER_SLACK: Duration = Duration::from_millis(100);
/// The longest timer slack: the maximum of [`Settings::tick`](heartwire_core::Settings::tick).
pub(crate) const MAX_TIMER_SLACK: Duration = Duration::from_millis(65_535);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// Its interval, timeout and echo, as they are in force.
    pub policy: Policy,
    /// Its kernel's timers.
    pub kernel: KernelTimers,
    /// How late its driver's timers may be.
    pub timer_slack: Duration,
}

impl End {
    /// An end without kernel timers, and with the 100 ms of timer slack of this project's drivers.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, kernel: KernelTimers::default(), timer_slack: TIMER_SLACK }
    }

    /// The same end with these kernel timers.
    #[must_use]
    pub const fn kernel(mut self, timers: KernelTimers) -> Self {
        self.kernel = timers;
        self
    }

    /// The same end with timers that are this late at most, up to 65.535 s.
    #[must_use]
    pub const fn timer_slack(mut self, timer_slack: Duration) -> Self {
        self.timer_slack = timer_slack;
        self
    }
}

/// Both ends of a connection and the path between them, to be [planned](Self::plan).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Setup {
    client: End,
    server: End,
    rtt: Duration,
    nat_timeout: Option<Duration>,
    is_v1: bool,
    resume: Option<Resume>,
}

impl Setup {
    /// A client and a server that speak protocol v1: they offer their policies ([`Offer::new`]),
    /// and the plan is for the contract that they agree on.
    pub const fn new(client: End, server: End) -> Self {
        Self { client, server, rtt: RTT, nat_timeout: None, is_v1: true, resume: None }
    }

    /// Both ends speak protocol v0, where each uses its own policy.
    pub const fn v0(mut self) -> Self {
        self.is_v1 = false;
        self
    }

    /// The longest round trip while the path is healthy. Default 100 ms, which holds between most
    /// places on one continent; at most 10 s.
    pub const fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// After how long without packets a middlebox on the path forgets the connection. Default
    /// `None`: not known, so that it may forget the connection at any time.
    pub const fn nat_timeout(mut self, lifetime: Option<Duration>) -> Self {
        self.nat_timeout = lifetime;
        self
    }

    /// Whether and how sessions outlive their connections, which needs protocol v1: on v0 this
    /// changes nothing. Default `None`: they do not.
    pub const fn resume(mut self, resume: Option<Resume>) -> Self {
        self.resume = resume;
        self
    }

    /// The plan.
    ///
    /// # Errors
    ///
    /// [`PlanError`] says which settings are impossible.
    pub fn plan(self) -> Result<Plan, PlanError> {
        let Self { mut client, mut server, rtt, nat_timeout, is_v1, resume } = self;
        if is_v1 && (client.policy.echo() || server.policy.echo()) {
            return Err(PlanError::EchoOnV1);
        }
        if client.policy.echo() && server.policy.echo() {
            return Err(PlanError::EchoAtBothEnds);
        }
        if rtt > MAX_RTT {
            return Err(PlanError::RttTooLong { rtt });
        }
        let timer_slack = client.timer_slack.max(server.timer_slack);
        if timer_slack > MAX_TIMER_SLACK {
            return Err(PlanError::TimerSlackTooLong { timer_slack });
        }
        if is_v1 {
            let terms = Terms::new(Offer::new(&server.policy));
            let agreed = terms.agree(&Offer::new(&client.policy)).map_err(PlanError::Conflict)?;
            client.policy = agreed.policy(Side::Client);
            server.policy = agreed.policy(Side::Server);
        }
        let resume = resume.filter(|_| is_v1);
        Ok(Plan { client, server, rtt, nat_timeout, is_v1, resume })
    }
}
