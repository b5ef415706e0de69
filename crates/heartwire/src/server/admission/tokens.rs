//! Who may come in: the tokens in the operator's file.

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

/// Shortest token, in bytes: 16 random characters of base 64 are 96 bits, which nobody guesses over
/// a network.
pub const MIN_TOKEN_LEN: usize = 16;

/// Most tokens in one file: as many as a server has sessions by default.
pub const MAX_TOKENS: usize = 100_000;

/// Longest file of tokens, in bytes: as many of the longest lines. A file that goes on forever, a
/// device for example, must not fill the memory.
const MAX_FILE_LEN: usize = MAX_TOKENS * (MAX_NAME_LEN + MAX_TOKEN_LEN + 4);

/// The tokens that a server accepts, read from a file such as this:
///
/// ```text
/// # Whoever has this one comes in, under any name that has no token of its own, or under none.
/// GRZmXBAWuWwFk3TtVYoX
/// # This one is for alice alone, who has two while she changes from one to the other.
/// alice 5Jx2gLq0vD9sPz8nHc7y
/// alice mB4eTn1wRk6uYf3aQi0o
/// # A name with spaces, one that begins with #, and one that begins with a quotation mark are quoted.
/// "door 3" tZ7pLw0cVb2mQx8rKd4s
/// ```
///
/// One token a line, with or without a name before it. Lines that are empty or begin with `#` are
/// comments. A token is 16 to 256 printable ASCII characters without spaces; for names see
/// [`valid_name`]. What stands between the quotation marks of a name is the name as it is, further
/// quotation marks and backslashes included.
///
/// A name that has tokens of its own needs one of them: the tokens for everybody do not do for it,
/// so that nobody can pass for somebody who is in the file.
///
/// Only digests of the tokens are kept. Nothing in here prints a token, or what may be one.
#[derive(Clone)]
pub struct Tokens {
    for_all: HashSet<Digest>,
    /// By the digests of names.
    for_one: HashMap<Digest, Vec<Digest>>,
    count: usize,
}

impl Tokens {
    /// Reads the tokens from a file.
    ///
    /// # Errors
    ///
    /// [`TokensError`], which names the file or the line. There are no tokens then: keep those you
    /// have.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokensError> {
        let path = path.as_ref();
        let bytes = read(path)
            .map_err(|error| TokensError::Unreadable { path: path.to_path_buf(), error })?;
        if bytes.len() > MAX_FILE_LEN {
            return Err(TokensError::TooMany);
        }
        match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count();
                Err(TokensError::Line { line, fault: LineFault::NotText })
            }
        }
    }

    /// Reads the tokens from the text of such a file.
    ///
    /// # Errors
    ///
    /// [`TokensError`] for the first line that cannot be understood; a token is in no error.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::none();
        for (line, number) in text.lines().zip(1..) {
            tokens.parse_line(line).map_err(|fault| TokensError::Line { line: number, fault })?;
            if tokens.count() > MAX_TOKENS {
                return Err(TokensError::TooMany);
            }
        }
        // More likely a file that is just being written than a wish to lock everybody out.
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
        // No token has white space in it, so the last word is the token, whatever the name is.
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

    /// Whether a client that calls itself `name` and brings `token` may come in, and as whom.
    ///
    /// It takes the same short time however many tokens there are. Digests are looked up by hashes with a key
    /// that is drawn when the file is read, and compared as a whole: how long that takes tells nothing of what a
    /// token is made of. What is denied is denied with the same answer.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(&self, name: Option<&str>, token: Option<&[u8]>) -> Result<Principal, Denied> {
        // No name and no token in the lists is empty.
        let name = Digest::of_name(name.unwrap_or_default());
        let token = Digest::of_token(token.unwrap_or_default());
        match self.for_one.get(&name) {
            Some(tokens) if tokens.contains(&token) => Ok(Principal(name.0)),
            None if self.for_all.contains(&token) => Ok(Principal(token.0)),
            Some(_) | None => Err(Denied),
        }
    }

    /// Whether each of them is for one name. If not, a client with a token that is for all can take over a name
    /// that has none of its own.
    #[must_use]
    pub fn are_all_for_one_name(&self) -> bool {
        self.for_all.is_empty()
    }

    /// How many tokens there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether everybody on this machine may read the file; then the tokens in it are no secret,
    /// and somebody should be told. Always false on systems without Unix permissions.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot tell.
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

