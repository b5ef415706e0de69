//! Options that `serve`, `connect` and `plan` have in common.

use core::time::Duration;

use clap::{Args, ValueEnum};
use heartwire::kernel::{Keepalive, KernelOptions};
use heartwire::v1::Offer;
use heartwire::{Policy, Preset, Side};

use crate::exit::Usage;
use crate::values::{duration, keepalive};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// Both ends beat every 10 s and call 30 s of silence death.
    Usual,
    /// The tutorial's numbers: the client beats every 3 s, the server calls 15 s of silence death.
    Reference,
    /// Both ends beat every 2.5 s; the verdict comes 6.0 to 8.6 s after the fault.
    Strict,
}

impl PresetArg {
    /// The port where none is given. Outgoing connections get ports from 32,768 up on Linux
    /// (`net.ipv4.ip_local_port_range`), and would now and then have the port before a server
    /// starts; so ours lies below, and Debian's `/etc/services` has no service for it. The other one
    /// is the tutorial's.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Usual | Self::Strict => 29_002,
            Self::Reference => 39_002,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Heartbeat")]
pub(crate) struct PolicyArgs {
    /// Settings to start from.
    #[arg(long, value_enum, default_value_t = PresetArg::Usual)]
    pub(crate) preset: PresetArg,

    /// Send a beat this often. With a limit, data will do instead while the peer is heard.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "no_beat")]
    pub(crate) beat: Option<Duration>,

    /// Send no beats of one's own.
    #[arg(long)]
    pub(crate) no_beat: bool,

    /// Call the peer dead after this much silence.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "no_limit")]
    pub(crate) limit: Option<Duration>,

    /// Never call the peer dead.
    #[arg(long)]
    pub(crate) no_limit: bool,

    /// Answer each beat of the peer; excludes beats of one's own (use --no-beat).
    #[arg(long)]
    pub(crate) echo: bool,

    /// How often the peer sends something. It changes no timer: it checks the limit and narrows the
    /// printed bound [default: as often as this end beats].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) peer_beat: Option<Duration>,
}

impl PolicyArgs {
    pub(crate) fn policy(&self, side: Side) -> Result<Policy, Usage> {
        let preset = match self.preset {
            PresetArg::Usual => Preset::Usual,
            PresetArg::Reference => Preset::Reference,
            PresetArg::Strict => Preset::Strict,
        };
        let mut policy = preset.policy(side).to_builder().echo(self.echo);
        if let Some(beat) = self.beat {
            policy = policy.beat(beat);
        }
        if self.no_beat {
            policy = policy.no_beat();
        }
        if let Some(limit) = self.limit {
            policy = policy.limit(limit);
        }
        if self.no_limit {
            policy = policy.no_limit();
        }
        if let Some(peer_beat) = self.peer_beat {
            policy = policy.peer_beat(peer_beat);
        }
        policy.build().map_err(|error| Usage(error.to_string()))
    }
}

/// What this end agrees to at the handshake of wire v1, besides its policy.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Handshake (wire v1)")]
pub(crate) struct OfferArgs {
    /// The shortest interval in which this end beats; a server allows nobody to beat more often
    /// [default: 1s, or the shortest beat of the policy].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) floor: Option<Duration>,

    /// The longest limit for the other end's silence that this end agrees to [default: 1h, or the limit
    /// where that is longer].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ceiling: Option<Duration>,
}

impl OfferArgs {
    /// Whether anything of it was typed.
    pub(crate) const fn is_given(&self) -> bool {
        self.floor.is_some() || self.ceiling.is_some()
    }

    pub(crate) fn offer(&self, policy: &Policy) -> Result<Offer, Usage> {
        let mut offer = Offer::new(policy);
        if self.floor.is_some() {
            offer = offer.floor(self.floor);
        }
        if let Some(ceiling) = self.ceiling {
            if let Some(limit) = policy.limit().filter(|&limit| limit > ceiling) {
                return Err(Usage(format!(
                    "a --ceiling of {ceiling:?} is below the limit of {limit:?}, which this end waits \
                     for anyway. Use a --limit of at most {ceiling:?}, or a longer --ceiling"
                )));
            }
            offer = offer.ceiling(ceiling);
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
    pub(crate) no_nodelay: bool,
}

impl KernelArgs {
    pub(crate) fn options(&self) -> Result<KernelOptions, Usage> {
        KernelOptions::new(self.keepalive, self.user_timeout, !self.no_nodelay)
            .map_err(|error| Usage(error.to_string()))
    }
}
