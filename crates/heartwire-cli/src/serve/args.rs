//! What can be typed after `serve`.

use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroU32;
use core::time::Duration;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use heartwire::FrameLimits;

use crate::options::{KernelArgs, OfferArgs, PolicyArgs};
use crate::values::{
    Format, MAX_FRAME, ProtocolArg, RateOrOff, TimeOrOff, address, duration, rate, time_or_off,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire serve
      clients that beat every 10 s; a silent one is called dead after 30 s
  heartwire serve --preset tutorial --listen 0.0.0.0:39002
      the tutorial's server: its clients beat every 3 s, 15 s of silence is death
  heartwire serve --timeout 6s --interval 2s --format json | jq .
      judge faster, and feed the events to a program
  heartwire serve --coalesce 5
      let the kernel hold five beats of each client back, so that most cost the server nothing
  heartwire serve --on-data echo --listen 127.0.0.1:0 --listen '[::1]:0'
      send data back; IPv4 and IPv6, ports chosen by the system
  heartwire serve --tokens clients.tokens --max-per-address 50 --drain 30s
      take in only those who show a token; when stopped, have them come back over half a minute

SIGTERM or Ctrl-C stops accepting, sends what is queued, closes every session when its client has
all of it, and exits within --drain plus one second; a second signal exits at once,
unless it comes within 250 ms of the first.

Printing never holds up the server. While events come faster than they are read, or nothing
reads them, `data` is left out, and so are sessions that end before anything of them is printed;
an `unprinted` event says how many. With --hold-data no `data` is left out: reading waits. A full disk is tried again each second, and a reader that
has gone (`serve | head`) does not end the server, unless --exit-with-reader is given.

Exit codes: 0 stopped, 2 settings that contradict each other, 3 cannot listen, 1 other failures.";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on, such as 0.0.0.0:29002 or [fe80::1%eth0]:29002; can be given several times.
    /// A port alone is one of 127.0.0.1, and :PORT is one of every IPv4 address. Port 0 lets the
    /// system choose [default: 127.0.0.1:29002; port 39002, which is the tutorial's, with
    /// --preset tutorial].
    #[arg(short, long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// What to do with data from clients, besides reporting it.
    #[arg(long, value_enum, default_value_t = ServeData::Discard)]
    pub(crate) on_data: ServeData,

    /// Threads, each with sessions of its own [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// Most sessions at one time, 1 or more; further clients are closed at once.
    #[arg(long, value_name = "N", default_value_t = heartwire::server::ServerConfig::MAX_SESSIONS, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_sessions: usize,

    /// Most bytes that may wait for one client, 64 or more; one that does not read is closed when
    /// they are full.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::MAX_QUEUE, value_parser = RangedU64ValueParser::<usize>::new().range(64..))]
    pub(crate) max_queue: usize,

    /// Most bytes held for all clients together: queued for them, or of frames that are not whole. Beyond it
    /// those are closed for which most is held.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::MAX_BUFFERED)]
    pub(crate) max_buffered: usize,

    /// The same for clients that have not been taken in.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::server::ServerConfig::MAX_PENDING_BUFFERED)]
    pub(crate) max_pending_buffered: usize,

    /// How many beats of a client may lie in the kernel without waking this process, which sees them
    /// when the client's deadline comes; verdicts are as exact as without. On protocol v0 more than 1
    /// costs less, and lets short data frames wait; on v1 no data waits. 0 is off. Linux only
    /// [default: 1 on v0, 4 on v1].
    #[arg(long, value_name = "BEATS")]
    pub(crate) coalesce: Option<u16>,

    /// Take only clients that speak this version of the protocol [default: any, as the client's first
    /// frame decides; v1 with --tokens].
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<ProtocolArg>,

    /// Take only clients that show a token from this file: one a line, TOKEN or NAME TOKEN (which lets
    /// in the client of that name only; "NAME" in quotation marks if there are spaces in it), # begins a
    /// comment. SIGHUP reads it again.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,

    /// Most clients at one time that have connected and not been taken in; those that have waited
    /// longest go first [default: 4096, or half of what --max-sessions and open files allow if that is less;
    /// where v0 is taken without TLS, as many as they allow].
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_pending: Option<usize>,

    /// Most sessions from one address (IPv6: from one /64) at a time [default: no limit, because many
    /// clients can share an address].
    #[arg(long, value_name = "N")]
    pub(crate) max_per_address: Option<NonZeroU32>,

    /// Most new connections a second from one address, or `off`; twenty times as many may come at once.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    pub(crate) accept_rate_per_address: RateOrOff,

    /// Most new connections a second from all addresses, or `off`; twice as many may come at once.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = rate)]
    pub(crate) accept_rate: RateOrOff,

    /// How long a stop waits for clients to acknowledge what is queued for them, and the time over which
    /// it asks them to come back (protocol v1; 1 s at least) or closes them one by one (v0).
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
    #[arg(long, value_enum, default_value_t = Format::Text, default_value_if("json", "true", "json"))]
    pub(crate) format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Stop when the program that reads the events through a pipe has gone, as on SIGTERM but with exit
    /// code 1; it is noticed with the next event. Without this the server goes on, and prints nothing.
    #[arg(long)]
    pub(crate) exit_with_reader: bool,

    /// Leave no `data` event out: while a thousand events wait to be printed, read nothing more
    /// from clients that are online. What they send waits, and counts as life. Newcomers get in all
    /// the same.
    #[arg(long)]
    pub(crate) hold_data: bool,

    /// Obey lines of standard input: `/who` lists the sessions, `/send NAME TEXT` sends to one, `/all TEXT` to all,
    /// `/kick NAME [REASON]` disconnects one and tells it not to reconnect, and `/help`
    /// explains them. Answers are printed among the events. The end of the input does not stop the server.
    #[arg(long)]
    pub(crate) commands: bool,

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
    pub(crate) limits: LimitArgs,
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
    pub(crate) tls_client_ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What a client may make the server hold, or wait for")]
pub(crate) struct LimitArgs {
    /// Longest body of a frame, up to 2147483647.
    #[arg(long, value_name = "BYTES", default_value_t = FrameLimits::MAX_FRAME, value_parser = clap::value_parser!(u32).range(MAX_FRAME))]
    pub(crate) max_frame: u32,

    /// Time from connecting to the first frame's header, or `off` [default: 10s, or twice the
    /// client's beat where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) handshake_timeout: Option<TimeOrOff>,

    /// Time from the first byte of a frame to its last, plus 1 s per KiB of its body, or `off`
    /// [default: 30s, or the timeout where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) frame_timeout: Option<TimeOrOff>,
}
