//! Proof that a connection resumes a session: HMAC-SHA256 with the session's key.

use core::fmt;
use std::io;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a key, and of a proof.
pub(crate) const PROOF_LEN: usize = 32;

/// The key of one session, or the secret from which a server derives the keys of its sessions.
/// Never printed.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; PROOF_LEN]>);

/// Which end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// In the HELLO that resumes.
    Client,
    /// In the WELCOME that answers it.
    Server,
}

/// What a proof is about. An end proves its own position: the frames and bytes that it has received
/// whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) role: Role,
    /// The run of the server.
    pub(crate) server: u64,
    pub(crate) session: u64,
    /// The number of the link, which is higher than that of all before it: so no proof is used
    /// twice.
    pub(crate) link: u32,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Key {
    pub(crate) fn new(bytes: [u8; PROOF_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A secret that is drawn from the system's randomness.
    pub(crate) fn random() -> io::Result<Self> {
        let mut key = Self::new([0; PROOF_LEN]);
        getrandom::fill(&mut *key.0).map_err(io::Error::other)?;
        Ok(key)
    }

    /// The key of a session, from the secret of the server's run. It is derived, so that a server
    /// stores none.
    pub(crate) fn of_session(&self, session: u64) -> Self {
        let mac = self.mac(b"heartwire session key").chain_update(session.to_le_bytes());
        Self::new(mac.finalize().into_bytes().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; PROOF_LEN] {
        &self.0
    }

    pub(crate) fn prove(&self, claim: Claim) -> [u8; PROOF_LEN] {
        self.mac_of(claim).finalize().into_bytes().into()
    }

    /// Whether the proof is right. Takes the same time wherever it is wrong.
    pub(crate) fn is_proven(&self, claim: Claim, proof: &[u8; PROOF_LEN]) -> bool {
        self.mac_of(claim).verify_slice(proof).is_ok()
    }

    fn mac_of(&self, claim: Claim) -> Hmac<Sha256> {
        let Claim { role, server, session, link, frames, bytes } = claim;
        let role = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        self.mac(b"heartwire resume")
            .chain_update([role])
            .chain_update(server.to_le_bytes())
            .chain_update(session.to_le_bytes())
            .chain_update(link.to_le_bytes())
            .chain_update(frames.to_le_bytes())
            .chain_update(bytes.to_le_bytes())
    }

    fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        // The key has the length of a block at most, so that it is padded and not hashed first.
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(*self.0) {
            *to = from;
        }
        Hmac::<Sha256>::new((&*block).into()).chain_update(purpose)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim =
        Claim { role: Role::Client, server: 1, session: 2, link: 3, frames: 4, bytes: 5 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// By `printf … | openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn keys_and_proofs_are_those_of_another_implementation() {
        let secret = Key::new([7; PROOF_LEN]);
        let key = secret.of_session(2);
        assert_eq!(
            hex(key.as_bytes()),
            "c0114be0021bbf286e7ed96e891636ec5cbaf86f97afd192d370c4fceae816b2"
        );
        assert_eq!(
            hex(&key.prove(CLAIM)),
            "ceea7d999fdd0b263853c313b1ea25ce5cfe060e36c3e85629857eea90a3b9c4"
        );
    }

    #[test]
    fn a_proof_is_of_one_claim_and_one_session() {
        let secret = Key::new([7; PROOF_LEN]);
        let key = secret.of_session(2);
        let proof = key.prove(CLAIM);
        assert!(key.is_proven(CLAIM, &proof));
        let others = [
            Claim { role: Role::Server, ..CLAIM },
            Claim { server: 2, ..CLAIM },
            Claim { session: 1, ..CLAIM },
            Claim { link: 4, ..CLAIM },
            Claim { frames: 5, ..CLAIM },
            Claim { bytes: 4, ..CLAIM },
        ];
        assert!(others.iter().all(|&other| !key.is_proven(other, &proof)));
        assert!(!secret.of_session(3).is_proven(CLAIM, &proof));
        for at in [0, PROOF_LEN - 1] {
            let mut wrong = proof;
            wrong[at] ^= 1;
            assert!(!key.is_proven(CLAIM, &wrong));
        }
    }

    #[test]
    fn secrets_differ() {
        let [one, other] = [Key::random().unwrap(), Key::random().unwrap()];
        assert_ne!(one.as_bytes(), other.as_bytes());
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new([7; PROOF_LEN])), "Key(not shown)");
    }
}
