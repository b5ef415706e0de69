//! The clients of a shard's sessions, for the names in their events.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use heartwire::server::Event;

use super::feed::session;
use super::lines::Client;

/// The clients of the sessions of one shard that are on protocol v1 and online. Each shard has its
/// own, so that no shard waits for another one to learn a name.
#[derive(Debug)]
pub(super) struct Clients {
    named: HashMap<u64, Arc<Client>>,
    /// The sessions of clients without a name, a bit each, by their numbers divided by 64: sessions
    /// that begin one after the other have numbers that follow each other. An entry each took 37
    /// bytes.
    unnamed: HashMap<u64, u64>,
    /// The client of all of these. It is made on the shard's own thread, in memory that no other
    /// shard writes to.
    nameless: Option<Arc<Client>>,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { named: HashMap::new(), unnamed: HashMap::new(), nameless: None }
    }

    /// The client of an event's session, which is known from its `Online` to its `Offline`. To be
    /// called once for each event.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
    pub(super) fn of(&mut self, event: &Event<&[u8]>) -> Option<Arc<Client>> {
        let session = session(event)?;
        match event {
            Event::Online { agreed, .. } => {
                let agreed = agreed.as_ref()?;
                Some(self.add(session, agreed.name.clone(), agreed.epoch))
            }
            Event::Offline { .. } => self.remove(session),
            _ => self.get(session),
        }
    }

    fn add(&mut self, session: u64, name: Option<Box<str>>, epoch: u64) -> Arc<Client> {
        let (word, bit) = bit(session);
        if name.is_none() {
            *self.unnamed.entry(word).or_default() |= bit;
            let make = || Arc::new(Client { name: None, epoch: 0 });
            return Arc::clone(self.nameless.get_or_insert_with(make));
        }
        let client = Arc::new(Client { name, epoch });
        self.named.insert(session, Arc::clone(&client));
        client
    }

    fn get(&self, session: u64) -> Option<Arc<Client>> {
        let (word, bit) = bit(session);
        let is_unnamed = || self.unnamed.get(&word).is_some_and(|bits| bits & bit > 0);
        let named = self.named.get(&session);
        named.or_else(|| self.nameless.as_ref().filter(|_| is_unnamed())).cloned()
    }

    fn remove(&mut self, session: u64) -> Option<Arc<Client>> {
        if let Some(client) = self.named.remove(&session) {
            return Some(client);
        }
        let client = self.get(session)?;
        let (word, bit) = bit(session);
        if let Entry::Occupied(mut bits) = self.unnamed.entry(word) {
            *bits.get_mut() &= !bit;
            if *bits.get() == 0 {
                bits.remove();
            }
        }
        Some(client)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let unnamed: u32 = self.unnamed.values().map(|bits| bits.count_ones()).sum();
        self.named.len() + usize::try_from(unnamed).unwrap()
    }
}

/// Where a session's bit is.
const fn bit(session: u64) -> (u64, u64) {
    (session / 64, 1 << (session % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_from_their_beginning_to_their_end_with_a_name_and_without() {
        let mut clients = Clients::new();
        let name =
            |session: u64| session.is_multiple_of(3).then(|| format!("door {session}").into());
        let sessions = [0, 1, 63, 64, 65, 1 << 32, (1 << 32) + 1, u64::MAX];
        for session in sessions {
            assert!(clients.get(session).is_none());
            let client = clients.add(session, name(session), session);
            assert_eq!(client.name, name(session));
        }
        assert_eq!(clients.len(), sessions.len());
        for session in sessions {
            let epoch = if session.is_multiple_of(3) { session } else { 0 };
            let known = clients.get(session).unwrap();
            assert_eq!((&known.name, known.epoch), (&name(session), epoch));
            assert_eq!(clients.remove(session).unwrap().name, name(session));
            assert!(clients.get(session).is_none() && clients.remove(session).is_none());
        }
        assert!(clients.named.is_empty() && clients.unnamed.is_empty());
    }

    #[test]
    fn clients_without_a_name_take_a_bit_each() {
        let mut clients = Clients::new();
        (0..64_000).for_each(|session| drop(clients.add(session, None, 0)));
        assert_eq!((clients.len(), clients.unnamed.len()), (64_000, 1_000));
    }
}
