//! Hooks: changes of presence, delivered to a receiver by HTTP or to a command.
//!
//! Names are spread over lanes. Each lane delivers in order, a batch at a time, and tries a batch
//! again until the receiver has taken it or it is given up: so changes of a name arrive in order,
//! each at least once. `docs/hooks.md` tells receivers what to expect.

mod command;
mod deliver;
mod event;
mod http;
mod item;
mod lanes;
mod memory;
mod secret;
mod stream;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::session::Passed;
use crate::store::Address;
use crate::{NodeId, NodeName};

pub use event::{HookEvent, HookStatus};
pub use secret::{BadSecret, Secret};

use memory::MemoryHooks;
use stream::StreamHooks;

/// Delivers changes to a [`Hook`].
#[derive(Debug)]
pub(crate) enum Hooks {
    /// Of one server, which tells them.
    Memory(MemoryHooks),
    /// Of all nodes, from Redis.
    Stream(StreamHooks),
}

impl Hooks {
    /// Starts a task of the present runtime.
    pub(crate) fn in_memory(
        hook: &Hook,
        node: NodeId,
        on_event: impl Fn(HookEvent) + Send + Sync + 'static,
    ) -> Result<Self, HookError> {
        MemoryHooks::start(hook, node, on_event).map(Self::Memory)
    }

    /// Starts a task of the present runtime. A node that died while it delivered holds the hooks up
    /// for as long as the lease.
    pub(crate) fn on_stream(
        hook: &Hook,
        redis: Address,
        node: &NodeName,
        lease: Duration,
        on_event: impl Fn(HookEvent) + Send + Sync + 'static,
    ) -> Result<Self, HookError> {
        StreamHooks::start(hook, redis, node, lease, on_event).map(Self::Stream)
    }

    /// Delivers a change. From Redis it comes by itself.
    pub(crate) fn tell(&self, passed: &Passed) {
        match self {
            Self::Memory(hooks) => hooks.tell(passed),
            Self::Stream(_) => {}
        }
    }

    /// Delivers something about an incident: its kind, and its fields as a JSON object. From Redis
    /// it comes by itself.
    pub(crate) fn tell_incident(&self, kind: &str, detail: &str) {
        match self {
            Self::Memory(hooks) => hooks.tell_incident(kind, detail),
            Self::Stream(_) => {}
        }
    }

    /// Whether its task has ended, which it does only by a mistake in it.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Memory(hooks) => hooks.has_ended(),
            Self::Stream(hooks) => hooks.has_ended(),
        }
    }

    pub(crate) fn status(&self) -> HookStatus {
        match self {
            Self::Memory(hooks) => hooks.status(),
            Self::Stream(hooks) => hooks.status(),
        }
    }

    /// Waits for deliveries, for this long at most: in memory for all, and what is not delivered
    /// then is given up; with Redis for those under way, and other nodes go on.
    pub(crate) async fn close(self, within: Duration) {
        match self {
            Self::Memory(hooks) => hooks.close(within).await,
            Self::Stream(hooks) => hooks.close(within).await,
        }
    }
}

/// How long a receiver has for its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a batch is tried before it is given up: a receiver can be restarted meanwhile, and its
/// operator can notice.
const GIVE_UP: Duration = Duration::from_secs(10 * 60);

/// A receiver of changes.
#[derive(Clone, Debug)]
pub struct Hook {
    target: Target,
    timeout: Duration,
    give_up: Duration,
}

#[derive(Clone, Debug)]
enum Target {
    Http(Box<http::Endpoint>),
    Command(command::Program),
}

impl Hook {
    /// An URL that changes are posted to, as a JSON object `{"changes":[…]}` of 1 to 100. With
    /// `https://` its certificate must be of a CA that the system trusts, or see
    /// [`ca_file`](Self::ca_file). With a secret each delivery is signed. The receiver has taken
    /// the changes when it answers with a status from 200 to 299; redirects are not followed.
    ///
    /// # Errors
    ///
    /// It is not such an URL.
    pub fn http(url: &str, secret: Option<Secret>) -> Result<Self, HookError> {
        Ok(Self::new(Target::Http(http::Endpoint::new(url, secret)?.into())))
    }

    /// A command that is run once for each batch, with the same JSON object on standard input; nine
    /// of them run at a time at most. It has taken the changes when it exits with 0. It has a
    /// process group of its own, of which all that is left when it has ended is killed. Standard
    /// output is discarded; the last line of standard error is told if it fails.
    pub fn command(
        path: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(Target::Command(command::Program { path: path.into(), arguments }))
    }

    const fn new(target: Target) -> Self {
        Self { target, timeout: TIMEOUT, give_up: GIVE_UP }
    }

    /// A PEM file with the CAs that are trusted, instead of those of the system. Only for
    /// [`http`](Self::http).
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        if let Target::Http(endpoint) = &mut self.target {
            endpoint.ca_file(path.into());
        }
        self
    }

    /// How long the receiver has for its answer, and the command to exit before it is killed.
    /// Default 10 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long changes are tried before they are given up, counted from their first try, without
    /// pauses of this process. The last try is after this time. Default 10 min.
    #[must_use]
    pub const fn give_up(mut self, after: Duration) -> Self {
        self.give_up = after;
        self
    }
}

/// A [`Hook`] that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The URL is not one that changes can be posted to.
    #[error("this is no URL for a hook: {reason}")]
    BadUrl {
        /// Why not.
        reason: Box<str>,
    },
    /// The file of CAs cannot be used.
    #[error("cannot use the CAs of {}: {reason}", path.display())]
    BadCaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: Box<str>,
    },
    /// The system has no trusted CAs.
    #[error("the system has no CAs that could be trusted: name a file of CAs")]
    NoSystemRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why not.
        reason: Box<str>,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}
