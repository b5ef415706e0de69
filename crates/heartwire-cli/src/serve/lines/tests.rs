use core::time::Duration;

use heartwire::Policy;
use heartwire::v1::{Offer, Terms};

use super::*;
use crate::documented::expect_lines_documented;

/// An example of the kind after this one, with every key that its kind can have. A new kind does
/// not compile until it has one.
fn next(line: Option<&Line>) -> Option<Line> {
    let ms = Millis(Duration::from_millis(1500));
    let peer = "192.0.2.1:5".parse().unwrap();
    let client = Some(Arc::new(Client { name: Some("door 3".into()), epoch: 7 }));
    let session = Session { session: "0-17-3".to_owned(), client };
    let verdict = Verdict::kernel(ms.0);
    let offer = Offer::new(&Policy::default());
    Some(match line {
        None => Line::Listening(Box::new(crate::serve::listening::example())),
        Some(Line::Listening(_)) => Line::Online {
            session,
            peer,
            protocol: "v1",
            agreed: Some(Agreed {
                agent: None,
                last: Some(last("dead", None)),
                contract: Terms::new(offer).agree(&offer).unwrap(),
                grace_ms: None,
            }),
        },
        Some(Line::Online { .. }) => {
            Line::Promise { session, interval_ms: ms, timeout_ms: Some(ms) }
        }
        Some(Line::Promise { .. }) => Line::Health { session, health: "ok" },
        Some(Line::Health { .. }) => Line::Rejected { name: None, peer, code: "unauthorized" },
        Some(Line::Rejected { .. }) => Line::Fighting { name: "door 3".into(), peer },
        Some(Line::Fighting { .. }) => Line::Data { session, bytes: 0, preview: String::new() },
        Some(Line::Data { .. }) => Line::Verdict { session, peer, verdict },
        Some(Line::Verdict { .. }) => Line::Ended { session },
        Some(Line::Ended { .. }) => {
            Line::Away { session, peer, reason: Reason::Dead(verdict), within_ms: ms }
        }
        Some(Line::Away { .. }) => {
            Line::Back { session, peer, away_ms: ms, replayed: Replayed::default() }
        }
        Some(Line::Back { .. }) => Line::Offline {
            session,
            peer,
            reason: Reason::Dead(verdict),
            beats: 0,
            lasted_ms: ms,
            undelivered: Undelivered::NOTHING,
        },
        Some(Line::Offline { .. }) => Line::Paused { shard: 0, gap_ms: ms },
        Some(Line::Paused { .. }) => Line::Refusing { cause: "max_sessions" },
        Some(Line::Refusing { .. }) => Line::Accepting { refused: 0 },
        Some(Line::Accepting { .. }) => Line::Resource {
            resource: "descriptors",
            used: 58,
            limit: 64,
            percent: 90,
            short: true,
            lasted_ms: None,
        },
        Some(Line::Resource { .. }) => Line::Presence(PresenceState::example()),
        Some(Line::Presence(_)) => Line::Hook(HookState::example()),
        Some(Line::Hook(_)) => Line::Incident(Incident::example()),
        Some(Line::Incident(_)) => Line::IncidentOver(IncidentOver::example()),
        Some(Line::IncidentOver(_)) => Line::Unprinted(LeftOut::default()),
        Some(Line::Unprinted(_)) => Line::Session {
            session,
            peer,
            silence_ms: ms,
            rtt_ms: None,
            away_within_ms: None,
            round_trip: String::new(),
        },
        Some(Line::Session { .. }) => Line::Who { sessions: 1 },
        Some(Line::Who { .. }) => Line::Answer { ok: true, text: String::new() },
        Some(Line::Answer { .. }) => Line::Stopped { stats: Box::default() },
        Some(Line::Stopped { .. }) => Line::Other { detail: String::new() },
        Some(Line::Other { .. }) => return None,
    })
}

fn last(reason: &str, session: Option<String>) -> Last {
    Last { reason: reason.into(), ago_ms: Millis(Duration::from_millis(12_345)), session }
}

#[test]
fn the_last_connection_of_a_client_is_shown_in_short_and_escaped() {
    let line = |last: Last| last.to_string();
    let session = Some("0-17-3".to_owned());
    assert_eq!(line(last("dead", session)), "last \"dead\" 12.3 s ago (0-17-3)");
    let hostile = last("a\"\u{1b}[31m\u{202e}\n", None);
    assert_eq!(line(hostile), r#"last "a\"\u{1b}[31m\u{202e}\n" 12.3 s ago"#);
}

#[test]
fn keys_of_each_event_are_the_documented_ones_in_their_order() {
    expect_lines_documented("`serve`", next);
}
