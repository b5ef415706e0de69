//! The clients of a shard's sessions, for the names in their events.

use std::collections::HashMap;
use std::sync::Arc;

use heartwire::server::Event;

use super::feed::session;
use super::lines::Client;

/// The clients of the sessions of one shard that are on protocol v1 and online. Each shard has its
/// own, so that no shard waits for another one to learn a name.
#[derive(Debug)]
pub(super) struct Clients {
    of: HashMap<u64, Arc<Client>>,
    /// All clients without a name share this. It is made on the shard's own thread, in memory that
    /// no other shard writes to.
    unnamed: Option<Arc<Client>>,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { of: HashMap::new(), unnamed: None }
    }

    /// The client of an event's session, which is known from its `Online` to its `Offline`. To be
    /// called once for each event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
    pub(super) fn of(&mut self, event: &Event<&[u8]>) -> Option<Arc<Client>> {
        let session = session(event)?;
        match event {
            Event::Online { agreed, .. } => {
                let agreed = agreed.as_ref()?;
                let make = || Arc::new(Client { name: agreed.name.clone(), epoch: agreed.epoch });
                let client = match &agreed.name {
                    None => Arc::clone(self.unnamed.get_or_insert_with(make)),
                    Some(_) => make(),
                };
                self.of.insert(session, Arc::clone(&client));
                Some(client)
            }
            Event::Offline { .. } => self.of.remove(&session),
            _ => self.of.get(&session).cloned(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}
