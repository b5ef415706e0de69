//! Connections to Redis.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::streams::StreamReadReply;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo};
use redis::{ServerErrorKind, Value};

use super::setup::{Setup, check};
use super::{Answer, Call, Command, LEASE, StoreError, StreamId, script};
use crate::NodeId;

#[cfg(test)]
mod tests;

/// How long a connection, and each answer, may take: some times what a far and busy Redis needs,
/// and well below a lease. A peer that vanished without a word (a black hole) is noticed by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long Redis waits for a command to a node before it says that there is none: so a black hole
/// is noticed here too.
const COMMANDS_WAIT_MS: u64 = 5_000;

/// How many commands are read at a time.
const COMMANDS_MAX: usize = 1000;

/// Where Redis is, and how to log in: `redis://user:password@host:port/database`, `rediss://` for
/// TLS, `redis+unix:///path?db=1&user=…&pass=…`.
#[derive(Clone)]
pub(crate) struct Address(Client);

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(url: &str) -> Result<Self, NotAnAddress> {
        // The errors of the parsers do not show the URL.
        let info = url.into_connection_info().map_err(|error| NotAnAddress(error.to_string()))?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // Without a default, TLS panics in a program that links two of these libraries.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(|error| NotAnAddress(error.to_string()))?;
        Ok(Self(client))
    }
}

/// Without the user and the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0.get_connection_info();
        match (info.addr(), info.redis_settings().db()) {
            (ConnectionAddr::Unix(path), 0) => write!(f, "redis+unix://{}", path.display()),
            (ConnectionAddr::Unix(path), db) => {
                write!(f, "redis+unix://{}?db={db}", path.display())
            }
            (ConnectionAddr::TcpTls { .. }, 0) => write!(f, "rediss://{}", info.addr()),
            (ConnectionAddr::TcpTls { .. }, db) => write!(f, "rediss://{}/{db}", info.addr()),
            (_, 0) => write!(f, "redis://{}", info.addr()),
            (_, db) => write!(f, "redis://{}/{db}", info.addr()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A text that is no [`Address`]. It does not show the text, which may have a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a Redis, such as redis://host:6379: {0}")]
pub(crate) struct NotAnAddress(String);

/// The store: a connection to Redis.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    connection: MultiplexedConnection,
    lease: Duration,
}

impl Store {
    /// Connects, and looks whether this Redis will do.
    pub(crate) async fn connect(address: &Address) -> Result<(Self, Setup), StoreError> {
        let mut connection = connect(address, PATIENCE).await?;
        let setup = check(&mut connection).await?;
        Ok((Self { connection, lease: LEASE }, setup))
    }

    /// Gives another lease to nodes: for the lab, which has no time.
    #[must_use]
    pub(crate) fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Does a call. After an error it may have been done, and the store is to be connected anew.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, StoreError> {
        let mut connection = self.connection.clone();
        let script = script::script(call);
        let mut reply = script.cached(call, self.lease).query_async::<Value>(&mut connection).await;
        if let Err(error) = &reply
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        {
            reply = script.whole(call, self.lease).query_async(&mut connection).await;
        }
        let answer = script::answer(reply?)?;
        if !answer.suits(call) {
            return Err(StoreError::Garbage(format!("an answer to another call: {answer:?}")));
        }
        Ok(answer)
    }
}

/// The stream of commands to a node, on a connection of its own, because it waits for them.
#[derive(Debug)]
pub(crate) struct Commands {
    connection: MultiplexedConnection,
    stream: String,
    after: StreamId,
}

impl Commands {
    /// Connects, to read what comes after an entry: the default is all that there is.
    pub(crate) async fn connect(
        address: &Address,
        node: &NodeId,
        after: StreamId,
    ) -> Result<Self, StoreError> {
        let patience = Duration::from_millis(COMMANDS_WAIT_MS) + PATIENCE;
        let connection = connect(address, patience).await?;
        Ok(Self { connection, stream: format!("{{hw}}:cmd:{node}"), after })
    }

    /// The last entry that was read.
    pub(crate) const fn after(&self) -> StreamId {
        self.after
    }

    /// Waits for commands, for five seconds: then there are none. Nothing is lost if this is
    /// dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Vec<Command>, StoreError> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(COMMANDS_MAX).arg("BLOCK").arg(COMMANDS_WAIT_MS);
        read.arg("STREAMS").arg(&self.stream).arg(self.after.to_string());
        let reply: Option<StreamReadReply> = read.query_async(&mut self.connection).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let mut commands = Vec::new();
        for entry in entries {
            self.after = entry
                .id
                .parse()
                .map_err(|_| StoreError::Garbage(format!("the id {:?}", entry.id)))?;
            commands.extend(command(&entry));
        }
        Ok(commands)
    }
}

/// Reads a command; none of a kind that a newer node has.
pub(super) fn command(entry: &redis::streams::StreamId) -> Option<Command> {
    let name = || entry.get::<String>("name").map(Into::into);
    match &*entry.get::<String>("command")? {
        "taken_over" => Some(Command::TakenOver {
            name: name()?,
            epoch: entry.get("epoch")?,
            same_client: entry.get("same")?,
        }),
        "kick" => Some(Command::Kick { name: name()?, epoch: entry.get("epoch")? }),
        _ => None,
    }
}

/// Connects. No answer takes longer than that, or the call fails.
pub(crate) async fn connect(
    address: &Address,
    patience: Duration,
) -> Result<MultiplexedConnection, StoreError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(patience));
    Ok(address.0.get_multiplexed_async_connection_with_config(&config).await?)
}
