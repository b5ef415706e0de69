//! The options of `top`.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::http_client::{DEFAULT_URL, Endpoint};
use crate::values::{Format, duration};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire top
      the server of this machine whose --http is 127.0.0.1:39080; h lists the keys, q quits
  heartwire top --delay 5s --http-token http.token unix:/run/heartwire/http.sock
      a look every 5 s; k may end sessions
  heartwire top --once --sort rtt --view sessions | head -20
  heartwire top --json | jq .stats.now.sessions

NO_COLOR=1 in the environment turns colours off.

Exit codes: 0 quit, or stopped by a signal; 2 invalid arguments, 4 no answer (at the start, or with
--once), 1 other failures.";

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The server's --http address, as http://HOST:PORT or unix:PATH.
    #[arg(default_value = DEFAULT_URL)]
    pub(super) url: Endpoint,

    /// Ask the server this often.
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = delay)]
    pub(super) delay: Duration,

    /// What to show first.
    #[arg(long, value_enum, default_value_t = View::Overview)]
    pub(super) view: View,

    /// The order of the sessions, in the other views than the overview.
    #[arg(long, value_enum, default_value_t = Sort::Due)]
    pub(super) sort: Sort,

    /// Only sessions with this in their name.
    #[arg(long, value_name = "PART", default_value = "", hide_default_value = true)]
    pub(super) search: String,

    /// File with the server's --http-token and nothing else: for the key k, and for servers that
    /// other machines reach.
    #[arg(long, value_name = "FILE")]
    pub(super) http_token: Option<PathBuf>,

    /// Wait this long for an answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(super) wait: Duration,

    /// Print one screen, and exit. Its rates are those since the server's start.
    #[arg(long, help_heading = "Output")]
    pub(super) once: bool,

    /// Print a JSON object for each look, with what the server answered, until stopped.
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

impl TopArgs {
    pub(crate) const fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

/// Each look costs the server a walk over its sessions.
pub(super) const MIN_DELAY: Duration = Duration::from_millis(100);

/// A day: longer looks like a mistake.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn delay(text: &str) -> Result<Duration, String> {
    let delay = match text.parse::<f64>() {
        // Seconds with a fraction, as top and htop take them.
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => duration(text)?,
    };
    if (MIN_DELAY..=MAX_DELAY).contains(&delay) {
        return Ok(delay);
    }
    Err("write a time from 100ms to 24h".to_owned())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum View {
    /// The 20 sessions nearest to their verdict, and the 20 with the slowest paths.
    #[default]
    Overview,
    /// Sessions in an order of your choice.
    Sessions,
    /// Sessions that have lost their connection and are waited for.
    Away,
}

impl View {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Overview => Self::Sessions,
            Self::Sessions => Self::Away,
            Self::Away => Self::Overview,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// Least time left until the verdict first.
    #[default]
    Due,
    /// Longest silence first.
    Silence,
    /// Longest round trip first.
    Rtt,
    /// Oldest first.
    Age,
    /// Most queued bytes first.
    Queued,
    /// By id, all of them.
    Id,
}

impl Sort {
    pub(super) const ALL: [Self; 6] =
        [Self::Due, Self::Silence, Self::Rtt, Self::Age, Self::Queued, Self::Id];

    /// As the server is asked for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Silence => "silence",
            Self::Rtt => "rtt",
            Self::Age => "age",
            Self::Queued => "queued",
            Self::Id => "id",
        }
    }

    /// The one so many places on.
    pub(super) fn step(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|&sort| sort == self).unwrap_or_default();
        let len = Self::ALL.len();
        let at = at.checked_add_signed(by).unwrap_or(len.saturating_sub(1)).checked_rem(len);
        at.and_then(|at| Self::ALL.get(at)).copied().unwrap_or_default()
    }
}
