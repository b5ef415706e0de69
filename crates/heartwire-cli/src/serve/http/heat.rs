//! `/v1/heat`: sessions counted by silence and round trip, a picture of any number of them.

use core::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use heartwire::server::{Handle, Heat};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::reply::json;

/// An answer is given again for this many times as long as it took to make: so it takes less than a
/// hundredth of the shards' time, however often it is asked for.
const REST: u32 = 100;

/// The shortest and longest time for which an answer is given again.
const AGAIN_FOR: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The last answer. Those who ask while one is made get that.
#[derive(Debug, Default)]
pub(super) struct HeatMap(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    answer: Heat,
    until: Instant,
}

impl HeatMap {
    pub(super) async fn answer(&self, server: &Handle) -> Response {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.until) {
            return render(&kept.answer);
        }
        let begun = Instant::now();
        let answer = server.heat().await;
        let ended = Instant::now();
        let rest = ended.duration_since(begun).saturating_mul(REST);
        let response = render(&answer);
        *kept = Some(Kept { answer, until: ended + rest.clamp(AGAIN_FOR.0, AGAIN_FOR.1) });
        response
    }
}

fn render(heat: &Heat) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        silence: Vec<f64>,
        rtt_ms: Vec<u128>,
        counts: Vec<&'a [u64]>,
        away: u64,
        without_timeout: u64,
        missing_shards: &'a [usize],
    }
    let answer = Answer {
        silence: (1..Heat::ROWS).map(share).collect(),
        rtt_ms: Heat::ROUND_TRIPS.iter().map(Duration::as_millis).collect(),
        counts: heat.counts.iter().map(<[u64; Heat::COLUMNS]>::as_slice).collect(),
        away: heat.away,
        without_timeout: heat.without_timeout,
        missing_shards: &heat.missing,
    };
    json(StatusCode::OK, &answer).into_response()
}

/// The upper edge of a row, as a share of the timeout.
fn share(row: usize) -> f64 {
    f64::from(u32::try_from(row).unwrap_or(u32::MAX)) / 10.0
}
