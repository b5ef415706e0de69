//! Options that `serve`, `connect` and `plan` have in common.

use core::time::Duration;

use clap::{Args, ValueEnum};
use heartwire::kernel::{Keepalive, KernelOptions};
use heartwire::v1::Offer;
use heartwire::{Policy, Preset, Side};

use crate::exit::Usage;
use crate::values::{TimeOrOff, duration, keepalive, time_or_off};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// Both ends beat every 10 s and call 30 s of silence death.
    Default,
    /// The tutorial's numbers: the client beats every 3 s, the server calls 15 s of silence death.
    Tutorial,
    /// Both ends beat every 2.5 s; the verdict comes 6.0 to 8.6 s after the fault.
    Fast,
}

impl PresetArg {
    /// The port where none is given. Outgoing connections get ports from 32,768 up on Linux
    /// (`net.ipv4.ip_local_port_range`), and would now and then have the port before a server
    /// starts; so ours lies below, and Debian's `/etc/services` has no service for it. The other one
    /// is the tutorial's.
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

    /// Send a heartbeat this often, or `off`. With a timeout, data will do instead while the peer is heard.
    #[arg(short, long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) interval: Option<TimeOrOff>,

    /// Declare the peer dead after this much silence, or `off`: never.
    #[arg(short, long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) timeout: Option<TimeOrOff>,

    /// Answer each beat of the peer; excludes beats of one's own (use --interval off).
    #[arg(long)]
    pub(crate) echo: bool,

    /// How often the peer sends something. It changes no timer: it checks the timeout and narrows the
    /// printed bound [default: as often as this end beats].
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

/// What this end agrees to at the handshake of protocol v1, besides its policy.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Handshake (protocol v1)")]
pub(crate) struct OfferArgs {
    /// The shortest interval in which this end beats; a server allows nobody to beat more often
    /// [default: 1s, or the shortest beat of the policy].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_interval: Option<Duration>,

    /// The longest timeout for the other end's silence that this end agrees to [default: 1h, or the timeout
    /// where that is longer].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_timeout: Option<Duration>,
}

impl OfferArgs {
    /// Whether anything of it was typed.
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
                return Err(Usage(format!(
                    "a --max-timeout of {max_timeout:?} is below the timeout of {timeout:?}, which this end waits \
                     for anyway. Use a --timeout of at most {max_timeout:?}, or a longer --max-timeout"
                )));
            }
            offer = offer.max_timeout(max_timeout);
        }
        Ok(offer)
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kernel")]
pub(crate) struct KernelArgs {
    /// `SO_KEEPALIVE`: idle time, interval and count, such as 3s,3s,3. A dead idle peer is found
    /// after idle + interval × count; data in flight suspends it.
    #[arg(long, value_name = "IDLE,INTERVAL,COUNT", value_parser = keepalive)]
    pub(crate) keepalive: Option<Keepalive>,

    /// `TCP_USER_TIMEOUT`: give up when sent data is not acknowledged for this long; at least the
    /// keepalive's idle + interval × count.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) user_timeout: Option<Duration>,

    /// Let the kernel gather small writes (leaves `TCP_NODELAY` off).
    #[arg(long)]
    pub(crate) nagle: bool,
}

impl KernelArgs {
    pub(crate) fn options(&self) -> Result<KernelOptions, Usage> {
        KernelOptions::new(self.keepalive, self.user_timeout, !self.nagle)
            .map_err(|error| Usage(error.to_string()))
    }
}
