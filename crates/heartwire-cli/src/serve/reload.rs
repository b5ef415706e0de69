//! SIGHUP: the configuration file, and the files that options name, are read again.
//!
//! All of them are read and checked before anything changes: a fault in one changes nothing.

use core::fmt::Display;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use heartwire::server::Handle;
use heartwire::server::auth::Tokens;
use heartwire::tls::SharedServerTls;
use tokio::task::spawn_blocking;

use super::http::{self, Observer};
use super::reloadable::is_reloadable;
use super::{Prepared, ServeArgs, admission};
use crate::args::Command;
use crate::log;
use crate::output::{inform, say_with, warn};
use crate::settings::{self, Settings, Value};
use crate::signals::Hangup;
use crate::systemd::Manager;

/// What changes while the server runs.
#[derive(Debug)]
pub(super) struct Live(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    drain: Duration,
    is_stopping: bool,
}

impl Live {
    pub(super) fn new(drain: Duration) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { drain, is_stopping: false })))
    }

    /// From now on nothing is reloaded. Returns how long the stop may take.
    pub(super) fn stop(&self) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopping = true;
        state.drain
    }

    fn is_stopping(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_stopping
    }

    fn set_drain(&self, drain: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain = drain;
    }
}

/// A server whose options can be read again.
pub(super) struct Reload {
    /// The options in force.
    pub(super) given: BTreeMap<String, Value>,
    pub(super) tokens: Option<Tokens>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) server: Handle,
    pub(super) http: Option<Observer>,
    pub(super) live: Arc<Live>,
}

impl Reload {
    /// Reloads on each signal.
    pub(super) async fn run(mut self, mut hangup: Hangup, manager: Manager) {
        loop {
            hangup.signal().await;
            if self.live.is_stopping() {
                inform("SIGHUP is ignored while the server stops");
                continue;
            }
            let _until_done = manager.reloading();
            // Not on the thread that takes signals: a file system may be slow. It never panics.
            let reload = spawn_blocking(move || {
                self.reload();
                self
            });
            let Ok(reload) = reload.await else { return };
            self = reload;
        }
    }

    fn reload(&mut self) {
        let line: Vec<OsString> = env::args_os().collect();
        match settings::parse(&line) {
            Err(refused) => refuse(refused.in_line()),
            Ok((cli, settings)) => {
                let level = cli.log_level().to_owned();
                // The command cannot have changed.
                let Command::Serve(args) = cli.command else { return };
                if let Err(error) = self.take(&level, &args, settings) {
                    refuse(format_args!("{error:#}"));
                }
            }
        }
    }

    /// Takes over what can change, and says what cannot.
    fn take(&mut self, level: &str, args: &ServeArgs, settings: Settings) -> anyhow::Result<()> {
        let filter = log::filter(level)?;
        let Prepared { tokens, tls, .. } = Prepared::new(args, Vec::new())?;
        http::check(&args.http)?;
        if self.live.is_stopping() {
            return Ok(());
        }
        if settings.file.is_none() && tokens.is_none() && tls.is_none() {
            inform("SIGHUP reads --config, --tokens and --tls-cert again, and none is given");
        }
        if let Some(file) = &settings.file {
            inform(format_args!("read {} again", file.display()));
        }
        let keeps_tokens = self.tokens.is_some() == tokens.is_some();
        let keeps_tls = self.tls.is_some() == tls.is_some();
        if let (Some(current), Some(new), Some(path)) = (&self.tokens, &tokens, &args.tokens) {
            current.replace(new);
            let gone = "sessions whose token is gone end now";
            inform(format_args!("read {} again; {gone}", path.display()));
        }
        if let (Some(current), Some(new)) = (&self.tls, &tls) {
            current.replace(new);
            inform("read the certificates again");
        }
        self.server.set_admission(admission(&args.limits));
        self.live.set_drain(args.drain);
        if let Some(http) = &self.http {
            http.set_drain(args.drain);
        }
        log::set_filter(filter);
        for name in changed(&self.given, &settings.given) {
            let kept = match name.as_str() {
                "tokens" => keeps_tokens,
                name if name.starts_with("tls-") => keeps_tls,
                _ => true,
            };
            let is_taken = kept && is_reloadable(&name);
            let new = settings.given.get(&name);
            tell(&name, new, self.given.get(&name), is_taken);
            if is_taken {
                match new {
                    Some(new) => self.given.insert(name, new.clone()),
                    None => self.given.remove(&name),
                };
            }
        }
        Ok(())
    }
}

/// Says that an option has changed.
fn tell(option: &str, new: Option<&Value>, old: Option<&Value>, is_taken: bool) {
    let shown =
        |value: Option<&Value>| value.map_or("as by default".to_owned(), ToString::to_string);
    let (now, was) = (shown(new), shown(old));
    let (level, message) = if is_taken {
        ("info", format!("{option} is now {now}, was {was}"))
    } else {
        ("warn", format!("{option} can be {now} only after a restart"))
    };
    let fields = [
        ("option", option.into()),
        ("value", new.into()),
        ("was", old.into()),
        ("taken", is_taken.into()),
    ];
    say_with(
        level,
        message,
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
    );
}

/// The options that differ.
fn changed(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let names = old.keys().chain(new.keys());
    names.filter(|&name| old.get(name) != new.get(name)).cloned().collect()
}

fn refuse(error: impl Display) {
    warn(format_args!("cannot reload, and nothing has changed: {error}"));
}
