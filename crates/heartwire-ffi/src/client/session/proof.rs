//! Proof that a connection resumes a session: HMAC-SHA256 with the session's key.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub(super) const PROOF_LEN: usize = 32;

/// Which end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// In the HELLO that resumes.
    Client,
    /// In the WELCOME that answers it.
    Server,
}

/// What a proof is about. An end proves its own position: what it has received whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) role: Role,
    pub(super) server: u64,
    pub(super) session: u64,
    pub(super) link: u32,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Claim {
    pub(super) fn prove(&self, key: &[u8; PROOF_LEN]) -> [u8; PROOF_LEN] {
        self.mac(key).finalize().into_bytes().into()
    }

    /// Whether the proof is right. Takes the same time wherever it is wrong.
    pub(super) fn is_proven(&self, key: &[u8; PROOF_LEN], proof: &[u8; PROOF_LEN]) -> bool {
        self.mac(key).verify_slice(proof).is_ok()
    }

    fn mac(&self, key: &[u8; PROOF_LEN]) -> Hmac<Sha256> {
        // The key has the length of a block at most, so that it is padded and not hashed first.
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        let role = match self.role {
            Role::Client => 0,
            Role::Server => 1,
        };
        Hmac::<Sha256>::new(&block.into())
            .chain_update(b"heartwire resume")
            .chain_update([role])
            .chain_update(self.server.to_le_bytes())
            .chain_update(self.session.to_le_bytes())
            .chain_update(self.link.to_le_bytes())
            .chain_update(self.frames.to_le_bytes())
            .chain_update(self.bytes.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf … | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`, as in the Rust client.
    #[test]
    fn a_proof_is_that_of_another_implementation() {
        let hex = |text: &str| -> [u8; PROOF_LEN] {
            let byte = |at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
            core::array::from_fn(byte)
        };
        let key = hex("c0114be0021bbf286e7ed96e891636ec5cbaf86f97afd192d370c4fceae816b2");
        let role = Role::Client;
        let claim = Claim { role, server: 1, session: 2, link: 3, frames: 4, bytes: 5 };
        let proof = hex("ceea7d999fdd0b263853c313b1ea25ce5cfe060e36c3e85629857eea90a3b9c4");
        assert_eq!(claim.prove(&key), proof);
        assert!(claim.is_proven(&key, &proof));
        assert!(!Claim { role: Role::Server, ..claim }.is_proven(&key, &proof));
        assert!(!Claim { link: 4, ..claim }.is_proven(&key, &proof));
    }
}
