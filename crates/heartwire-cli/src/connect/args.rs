//! The options of `connect`.

use core::num::NonZeroU32;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use heartwire::FrameLimits;
use heartwire::client::ClientConfig;

use crate::options::{FormatArgs, KernelArgs, OfferArgs, PolicyArgs, ResumeArgs};
use crate::settings::ConfigArgs;
use crate::values::{
    MAX_FRAME, ProtocolArg, Retry, above_zero, bytes, duration, interval, retry, target,
};

/// The examples of `-h`.
pub(crate) const FIRST_EXAMPLES: &str = "\
Examples:
  heartwire connect localhost
  seq 3 | heartwire connect --retry never localhost:29002";

/// The examples of `--help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire connect localhost
      heartbeats every 10 s; reconnect when the server has been silent for 30 s
  seq 3 | heartwire connect --retry never localhost:29002
      send three lines and exit
  heartwire connect --name hall/door-3 --token-file door.token --rtt 10s gateway.example:29002
      have a name, authenticate with a token, and print the round trip every 10 s
  sensor | heartwire connect --watchdog 1m --commands gateway.example:29002
      report `degraded` when the sensor writes nothing for a minute; its line `/promise 5m` has the
      server expect a heartbeat only every 5 minutes
  heartwire connect --preset tutorial 192.0.2.7:39002
      the tutorial's client: heartbeats every 3 s, no timeout (its server never sends anything)
  heartwire connect --interval off --echo --timeout 15s localhost:39002
      answer the server's heartbeats, and declare it dead when they stop
  heartwire connect --raw --on-data upper --keepalive 3s,3s,3 --retry 100ms 192.0.2.7:39002
      the tutorial's kernel variant: raw bytes, upper-cased and sent back

connect exits when standard input has ended and the server has acknowledged all of it, perhaps
before an answer: `(echo hi; sleep 1) | heartwire connect HOST:PORT` waits for one. A service, whose
input is /dev/null, needs --stay. A slow reader of standard output slows down the server; when
it exits, connect exits with code 0. In the background (`heartwire connect HOST:PORT &`) connect
does not read the terminal until it is in the foreground again.

SIGUSR1 reports that the network has changed: connect retries at once, and notices within 3 to 6 s
that a connection did not survive. On Linux it sees this itself when an address or an interface
changes or the machine wakes up. SIGHUP reads --token-file and the files for --tls again, and so
does each attempt to connect.

While a session has no connection, input is kept, and sent when it has one again; see --grace. What
is then lost after all is counted by the `offline` event.

SIGTERM or Ctrl-C closes the connection, within --close-timeout; a second signal exits at once.

