//! The line that `heartwire serve` prints when it starts: the settings in force.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use heartwire::server::{Report, Server, ServerConfig};
use heartwire::{Policy, Side};
use heartwire_plan::price::Serving;
use heartwire_plan::{End, Resume, Setup};
use serde::Serialize;

use super::args::ServeArgs;
use super::http::HttpAddress;
use super::presence::Shown;
use crate::output::{Millis, describe_policy, fields};
use crate::price::Million;
use crate::values::{ProtocolArg, typed, typed_bytes};

/// What a server listens on, and its settings.
#[derive(Debug, Serialize)]
pub(super) struct Listening {
    addresses: Vec<SocketAddr>,
    /// Those of sockets that were passed.
    passed: Vec<SocketAddr>,
    /// Addresses of IPv6 that accept no clients of IPv4, although they could.
    #[serde(skip)]
    ipv6_only: Vec<SocketAddr>,
    ipv4: bool,
    ipv6: bool,
    tls: bool,
    proxy_from: Vec<String>,
    #[serde(serialize_with = "fields::policy")]
    policy: Policy,
    receive_mark: u32,
    wake_bytes_v0: Option<u32>,
    wake_bytes_v1: Option<u32>,
    kernel: String,
    names_have_tokens: bool,
    max_sessions: usize,
    open_files: Option<u64>,
    max_pending: usize,
    max_frame: u32,
    max_queue: usize,
    max_buffered: usize,
    max_pending_buffered: usize,
    handshake_timeout_ms: Option<Millis>,
    drain_ms: Millis,
    max_age_ms: Option<Millis>,
    grace_ms: Option<Millis>,
    window: Option<u32>,
    max_replay: Option<usize>,
    resumable: &'static str,
    /// What a million clients cost that have the settings which this server expects.
    million: Option<Million>,
    /// Where HTTP is served.
    http: Option<String>,
    #[serde(flatten)]
    presence: Shown,
    /// How many heartbeats wait in the kernel, or why none do.
    #[serde(skip)]
    beats: String,
    /// Who can take over a name. Empty on v0, where clients have none.
    #[serde(skip)]
    names: &'static str,
    /// What becomes of a session whose connection is lost.
    #[serde(skip)]
    outages: String,
    /// The protocol that the million clients speak.
    #[serde(skip)]
    priced: &'static str,
}

impl Listening {
    pub(super) fn new(
        args: &ServeArgs,
        server: &Server,
        open_files: Option<u64>,
        own_tokens: Option<bool>,
    ) -> anyhow::Result<Self> {
        let policy = args.policy.policy(Side::Server)?;
        let (addresses, protocols) = (server.local_addrs(), Protocols::of(args));
        let report = server.report();
        let names = match own_tokens {
            _ if !protocols.v1 => "",
            None => "there are no tokens, so a client that knows a name can end its session",
            Some(false) => {
                "a client with a token for all names can end the session of a name without one"
            }
            Some(true) => "each has a token of its own",
        };
        let resumable = Resumable::of(args, addresses);
        let grace = args.resume.grace().filter(|_| resumable != Resumable::None);
        Ok(Self {
            addresses: addresses.to_vec(),
            passed: Vec::new(),
            ipv6_only: addresses
                .iter()
                .copied()
                .filter(|&addr| !accepts_ipv4(addr, addresses))
                .collect(),
            ipv4: addresses.iter().any(|&addr| accepts_ipv4(addr, addresses)),
            ipv6: addresses.iter().any(SocketAddr::is_ipv6),
            tls: args.tls.tls_cert.is_some(),
            proxy_from: args.proxy_from.iter().map(ToString::to_string).collect(),
            policy,
            receive_mark: report.wake_bytes_v0,
            wake_bytes_v0: protocols.v0.then_some(report.wake_bytes_v0),
            wake_bytes_v1: protocols.v1.then_some(report.wake_bytes_v1),
            kernel: report.kernel.to_string(),
            names_have_tokens: own_tokens.unwrap_or(false),
            max_sessions: args.limits.max_sessions,
            open_files,
            max_pending: report.max_pending,
            max_frame: args.limits.max_frame,
            max_queue: args.limits.max_queue,
            max_buffered: args.limits.max_buffered,
            max_pending_buffered: args.limits.max_pending_buffered,
            handshake_timeout_ms: report.frames.handshake_within().map(Millis),
            drain_ms: Millis(args.drain),
            max_age_ms: args.max_age.map(Millis),
            grace_ms: grace.map(Millis),
            window: grace.map(|_| args.resume.window),
            max_replay: grace.map(|_| args.max_replay),
            resumable: resumable.name(),
            million: price(args, policy, protocols, resumable),
            http: None,
            presence: Shown::default(),
            beats: describe_coalescing(args, report, protocols, &policy),
            names,
            outages: describe_outages(args, resumable),
            priced: if protocols.v1 { "v1" } else { "v0" },
        })
    }

