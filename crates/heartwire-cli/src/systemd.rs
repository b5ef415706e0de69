//! The service manager, systemd or one like it: the sockets that it passes, and what it is told.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::env;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{self, UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use heartwire::server::{Handle, passed_sockets};
use rustix::net::AddressFamily;
use rustix::net::sockopt::{ipv6_v6only, socket_domain};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::Usage;
use crate::output::{counted, warn};

/// What a service manager sets for the process that it starts, and no child of it may inherit.
pub(crate) const VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// How long systemd waits for a service to stop, unless it is told otherwise
/// (`DefaultTimeoutStopSec`, systemd-system.conf(5)).
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// How often the status is told, if it has changed: each time wakes those that watch the unit.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// The sockets that the service manager passed, by what they are for.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// For sessions.
    pub(crate) sessions: Vec<TcpListener>,
    /// For HTTP.
    pub(crate) http: Option<HttpSocket>,
}

/// A socket for HTTP that listens already.
#[derive(Debug)]
pub(crate) enum HttpSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Passed {
    /// Takes them. Only the first call returns any.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let sockets = passed_sockets().context("cannot take the sockets that were passed")?;
        let mut passed = Self::default();
        for (name, socket) in sockets {
            match name.as_str() {
                "http" if passed.http.is_some() => {
                    return Err(Usage("two sockets named `http` were passed".to_owned()).into());
                }
                "http" => passed.http = Some(http_socket(socket)),
                // Without a name, or with systemd's default, which is that of the unit.
                "heartwire" | "" | "unknown" => passed.sessions.push(socket.into()),
                unit if unit.ends_with(".socket") => passed.sessions.push(socket.into()),
                other => {
                    return Err(Usage(format!(
                        "a socket named `{other}` was passed: `heartwire` is one for sessions, \
                         `http` one for --http (FileDescriptorName= of the socket unit)"
                    ))
                    .into());
                }
            }
        }
        Ok(passed)
    }

    /// The addresses of those for sessions, and whether each accepts clients of IPv6 only.
    pub(crate) fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let address = |socket: &TcpListener| {
            let addr = socket.local_addr().ok()?;
            Some((addr, addr.is_ipv6() && ipv6_v6only(socket).unwrap_or(false)))
        };
        self.sessions.iter().filter_map(address).collect()
    }
}

fn http_socket(socket: OwnedFd) -> HttpSocket {
    match socket_domain(&socket) {
        Ok(AddressFamily::UNIX) => HttpSocket::Unix(socket.into()),
        Ok(_) | Err(_) => HttpSocket::Tcp(socket.into()),
    }
}

/// Tells the service manager how the server is (`sd_notify(3)`). Does nothing if none asks for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manager(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    socket: UnixDatagram,
    address: net::SocketAddr,
    /// What it took no message of, because too many wait there: a line for each variable.
    unsent: Mutex<Vec<String>>,
    is_stopping: AtomicBool,
}

impl Manager {
    /// The one that started this process.
    pub(crate) fn find() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        Self::at(name.as_bytes()).unwrap_or_else(|error| {
            let name = name.display();
            warn(format_args!("cannot tell the service manager at {name} anything: {error}"));
            Self::default()
        })
    }

    /// The one with this socket: a path, or `@` and the rest of an abstract name.
    fn at(name: &[u8]) -> std::io::Result<Self> {
        let address = match name.strip_prefix(b"@") {
            Some(rest) => net::SocketAddr::from_abstract_name(rest)?,
            None => net::SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that hangs must not hold up the server.
        socket.set_nonblocking(true)?;
        let (unsent, is_stopping) = Default::default();
        Ok(Self(Some(Arc::new(Inner { socket, address, unsent, is_stopping }))))
    }

    /// The server is ready for clients.
    pub(crate) fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The server reads its settings again, until the returned value is dropped.
    pub(crate) fn reloading(&self) -> Reloading<'_> {
        // systemd sorts out by the time which signal the answer is for.
        let now = NotifyState::monotonic_usec_now();
        if let (Ok(now), false) = (now, self.is_stopping()) {
            self.tell(&[NotifyState::Reloading, now]);
        }
        Reloading(self)
    }

    /// The server stops, which takes this long at most.
    pub(crate) fn stopping(&self, within: Duration) {
        if let Some(inner) = &self.0 {
            inner.is_stopping.store(true, Relaxed);
        }
        let mut states = vec![NotifyState::Stopping];
        let longer = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
        if within > STOP_TIMEOUT {
            states.push(NotifyState::Custom(&longer));
        }
        self.tell(&states);
    }

    fn is_stopping(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.is_stopping.load(Relaxed))
    }

    /// Reports the status of a server, and feeds the watchdog while all its shards turn.
    pub(crate) async fn report(self, handle: Handle) {
        if self.0.is_none() {
            return;
        }
        let watchdog = async {
            if let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) {
                self.feed_watchdog(&handle, within).await;
            }
        };
        tokio::join!(self.report_status(&handle), watchdog);
    }

    /// Feeds a watchdog that waits for this long, twice in that time. If a shard does not turn, it
    /// gets nothing until the shard does, or until it has the service killed.
    async fn feed_watchdog(&self, handle: &Handle, waits: Duration) {
        let mut ticks = interval(waits / 2);
        // After a pause one is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut is_told = false;
            loop {
                let hanging = handle.turned(waits / 4).await;
                let Some(shard) = hanging.first() else { break };
                if !is_told {
                    warn(format_args!(
                        "shard {shard} has not turned for {:?}: the service manager's watchdog is \
                         not fed until it does",
                        waits / 4
                    ));
                    is_told = true;
                }
            }
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    async fn report_status(&self, handle: &Handle) {
        let mut told = String::new();
        let mut ticks = interval(STATUS_EVERY);
        loop {
            ticks.tick().await;
            let status = self.status(handle);
            if status != told {
                self.tell(&[NotifyState::Status(&status)]);
                told = status;
            }
            self.tell(&[]);
        }
    }

    fn status(&self, handle: &Handle) -> String {
        let count = |sessions: usize| u64::try_from(sessions).unwrap_or(u64::MAX);
        let sessions = counted(count(handle.count()), "session");
        let prefix = if self.is_stopping() { "draining: " } else { "" };
        match handle.away() {
            0 => format!("{prefix}{sessions}"),
            away => format!("{prefix}{sessions}, {away} away"),
        }
    }

    /// Tells it of states; what it does not take is told with the next ones.
    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(inner) = &self.0 else { return };
        let mut unsent = inner.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        for line in states.iter().map(ToString::to_string) {
            let variable = |line: &str| line.split('=').next().map(str::to_owned);
            unsent.retain(|other| variable(other) != variable(&line));
            unsent.push(line);
        }
        if unsent.is_empty() {
            return;
        }
        match inner.socket.send_to_addr(unsent.join("\n").as_bytes(), &inner.address) {
            Ok(_) => unsent.clear(),
            Err(error) => tracing::debug!(%error, "the service manager took no message"),
        }
    }
}

/// While it exists, the settings are read again.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reloading<'a>(&'a Manager);

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        if !self.0.is_stopping() {
            self.0.ready();
        }
    }
}

#[cfg(test)]
mod tests;
