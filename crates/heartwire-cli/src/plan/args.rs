//! What can be typed after `plan`.

use core::time::Duration;
use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use heartwire::Side;
use heartwire::plan::End;

use crate::args::{Format, KernelArgs, PolicyArgs, PresetArg, WireArg, duration};
use crate::exit::Usage;

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire plan
      the default settings on both ends: who finds what, when, and by what
  heartwire plan --preset strict --keepalive 3s,3s,3 --user-timeout 12s --rtt 20ms
      other settings on both ends, on a path with a round trip of 20 ms
  heartwire plan --client-beat 3s --client-no-limit --server-no-beat --server-limit 15s --nat 350s
      different settings on each end, behind a NAT that forgets idle connections after 350 s
  heartwire plan --within 9s
      the cheapest settings that find every fault within 9 s on both ends, and what they cost
  heartwire plan --preset reference --check > /dev/null || echo 'some fault is never found'
      the same as a check

Each option under Heartbeat and Kernel sets both ends. With client- or server- in front of its
name it sets that end alone, and wins over one that sets both.

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
    pub(crate) tick: Duration,

    /// How long a NAT, firewall or load balancer on the path remembers a connection on which nothing
    /// passes [default: not known, it may forget at any time].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) nat: Option<Duration>,

    /// Which version of the wire both ends speak. On v1 the settings are what each end offers, and the plan
    /// is for what they agree on [default: v1; v0 with --preset reference, --echo or --within].
    #[arg(long, value_enum)]
    pub(crate) wire: Option<WireArg>,

    /// Propose the cheapest settings that find every fault within this time on both ends.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) within: Option<Duration>,

    /// Exit with 7 if a fault is never found, or if healthy connections are ended.
    #[arg(long)]
    pub(crate) check: bool,

    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    // Last, because options after them would be shown under their headings.
    #[command(flatten)]
    pub(crate) ends: EndsArgs,
}

impl PlanArgs {
    pub(crate) fn is_v1(&self) -> bool {
        let is_of_v0 = |end: &EndArgs| end.policy.preset == PresetArg::Reference || end.policy.echo;
        match self.wire {
            Some(wire) => wire == WireArg::V1,
            None => {
                self.within.is_none()
                    && ![&self.ends.client, &self.ends.server].into_iter().any(is_of_v0)
            }
        }
    }
}

/// The settings of both ends: each option of [`EndArgs`] for both, and twice more with the name of
/// an end in front, for that end alone.
#[derive(Debug)]
pub(crate) struct EndsArgs {
    client: EndArgs,
    server: EndArgs,
}

impl EndsArgs {
    /// The client's end and the server's.
    pub(crate) fn both(&self) -> Result<[End; 2], Usage> {
        Ok([self.client.end(Side::Client)?, self.server.end(Side::Server)?])
    }
}

/// The settings of one end, as `serve` and `connect` take them.
#[derive(Debug, Args)]
struct EndArgs {
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

/// Taken as `serve` and `connect` take it, so that their command lines can be pasted; no fault is
/// found sooner or later for it.
const WITHOUT_EFFECT: &str = "no_nodelay";

const ENDS: [&str; 2] = ["client", "server"];

/// The options of one end, by themselves.
fn options() -> Command {
    EndArgs::augment_args(Command::new("end").no_binary_name(true).disable_help_flag(true))
}

/// What an option is called for one end alone.
fn own_id(end: &str, option: &Arg) -> String {
    format!("{end}-{}", option.get_id())
}

/// An option for one end alone.
fn own(end: &str, option: &Arg, all: &Command) -> Option<Arg> {
    let long = option.get_long()?;
    let conflicts = all.get_arg_conflicts_with(option);
    let mut own = Arg::new(own_id(end, option))
        .long(format!("{end}-{long}"))
        .action(option.get_action().clone())
        .value_parser(option.get_value_parser().clone())
        .conflicts_with_all(conflicts.into_iter().map(|other| own_id(end, other)))
        .help(format!("As --{long}, for the {end} alone"))
        .help_heading(format!("The {end} alone"));
    if option.get_action().takes_values() {
        let names = option.get_value_names().unwrap_or_default();
        own = own.value_names(names).hide_possible_values(true);
    }
    Some(own)
}

impl Args for EndsArgs {
    fn augment_args(command: Command) -> Command {
        let all = options();
        let all_of =
            |end| all.get_arguments().filter_map(move |option| own(end, option, &options()));
        let own = ENDS.into_iter().flat_map(all_of);
        let own: Vec<Arg> =
            own.filter(|arg| !arg.get_id().as_str().ends_with(WITHOUT_EFFECT)).collect();
        let of_both = all.get_arguments().map(|option| option.get_id().clone());
        let settings: Vec<_> =
            of_both.chain(own.iter().map(|option| option.get_id().clone())).collect();
        EndArgs::augment_args(command)
            .args(own)
            .mut_arg(WITHOUT_EFFECT, |arg| arg.hide(true))
            // It proposes settings, so there is no place for any.
            .mut_arg("within", |arg| arg.conflicts_with_all(settings))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for EndsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let end = |end| {
            let matches = options().try_get_matches_from(words(end, matches))?;
            EndArgs::from_arg_matches(&matches)
        };
        let [client, server] = ENDS;
        Ok(Self { client: end(client)?, server: end(server)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The command line of one end: what was typed for it, and what was typed for both unless that
/// contradicts it.
fn words(end: &str, matches: &ArgMatches) -> Vec<OsString> {
    let all = options();
    let typed = |id: &str| {
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let own = |option: &Arg| typed(&own_id(end, option));
    let contradicted = |option: &Arg| {
        let forward = all.get_arg_conflicts_with(option).into_iter().any(own);
        let backward = all.get_arguments().filter(|&other| own(other)).any(|other| {
            all.get_arg_conflicts_with(other).iter().any(|arg| arg.get_id() == option.get_id())
        });
        forward || backward
    };
    let mut words = Vec::new();
    for option in all.get_arguments() {
        let id = if own(option) {
            own_id(end, option)
        } else if typed(option.get_id().as_str()) && !contradicted(option) {
            option.get_id().to_string()
        } else {
            continue;
        };
        let Some(long) = option.get_long() else { continue };
        words.push(OsString::from(format!("--{long}")));
        if option.get_action().takes_values() {
            words.extend(matches.get_raw(&id).into_iter().flatten().map(OsString::from));
        }
    }
    words
}

#[cfg(test)]
mod tests;
