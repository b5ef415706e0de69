//! Who may come in, how many from where, and who holds a name.
//!
//! Three parts that know nothing of sockets, and of each other only what a [`Principal`] is:
//! [`Tokens`] say who may come in, [`addresses::AddressCounts`] how many may from one address, and
//! [`names::Names`] which of the sessions that call themselves the same is the one. Time is an
//! argument.

pub(super) mod addresses;
pub(super) mod denials;
pub(super) mod names;
pub(super) mod tokens;

pub use addresses::{AddressLimits, Rate};
pub use names::{NameError, valid_name};
pub use tokens::{
    Denied, LineFault, MAX_TOKENS, MIN_TOKEN_LEN, Principal, SharedTokens, Tokens, TokensError,
};
