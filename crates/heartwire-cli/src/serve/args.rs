//! The options of `serve`.

use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroU32;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use heartwire::FrameLimits;
use heartwire::server::Network;
use heartwire::server::limits::{Admission, Limits};

use super::http::HttpArgs;
use super::presence::PresenceArgs;
use crate::options::{FormatArgs, KernelArgs, OfferArgs, PolicyArgs, ResumeArgs};
use crate::settings::ConfigArgs;
use crate::values::{
    MAX_FRAME, ProtocolArg, RateOrOff, TimeOrOff, above_zero, address, bytes, duration, number,
    rate, seconds, time_or_off,
};

/// The examples of `-h`.
pub(crate) const FIRST_EXAMPLES: &str = "\
Examples:
  heartwire serve
  heartwire serve --timeout 6s --interval 2s --json | jq .";

/// The examples of `--help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire serve
      heartbeats every 10 s; a client is declared dead after 30 s of silence
  heartwire serve --timeout 6s --interval 2s --json | jq .
      detect dead clients sooner, and pass the events to a program
  heartwire serve --preset tutorial --listen 0.0.0.0:39002
      the tutorial's server: its clients send heartbeats every 3 s, the timeout is 15 s
  heartwire serve --coalesce 5
      leave five heartbeats of each client in the kernel, so that most cost the server nothing
  heartwire serve --on-data echo --listen 127.0.0.1:0 --listen '[::1]:0'
      send data back; IPv4 and IPv6, ports chosen by the system
  heartwire serve --tokens clients.tokens --max-per-address 50 --drain 30s
      accept only clients with a token; on shutdown, spread their reconnects over half a minute
  heartwire serve --presence redis://10.0.0.5 --node eu-1 --hook-command ./on-change
      share with other servers who is online, and run a program when that changes
  heartwire serve --print-config=all >serve.toml
  heartwire serve --config serve.toml
      write a configuration file to start from, and use it

SIGTERM or Ctrl-C stops accepting, sends what is queued, closes every session when its client has
received all of it, and exits within --drain plus one second. A second signal exits at once, unless
it comes within 250 ms of the first.

SIGHUP reads --config, and the files that options name, again. If all of them are right, it takes
over what can change, and says what needs a restart; otherwise nothing changes.

Printing never delays the server. If events come faster than they are read, `data` events are
dropped, and so are sessions that end before any of their events is printed; an `unprinted` event
counts them. With --hold-data no `data` event is dropped: the server stops reading instead. Writing
to a full disk is tried again each second. When the reader exits (`serve | head`), the server goes
on, unless --exit-with-reader is given.

