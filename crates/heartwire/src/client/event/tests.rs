use super::Event;
use crate::{Reason, Undelivered};

#[test]
fn one_thing_is_written_in_the_singular() {
    let offline = |beats, unsent| Event::Offline {
        peer: "192.0.2.7:1".parse().unwrap(),
        reason: Reason::Shutdown,
        unsent,
        undelivered: Undelivered::NOTHING,
        unacknowledged: 0,
        beats,
        bye: None,
    };
    for (event, text) in [
        (offline(1, 0), "offline from 192.0.2.7:1: shut down (1 beat received)"),
        (
            offline(0, 1),
            "offline from 192.0.2.7:1: shut down (0 beats received, 1 message not sent)",
        ),
        (
            offline(2, 2),
            "offline from 192.0.2.7:1: shut down (2 beats received, 2 messages not sent)",
        ),
        (Event::Lagged { count: 1 }, "1 event dropped: not read in time"),
        (Event::Lagged { count: 2 }, "2 events dropped: not read in time"),
    ] {
        assert_eq!(event.to_string(), text);
    }
}
