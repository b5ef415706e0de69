//! What can be typed after `plan`.

use core::time::Duration;

use clap::{Args, Parser};
use heartwire::Side;
use heartwire::plan::End;

use crate::exit::Usage;
use crate::options::{KernelArgs, PolicyArgs, PresetArg};
use crate::values::{Format, ProtocolArg, duration};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire plan
      the default settings on both ends: who finds what, when, and by what
  heartwire plan --preset fast --keepalive 3s,3s,3 --user-timeout 12s --rtt 20ms
      other settings on both ends, on a path with a round trip of 20 ms
  heartwire plan --client '--interval 3s --timeout off' --server '--interval off --timeout 15s' --nat-timeout 350s
      different settings on each end, behind a NAT that forgets idle connections after 350 s
  heartwire plan --within 9s
      the cheapest settings that find every fault within 9 s on both ends, and what they cost
  heartwire plan --preset tutorial --check > /dev/null || echo 'some fault is never found'
      the same as a check

Each option under Heartbeat and Kernel is for both ends. --client or --server gives the options of
that end alone, as `connect` or `serve` takes them; it then has none of those for both.

Times count from the fault and are rounded outwards. They hold on Linux with its default sysctls,
for beats without other traffic, if the fault lasts and what it leaves intact is healthy.

Exit codes: 0 done, 2 settings that contradict each other, 6 no settings meet --within, 7 with
--check a fault is never found or healthy connections are ended, 1 other failures.";

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Longest round trip between the ends while all is well, up to 10s.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    pub(crate) rtt: Duration,

    /// How late the timers of either end may be.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration)]
    pub(crate) timer_slack: Duration,

    /// How long a NAT, firewall or load balancer on the path remembers a connection on which nothing
    /// passes [default: not known, it may forget at any time].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) nat_timeout: Option<Duration>,

    /// Propose the cheapest settings that find every fault within this time on both ends.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = SETTINGS)]
    pub(crate) within: Option<Duration>,

    /// Exit with 7 if a fault is never found, or if healthy connections are ended.
    #[arg(long)]
    pub(crate) check: bool,

    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = Format::Text, default_value_if("json", "true", "json"))]
    pub(crate) format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,

    // Last, because options after them would be shown under their headings.
    #[command(flatten)]
    both: EndArgs,

    /// The client's options, such as '--interval 3s --timeout off', in place of those for both ends.
    #[arg(
        long,
        value_name = "OPTIONS",
        value_parser = options,
        allow_hyphen_values = true,
        help_heading = "One end alone"
    )]
    client: Option<EndArgs>,

    /// The server's options, such as '--interval off --timeout 15s', in place of those for both ends.
    #[arg(
        long,
        value_name = "OPTIONS",
        value_parser = options,
        allow_hyphen_values = true,
        help_heading = "One end alone"
    )]
    server: Option<EndArgs>,
}

/// `--within` proposes settings, so there is no place for any.
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
        Ok(self.within.is_none() && !ends.into_iter().any(is_of_v0))
    }
}

/// The settings of one end, as `serve` and `connect` take them.
#[derive(Clone, Debug, Args)]
struct EndArgs {
    /// Which version of the protocol both ends speak. On v1 the settings are what each end offers, and the
    /// plan is for what they agree on [default: v1; v0 with --preset tutorial, --echo or --within].
    #[arg(long, value_enum)]
    protocol: Option<ProtocolArg>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    kernel: KernelArgs,
}

impl EndArgs {
    fn end(&self, side: Side) -> Result<End, Usage> {
        let policy = self.policy.policy(side)?;
        Ok(End::new(policy).kernel(self.kernel.options()?.timers()))
    }
}

/// A command line of nothing else.
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
        // Of clap's message the sentence; what it says of usage and help is not about this.
        let said = error.to_string();
        let sentence = said.split("\n\n").next().unwrap_or_default();
        sentence.trim_start_matches("error: ").to_owned()
    })
}

#[cfg(test)]
mod tests;