Exit codes: 0 stopped, 2 settings that contradict each other, 3 cannot listen, 1 other failures.";

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServeArgs {
    /// Address to listen on, such as 192.0.2.1:29002; can be repeated [default: 127.0.0.1:29002;
    /// port 39002 with --preset tutorial].
    ///
    /// A port alone listens on 127.0.0.1, :PORT on every IPv4 address, [::]:PORT on every address,
    /// [fe80::1%eth0]:PORT on one interface. Port 0 lets the system choose.
    #[arg(short, long, value_name = "ADDR", value_delimiter = ',', value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// Accept only clients that speak this version of the protocol [default: both, as the client's
    /// first frame decides; v1 with --tokens].
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<ProtocolArg>,

    /// Balancers in front of this server; each connection from them must begin with a header of the
    /// PROXY protocol (v1 or v2), which tells the client's address.
    ///
    /// That address counts in --max-per-address and --accept-rate-per-address, and stands in the
    /// events and the log. TLS comes after the header. Connections from other addresses cannot use
    /// it.
    #[arg(long, value_name = "ADDR[/BITS]", value_delimiter = ',')]
    pub(crate) proxy_from: Vec<Network>,

    /// Threads that serve sessions [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=256))]
    pub(crate) threads: Option<u16>,

    /// How long a shutdown waits for clients to acknowledge what is queued for them.
    ///
    /// Over the same time it spreads their reconnects (protocol v1; at least 1 s), or closes them
    /// one by one (v0).
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) drain: Duration,

    /// End each session at this age, or up to a quarter before, so that clients move to servers
    /// that were added [default: never].
    ///
    /// Nothing is cut off: the server first waits until nothing is under way, for as long as
    /// --drain. Then it tells the client to reconnect within a second, or closes it on v0.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) max_age: Option<Duration>,

    /// Accept only clients with a token from this file.
    ///
    /// One per line: TOKEN, or NAME TOKEN for the client of that name only ("NAME" in quotation
    /// marks if it has spaces), and until=2026-12-31T00:00:00Z after it for a token that ends; #
    /// begins a comment. SIGHUP reads the file again, and ends sessions whose token is gone.
    #[arg(long, value_name = "FILE", help_heading = "Identity")]
    pub(crate) tokens: Option<PathBuf>,

    /// What to do with data from clients, besides reporting it.
    #[arg(
        long,
        value_enum,
        default_value_t = ServeData::Discard,
        help_heading = "Input and output"
    )]
    pub(crate) on_data: ServeData,

    /// Drop no `data` event: while a thousand events wait to be printed, stop reading from clients.
    ///
    /// What they send waits, and still shows that they are alive. New clients are accepted all the
    /// same.
    #[arg(long, help_heading = "Input and output")]
    pub(crate) hold_data: bool,

    /// Obey commands on standard input, such as `/who`; `/help` explains them.
    ///
    /// `/who` lists the sessions, `/send NAME TEXT` sends to one, `/all TEXT` to all, `/kick NAME
    /// [REASON]` disconnects one and tells it not to reconnect. Answers are printed among the
    /// events. The end of the input does not stop the server.
    #[arg(long, help_heading = "Input and output")]
    pub(crate) commands: bool,

    // A heading holds for the options after it too, unless they have their own.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,

    /// How many heartbeats of a client may wait in the kernel without waking this process; 0 is off
    /// [default: 1 on v0, 4 on v1].
    ///
    /// It reads them at the client's deadline; verdicts stay as exact. On protocol v0 more than 1
    /// costs less, but short data frames may wait; on v1 no data waits. Linux only.
    #[arg(
        long,
        value_name = "BEATS",
        value_parser = number::<u16>(0..=65_535),
        help_heading = "Heartbeat"
    )]
    pub(crate) coalesce: Option<u16>,

    #[command(flatten)]
    pub(crate) resume: ResumeArgs,

    /// Maximum bytes kept for all sessions together that have no connection; above it those end
    /// that have been without one longest.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "256MiB",
        value_parser = bytes::<usize>(0..=u64::MAX),
        help_heading = "Resuming"
    )]
    pub(crate) max_replay: usize,

    #[command(flatten)]
    pub(crate) tls: ServeTlsArgs,

    #[command(flatten)]
    pub(crate) kernel: KernelArgs,

    /// How much the kernel may hold for each direction of a connection [default: the system
    /// decides, up to several MB].
    ///
    /// It sets `SO_SNDBUF` and `SO_RCVBUF`; 8192 is plenty for little more than heartbeats.
    #[arg(long, value_name = "BYTES", value_parser = above_zero, help_heading = "Kernel")]
    pub(crate) socket_buffers: Option<NonZeroU32>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) http: HttpArgs,

    #[command(flatten)]
    pub(crate) presence: Box<PresenceArgs>,

    /// Which events of sessions to print, separated by commas; events of the server itself are
    /// always printed.
    #[arg(
        long,
        value_name = "KIND",
        value_enum,
        value_delimiter = ',',
        default_value = "online,data,verdict,away,offline",
        help_heading = "Output"
    )]
    pub(crate) events: Vec<EventKind>,

    #[command(flatten)]
    pub(crate) format: FormatArgs,

    /// Stop when the program that reads the events through a pipe exits.
    ///
    /// The server stops as on SIGTERM, but with exit code 1, at the next event. Without this it
    /// goes on and prints nothing.
    #[arg(long, help_heading = "Output")]
    pub(crate) exit_with_reader: bool,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
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
    /// A client connected, changed its health or interval, or sends no more.
    Online,
    /// A data frame arrived.
    Data,
    /// A client was declared dead.
    Verdict,
    /// A session lost its connection, or has another.
    Away,
    /// A session ended.
    Offline,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ServeTlsArgs {
    /// The server's certificate, followed by intermediate ones (PEM); every client must then use
    /// TLS 1.3.
    ///
    /// SIGHUP reads all these files again, and ends sessions whose client certificate is not
    /// accepted any more. A session also ends when that expires.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Accept only clients with a certificate that is signed by one of these CAs (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Reject client certificates that are in one of these revocation lists (PEM).
    ///
    /// A CA without a list has revoked nothing. A list stays in force when its next update is
    /// overdue.
    #[arg(long, value_name = "FILE", value_delimiter = ',', requires = "tls_client_ca")]
    pub(crate) tls_client_crl: Vec<PathBuf>,

    /// Encrypt session tickets with the keys in this file, so that clients also return with them
    /// after a restart, and to other servers with the same file and certificate; or `off`: no
    /// tickets. Default: keys that the process draws.
    ///
    /// Each line is a key of 64 hexadecimal digits (`openssl rand -hex 32`). The first one
    /// encrypts, tickets of all are accepted, for a week. A returning client with a ticket needs no
    /// certificate, its own or the server's, and no signature of either. A ticket is not accepted
    /// after the certificates, the CAs or the revocation lists have changed. Keep the file as
    /// secret as a CA's key.
    #[arg(long, value_name = "FILE|off", requires = "tls_cert")]
    pub(crate) tls_ticket_keys: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Maximum sessions at one time, 1 or more; further clients are told that the server is full,
    /// or closed at once if they are many.
    #[arg(
        long,
        value_name = "N",
        default_value_t = Admission::MAX_SESSIONS,
        value_parser = number::<usize>(1..=u64::MAX)
    )]
    pub(crate) max_sessions: usize,

    /// Maximum sessions per address (IPv6: per /64), and as many more that are away [default: no
    /// limit, because many clients can share an address].
    #[arg(long, value_name = "N", value_parser = above_zero)]
    pub(crate) max_per_address: Option<NonZeroU32>,

    /// Maximum connections that are not accepted yet; the oldest are dropped first [default: what
    /// --max-sessions and open files allow; with TLS or on v1 alone at most 4096].
    ///
    /// With TLS or on v1 alone it is half of what they allow if that is less.
    #[arg(long, value_name = "N", value_parser = number::<usize>(1..=u64::MAX))]
    pub(crate) max_pending: Option<usize>,

    /// Maximum new connections per second from one address, or `off`; a burst may be twenty times
    /// as many.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = rate)]
    pub(crate) accept_rate_per_address: RateOrOff,

    /// Maximum new connections per second from all addresses, or `off`; a burst may be twice as
    /// many.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = rate)]
    pub(crate) accept_rate: RateOrOff,

    /// Maximum bytes queued for one client, 64 or more; a client that does not read is disconnected
    /// when its queue is full.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::MAX_QUEUE,
        value_parser = bytes::<usize>(64..=u64::MAX)
    )]
    pub(crate) max_queue: usize,

    /// Maximum bytes held for all clients together, in queues and in incomplete frames; above it
    /// the clients that hold the most are disconnected.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::MAX_BUFFERED,
        value_parser = bytes::<usize>(0..=u64::MAX)
    )]
    pub(crate) max_buffered: usize,

    /// The same for clients that are not accepted yet.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Limits::MAX_PENDING_BUFFERED,
        value_parser = bytes::<usize>(0..=u64::MAX)
    )]
    pub(crate) max_pending_buffered: usize,

    /// Maximum length of a frame's body, up to 2147483647.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = FrameLimits::MAX_FRAME,
        value_parser = bytes::<u32>(MAX_FRAME)
    )]
    pub(crate) max_frame: u32,

    /// Time from connecting to the header of the first frame, or `off` [default: 10s, or twice the
    /// client's interval where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) handshake_timeout: Option<TimeOrOff>,

    /// Time from the first byte of a frame to its last, plus 1 s per KiB of its body, or `off`
    /// [default: 30s, or the timeout where that is longer].
    #[arg(long, value_name = "TIME", value_parser = time_or_off)]
    pub(crate) frame_timeout: Option<TimeOrOff>,
}
