//! What can be typed.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::num::{NonZeroU16, NonZeroU32};
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use heartwire::client::Retry;
use heartwire::kernel::{Keepalive, KernelOptions};
use heartwire::v1::Offer;
use heartwire::{BackoffPolicy, Caps, Policy, Preset, Side};

use crate::exit::{HELP, Usage};
use crate::plan::{self, PlanArgs};

/// Keeps long-lived TCP connections alive and says, within a stated bound, when one is dead.
#[derive(Debug, Parser)]
#[command(name = "heartwire", version, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on standard error: error, warn, info, debug or trace, or a filter such as
    /// `heartwire=debug`. Of each kind of warning and error one a second is logged, and the others
    /// are counted.
    #[arg(
        long,
        global = true,
        default_value = "warn",
        env = "HEARTWIRE_LOG",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold many clients, and report each as online, offline or dead.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Hold a connection to a server: lines of standard input become data, data goes to standard
    /// output.
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// Show the job in 15 seconds: a server, some clients, one of them frozen, and the verdict.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Say when each end finds each kind of fault, and by what; or which settings find all in time.
    // No fault is found sooner or later for --no-nodelay; it is taken where `serve` takes it.
    #[command(after_help = plan::EXAMPLES, mut_arg("no_nodelay", |arg| arg.hide(true)))]
    Plan(PlanArgs),
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  heartwire completions bash > /etc/bash_completion.d/heartwire"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory.
    #[command(
        after_help = "Examples:\n  heartwire man | man -l -\n  heartwire man --directory /usr/local/share/man/man1"
    )]
    Man {
        /// Where to write heartwire.1, heartwire-serve.1 and so on.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

const SERVE_EXAMPLES: &str = "\
Examples:
  heartwire serve
      clients that beat every 10 s; a silent one is called dead after 30 s
  heartwire serve --preset reference --listen 0.0.0.0:39002
      the tutorial's server: its clients beat every 3 s, 15 s of silence is death
  heartwire serve --limit 6s --beat 2s --format json | jq .
      judge faster, and feed the events to a program
  heartwire serve --coalesce 5
      let the kernel hold five beats of each client back, so that most cost the server nothing
  heartwire serve --on-data echo --listen 127.0.0.1:0 --listen '[::1]:0'
      send data back; IPv4 and IPv6, ports chosen by the system
  heartwire serve --tokens clients.tokens --per-address 50 --drain 30s
      take in only those who show a token; when stopped, have them come back over half a minute

SIGTERM or Ctrl-C stops accepting, sends what is queued, closes every session when its client has
all of it, and exits within --drain plus one second; a second signal exits at once,
unless it comes within 250 ms of the first.

Printing never holds up the server. While events come faster than they are read, or nothing
reads them, `data` is left out, and so are sessions that end before anything of them is printed;
an `unprinted` event says how many. With --hold-data no `data` is left out: reading waits. A full disk is tried again each second, and a reader that
has gone (`serve | head`) does not end the server, unless --exit-with-reader is given.

Exit codes: 0 stopped, 2 settings that contradict each other, 3 cannot listen, 1 other failures.";

const CONNECT_EXAMPLES: &str = "\
Examples:
  heartwire connect localhost
      beat every 10 s, call the server dead after 30 s of silence, connect again for ever
  heartwire connect --preset reference 192.0.2.7:39002
      the tutorial's client: beat every 3 s and judge nobody (its server never sends anything)
  heartwire connect --no-beat --echo --limit 15s localhost:39002
      answer a server that asks, and call it dead if it stops asking
  heartwire connect --raw --on-data upper --keepalive 3s,3s,3 --retry fixed:100ms 192.0.2.7:39002
      the tutorial's kernel variant: raw bytes, upper-cased and sent back
  seq 3 | heartwire connect --retry never localhost:29002
      send three lines and leave
  heartwire connect --name hall/door-3 --token-file door.token --path 10s gateway.example:29002
      be known by a name, show a token, and tell the round trip
  sensor | heartwire connect --check-in 1m --commands gateway.example:29002
      be degraded when the sensor writes nothing for a minute; its line `/promise 5m` has the
      server expect a beat every 5 minutes only

connect leaves when standard input has ended and the server has acknowledged all of it, so a
service, whose input is /dev/null, needs --stay. Data waits for the program that reads standard
output, and the server with it; when that program has gone, connect leaves with exit code 0. In
the background (`heartwire connect HOST:PORT &`) it reads nothing from the terminal, and goes on
with that in the foreground.

SIGUSR1 says that the network has changed: a wait is cut short, and a connection that did not
survive is noticed in 3 to 6 s. On Linux that comes by itself when an address or an interface
changes or the machine wakes up. SIGHUP reads --token-file and the files for --tls again, which
each connection does too.

SIGTERM or Ctrl-C closes the connection, for which it gives the server --close-timeout; a further
signal ends it at once.

Exit codes: 0 stopped, 2 settings that contradict each other, 1 other failures; 4 stopped, and
the server is not known to have all of the input; and when it is not to try again (--retry never,
or the server said so): 4 cannot connect, was turned away, or lost the connection, 5 the server
was called dead.";

const DEMO_EXAMPLES: &str = "\
Examples:
  heartwire demo
  heartwire demo --clients 8

Exit codes: 0 the verdict came within its bound, 1 it did not, or something failed.";

/// What a head can announce. The library would take less for more, and the program then say what is
/// not so; the same goes for the other ranges here.
const FRAME_MAX: RangeInclusive<i64> = 0..=0x7fff_ffff;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on, such as 0.0.0.0:29002 or [fe80::1%eth0]:29002; can be given several times.
    /// Port 0 lets the system choose [default: 127.0.0.1:29002; port 39002, which is the tutorial's, with
    /// --preset reference].
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// What to do with data from clients, besides reporting it.
    #[arg(long, value_enum, default_value_t = ServeData::Discard)]
    pub(crate) on_data: ServeData,

    /// Threads, each with sessions of its own [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) shards: Option<u16>,

    /// Most sessions at one time, 1 or more; further clients are closed at once.
    #[arg(long, value_name = "N", default_value_t = heartwire::server::ServerConfig::SESSIONS_MAX, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) sessions: usize,

    /// Most bytes that may wait for one client, 64 or more; one that does not read is closed when
    /// they are full.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::OUTBOUND_MAX, value_parser = RangedU64ValueParser::<usize>::new().range(64..))]
    pub(crate) queue_max: usize,

    /// Most bytes held for all clients together: queued for them, or of frames that are not whole. Beyond it
    /// those are closed for which most is held.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::HELD_MAX)]
    pub(crate) held_max: usize,

    /// The same for clients that have not been taken in.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::PENDING_HELD_MAX)]
    pub(crate) pending_held_max: usize,

    /// How many beats of a client may lie in the kernel without waking this process, which sees them
    /// when the client's deadline comes; verdicts are as exact as without. On wire v0 more than 1
    /// costs less, and lets short data frames wait; on v1 no data waits. 0 is off. Linux only
    /// [default: 1 on v0, 4 on v1].
    #[arg(long, value_name = "BEATS")]
    pub(crate) coalesce: Option<u16>,

    /// Take only clients that speak this version of the wire [default: any, as the client's first
    /// frame decides; v1 with --tokens].
    #[arg(long, value_enum)]
    pub(crate) require: Option<WireArg>,

    /// Take only clients that show a token from this file: one a line, TOKEN or NAME TOKEN (which lets
    /// in the client of that name only; "NAME" in quotation marks if there are spaces in it), # begins a
    /// comment. SIGHUP reads it again.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,

    /// Most clients at one time that have connected and not been taken in; those that have waited
    /// longest go first [default: 4096, or half of what --sessions and open files allow if that is less;
    /// where v0 is taken without TLS, as many as they allow].
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) pending: Option<usize>,

    /// Most sessions from one address (IPv6: from one /64) at a time [default: no limit, because many
    /// clients can share an address].
    #[arg(long, value_name = "N")]
    pub(crate) per_address: Option<NonZeroU32>,

    /// Most new connections a second from one address, or `off`; twenty times as many may come at once.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    pub(crate) arrivals: RateOrOff,

    /// Most new connections a second from all addresses, or `off`; twice as many may come at once.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = rate)]
    pub(crate) all_arrivals: RateOrOff,

    /// How long a stop waits for clients to acknowledge what is queued for them, and the time over which
    /// it asks them to come back (wire v1; 1 s at least) or closes them one by one (v0).
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// Which events of sessions to print; what concerns the server itself is always printed.
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        value_delimiter = ',',
        default_values_t = [EventKind::Online, EventKind::Data, EventKind::Verdict, EventKind::Offline]
    )]
    pub(crate) events: Vec<EventKind>,

    /// How to print events.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Stop when the program that reads the events through a pipe has gone, as on SIGTERM but with exit
    /// code 1; it is noticed with the next event. Without this the server goes on, and prints nothing.
    #[arg(long)]
    pub(crate) exit_with_reader: bool,

    /// Leave no `data` event out: while a thousand events wait to be printed, read nothing more
    /// from clients that are online. What they send waits, and counts as life. Newcomers get in all
    /// the same.
    #[arg(long)]
    pub(crate) hold_data: bool,

    // Last, because options after them would be shown under their headings.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,

    #[command(flatten)]
    pub(crate) tls: ServeTlsArgs,

    #[command(flatten)]
    pub(crate) kernel: KernelArgs,

    /// `SO_SNDBUF` and `SO_RCVBUF`: how much the kernel may hold for each direction of a connection
    /// [default: the system decides, up to several MB]. For little more than beats 8192 is plenty.
    #[arg(long, value_name = "BYTES", help_heading = "Kernel")]
    pub(crate) socket_buffers: Option<NonZeroU32>,

    #[command(flatten)]
    pub(crate) caps: CapsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where to connect: a name or address, and a port, such as gateway.example:29002 or
    /// [fe80::1%eth0]:29002 [default of the port: 29002; 39002, which is the tutorial's, with --preset
    /// reference].
    ///
    /// Names are looked up anew at each try. Several addresses are tried in the resolver's order, 250 ms
    /// apart, and the first that answers is taken; one that failed comes last.
    #[arg(value_name = "HOST[:PORT]", value_parser = target)]
    pub(crate) target: String,

    /// Longest body that the server may send, up to 2147483647.
    #[arg(long, value_name = "BYTES", default_value_t = Caps::BODY_LEN_MAX, value_parser = clap::value_parser!(u32).range(FRAME_MAX))]
    pub(crate) frame_max: u32,

    /// Which version of the wire to speak. Where the server speaks v0 only, as the tutorial's does, v1
    /// fails within --handshake-timeout [default: v1; v0 with --preset reference and with --echo].
    #[arg(long, value_enum, conflicts_with = "raw")]
    pub(crate) wire: Option<WireArg>,

    /// What to call oneself, in at most 255 bytes (wire v1): the server keeps one session of that name,
    /// the newest.
    #[arg(long, conflicts_with = "raw")]
    pub(crate) name: Option<String>,

    /// A file whose only line is the token that lets this client in (wire v1), read anew at each try. A
    /// token on the command line could be read by others.
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    pub(crate) token_file: Option<PathBuf>,

    /// Longest time for the server to answer the handshake (wire v1) [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) handshake_timeout: Option<Duration>,

    /// Print the round trip and what the server says of itself, at this interval (wire v1).
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) path: Option<Duration>,

    /// Promise the server a beat this often instead of as agreed, as near to that as it allows; it
    /// judges accordingly (wire v1).
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "raw")]
    pub(crate) promise: Option<Duration>,

    /// Say `degraded` in beats when standard input has brought nothing for this long: then whoever writes
    /// it hangs, though this process does not (wire v1).
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) check_in: Option<Duration>,

    /// Take lines of standard input that begin with a slash for commands: `/promise TIME`, `/promise
    /// agreed`, and `/check-in`, which sends nothing. `//` begins a line of data with one slash (wire v1).
    #[arg(long, conflicts_with = "raw")]
    pub(crate) commands: bool,

    /// Speak bytes without the 8-byte heads. There are no beats then, and no limit unless --limit
    /// gives one, whatever the preset: such a server may be silent for ever. Any byte counts as life.
    #[arg(long)]
    pub(crate) raw: bool,

    /// What to do with data from the server.
    #[arg(long, value_enum, default_value_t = ConnectData::Print)]
    pub(crate) on_data: ConnectData,

    /// How to wait before connecting again: `usual` (up to 0.5 s, doubling up to 30 s, drawn at
    /// random), `fixed:TIME`, or `never`.
    #[arg(long, value_name = "HOW", default_value = "usual", value_parser = retry)]
    pub(crate) retry: Retry,

    /// Longest time that a server may tell this client to stay away for: a longer window is cut to
    /// the second half of this. (`retry 0`, which says never to come back, is not a window.)
    #[arg(long, value_name = "TIME", default_value = "1day", value_parser = duration)]
    pub(crate) hint_max: Duration,

    /// Come back even where the server says never to (unauthorized, conflict, taken_over): after once to
    /// twice this time, drawn at random, 1s or more [default: leave with exit code 4].
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "raw")]
    pub(crate) retry_rejected: Option<Duration>,

    /// Longest time for a name look-up, and for connecting to one address of those that are tried side by
    /// side.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub(crate) connect_timeout: Duration,

    /// What to do with input while there is no connection.
    #[arg(long, value_enum, default_value_t = Disconnected::Queue)]
    pub(crate) while_disconnected: Disconnected,

    /// Most bytes of input that may wait to be sent, 64 to 2147483647; then no more is read until
    /// there is room.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::client::ClientConfig::OUTBOUND_MAX, value_parser = RangedU64ValueParser::<usize>::new().range(64..=0x7fff_ffff))]
    pub(crate) queue_max: usize,

    /// Do not read standard input.
    #[arg(long, conflicts_with_all = ["stay", "commands", "check_in"])]
    pub(crate) no_input: bool,

    /// Go on when standard input has ended. Without this, connect leaves when the server has
    /// acknowledged everything; see --close-timeout.
    #[arg(long)]
    pub(crate) stay: bool,

    /// Longest time for closing the connection, after a signal too: until the server has acknowledged
    /// what was sent and has closed its side. A server that acknowledges nothing new for a tenth of
    /// it (for 1 s at least, and longer on a path with long round trips) is given up before. Exit
    /// code 4 says that it is not known to have everything.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) close_timeout: Duration,

    /// How to print changes of state on standard error.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    // Last, because options after them would be shown under their headings.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,

    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,

    #[command(flatten)]
    pub(crate) kernel: KernelArgs,

    /// `SO_SNDBUF` and `SO_RCVBUF`: how much the kernel may hold for each direction of a connection
    /// [default: the system decides, up to several MB]. For little more than beats 8192 is plenty.
    #[arg(long, value_name = "BYTES", help_heading = "Kernel")]
    pub(crate) socket_buffers: Option<NonZeroU32>,
}

