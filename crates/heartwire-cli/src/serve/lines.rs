//! The lines that `serve` prints. `docs/events.md` describes their fields.

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use heartwire::server::{Event, LastConnection, SessionId, SessionInfo, Stats};
use heartwire::v1::Contract;
use heartwire::{Reason, Replayed, Undelivered, Verdict};
use serde::{Serialize, Serializer};

use super::left_out::LeftOut;
use super::listening::Listening;
use super::presence::{HookState, Incident, IncidentOver, PresenceState};
use crate::output::{Millis, counted, describe_replayed, fields, preview, round_trip};
use crate::values::typed;

/// An event, or an answer to a command. Its text is for people.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    Listening(Box<Listening>),
    Online {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        protocol: &'static str,
        #[serde(flatten)]
        agreed: Option<Agreed>,
    },
    Promise {
        #[serde(flatten)]
        session: Session,
        interval_ms: Millis,
        timeout_ms: Option<Millis>,
    },
    Health {
        #[serde(flatten)]
        session: Session,
        health: &'static str,
    },
    Rejected {
        name: Option<Box<str>>,
        peer: SocketAddr,
        code: &'static str,
    },
    Fighting {
        name: Box<str>,
        peer: SocketAddr,
    },
    Data {
        #[serde(flatten)]
        session: Session,
        bytes: usize,
        preview: String,
    },
    Verdict {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::verdict")]
        verdict: Verdict,
    },
    Ended {
        #[serde(flatten)]
        session: Session,
    },
    Away {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        within_ms: Millis,
    },
    Back {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        away_ms: Millis,
        #[serde(flatten, serialize_with = "fields::replayed")]
        replayed: Replayed,
    },
    Offline {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        #[serde(flatten, serialize_with = "fields::reason")]
        reason: Reason,
        beats: u32,
        lasted_ms: Millis,
        #[serde(flatten, serialize_with = "fields::undelivered")]
        undelivered: Undelivered,
    },
    Paused {
        shard: usize,
        gap_ms: Millis,
    },
    Refusing {
        cause: &'static str,
    },
    Accepting {
        refused: u64,
    },
    Resource {
        resource: &'static str,
        used: usize,
        limit: usize,
        percent: u16,
        short: bool,
        /// How long it was short.
        lasted_ms: Option<Millis>,
    },
    Presence(PresenceState),
    Hook(HookState),
    Incident(Incident),
    IncidentOver(IncidentOver),
    Unprinted(LeftOut),
    Session {
        #[serde(flatten)]
        session: Session,
        peer: SocketAddr,
        silence_ms: Millis,
        rtt_ms: Option<Millis>,
        away_within_ms: Option<Millis>,
        #[serde(skip)]
        round_trip: String,
    },
    Who {
        sessions: usize,
    },
    Answer {
        ok: bool,
        text: String,
    },
    Stopped {
        #[serde(flatten, serialize_with = "counts")]
        stats: Box<Stats>,
    },
    Other {
        detail: String,
    },
}

/// Which session an event is about.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Session {
    session: String,
    #[serde(flatten)]
    client: Option<Arc<Client>>,
}

/// The client of a session on protocol v1.
#[derive(Debug, Serialize)]
pub(super) struct Client {
    pub(super) name: Option<Box<str>>,
    /// 0 without a name.
    pub(super) epoch: u64,
}

/// What else a handshake brought.
#[derive(Debug, Serialize)]
pub(super) struct Agreed {
    agent: Option<Box<str>>,
    last: Option<Last>,
    #[serde(flatten, serialize_with = "fields::contract")]
    contract: Contract,
    grace_ms: Option<Millis>,
}

/// How the client's last connection ended, as the client says.
#[derive(Debug, Serialize)]
struct Last {
    reason: Box<str>,
    ago_ms: Millis,
    session: Option<String>,
}

