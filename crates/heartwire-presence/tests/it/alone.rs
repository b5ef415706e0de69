//! A node without Redis.

use core::time::Duration;
use std::fs;

use heartwire_presence::{Hook, Presence, PresenceEvent};
use heartwire_testkit::{Peer, hello_as, wait_until};
use serde_json::Value;
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
fn clients_that_are_lost_at_once_are_one_incident_and_those_that_return_were_never_offline() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("told");
    let append = format!("cat >> '{0}'; echo >> '{0}'", file.display());
    let hook = Hook::command("/bin/sh", ["-c", &append]);
    let runtime = runtime();
    let hold = Some(Duration::from_secs(3_600));
    let node = Node::start(&runtime, config("a").hook(hook).hold(hold)).unwrap();
    let addr = *node.server.local_addrs().first().unwrap();
    let names: Vec<_> = (10..40).map(|n| format!("client {n}")).collect();
    let hello = |name: &str| Peer::welcomed(addr, &hello_as(name, None)).0;
    let clients: Vec<_> = names.iter().map(|name| hello(name)).collect();
    clients.into_iter().for_each(Peer::reset);
    node.told.wait_for("it is told", |event| matches!(event, PresenceEvent::Incident(_)));
    wait_until("all are lost", || {
        let status = node.presence.status();
        usize::try_from(status.names).unwrap() == status.held
    });
    let returned = &names[25..];
    let _back: Vec<_> = returned.iter().map(|name| hello(name)).collect();
    wait_until("five are back", || node.presence.status().cancelled == 5);
    let told = node.told.clone();
    node.close(&runtime);

    let told = told.all();
    let [PresenceEvent::Incident(incident), PresenceEvent::IncidentOver(over)] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((over.lost, over.returned), (over.gone + 5, 5));
    // Lanes write at the same time: perhaps several deliveries on a line.
    let text = fs::read_to_string(file).unwrap();
    let deliveries = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let changes = deliveries.flat_map(|one| one.unwrap()["changes"].as_array().unwrap().clone());
    let of_incident: Vec<_> = changes
        .filter(|change| change["kind"] == "offline")
        .filter(|change| change["incident"] == *incident.incident)
        .collect();
    assert_eq!(of_incident.len(), usize::try_from(over.gone).unwrap());
    for change in of_incident {
        assert_eq!(change["reason"], "reset");
        assert!(!returned.iter().any(|name| change["name"] == **name), "{change}");
    }
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
