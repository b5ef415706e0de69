//! Authentication by tokens, from the operator's file.

use core::fmt;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str;
use std::sync::{Arc, PoisonError, RwLock};

use heartwire_core::v1::{MAX_NAME_LEN, MAX_TOKEN_LEN};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::names::{NameError, valid_name};

/// Minimum length of a token, in bytes: 16 random base64 characters are 96 bits, which cannot be
/// guessed over a network.
const MIN_TOKEN_LEN: usize = 16;

/// Maximum number of tokens in one file: the default maximum of sessions.
const MAX_TOKENS: usize = 100_000;

/// Maximum length of a token file, in bytes: [`MAX_TOKENS`] of the longest lines. An endless file,
/// such as a device, must not fill the memory.
const MAX_FILE_LEN: usize = MAX_TOKENS * (MAX_NAME_LEN + MAX_TOKEN_LEN + 4);

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
/// Each line has one token, with or without a name before it. Empty lines and lines that begin with
/// `#` are comments. A token is 16 to 256 printable ASCII characters without spaces; for names see
/// [`valid_name`]. Everything between the quotation marks is the name, further quotation marks and
/// backslashes included.
///
/// A name with its own tokens needs one of them: the tokens for all clients are not valid for it,
/// so that no other client can use a name in the file.
///
/// Clones share the tokens: keep one, and [`reload`](Self::reload) it while the server runs.
///
/// Only digests of the tokens are kept. No text ever contains a token, or what may be one.
#[derive(Clone)]
pub struct Tokens(Arc<RwLock<Arc<List>>>);

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
        Self(Arc::new(RwLock::new(Arc::new(list))))
    }

    /// Replaces the tokens by those of a file, as [`from_file`](Self::from_file) reads them.
    /// Sessions that used the old ones stay.
    ///
    /// # Errors
    ///
    /// [`TokensError`]; the current tokens stay in use.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<(), TokensError> {
        self.set(Arc::new(List::from_file(path.as_ref())?));
        Ok(())
    }

    /// Replaces the tokens by what `tokens` are now. Sessions that used the old ones stay.
    pub fn replace(&self, tokens: &Self) {
        self.set(tokens.now());
    }

    /// Whether every token is for one name. If not, a client with a token for all can take over any
    /// name that has no token of its own.
    #[must_use]
    pub fn are_all_for_one_name(&self) -> bool {
        self.now().for_all.is_empty()
    }

    /// The number of tokens.
    #[must_use]
    pub fn count(&self) -> usize {
        self.now().count
    }

    /// Authenticates a client with this name and token.
    ///
    /// Takes constant time, however many tokens there are. Digests are looked up by hashes with a
    /// random key and compared as a whole, so the time reveals nothing about a token. All denials
    /// are the same.
    pub(in crate::server) fn check(
        &self,
        name: Option<&str>,
        token: Option<&[u8]>,
    ) -> Result<Principal, Denied> {
        self.now().check(name, token)
    }

    fn now(&self) -> Arc<List> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, list: Arc<List>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = list;
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.now();
        f.debug_struct("Tokens")
            .field("for_all", &list.for_all.len())
            .field("for_one", &list.for_one.len())
            .finish()
    }
}

/// What [`Tokens`] are at one time.
#[derive(Default)]
struct List {
    for_all: HashSet<Digest>,
    /// By the digests of names.
    for_one: HashMap<Digest, Vec<Digest>>,
    count: usize,
}

