//! What is served under which path.

use core::error::Error;
use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use heartwire::v1::{MAX_DETAIL_LEN, RetryHint};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::page::PAGE;
use super::reply::{Refusal, json};
use super::stream::KINDS;
use super::{Shared, metrics, sessions, stats};
use crate::output::Millis;

/// The paths, and the fields of their answers.
const DESCRIPTION: &str = include_str!("openapi.json");

/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;

/// From a request's head to that of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// From a request's head to the end of its body.
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// How long a listing waits for the one before it.
const LISTING_WAITS: Duration = Duration::from_secs(2);

/// The longest window of a drain.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// What other than the page may be done with an answer: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

type App = State<Arc<Shared>>;

type PathId = Result<Path<String>, PathRejection>;

pub(super) fn router(shared: &Arc<Shared>) -> Router {
    // One at a time: each costs every shard some time.
    let listings = Arc::new(Semaphore::new(1));
    Router::new()
        .route("/", get(page))
        .route("/livez", get(async |State(shared): App| shared.health.live()))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(describe))
        .route("/metrics", get(async |State(shared): App| metrics::answer(&shared)))
        .route("/v1/stats", get(show_stats))
        .route("/v1/sessions", get(list).with_state((Arc::clone(shared), listings)))
        .route("/v1/sessions/{id}", get(show).delete(kick))
        .route("/v1/heat", get(heat))
        .route("/v1/drain", post(drain))
        .route("/v1/events", get(events))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(shared), admit))
        .with_state(Arc::clone(shared))
}

/// Refuses what must not be answered, bounds the time of an answer, and adds to it what keeps
/// browsers from misusing it.
async fn admit(State(shared): App, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match shared.guard.check(&parts) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => timeout(ANSWER_WITHIN, next.run(Request::from_parts(parts, body)))
            .await
            .unwrap_or_else(|_| Refusal::busy("the server took too long").into_response()),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| HeaderValue::from_static(NOTHING));
    response
}

async fn no_path(uri: Uri) -> Refusal {
    let message = format!("nothing is at {}; /openapi.json lists what there is", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "no_path", message)
}

async fn no_method() -> Refusal {
    let message = "this path has other methods, see the header Allow";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "no_method", message)
}

/// The page, whose script and style no other text in it can join: they have a number that is new
/// in each answer.
async fn page() -> Response {
    let random = || RandomState::new().build_hasher().finish();
    let nonce = format!("{:016x}{:016x}", random(), random());
    let page = PAGE
        .replace("<script>", &format!("<script nonce=\"{nonce}\">"))
        .replace("<style>", &format!("<style nonce=\"{nonce}\">"));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(NOTHING));
    ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

async fn ready(State(shared): App) -> Response {
    shared.health.ready(shared.running().ok().map(|running| &running.server))
}

async fn describe() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DESCRIPTION).into_response()
}

async fn show_stats(State(shared): App) -> Result<Response, Refusal> {
    let running = shared.running()?;
    Ok(stats::answer(&shared, &running.server, &running.settings()))
}

async fn list(
    State((shared, listings)): State<(Arc<Shared>, Arc<Semaphore>)>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = query(&uri)?;
    let server = &shared.running()?.server;
    let Ok(Ok(_turn)) = timeout(LISTING_WAITS, listings.acquire()).await else {
        return Err(Refusal::busy("others list sessions, and one does at a time"));
    };
    sessions::page(server, asked).await
}

async fn heat(State(shared): App) -> Result<Response, Refusal> {
    Ok(shared.heat.answer(&shared.running()?.server).await)
}

async fn show(State(shared): App, id: PathId) -> Result<Response, Refusal> {
    let info = sessions::one(&shared.running()?.server, &text(id)?).await?;
    Ok(json(StatusCode::OK, &sessions::Session::of(&info)))
}

/// What stands in a path for a session.
fn text(id: PathId) -> Result<String, Refusal> {
    id.map(|Path(id)| id).map_err(|_| {
        let message = "a session's id is three numbers with hyphens, such as 0-17-3";
        Refusal::new(StatusCode::NOT_FOUND, "no_session", message)
    })
}

/// Disconnects a client.
async fn kick(State(shared): App, id: PathId, uri: Uri) -> Result<Response, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Asked {
        reason: String,
        retry: Retry,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Retry {
        #[default]
        Never,
        AtWill,
    }
    #[derive(Serialize)]
    struct Kicked {
        session: String,
    }
    let asked: Asked = query(&uri)?;
    if asked.reason.len() > MAX_DETAIL_LEN {
        return Err(Refusal::bad_query(format!("reason has at most {MAX_DETAIL_LEN} bytes")));
    }
    let server = &shared.running()?.server;
    let id = sessions::one(server, &text(id)?).await?.id;
    let retry = match asked.retry {
        Retry::Never => RetryHint::Never,
        Retry::AtWill => RetryHint::AtWill,
    };
    server
        .kick_with(id, retry, &asked.reason)
        .map_err(|_| Refusal::busy("the session's shard takes no commands now"))?;
    tracing::info!(session = %id, "disconnecting a client, as asked for over HTTP");
    Ok(json(StatusCode::ACCEPTED, &Kicked { session: id.to_string() }))
}

/// Ends the server, as SIGTERM does.
async fn drain(State(shared): App, body: Body) -> Result<Response, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Asked {
        window_ms: Option<f64>,
    }
    #[derive(Serialize)]
    struct Draining {
        window_ms: Millis,
    }
    let body = timeout(BODY_WITHIN, to_bytes(body, MAX_BODY)).await.map_err(|_| {
        let message = format!("a body has to come within {} s", BODY_WITHIN.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", message)
    })?;
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "bad_body", message);
    let body = body.map_err(|error| {
        if error.source().is_none_or(|source| !source.is::<LengthLimitError>()) {
            return bad("the body broke off, or its chunks are no chunks".to_owned());
        }
        let message = format!("a body has at most {MAX_BODY} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message)
    })?;
    // An array would do for a structure.
    let object: Map<String, Value> = if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?
    };
    let asked = Asked::deserialize(object).map_err(|error| bad(error.to_string()))?;
    let window = match asked.window_ms.map(|ms| Duration::try_from_secs_f64(ms / 1000.0)) {
        None => None,
        Some(Ok(window)) if window <= MAX_WINDOW => Some(window),
        Some(_) => {
            return Err(bad("window_ms is a number of milliseconds of at most a day".to_owned()));
        }
    };
    let window = shared.drain(window)?;
    Ok(json(StatusCode::ACCEPTED, &Draining { window_ms: Millis(window) }))
}

async fn events(State(shared): App, uri: Uri) -> Result<Response, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Asked {
        kinds: Option<String>,
    }
    let asked: Asked = query(&uri)?;
    let kinds = match &asked.kinds {
        None => KINDS.iter().copied().filter(|&kind| kind != "data").collect(),
        Some(kinds) => kinds.split(',').map(known_kind).collect::<Result<_, _>>()?,
    };
    shared.readers.stream(kinds)
}

fn known_kind(named: &str) -> Result<&'static str, Refusal> {
    KINDS.iter().copied().find(|&kind| kind == named).ok_or_else(|| {
        let known = KINDS.join(", ");
        Refusal::bad_query(format!("there are no events of the kind {named:?}, but {known}"))
    })
}

/// What follows the question mark.
fn query<Q: DeserializeOwned>(uri: &Uri) -> Result<Q, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|error| Refusal::bad_query(error.body_text()))
}
