//! The lines that both ends print on standard error. `docs/events.md` describes their fields.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use heartwire::{Reason, Replayed};
use serde::Serialize;

use crate::output::{Millis, counted, describe_replayed, fields, grouped, shown_on_terminal};
use crate::values::{typed, typed_bytes};

/// An event. Its text is for people.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    /// It is ready for connections.
    Listening {
        addresses: Vec<String>,
        services: Vec<String>,
        far: Option<String>,
        tls: bool,
        #[serde(flatten)]
        outages: Outages,
    },
    Opened {
        #[serde(flatten)]
        of: Connection,
        after_ms: Millis,
        grace_ms: Millis,
    },
    Refused {
        #[serde(flatten)]
        of: Connection,
        detail: String,
    },
    Away {
        #[serde(flatten)]
        of: Connection,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        within_ms: Millis,
    },
    Back {
        #[serde(flatten)]
        of: Connection,
        away_ms: Millis,
        #[serde(flatten, serialize_with = "fields::replayed")]
        replayed: Replayed,
    },
    Closed {
        #[serde(flatten)]
        of: Connection,
        how: How,
        detail: Option<String>,
        to_service: u64,
        from_service: u64,
        lasted_ms: Millis,
        outages: u32,
        away_ms: Millis,
    },
    Stopped {
        connections: usize,
    },
}

/// What this end does about outages.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Outages {
    pub(super) suspected_ms: Millis,
    pub(super) noticed_ms: Millis,
    pub(super) grace_ms: Millis,
    pub(super) window: u32,
}

/// Which connection it is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connection {
    /// The number that its session has at both ends, once there is one.
    pub(super) session: Option<u64>,
    pub(super) service: Option<String>,
    /// The name of the near end.
    pub(super) name: Option<String>,
    /// Where it comes from: at the near end the local program, at the far end the near one.
    pub(super) peer: Option<SocketAddr>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// Both directions have ended, and everything was delivered.
    Done,
    /// The program at this end reset it.
    ResetHere,
    /// The other end reset it, for its program.
    ResetThere,
    /// The other end was lost for longer than the connection is kept.
    Lost,
    /// This end was told to stop.
    Stopped,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service.as_deref().unwrap_or("?"))?;
        self.session.map_or(Ok(()), |session| write!(f, " #{session}"))?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {name}"))?;
        self.peer.map_or(Ok(()), |peer| write!(f, " {peer}"))
    }
}

impl fmt::Display for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suspected_ms, noticed_ms, grace_ms, window } = self;
        write!(
            f,
            "one is suspected after {}, noticed within {}, and survived up to {}; {} are kept each \
             way",
            typed(suspected_ms.0),
            typed(noticed_ms.0),
            typed(grace_ms.0),
            typed_bytes((*window).into())
        )
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &Millis| time.0.as_secs_f64();
        match self {
            Self::Listening { addresses, services, far, tls, outages } => {
                let on = if addresses.is_empty() {
                    "standard input and output".to_owned()
                } else {
                    addresses.join(" and ")
                };
                write!(f, "listening on {on}")?;
                let what = if *tls { " with TLS" } else { "" };
                match far {
                    Some(far) => write!(f, " for {} at {far}{what}", services.join(" "))?,
                    None => write!(f, "{what} for {}", services.join(" and "))?,
                }
                write!(f, "\n  outages: {outages}")
            }
            Self::Opened { of, after_ms, grace_ms } => {
                let (after, grace) = (seconds(after_ms), typed(grace_ms.0));
                write!(f, "opened    {of} after {after:.3} s; outages up to {grace}")
            }
            Self::Refused { of, detail } => {
                write!(f, "refused   {of}: {}", on_one_line(detail))
            }
            Self::Away { of, reason, within_ms } => {
                write!(f, "away      {of} {reason}; it is kept for {}", typed(within_ms.0))
            }
            Self::Back { of, away_ms, replayed } => {
                let (away, replayed) = (seconds(away_ms), describe_replayed(replayed));
                write!(f, "back      {of} after {away:.1} s; {replayed}")
            }
            Self::Closed {
                of,
                how,
                detail,
                to_service,
                from_service,
                lasted_ms,
                outages,
                away_ms,
            } => {
                write!(f, "closed    {of} {how}")?;
                let detail = detail.as_deref().map(on_one_line);
                detail.map_or(Ok(()), |detail| write!(f, " ({detail})"))?;
                let (to, from) = (grouped(*to_service), grouped(*from_service));
                let lasted = seconds(lasted_ms);
                write!(f, "; {to} B to the service, {from} B from it, {lasted:.1} s")?;
                if *outages > 0 {
                    let (count, away) = (counted((*outages).into(), "outage"), seconds(away_ms));
                    write!(f, ", {count} of {away:.1} s together")?;
                }
                Ok(())
            }
            Self::Stopped { connections } => {
                let count = u64::try_from(*connections).unwrap_or(u64::MAX);
                write!(f, "stopped   {} reset", counted(count, "connection"))
            }
        }
    }
}

/// What a peer may have said, which must not look like a line of its own.
fn on_one_line(detail: &str) -> String {
    shown_on_terminal(detail.as_bytes(), false)
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::ResetHere => "reset here",
            Self::ResetThere => "reset by the other end",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        })
    }
}

impl Line {
    /// Whether it says that all is well: not of interest on a terminal whose user runs another
    /// program over this one.
    pub(super) const fn is_routine(&self) -> bool {
        matches!(
            self,
            Self::Listening { .. } | Self::Opened { .. } | Self::Closed { how: How::Done, .. }
        )
    }
}

impl Outages {
    /// `noticed`: the latest that an outage is noticed.
    pub(super) const fn new(
        suspected: Duration,
        noticed: Duration,
        grace: Duration,
        window: u32,
    ) -> Self {
        Self {
            suspected_ms: Millis(suspected),
            noticed_ms: Millis(noticed),
            grace_ms: Millis(grace),
            window,
        }
    }
}

#[cfg(test)]
mod tests;
