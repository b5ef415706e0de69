//! All names, a portion at a time.

use std::collections::HashSet;

use redis::{Cmd, cmd};

use super::{Directory, Link, RedisError, key, record};
use crate::Entry;

/// Names in a portion, more or less. Redis does nothing else while it puts one together: about a
/// millisecond or two.
const PORTION: u32 = 1_000;

/// All names that are online, in portions. See [`Directory::list`].
#[derive(Debug)]
pub struct Names<'a> {
    directory: &'a mut Directory,
    /// What the next portion begins with; `None` at the end.
    cursor: Option<u64>,
    /// Redis tells a name twice if it arranges its table anew meanwhile.
    told: HashSet<Box<str>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(directory: &'a mut Directory) -> Self {
        Self { directory, cursor: Some(0), told: HashSet::new() }
    }

    /// The next portion, which can be empty; `None` after the last one. After an error it can be
    /// called again.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn portion(&mut self) -> Result<Option<Vec<Entry>>, RedisError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut portion = Portion::read(self.directory.link().await?, cursor).await?;
        portion.entries.retain(|entry| self.told.insert(entry.name.clone()));
        self.cursor = portion.cursor;
        Ok(Some(portion.entries))
    }
}

/// A portion of all names.
#[derive(Debug)]
pub(crate) struct Portion {
    pub(crate) entries: Vec<Entry>,
    pub(crate) cursor: Option<u64>,
}

impl Portion {
    pub(crate) async fn read(link: &mut Link, cursor: u64) -> Result<Self, RedisError> {
        type Record = (Vec<u8>, Vec<u8>);
        let (cursor, records): (u64, Vec<Record>) = link.ask(&scan(cursor)).await?;
        let entries = records.iter().filter_map(|(name, record)| record::entry(name, record));
        Ok(Self { entries: entries.collect(), cursor: Some(cursor).filter(|&cursor| cursor != 0) })
    }
}

fn scan(cursor: u64) -> Cmd {
    let mut scan = cmd("HSCAN");
    scan.arg(key::PRESENCE).arg(cursor).arg("COUNT").arg(PORTION);
    scan
}
