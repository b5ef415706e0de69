//! Input of a plan: both ends and the path between them.

use core::fmt;
use core::time::Duration;

use crate::kernel::KernelTimers;
use crate::policy::{Policy, Side};
use crate::v1::{Conflict, Contract, Offer, Terms};

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        Self { policy, kernel: KernelTimers::default(), timer_slack: Duration::from_millis(100) }
    }

    /// The same end with these kernel timers.
    #[must_use]
    pub const fn kernel(mut self, timers: KernelTimers) -> Self {
        self.kernel = timers;
        self
    }

    /// The same end with timers that are this late at most.
    #[must_use]
    pub const fn timer_slack(mut self, timer_slack: Duration) -> Self {
        self.timer_slack = timer_slack;
        self
    }
}

/// Both ends of a connection and the path between them. Every setup is valid, but may still end
/// healthy connections: see [`warnings`](Self::warnings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    client: End,
    server: End,
    rtt: Duration,
    nat_timeout: Option<Duration>,
    contract: Option<Contract>,
}

impl Setup {
    /// Default for [`SetupBuilder::rtt`], chosen so that bounds hold between most places on one
    /// continent.
    pub const RTT: Duration = Duration::from_millis(100);
    /// The longest round trip. Beyond it the formulas for retransmissions no longer hold: their
    /// first timer would come near the kernel's maximum of 120 s.
    pub const MAX_RTT: Duration = Duration::from_secs(10);
    /// The longest timer slack: the maximum of [`Settings::tick`](crate::Settings::tick).
    pub const MAX_TICK: Duration = Duration::from_millis(65_535);

    /// A builder for a connection between these ends.
    pub const fn builder(client: End, server: End) -> SetupBuilder {
        SetupBuilder { client, server, rtt: Self::RTT, nat_timeout: None, v1: false }
    }

    /// One of the ends. On protocol v1 its policy is that of the contract.
    #[must_use]
    pub const fn end(&self, side: Side) -> End {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// The negotiated settings on protocol v1; `None` on v0.
    #[must_use]
    pub const fn contract(&self) -> Option<&Contract> {
        self.contract.as_ref()
    }

    /// The longest round trip while the path is healthy.
    #[must_use]
    pub const fn rtt(&self) -> Duration {
        self.rtt
    }

    /// After how long without packets a middlebox on the path forgets the connection, if that is
    /// known.
    #[must_use]
    pub const fn nat_timeout(&self) -> Option<Duration> {
        self.nat_timeout
    }
}

/// Builds a [`Setup`]; [`build`](Self::build) is the only step that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SetupBuilder {
    client: End,
    server: End,
    rtt: Duration,
    nat_timeout: Option<Duration>,
    v1: bool,
}

impl SetupBuilder {
    /// Both ends speak protocol v1: they offer their policies ([`Offer::new`]), and the plan is for
    /// the negotiated contract. Default: v0, where each end uses its own policy.
    pub const fn v1(mut self) -> Self {
        self.v1 = true;
        self
    }

    /// The longest round trip while the path is healthy. Default [`Setup::RTT`], at most
    /// [`Setup::MAX_RTT`].
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

    /// The setup.
    ///
    /// # Errors
    ///
    /// [`SetupError`] says which settings are impossible.
    pub fn build(self) -> Result<Setup, SetupError> {
        let Self { mut client, mut server, rtt, nat_timeout, v1 } = self;
        if v1 && (client.policy.echo() || server.policy.echo()) {
            return Err(SetupError::EchoOnV1);
        }
        if client.policy.echo() && server.policy.echo() {
            return Err(SetupError::EchoAtBothEnds);
        }
        if rtt > Setup::MAX_RTT {
            return Err(SetupError::RttTooLong { rtt });
        }
        let timer_slack = client.timer_slack.max(server.timer_slack);
        if timer_slack > Setup::MAX_TICK {
            return Err(SetupError::TickTooLong { timer_slack });
        }
        let mut contract = None;
        if v1 {
            let terms = Terms::new(Offer::new(&server.policy));
            let agreed = terms.agree(&Offer::new(&client.policy)).map_err(SetupError::Conflict)?;
            client.policy = agreed.policy(Side::Client);
            server.policy = agreed.policy(Side::Server);
            contract = Some(agreed);
        }
        Ok(Setup { client, server, rtt, nat_timeout, contract })
    }
}

/// Why two ends and a path are not a valid [`Setup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// Both ends answer beats, so one beat would be answered forever. A client always sends one
    /// when it connects.
    EchoAtBothEnds,
    /// `echo` is not available on protocol v1.
    EchoOnV1,
    /// The ends cannot agree on a contract.
    Conflict(Conflict),
    /// The round trip is longer than [`Setup::MAX_RTT`].
    RttTooLong {
        /// What was asked for.
        rtt: Duration,
    },
    /// A timer slack is longer than [`Setup::MAX_TICK`].
    TickTooLong {
        /// What was asked for.
        timer_slack: Duration,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EchoAtBothEnds => f.write_str(
                "both ends echo: the first beat, which a client sends when it connects, would be \
                 answered forever. Echo on one end, and send beats on the other",
            ),
            Self::EchoOnV1 => f.write_str(
                "an end echoes, but protocol v1 has no echo. Send beats on both ends, or use \
                 protocol v0",
            ),
            Self::Conflict(conflict) => write!(f, "the ends cannot agree: {conflict}"),
            Self::RttTooLong { rtt } => write!(
                f,
                "a round trip of {rtt:?} is longer than {:?}, beyond which the kernel's \
                 retransmissions no longer follow these formulas",
                Setup::MAX_RTT
            ),
            Self::TickTooLong { timer_slack } => {
                write!(f, "a tick of {timer_slack:?} is longer than {:?}", Setup::MAX_TICK)
            }
        }
    }
}

impl core::error::Error for SetupError {}
