//! The lines that `connect` prints on standard error. `docs/events.md` describes their fields.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use heartwire::client::{self, ConnectError, Event};
use heartwire::v1::{Contract, RetryHint, Welcome};
use heartwire::{LinkState, Policy, Reason, Replayed, Undelivered};
use serde::Serialize;

use crate::output::{Millis, counted, describe_policy, describe_replayed, fields, round_trip};
use crate::values::{typed, typed_bytes};

/// An event. Its text is for people.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    Starting {
        target: String,
        #[serde(serialize_with = "fields::policy")]
        policy: Policy,
        #[serde(flatten)]
        outages: Outages,
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
        #[serde(flatten)]
        kept: Kept,
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
    Ended,
    Away {
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        within_ms: Millis,
    },
    Back {
        #[serde(flatten)]
        welcome: Welcomed,
        peer: SocketAddr,
        away_ms: Millis,
        #[serde(flatten, serialize_with = "fields::replayed")]
        replayed: Replayed,
    },
    Offline {
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        unsent: usize,
        unacknowledged: usize,
        beats: u64,
        bye: Option<Bye>,
        #[serde(flatten, serialize_with = "fields::undelivered")]
        undelivered: Undelivered,
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

/// What this end wants to keep of a session whose connection is lost.
#[derive(Debug, Serialize)]
pub(super) struct Outages {
    #[serde(flatten)]
    kept: Kept,
    /// Why nothing is, if so.
    #[serde(skip)]
    why: &'static str,
}

/// How long a session outlives its connection, and how much can be under way.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Kept {
    grace_ms: Option<Millis>,
    window: Option<u32>,
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
                kept: welcome.as_deref().map(Kept::of).unwrap_or_default(),
                welcome: welcome.as_deref().map(Welcomed::of),
                peer,
                kernel: kernel.to_string(),
            },
            Event::Health(health) => Self::Health { health: health.name() },
            Event::TooFast => Self::TooFast,
            Event::Ended => Self::Ended,
            Event::Away { peer, reason, within, .. } => {
                Self::Away { peer, reason, within_ms: Millis(within) }
            }
            Event::Back { peer, after, replayed, welcome, .. } => {
                let welcome = Welcomed::of(&welcome);
                Self::Back { welcome, peer, away_ms: Millis(after), replayed }
            }
            Event::Offline {
                peer,
                reason,
                unsent,
                unacknowledged,
                beats,
                bye,
                undelivered,
                ..
            } => {
                let bye = bye.map(|bye| Bye::from(*bye));
                Self::Offline { peer, reason, unsent, unacknowledged, beats, bye, undelivered }
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

impl Outages {
    /// A session is kept for this time, with this window; or it is not, and why.
    pub(super) fn new(kept: Result<(Duration, u32), &'static str>) -> Self {
        match kept {
            Ok((grace, window)) => {
                let kept = Kept { grace_ms: Some(Millis(grace)), window: Some(window) };
                Self { kept, why: "" }
            }
            Err(why) => Self { kept: Kept::default(), why },
        }
    }
}

impl Kept {
    /// What the server grants to a session.
    fn of(welcome: &Welcome) -> Self {
        let agreed = welcome.resume.as_ref().map(|terms| terms.agreed);
        Self {
            grace_ms: agreed.map(|agreed| Millis(agreed.grace)),
            window: agreed.map(|agreed| agreed.to_server),
        }
    }
}

impl Welcomed {
    fn of(welcome: &Welcome) -> Self {
        let Welcome { session, epoch, contract, .. } = *welcome;
        Self { session, epoch, contract }
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

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(grace), Some(window)) = (self.kept.grace_ms, self.kept.window) else {
            return write!(f, "the session ends with its connection ({})", self.why);
        };
        let (grace, window) = (typed(grace.0), typed_bytes(window.into()));
        write!(
            f,
            "the session outlives its connection by {grace}, if the server agrees, with up to \
             {window} under way each way"
        )
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
            Self::Starting { target, policy, outages } => {
                write!(f, "starting  {target}\n  policy: {}", describe_policy(policy, "server"))?;
                write!(f, "\n  outages: {outages}")
            }
            Self::Promising { interval_ms: None } => f.write_str("promising a heartbeat as agreed"),
            Self::Promising { interval_ms: Some(interval) } => {
                write!(f, "promising a heartbeat every {}", typed(interval.0))
            }
            Self::Connecting { attempt } => write!(f, "connecting attempt {attempt}"),
            Self::Online { peer, kernel, welcome, kept, .. } => {
                write!(f, "online    {peer} ({kernel})")?;
                welcome.as_ref().map_or(Ok(()), |welcome| write!(f, ": {}", welcome.contract))?;
                let grace = kept.grace_ms;
                grace.map_or(Ok(()), |grace| write!(f, "; outages up to {}", typed(grace.0)))
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
            Self::Ended => f.write_str("ended     the server sends no more"),
            Self::Away { peer, reason, within_ms } => {
                let within = typed(within_ms.0);
                write!(f, "away      {peer} {reason}; the session is kept for {within}")
            }
            Self::Back { peer, away_ms, replayed, .. } => {
                let (away, replayed) = (away_ms.0.as_secs_f64(), describe_replayed(replayed));
                write!(f, "back      {peer} after {away:.1} s; {replayed}")
            }
            Self::Offline { peer, reason, unsent, unacknowledged, beats, bye, undelivered } => {
                write!(f, "offline   {peer} {reason}")?;
                // The answer to this end's own BYE says nothing new.
                let bye =
                    bye.as_ref().filter(|_| !matches!(reason, Reason::Shutdown | Reason::Done));
                bye.map_or(Ok(()), |bye| write!(f, "{bye}"))?;
                write!(f, "; {}", counted(*beats, "beat"))?;
                for (count, one, what) in
                    [(unsent, "message", "sent"), (unacknowledged, "byte", "acknowledged")]
                {
                    if *count > 0 {
                        let count = u64::try_from(*count).unwrap_or(u64::MAX);
                        write!(f, ", {} not {what}", counted(count, one))?;
                    }
                }
                if undelivered.frames > 0 { write!(f, "; {undelivered}") } else { Ok(()) }
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
