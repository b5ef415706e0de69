//! Why Redis gave no good answer.

use core::fmt;

use crate::store::{Address, NotAnAddress, StoreError};

/// A call of Redis without a good answer. Its text says where and why, and never has the password
/// of the URL in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisError {
    text: String,
    is_retryable: bool,
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for RedisError {}

impl RedisError {
    pub(super) fn new(address: &Address, error: &StoreError) -> Self {
        let is_retryable = !matches!(error, StoreError::Unsuited(_));
        Self { text: format!("{address}: {error}"), is_retryable }
    }

    /// Whether the same call can succeed later: not with a URL that is none, or a Redis that will
    /// not do.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}

impl From<NotAnAddress> for RedisError {
    fn from(error: NotAnAddress) -> Self {
        Self { text: error.to_string(), is_retryable: false }
    }
}
