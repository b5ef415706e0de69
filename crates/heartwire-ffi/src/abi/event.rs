//! What came from the server, and how a connection ended.

use core::ffi::c_char;
use core::time::Duration;

use heartwire_core::v1::{self, RetryHint};

use crate::client::floor_ms;

/// What an event is.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
/// cbindgen:rename-all=prefix:HW_EVENT_
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// There is none.
    NONE = 0,
    /// v1: the server has accepted this client. See `of.welcome`.
    WELCOME = 1,
    /// The server's beat.
    BEAT = 2,
    /// v1: the server's beat, which promises the next one within another time than before. See
    /// `of.promise_ms`.
    PROMISE = 3,
    /// A whole message; on `HW_PROTOCOL_RAW` the bytes that came. See `of.data`.
    DATA = 4,
    /// The server sends no more messages, in a session that can be resumed.
    END = 5,
    /// The server has ended the connection, and said why. See `of.bye`.
    BYE = 6,
    /// The server is dead: the verdict. See `of.dead`. Reset the connection (SO_LINGER of 0), so
    /// that a server that lives after all learns of it.
    DEAD = 7,
    /// The server broke the protocol, or took too long for a frame. See `of.broken`.
    BROKEN = 8,
    /// The connection has ended otherwise: `hw_client_disconnected` was called.
    CLOSED = 9,
}

/// What was agreed for one direction, in milliseconds.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Direction {
    /// A beat is sent this often; 0: none.
    pub interval_ms: u32,
    /// The silence after which the sender is dead; 0: the receiver gives no verdict.
    pub timeout_ms: u32,
    /// A promise of the sender can stretch that timeout to this.
    pub max_timeout_ms: u32,
}

/// The server has accepted this client.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Welcome {
    /// The server's number of this session.
    pub session: u64,
    /// Grows with each session under this name; 0 without a name.
    pub epoch: u64,
    /// From this client to the server.
    pub to_server: Direction,
    /// From the server to this client.
    pub to_client: Direction,
    /// The server reads at once what is at least so long. Shorter messages are filled up.
    pub wake_bytes: u32,
    /// The longest message that the server takes, in bytes.
    pub max_frame: u32,
    /// This client's verdict comes so long after the last byte at the earliest; 0: never.
    pub earliest_ms: u32,
    /// And at the latest, if `hw_client_poll` is called in time.
    pub latest_ms: u32,
    /// The session that was before goes on: no message of the server was lost.
    pub resumed: bool,
    /// The session that was before has ended: messages of the server may be lost.
    pub lost: bool,
}

/// Bytes that lie elsewhere.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// Where they begin. They stay until the next call of `hw_client_event` or `hw_client_feed`.
    pub ptr: *const u8,
    /// How many there are, perhaps none.
    pub len: usize,
}

/// Whether and when the server wants this client back. `hw_client_retry_ms` keeps to it.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: it would be refused again.
    Never = 0,
    /// When the client's own wait is over.
    AtWill = 1,
    /// Within a time, see `earliest_ms` and `latest_ms`.
    Within = 2,
}

/// The server has ended the connection.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bye {
    /// Why: a number of the protocol. `hw_bye_text` has its name.
    pub code: u32,
    /// Whether it wants this client back.
    pub retry: Retry,
    /// With `HW_RETRY_WITHIN`: the shortest wait.
    pub earliest_ms: u32,
    /// With `HW_RETRY_WITHIN`: the longest wait.
    pub latest_ms: u32,
    /// For people, UTF-8, not ended by a zero. It stays until the next call of `hw_client_event` or
    /// `hw_client_feed`.
    pub detail: *const c_char,
    /// Bytes of `detail`, perhaps none.
    pub detail_len: usize,
}

/// What showed that the server is dead.
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing came from it for the timeout.
    Silence = 0,
    /// v1: its beats say that it has not heard this client for so long that the path to it must be
    /// cut. The times count from when it last did.
    Unheard = 1,
}

/// The server is dead. `silence_ms - paused_ms` lies between `earliest_ms` and `latest_ms`.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// What showed it.
    pub cause: Cause,
    /// How long nothing had come, rounded down.
    pub silence_ms: u32,
    /// When the verdict had to come at the earliest, from the last byte on.
    pub earliest_ms: u32,
    /// And at the latest.
    pub latest_ms: u32,
    /// How much of the silence does not count, because this device was paused.
    pub paused_ms: u32,
    /// How long after its deadline the verdict came.
    pub late_ms: u32,
}

