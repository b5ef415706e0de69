//! The lines of a token file.

use core::fmt;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str;
use std::time::UNIX_EPOCH;

use heartwire_core::v1::{MAX_NAME_LEN, MAX_TOKEN_LEN};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Admitted, Denied, Principal, TokensError};
use crate::server::admission::names::{NameError, valid_name};
use crate::server::grants::{TokenId, Until};

/// Minimum length of a token, in bytes: 16 random base64 characters are 96 bits, which cannot be
/// guessed over a network.
const MIN_TOKEN_LEN: usize = 16;

/// Maximum number of tokens in one file: the default maximum of sessions.
pub(super) const MAX_TOKENS: usize = 100_000;

/// What stands before the time until which a token is valid.
const UNTIL: &str = "until=";

/// The longest such word: a time with nanoseconds.
const MAX_UNTIL_LEN: usize = UNTIL.len() + "2026-12-31T23:59:59.000000000Z".len();

/// Maximum length of a token file, in bytes: [`MAX_TOKENS`] of the longest lines. An endless file,
/// such as a device, must not fill the memory.
pub(super) const MAX_FILE_LEN: usize =
    MAX_TOKENS * (MAX_NAME_LEN + MAX_TOKEN_LEN + MAX_UNTIL_LEN + 5);

/// What [`Tokens`](super::Tokens) are at one time.
#[derive(Debug, Default)]
pub(super) struct List {
    tokens: HashMap<Key, Listed>,
    /// Names that have tokens of their own.
    names: HashSet<Digest>,
    by_id: HashMap<TokenId, Key>,
    last_id: u32,
    pub(super) count: usize,
    /// The latest time of day that a check has seen, in seconds since 1970: a clock that is set
    /// back does not make a token valid again. One that was wrong needs the file to be read again.
    latest: AtomicU64,
}

/// A token, and the name that it is for. Without one it is for all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Option<Digest>,
    token: Digest,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    id: TokenId,
    until: Until,
}

impl List {
    pub(super) fn from_file(path: &Path) -> Result<Self, TokensError> {
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

    pub(super) fn parse(text: &str) -> Result<Self, TokensError> {
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
        let (rest, last) = split_last(line);
        let (line, until) = match last.strip_prefix(UNTIL) {
            Some(until) => (rest.ok_or(LineFault::TooManyWords)?, valid_until(until)?),
            None => (line, Until::NEVER),
        };
        // Tokens contain no white space, so the last word is the token, whatever the name is.
        let (name, token) = split_last(line);
        let mut digest = None;
        if let Some(name) = name {
            let name = unquoted(name)?;
            valid_name(name).map_err(LineFault::Name)?;
            digest = Some(Digest::of_name(name));
        }
        let token = Digest::of_token(valid_token(token)?);
        self.names.extend(digest);
        self.add(Key { name: digest, token }, until);
        self.count += 1;
        Ok(())
    }

    /// Adds a token. One that is there already is valid as long as either line says.
    fn add(&mut self, key: Key, until: Until) {
        let id = TokenId(NonZeroU32::MIN.saturating_add(self.last_id));
        let listed = self.tokens.entry(key).or_insert(Listed { id, until });
        listed.until = listed.until.max(until);
        if listed.id == id {
            self.last_id = self.last_id.wrapping_add(1);
            self.by_id.insert(id, key);
        }
    }

    /// The same tokens, which follow those of `before`: a token that stays keeps its id, and no new
    /// one has the id of a token that went.
    pub(super) fn following(&self, before: &Self) -> Self {
        let mut list = Self {
            names: self.names.clone(),
            last_id: before.last_id,
            count: self.count,
            ..Self::default()
        };
        for (&key, &Listed { until, .. }) in &self.tokens {
            match before.tokens.get(&key) {
                Some(&Listed { id, .. }) => {
                    list.tokens.insert(key, Listed { id, until });
                    list.by_id.insert(id, key);
                }
                None => list.add(key, until),
            }
        }
        list
    }

    /// The number of different tokens for all clients, and of those for one name.
    pub(super) fn counts(&self) -> [usize; 2] {
        let for_all = self.tokens.keys().filter(|key| key.name.is_none()).count();
        [for_all, self.tokens.len() - for_all]
    }

    /// See [`Tokens::check`](super::Tokens::check).
    pub(super) fn check(
        &self,
        name: Option<&str>,
        token: Option<&[u8]>,
        wall: u64,
    ) -> Result<Admitted, Denied> {
        let wall = self.not_before(wall);
        // No listed name or token is empty.
        let name = Digest::of_name(name.unwrap_or_default());
        let token = Digest::of_token(token.unwrap_or_default());
        let name = Some(name).filter(|name| self.names.contains(name));
        let listed = self.tokens.get(&Key { name, token });
        let Listed { id, until } = *listed.filter(|it| !it.until.is_over(wall)).ok_or(Denied)?;
        Ok(Admitted { principal: Principal(name.unwrap_or(token).0), token: id, until })
    }

    /// Until when the token of a client that has this name is valid; `None` if it is not any more.
    /// That its time is over is for the caller to see.
    pub(super) fn look_up(&self, token: TokenId, name: Option<&str>) -> Option<Until> {
        let key = self.by_id.get(&token)?;
        if let (None, Some(name)) = (key.name, name) {
            // The name may have tokens of its own by now.
            if self.names.contains(&Digest::of_name(name)) {
                return None;
            }
        }
        self.tokens.get(key).map(|listed| listed.until)
    }

    /// The time of day in seconds since 1970, or the latest that was seen, if that is later.
    pub(super) fn not_before(&self, wall: u64) -> u64 {
        self.latest.fetch_max(wall, Relaxed).max(wall)
    }
}

/// The last word of a line, and what stands before it, if anything does.
fn split_last(line: &str) -> (Option<&str>, &str) {
    match line.rsplit_once(|c: char| c.is_ascii_whitespace()) {
        Some((before, last)) => (Some(before.trim_ascii_end()), last),
        None => (None, line),
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

/// A time such as `2026-12-31T00:00:00Z`. Parts of a second are cut off.
fn valid_until(time: &str) -> Result<Until, LineFault> {
    let time = humantime::parse_rfc3339(time).map_err(|_| LineFault::Until)?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| LineFault::Until)?;
    Ok(Until::at(since.as_secs()))
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

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

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

/// What is wrong with a line of a token file.
#[derive(Debug, thiserror::Error)]
enum LineFault {
    #[error("it is not text")]
    NotText,
    #[error(
        "expected TOKEN, or NAME TOKEN, and nothing after it but until=TIME; a name with spaces \
         stands in quotation marks, and a comment on a line of its own"
    )]
    TooManyWords,
    #[error("the name before the token is invalid: {0}")]
    Name(NameError),
    #[error("the token is too short: use at least {MIN_TOKEN_LEN} characters, random ones")]
    TokenTooShort,
    #[error("the token is too long: use at most {MAX_TOKEN_LEN} characters")]
    TokenTooLong,
    #[error(
        "the time after until= is no time of day as in RFC 3339, in UTC: write it as \
         until=2026-12-31T00:00:00Z"
    )]
    Until,
    #[error("the token has a character that is not printable ASCII")]
    TokenCharacter,
}

impl LineFault {
    fn at(&self, line: usize) -> TokensError {
        TokensError::Line { line, reason: self.to_string().into() }
    }
}
