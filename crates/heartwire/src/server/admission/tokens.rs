//! Authentication by tokens, from the operator's file.

mod list;

use core::fmt;
use core::task::Waker;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

#[cfg(any(test, feature = "tls"))]
pub(crate) use self::list::is_world_readable;
use self::list::{List, MAX_TOKENS};
use crate::server::changes::Changes;
use crate::server::grants::{TokenId, Until};

/// The tokens that a server accepts, read from a file such as this:
///
/// ```text
/// # For all clients, with any name that has no token of its own, or without a name.
/// GRZmXBAWuWwFk3TtVYoX
/// # Only for alice, who has two tokens while she changes from one to the other.
/// alice 5Jx2gLq0vD9sPz8nHc7y
/// alice mB4eTn1wRk6uYf3aQi0o
/// # Quote a name that has spaces, or begins with # or a quotation mark.
/// "door 3" tZ7pLw0cVb2mQx8rKd4s
/// ```
///
/// Each line has one token, with or without a name before it, and perhaps `until=` and a time after
/// it (RFC 3339, in UTC), at which the token ends, as in `alice 5Jx2gLq0vD9sPz8nHc7y
/// until=2026-12-31T00:00:00Z`. A token that stands twice is valid as long as either line says.
/// Empty lines and lines that begin with `#` are comments. A token is 16 to 256 printable ASCII
/// characters without spaces; for names see
/// [`valid_name`](crate::server::auth::valid_name). Everything between the quotation marks is the
/// name, further quotation marks and backslashes included.
///
/// A name with its own tokens needs one of them: the tokens for all clients are not valid for it,
/// so that no other client can use a name in the file.
///
/// Clones share the tokens: keep one, and [`reload`](Self::reload) it while the server runs.
/// Sessions whose token is gone or has ended, also those that are away, end with
/// [`Reason::Revoked`](crate::Reason::Revoked) or [`Reason::Expired`](crate::Reason::Expired).
/// Their clients are told to come back at will, which they can with another token.
///
/// Times are those of the system's clock. A token that has ended does not become valid again when
/// the clock is set back, until the file is read again.
///
/// Only digests of the tokens are kept. No text ever contains a token, or what may be one.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    list: RwLock<Arc<List>>,
    /// Held while the list is replaced. The list itself is locked for a moment only, because shards
    /// look at it.
    replacing: Mutex<()>,
    changes: Changes,
}

impl Tokens {
    /// Reads the tokens from a file. Logs a warning if every user of this machine can read it.
    ///
    /// # Errors
    ///
    /// [`TokensError`], which names the file or the line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokensError> {
        List::from_file(path.as_ref()).map(Self::new)
    }

    /// Parses the text of a token file.
    ///
    /// # Errors
    ///
    /// [`TokensError`] for the first invalid line; no error contains a token.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        List::parse(text).map(Self::new)
    }

    fn new(list: List) -> Self {
        let list = RwLock::new(Arc::new(list));
        let (replacing, changes) = (Mutex::new(()), Changes::default());
        Self(Arc::new(Shared { list, replacing, changes }))
    }

    /// Replaces the tokens by those of a file, as [`from_file`](Self::from_file) reads them.
    /// Sessions whose token is not among the new ones end.
    ///
    /// # Errors
    ///
    /// [`TokensError`]; the current tokens stay in use.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<(), TokensError> {
        self.set(&List::from_file(path.as_ref())?);
        Ok(())
    }

    /// Replaces the tokens by what `tokens` are now. Sessions whose token is not among them end.
    pub fn replace(&self, tokens: &Self) {
        self.set(&tokens.now());
    }

    /// Whether every token is for one name. If not, a client with a token for all can take over any
    /// name that has no token of its own.
    #[must_use]
    pub fn are_all_for_one_name(&self) -> bool {
        let [for_all, _] = self.now().counts();
        for_all == 0
    }

    /// The number of tokens.
    #[must_use]
    pub fn count(&self) -> usize {
        self.now().count
    }

    /// Authenticates a client with this name and token, at so many seconds since 1970.
    ///
    /// Takes constant time, however many tokens there are. Digests are looked up by hashes with a
    /// random key and compared as a whole, so the time reveals nothing about a token. All denials
    /// are the same.
    pub(in crate::server) fn check(
        &self,
        name: Option<&str>,
        token: Option<&[u8]>,
        wall: u64,
    ) -> Result<Admitted, Denied> {
        self.now().check(name, token, wall)
    }

    /// Checks a client that was admitted earlier: its token may have been removed, or its name may
    /// have got tokens of its own.
    pub(in crate::server) fn check_again(
        &self,
        token: TokenId,
        name: Option<&str>,
        wall: u64,
    ) -> Result<Until, Ended> {
        let list = self.now();
        let until = list.look_up(token, name).ok_or(Ended::Revoked)?;
        if until.is_over(list.not_before(wall)) { Err(Ended::Expired) } else { Ok(until) }
    }

    /// The changes of the tokens.
    pub(in crate::server) fn changes(&self) -> u64 {
        self.0.changes.count()
    }

    /// Wakes these shards at each change.
    pub(in crate::server) fn watch(&self, shards: &Arc<[Waker]>) {
        self.0.changes.watch(shards);
    }

    fn now(&self) -> Arc<List> {
        Arc::clone(&self.0.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, list: &List) {
        let replacing = self.0.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let list = Arc::new(list.following(&self.now()));
        *self.0.list.write().unwrap_or_else(PoisonError::into_inner) = list;
        drop(replacing);
        self.0.changes.tell();
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [for_all, for_one] = self.now().counts();
        f.debug_struct("Tokens").field("for_all", &for_all).field("for_one", &for_one).finish()
    }
}

/// A client that was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Admitted {
    pub(in crate::server) principal: Principal,
    pub(in crate::server) token: TokenId,
    pub(in crate::server) until: Until,
}

/// Why a token, or a certificate, is not valid any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was removed or revoked, is not for this name any more, or its CA is not trusted any more.
    Revoked,
    /// Its time is over.
    Expired,
}

/// The identity under which a client was authenticated. Two clients are the same principal if they
/// used tokens of the same name, or the same token for all. It stays the same when the tokens are
/// read again.
///
/// It is a digest, and not printed, because it could help to guess a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Principal(u128);

impl Principal {
    /// Every client, on a server without tokens.
    pub(in crate::server) const ANYBODY: Self = Self(0);
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::ANYBODY { "Principal(anybody)" } else { "Principal(..)" })
    }
}

/// A client was denied: it has no token, or none that is valid for its name. The text does not say
/// which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid or missing token for this name")]
pub(in crate::server) struct Denied;

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file could not be read.
    #[error("cannot read the tokens in {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A line is invalid.
    #[error("line {line} of the tokens: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it. It does not repeat the line.
        reason: Box<str>,
    },
    /// The file has only comments, or nothing.
    #[error("the file has no token, so no client could connect; add one, or use no file")]
    Empty,
    /// There are more than 100,000.
    #[error("there are more than {MAX_TOKENS} tokens, or this is not a token file")]
    TooMany,
}

#[cfg(test)]
mod tests;