impl List {
    fn from_file(path: &Path) -> Result<Self, TokensError> {
        let bytes = read(path)
            .map_err(|error| TokensError::Unreadable { path: path.to_path_buf(), error })?;
        if bytes.len() > MAX_FILE_LEN {
            return Err(TokensError::TooMany);
        }
        match str::from_utf8(&bytes) {
            Ok(text) => {
                let list = Self::parse(text)?;
                if is_world_readable(path).unwrap_or(false) {
                    let path = path.display();
                    tracing::warn!(%path, "every user of this machine can read the tokens");
                }
                Ok(list)
            }
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
                Err(LineFault::NotText.at(line))
            }
        }
    }

    fn parse(text: &str) -> Result<Self, TokensError> {
        let mut list = Self::default();
        for (line, number) in text.lines().zip(1..) {
            list.parse_line(line).map_err(|fault| fault.at(number))?;
            if list.count > MAX_TOKENS {
                return Err(TokensError::TooMany);
            }
        }
        // An empty file is more likely being written than meant to lock all clients out.
        if list.count == 0 { Err(TokensError::Empty) } else { Ok(list) }
    }

    fn parse_line(&mut self, line: &str) -> Result<(), LineFault> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        // Tokens contain no white space, so the last word is the token, whatever the name is.
        match line.rsplit_once(|c: char| c.is_ascii_whitespace()) {
            None => {
                self.for_all.insert(Digest::of_token(valid_token(line)?));
            }
            Some((name, token)) => {
                let name = unquoted(name.trim_ascii_end())?;
                valid_name(name).map_err(LineFault::Name)?;
                let token = Digest::of_token(valid_token(token)?);
                self.for_one.entry(Digest::of_name(name)).or_default().push(token);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// See [`Tokens::check`].
    fn check(&self, name: Option<&str>, token: Option<&[u8]>) -> Result<Principal, Denied> {
        // No listed name or token is empty.
        let name = Digest::of_name(name.unwrap_or_default());
        let token = Digest::of_token(token.unwrap_or_default());
        match self.for_one.get(&name) {
            Some(tokens) if tokens.contains(&token) => Ok(Principal(name.0)),
            None if self.for_all.contains(&token) => Ok(Principal(token.0)),
            Some(_) | None => Err(Denied),
        }
    }
}

/// Reads a file into memory that is wiped when dropped, because it contains tokens.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // With room for all, and one byte to detect the end, the buffer is never moved, which would
    // leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.min(MAX_FILE_LEN) + 1));
    // One more than allowed, to detect a file that is too long.
    let most = u64::try_from(MAX_FILE_LEN + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name in a line. Without quotation marks it is one word: otherwise a comment after a token
/// would turn the token into a name, and the comment's last word into the token.
fn unquoted(name: &str) -> Result<&str, LineFault> {
    if let Some(name) = name.strip_prefix('"') {
        return name.strip_suffix('"').ok_or(LineFault::TooManyWords);
    }
    if name.contains(|c: char| c.is_ascii_whitespace()) {
        return Err(LineFault::TooManyWords);
    }
    Ok(name)
}

fn valid_token(token: &str) -> Result<&[u8], LineFault> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(LineFault::TokenCharacter);
    }
    match token.len() {
        ..MIN_TOKEN_LEN => Err(LineFault::TokenTooShort),
        MIN_TOKEN_LEN..=MAX_TOKEN_LEN => Ok(token.as_bytes()),
        _ => Err(LineFault::TokenTooLong),
    }
}

/// Whether all users of this machine may read a file, so that it holds no secret. Always false on
/// systems without Unix permissions.
pub(crate) fn is_world_readable(path: &Path) -> io::Result<bool> {
    let metadata = path.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Ok(metadata.permissions().mode() & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(false)
    }
}

/// The first half of the SHA-256 of a name or a token. All have the same length, so comparing them
/// reveals nothing about the original.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Digest(u128);

impl Digest {
    fn of_name(name: &str) -> Self {
        Self::of(b"name ", name.as_bytes())
    }

    fn of_token(token: &[u8]) -> Self {
        Self::of(b"token", token)
    }

    /// A name and a token never have the same digest.
    fn of(kind: &[u8; 5], bytes: &[u8]) -> Self {
        let sha256 = Sha256::new().chain_update(kind).chain_update(bytes).finalize();
        Self(sha256.first_chunk().map_or(0, |&half| u128::from_be_bytes(half)))
    }
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

/// What is wrong with a line of a token file.
#[derive(Debug, thiserror::Error)]
enum LineFault {
    #[error("it is not text")]
    NotText,
    #[error(
        "expected TOKEN, or NAME TOKEN, and nothing after it; a name with spaces stands in \
         quotation marks, and a comment on a line of its own"
    )]
    TooManyWords,
    #[error("the name before the token is invalid: {0}")]
    Name(NameError),
    #[error("the token is too short: use at least {MIN_TOKEN_LEN} characters, random ones")]
    TokenTooShort,
    #[error("the token is too long: use at most {MAX_TOKEN_LEN} characters")]
    TokenTooLong,
    #[error("the token has a character that is not printable ASCII")]
    TokenCharacter,
}

impl LineFault {
    fn at(&self, line: usize) -> TokensError {
        TokensError::Line { line, reason: self.to_string().into() }
    }
}

#[cfg(test)]
mod tests;
