//! The options of presence and hooks.

use core::num::NonZeroU32;
use core::time::Duration;
use std::path::PathBuf;

use clap::Args;
use heartwire_presence::NodeName;

use crate::exit::Usage;
use crate::values::{SecretUrl, TimeOrOff, above_zero, duration, seconds, time_or_off};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Presence and hooks")]
pub(crate) struct PresenceArgs {
    /// Share with other servers which names are online, through this Redis (6.2 or later) or
    /// Valkey: redis://HOST:PORT/DB, rediss:// with TLS, or redis+unix:///PATH.
    ///
    /// docs/presence.md describes it. While Redis does not answer, sessions go on, and changes
    /// wait. Other users of this machine can see a command line: put a URL with a password into
    /// --config, or into HEARTWIRE_PRESENCE.
    #[arg(long, value_name = "URL")]
    pub(crate) presence: Option<SecretUrl>,

    /// The name of this server among those that share presence, and in its hooks: letters, digits,
    /// `-`, `_` and `.`, at most 64 [default: the name of the machine].
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<NodeName>,

    /// How long other servers wait for this one to renew its entry in Redis, before they look
    /// whether it is dead, at least 1s [default: 15s].
    ///
    /// Then its names go offline; the line that the server starts with says how soon. Give all
    /// servers the same.
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "presence")]
    pub(crate) presence_lease: Option<Duration>,

    /// Tell this URL which names come online, move and go offline: a POST with JSON for up to 100
    /// changes.
    ///
    /// In order for each name, and again until it is taken. With --presence one server tells it for
    /// all, also of names whose server has died. docs/hooks.md has the JSON, and what a receiver
    /// can rely on.
    #[arg(long, value_name = "URL", conflicts_with = "hook_command")]
    pub(crate) hook: Option<SecretUrl>,

    /// Tell this program instead, which is run for up to 100 changes with the same JSON on its
    /// standard input, and has taken them when it exits with code 0.
    #[arg(long, value_name = "PATH")]
    pub(crate) hook_command: Option<PathBuf>,

    /// File with the secret that --hook is signed with, as Standard Webhooks specifies it: `whsec_`
    /// and base64, or another text of at least 24 bytes.
    #[arg(long, value_name = "FILE", requires = "hook")]
    pub(crate) hook_secret_file: Option<PathBuf>,

    /// How long changes are tried again, before they are given up and counted [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) hook_give_up: Option<Duration>,

    /// Hold an offline back for so long: if the client returns by then, neither is told [default:
    /// 0s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) offline_after: Option<Duration>,

    /// When many clients are lost at once and this server may be the cause, hold their offlines
    /// back for so long, and tell one incident; `off` tells them at once [default: 60s].
    ///
    /// That is so after a pause of this server, while an interface is down, when no client is heard
    /// any more, or when one in twenty is lost within 10 s. For that the offline of a client that
    /// was lost always waits 2 s. Verdicts and their events are never held back.
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) hold: Option<TimeOrOff>,

    /// Offlines told per second when a hold is over [default: 200].
    #[arg(long, value_name = "N", value_parser = above_zero)]
    pub(crate) hold_pace: Option<NonZeroU32>,
}

impl PresenceArgs {
    /// Whether anything is told to others.
    pub(in crate::serve) const fn is_given(&self) -> bool {
        self.presence.is_some() || self.has_hook()
    }

    pub(in crate::serve) const fn has_hook(&self) -> bool {
        self.hook.is_some() || self.hook_command.is_some()
    }

    pub(super) fn lease(&self) -> Duration {
        self.presence_lease.unwrap_or(Duration::from_secs(15))
    }

    pub(super) fn give_up(&self) -> Duration {
        self.hook_give_up.unwrap_or(Duration::from_secs(10 * 60))
    }

    pub(super) fn offline_after(&self) -> Duration {
        self.offline_after.unwrap_or(Duration::ZERO)
    }

    pub(super) fn hold(&self) -> Option<Duration> {
        self.hold.map_or(Some(Duration::from_secs(60)), |hold| hold.0)
    }

    pub(super) fn pace(&self) -> NonZeroU32 {
        const PACE: NonZeroU32 = NonZeroU32::new(200).unwrap();
        self.hold_pace.unwrap_or(PACE)
    }

    /// Refuses options without effect, and a URL that was printed without its secret.
    pub(super) fn check(&self) -> Result<(), Usage> {
        for (option, url) in [("--presence", &self.presence), ("--hook", &self.hook)] {
            if let Some(url) = url.as_ref().filter(|url| url.is_hidden()) {
                return Err(Usage(format!(
                    "{option} {url} was printed without its secret: write that in place of ***"
                )));
            }
        }
        let without_hook = !self.has_hook() && self.hook_give_up.is_some();
        if without_hook {
            return Err(Usage(
                "--hook-give-up has no effect without --hook or --hook-command".to_owned(),
            ));
        }
        let idle = [
            ("--node", self.node.is_some()),
            ("--offline-after", self.offline_after.is_some()),
            ("--hold", self.hold.is_some()),
            ("--hold-pace", self.hold_pace.is_some()),
        ];
        let idle = idle.iter().find(|(_, is_given)| *is_given);
        if let Some((option, _)) = idle.filter(|_| !self.is_given()) {
            return Err(Usage(format!(
                "{option} has no effect without --presence, --hook or --hook-command"
            )));
        }
        if self.hold == Some(TimeOrOff(None)) && self.hold_pace.is_some() {
            return Err(Usage("--hold-pace has no effect with --hold off".to_owned()));
        }
        Ok(())
    }

    /// The node's name: that of the machine, unless another is given.
    pub(super) fn node(&self) -> Result<NodeName, Usage> {
        if let Some(node) = &self.node {
            return Ok(node.clone());
        }
        let machine = machine();
        machine.parse().map_err(|error| {
            Usage(format!(
                "choose a name with --node: that of this machine is {machine:?}; {error}"
            ))
        })
    }
}

/// The name of this machine.
#[cfg(unix)]
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