    /// The same of a server that was passed sockets: their addresses, and whether each accepts
    /// clients of IPv6 only.
    pub(super) fn passed(mut self, sockets: &[(SocketAddr, bool)]) -> Self {
        for &(addr, is_ipv6_only) in sockets {
            self.passed.push(addr);
            self.ipv6_only.retain(|&other| other != addr);
            if is_ipv6_only {
                self.ipv6_only.push(addr);
            }
        }
        self.ipv4 = self.addresses.iter().any(|addr| !self.ipv6_only.contains(addr));
        self
    }

    fn describe_address(&self, addr: SocketAddr) -> String {
        let described = describe_address(addr, self.ipv6_only.contains(&addr));
        let passed = if self.passed.contains(&addr) { " (a socket that was passed)" } else { "" };
        described + passed
    }
}

impl Listening {
    pub(super) fn add_http(&mut self, address: &HttpAddress) {
        self.http = Some(address.to_string());
    }

    pub(super) fn add_presence(&mut self, presence: Shown) {
        self.presence = presence;
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beats, kernel, names, max_sessions, max_pending, max_frame, max_queue, .. } =
            self;
        let on: Vec<String> =
            self.addresses.iter().map(|&addr| self.describe_address(addr)).collect();
        let tls = if self.tls { " with TLS" } else { "" };
        writeln!(f, "on {}{tls}", on.join(" and "))?;
        if !self.proxy_from.is_empty() {
            let all = self.proxy_from.join(", ");
            writeln!(f, "  balancers: {all}; their PROXY headers tell the clients' addresses")?;
        }
        writeln!(f, "  policy: {}", describe_policy(&self.policy, "client"))?;
        writeln!(f, "  beats: {beats}\n  kernel: {kernel}")?;
        if !names.is_empty() {
            writeln!(f, "  names: {names}")?;
        }
        writeln!(f, "  outages: {}", self.outages)?;
        if let Some(Millis(age)) = self.max_age_ms {
            let (from, to) = (typed(age.mul_f64(0.75)), typed(age));
            writeln!(f, "  age: a session ends after {from} to {to}, and its client comes back")?;
        }
        if let Some(http) = &self.http {
            writeln!(f, "  http: {http}")?;
        }
        write!(f, "{}", self.presence)?;
        if let Some(million) = self.million {
            writeln!(f, "  cost: a million such clients on {} take {million}", self.priced)?;
        }
        let files =
            self.open_files.map_or_else(|| "no limit".to_owned(), |files| files.to_string());
        let timeout = self.handshake_timeout_ms;
        let within = timeout.map_or_else(|| "any time".to_owned(), |timeout| typed(timeout.0));
        write!(
            f,
            "  bounds: {max_sessions} sessions (open files: {files}), {max_pending} connections \
             not accepted yet, frames of {max_frame} B, {max_queue} B queued per session, first \
             frame within {within}"
        )
    }
}

/// Whether an address that a server listens on accepts clients of IPv4. `[::]` does, if there is no
/// IPv4 address with its port.
fn accepts_ipv4(addr: SocketAddr, all: &[SocketAddr]) -> bool {
    let is_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == addr.port();
    addr.is_ipv4() || (addr.ip().is_unspecified() && !all.iter().any(is_beside))
}

fn describe_address(addr: SocketAddr, is_ipv6_only: bool) -> String {
    match is_ipv6_only {
        _ if !addr.is_ipv6() || !addr.ip().is_unspecified() => addr.to_string(),
        false => format!("{addr} (IPv4 and IPv6)"),
        true => format!("{addr} (IPv6 only)"),
    }
}

/// The protocols that the server speaks.
#[derive(Clone, Copy)]
struct Protocols {
    v0: bool,
    v1: bool,
}

impl Protocols {
    fn of(args: &ServeArgs) -> Self {
        let v0 = args.tokens.is_none() && args.protocol != Some(ProtocolArg::V1);
        Self { v0, v1: args.protocol != Some(ProtocolArg::V0) }
    }
}

/// Which sessions outlive their connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resumable {
    All,
    /// Those of clients on this machine.
    Loopback,
    None,
}

