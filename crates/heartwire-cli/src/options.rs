//! Options that `serve`, `connect` and `plan` have in common.

use core::ops::RangeInclusive;
use core::time::Duration;

use clap::{Args, ValueEnum};
use heartwire::kernel::{Keepalive, KernelOptions, KernelTimers};
use heartwire::v1::Offer;
use heartwire::{Policy, Preset, Side, server};

use crate::exit::Usage;
use crate::values::{Format, TimeOrOff, bytes, duration, keepalive, time_or_off, typed};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// Both ends: a heartbeat every 10 s, a timeout of 30 s.
    Default,
    /// The tutorial's numbers: client heartbeat every 3 s, server timeout 15 s.
    Tutorial,
    /// Both ends: a heartbeat every 2.5 s; a fault is detected after 6.0 to 8.6 s.
    Fast,
}

impl PresetArg {
    /// Default port. Linux gives outgoing connections ports from 32,768 up
    /// (`net.ipv4.ip_local_port_range`), and such a connection could have taken the port before the
    /// server starts; so ours lies below. Debian's `/etc/services` has no service for it. 39002 is
    /// the tutorial's.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Default | Self::Fast => 29_002,
            Self::Tutorial => 39_002,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Heartbeat")]
pub(crate) struct PolicyArgs {
    /// Settings to start from.
    #[arg(long, value_enum, default_value_t = PresetArg::Default)]
    pub(crate) preset: PresetArg,

    /// Send a heartbeat this often, or `off` to send none. On protocol v1 each comes up to a
    /// quarter early; on v0, with a timeout, sent data replaces it while the peer is heard.
    #[arg(short, long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) interval: Option<TimeOrOff>,

    /// Declare the peer dead after this much silence, or `off` for never.
    #[arg(short, long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) timeout: Option<TimeOrOff>,

    /// Answer each heartbeat of the peer (protocol v0); requires --interval off.
    #[arg(long)]
    pub(crate) echo: bool,

    /// How often the peer sends something [default: the interval of this end].
    ///
    /// It changes no timer: it checks the timeout, and narrows the printed bound.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) peer_interval: Option<Duration>,
}

impl PolicyArgs {
    pub(crate) fn policy(&self, side: Side) -> Result<Policy, Usage> {
        let preset = match self.preset {
            PresetArg::Default => Preset::Default,
            PresetArg::Tutorial => Preset::Tutorial,
            PresetArg::Fast => Preset::Fast,
        };
        let mut policy = preset.policy(side).to_builder().echo(self.echo);
        policy = match self.interval {
            None => policy,
            Some(TimeOrOff(None)) => policy.no_interval(),
            Some(TimeOrOff(Some(interval))) => policy.interval(interval),
        };
        policy = match self.timeout {
            None => policy,
            Some(TimeOrOff(None)) => policy.no_timeout(),
            Some(TimeOrOff(Some(timeout))) => policy.timeout(timeout),
        };
        if let Some(peer_interval) = self.peer_interval {
            policy = policy.peer_interval(peer_interval);
        }
        policy.build().map_err(|error| Usage(error.to_string()))
    }
}

/// Limits of what this end agrees to in the handshake of protocol v1.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Heartbeat")]
pub(crate) struct OfferArgs {
    /// Shortest interval at which this end agrees to send heartbeats (protocol v1) [default: 1s, or
    /// the interval where that is shorter].
    ///
    /// A server also holds its clients to it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_interval: Option<Duration>,

    /// Longest timeout that this end agrees to (protocol v1) [default: 1h, or the timeout where
    /// that is longer].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_timeout: Option<Duration>,
}

impl OfferArgs {
    /// Whether any of these options was given.
    pub(crate) const fn is_given(&self) -> bool {
        self.min_interval.is_some() || self.max_timeout.is_some()
    }

    pub(crate) fn offer(&self, policy: &Policy) -> Result<Offer, Usage> {
        let mut offer = Offer::new(policy);
        if self.min_interval.is_some() {
            offer = offer.min_interval(self.min_interval);
        }
        if let Some(max_timeout) = self.max_timeout {
            if let Some(timeout) = policy.timeout().filter(|&timeout| timeout > max_timeout) {
                let (max_timeout, timeout) = (typed(max_timeout), typed(timeout));
                return Err(Usage(format!(
                    "a --max-timeout of {max_timeout} is below this end's own timeout of \
                     {timeout}. Use a --timeout of at most {max_timeout}, or a longer --max-timeout"
                )));
            }
            offer = offer.max_timeout(max_timeout);
        }
        Ok(offer)
    }
}

/// Whether and how a session outlives its connections.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Resuming")]
pub(crate) struct ResumeArgs {
    /// How long a session is kept while it has no connection, or `off`; until then nothing is lost
    /// (protocol v1) [default: 2m].
    ///
    /// The shorter of both ends counts. Sessions are resumed over TLS and within one machine; else
    /// see --resume-in-the-clear.
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) grace: Option<TimeOrOff>,

    /// Maximum bytes of messages in each direction that the other program has not taken yet, 16 to
    /// 1GiB; a message has half of it at most (protocol v1).
    ///
    /// So much is kept of a session, and so much can be under way: at most this for each round
    /// trip. The smaller of both ends counts.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "2MiB",
        value_parser = bytes::<u32>(WINDOW)
    )]
    pub(crate) window: u32,

    /// Resume sessions over unencrypted connections to other machines too (protocol v1).
    ///
    /// A program that reads the traffic can then take over a session.
    #[arg(long)]
    pub(crate) resume_in_the_clear: bool,
}

/// What the library would clamp it to.
const WINDOW: RangeInclusive<u64> = 16..=1 << 30;

impl ResumeArgs {
    /// The default grace.
    pub(crate) const GRACE: Duration = server::Resume::GRACE;

    /// How long a session is kept without a connection, unless that is off.
    pub(crate) const fn grace(&self) -> Option<Duration> {
        match self.grace {
            Some(TimeOrOff(grace)) => grace,
            None => Some(Self::GRACE),
        }
    }

    /// Whether an option was given that needs sessions which can be resumed.
    pub(crate) const fn is_given(&self) -> bool {
        matches!(self.grace, Some(TimeOrOff(Some(_)))) || self.resume_in_the_clear
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kernel")]
pub(crate) struct KernelArgs {
    /// `SO_KEEPALIVE`: idle time, interval and count, such as 3s,3s,3.
    ///
    /// A dead idle peer is found after idle + interval × count; data in flight suspends the probes.
    #[arg(long, value_name = "IDLE,INTERVAL,COUNT", value_parser = keepalive)]
    pub(crate) keepalive: Option<Keepalive>,

    /// `TCP_USER_TIMEOUT`: give up when sent data is not acknowledged for this long.
    ///
    /// It must be at least the keepalive's idle + interval × count.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) user_timeout: Option<Duration>,

    /// Let the kernel gather small writes (`TCP_NODELAY` off).
    #[arg(long)]
    pub(crate) nagle: bool,
}

impl KernelArgs {
    pub(crate) fn options(&self) -> Result<KernelOptions, Usage> {
        Ok(KernelOptions::default().timers(self.timers()?).nodelay(!self.nagle))
    }

    pub(crate) fn timers(&self) -> Result<KernelTimers, Usage> {
        KernelTimers::new(self.keepalive, self.user_timeout)
            .map_err(|error| Usage(error.to_string()))
    }
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct FormatArgs {
    /// How to print events (connect: on standard error) or the plan. Received data is printed as it
    /// is.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl FormatArgs {
    pub(crate) const fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
