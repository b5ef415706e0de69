//! HELLO, WELCOME and BYE: frames whose bodies are CBOR maps with small integer keys.
//!
//! Unknown keys are skipped, so that later versions can add some. Anything else that is not as
//! specified is refused: a repeated key, bytes after the map, a text too long, a duration of zero,
//! anything of indefinite length.

mod bye;
mod cbor;
mod hello;
mod last;
mod map;
mod resume;
mod welcome;

pub use bye::{Bye, ByeCode, MAX_BYE_LEN, MAX_DETAIL_LEN, RetryHint};
pub(super) use cbor::Writer;
pub use hello::{Hello, MAX_AGENT_LEN, MAX_HELLO_LEN, MAX_NAME_LEN, MAX_TOKEN_LEN};
pub use last::LastConnection;
pub(super) use map::Map;
pub use resume::{ResumeOffer, ResumeTerms, Resumed, Resuming, Secret};
pub use welcome::Welcome;

/// The version of the protocol that this crate speaks besides 0.
const VERSION: u8 = 1;
/// Longest body of a PAD, and so the largest number of bytes that a server can ask to be woken
/// with.
pub const MAX_PAD_LEN: u32 = 64 * 1024;

#[cfg(test)]
mod tests;
