//! The session tickets of a client, from one connection to the next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup};

/// The most tickets that a client keeps. Each is offered once: two connections with the same one
/// would show a listener that they are from one client. The second is for when an attempt fails.
const MAX_TICKETS: usize = 2;

/// The tickets of one client for its server. Clients with the same settings do not share them: they
/// would use up those of others.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// The shared settings, and the same with this client's store.
    config: Option<(Arc<ClientConfig>, Arc<ClientConfig>)>,
}

impl Tickets {
    /// These settings with this client's tickets, which are dropped if they are from others.
    pub(super) fn with(&mut self, shared: Arc<ClientConfig>) -> Arc<ClientConfig> {
        if let Some((known, own)) = &self.config {
            if Arc::ptr_eq(known, &shared) {
                return Arc::clone(own);
            }
        }
        let mut own = ClientConfig::clone(&shared);
        own.resumption = Resumption::store(Arc::new(Store::default()));
        let own = Arc::new(own);
        self.config = Some((shared, Arc::clone(&own)));
        own
    }
}

#[derive(Debug, Default)]
struct Store(Mutex<Stored>);

#[derive(Debug, Default)]
struct Stored {
    /// The oldest first.
    tickets: VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>,
    /// The key exchange that the server has asked for.
    group: Option<NamedGroup>,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, _server: ServerName<'static>, group: NamedGroup) {
        self.lock().group = Some(group);
    }

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        self.lock().group
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut stored = self.lock();
        stored.tickets.reserve_exact(1);
        stored.tickets.push_back((server, value));
        if stored.tickets.len() > MAX_TICKETS {
            stored.tickets.pop_front();
        }
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let (name, value) = self.lock().tickets.pop_back()?;
        (name == *server).then_some(value)
    }

    // Only TLS 1.3 is spoken.

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}
