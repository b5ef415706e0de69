//! What a call answers.

/// What a call answers. Where it is not `HW_OK`, the call has changed nothing of the client.
#[expect(non_camel_case_types, reason = "the names in C")]
#[expect(clippy::exhaustive_enums, reason = "C knows each number")]
/// cbindgen:rename-all=prefix:HW_
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    OK = 0,
    /// A pointer is null where it may not be, or a value is out of range.
    ERR_ARGUMENT = -1,
    /// The client's memory, `rx` or `tx` is too small or not aligned.
    ERR_SIZE = -2,
    /// Not possible now: not initialised, not connected, not welcomed yet, or ended.
    ERR_STATE = -3,
    /// `tx` is full: write, then try again.
    ERR_ROOM = -4,
    /// Longer than the server, or `tx`, ever takes.
    ERR_TOO_LONG = -5,
    /// This protocol does not have it.
    ERR_PROTOCOL = -6,
}

/// A number that stands for a [`Status`].
pub type StatusNumber = i32;