impl ServeArgs {
    /// Where to listen.
    pub(crate) fn listen(&self) -> Vec<SocketAddr> {
        if self.listen.is_empty() {
            return vec![SocketAddr::from((Ipv4Addr::LOCALHOST, self.policy.preset.port()))];
        }
        self.listen.clone()
    }
}

impl ConnectArgs {
    /// Where to connect, with a port.
    pub(crate) fn target(&self) -> String {
        let target = &self.target;
        if target.contains(':') && !target.ends_with(']') {
            return target.clone();
        }
        format!("{target}:{}", self.policy.preset.port())
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many clients.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) clients: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServeData {
    /// Only report it.
    Discard,
    /// Send it back.
    Echo,
    /// Send it back with ASCII letters in upper case.
    Upper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventKind {
    /// A client is there, or says something new of itself.
    Online,
    /// A data frame came.
    Data,
    /// A client was called dead.
    Verdict,
    /// A session ended.
    Offline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConnectData {
    /// Write it to standard output, a line for each frame; on a terminal with control characters
    /// escaped, elsewhere as it came.
    Print,
    /// Drop it.
    Discard,
    /// Send it back.
    Echo,
    /// Send it back with ASCII letters in upper case.
    Upper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Disconnected {
    /// Keep it, up to --queue-max, and send it on the next connection.
    Queue,
    /// Drop it, and say so once.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One object a line, for programs; docs/events.md describes the fields.
    Json,
}

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
    const fn port(self) -> u16 {
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
#[command(next_help_heading = "TLS")]
pub(crate) struct ServeTlsArgs {
    /// The server's certificate and those that vouch for it (PEM). With it every client speaks TLS 1.3.
    /// SIGHUP reads all these files again; sessions stay.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Take only clients with a certificate that one of these vouches for (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_roots: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ConnectTlsArgs {
    /// Speak TLS 1.3 with the server, and make sure that it is the right one.
    #[arg(long)]
    pub(crate) tls: bool,

    /// Who may vouch for the server (PEM) [default: whom the system trusts].
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_roots: Option<PathBuf>,

    /// The name that the server's certificate must have [default: the host].
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) tls_name: Option<String>,

    /// A certificate for servers that ask for one (PEM). It, its key and --tls-roots are read again at
    /// each try where they have changed.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireArg {
    /// The tutorial's frames: no handshake, no names, no tokens.
    V0,
    /// A handshake that agrees on beats and limits, and beats that tell how both directions fare.
    V1,
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

#[derive(Debug, Args)]
#[command(next_help_heading = "What a client may make the server hold, or wait for")]
pub(crate) struct CapsArgs {
    /// Longest body of a frame, up to 2147483647.
    #[arg(long, value_name = "BYTES", default_value_t = Caps::BODY_LEN_MAX, value_parser = clap::value_parser!(u32).range(FRAME_MAX))]
    pub(crate) frame_max: u32,

    /// Time from connecting to the first frame's head, or `off` [default: 10s, or twice the
    /// client's beat where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) first_frame: Option<TimeOrOff>,

    /// Time from the first byte of a frame to its last, plus 1 s per KiB of its body, or `off`
    /// [default: 30s, or the limit where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) frame_time: Option<TimeOrOff>,
}

/// A number a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateOrOff(pub(crate) Option<NonZeroU32>);

fn rate(text: &str) -> Result<RateOrOff, String> {
    if text == "off" {
        return Ok(RateOrOff(None));
    }
    let rate = text.parse().map_err(|error| format!("{error}; write a number from 1, or off"))?;
    Ok(RateOrOff(Some(rate)))
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOrOff(pub(crate) Option<Duration>);

fn time_or_off(text: &str) -> Result<TimeOrOff, String> {
    if text == "off" { Ok(TimeOrOff(None)) } else { duration(text).map(|d| TimeOrOff(Some(d))) }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with its unit, such as 3s or 250ms"))
}

/// A time in which something is done again and again, or waited for: none at all would spin, or never do.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("that is too short; write 1ms or more".to_owned());
    }
    Ok(interval)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let help = "write an address and a port, such as 127.0.0.1:29002, 0.0.0.0:29002 or [::1]:29002";
    let parsed = text.parse().map_err(|error| format!("{error}; {help}"));
    parsed.or_else(|error| with_zone(text).unwrap_or(Err(error)))
}

/// Where to connect. What no retry can mend is said before anything starts.
fn target(text: &str) -> Result<String, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        return Err(format!("write {host} without {scheme}://: heartwire speaks its own protocol"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!(
            "write an IPv6 address in brackets: [{text}], or with a port [{host}]:29002"
        ));
    }
    if host.is_empty() || host == "[]" {
        return Err("there is no host in it: write HOST or HOST:PORT".to_owned());
    }
    if let Some(port) = port.filter(|port| port.parse::<NonZeroU16>().is_err()) {
        return Err(format!("{port:?} is no port: use a number from 1 to 65535"));
    }
    match with_zone(&format!("{host}:{}", port.unwrap_or("1"))) {
        Some(Err(error)) => Err(error),
        Some(Ok(_)) | None => Ok(text.to_owned()),
    }
}

/// An address whose zone is the name of an interface, such as `[fe80::1%eth0]:39002`, if it is written so.
fn with_zone(text: &str) -> Option<Result<SocketAddr, String>> {
    let (host, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
    let (address, zone) = host.split_once('%')?;
    let (Ok(_), Ok(port)) = (address.parse::<Ipv6Addr>(), port.parse::<u16>()) else {
        return Some(Err(format!("{text} is not an IPv6 address with a zone and a port")));
    };
    // Numbers all of it, so that this asks no resolver: the system knows the interface or it does not.
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    Some(found.ok_or_else(|| {
        format!("{address} has no zone {zone:?} here: write the name or number of an interface")
    }))
}

fn keepalive(text: &str) -> Result<Keepalive, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [idle, interval, count] = parts.as_slice() else {
        return Err("write idle time, interval and count, such as 3s,3s,3".to_owned());
    };
    let count = u32::from_str(count).map_err(|error| format!("count {count}: {error}"))?;
    Keepalive::new(duration(idle)?, duration(interval)?, count).map_err(|error| error.to_string())
}

fn retry(text: &str) -> Result<Retry, String> {
    match text {
        "never" => Ok(Retry::Never),
        "usual" => Ok(Retry::Backoff(BackoffPolicy::default())),
        _ => {
            let interval = text.strip_prefix("fixed:").ok_or("write usual, fixed:TIME or never")?;
            let policy = BackoffPolicy::fixed(duration(interval)?);
            policy.map(Retry::Backoff).map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
