//! What finds a fault.

use core::fmt;

/// What finds a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// The peer's FIN arrives.
    EndOfStream,
    /// A RST arrives: from the peer's kernel, from a middlebox, or because the peer gave a verdict.
    Reset,
    /// This end's timeout: no byte for that long.
    Silence,
    /// The kernel's keepalive probes go unanswered.
    Keepalive,
    /// `TCP_USER_TIMEOUT`: what was sent is not acknowledged, or finds no room, for that long.
    UserTimeout,
    /// The kernel gave up retransmitting (`tcp_retries2`).
    Retransmissions,
    /// This end notices that it was paused itself.
    PauseWatch,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 7] = [
        Self::EndOfStream,
        Self::Reset,
        Self::Silence,
        Self::Keepalive,
        Self::UserTimeout,
        Self::Retransmissions,
        Self::PauseWatch,
    ];

    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndOfStream => "end_of_stream",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user_timeout",
            Self::Retransmissions => "retransmissions",
            Self::PauseWatch => "pause_watch",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::EndOfStream => 1,
            Self::Reset => 1 << 1,
            Self::Silence => 1 << 2,
            Self::Keepalive => 1 << 3,
            Self::UserTimeout => 1 << 4,
            Self::Retransmissions => 1 << 5,
            Self::PauseWatch => 1 << 6,
        }
    }
}

/// Human-readable, a word or two.
impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::EndOfStream => "end of stream",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user timeout",
            Self::Retransmissions => "retransmissions",
            Self::PauseWatch => "pause watch",
        })
    }
}

/// A set of mechanisms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mechanisms(u8);

impl Mechanisms {
    pub(crate) const fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// The mechanisms in the set, in the order of [`Mechanism::ALL`].
    pub(crate) fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |&mechanism| self.contains(mechanism))
    }

    pub(crate) const fn with(self, mechanism: Mechanism) -> Self {
        Self(self.0 | mechanism.bit())
    }
}
