//! The lines that `connect` prints on standard error. `docs/events.md` describes their fields.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use heartwire::client::{self, ConnectError, Event};
use heartwire::v1::{Contract, RetryHint, Welcome};
use heartwire::{LinkState, Policy, Reason};
use serde::Serialize;

use crate::output::{Millis, counted, describe_policy, fields, round_trip};
use crate::values::typed;

/// An event. Its text is for people.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    Starting {
        target: String,
        #[serde(serialize_with = "fields::policy")]
        policy: Policy,
    },
    Promising {
        interval_ms: Option<Millis>,
    },
    Connecting {
        attempt: u32,
    },
    Online {
        #[serde(flatten)]
        welcome: Option<Welcomed>,
        peer: SocketAddr,
        protocol: &'static str,
        kernel: String,
    },
    Rtt {
        rtt_ms: Option<Millis>,
        unheard_ms: Millis,
        peer_late_ms: Millis,
        peer_health: &'static str,
        #[serde(skip)]
        round_trip: String,
    },
    Health {
        health: &'static str,
    },
    TooFast,
    Offline {
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        unsent: usize,
        unacknowledged: usize,
        beats: u64,
        bye: Option<Bye>,
    },
    Failed {
        error: String,
        violation: Option<&'static str>,
        retryable: bool,
        #[serde(skip)]
        hint: &'static str,
    },
    Waiting {
        wait_ms: Millis,
        attempt: u32,
    },
    Paused {
        gap_ms: Millis,
    },
    Lagged {
        count: u64,
    },
    Closed,
    Other {
        detail: String,
    },
}

/// The server's BYE.
#[derive(Debug, Serialize)]
pub(super) struct Bye {
    code: &'static str,
    number: u32,
    detail: String,
    retry: &'static str,
    earliest_ms: Option<Millis>,
    latest_ms: Option<Millis>,
}

/// What the server's WELCOME says.
#[derive(Debug, Serialize)]
pub(super) struct Welcomed {
    session: u64,
    epoch: u64,
    #[serde(flatten, serialize_with = "fields::contract")]
    contract: Contract,
}

impl Line {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may learn new events")]
    pub(super) fn of(event: Event) -> Self {
        match event {
            Event::Connecting { attempt } => Self::Connecting { attempt },
            Event::Online { peer, kernel, welcome } => Self::Online {
                protocol: if welcome.is_some() { "v1" } else { "v0" },
                welcome: welcome.map(|welcome| {
                    let Welcome { session, epoch, contract, .. } = *welcome;
                    Welcomed { session, epoch, contract }
                }),
                peer,
                kernel: kernel.to_string(),
            },
            Event::Health(health) => Self::Health { health: health.name() },
            Event::TooFast => Self::TooFast,
            Event::Offline { peer, reason, unsent, unacknowledged, beats, bye, .. } => {
                let bye = bye.map(|bye| Bye::from(*bye));
                Self::Offline { peer, reason, unsent, unacknowledged, beats, bye }
            }
            Event::Waiting { wait, attempt } => Self::Waiting { wait_ms: Millis(wait), attempt },
            Event::Failed { error } => Self::Failed {
                error: error.to_string(),
                violation: broken_rule(&error),
                retryable: error.is_retryable(),
                hint: hint(&error),
            },
            Event::Paused(pause) => Self::Paused { gap_ms: Millis(pause.gap) },
            Event::Lagged { count } => Self::Lagged { count },
            Event::Closed => Self::Closed,
            other => Self::Other { detail: other.to_string() },
        }
    }

    /// The state of both directions.
    pub(super) fn rtt(link: &LinkState) -> Self {
        Self::Rtt {
            rtt_ms: link.rtt.map(Millis),
            unheard_ms: Millis(link.unheard),
            peer_late_ms: Millis(link.peer_late),
            peer_health: link.peer_health.name(),
            round_trip: round_trip(link),
        }
    }

    /// An interval was asked for; the negotiated settings may not allow it.
    pub(super) fn promising(interval: Option<Duration>) -> Self {
        Self::Promising { interval_ms: interval.map(Millis) }
    }
}

