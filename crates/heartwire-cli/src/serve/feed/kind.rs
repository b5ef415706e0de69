//! The kinds of events that the queue treats differently.

use core::mem;

use heartwire::server::Event;

use crate::serve::args::EventKind;

/// The number of a session; `None` for the server itself.
pub(super) type Source = Option<u64>;

/// Kinds of events that the queue treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Online,
    Data,
    Promise,
    Health,
    Verdict,
    Ended,
    Away,
    Back,
    Offline,
    /// Of the server itself.
    Server(mem::Discriminant<Event<Vec<u8>>>),
}

/// The session of an event, and its kind.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not of a session is of the server")]
pub(super) fn sort(event: &Event<&[u8]>) -> (Source, Kind) {
    let (id, kind) = match *event {
        Event::Online { id, .. } => (id, Kind::Online),
        Event::Data { id, .. } => (id, Kind::Data),
        Event::Promise { id, .. } => (id, Kind::Promise),
        Event::Health { id, .. } => (id, Kind::Health),
        Event::Verdict { id, .. } => (id, Kind::Verdict),
        Event::Ended { id } => (id, Kind::Ended),
        Event::Away { id, .. } => (id, Kind::Away),
        Event::Back { id, .. } => (id, Kind::Back),
        Event::Offline { id, .. } => (id, Kind::Offline),
        ref other => {
            // Owned, because a discriminant depends on the lifetime.
            return (None, Kind::Server(mem::discriminant(&other.to_owned())));
        }
    };
    (Some(id.as_u64()), kind)
}

/// The number of the session that an event is about.
pub(in crate::serve) fn session(event: &Event<&[u8]>) -> Source {
    sort(event).0
}

/// The kind of an event that `--events` can leave out.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known is not left out")]
pub(in crate::serve) const fn kind<D>(event: &Event<D>) -> Option<EventKind> {
    match event {
        Event::Online { .. }
        | Event::Promise { .. }
        | Event::Health { .. }
        | Event::Ended { .. } => Some(EventKind::Online),
        Event::Data { .. } => Some(EventKind::Data),
        Event::Verdict { .. } => Some(EventKind::Verdict),
        Event::Away { .. } | Event::Back { .. } => Some(EventKind::Away),
        Event::Offline { .. } => Some(EventKind::Offline),
        _ => None,
    }
}
