//! Arguments of `crowd`.

use core::time::Duration;
use std::path::PathBuf;

use crate::bench::{Format, Protocol, interval};

const EXAMPLES: &str = "\
Examples:
  heartwire-lab crowd --sessions 1000000
      a million clients that send a heartbeat a minute; a tenth of them falls silent at once
  heartwire-lab crowd --interval 10s --timeout 30s --time 60s --freeze 50%
      100,000 of them, more often, and half of them falls silent
  heartwire-lab crowd --protocol v1 --freeze 0 --format json
      on protocol v1, and all stay; the report as JSON
  heartwire-lab crowd --grow --write docs
      how the cost grows: 1,000, 10,000, 100,000 and 1,000,000 sessions in turn, as a table, and as
      docs/growth.md, growth.json and growth.svg

Clients connect over one interval, and each sends its first beat an interval after it connected, so
that beats are spread evenly. Everything runs on this machine and stays on its loopback interface.
A session takes about 10 KB, most of it in the kernel, which has both its ends here; what the
machine cannot hold is refused before anything is started.

Exit codes: 0 done, 1 an error or a missing verdict, 2 usage, 3 an early verdict, or one on a
session that still sent heartbeats.";

/// Arguments of `crowd`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of sessions.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    pub(super) sessions: u32,

    /// Interval of each client's beats; with --grow 20s by default, so that all sizes take ten
    /// minutes.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        default_value_if("grow", "true", "20s"),
        value_parser = interval
    )]
    pub(super) interval: Duration,

    /// Timeout of the servers [default: two and a half intervals].
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub(super) timeout: Option<Duration>,

    /// Duration of the measurement, once all have connected and an interval is over [default: as
    /// --timeout].
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub(super) time: Option<Duration>,

    /// How many clients fall silent at once after that: a number, or a share such as 10%.
    #[arg(long, value_name = "N|SHARE", default_value = "10%", value_parser = Freeze::parse)]
    pub(super) freeze: Freeze,

    /// How many beats a server leaves in the kernel before it reads; 0 reads each one [default: as
    /// `serve`].
    #[arg(long, value_name = "BEATS")]
    pub(super) coalesce: Option<u16>,

    /// Protocol version of the clients.
    #[arg(long, value_enum, default_value_t = Protocol::V0)]
    pub(super) protocol: Protocol,

    /// Threads of each server.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub(super) threads: u16,

    /// Most sessions of one server [default: as many as descriptors allow].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) per_process: Option<u32>,

    /// Measure several sizes in turn, with all else the same, and print a table.
    #[arg(long, conflicts_with = "sessions")]
    pub(super) grow: bool,

    /// With --grow: the sizes [default: 1000,10000,100000,1000000].
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        requires = "grow",
        value_parser = clap::value_parser!(u32).range(1..=10_000_000)
    )]
    pub(super) sizes: Option<Vec<u32>>,

    /// With --grow: write growth.md, growth.json and growth.svg into this folder.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = "docs",
        requires = "grow"
    )]
    pub(super) write: Option<PathBuf>,

    /// The server's program [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    pub(super) bin: Option<PathBuf>,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// How many clients fall silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Freeze {
    Clients(u32),
    /// 0 to 1.
    Share(f64),
}

impl Freeze {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write a number of clients, or a share such as 10%".to_owned();
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Clients).map_err(|_| wrong());
        };
        match percent.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Share(percent / 100.0)),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }

    /// As it is typed.
    pub(super) fn typed(self) -> String {
        match self {
            Self::Clients(clients) => clients.to_string(),
            Self::Share(share) => format!("{}%", share * 100.0),
        }
    }

    /// Of so many.
    pub(super) fn of(self, sessions: u32) -> u32 {
        match self {
            Self::Clients(clients) => clients.min(sessions),
            #[expect(
                clippy::as_conversions,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a number that fits, rounded"
            )]
            Self::Share(share) => (f64::from(sessions) * share).round() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freeze_is_a_number_or_a_share() {
        let of = |text, sessions| Freeze::parse(text).map(|freeze| freeze.of(sessions));
        assert_eq!(of("10%", 1_000_000), Ok(100_000));
        assert_eq!(of("0.5%", 300), Ok(2));
        assert_eq!(of("100%", 7), Ok(7));
        assert_eq!(of("0", 7), Ok(0));
        assert_eq!(of("9", 7), Ok(7));
        for text in ["10%", "0.5%", "0", "9"] {
            assert_eq!(Freeze::parse(text).map(Freeze::typed), Ok(text.to_owned()));
        }
        for wrong in ["", "%", "101%", "-1%", "0.1", "nan%"] {
            assert!(of(wrong, 7).is_err(), "{wrong}");
        }
    }
}
