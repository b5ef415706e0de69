//! SIGHUP for a server: its configuration file, and the files that options name, are read again.
//!
//! All of them are read and checked before anything changes: a fault in one changes nothing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use crate::args::Command;
use crate::log;
use crate::output::{inform, say_with, warn};
use crate::settings::{self, Value};
use crate::signals::Hangup;
use crate::systemd::Manager;

/// A running server that takes over what has changed.
pub(crate) trait Reload: Sized + Send + 'static {
    /// What the new options amount to, with all files that they name.
    type Checked;

    /// Options that can change while it runs: files only if there were some at the start.
    const RELOADABLE: &'static [&'static str];

    /// Checks new options, and reads the files that they name. `None` if the command is another
    /// one, which cannot be.
    fn check(&self, command: Command) -> anyhow::Result<Option<Self::Checked>>;

    /// Takes over what can change, and says what it has read again.
    fn take(&mut self, checked: Self::Checked) -> Kept;
}

/// Whether a server is with and without files as it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) tokens: bool,
    pub(crate) tls: bool,
    pub(crate) http_token: bool,
    pub(crate) hook_secret: bool,
    /// It has any of these files.
    pub(crate) has_files: bool,
}

/// What changes while a server runs.
#[derive(Debug)]
pub(crate) struct Live(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    drain: Duration,
    is_stopping: bool,
}

impl Live {
    pub(crate) fn new(drain: Duration) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { drain, is_stopping: false })))
    }

    /// From now on nothing is reloaded. Returns how long the stop may take.
    pub(crate) fn stop(&self) -> Duration {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopping = true;
        state.drain
    }

    pub(crate) fn set_drain(&self, drain: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain = drain;
    }

    fn is_stopping(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_stopping
    }
}

/// A server with the options in force.
pub(crate) struct Reloading<R> {
    pub(crate) given: BTreeMap<String, Value>,
    pub(crate) live: Arc<Live>,
    pub(crate) server: R,
}

impl<R: Reload> Reloading<R> {
    /// Reloads on each signal.
    pub(crate) async fn run(mut self, mut hangup: Hangup, manager: Manager) {
        loop {
            hangup.signal().await;
            if self.live.is_stopping() {
                inform("SIGHUP is ignored while the server stops");
                continue;
            }
            let _until_done = manager.reloading();
            // Not on the thread that takes signals: a file system may be slow. It never panics.
            let reload = spawn_blocking(move || {
                if let Err(error) = self.reload() {
                    warn(format_args!("cannot reload, and nothing has changed: {error}"));
                }
                self
            });
            let Ok(reload) = reload.await else { return };
            self = reload;
        }
    }

    /// Takes over what can change, and says what cannot.
    fn reload(&mut self) -> Result<(), String> {
        let all = |error: anyhow::Error| format!("{error:#}");
        let line: Vec<OsString> = env::args_os().collect();
        let (cli, settings) = settings::parse(&line).map_err(|refused| refused.in_line())?;
        let filter = log::filter(cli.log_level()).map_err(|error| error.to_string())?;
        let checked = self.server.check(cli.command).map_err(all)?;
        let Some(checked) = checked.filter(|_| !self.live.is_stopping()) else { return Ok(()) };
        if let Some(file) = &settings.file {
            inform(format_args!("read {} again", file.display()));
        }
        let kept = self.server.take(checked);
        log::set_filter(filter);
        if settings.file.is_none() && !kept.has_files {
            inform("SIGHUP reads --config, and the files of other options; none is given");
        }
        for name in changed(&self.given, &settings.given) {
            let is_kept = match name.as_str() {
                "tokens" => kept.tokens,
                "http-token" => kept.http_token,
                "hook-secret-file" => kept.hook_secret,
                name if name.starts_with("tls-") => kept.tls,
                _ => true,
            };
            let is_taken = is_kept && R::RELOADABLE.contains(&name.as_str());
            let new = settings.given.get(&name);
            let shown = |value: Option<&Value>| value.map(|value| value.without_secrets(&name));
            tell(&name, shown(new).as_ref(), shown(self.given.get(&name)).as_ref(), is_taken);
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
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    say_with(level, message, fields);
}

/// The options that differ.
fn changed(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let names = old.keys().chain(new.keys());
    names.filter(|&name| old.get(name) != new.get(name)).cloned().collect()
}

/// Says that tokens were read again.
pub(crate) fn tell_tokens(from: &Path) {
    let gone = "sessions whose token is gone end now";
    inform(format_args!("read {} again; {gone}", from.display()));
}
