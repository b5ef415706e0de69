//! `/v1/sessions`: who is there.

use axum::http::StatusCode;
use axum::response::Response;
use heartwire::server::{Handle, SessionInfo};
use serde::{Deserialize, Serialize};

use super::reply::{Refusal, json};
use crate::output::Millis;

/// Sessions in one page, unless it is asked for fewer or more.
const LIMIT: usize = 100;

/// Sessions in the longest page.
const MAX_LIMIT: usize = 1000;

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
    let limit = asked.limit.unwrap_or(LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(Refusal::bad_query(format!("limit is a number from 1 to {MAX_LIMIT}")));
    }
    let mut all = server.list().await;
    all.sort_by_key(|info| info.id);
    let after = match &asked.after {
        Some(after) => find(&all, after).map(|info| info.id),
        None => None,
    };
    all.retain(|info| {
        after.is_none_or(|after| info.id > after)
            && asked.away.is_none_or(|away| info.away_within.is_some() == away)
            && asked.name.as_ref().is_none_or(|part| {
                info.name.as_ref().is_some_and(|name| name.contains(part.as_str()))
            })
    });
    match asked.sort {
        Sort::Id => {}
        Sort::Silence => all.sort_by_key(|info| core::cmp::Reverse(info.silence)),
        Sort::Due => all.sort_by_key(|info| (info.due.is_none(), info.due)),
        Sort::Age => all.sort_by_key(|info| core::cmp::Reverse(info.age)),
        Sort::Rtt => {
            let rtt = |info: &SessionInfo| info.link_state.as_ref().and_then(|link| link.rtt);
            all.sort_by_key(|info| core::cmp::Reverse(rtt(info)));
        }
        Sort::Queued => all.sort_by_key(|info| core::cmp::Reverse(info.queued)),
    }
    let has_more = all.len() > limit;
    all.truncate(limit);
    let sessions: Vec<_> = all.iter().map(Session::of).collect();
    let last = sessions.last().map(|session| session.session.clone());
    let after = last.filter(|_| has_more && asked.sort == Sort::Id);
    Ok(json(StatusCode::OK, &Page { sessions, after, missing_shards: Vec::new() }))
}

/// One session.
pub(super) async fn one(server: &Handle, id: &str) -> Result<SessionInfo, Refusal> {
    let mut all = server.list().await;
    let place = all.iter().position(|info| info.id.to_string() == id);
    place.map(|place| all.swap_remove(place)).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "no_session", format!("there is no session {id:?} now"))
    })
}

fn find<'a>(all: &'a [SessionInfo], id: &str) -> Option<&'a SessionInfo> {
    all.iter().find(|info| info.id.to_string() == id)
}
