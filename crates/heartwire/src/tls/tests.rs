//! TLS between two sessions in memory, with clients that do what a well-behaved one would not, and
//! with OpenSSL.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod certificates;
mod clients;
mod ends;
mod files;
mod forger;
mod handshake;
mod hostile;
mod memory;
mod openssl;
mod pipe;
mod reload;
mod rig;
mod sockets;
mod tickets;
mod traffic;

impl super::TlsFailure {
    /// The kind of fault; `None` if the socket failed.
    const fn fault(&self) -> Option<super::TlsFault> {
        match self {
            Self::Socket(_) => None,
            Self::Fault { fault, .. } => Some(*fault),
        }
    }
}
