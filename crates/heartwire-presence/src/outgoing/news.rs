//! Events of a server that matter to presence.

use core::time::Duration;

use heartwire::Reason;
use heartwire::server::{Event, SessionId};

use crate::session::Session;

/// An event of a server that matters to presence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// A session with a name is online.
    Online(Session),
    /// A session has ended, with a name or without one.
    Offline { id: SessionId, reason: Reason },
    /// A shard was paused for so long.
    Paused(Duration),
}

impl News {
    /// `None` for other events. A session that waits for its client, or goes on with another
    /// connection, is online all the time.
    pub(crate) fn of<D>(event: &Event<D>) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "few events matter to presence")]
        match event {
            Event::Online { id, peer, agreed: Some(agreed) } => Some(Self::Online(Session {
                name: agreed.name.clone()?,
                epoch: agreed.epoch,
                id: *id,
                peer: *peer,
                instance: agreed.instance,
            })),
            Event::Offline { id, reason, .. } => Some(Self::Offline { id: *id, reason: *reason }),
            Event::Paused { pause, .. } => Some(Self::Paused(pause.gap)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use heartwire::server::Event;
    use heartwire_core::{Instant, Pause};

    use super::*;

    #[test]
    fn news_are_ends_and_pauses_and_no_client_without_a_name() {
        let id: SessionId = "0-1-2".parse().unwrap();
        let peer = "192.0.2.1:1".parse().unwrap();
        let paused = Pause::new(Instant::from_nanos(0), Duration::from_secs(3));
        for (event, news) in [
            (Event::Online { id, peer, agreed: None }, None),
            (Event::Data { id, data: "hello" }, None),
            (Event::Ended { id }, None),
            (Event::Paused { shard: 1, pause: paused }, Some(News::Paused(Duration::from_secs(3)))),
            (
                Event::Offline {
                    id,
                    peer,
                    reason: Reason::Reset,
                    beats: 3,
                    lasted: Duration::ZERO,
                    undelivered: heartwire::Undelivered::NOTHING,
                },
                Some(News::Offline { id, reason: Reason::Reset }),
            ),
        ] {
            assert_eq!(News::of(&event), news, "{event:?}");
        }
    }
}
