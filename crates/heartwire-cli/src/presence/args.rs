//! The options of `presence`.

use clap::{Args, Subcommand};
use heartwire::server::auth::valid_name;
use heartwire_presence::Entry;

use crate::options::FormatArgs;
use crate::values::SecretUrl;

pub(crate) const EXAMPLES: &str = "\
Examples:
  export HEARTWIRE_PRESENCE=redis://10.0.0.5:6379
      as `serve --presence` has it: then none of these needs --presence
  heartwire presence nodes
  heartwire presence get 'door 3' && echo it is there
  heartwire presence list --prefix door --json | jq -r .peer
  heartwire presence watch

Exit codes: 0 done, 4 Redis does not answer, others as the help of each command says.";

const GET_EXAMPLES: &str = "\
Examples:
  heartwire presence get 'door 3'
  heartwire presence get 'door 3' --json | jq -r .node

Exit codes: 0 the name is online, 1 it is offline, 2 invalid arguments, 4 Redis does not answer.";

const LIST_EXAMPLES: &str = "\
Examples:
  heartwire presence list
  heartwire presence list --count --on eu-1
  heartwire presence list --prefix door --json | jq -r '[.name, .node] | @tsv' | sort

Names are in no order, and come as they are read: Redis does other work in between. Those that come
or go meanwhile are listed or not.

Exit codes: 0 done, even if there are none; 2 invalid arguments, 4 Redis does not answer.";

const WATCH_EXAMPLES: &str = "\
Examples:
  heartwire presence watch
  heartwire presence watch --changes-only --prefix door
  heartwire presence watch --json | jq -c 'select(.event == \"offline\") | [.name, .reason]'

All names that are online, and then each change, until SIGTERM or Ctrl-C. It goes on when Redis does
not answer, and says so; where changes may be missing, it prints all names again.

Exit codes: 0 stopped, 2 invalid arguments, 4 Redis does not answer at the start.";

const NODES_EXAMPLES: &str = "\
Examples:
  heartwire presence nodes
  heartwire presence nodes --json | jq -r 'select(.state != \"alive\") | .node'

Exit codes: 0 done, even if there are none; 2 invalid arguments, 4 Redis does not answer.";

const KICK_EXAMPLES: &str = "\
Example:
  heartwire presence kick 'door 3'

The client may come back at once: to keep it out, take its token away first.

Exit codes: 0 its session has ended, 1 it is offline, or its node has not ended it within 2 s; 2
invalid arguments, or a Redis that must not be written to; 4 Redis does not answer.";

#[derive(Debug, Subcommand)]
pub(crate) enum PresenceCommand {
    /// Ask whether a name is online, and where.
    #[command(after_help = GET_EXAMPLES)]
    Get(NameArgs),
    /// List the names that are online.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Print the names that are online, and then each change.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// List the nodes: whether they are there, and how many names they have.
    #[command(after_help = NODES_EXAMPLES)]
    Nodes(RedisArgs),
    /// End the session of a name, on whichever node it is.
    #[command(after_help = KICK_EXAMPLES)]
    Kick(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RedisArgs {
    /// The Redis of the nodes: redis://HOST:PORT/DATABASE, rediss://HOST:PORT for TLS, or
    /// redis+unix:///PATH. Other users of a machine can read a password on a command line, but not
    /// in HEARTWIRE_PRESENCE.
    #[arg(
        long,
        visible_alias = "redis",
        value_name = "URL",
        default_value = "redis://127.0.0.1:6379"
    )]
    pub(super) presence: SecretUrl,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The name.
    #[arg(value_parser = name)]
    pub(super) name: String,

    #[command(flatten)]
    pub(crate) redis: RedisArgs,
}

/// A name that no client can have is a mistake, and not offline.
fn name(text: &str) -> Result<String, String> {
    valid_name(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,

    /// Print how many there are.
    #[arg(long)]
    pub(super) count: bool,

    #[command(flatten)]
    pub(crate) redis: RedisArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(super) which: WhichArgs,

    /// Do not print the names that are online already, only how many there are.
    #[arg(long)]
    pub(super) changes_only: bool,

    #[command(flatten)]
    pub(crate) redis: RedisArgs,
}

/// Which names are meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhichArgs {
    /// Only names that begin with this.
    #[arg(long, value_name = "START", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Only names on this node, by its name or its id.
    #[arg(long, value_name = "NODE")]
    on: Option<String>,
}

impl WhichArgs {
    pub(super) const fn is_all(&self) -> bool {
        self.prefix.is_empty() && self.on.is_none()
    }

    /// Whether an entry is meant, of a name that came from another node or did not.
    pub(super) fn has(&self, entry: &Entry, from: Option<&heartwire_presence::NodeId>) -> bool {
        let is_on = |on: &String| {
            let mut nodes = core::iter::once(&entry.node).chain(from);
            nodes.any(|node| node.as_str() == on || node.name() == on)
        };
        entry.name.starts_with(&self.prefix) && self.on.as_ref().is_none_or(is_on)
    }
}
