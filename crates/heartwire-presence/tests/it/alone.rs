//! A node without Redis.

use std::fs;

use heartwire_presence::{Hook, Presence, PresenceEvent};
use heartwire_testkit::{Peer, hello_as, wait_until};
use tempfile::TempDir;

use crate::rig::{Node, Told, config, runtime};

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

#[test]
fn hook_that_ends_is_told() {
    let runtime = runtime();
    let told = Told::default();
    let own = told.clone();
    let config = config("a").hook(Hook::command("/bin/false", [""; 0]));
    let start = Presence::start(config, move |event| {
        assert!(!matches!(event, PresenceEvent::Hook(_)), "a mistake");
        own.take(event);
    });
    let presence = runtime.block_on(start).unwrap();
    let observer = presence.observer();
    let server = heartwire::server::ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1);
    let server = heartwire::server::Server::start(server, |shard| {
        let observer = observer.clone();
        move |event: heartwire::server::Event<&[u8]>, _: &mut heartwire::server::Control<'_>| {
            observer.observe(shard, &event);
        }
    });
    let server = server.unwrap();
    let addr = *server.local_addrs().first().unwrap();
    let _client = Peer::welcomed(addr, &hello_as("ann", None));
    told.wait_for("it is told", |event| {
        matches!(event, PresenceEvent::Failed { part: "hooks", .. })
    });
}