/// How the server broke the protocol. The numbers do not change between versions.
#[expect(non_camel_case_types, missing_docs, reason = "the names in C, which say it")]
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
/// cbindgen:rename-all=prefix:HW_VIOLATION_
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationCode {
    OTHER = 0,
    NEGATIVE_LENGTH = 1,
    TOO_LONG = 2,
    UNKNOWN_TYPE = 3,
    BEAT_WITH_BODY = 4,
    NO_FIRST_FRAME = 5,
    SLOW_FRAME = 6,
    UNEXPECTED = 7,
    BEAT_LENGTH = 8,
    BAD_WELCOME = 9,
    BAD_BYE = 10,
    UNKNOWN_NONCE = 11,
    PROMISE_TOO_LONG = 12,
    TOO_FAST = 13,
    BAD_POSITION = 14,
    WINDOW = 15,
    BAD_ACK = 16,
}

/// A number that stands for a [`ViolationCode`].
pub type ViolationNumber = u32;

/// The server broke the protocol.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Violation {
    /// How. `hw_violation_text` has its name.
    pub code: ViolationCode,
}

/// What an event carries: the part that belongs to its kind.
#[repr(C)]
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "which part is set is known only to its event")]
pub union EventOf {
    /// `HW_EVENT_WELCOME`.
    pub welcome: Welcome,
    /// `HW_EVENT_PROMISE`: the server's next beat comes within this.
    pub promise_ms: u32,
    /// `HW_EVENT_DATA`.
    pub data: Bytes,
    /// `HW_EVENT_BYE`.
    pub bye: Bye,
    /// `HW_EVENT_DEAD`.
    pub dead: Verdict,
    /// `HW_EVENT_BROKEN`.
    pub broken: Violation,
}

/// An event.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "`of` has none")]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// What it carries.
    pub of: EventOf,
}

impl Event {
    const fn new(kind: EventKind, of: EventOf) -> Self {
        Self { kind, of }
    }

    const fn plain(kind: EventKind) -> Self {
        Self::new(kind, EventOf { promise_ms: 0 })
    }

    pub(crate) const fn none() -> Self {
        Self::plain(EventKind::NONE)
    }

    pub(crate) const fn beat() -> Self {
        Self::plain(EventKind::BEAT)
    }

    pub(crate) const fn end() -> Self {
        Self::plain(EventKind::END)
    }

    pub(crate) const fn closed() -> Self {
        Self::plain(EventKind::CLOSED)
    }

    pub(crate) fn promise(promise: Duration) -> Self {
        Self::new(EventKind::PROMISE, EventOf { promise_ms: floor_ms(promise) })
    }

    pub(crate) const fn data(body: &[u8]) -> Self {
        let data = Bytes { ptr: body.as_ptr(), len: body.len() };
        Self::new(EventKind::DATA, EventOf { data })
    }

    pub(crate) const fn dead(dead: Verdict) -> Self {
        Self::new(EventKind::DEAD, EventOf { dead })
    }

    pub(crate) const fn broken(code: ViolationCode) -> Self {
        Self::new(EventKind::BROKEN, EventOf { broken: Violation { code } })
    }

    pub(crate) fn bye(bye: &v1::Bye<'_>) -> Self {
        let (retry, earliest, latest) = match bye.retry {
            RetryHint::Never => (Retry::Never, Duration::ZERO, Duration::ZERO),
            RetryHint::AtWill => (Retry::AtWill, Duration::ZERO, Duration::ZERO),
            RetryHint::Within { earliest, latest } => (Retry::Within, earliest, latest),
        };
        let bye = Bye {
            code: bye.code.number(),
            retry,
            earliest_ms: floor_ms(earliest),
            latest_ms: floor_ms(latest),
            detail: bye.detail.as_ptr().cast(),
            detail_len: bye.detail.len(),
        };
        Self::new(EventKind::BYE, EventOf { bye })
    }

    pub(crate) const fn welcome(welcome: Welcome) -> Self {
        Self::new(EventKind::WELCOME, EventOf { welcome })
    }
}

impl Direction {
    pub(crate) fn of(direction: &v1::Direction) -> Self {
        Self {
            interval_ms: direction.interval().map_or(0, floor_ms),
            timeout_ms: direction.timeout().map_or(0, floor_ms),
            max_timeout_ms: floor_ms(direction.max_timeout()),
        }
    }
}