impl From<client::Bye> for Bye {
    fn from(bye: client::Bye) -> Self {
        let (retry, window) = match bye.retry {
            RetryHint::Never => ("never", None),
            RetryHint::AtWill => ("at_will", None),
            RetryHint::Within { earliest, latest } => ("within", Some((earliest, latest))),
        };
        Self {
            code: bye.code.name(),
            number: bye.code.number(),
            detail: bye.detail,
            retry,
            earliest_ms: window.map(|(earliest, _)| Millis(earliest)),
            latest_ms: window.map(|(_, latest)| Millis(latest)),
        }
    }
}

/// What follows its code.
impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.detail.is_empty() {
            // A peer cannot write control characters to a terminal.
            write!(f, ": \"{}\"", self.detail.escape_debug())?;
        }
        if let (Some(earliest), Some(latest)) = (self.earliest_ms, self.latest_ms) {
            let (earliest, latest) = (earliest.0.as_secs_f64(), latest.0.as_secs_f64());
            return write!(f, " (reconnect in {earliest:.3} to {latest:.3} s)");
        }
        f.write_str(match self.retry {
            "never" => " (do not reconnect)",
            _ => " (reconnect at will)",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { target, policy } => {
                write!(f, "starting  {target}\n  policy: {}", describe_policy(policy, "server"))
            }
            Self::Promising { interval_ms: None } => f.write_str("promising a heartbeat as agreed"),
            Self::Promising { interval_ms: Some(interval) } => {
                write!(f, "promising a heartbeat every {}", typed(interval.0))
            }
            Self::Connecting { attempt } => write!(f, "connecting attempt {attempt}"),
            Self::Online { peer, kernel, welcome, .. } => {
                write!(f, "online    {peer} ({kernel})")?;
                welcome.as_ref().map_or(Ok(()), |welcome| write!(f, ": {}", welcome.contract))
            }
            Self::Rtt { unheard_ms, peer_health, round_trip, .. } => {
                let unheard = unheard_ms.0.as_secs_f64();
                write!(
                    f,
                    "rtt       round trip {round_trip}; the server heard us {unheard:.1} s ago"
                )?;
                write!(f, " and is {peer_health}")
            }
            Self::Health { health } => {
                write!(f, "health    the server reports that it is {health}")
            }
            Self::TooFast => f.write_str(
                "too_fast  the server reports far more heartbeats from this client than agreed",
            ),
            Self::Offline { peer, reason, unsent, unacknowledged, beats, bye } => {
                write!(f, "offline   {peer} {reason}")?;
                bye.as_ref().map_or(Ok(()), |bye| write!(f, "{bye}"))?;
                write!(f, "; {}", counted(*beats, "beat"))?;
                for (count, one, what) in
                    [(unsent, "message", "sent"), (unacknowledged, "byte", "acknowledged")]
                {
                    if *count > 0 {
                        let count = u64::try_from(*count).unwrap_or(u64::MAX);
                        write!(f, ", {} not {what}", counted(count, one))?;
                    }
                }
                Ok(())
            }
            Self::Failed { error, hint, .. } => write!(f, "failed    {error}{hint}"),
            Self::Waiting { wait_ms, attempt } => {
                let wait = wait_ms.0.as_secs_f64();
                write!(f, "waiting   {wait:.3} s before attempt {attempt}")
            }
            Self::Paused { gap_ms } => {
                let gap = gap_ms.0.as_secs_f64();
                write!(f, "paused    this process was paused for {gap:.3} s")
            }
            Self::Lagged { count } => {
                write!(f, "lagged    {} dropped: not read in time", counted(*count, "event"))
            }
            Self::Closed => f.write_str("closed"),
            Self::Other { detail } => write!(f, "other     {detail}"),
        }
    }
}

/// The option that may help after a failure.
fn hint(error: &ConnectError) -> &'static str {
    let tls = if let ConnectError::Tls { error, .. } = error { Some(error.name()) } else { None };
    match tls {
        Some("tls_expected") => "; add --tls",
        Some("certificate_unknown_issuer") => "; see --tls-ca",
        _ if error.may_speak_v0() => "; for v0: --protocol v0",
        Some(_) | None => "",
    }
}

/// The rule that a server broke before its WELCOME.
fn broken_rule(error: &ConnectError) -> Option<&'static str> {
    if let ConnectError::NoWelcome { reason, .. } = error {
        fields::violation(*reason)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
