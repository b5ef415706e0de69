use crate::server::limits::Refusal;
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{Instant, Policy};

use super::*;

#[test]
fn each_event_is_one_line_that_says_what_happened_and_to_which_client() {
    let (id, peer) = (SessionId::new(0, 17, 3), "192.0.2.1:5".parse().unwrap());
    let (short, long) = (Duration::from_millis(1500), Duration::from_secs(90));
    let verdict = Verdict::kernel(short);
    let offer = Offer::new(&Policy::builder().build().unwrap());
    let contract = Terms::new(offer).agree(&offer).unwrap();
    let agreed_after = |name, last: Option<v1::LastConnection<'_>>| {
        let (agent, last) = (Some("agent\n1".into()), last.map(LastConnection::of));
        Some(Box::new(Agreed {
            name,
            epoch: 1,
            instance: None,
            agent,
            last,
            contract,
            grace: None,
        }))
    };
    let agreed = |name| agreed_after(name, None);
    let session = Some(SessionId::new(1, 2, 3).as_u64());
    let reset = v1::LastConnection::new("reset", short, session);
    let unknown = v1::LastConnection::new("\u{1b}\u{202e}\n\"", Duration::ZERO, None);
    let reason = Reason::Dead(verdict);
    let nothing = Undelivered::NOTHING;
    let cases: &[(Event<&[u8]>, &str)] = &[
        (Event::Online { id, peer, agreed: None }, "0-17-3 online from 192.0.2.1:5"),
        (
            Event::Online { id, peer, agreed: agreed(None) },
            &format!("0-17-3 online from 192.0.2.1:5; {contract}"),
        ),
        (
            Event::Online { id, peer, agreed: agreed(Some("a\"\n".into())) },
            &format!(r#"0-17-3 online from 192.0.2.1:5 "a\"\n"; {contract}"#),
        ),
        (
            Event::Online { id, peer, agreed: agreed_after(Some("a".into()), Some(reset)) },
            &format!(
                "0-17-3 online from 192.0.2.1:5 \"a\"; {contract}; \
                 last connection 1-2-3 ended 1.500 s ago: \"reset\""
            ),
        ),
        (
            Event::Online { id, peer, agreed: agreed_after(None, Some(unknown)) },
            &format!(
                r#"0-17-3 online from 192.0.2.1:5; {contract}; {}"#,
                r#"last connection ended 0.000 s ago: "\u{1b}\u{202e}\n\"""#
            ),
        ),
        (
            Event::Promise { id, interval: short, timeout: Some(long) },
            "0-17-3 changes its interval to 1.5s, timeout 90s",
        ),
        (
            Event::Promise { id, interval: short, timeout: None },
            "0-17-3 changes its interval to 1.5s, timeout off",
        ),
        (Event::Health { id, health: Health::Degraded }, "0-17-3 reports health degraded"),
        (
            Event::Fighting { name: "a\n".into(), peer },
            r#"clients take the name "a\n" from each other; rejected 192.0.2.1:5"#,
        ),
        (
            Event::Rejected { peer, name: Some("a\n".into()), code: ByeCode::Unauthorized },
            r#"rejected 192.0.2.1:5 "a\n": unauthorized"#,
        ),
        (
            Event::Rejected { peer, name: None, code: ByeCode::Unauthorized },
            "rejected 192.0.2.1:5: unauthorized",
        ),
        (Event::Data { id, data: b"\n" }, "0-17-3 1 B of data"),
        (
            Event::Verdict { id, peer, verdict },
            "0-17-3 dead at 192.0.2.1:5: the kernel gave up after 1.500 s of silence",
        ),
        (Event::Ended { id }, "0-17-3 sends no more"),
        (Event::Room { id }, "0-17-3 has room for data again"),
        (
            Event::Away { id, peer, reason: Reason::Reset, within: long },
            "0-17-3 away from 192.0.2.1:5 for 90s at most: reset by the peer or on the path",
        ),
        (
            Event::Back { id, peer, away: short, replayed: Replayed { frames: 1, bytes: 2 } },
            "0-17-3 back from 192.0.2.1:5 after 1.500 s; 1 message (2 B) sent again",
        ),
        (
            Event::Offline { id, peer, reason, beats: 2, lasted: short, undelivered: nothing },
            "0-17-3 offline from 192.0.2.1:5: dead: the kernel gave up after 1.500 s of silence \
             (2 beats in 1.500 s)",
        ),
        (
            Event::Offline {
                id,
                peer,
                reason: Reason::NotBack,
                beats: 1,
                lasted: short,
                undelivered: Undelivered { frames: 3, bytes: 120, exact: false },
            },
            "0-17-3 offline from 192.0.2.1:5: the client did not come back in time (1 beat in \
             1.500 s); at most 3 messages (120 B) not delivered",
        ),
        (
            Event::Paused { shard: 2, pause: Pause::new(Instant::from_nanos(0), short) },
            "shard 2 was paused for 1.500 s",
        ),
        (Event::Refusing { cause: Refusal::SessionLimit }, "refusing new clients: max_sessions"),
        (Event::Accepting { refused: 7 }, "accepting new clients again, 7 refused so far"),
    ];
    for (event, line) in cases {
        assert_eq!(event.to_string(), *line, "{event:?}");
        assert_eq!(event.to_owned().to_string(), *line, "{event:?}");
        assert!(!line.contains(['\n', '\u{1b}', '\u{202e}']), "{line}");
    }
}
