//! `heartwire presence kick`.

use core::fmt;
use core::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::args::NameArgs;
use super::{Found, connect, failed, print, shown};
use crate::exit::Exit;
use crate::output::print_text;
use crate::values::{Format, typed};

/// How long the node may take. It reads the command at once; what it says then takes a moment.
const WAIT: Duration = Duration::from_secs(2);

/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What became of it.
#[derive(Debug, Serialize)]
struct Kicked<'a> {
    name: &'a str,
    /// The node that was told; none if the name's node is dead.
    node: Option<&'a str>,
    ended: bool,
    /// Whether the name is online, maybe with a newer session.
    online: bool,
}

impl fmt::Display for Kicked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, node, ended, online } = self;
        let Some(node) = node else {
            return write!(f, "the node of {name:?} is dead: others tell it offline soon");
        };
        match (ended, online) {
            (true, false) => write!(f, "the session of {name:?} has ended"),
            (true, true) => write!(f, "the session of {name:?} has ended; it is online again"),
            (false, _) => write!(
                f,
                "{node} has not ended it within {}: it will when it reads that, if it is not dead",
                typed(WAIT)
            ),
        }
    }
}

pub(super) async fn kick(args: &NameArgs) -> anyhow::Result<Exit> {
    let (name, redis) = (&*args.name, &args.redis);
    let mut directory = connect(redis).await?;
    let Some(before) = directory.get(name).await.map_err(failed)? else {
        print(&Found::new(name, None), redis)?;
        return Ok(Exit::Failure);
    };
    let Some(node) = directory.kick(name).await.map_err(failed)? else {
        print(&Kicked { name, node: None, ended: false, online: true }, redis)?;
        return Ok(Exit::Failure);
    };
    if redis.format.format() == Format::Text {
        print_text(shown(&format!("told {node} to end the session of {name:?}")))?;
    }
    let started = Instant::now();
    let (ended, online) = loop {
        let now = directory.get(name).await.map_err(failed)?;
        let ended = now.as_ref().is_none_or(|now| now.epoch > before.epoch);
        if ended || started.elapsed() >= WAIT {
            break (ended, now.is_some());
        }
        sleep(LOOK_EVERY).await;
    };
    print(&Kicked { name, node: Some(node.as_str()), ended, online }, redis)?;
    Ok(if ended { Exit::Success } else { Exit::Failure })
}
