use heartwire::{Reason, Replayed, Verdict};

use super::*;
use crate::documented::expect_lines_documented;
use crate::tunnel::carry::Carried;

fn of() -> Connection {
    Connection {
        session: Some(7),
        service: Some("db".to_owned()),
        name: Some("ann".to_owned()),
        peer: Some("192.0.2.7:4711".parse().unwrap()),
    }
}

fn second() -> Millis {
    Millis(Duration::from_secs(1))
}

/// An example of the kind after that of this line.
fn next(line: Option<&Line>) -> Option<Line> {
    let Some(line) = line else {
        return Some(Line::Listening {
            addresses: vec!["127.0.0.1:5432".to_owned()],
            services: vec!["db".to_owned()],
            far: Some("gate.example:29003".to_owned()),
            tls: true,
            outages: Outages::new(
                Duration::from_millis(4500),
                Duration::from_secs(9),
                Duration::from_secs(120),
                2 << 20,
            ),
        });
    };
    Some(match line {
        Line::Listening { .. } => Line::Opened { of: of(), after_ms: second(), grace_ms: second() },
        Line::Opened { .. } => Line::Refused { of: of(), detail: "no".to_owned() },
        Line::Refused { .. } => Line::Away {
            of: of(),
            reason: Reason::Dead(Verdict::kernel(second().0)),
            within_ms: second(),
        },
        Line::Away { .. } => {
            Line::Back { of: of(), away_ms: second(), replayed: Replayed::default() }
        }
        Line::Back { .. } => Line::Closed {
            of: of(),
            how: How::Done,
            detail: None,
            to_service: 1000,
            from_service: 0,
            lasted_ms: second(),
            outages: 1,
            away_ms: second(),
        },
        Line::Closed { .. } => Line::Stopped { connections: 1 },
        Line::Stopped { .. } => return None,
    })
}

#[test]
fn every_line_has_the_documented_fields() {
    expect_lines_documented("`tunnel`", next);
}

#[test]
fn a_line_says_which_connection_it_is_about() {
    let closed =
        next(next(next(next(next(next(None).as_ref()).as_ref()).as_ref()).as_ref()).as_ref());
    assert_eq!(
        closed.unwrap().to_string(),
        "closed    db #7 ann 192.0.2.7:4711 done; 1,000 B to the service, 0 B from it, 1.0 s, 1 \
         outage of 1.0 s together"
    );
}

#[test]
fn detail_of_a_peer_does_not_look_like_a_line() {
    let detail = "no\nopened    db".to_owned();
    let refused = Line::Refused { of: of(), detail: detail.clone() };
    let closed = Carried::new().closed(of(), How::ResetThere, Some(detail));
    for line in [refused, closed] {
        assert!(line.to_string().contains(r"no\u{a}opened    db"), "{line}");
        assert_eq!(line.to_string().lines().count(), 1);
    }
}
