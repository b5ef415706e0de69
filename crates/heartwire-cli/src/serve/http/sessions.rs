//! `/v1/sessions`: who is there.

use axum::http::StatusCode;
use axum::response::Response;
use heartwire::server::{Handle, NotAnId, Query, SessionInfo};
use serde::{Deserialize, Serialize};

use super::reply::{Refusal, json};
use crate::output::Millis;

/// What a page is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    after: Option<String>,
    limit: Option<usize>,
    sort: Sort,
    name: Option<String>,
    away: Option<bool>,
}

/// The order of a page.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Id,
    Silence,
    Due,
    Rtt,
    Age,
    Queued,
}

/// One session.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    session: String,
    name: Option<Box<str>>,
    epoch: u64,
    peer: String,
    protocol: &'static str,
    tls: bool,
    age_ms: Millis,
    silence_ms: Millis,
    interval_ms: Option<Millis>,
    timeout_ms: Option<Millis>,
    due_ms: Option<Millis>,
    rtt_ms: Option<Millis>,
    health: Option<&'static str>,
    beats: u32,
    queued: usize,
    away_within_ms: Option<Millis>,
}

impl Session {
    pub(super) fn of(info: &SessionInfo) -> Self {
        let link = info.link_state.as_ref();
        Self {
            session: info.id.to_string(),
            name: info.name.clone(),
            epoch: info.epoch,
            peer: info.peer.to_string(),
            protocol: info.protocol,
            tls: info.is_secure,
            age_ms: Millis(info.age),
            silence_ms: Millis(info.silence),
            interval_ms: info.interval.map(Millis),
            timeout_ms: info.timeout.map(Millis),
            due_ms: info.due.map(Millis),
            rtt_ms: link.and_then(|link| link.rtt).map(Millis),
            health: link.map(|link| link.peer_health.name()),
            beats: info.beats,
            queued: info.queued,
            away_within_ms: info.away_within.map(Millis),
        }
    }
}

/// A page of sessions.
pub(super) async fn page(server: &Handle, asked: Asked) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Page {
        sessions: Vec<Session>,
        after: Option<String>,
        missing_shards: Vec<usize>,
    }
    let limit = asked.limit.unwrap_or(Query::LIMIT);
    if limit == 0 || limit > Query::MAX_LIMIT {
        let most = Query::MAX_LIMIT;
        return Err(Refusal::bad_query(format!("limit is a number from 1 to {most}")));
    }
    let mut query = Query::new().limit(limit).sort(asked.sort.into());
    if let Some(after) = &asked.after {
        if asked.sort != Sort::Id {
            return Err(Refusal::bad_query("only sort=id has further pages"));
        }
        let after =
            after.parse().map_err(|error: NotAnId| Refusal::bad_query(error.to_string()))?;
        query = query.after(after);
    }
    if let Some(part) = &asked.name {
        query = query.name(part);
    }
    if let Some(away) = asked.away {
        query = query.away(away);
    }
    let found = server.query(query).await;
    let page = Page {
        sessions: found.sessions.iter().map(Session::of).collect(),
        after: found.next.map(|id| id.to_string()),
        missing_shards: found.missing,
    };
    Ok(json(StatusCode::OK, &page))
}

/// One session.
pub(super) async fn one(server: &Handle, id: &str) -> Result<SessionInfo, Refusal> {
    let found = match id.parse() {
        Ok(id) => server.session(id).await,
        Err(NotAnId { .. }) => None,
    };
    found.ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "no_session", format!("there is no session {id:?} now"))
    })
}

impl From<Sort> for heartwire::server::Sort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Id => Self::Id,
            Sort::Silence => Self::Silence,
            Sort::Due => Self::Due,
            Sort::Rtt => Self::RoundTrip,
            Sort::Age => Self::Age,
            Sort::Queued => Self::Queued,
        }
    }
}
