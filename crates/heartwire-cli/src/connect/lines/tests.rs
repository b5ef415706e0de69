use heartwire::Verdict;
use heartwire::v1::{Offer, Terms};

use super::*;
use crate::documented::expect_lines_documented;

/// An example of the kind after this one, with every key that its kind can have. A new kind does
/// not compile until it has one.
fn next(line: Option<&Line>) -> Option<Line> {
    let ms = Millis(Duration::from_millis(1500));
    let peer = "192.0.2.1:5".parse().unwrap();
    let offer = Offer::new(&Policy::default());
    let contract = Terms::new(offer).agree(&offer).unwrap();
    Some(match line {
        None => Line::Starting {
            target: String::new(),
            policy: Policy::default(),
            outages: Outages::new(Err("why")),
        },
        Some(Line::Starting { .. }) => Line::promising(None),
        Some(Line::Promising { .. }) => Line::Connecting { attempt: 1 },
        Some(Line::Connecting { .. }) => Line::Online {
            welcome: Some(Welcomed { session: 1, epoch: 1, contract }),
            peer,
            protocol: "v1",
            kernel: String::new(),
            kept: Kept::default(),
        },
        Some(Line::Online { .. }) => Line::Rtt {
            rtt_ms: None,
            unheard_ms: ms,
            peer_late_ms: ms,
            peer_health: "ok",
            round_trip: String::new(),
        },
        Some(Line::Rtt { .. }) => Line::Health { health: "ok" },
        Some(Line::Health { .. }) => Line::TooFast,
        Some(Line::TooFast) => Line::Ended,
        Some(Line::Ended) => {
            Line::Away { peer, reason: Reason::Dead(Verdict::kernel(ms.0)), within_ms: ms }
        }
        Some(Line::Away { .. }) => Line::Back {
            welcome: Welcomed { session: 1, epoch: 1, contract },
            peer,
            away_ms: ms,
            replayed: Replayed::default(),
        },
        Some(Line::Back { .. }) => Line::Offline {
            peer,
            reason: Reason::Dead(Verdict::kernel(ms.0)),
            unsent: 0,
            unacknowledged: 0,
            beats: 0,
            bye: Some(Bye {
                code: "shutdown",
                number: 1,
                detail: String::new(),
                retry: "within",
                earliest_ms: Some(ms),
                latest_ms: Some(ms),
            }),
            undelivered: Undelivered::NOTHING,
        },
        Some(Line::Offline { .. }) => {
            Line::Failed { error: String::new(), violation: None, retryable: true, hint: "" }
        }
        Some(Line::Failed { .. }) => Line::Waiting { wait_ms: ms, attempt: 2 },
        Some(Line::Waiting { .. }) => Line::Paused { gap_ms: ms },
        Some(Line::Paused { .. }) => Line::Lagged { count: 1 },
        Some(Line::Lagged { .. }) => Line::Closed,
        Some(Line::Closed) => Line::Other { detail: String::new() },
        Some(Line::Other { .. }) => return None,
    })
}

#[test]
fn keys_of_each_event_are_the_documented_ones_in_their_order() {
    expect_lines_documented("`connect`", next);
}
