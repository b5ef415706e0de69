//! What a node is started with.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::hooks::{Hook, HookError};
use crate::outgoing::Settings;
use crate::store::{Address, LEASE, StoreError};
use crate::{NodeName, OfflineBound, store};

/// The configuration of [`Presence`](crate::Presence). Methods can be chained.
///
/// Without [`redis`](Self::redis) the node is alone: only its [`hook`](Self::hook) and incidents
/// are told. Names must be an identity: sessions of a server that has
/// [many per name](heartwire::server::limits::Admission::many_per_name) are left out.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) node: NodeName,
    pub(crate) address: Box<str>,
    pub(crate) redis: Option<Address>,
    pub(crate) hook: Option<Hook>,
    pub(crate) lease: Duration,
    pub(crate) settings: Settings,
}

/// Until the names of a dead node are offline, in fifteenths of a lease: the lease, up to 5.5 until
/// another node looks, two further looks (11 at most), and 0.5 for Redis.
const NODE_LOST: u32 = 32;

/// Names of a dead node that are told offline in a second.
const REAPED_PER_SECOND: u32 = 2000;

impl Config {
    /// For a node of this name. Two nodes that run at the same time should not share one.
    pub fn new(node: NodeName) -> Self {
        let (address, settings) = (Box::default(), Settings::default());
        Self { node, address, redis: None, hook: None, lease: LEASE, settings }
    }

    /// Shares presence with other nodes through this Redis (6.2 or later) or Valkey:
    /// `redis://HOST:PORT/DATABASE`, `rediss://` for TLS, or `redis+unix:///PATH`, with
    /// `USER:PASSWORD@` where it asks for a login.
    ///
    /// # Errors
    ///
    /// That is no such URL.
    pub fn redis(mut self, url: &str) -> Result<Self, ConfigError> {
        self.redis = Some(url.parse().map_err(ConfigError)?);
        Ok(self)
    }

    /// Where operators reach this node, as `heartwire presence nodes` shows it. Default: nothing.
    pub fn address(mut self, address: &str) -> Self {
        self.address = address.into();
        self
    }

    /// How long the others wait for this node before they take it for dead. It tells Redis three
    /// times in that time that it is there. As long, they leave the hook to a node that delivered.
    /// Default 15 s, at least 1 s; the same for all nodes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_secs(1));
        self
    }

    /// The longest time from the death of a node with so many names until all of them are told
    /// offline, by other nodes with the same lease.
    #[must_use]
    pub fn node_lost_bound(&self, names: u32) -> Duration {
        let reaped = Duration::from_secs(1).saturating_mul(names) / REAPED_PER_SECOND;
        self.lease.saturating_mul(NODE_LOST) / 15 + reaped
    }

    /// Tells changes to this receiver. With Redis one node at a time delivers the changes of all:
    /// give all nodes the same hook. Without it they wait in memory, and a crash loses them.
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Tells that a name is offline this much later, if it is not online again by then; then
    /// neither is told. Default: zero.
    pub const fn offline_after(mut self, after: Duration) -> Self {
        self.settings.offline_after = after;
        self
    }

    /// For how long the ends of many sessions that are lost at once are held back where this node
    /// may be the cause: one [incident](crate::Incident) is told instead. `None`: never. Default
    /// 60 s.
    pub const fn hold(mut self, hold: Option<Duration>) -> Self {
        self.settings.hold = hold;
        self
    }

    /// How many of them are told per second after that. Default 200.
    pub const fn pace(mut self, per_second: NonZeroU32) -> Self {
        self.settings.pace = per_second;
        self
    }

    /// How long after its end an offline event of this node is told at most, where it has so many
    /// names.
    #[must_use]
    pub fn offline_bound(&self, names: u32) -> OfflineBound {
        self.settings.bound(names)
    }
}

/// A [`Config`] that cannot be. Its text does not have the password of the URL in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(store::NotAnAddress);

/// Why [`Presence`](crate::Presence) does not start. Each says what an operator can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Redis answers, and will not do. (One that does not answer is no error.)
    #[error("presence cannot use {address}: {reason}")]
    Redis {
        /// Where it is, without a password.
        address: Box<str>,
        /// Why not.
        reason: Box<str>,
    },
    /// The hook cannot work.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl StartError {
    pub(crate) fn redis(address: &Address, error: &StoreError) -> Self {
        Self::Redis { address: address.to_string().into(), reason: error.to_string().into() }
    }
}
