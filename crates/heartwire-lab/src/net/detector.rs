//! Detectors: settings of both ends, the columns of the matrix.

use core::time::Duration;

use heartwire_core::kernel::{Keepalive, KernelTimers};
use heartwire_core::{Policy, PolicyBuilder, Side};
use heartwire_plan::{End, Plan, Setup};

/// Interval.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Timeout.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// At least the timeout, so that the timeout fires first, and the keepalive's bound, see
/// [`KernelTimers::new`].
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of both ends, short ones so that the whole matrix takes minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(super) enum Detector {
    /// Nothing at either end.
    None,
    /// `SO_KEEPALIVE` as systems come with it: 7200 s, 75 s, 9.
    KeepaliveDefault,
    /// `SO_KEEPALIVE` tuned: 1 s, 1 s, 3.
    KeepaliveTuned,
    /// `TCP_USER_TIMEOUT` of 5 s.
    UserTimeout,
    /// The client sends a beat every second, the server has a timeout of 3 s.
    OneWay,
    /// The server sends beats and the client answers; both have a timeout of 3 s.
    Asking,
    /// Both send beats and have a timeout of 3 s.
    BothWays,
    /// Both ways, with the tuned keepalive and the user timeout.
    Everything,
    /// Both ways on protocol v1; all others speak v0, as the tutorial does.
    ProtocolV1,
}

impl Detector {
    pub(super) const ALL: [Self; 9] = [
        Self::None,
        Self::KeepaliveDefault,
        Self::KeepaliveTuned,
        Self::UserTimeout,
        Self::OneWay,
        Self::Asking,
        Self::BothWays,
        Self::Everything,
        Self::ProtocolV1,
    ];

    /// As typed on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KeepaliveDefault => "keepalive-default",
            Self::KeepaliveTuned => "keepalive-tuned",
            Self::UserTimeout => "user-timeout",
            Self::OneWay => "one-way",
            Self::Asking => "asking",
            Self::BothWays => "both-ways",
            Self::Everything => "everything",
            Self::ProtocolV1 => "protocol-v1",
        }
    }

    /// The header of its column, in two lines.
    pub(super) const fn title(self) -> [&'static str; 2] {
        match self {
            Self::None => ["nothing", "set"],
            Self::KeepaliveDefault => ["keepalive", "7200 s, 75 s, 9"],
            Self::KeepaliveTuned => ["keepalive", "1 s, 1 s, 3"],
            Self::UserTimeout => ["user timeout", "5 s"],
            Self::OneWay => ["heartbeats one way", "1 s, timeout 3 s"],
            Self::Asking => ["asking", "every 1 s, timeout 3 s"],
            Self::BothWays => ["heartbeats both ways", "1 s, timeout 3 s"],
            Self::Everything => ["everything", "both ways and kernel"],
            Self::ProtocolV1 => ["protocol v1", "both ways, the same"],
        }
    }

    /// The protocol version of both ends, as typed on the command line.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::None
            | Self::KeepaliveDefault
            | Self::KeepaliveTuned
            | Self::UserTimeout
            | Self::OneWay
            | Self::Asking
            | Self::BothWays
            | Self::Everything => "v0",
            Self::ProtocolV1 => "v1",
        }
    }

    /// The plan for these settings of both ends, over a path whose round trip takes `rtt` at most.
    pub(super) fn plan(self, rtt: Duration, nat: Option<Duration>) -> anyhow::Result<Plan> {
        let end = |side| anyhow::Ok(End::new(self.policy(side)?).kernel(self.timers()?));
        let setup = Setup::new(end(Side::Client)?, end(Side::Server)?).rtt(rtt).nat_timeout(nat);
        let setup = if self.protocol() == "v1" { setup } else { setup.v0() };
        Ok(setup.plan()?)
    }

    fn policy(self, side: Side) -> anyhow::Result<Policy> {
        let nothing = Policy::builder();
        let (beats, judges) =
            (nothing.interval(BEAT), nothing.timeout(TIMEOUT).peer_interval(BEAT));
        let both: PolicyBuilder = beats.timeout(TIMEOUT);
        let policy = match (self, side) {
            (
                Self::None | Self::KeepaliveDefault | Self::KeepaliveTuned | Self::UserTimeout,
                Side::Client | Side::Server,
            ) => nothing,
            (Self::OneWay, Side::Client) => beats,
            (Self::OneWay, Side::Server) => judges,
            (Self::Asking, Side::Client) => judges.echo(true),
            (Self::Asking, Side::Server)
            | (Self::BothWays | Self::Everything | Self::ProtocolV1, _) => both,
        };
        Ok(policy.build()?)
    }

    fn timers(self) -> anyhow::Result<KernelTimers> {
        let keepalive = |idle, interval, count| {
            let seconds = Duration::from_secs;
            Keepalive::new(seconds(idle), seconds(interval), count).map(Some)
        };
        let (keepalive, user_timeout) = match self {
            Self::KeepaliveDefault => (keepalive(7200, 75, 9)?, None),
            Self::KeepaliveTuned => (keepalive(1, 1, 3)?, None),
            Self::UserTimeout => (None, Some(USER_TIMEOUT)),
            Self::Everything => (keepalive(1, 1, 3)?, Some(USER_TIMEOUT)),
            Self::None | Self::OneWay | Self::Asking | Self::BothWays | Self::ProtocolV1 => {
                (None, None)
            }
        };
        Ok(KernelTimers::new(keepalive, user_timeout)?)
    }
}

/// The flags for these settings of an end.
pub(super) fn flags(end: &End) -> Vec<String> {
    let ms = |time: Duration| format!("{}ms", time.as_millis());
    let mut flags = Vec::new();
    match end.policy.interval() {
        Some(interval) => flags.push(format!("--interval={}", ms(interval))),
        None => flags.push("--interval=off".to_owned()),
    }
    match end.policy.timeout() {
        Some(timeout) => flags.push(format!("--timeout={}", ms(timeout))),
        None => flags.push("--timeout=off".to_owned()),
    }
    if end.policy.echo() {
        flags.push("--echo".to_owned());
    }
    if let Some(peer_interval) = end.policy.peer_interval() {
        flags.push(format!("--peer-interval={}", ms(peer_interval)));
    }
    if let Some(keepalive) = end.kernel.keepalive() {
        let (idle, interval) = (keepalive.idle().as_secs(), keepalive.interval().as_secs());
        flags.push(format!("--keepalive={idle}s,{interval}s,{}", keepalive.count()));
    }
    if let Some(user_timeout) = end.kernel.user_timeout() {
        flags.push(format!("--user-timeout={}", ms(user_timeout)));
    }
    flags
}

#[cfg(test)]
mod tests;
