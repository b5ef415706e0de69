//! Access control: tokens, limits per address, and names.
//!
//! [`Tokens`] authenticate clients, [`addresses::AddressCounts`] limits clients per address, and
//! [`names::Names`] decides which session holds a name. None of them knows sockets, and they share
//! only [`Principal`]. Time is an argument.

pub(super) mod addresses;
pub(super) mod denials;
pub(super) mod names;
pub(super) mod pending;
pub(super) mod tokens;

pub use addresses::Rate;
pub(super) use names::Claimant;
pub use names::{NameError, valid_name};
pub(crate) use tokens::Ended;
pub(super) use tokens::{Admitted, Denied, Principal};
pub use tokens::{Tokens, TokensError};
