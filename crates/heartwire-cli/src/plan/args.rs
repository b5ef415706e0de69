//! The options of `plan`.

use core::time::Duration;

use clap::{Args, Parser};
use heartwire::Side;
use heartwire::server::limits::Admission;
use heartwire_plan::price::Serving;
use heartwire_plan::{End, Resume};

use super::fleet::FleetArgs;
use crate::exit::Usage;
use crate::options::{FormatArgs, KernelArgs, PolicyArgs, PresetArg, ResumeArgs};
use crate::values::{ProtocolArg, TimeOrOff, duration, number, time_or_off};

/// The examples of `-h`.
pub(crate) const FIRST_EXAMPLES: &str = "\
Examples:
  heartwire plan
  heartwire plan --within 9s";

/// The examples of `--help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire plan
      the default settings on both ends: which end detects which fault, when, and by what
  heartwire plan --preset fast --keepalive 3s,3s,3 --user-timeout 12s --rtt 20ms
      other settings on both ends, on a path with a round trip of 20 ms
  heartwire plan --client '--interval 3s --timeout off' --server '--interval off --timeout 15s' --nat-timeout 350s
      different settings on each end, behind a NAT that forgets idle connections after 350 s
  heartwire plan --within 9s
      the cheapest settings that detect every fault within 9 s on both ends, and their cost
  heartwire plan --grace 20s --max-sessions 5000
      whether 5,000 clients that lose their connection together are back before a session that has
      none is given up after 20 s
  heartwire plan --fleet 10M --tls --node cpus=16,memory=64GiB --zones 3
      how many such nodes carry ten million sessions, and when all clients are back if some are lost
  heartwire plan --preset tutorial --check > /dev/null || echo 'some fault is never found'
      the exit code tells a script whether settings are safe

The options under Heartbeat and Kernel set both ends. --client and --server set one end, with the
options of `connect` and `serve`; none of those for both ends then apply to it.

Times count from the fault and are rounded outwards. They hold on Linux with its default sysctls,
for heartbeats without other traffic, if the fault lasts and the rest of the path is healthy.

Exit codes: 0 done, 2 settings that contradict each other, 6 no settings meet --within, 7 with
--check a fault is never found, or healthy connections or sessions are ended, 1 other failures.";

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Longest round trip on a healthy path, up to 10s.
    #[arg(
        long,
        help_heading = "Connection",
        value_name = "TIME",
        default_value = "100ms",
        value_parser = duration
    )]
    pub(crate) rtt: Duration,

    /// How late the timers of either end may fire.
    #[arg(
        long,
        help_heading = "Connection",
        value_name = "TIME",
        default_value = "100ms",
        value_parser = duration
    )]
    pub(crate) timer_slack: Duration,

    /// How long a NAT, firewall or load balancer on the path remembers an idle connection [default:
    /// not known, it may forget at any time].
    #[arg(long, help_heading = "Connection", value_name = "TIME", value_parser = duration)]
    pub(crate) nat_timeout: Option<Duration>,

    /// Propose the cheapest settings that detect every fault within this time on both ends.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = SETTINGS)]
    pub(crate) within: Option<Duration>,

    /// Exit with 7 if a fault is never detected, or if healthy connections or sessions are ended.
    #[arg(long)]
    pub(crate) check: bool,

    /// How long a session is kept while it has no connection, or `off` [default: 2m; off on v0,
    /// which cannot resume sessions].
    #[arg(long, help_heading = "Resuming", value_name = "TIME", value_parser = time_or_off)]
    grace: Option<TimeOrOff>,

    /// How many clients may lose their connection together.
    #[arg(
        long,
        help_heading = "Resuming",
        value_name = "N",
        default_value_t = sessions(),
        value_parser = number::<u64>(1..=u64::MAX)
    )]
    max_sessions: u64,

    /// Over how long a server that stops spreads the return of its clients.
    #[arg(
        long,
        help_heading = "Resuming",
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration
    )]
    drain: Duration,

    /// Clients use TLS: for what sessions cost.
    #[arg(long, help_heading = "Cost")]
    tls: bool,

    /// How many heartbeats of a client wait in the server's kernel, as for `serve`: for what
    /// sessions cost [default: 1 on v0, 4 on v1].
    #[arg(
        long,
        help_heading = "Cost",
        value_name = "BEATS",
        value_parser = number::<u16>(0..=65_535)
    )]
    coalesce: Option<u16>,

    #[command(flatten)]
    pub(super) fleet: FleetArgs,

    #[command(flatten)]
    both: EndArgs,

    /// The client's options, such as '--interval 3s --timeout off', in place of those for both
    /// ends.
    #[arg(
        long,
        value_name = "OPTIONS",
        value_parser = options,
        allow_hyphen_values = true,
        help_heading = "One end alone"
    )]
    client: Option<EndArgs>,

    /// The server's options, such as '--interval off --timeout 15s', in place of those for both
    /// ends.
    #[arg(
        long,
        value_name = "OPTIONS",
        value_parser = options,
        allow_hyphen_values = true,
        help_heading = "One end alone"
    )]
    server: Option<EndArgs>,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// As many as a server has by default.
