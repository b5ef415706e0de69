//! A node without Redis.

use std::fs;

use heartwire_presence::Hook;
use heartwire_testkit::wait_until;
use tempfile::TempDir;

use crate::rig::{Node, config, runtime};

#[test]
fn node_without_redis_tells_its_hook_and_tells_the_rest_when_it_ends() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("told");
    let append = format!("cat >> '{0}'; echo >> '{0}'", file.display());
    let hook = Hook::command("/bin/sh", ["-c", &append]);
    let runtime = runtime();
    let a = Node::start(&runtime, config("a").hook(hook)).unwrap();
    let told = |what: &str| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.matches(what).count()
    };
    let ann = a.client(&runtime, "ann");
    wait_until("it is told", || told(r#""kind":"online""#) == 1);
    let status = a.presence.status();
    assert_eq!((status.connected, status.names), (None, 1));
    drop(ann);
    wait_until("it is told", || told(r#""kind":"offline""#) == 1);
    let _bob = a.client(&runtime, "bob");
    a.close(&runtime);
    assert_eq!((told(r#""kind":"online""#), told(r#""kind":"offline""#)), (2, 2));
}