Exit codes: 0 stopped, 2 settings that contradict each other, 1 other failures; 4 stopped, but the
server may not have all of the input. Without a retry (--retry never, or the server said so): 4
cannot connect, was rejected, or lost the connection, 5 the server was declared dead. 8 a session
that was to outlive its connection was lost, and some of the input with it.";

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// Server to connect to, such as gateway.example:29002 or [fe80::1%eth0]:29002 [default port:
    /// 29002; 39002 with --preset tutorial].
    ///
    /// Each attempt looks the name up again. Its addresses are tried in the resolver's order,
    /// 250 ms apart, and the first that answers is used; one that failed comes last.
    #[arg(value_name = "HOST[:PORT]", value_parser = target, help_heading = None::<&str>)]
    pub(crate) target: String,

    /// Version of the protocol [default: v1; v0 with --preset tutorial and with --echo].
    ///
    /// If the server speaks only v0, as the tutorial's does, v1 fails within --handshake-timeout.
    #[arg(long, value_enum, conflicts_with = "raw")]
    pub(crate) protocol: Option<ProtocolArg>,

    /// Send and receive bytes without the 8-byte headers, and so without heartbeats.
    ///
    /// There is no timeout unless --timeout is given, whatever the preset: such a server may be
    /// silent forever. Any byte shows that it is alive.
    #[arg(long, conflicts_with_all = ["interval", "echo", "min_interval", "max_timeout"])]
    pub(crate) raw: bool,

    /// Longest time for a name lookup, and for connecting to one of several addresses.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    pub(crate) connect_timeout: Duration,

    /// Longest time for the server to answer the handshake (protocol v1) [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = interval, conflicts_with = "raw")]
    pub(crate) handshake_timeout: Option<Duration>,

    /// Longest time for closing the connection, also after a signal.
    ///
    /// It is closed when the server has acknowledged what was sent and has closed its side. connect
    /// gives up earlier when the server acknowledges nothing new for a tenth of this (at least 1 s,
    /// longer on a path with long round trips). Exit code 4 says that the server may not have
    /// everything.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) close_timeout: Duration,

    /// Client name, at most 255 bytes (protocol v1); the server keeps only the newest session per
    /// name.
    #[arg(short, long, conflicts_with = "raw", help_heading = "Identity")]
    pub(crate) name: Option<String>,

    /// File with the token of this client and nothing else (protocol v1).
    ///
    /// It is read again at each attempt. Other users could read a token on the command line.
    #[arg(long, value_name = "FILE", conflicts_with = "raw", help_heading = "Identity")]
    pub(crate) token_file: Option<PathBuf>,

    /// What to do with data from the server.
    #[arg(
        long,
        value_enum,
        default_value_t = ConnectData::Print,
        help_heading = "Input and output"
    )]
    pub(crate) on_data: ConnectData,

    /// Do not read standard input.
    #[arg(
        long,
        conflicts_with_all = ["stay", "commands", "watchdog"],
        help_heading = "Input and output"
    )]
    pub(crate) no_input: bool,

    /// Stay connected when standard input has ended.
    ///
    /// Without this, connect exits when the server has acknowledged everything; see
    /// --close-timeout.
    #[arg(long, help_heading = "Input and output")]
    pub(crate) stay: bool,

    /// Treat lines of standard input that begin with a slash as commands (protocol v1).
    ///
    /// They are `/promise TIME`, `/promise agreed`, and `/feed`, which feeds the watchdog and sends
    /// nothing. `//` begins a line of data with one slash.
    #[arg(long, conflicts_with = "raw", help_heading = "Input and output")]
    pub(crate) commands: bool,

    /// What to do with input while there is no connection.
    #[arg(long, value_enum, default_value_t = Offline::Queue, help_heading = "Input and output")]
    pub(crate) offline: Offline,

    /// How to wait before reconnecting: `backoff` (random, up to 0.5 s, doubling up to 30 s),
    /// `TIME`, or `never`.
    ///
    /// With `never`, a session ends with its connection, unless --grace is given. While a session
    /// has no connection, connect waits 10 s at most, whatever this is.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "backoff",
        value_parser = retry,
        help_heading = "Reconnecting"
    )]
    pub(crate) retry: Retry,

    /// Longest time that a server may ask this client to stay away.
    ///
    /// A longer window is cut to the second half of this. (`retry 0`, which means never, is not a
    /// window.)
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1day",
        value_parser = duration,
        help_heading = "Reconnecting"
    )]
    pub(crate) max_hint: Duration,

    /// Reconnect even if the server says never to (unauthorized, conflict, taken_over), after a
    /// random time of once to twice this, 1s or more [default: exit with code 4].
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        conflicts_with = "raw",
        help_heading = "Reconnecting"
    )]
    pub(crate) retry_rejected: Option<Duration>,

    // A heading holds for the options after it too, unless they have their own.
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    #[command(flatten)]
    pub(crate) offer: OfferArgs,

    /// Promise the server a heartbeat this often instead of the agreed interval, as nearly as the
    /// server allows; its timeout follows (protocol v1).
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        conflicts_with = "raw",
        help_heading = "Heartbeat"
    )]
    pub(crate) promise: Option<Duration>,

    /// Report `degraded` in heartbeats when standard input has been idle for this long: the program
    /// that writes it may be stuck although this process is not (protocol v1).
    #[arg(
        long,
        value_name = "TIME",
        value_parser = interval,
        conflicts_with = "raw",
        help_heading = "Heartbeat"
    )]
    pub(crate) watchdog: Option<Duration>,

    #[command(flatten)]
    pub(crate) resume: ResumeArgs,

    #[command(flatten)]
    pub(crate) tls: ConnectTlsArgs,

    #[command(flatten)]
    pub(crate) kernel: KernelArgs,

    /// How much the kernel may hold for each direction of a connection [default: the system
    /// decides, up to several MB].
    ///
    /// It sets `SO_SNDBUF` and `SO_RCVBUF`; 8192 is plenty for little more than heartbeats.
    #[arg(long, value_name = "BYTES", value_parser = above_zero, help_heading = "Kernel")]
    pub(crate) socket_buffers: Option<NonZeroU32>,

    /// Maximum length of a body from the server, up to 2147483647.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = FrameLimits::MAX_FRAME,
        value_parser = bytes::<u32>(MAX_FRAME),
        help_heading = "Limits"
    )]
    pub(crate) max_frame: u32,

    /// Maximum bytes of input that wait to be sent, 64 to 2147483647; connect reads no more until
    /// there is room.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = ClientConfig::MAX_QUEUE,
        value_parser = bytes::<usize>(64..=0x7fff_ffff),
        help_heading = "Limits"
    )]
    pub(crate) max_queue: usize,

    /// Print the round trip and the server's health at this interval (protocol v1).
    #[arg(
        long,
        value_name = "TIME",
        value_parser = interval,
        conflicts_with = "raw",
        help_heading = "Output"
    )]
    pub(crate) rtt: Option<Duration>,

    #[command(flatten)]
    pub(crate) format: FormatArgs,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
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
    /// Write it to standard output, one line per frame; control characters are escaped on a
    /// terminal.
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
    /// Drop it, and report that once.
    Drop,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ConnectTlsArgs {
    /// Use TLS 1.3, and verify the server's certificate.
    #[arg(long)]
    pub(crate) tls: bool,

    /// CA certificates to trust (PEM) [default: system roots].
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Name that the server's certificate must have [default: the host].
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) tls_server_name: Option<String>,

    /// Client certificate for servers that require one (PEM).
    ///
    /// It, its key and --tls-ca are read again at each attempt if they have changed.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}
