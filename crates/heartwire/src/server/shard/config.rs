//! What all shards of a server are told.

use core::time::Duration;

use heartwire_core::Settings;
use heartwire_core::v1::Terms;

use crate::server::agenda::Held;
use crate::server::config::{Protocols, ServerConfig};
use crate::server::link::TlsTimeouts;

/// The same for all shards, so that they share one.
#[derive(Debug)]
pub(in crate::server) struct ShardConfig {
    pub(in crate::server) settings: Settings,
    /// What clients that speak v1 are agreed with.
    pub(in crate::server) terms: Terms,
    /// The low-water mark of sessions that speak v0, and of those that speak v1.
    pub(in crate::server) mark_v0: u32,
    pub(in crate::server) mark_v1: u32,
    pub(in crate::server) tls_handshake_timeout: TlsTimeouts,
    /// How many bytes a shard may hold.
    pub(in crate::server) held: Held,
    /// How many clients may wait for one to be let in.
    pub(in crate::server) max_pending: usize,
    /// Clients need not say anything to be online.
    pub(in crate::server) online_at_once: bool,
    /// How long a client may have waited to be shaken hands with.
    pub(in crate::server) stale_after: Duration,
    pub(in crate::server) drain: Duration,
}

impl ShardConfig {
    /// `coalesces`: beats may lie in the kernel unread.
    pub(in crate::server) fn new(config: &ServerConfig, coalesces: bool) -> Self {
        Self {
            settings: config.settings(),
            terms: config.terms(coalesces),
            mark_v0: config.receive_mark(coalesces),
            mark_v1: config.wake_mark(coalesces),
            tls_handshake_timeout: config.tls_timeouts(),
            held: config.held_per_shard(),
            max_pending: config.max_pending_per_shard(),
            online_at_once: config.protocols == Protocols::V0 && config.tokens.is_none(),
            stale_after: config.stale_after,
            drain: config.drain,
        }
    }
}
