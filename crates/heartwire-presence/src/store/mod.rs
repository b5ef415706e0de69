//! What nodes share in Redis, and how they change it: scripts, each atomic, each safe to call
//! again when its answer was lost.

use core::time::Duration;

mod call;
mod connection;
mod error;
mod event;
#[cfg(test)]
pub(crate) mod model;
mod script;
#[cfg(test)]
mod scripts_test;
mod setup;

pub(crate) use call::{Answer, Call, Command, Op, Outcome};
pub(crate) use connection::{Address, Commands, NotAnAddress, PATIENCE, Store, connect};
pub(crate) use error::StoreError;
pub(crate) use event::StreamId;
pub(crate) use setup::Setup;

/// How long a node's lease runs. It is renewed each third of that.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// The length of a node's [digest](Answer::Digest) in bits: Lua's numbers are exact up to 53.
const DIGEST_BITS: u32 = 40;

/// The part of a node's [digest](Answer::Digest) that is of one name: the first 40 bits of the
/// SHA-1 of the name, a zero byte and the epoch in decimal. The digest is the sum of these, modulo
/// 2^40.
#[must_use]
pub(crate) fn hash(name: &str, epoch: u64) -> u64 {
    let mut sha1 = sha1_smol::Sha1::from(name);
    sha1.update(b"\0");
    sha1.update(epoch.to_string().as_bytes());
    let start = sha1.digest().bytes().into_iter().take(8);
    let first = start.fold(0, |number, byte| number << 8 | u64::from(byte));
    first >> (u64::BITS - DIGEST_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_first_ten_digits_of_the_sha1() {
        // printf 'door 3\0%s' 1764270000000000 | sha1sum
        assert_eq!(hash("door 3", 1_764_270_000_000_000), 0xcb_ac61_4606);
    }
}