fn sessions() -> u64 {
    u64::try_from(Admission::MAX_SESSIONS).unwrap_or(u64::MAX)
}

/// `--within` proposes settings, so none can be given.
const SETTINGS: [&str; 10] = [
    "preset",
    "interval",
    "timeout",
    "echo",
    "peer_interval",
    "keepalive",
    "user_timeout",
    "nagle",
    "client",
    "server",
];

impl PlanArgs {
    /// The client's end and the server's.
    pub(crate) fn ends(&self) -> Result<[End; 2], Usage> {
        let end = |own: &Option<EndArgs>, name, side| match own {
            Some(own) => own.end(side).map_err(|Usage(why)| Usage(format!("{name}: {why}"))),
            None => self.both.end(side),
        };
        let client = end(&self.client, "--client", Side::Client)?;
        Ok([client, end(&self.server, "--server", Side::Server)?])
    }

    /// How sessions outlive their connections, if they do.
    pub(crate) fn resume(&self) -> Result<Option<Resume>, Usage> {
        let grace = match self.grace {
            Some(TimeOrOff(Some(_))) if !self.is_v1()? => {
                return Err(Usage(
                    "protocol v0 cannot resume sessions: --grace needs v1".to_owned(),
                ));
            }
            Some(TimeOrOff(grace)) => grace,
            None => Some(ResumeArgs::GRACE),
        };
        let resume = |grace| Resume::new(grace).sessions(self.max_sessions).drain(self.drain);
        Ok(grace.map(resume))
    }

    /// How the server reads.
    pub(crate) const fn serving(&self) -> Serving {
        Serving::new().tls(self.tls).coalesce(self.coalesce)
    }

    pub(crate) fn is_v1(&self) -> Result<bool, Usage> {
        let ends = [&self.client, &self.server].map(|own| own.as_ref().unwrap_or(&self.both));
        let mut protocols = [&self.both].into_iter().chain(ends).filter_map(|end| end.protocol);
        if let Some(protocol) = protocols.next() {
            if protocols.any(|other| other != protocol) {
                return Err(Usage(
                    "both ends speak the same protocol: give one --protocol".to_owned(),
                ));
            }
            return Ok(protocol == ProtocolArg::V1);
        }
        let is_of_v0 = |end: &EndArgs| end.policy.preset == PresetArg::Tutorial || end.policy.echo;
        Ok(!ends.into_iter().any(is_of_v0))
    }
}

/// The settings of one end, as `serve` and `connect` take them.
#[derive(Clone, Debug, Args)]
struct EndArgs {
    /// Version of the protocol that both ends speak. With v1 the settings are what each end offers,
    /// and the plan is for what they agree on [default: v1; v0 with --preset tutorial or --echo].
    #[arg(long, help_heading = "Connection", value_enum)]
    protocol: Option<ProtocolArg>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    kernel: KernelArgs,
}

impl EndArgs {
    fn end(&self, side: Side) -> Result<End, Usage> {
        let policy = self.policy.policy(side)?;
        Ok(End::new(policy).kernel(self.kernel.timers()?))
    }
}

/// A command line with the options of one end only.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct OneEnd {
    #[command(flatten)]
    end: EndArgs,
}

/// The value of `--client` and `--server`. No option of an end has a space in its value.
fn options(text: &str) -> Result<EndArgs, String> {
    let parsed = OneEnd::try_parse_from(text.split_whitespace());
    parsed.map(|OneEnd { end }| end).map_err(|error| {
        // Only the sentence of clap's message: its usage line is about this inner command line.
        let said = error.to_string();
        let sentence = said.split("\n\n").next().unwrap_or_default();
        sentence.trim_start_matches("error: ").to_owned()
    })
}

#[cfg(test)]
mod tests;
