//! What is delivered: changes, in batches.

use core::hash::{Hash as _, Hasher as _};
use std::borrow::Cow;
use std::hash::DefaultHasher;

use bytes::Bytes;
use heartwire_core::Instant;
use serde::Deserialize;

use crate::Change;
use crate::store::StreamId;

/// Where a change is in its source: the id of an entry of the stream, or its number and 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64, pub(super) u64);

impl From<StreamId> for Place {
    fn from(id: StreamId) -> Self {
        Self(id.ms, id.sequence)
    }
}

impl From<Place> for StreamId {
    fn from(Place(ms, sequence): Place) -> Self {
        Self { ms, sequence }
    }
}

/// A change or an incident, to be delivered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) lane: LaneId,
    /// When it was noticed.
    pub(super) since: Instant,
    /// A JSON object.
    pub(super) json: Box<str>,
}

/// How many lanes the names are spread over: a slow or failing delivery holds up an eighth of the
/// names, and the receiver has at most this many under way, and one of incidents.
const NAME_LANES: usize = 8;

/// One lane more: an incident says why changes are late, so it does not wait behind them.
pub(super) const LANES: usize = NAME_LANES + 1;

/// What is delivered in order, one batch after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId(pub(super) usize);

impl LaneId {
    /// That of incidents.
    pub(super) const INCIDENTS: Self = Self(NAME_LANES);

    /// That of a name.
    pub(super) fn of_name(name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let lanes = u64::try_from(NAME_LANES).unwrap_or(1);
        Self(usize::try_from(hasher.finish() % lanes).unwrap_or(0))
    }
}

impl Item {
    /// A change that was noticed at `since`.
    pub(super) fn of_change(place: Place, since: Instant, change: &Change) -> Option<Self> {
        let json = serde_json::to_string(change).ok()?.into();
        Some(Self { place, lane: LaneId::of_name(&change.entry.name), since, json })
    }

    /// An entry of the stream: a change, or something about an incident, whose `rest` is a JSON
    /// object without the number and the kind. `None` if it is something else.
    pub(super) fn of_entry(
        place: Place,
        since: Instant,
        number: u64,
        kind: &str,
        rest: &str,
    ) -> Option<Self> {
        #[derive(Deserialize)]
        struct Detail<'a> {
            #[serde(borrow, default)]
            name: Option<Cow<'a, str>>,
        }

        let is_word = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let detail: Detail<'_> = serde_json::from_str(rest).ok()?;
        let inner = rest.trim().strip_prefix('{')?;
        if !kind.bytes().all(is_word) {
            return None;
        }
        let comma = if inner.trim_start().starts_with('}') { "" } else { "," };
        let json = format!(r#"{{"number":{number},"kind":"{kind}"{comma}{inner}"#).into();
        let lane = detail.name.map_or(LaneId::INCIDENTS, |name| LaneId::of_name(&name));
        Some(Self { place, lane, since, json })
    }
}

/// How many changes a delivery has at most.
pub(super) const MAX_BATCH: usize = 100;

/// How many bytes a delivery has at most, unless a single change has more.
pub(super) const MAX_BATCH_LEN: usize = 256 * 1024;

const START: &str = r#"{"changes":["#;
const END: &str = "]}";

/// Changes that are delivered together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Batch {
    /// Differs for every batch, and stays when it is tried again. A receiver may drop a whole batch
    /// whose id it has seen, so it must never be that of a batch with other changes.
    pub(super) id: Box<str>,
    pub(super) items: Vec<Item>,
}

impl Batch {
    pub(super) const EMPTY_LEN: usize = START.len() + END.len();

    /// How many bytes a change adds to a batch, with its comma.
    pub(super) fn len_of(item: &Item) -> usize {
        item.json.len() + 1
    }

    /// What is delivered.
    pub(super) fn body(&self) -> Bytes {
        let len: usize = self.items.iter().map(Self::len_of).sum();
        let mut body = String::with_capacity(Self::EMPTY_LEN + len);
        body.push_str(START);
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&item.json);
        }
        body.push_str(END);
        Bytes::from(body)
    }
}