impl Line {
    /// The line of an event of a session of this client, on v1. A data event has only the beginning
    /// of its data, which is `bytes` long.
    pub(super) fn of(event: &Event<Vec<u8>>, bytes: usize, client: Option<&Arc<Client>>) -> Self {
        let session = |id: &SessionId| Session::new(*id, client.cloned());
        match event {
            Event::Online { id, peer, agreed } => Self::Online {
                session: session(id),
                peer: *peer,
                protocol: if agreed.is_some() { "v1" } else { "v0" },
                agreed: agreed.as_ref().map(|agreed| Agreed {
                    agent: agreed.agent.clone(),
                    last: agreed.last.as_ref().map(Last::of),
                    contract: agreed.contract,
                    grace_ms: agreed.grace.map(Millis),
                }),
            },
            Event::Promise { id, interval, timeout } => Self::Promise {
                session: session(id),
                interval_ms: Millis(*interval),
                timeout_ms: timeout.map(Millis),
            },
            Event::Health { id, health } => {
                Self::Health { session: session(id), health: health.name() }
            }
            Event::Rejected { peer, name, code } => {
                Self::Rejected { name: name.clone(), peer: *peer, code: code.name() }
            }
            Event::Fighting { name, peer } => Self::Fighting { name: name.clone(), peer: *peer },
            Event::Data { id, data } => {
                Self::Data { session: session(id), bytes, preview: preview(data, bytes) }
            }
            Event::Verdict { id, peer, verdict } => {
                Self::Verdict { session: session(id), peer: *peer, verdict: *verdict }
            }
            Event::Offline { id, peer, reason, beats, lasted, undelivered } => Self::Offline {
                session: session(id),
                peer: *peer,
                reason: *reason,
                beats: *beats,
                lasted_ms: Millis(*lasted),
                undelivered: *undelivered,
            },
            Event::Ended { id } => Self::Ended { session: session(id) },
            Event::Away { id, peer, reason, within } => Self::Away {
                session: session(id),
                peer: *peer,
                reason: *reason,
                within_ms: Millis(*within),
            },
            Event::Back { id, peer, away, replayed } => Self::Back {
                session: session(id),
                peer: *peer,
                away_ms: Millis(*away),
                replayed: *replayed,
            },
            Event::Paused { shard, pause } => {
                Self::Paused { shard: *shard, gap_ms: Millis(pause.gap) }
            }
            Event::Refusing { cause } => Self::Refusing { cause: cause.name() },
            Event::Accepting { refused } => Self::Accepting { refused: *refused },
            // `serve` never waits for room, and the library may learn new events.
            other @ (Event::Room { .. } | _) => Self::Other { detail: other.to_string() },
        }
    }

    /// A session in the list of `/who`.
    pub(super) fn listed(info: &SessionInfo) -> Self {
        let link = info.link_state.as_ref();
        Self::Session {
            session: Session::listed(info),
            peer: info.peer,
            silence_ms: Millis(info.silence),
            rtt_ms: link.and_then(|link| link.rtt).map(Millis),
            away_within_ms: info.away_within.map(Millis),
            round_trip: link.map_or_else(|| "not known".to_owned(), round_trip),
        }
    }
}

impl Session {
    fn new(id: SessionId, client: Option<Arc<Client>>) -> Self {
        Self { session: id.to_string(), client }
    }

