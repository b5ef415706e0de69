//! The ids of entries in streams of Redis.

use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;

/// The id of an entry in a stream: later ones have higher ids, also after Redis was emptied, or its
/// clock stepped back a little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    /// Milliseconds since 1970 by the clock of Redis.
    pub(crate) ms: u64,
    /// Counts the entries of a millisecond.
    pub(crate) sequence: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

impl FromStr for StreamId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (ms, sequence) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self { ms: ms.parse()?, sequence: sequence.parse()? })
    }
}
