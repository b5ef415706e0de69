//! What can be typed after `connect`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use heartwire::FrameLimits;
use heartwire::client::Retry;

use crate::options::{KernelArgs, OfferArgs, PolicyArgs};
use crate::values::{Format, MAX_FRAME, ProtocolArg, duration, interval, retry, target};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire connect localhost
      beat every 10 s, call the server dead after 30 s of silence, connect again for ever
  heartwire connect --preset tutorial 192.0.2.7:39002
      the tutorial's client: beat every 3 s and judge nobody (its server never sends anything)
  heartwire connect --interval off --echo --timeout 15s localhost:39002
      answer a server that asks, and call it dead if it stops asking
  heartwire connect --raw --on-data upper --keepalive 3s,3s,3 --retry 100ms 192.0.2.7:39002
      the tutorial's kernel variant: raw bytes, upper-cased and sent back
  seq 3 | heartwire connect --retry never localhost:29002
      send three lines and leave
  heartwire connect --name hall/door-3 --token-file door.token --rtt 10s gateway.example:29002
      be known by a name, show a token, and tell the round trip
  sensor | heartwire connect --watchdog 1m --commands gateway.example:29002
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
or the server said so): 4 cannot connect, was rejected, or lost the connection, 5 the server
was called dead.";

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where to connect: a name or address, and a port, such as gateway.example:29002 or
    /// [fe80::1%eth0]:29002 [default of the port: 29002; 39002, which is the tutorial's, with --preset
    /// tutorial].
    ///
    /// Names are looked up anew at each try. Several addresses are tried in the resolver's order, 250 ms
    /// apart, and the first that answers is taken; one that failed comes last.
    #[arg(value_name = "HOST[:PORT]", value_parser = target)]
    pub(crate) target: String,

    /// Longest body that the server may send, up to 2147483647.
    #[arg(long, value_name = "BYTES", default_value_t = FrameLimits::MAX_FRAME, value_parser = clap::value_parser!(u32).range(MAX_FRAME))]
    pub(crate) max_frame: u32,

    /// Which version of the protocol to speak. Where the server speaks v0 only, as the tutorial's does, v1
    /// fails within --handshake-timeout [default: v1; v0 with --preset tutorial and with --echo].
    #[arg(long, value_enum, conflicts_with = "raw")]
    pub(crate) protocol: Option<ProtocolArg>,

    /// What to call oneself, in at most 255 bytes (protocol v1): the server keeps one session of that name,
    /// the newest.
    #[arg(short, long, conflicts_with = "raw")]
    pub(crate) name: Option<String>,

    /// A file whose only line is the token that lets this client in (protocol v1), read anew at each try. A
    /// token on the command line could be read by others.
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    pub(crate) token_file: Option<PathBuf>,

    /// Longest time for the server to answer the handshake (protocol v1) [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) handshake_timeout: Option<Duration>,

    /// Print the round trip and what the server says of itself, at this interval (protocol v1).
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) rtt: Option<Duration>,

    /// Promise the server a beat this often instead of as agreed, as near to that as it allows; it
    /// judges accordingly (protocol v1).
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "raw")]
    pub(crate) promise: Option<Duration>,

    /// Say `degraded` in beats when standard input has brought nothing for this long: then whoever writes
    /// it hangs, though this process does not (protocol v1).
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) watchdog: Option<Duration>,

    /// Take lines of standard input that begin with a slash for commands: `/promise TIME`, `/promise
    /// agreed`, and `/feed`, which sends nothing. `//` begins a line of data with one slash (protocol v1).
    #[arg(long, conflicts_with = "raw")]
    pub(crate) commands: bool,

    /// Speak bytes without the 8-byte headers. There are no beats then, and no timeout unless --timeout
    /// gives one, whatever the preset: such a server may be silent for ever. Any byte counts as life.
    #[arg(long)]
    pub(crate) raw: bool,

    /// What to do with data from the server.
    #[arg(long, value_enum, default_value_t = ConnectData::Print)]
    pub(crate) on_data: ConnectData,

    /// How to wait before connecting again: `backoff` (up to 0.5 s, doubling up to 30 s, drawn at
    /// random), `TIME`, or `never`.
    #[arg(long, value_name = "HOW", default_value = "backoff", value_parser = retry)]
    pub(crate) retry: Retry,

    /// Longest time that a server may tell this client to stay away for: a longer window is cut to
    /// the second half of this. (`retry 0`, which says never to come back, is not a window.)
    #[arg(long, value_name = "TIME", default_value = "1day", value_parser = duration)]
    pub(crate) max_hint: Duration,

    /// Come back even where the server says never to (unauthorized, conflict, taken_over): after once to
    /// twice this time, drawn at random, 1s or more [default: leave with exit code 4].
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "raw")]
    pub(crate) retry_rejected: Option<Duration>,

    /// Longest time for a name look-up, and for connecting to one address of those that are tried side by
    /// side.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub(crate) connect_timeout: Duration,

    /// What to do with input while there is no connection.
    #[arg(long, value_enum, default_value_t = Offline::Queue)]
    pub(crate) offline: Offline,

    /// Most bytes of input that may wait to be sent, 64 to 2147483647; then no more is read until
    /// there is room.
    #[arg(long, value_name = "BYTES", default_value_t = heartwire::client::ClientConfig::MAX_QUEUE, value_parser = RangedU64ValueParser::<usize>::new().range(64..=0x7fff_ffff))]
    pub(crate) max_queue: usize,

    /// Do not read standard input.
    #[arg(long, conflicts_with_all = ["stay", "commands", "watchdog"])]
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
    #[arg(long, value_enum, default_value_t = Format::Text, default_value_if("json", "true", "json"))]
    pub(crate) format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,

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
pub(crate) enum Offline {
    /// Keep it, up to --max-queue, and send it on the next connection.
    Queue,
    /// Drop it, and say so once.
    Drop,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ConnectTlsArgs {
    /// Speak TLS 1.3 with the server, and make sure that it is the right one.
    #[arg(long)]
    pub(crate) tls: bool,

    /// Who may vouch for the server (PEM) [default: whom the system trusts].
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// The name that the server's certificate must have [default: the host].
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) tls_server_name: Option<String>,

    /// A certificate for servers that ask for one (PEM). It, its key and --tls-ca are read again at
    /// each try where they have changed.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
