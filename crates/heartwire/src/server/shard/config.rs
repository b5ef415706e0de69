//! The configuration of a shard.

use core::net::IpAddr;
use core::time::Duration;

use heartwire_core::Settings;
use heartwire_core::internal::v1::RESUMABLE_BEAT_LEN;
use heartwire_core::v1::{Contract, Terms};

use crate::server::agenda::Held;
use crate::server::config::{Protocols, ServerConfig};
use crate::server::link::TlsTimeouts;
use crate::server::network::Network;
use crate::server::resume::Resume;

/// Settings that all shards of a server share.
#[derive(Debug)]
pub(in crate::server) struct ShardConfig {
    pub(in crate::server) settings: Settings,
    /// The terms offered to clients on v1.
    pub(in crate::server) terms: Terms,
    /// The bytes that wake a shard, of sessions whose beats are longer because they can be resumed.
    pub(in crate::server) resumable_wake_bytes: u32,
    /// The receive low-water mark of sessions on v0.
    pub(in crate::server) mark_v0: u32,
    /// Bytes that TLS adds to each write of a client.
    overhead: u32,
    pub(in crate::server) tls_handshake_timeout: TlsTimeouts,
    /// Maximum bytes that a shard may buffer.
    pub(in crate::server) held: Held,
    /// Clients are online without a first frame.
    pub(in crate::server) online_at_once: bool,
    /// Age of the oldest HELLO that is still answered.
    pub(in crate::server) stale_after: Duration,
    /// A name is no identity.
    pub(in crate::server) many_per_name: bool,
    /// The greatest age of a session.
    pub(in crate::server) max_age: Option<Duration>,
    pub(in crate::server) resume: Option<Resume>,
    /// Where connections come from that begin with a header of the PROXY protocol.
    proxy_from: Box<[Network]>,
}

impl ShardConfig {
    /// Whether connections from this address begin with a header of the PROXY protocol.
    pub(in crate::server) fn is_balancer(&self, addr: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(addr))
    }

    /// The receive low-water mark of a session on v1, which a write of `wake_bytes` just reaches.
    pub(in crate::server) fn mark_v1(&self, contract: Option<&Contract>) -> u32 {
        match contract.map_or(1, |contract| contract.wake_bytes) {
            0 | 1 => 1,
            bytes => bytes.saturating_add(self.overhead),
        }
    }

    /// `coalesces`: whether beats may wait in the kernel.
    pub(in crate::server) fn new(config: &ServerConfig, coalesces: bool) -> Self {
        Self {
            settings: config.settings(),
            terms: config.terms(coalesces),
            mark_v0: config.receive_mark(coalesces),
            resumable_wake_bytes: config.wake_bytes(coalesces, RESUMABLE_BEAT_LEN),
            overhead: config.overhead(),
            tls_handshake_timeout: config.tls_timeouts(),
            held: config.held_per_shard(),
            online_at_once: matches!(config.protocols, Protocols::V0),
            stale_after: config.admission.stale_after,
            many_per_name: config.admission.many_per_name,
            max_age: config.max_age,
            resume: config.resume,
            proxy_from: config.proxy_from.clone().into(),
        }
    }
}
