//! Taking a snapshot while names come and go.
//!
//! The end of the stream is noted, all names are read, and then what the stream has had meanwhile
//! is applied to them: up to its new end, which the snapshot is of.

use std::collections::HashMap;

use super::look::Origin;
use super::stream::{entries_after, reading};
use super::{Because, Reading};
use crate::directory::{Link, Portion, RedisError};
use crate::store::StreamId;
use crate::{Change, Entry, Kind};

/// A snapshot that is being taken.
#[derive(Debug)]
pub(super) struct Snapshot {
    because: Because,
    origin: Origin,
    names: Names,
    /// How far the stream is applied.
    at: StreamId,
    part: Part,
}

#[derive(Debug)]
enum Part {
    /// The names are read, from this place in Redis' table.
    Names(u64),
    /// The stream is read up to here, at the least.
    Stream(StreamId),
}

/// What a step came to.
#[derive(Debug)]
pub(super) enum Step {
    More,
    /// Redis changed too much meanwhile.
    Again,
    Done {
        origin: Origin,
        at: StreamId,
        because: Because,
        entries: Vec<Entry>,
    },
}

impl Snapshot {
    pub(super) async fn begin(link: &mut Link, because: Because) -> Result<Self, RedisError> {
        let (origin, ends) = Origin::look(link).await?;
        let (names, at, part) = (Names::default(), ends.last, Part::Names(0));
        Ok(Self { because, origin, names, at, part })
    }

    pub(super) const fn because(&self) -> Because {
        self.because
    }

    pub(super) async fn step(&mut self, link: &mut Link) -> Result<Step, RedisError> {
        match self.part {
            Part::Names(cursor) => {
                let portion = Portion::read(link, cursor).await?;
                self.names.extend(portion.entries);
                self.part = match portion.cursor {
                    Some(cursor) => Part::Names(cursor),
                    None => match self.origin.look_again(link, self.at).await? {
                        Ok(ends) => Part::Stream(ends.last),
                        Err(_) => return Ok(Step::Again),
                    },
                };
                Ok(Step::More)
            }
            Part::Stream(end) => {
                let before = self.at;
                let entries = entries_after(link, before, false).await?;
                if self.origin.look_again(link, before).await?.is_err() {
                    return Ok(Step::Again);
                }
                for entry in &entries {
                    if let Some(Reading::Change(change)) = reading(entry) {
                        self.names.apply(change);
                    }
                    self.at = entry.id.parse().unwrap_or(self.at);
                }
                if self.at < end && !entries.is_empty() {
                    return Ok(Step::More);
                }
                let entries = self.names.take();
                let (origin, at, because) = (self.origin.clone(), self.at, self.because);
                Ok(Step::Done { origin, at, because, entries })
            }
        }
    }
}

/// Names as they were read, at different times, and then changed.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Box<str>, Entry>);

impl Names {
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        // A name that is read twice is newer the second time.
        self.0.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry)));
    }

    /// Applies a change since the beginning, in order. A name may have been read after it: then its
    /// epoch is higher, and the change old.
    pub(super) fn apply(&mut self, change: Change) {
        let Change { kind, entry, .. } = change;
        if self.0.get(&entry.name).is_some_and(|known| known.epoch > entry.epoch) {
            return;
        }
        match kind {
            Kind::Online | Kind::Moved => self.extend([entry]),
            Kind::Offline => drop(self.0.remove(&entry.name)),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Entry> {
        core::mem::take(&mut self.0).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn entry(epoch: u64) -> Entry {
        let (name, session) = ("a".into(), format!("0-{epoch}-1").into());
        let (node, peer) = (NodeId::from_stored("n.00000001"), "192.0.2.7:9".into());
        Entry { name, epoch, node, session, since: 5, peer, instance: None }
    }

    fn change(kind: Kind, epoch: u64) -> Change {
        let (entry, from, reason, incident) = (entry(epoch), None, None, None);
        Change { number: epoch, kind, entry, from, reason, incident }
    }

    /// The epochs that are left of names as they were read, after these changes.
    #[track_caller]
    fn expect(read: Option<u64>, changes: &[(Kind, u64)], left: Option<u64>) {
        let mut names = Names::default();
        names.extend(read.map(entry));
        changes.iter().for_each(|&(kind, epoch)| names.apply(change(kind, epoch)));
        let epochs = names.take().first().map(|entry| entry.epoch);
        assert_eq!(epochs, left, "{read:?} {changes:?}");
    }

    #[test]
    fn change_of_a_name_that_was_read_after_it_is_old() {
        use Kind::{Moved, Offline, Online};
        // Read after all of it, before all of it, and in between.
        expect(Some(9), &[(Online, 5), (Offline, 5), (Online, 9)], Some(9));
        expect(None, &[(Online, 5), (Offline, 5), (Online, 9)], Some(9));
        expect(Some(5), &[(Offline, 5), (Online, 9), (Moved, 11)], Some(11));
        expect(Some(9), &[(Online, 9), (Offline, 9)], None);
        // The session came again on the same node with epoch 7, and nothing was told of that.
        expect(Some(7), &[(Online, 5)], Some(7));
        expect(Some(5), &[(Offline, 7)], None);
        expect(Some(7), &[(Online, 5), (Offline, 7)], None);
        // Offline, the name begins anew, even with a lower epoch.
        expect(Some(9), &[(Offline, 9), (Online, 7)], Some(7));
    }
}
