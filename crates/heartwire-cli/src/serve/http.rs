//! The HTTP side of `serve`: metrics, health, sessions and events, and a page that shows them.
//!
//! It has a thread of its own, so that no session waits for it. docs/http.md describes it.

mod args;
mod connections;
mod guard;
mod health;
mod heat;
mod listener;
mod metrics;
mod page;
mod reply;
mod routes;
mod sessions;
mod spares;
mod stats;
mod stream;

use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use heartwire::Policy;
use heartwire::server::{Event, Handle};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::lines::{Client, Line};
use super::presence::{self, Status};
use super::resources::Row;
use crate::output::warn;
use crate::systemd::HttpSocket;

pub(crate) use args::{HttpAddress, HttpArgs};
pub(crate) use listener::CannotServe;

use guard::Guard;
pub(crate) use guard::Token;
use health::Health;
use heat::HeatMap;
use listener::Bound;
use reply::Refusal;
use stream::Readers;

/// Between looks whether readers of events have the last ones.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// HTTP while it is served.
#[derive(Debug)]
pub(super) struct Http {
    address: HttpAddress,
    shared: Arc<Shared>,
    #[cfg(unix)]
    _file: Option<listener::SocketFile>,
}

/// What a shard tells of its events.
#[derive(Clone, Debug)]
pub(super) struct Observer(Arc<Shared>);

/// The settings of the server.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) policy: Policy,
    pub(super) shards: usize,
    pub(super) drain: Duration,
    /// Presence and hooks, if there are any.
    pub(super) presence: Option<presence::Shared>,
}

/// What requests are answered from.
#[derive(Debug)]
struct Shared {
    began: Instant,
    /// The same on the wall clock. Read once, so that it is one number in every scrape.
    started_at: SystemTime,
    guard: Guard,
    health: Health,
    readers: Arc<Readers>,
    heat: HeatMap,
    resources: Mutex<Vec<Row>>,
    running: OnceLock<Running>,
    /// The server listens.
    listens: Notify,
    /// A client has asked for the end of the server.
    drained: Notify,
}

/// The server, once it listens.
#[derive(Debug)]
struct Running {
    server: Handle,
    settings: Mutex<Settings>,
}

impl Running {
    fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    /// What the server uses and may use, as of a second ago at most.
    fn resources(&self) -> Vec<Row> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn running(&self) -> Result<&Running, Refusal> {
        self.running.get().ok_or_else(|| Refusal::busy("the server is starting"))
    }

    /// Watches the server once it listens.
    async fn watch(&self) {
        self.listens.notified().await;
        if let Some(running) = self.running.get() {
            self.health.watch(&running.server).await;
        }
    }

    /// How presence and hooks are, if there are any.
    fn presence(&self) -> Option<Status> {
        self.running.get()?.settings().presence?.status()
    }

    /// Why the server is not ready; empty if it is.
    fn reasons(&self) -> Vec<String> {
        self.health.reasons(self.running.get().map(|running| &running.server))
    }

    /// Begins the end of the server; returns its window.
    fn drain(&self, window: Option<Duration>) -> Result<Duration, Refusal> {
        let window = window.unwrap_or(self.running()?.settings().drain);
        let window = self.health.drain(window);
        self.drained.notify_one();
        Ok(window)
    }
}

impl Http {
    /// Serves HTTP, if that is wanted, from now on. Before [`started`](Self::started) it only says
    /// that the server is not ready.
    ///
    /// `passed`: a socket for it that listens already.
    pub(super) fn start(
        args: &HttpArgs,
        passed: Option<HttpSocket>,
    ) -> anyhow::Result<Option<Self>> {
        args.check(passed.is_some())?;
        let (bound, address) = match (passed, &args.http) {
            (Some(socket), _) => {
                let (bound, address) = Bound::passed(socket)?;
                args.check_address(&address)?;
                (bound, address)
            }
            (None, Some(address)) => {
                args.check_address(address)?;
                Bound::new(address)?
            }
            (None, None) => return Ok(None),
        };
        let shared = Arc::new(Shared {
            began: Instant::now(),
            started_at: SystemTime::now(),
            guard: Guard::new(args, &address)?,
            health: Health::default(),
            readers: Arc::default(),
            heat: HeatMap::default(),
            resources: Mutex::default(),
            running: OnceLock::new(),
            listens: Notify::new(),
            drained: Notify::new(),
        });
        if args.http_anywhere {
            warn("HTTP is not encrypted: other machines on the path can read it, and the token");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        #[cfg(unix)]
        let (bound, file) = bound.without_file();
        let listener = {
            let _guard = runtime.enter();
            bound.start()?
        };
        let app = routes::router(&shared);
        let watched = Arc::clone(&shared);
        thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.spawn(async move { watched.watch().await });
            runtime.block_on(connections::serve(listener, app));
        })?;
        Ok(Some(Self {
            address,
            shared,
            #[cfg(unix)]
            _file: file,
        }))
    }

    pub(super) const fn address(&self) -> &HttpAddress {
        &self.address
    }

    /// The server listens.
    pub(super) fn started(&self, server: Handle, settings: Settings) {
        let shared = &self.shared;
        let settings = Mutex::new(settings);
        if shared.running.set(Running { server, settings }).is_ok() {
            shared.health.started();
            shared.listens.notify_one();
        }
    }

    pub(super) fn observer(&self) -> Observer {
        Observer(Arc::clone(&self.shared))
    }

    /// To be called before a drain with this window begins, so that no client is sent here in
    /// between. Returns the window: that of an earlier one if there is.
    pub(super) fn drain(&self, window: Duration) -> Duration {
        self.shared.health.drain(window)
    }

    /// Passes on the last line, and waits until readers of events have it.
    pub(super) async fn close(&self, line: Line) {
        self.shared.readers.close(line);
        while !self.shared.readers.is_read() {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Checks the options and the files that they name.
pub(super) fn check(args: &HttpArgs) -> anyhow::Result<()> {
    let Some(address) = &args.http else { return Ok(()) };
    args.check_address(address)?;
    Guard::new(args, address)?;
    Ok(())
}

/// Waits until a client asks for the end of the server. Without HTTP none does.
pub(super) async fn drained(http: Option<&Http>) {
    match http {
        Some(http) => http.shared.drained.notified().await,
        None => core::future::pending().await,
    }
}

impl Observer {
    /// Another token is the right one from now on. False, with nothing changed, if one was to be
    /// added or removed.
    pub(super) fn replace_token(&self, new: Option<Token>) -> bool {
        self.0.guard.replace_token(new)
    }

    /// The default window of a drain has changed.
    pub(super) fn set_drain(&self, drain: Duration) {
        if let Some(running) = self.0.running.get() {
            running.settings.lock().unwrap_or_else(PoisonError::into_inner).drain = drain;
        }
    }

    /// Passes an event of a session of this client on to those who read events.
    pub(super) fn observe(&self, event: &Event<&[u8]>, client: Option<&Arc<Client>>) {
        self.0.readers.publish(event, || client.cloned());
    }

    /// Passes a line of this kind on to those who read events.
    pub(super) fn pass_on(&self, kind: &'static str, line: Line) {
        self.0.readers.pass_on_line(kind, line);
    }

    /// Takes note of what the server uses, and whether the kernel is about to drop new clients.
    pub(super) fn tell_resources(&self, rows: Vec<Row>, is_backlog_full: bool) {
        *self.0.resources.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        self.0.health.set_short(is_backlog_full.then_some("backlog").into_iter().collect());
    }
}

#[cfg(test)]
mod tests;
