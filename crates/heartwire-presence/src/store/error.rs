//! What goes wrong between a node and Redis.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A call that Redis did not do, or whose answer did not arrive: then it may have been done.
///
/// After any of these the connection is to be given up, and another one to be made after a pause:
/// what was sent on it may still arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No connection, or no answer in time.
    #[error("Redis does not answer: {0}")]
    Silent(#[source] RedisError),
    /// This Redis, as it is set up, will not do.
    #[error(transparent)]
    Unsuited(#[from] Unsuited),
    /// Redis refused the call, and says why.
    #[error("Redis refused: {0}")]
    Refused(#[source] RedisError),
    /// What Redis holds, or answered, cannot be read.
    #[error("Heartwire cannot read what Redis holds or answers: {0}")]
    Garbage(String),
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        if error.code() == Some(GARBAGE) {
            return Self::Garbage(error.detail().unwrap_or_default().to_owned());
        }
        let is = |kind| error.kind() == kind;
        // One that is loading reads its file, and will do soon.
        let is_loading = is(ErrorKind::Server(ServerErrorKind::BusyLoading));
        if is(ErrorKind::Parse) || is(ErrorKind::UnexpectedReturnType) {
            Self::Garbage(error.to_string().replace('\n', " "))
        } else if is(ErrorKind::AuthenticationFailed) || error.code().is_some() && !is_loading {
            Self::Refused(error)
        } else {
            Self::Silent(error)
        }
    }
}

impl From<redis::ParsingError> for StoreError {
    fn from(error: redis::ParsingError) -> Self {
        Self::Garbage(error.to_string())
    }
}

/// The code of errors that scripts raise over what they read.
const GARBAGE: &str = "GARBAGE";

/// Why a Redis will not do. Each says what an operator can do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unsuited {
    /// Too old.
    #[error("Redis is {0}: presence needs 6.2 or later, or Valkey")]
    Old(String),
    /// A copy that must not be written.
    #[error("this Redis is a replica, which must not be written: give the address of its primary")]
    Replica,
    /// A cluster: its scripts reach one slot only, and its clients must follow its nodes.
    #[error(
        "this Redis runs as a cluster: presence needs one of its own, with or without replicas"
    )]
    Cluster,
    /// It would forget what it was told.
    #[error(
        "this Redis may evict the keys of presence when its memory is full (maxmemory-policy \
         {0}): run CONFIG SET maxmemory-policy noeviction, and write it into its configuration"
    )]
    Evicts(String),
}