impl Resumable {
    fn of(args: &ServeArgs, addresses: &[SocketAddr]) -> Self {
        let is_local = addresses.iter().all(|address| address.ip().is_loopback());
        let is_safe = is_local || args.tls.tls_cert.is_some() || args.resume.resume_in_the_clear;
        match super::resume(args) {
            None => Self::None,
            Some(_) if is_safe => Self::All,
            Some(_) => Self::Loopback,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Loopback => "loopback",
            Self::None => "none",
        }
    }
}

/// What a million clients cost that beat as often as this server expects, on v1 if it speaks that,
/// and have its settings otherwise; `None` if no client can have those.
fn price(
    args: &ServeArgs,
    policy: Policy,
    protocols: Protocols,
    resumable: Resumable,
) -> Option<Million> {
    let like_it = args.policy.policy(Side::Client).ok()?;
    let interval = policy.peer_interval().or(like_it.interval());
    let timed = |timeout: Option<Duration>| {
        let mut client = Policy::builder();
        if let Some(interval) = interval {
            client = client.interval(interval);
        }
        if let Some(timeout) = timeout {
            client = client.timeout(timeout);
        }
        let setup = Setup::new(End::new(client.build().ok()?), End::new(policy));
        let setup = if protocols.v1 { setup } else { setup.v0() };
        let resume = args.resume.grace().filter(|_| resumable != Resumable::None);
        setup.resume(resume.map(Resume::new)).plan().ok()
    };
    // A client cannot have a timeout where the server sends nothing.
    let plan = timed(like_it.timeout()).or_else(|| timed(None))?;
    let tls = args.tls.tls_cert.is_some();
    Some(Million::of(&plan.price(Serving::new().tls(tls).coalesce(args.coalesce))))
}

fn describe_outages(args: &ServeArgs, resumable: Resumable) -> String {
    let kept = || {
        let grace = typed(args.resume.grace().unwrap_or_default());
        let window = typed_bytes(args.resume.window.into());
        let all = typed_bytes(u64::try_from(args.max_replay).unwrap_or(u64::MAX));
        format!(
            "outlives its connection by {grace}, with up to {window} under way each way ({all} \
             kept in all)"
        )
    };
    match resumable {
        Resumable::All => format!("a session {}", kept()),
        Resumable::Loopback => format!(
            "a session of a client on this machine {}; others do not, because nothing is encrypted \
             (see --resume-in-the-clear)",
            kept()
        ),
        Resumable::None if args.protocol == Some(ProtocolArg::V0) => {
            "a session ends with its connection, as protocol v0 has it".to_owned()
        }
        Resumable::None => "a session ends with its connection (--grace off)".to_owned(),
    }
}

/// How many heartbeats wait in the kernel, or why none do.
fn describe_coalescing(
    args: &ServeArgs,
    report: &Report,
    protocols: Protocols,
    policy: &Policy,
) -> String {
    if report.wake_bytes_v0 == 1 && report.wake_bytes_v1 == 1 {
        let why = if args.coalesce == Some(0) {
            "--coalesce is 0"
        } else if policy.echo() {
            "the server answers them"
        } else if policy.timeout().is_none() {
            "without a timeout no deadline reads them"
        } else {
            "this system cannot hold them back"
        };
        return format!("each is read as it comes: {why}");
    }
    let both = protocols.v0 && protocols.v1;
    let on = |protocol: &str| if both { format!(" on {protocol}") } else { String::new() };
    let v0 = protocols.v0.then(|| {
        if report.wake_bytes_v0 == 1 {
            let on_v0 = on("v0");
            return format!(
                "each of a client{on_v0} is read as it comes, so that TLS's close_notify is"
            );
        }
        let short = match report.wake_bytes_v0 {
            9 => "a data frame without a body".to_owned(),
            bytes => format!("a data frame of less than {bytes} B, its header included,"),
        };
        format!(
            "up to {} of a client{} wait in the kernel, and {short} can wait for more bytes, {} at \
             most",
            args.coalesce.unwrap_or(ServerConfig::COALESCE),
            on("v0"),
            typed(policy.timeout().unwrap_or_default()),
        )
    });
    let v1 = protocols.v1.then(|| {
        format!(
            "up to {} of a client{} wait in the kernel, and no data: short frames are padded to \
             {} B",
            args.coalesce.unwrap_or(ServerConfig::COALESCE_V1),
            on("v1"),
            report.wake_bytes_v1,
        )
    });
    let parts: Vec<String> = [v0, v1].into_iter().flatten().collect();
    parts.join(";\n         ")
}

#[cfg(test)]
pub(super) use tests::example;

#[cfg(test)]
mod tests;
