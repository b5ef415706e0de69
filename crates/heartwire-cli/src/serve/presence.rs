//! Presence and hooks of a server: what it tells other servers and programs of who is online.

mod args;
mod lines;
mod now;
mod shown;
mod telling;

use core::time::Duration;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heartwire::server::{EpochClock, Handle};
use heartwire_presence::{Config, Hook, Presence};
use tokio::runtime::{Builder, Runtime};

use super::http::HttpAddress;
use crate::exit::Usage;

pub(crate) use args::PresenceArgs;
pub(super) use heartwire_presence::{Observer, Secret, Status};
pub(super) use lines::{HookState, Incident, IncidentOver, PresenceState};
pub(super) use now::Now;
pub(super) use shown::Shown;
pub(super) use telling::Telling;

/// How long the end waits for a Redis that does not answer.
const LOST_WITHIN: Duration = Duration::from_secs(1);

/// What presence is started with.
#[derive(Debug)]
pub(super) struct Prepared {
    config: Config,
    shown: Shown,
    /// What deliveries of the hook are signed with.
    pub(super) secret: Option<Secret>,
}

impl Prepared {
    /// Checks the options and the files that they name. `None` if nothing is told to others.
    pub(super) fn new(args: &PresenceArgs) -> Result<Option<Self>, Usage> {
        args.check()?;
        if !args.is_given() {
            return Ok(None);
        }
        let node = args.node()?;
        let mut config = Config::new(node.clone())
            .offline_after(args.offline_after())
            .hold(args.hold())
            .pace(args.pace());
        if let Some(url) = &args.presence {
            let cannot = |error| Usage(format!("cannot use --presence {url}: {error}"));
            config = config.redis(url.reveal()).map_err(cannot)?.lease(args.lease());
        }
        let secret = args.hook_secret_file.as_deref().map(load_secret).transpose()?;
        if let Some(hook) = hook(args, secret.clone())? {
            config = config.hook(hook.give_up(args.give_up()));
        }
        let shown = Shown::new(args, &node, &config);
        Ok(Some(Self { config, shown, secret }))
    }

    /// Tells operators where HTTP is, if it is served.
    pub(super) fn reached_at(self, http: Option<&HttpAddress>) -> Self {
        let Some(http) = http else { return self };
        Self { config: self.config.address(&http.to_string()), ..self }
    }
}

fn hook(args: &PresenceArgs, secret: Option<Secret>) -> Result<Option<Hook>, Usage> {
    if let Some(url) = &args.hook {
        let cannot = |error| Usage(format!("cannot use --hook {url}: {error}"));
        return Hook::http(url.reveal(), secret).map(Some).map_err(cannot);
    }
    let Some(path) = &args.hook_command else { return Ok(None) };
    if let Some(why) = why_not_started(path) {
        return Err(Usage(format!("cannot start --hook-command {}: {why}", path.display())));
    }
    let cannot = |error| Usage(format!("cannot start --hook-command {}: {error}", path.display()));
    // A name alone would be looked for in PATH.
    let path = std::path::absolute(path).map_err(cannot)?;
    let no_arguments: [OsString; 0] = [];
    Ok(Some(Hook::command(path, no_arguments)))
}

fn load_secret(path: &Path) -> Result<Secret, Usage> {
    let cannot = |why: &str| Usage(format!("cannot use the secret in {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| cannot(&error.to_string()))?;
    Secret::new(&text).map_err(|error| cannot(&error.to_string()))
}

/// Why a file cannot be started as a program; the system says the rest when it is.
fn why_not_started(path: &Path) -> Option<String> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    if !file.is_file() {
        return Some("it is no file".to_owned());
    }
    #[cfg(unix)]
    if let Err(error) = rustix::fs::access(path, rustix::fs::Access::EXEC_OK) {
        return Some(std::io::Error::from(error).to_string());
    }
    None
}

/// Presence while the server runs. It has a thread of its own: so neither a slow Redis nor a slow
/// hook delays signals, and neither waits for printing.
#[derive(Debug)]
pub(super) struct Running {
    presence: Shared,
    observer: Observer,
    epoch_clock: EpochClock,
    telling: Arc<Telling>,
    shown: Shown,
    runtime: Runtime,
}

impl Running {
    /// Joins the servers that share presence, if Redis answers; otherwise that comes later.
    pub(super) fn start(prepared: Prepared, telling: Telling) -> anyhow::Result<Self> {
        let Prepared { config, shown, .. } = prepared;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("presence")
            .enable_all()
            .build()?;
        let telling = Arc::new(telling);
        let on_event = Arc::clone(&telling);
        let start = Presence::start(config, move |event| on_event.tell(event));
        let presence = runtime.block_on(start)?;
        let (observer, epoch_clock) = (presence.observer(), presence.epoch_clock());
        let presence = Shared(Arc::new(Mutex::new(Some(presence))));
        Ok(Self { presence, observer, epoch_clock, telling, shown, runtime })
    }

    /// The server listens.
    pub(super) fn attach(&self, server: Handle) {
        if let Some(presence) = self.presence.lock().as_ref() {
            presence.attach(server);
        }
    }

    /// The first line is there: others may follow.
    pub(super) fn begin(&self) {
        self.telling.begin();
    }

    pub(super) fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// The clock that its server's epochs come from: so those of all nodes compare.
    pub(super) fn epoch_clock(&self) -> EpochClock {
        self.epoch_clock.clone()
    }

    /// What the first line says of it.
    pub(super) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    pub(super) fn shared(&self) -> Shared {
        self.presence.clone()
    }

    /// Tells what is left, and leaves the servers that share presence.
    pub(super) async fn close(&self, within: Duration) {
        let presence = self.presence.lock().take();
        if let Some(presence) = presence {
            let is_lost = presence.status().connected == Some(false);
            let within = if is_lost { within.min(LOST_WITHIN) } else { within };
            presence.close(within).await;
        }
    }

    /// Ends its thread, without waiting for it.
    pub(super) fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// What requests over HTTP are answered from.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Option<Presence>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Presence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is now; `None` at the end of the server.
    pub(super) fn status(&self) -> Option<Status> {
        self.lock().as_ref().map(Presence::status)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[track_caller]
    fn shown(options: &[&str]) -> String {
        let words = ["heartwire", "serve", "--node", "eu-1"].iter().chain(options);
        let Command::Serve(args) = Cli::parse_from(words).command else { panic!("{options:?}") };
        Prepared::new(&args.presence).unwrap().unwrap().shown.to_string()
    }

    #[test]
    fn bounds_of_what_others_are_told_are_printed() {
        let url = "redis://:s3cret@10.0.0.5/1";
        assert_eq!(
            shown(&["--presence", url, "--hook", "https://example.org/s3cret"]),
            "  presence: node eu-1 in redis://:***@10.0.0.5/1; if it dies, its names are offline \
             within 32s, and 1s more for each 2000 of them\n  \
             hooks: to https://example.org/***, each tried again for up to 10m\n  \
             offlines: told 0s after a client left, and 2s after it was lost; in an incident from \
             62s on at the latest, 200 a second\n"
        );
        let hook = ["--hook", "http://localhost", "--hook-give-up", "30s", "--hold", "off"];
        assert_eq!(
            shown(&[&hook[..], &["--offline-after", "10s"]].concat()),
            "  hooks: to http://localhost, each tried again for up to 30s; kept in memory only\n  \
             offlines: told 10s after a client left, and 10s after it was lost\n"
        );
    }
}
