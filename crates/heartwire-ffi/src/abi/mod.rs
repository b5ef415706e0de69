//! The boundary to C: what `include/heartwire.h` declares, in its order.
//!
//! # Safety
//!
//! A client that is not null points to `HW_CLIENT_SIZE` bytes, whatever is in them, that nothing
//! else uses meanwhile. A length is that of what its pointer points to. Any other pointer is null,
//! or points to what its type says. What a client was initialised with stays as long as the client
//! is used.
#![expect(clippy::missing_safety_doc, reason = "it is the same for all, and stands above")]
#![expect(unsafe_code, reason = "C passes pointers")]

mod calls;
mod clock;
mod config;
mod event;
mod keepalive;
mod link;
mod memory;
mod status;
mod step;
mod text;

pub use calls::*;
pub use clock::*;
pub use config::*;
pub use event::*;
pub use keepalive::*;
pub use link::*;
pub use memory::*;
pub use status::*;
pub use step::*;
pub use text::*;
