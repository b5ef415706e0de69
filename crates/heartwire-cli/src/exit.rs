//! Exit codes. They are part of the interface: scripts rely on them.

use core::fmt;
use std::process::ExitCode;

use heartwire::server::ServerError;
use heartwire_presence::RedisError;

use crate::http_client::HttpError;

/// How the program ended; `--help` explains it, see [`HELP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failure,
    /// The code that clap uses.
    Usage,
    CannotListen,
    CannotConnect,
    PeerDead,
    Impossible,
    Unsafe,
    Undelivered,
}

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done: stopped by a signal, or the reader of standard output has exited (serve then goes on)
  1  other failures; health: the server is not ready, or not alive; presence get and kick: the name
     is offline, or its session has not ended
  2  invalid arguments, or settings that contradict each other
  3  serve could not listen on an address
  4  connect could not connect, was rejected, or lost the connection, and does not retry; or it was
     stopped, and the server had not acknowledged all of the input; health, top and presence: no
     answer
  5  connect declared the server dead, and does not retry
  6  plan found no settings that meet the target of --within
  7  plan --check: a fault is never detected, or healthy connections or sessions are ended
  8  connect lost a session that was to outlive its connection, and with it some of the input";

impl Exit {
    /// The code for an error that ended the program.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.is::<Usage>() {
            return Self::Usage;
        }
        if error.is::<Impossible>() {
            return Self::Impossible;
        }
        if error.is::<crate::serve::CannotServe>() {
            return Self::CannotListen;
        }
        #[cfg(unix)]
        if error.is::<crate::tunnel::CannotListen>() {
            return Self::CannotListen;
        }
        if error.is::<HttpError>() || error.is::<RedisError>() {
            return Self::CannotConnect;
        }
        match error.downcast_ref::<ServerError>() {
            Some(ServerError::Bind { .. } | ServerError::Listener(_)) => Self::CannotListen,
            Some(_) | None => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0_u8,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::CannotListen => 3,
            Exit::CannotConnect => 4,
            Exit::PeerDead => 5,
            Exit::Impossible => 6,
            Exit::Unsafe => 7,
            Exit::Undelivered => 8,
        })
    }
}

/// Settings that contradict each other.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Usage {}

/// A target that no settings meet.
#[derive(Debug)]
pub(crate) struct Impossible(pub(crate) String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Impossible {}
