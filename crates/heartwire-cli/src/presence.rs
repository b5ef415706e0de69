//! `heartwire presence`: who is online on all nodes, from the Redis that they share.

mod args;
mod kick;
mod list;
mod nodes;
mod table;
mod watch;

use core::fmt;
use core::time::Duration;
use std::time::UNIX_EPOCH;

use heartwire_presence::{Directory, Entry, RedisError};
use serde::Serialize;
use tokio::runtime;

use crate::exit::{Exit, Usage};
use crate::output::{print_text, shown_on_terminal, to_json};
use crate::values::Format;

pub(crate) use args::{EXAMPLES, PresenceCommand};
use args::{NameArgs, RedisArgs};

pub(crate) const fn format(command: &PresenceCommand) -> Format {
    let redis = match command {
        PresenceCommand::Get(args) | PresenceCommand::Kick(args) => &args.redis,
        PresenceCommand::List(args) => &args.redis,
        PresenceCommand::Watch(args) => &args.redis,
        PresenceCommand::Nodes(args) => args,
    };
    redis.format.format()
}

pub(crate) fn run(command: &PresenceCommand) -> anyhow::Result<Exit> {
    // A write that hangs must not keep signals from being obeyed, so it has a thread of its own.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let exit = match command {
        PresenceCommand::Get(args) => runtime.block_on(get(args)),
        PresenceCommand::List(args) => runtime.block_on(list::list(args)),
        PresenceCommand::Watch(args) => watch::watch(&runtime, args),
        PresenceCommand::Nodes(args) => runtime.block_on(nodes::nodes(args)),
        PresenceCommand::Kick(args) => runtime.block_on(kick::kick(args)),
    };
    runtime.shutdown_background();
    exit
}

async fn connect(redis: &RedisArgs) -> anyhow::Result<Directory> {
    Directory::connect(redis.presence.reveal()).await.map_err(failed)
}

/// What no further attempt changes is a wrong option.
fn failed(error: RedisError) -> anyhow::Error {
    if error.is_retryable() { error.into() } else { Usage(error.to_string()).into() }
}

/// Whether a name is online.
#[derive(Debug, Serialize)]
struct Found<'a> {
    name: &'a str,
    online: bool,
    #[serde(flatten)]
    place: Option<Place<'a>>,
}

/// Where it is.
#[derive(Debug, Serialize)]
struct Place<'a> {
    node: &'a str,
    session: &'a str,
    epoch: u64,
    since: u64,
    peer: &'a str,
}

impl<'a> Found<'a> {
    fn new(name: &'a str, entry: Option<&'a Entry>) -> Self {
        let place = entry.map(|entry| Place {
            node: entry.node.as_str(),
            session: &entry.session,
            epoch: entry.epoch,
            since: entry.since,
            peer: &entry.peer,
        });
        Self { name, online: place.is_some(), place }
    }
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { node, session, epoch, since, peer }) = &self.place else {
            return write!(f, "{:?} is offline", self.name);
        };
        let since = date(*since);
        write!(f, "{:?} is online on {node} since {since}: session {session} ", self.name)?;
        write!(f, "of {peer}, epoch {epoch}")
    }
}

async fn get(args: &NameArgs) -> anyhow::Result<Exit> {
    let mut directory = connect(&args.redis).await?;
    let entry = directory.get(&args.name).await.map_err(failed)?;
    print(&Found::new(&args.name, entry.as_ref()), &args.redis)?;
    Ok(if entry.is_some() { Exit::Success } else { Exit::Failure })
}

/// Prints an answer.
fn print(answer: &(impl fmt::Display + Serialize), redis: &RedisArgs) -> anyhow::Result<()> {
    match redis.format.format() {
        Format::Text => print_text(shown(&answer.to_string())),
        Format::Json => print_text(to_json(answer)),
    }
}

/// Text of a client or a node, which cannot control the terminal.
fn shown(text: &str) -> String {
    shown_on_terminal(text.as_bytes(), false)
}

/// The end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799_000_000;

/// A time, given in microseconds since 1970, to the second.
fn date(micros: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_micros(micros.min(LAST_DATE)));
    time.map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_has_seconds_and_no_bound() {
        assert_eq!(date(1_764_270_000_999_999), "2025-11-27T19:00:00Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
