//! Nodes and clients.

use std::sync::{Arc, Mutex};

use heartwire::Reason;
use heartwire::client::{Client, ClientConfig, Event as ClientEvent, V1};
use heartwire::server::{Event, Server, ServerConfig};
use heartwire_presence::{Config, NodeName, Presence, PresenceEvent, StartError};
use heartwire_testkit::{PATIENCE, ms, patient, wait_until};
use tokio::runtime::Runtime;

/// A runtime for the tasks of a test.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub(crate) fn config(node: &str) -> Config {
    Config::new(node.parse::<NodeName>().unwrap()).hold(None)
}

/// A node and its server.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) presence: Presence,
    pub(crate) server: Server,
    pub(crate) told: Told,
}

/// What a node has told of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<PresenceEvent>>>);

impl Told {
    pub(crate) fn all(&self) -> Vec<PresenceEvent> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn has(&self, is_it: impl Fn(&PresenceEvent) -> bool) -> bool {
        self.all().iter().any(is_it)
    }

    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&PresenceEvent) -> bool) {
        wait_until(what, || self.has(&is_it));
    }

    pub(crate) fn take(&self, event: PresenceEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Node {
    pub(crate) fn start(runtime: &Runtime, config: Config) -> Result<Self, StartError> {
        let told = Told::default();
        let own = told.clone();
        let start = Presence::start(config, move |event| own.take(event));
        let presence = runtime.block_on(start)?;
        let observer = presence.observer();
        let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
            .threads(2)
            .policy(patient())
            .epoch_clock(presence.epoch_clock());
        let server = Server::start(config, |shard| {
            let observer = observer.clone();
            move |event: Event<&[u8]>, _: &mut heartwire::server::Control<'_>| {
                observer.observe(shard, &event);
            }
        });
        let server = server.unwrap();
        presence.attach(server.handle().clone());
        Ok(Self { presence, server, told })
    }

    /// Its id, once it has a lease.
    pub(crate) fn id(&self) -> String {
        wait_until("the node has joined", || self.presence.status().node.is_some());
        self.presence.status().node.unwrap().to_string()
    }

    /// A client of this name, which is online.
    pub(crate) fn client(&self, runtime: &Runtime, name: &str) -> Named {
        let addr = self.server.local_addrs().first().unwrap().to_string();
        let config = ClientConfig::new(addr).v1(V1::default().name(name)).policy(patient());
        let (client, events) = runtime.block_on(async { Client::start(config) });
        let mut named = Named { _client: client, events };
        let is_online = |event: &ClientEvent| matches!(event, ClientEvent::Online { .. });
        named.wait_for(runtime, is_online);
        named
    }

    /// Ends the server, then presence.
    pub(crate) fn close(self, runtime: &Runtime) {
        self.server.handle().shutdown_within(ms(0));
        self.server.join().unwrap();
        runtime.block_on(self.presence.close(PATIENCE));
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Named {
    _client: Client,
    events: heartwire::client::Events,
}

impl Named {
    pub(crate) fn wait_for(
        &mut self,
        runtime: &Runtime,
        is_it: impl Fn(&ClientEvent) -> bool,
    ) -> ClientEvent {
        runtime.block_on(async {
            let next = async {
                loop {
                    let event = self.events.recv().await.unwrap();
                    if is_it(&event) {
                        return event;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, next).await.unwrap()
        })
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, runtime: &Runtime) -> Reason {
        let is_end = |event: &ClientEvent| matches!(event, ClientEvent::Offline { .. });
        let ClientEvent::Offline { reason, .. } = self.wait_for(runtime, is_end) else {
            unreachable!("that was waited for")
        };
        reason
    }
}
