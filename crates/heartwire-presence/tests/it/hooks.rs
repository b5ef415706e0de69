//! Nodes that tell a hook through Redis.

use core::time::Duration;
use std::fs;

use heartwire_presence::Hook;
use heartwire_testkit::{RedisServer, wait_until};
use tempfile::TempDir;

use crate::rig::{Node, config, runtime};

#[test]
fn node_that_dies_has_its_names_told_offline_by_another() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("told");
    let append = format!("cat >> '{0}'; echo >> '{0}'", file.display());
    let hook = Hook::command("/bin/sh", ["-c", &append]);
    let runtime = runtime();
    let start = |name| {
        let config = config(name).redis(&redis.url()).unwrap().hook(hook.clone());
        Node::start(&runtime, config.lease(Duration::from_secs(2))).unwrap()
    };
    let (a, b) = (start("a"), start("b"));
    let is_active = |node: &Node| node.presence.status().hooks.unwrap().is_active;
    wait_until("one of them delivers", || is_active(&a) || is_active(&b));
    // The one that delivers dies.
    let (dies, stays) = if is_active(&a) { (a, b) } else { (b, a) };
    let told = |what: &str| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.matches(what).count()
    };
    let _ann = dies.client(&runtime, "ann");
    wait_until("ann is told online", || told(r#""kind":"online""#) == 1);
    // Without a word to Redis, as in a crash.
    runtime.block_on(async { drop(dies) });
    wait_until("ann is told offline", || told(r#""reason":"node_lost""#) > 0);
    assert!(is_active(&stays));
    stays.close(&runtime);
}