    pub(super) fn listed(info: &SessionInfo) -> Self {
        let client = || Arc::new(Client { name: info.name.clone(), epoch: info.epoch });
        Self::new(info.id, info.link_state.is_some().then(client))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(listening) => write!(f, "listening {listening}"),
            Self::Online { session, peer, agreed: None, .. } => {
                write!(f, "online    {session} {peer}")
            }
            Self::Online { session, peer, agreed: Some(agreed), .. } => {
                write!(f, "online    {session} {peer}: {}", agreed.contract)?;
                agreed.last.as_ref().map_or(Ok(()), |last| write!(f, "; {last}"))
            }
            Self::Promise { session, interval_ms, .. } => {
                let interval = typed(interval_ms.0);
                write!(f, "promise   {session} sends a heartbeat every {interval} from now on")
            }
            Self::Health { session, health } => {
                write!(f, "health    {session} reports that it is {health}")
            }
            Self::Rejected { name: Some(name), peer, code } => {
                write!(f, "rejected  {peer} {name:?}: {code}")
            }
            Self::Rejected { name: None, peer, code } => write!(f, "rejected  {peer}: {code}"),
            Self::Fighting { name, peer } => write!(
                f,
                "fighting  two clients keep replacing each other under the name {name:?}, one from \
                 {peer}"
            ),
            Self::Data { session, bytes, preview } => {
                write!(f, "data      {session} {bytes} B {preview}")
            }
            Self::Verdict { session, peer, verdict } => {
                write!(f, "verdict   {session} {peer} dead: {verdict}")
            }
            Self::Ended { session } => write!(f, "ended     {session} sends no more"),
            Self::Away { session, peer, reason, within_ms } => {
                let within = typed(within_ms.0);
                write!(f, "away      {session} {peer} {reason}; kept for {within}")
            }
            Self::Back { session, peer, away_ms, replayed } => {
                let (away, replayed) = (away_ms.0.as_secs_f64(), describe_replayed(replayed));
                write!(f, "back      {session} {peer} after {away:.1} s; {replayed}")
            }
            Self::Offline { session, peer, reason, beats, lasted_ms, undelivered } => {
                let (beats, lasted) = (counted((*beats).into(), "beat"), lasted_ms.0.as_secs_f64());
                write!(f, "offline   {session} {peer} {reason}; {beats} in {lasted:.1} s")?;
                if undelivered.frames > 0 { write!(f, "; {undelivered}") } else { Ok(()) }
            }
            Self::Paused { shard, gap_ms } => {
                let gap = gap_ms.0.as_secs_f64();
                write!(f, "paused    shard {shard} was paused for {gap:.3} s; timeouts restarted")
            }
            Self::Refusing { cause } => write!(f, "refusing  new clients: {cause}"),
            Self::Accepting { refused } => write!(f, "accepting again; refused so far: {refused}"),
            Self::Resource { resource, used, limit, percent, lasted_ms, .. } => {
                write!(f, "resource  {resource}: {used} of {limit} in use ({percent} %)")?;
                let Some(lasted) = lasted_ms else { return Ok(()) };
                write!(f, "; enough again after {:.1} s", lasted.0.as_secs_f64())
            }
            Self::Presence(state) => write!(f, "presence  {state}"),
            Self::Hook(state) => write!(f, "hook      {state}"),
            Self::Incident(incident) => write!(f, "incident  {incident}"),
            Self::IncidentOver(over) => write!(f, "incident_over {over}"),
            Self::Unprinted(left_out) => write!(f, "unprinted {left_out}"),
            Self::Session { session, peer, away_within_ms: Some(within), .. } => {
                let within = within.0.as_secs_f64();
                write!(f, "session   {session} {peer}: away, kept for {within:.1} s more")
            }
            Self::Session { session, peer, silence_ms, round_trip, .. } => {
                let silence = silence_ms.0.as_secs_f64();
                write!(f, "session   {session} {peer}: silent for {silence:.1} s")?;
                write!(f, ", round trip {round_trip}")
            }
            Self::Who { sessions } => {
                let sessions = u64::try_from(*sessions).unwrap_or(u64::MAX);
                write!(f, "who       {}", counted(sessions, "session"))
            }
            Self::Answer { text, .. } => write!(f, "answer    {text}"),
            Self::Stopped { stats } => {
                let nonzero = stats.counts().filter(|&(_, count)| count > 0);
                let counts: Vec<_> = nonzero.map(|(name, n)| format!("{name} {n}")).collect();
                let counts = counts.join(", ");
                let nothing = if counts.is_empty() { "nothing happened" } else { "" };
                write!(f, "stopped   {counts}{nothing}")
            }
            Self::Other { detail } => write!(f, "other     {detail}"),
        }
    }
}

impl Last {
    fn of(last: &LastConnection) -> Self {
        let LastConnection { reason, ago, session, .. } = last;
        let session = session.map(|id| id.to_string());
        Self { reason: reason.clone(), ago_ms: Millis(*ago), session }
    }
}

/// In short: `last "dead" 12.3 s ago (0-17-3)`.
impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "last {:?} {:.1} s ago", self.reason, self.ago_ms.0.as_secs_f64())?;
        self.session.as_ref().map_or(Ok(()), |session| write!(f, " ({session})"))
    }
}

/// Its id, and its client's name.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.client.as_ref().and_then(|client| client.name.as_ref());
        f.write_str(&self.session)?;
        name.map_or(Ok(()), |name| write!(f, " {name:?}"))
    }
}

fn counts<S: Serializer>(stats: &Stats, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(stats.counts())
}

#[cfg(test)]
mod tests;
