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
pub const MIN_TOKEN_LEN: usize = 16;

/// Maximum number of tokens in one file: the default maximum of sessions.
pub const MAX_TOKENS: usize = 100_000;

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
/// Only digests of the tokens are kept. No text ever contains a token, or what may be one.
#[derive(Clone)]
pub struct Tokens {
    for_all: HashSet<Digest>,
    /// By the digests of names.
    for_one: HashMap<Digest, Vec<Digest>>,
    count: usize,
}

impl Tokens {
    /// Reads the tokens from a file. Logs a warning if every user of this machine can read it.
    ///
    /// # Errors
    ///
    /// [`TokensError`], which names the file or the line. Keep using the tokens that you have.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokensError> {
        let path = path.as_ref();
        let bytes = read(path)
            .map_err(|error| TokensError::Unreadable { path: path.to_path_buf(), error })?;
        if bytes.len() > MAX_FILE_LEN {
            return Err(TokensError::TooMany);
        }
        match str::from_utf8(&bytes) {
            Ok(text) => {
                let tokens = Self::parse(text)?;
                if Self::is_world_readable(path).unwrap_or(false) {
                    let path = path.display();
                    tracing::warn!(%path, "every user of this machine can read the tokens");
                }
                Ok(tokens)
            }
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
                Err(TokensError::Line { line, fault: LineFault::NotText })
            }
        }
    }

    /// Parses the text of a token file.
    ///
    /// # Errors
    ///
    /// [`TokensError`] for the first invalid line; no error contains a token.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::none();
        for (line, number) in text.lines().zip(1..) {
            tokens.parse_line(line).map_err(|fault| TokensError::Line { line: number, fault })?;
            if tokens.count() > MAX_TOKENS {
                return Err(TokensError::TooMany);
            }
        }
        // An empty file is more likely being written than meant to lock all clients out.
        if tokens.count() == 0 { Err(TokensError::Empty) } else { Ok(tokens) }
    }

    fn none() -> Self {
        Self { for_all: HashSet::new(), for_one: HashMap::new(), count: 0 }
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

    /// Authenticates a client with this name and token.
    ///
    /// Takes constant time, however many tokens there are. Digests are looked up by hashes with a
    /// random key and compared as a whole, so the time reveals nothing about a token. All denials
    /// are the same.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(&self, name: Option<&str>, token: Option<&[u8]>) -> Result<Principal, Denied> {
        // No listed name or token is empty.
        let name = Digest::of_name(name.unwrap_or_default());
        let token = Digest::of_token(token.unwrap_or_default());
        match self.for_one.get(&name) {
            Some(tokens) if tokens.contains(&token) => Ok(Principal(name.0)),
            None if self.for_all.contains(&token) => Ok(Principal(token.0)),
            Some(_) | None => Err(Denied),
        }
    }

    /// Whether every token is for one name. If not, a client with a token for all can take over any
    /// name that has no token of its own.
    #[must_use]
    pub fn are_all_for_one_name(&self) -> bool {
        self.for_all.is_empty()
    }

    /// The number of tokens.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether all users of this machine may read the file, so that its tokens are not secret:
    /// [`from_file`](Self::from_file) and [`SharedTokens::reload`] log a warning then. Always false
    /// on systems without Unix permissions.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn is_world_readable(path: impl AsRef<Path>) -> io::Result<bool> {
        let metadata = path.as_ref().metadata()?;
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

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("for_all", &self.for_all.len())
            .field("for_one", &self.for_one.len())
            .finish()
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
pub struct Principal(u128);

impl Principal {
    /// Every client, on a server without tokens.
    pub const ANYBODY: Self = Self(0);
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
#[non_exhaustive]
pub struct Denied;

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
    #[error("line {line} of the tokens: {fault}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// The file has only comments, or nothing.
    #[error("the file has no token, so no client could connect; add one, or use no file")]
    Empty,
    /// There are more than [`MAX_TOKENS`].
    #[error("there are more than {MAX_TOKENS} tokens, or this is not a token file")]
    TooMany,
}

/// What is wrong with a line of a token file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText,
    /// It has more than two words, or a name's quotation mark is missing.
    #[error(
        "expected TOKEN, or NAME TOKEN, and nothing after it; a name with spaces stands in \
         quotation marks, and a comment on a line of its own"
    )]
    TooManyWords,
    /// The name is invalid.
    #[error("the name before the token is invalid: {0}")]
    Name(NameError),
    /// The token is too short to be a secret.
    #[error("the token is too short: use at least {MIN_TOKEN_LEN} characters, random ones")]
    TokenTooShort,
    /// The token is too long.
    #[error("the token is too long: use at most {MAX_TOKEN_LEN} characters")]
    TokenTooLong,
    /// The token has a character that is not printable ASCII.
    #[error("the token has a character that is not printable ASCII")]
    TokenCharacter,
}

/// Tokens that can be replaced while a server runs. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedTokens(Arc<RwLock<Arc<Tokens>>>);

impl SharedTokens {
    /// Starts with `tokens`.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tokens))))
    }

    /// The current tokens.
    #[must_use]
    pub fn get(&self) -> Arc<Tokens> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the tokens. Sessions that used the old ones stay.
    pub fn replace(&self, tokens: Tokens) {
        let tokens = Arc::new(tokens);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// Reads the tokens from a file and replaces the current ones. Sessions that used the old ones
    /// stay. Logs a warning if every user of this machine can read the file.
    ///
    /// # Errors
    ///
    /// [`TokensError`]; the current tokens stay in use.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<(), TokensError> {
        self.replace(Tokens::from_file(path)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
