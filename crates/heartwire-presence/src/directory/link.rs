//! A connection to Redis, with a timeout on everything.

use core::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult};

use super::RedisError;
use crate::store::{Address, connect};

/// Longer than a read of the stream waits ([`BLOCK`](crate::reader::BLOCK)), and than a Redis that
/// is well needs for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, until a call fails.
#[derive(Debug)]
pub(crate) struct Link {
    connection: MultiplexedConnection,
    address: Address,
    is_broken: bool,
}

impl Link {
    /// Connects.
    pub(crate) async fn open(address: &Address) -> Result<Self, RedisError> {
        let connection = connect(address, PATIENCE).await;
        let connection = connection.map_err(|error| RedisError::new(address, &error))?;
        Ok(Self { connection, address: address.clone(), is_broken: false })
    }

    /// Whether a call has failed: the connection is to be given up.
    pub(crate) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The answer to one command.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        let answer = command.query_async(&mut self.connection).await;
        self.checked(answer)
    }

    /// The answers to several commands.
    pub(crate) async fn ask_all<T: FromRedisValue>(
        &mut self,
        commands: &Pipeline,
    ) -> Result<T, RedisError> {
        let answer = commands.query_async(&mut self.connection).await;
        self.checked(answer)
    }

    fn checked<T>(&mut self, answer: RedisResult<T>) -> Result<T, RedisError> {
        answer.map_err(|error| {
            self.is_broken = true;
            RedisError::new(&self.address, &error.into())
        })
    }
}
