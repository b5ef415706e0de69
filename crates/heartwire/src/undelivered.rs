//! What a session that can be resumed did not deliver.

use core::fmt;

/// What the application of the other end is not known to have taken over when a session ended that
/// could be [resumed](heartwire_core::resume).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// Messages.
    pub frames: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
    /// These and no others were not taken over: the other end said so, or nothing was on its way.
    /// Otherwise they are the most that it can be.
    pub exact: bool,
}

impl Undelivered {
    /// Everything was taken over.
    pub const NOTHING: Self = Self { frames: 0, bytes: 0, exact: true };
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, bytes, exact } = self;
        let at_most = if *exact { "" } else { "at most " };
        let s = if *frames == 1 { "" } else { "s" };
        write!(f, "{at_most}{frames} message{s} ({bytes} B) not delivered")
    }
}

/// What was written again on another connection of such a session, because the other end had not
/// received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Messages.
    pub frames: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undelivered_says_whether_it_is_exact() {
        assert_eq!(Undelivered::NOTHING.to_string(), "0 messages (0 B) not delivered");
        let some = Undelivered { frames: 1, bytes: 20, exact: false };
        assert_eq!(some.to_string(), "at most 1 message (20 B) not delivered");
    }
}