/// A token may be in it, so what is read is wiped from memory when it is dropped.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // With room for all, and a byte to find the end with, nothing is moved and left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.min(MAX_FILE_LEN) + 1));
    // One more than is allowed, to tell that it is too long.
    let most = u64::try_from(MAX_FILE_LEN + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name as it stands in the file. Without quotation marks it is one word: else a comment behind a
/// token would make that token a name, and its last word the token.
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

/// The first half of the SHA-256 of a name or of a token. All have the same length, so that
/// comparing them says nothing about what they stand for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Digest(u128);

impl Digest {
    fn of_name(name: &str) -> Self {
        Self::of(b"name ", name.as_bytes())
    }

    fn of_token(token: &[u8]) -> Self {
        Self::of(b"token", token)
    }

    /// Names and tokens never have the same one.
    fn of(kind: &[u8; 5], bytes: &[u8]) -> Self {
        let sha256 = Sha256::new().chain_update(kind).chain_update(bytes).finalize();
        Self(sha256.first_chunk().map_or(0, |&half| u128::from_be_bytes(half)))
    }
}

/// As whom a client came in. Two clients are the same principal if they brought tokens for the same
/// name, or the same token for everybody. It stays the same when the tokens are read again.
///
/// It is a digest, and not printed, lest it help somebody to guess a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Principal(u128);

impl Principal {
    /// Everybody, where no tokens are asked for.
    pub const ANYBODY: Self = Self(0);
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::ANYBODY { "Principal(anybody)" } else { "Principal(..)" })
    }
}

/// A client may not come in: it brought no token, or none that is good for its name. Which of these
/// it was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid or missing token for this name")]
#[non_exhaustive]
pub struct Denied;

/// Why there are no tokens to be had from a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file could not be read.
    #[error("cannot read the tokens in {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line could not be understood.
    #[error("line {line} of the tokens: {fault}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// There are only comments, or nothing at all.
    #[error(
        "there is no token in the file, so nobody could come in; add one, or do without the file"
    )]
    Empty,
    /// There are more than [`MAX_TOKENS`].
    #[error("there are more than {MAX_TOKENS} tokens, or the file is not one of tokens")]
    TooMany,
}

/// What is wrong with a line of a file of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText,
    /// There are more than two words, or a quotation mark of a name is missing.
    #[error(
        "expected TOKEN, or NAME TOKEN, and nothing after it; a name with spaces stands in \
         quotation marks, and a comment on a line of its own"
    )]
    TooManyWords,
    /// The name is not one.
    #[error("what stands before the token is not a name: {0}")]
    Name(NameError),
    /// The token is too short to be a secret.
    #[error("the token is too short: use at least {MIN_TOKEN_LEN} characters, random ones")]
    TokenTooShort,
    /// The token is too long.
    #[error("the token is too long: use at most {MAX_TOKEN_LEN} characters")]
    TokenTooLong,
    /// The token has other characters than printable ASCII.
    #[error("the token has a character that is not printable ASCII")]
    TokenCharacter,
}

/// Tokens that can be exchanged while a server runs. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedTokens(Arc<RwLock<Arc<Tokens>>>);

impl SharedTokens {
    /// Starts with `tokens`.
    #[must_use]
    pub fn new(tokens: Tokens) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tokens))))
    }

    /// The tokens as they are now.
    #[must_use]
    pub fn get(&self) -> Arc<Tokens> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Exchanges the tokens for new ones. Sessions that came in with the old ones stay.
    pub fn replace(&self, tokens: Tokens) {
        let tokens = Arc::new(tokens);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// Reads the tokens from a file and exchanges them. Sessions that came in with the old ones
    /// stay.
    ///
    /// # Errors
    ///
    /// [`TokensError`]; the tokens are as they were.
    pub fn reload(&self, path: impl AsRef<Path>) -> Result<(), TokensError> {
        self.replace(Tokens::from_file(path)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
