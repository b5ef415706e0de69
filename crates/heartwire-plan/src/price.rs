//! What idle sessions cost their server: processor time, memory and packets.

use core::time::Duration;

use heartwire_core::Side;

use crate::Plan;
use crate::traffic::{DAY, times_in};
use crate::view::View;

/// How a server reads what its clients send, as far as that changes what a session costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Serving {
    /// Whether clients use TLS.
    pub tls: bool,
    /// How many beats of a client may wait in the kernel; `None` for the server's default.
    pub coalesce: Option<u16>,
}

impl Serving {
    /// As a server does by default, without TLS.
    #[must_use]
    pub const fn new() -> Self {
        Self { tls: false, coalesce: None }
    }

    /// The same with TLS, or without it.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The same with this many beats that may wait in the kernel; `None` for the server's default.
    #[must_use]
    pub const fn coalesce(mut self, beats: Option<u16>) -> Self {
        self.coalesce = beats;
        self
    }
}

/// What one idle session costs its server.
///
/// It is arithmetic with [figures that were measured](Figures) on one machine, and as good as those
/// are elsewhere. The time that a network card's interrupts take is not in it, because they were
/// measured over loopback; nor are an application's own data and work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Price {
    /// The server's processor time for beats, in a day.
    pub processor_a_day: Duration,
    /// The server's own memory, in bytes.
    pub user_bytes: u64,
    /// The memory of the server's kernel, in bytes.
    pub kernel_bytes: u64,
    /// Packets in a day, in both directions together.
    pub packets_a_day: u64,
    /// The server's processor time for a client that connects.
    pub accept: Duration,
}

/// What was measured of a server, for one protocol, with TLS or without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Processor time to be woken for a connection, or to come to its deadline, and to read from
    /// it all beats that have gathered.
    pub read: Duration,
    /// Processor time to send a beat or an answer.
    pub send: Duration,
    /// The server's own memory for a session.
    pub user_bytes: u64,
    /// What is added where the session can be resumed.
    pub resume_bytes: u64,
    /// The kernel's memory for a connection.
    pub kernel_bytes: u64,
    /// Processor time to accept a client, with its handshakes.
    pub accept: Duration,
}

/// When the [`Figures`] were measured.
pub const MEASURED: &str = "2026-11-22";

/// Where they are published.
pub const PUBLISHED: &str = "docs/benchmarks.md";

const fn micros(tenths: u64) -> Duration {
    Duration::from_nanos(tenths * 100)
}

/// `heartwire-lab bench --compare --connections 15000 --time 15s`, interval 3 s, timeout 15 s: on
/// v0 a read for each two beats, by default, took 6.64 µs (3.32 µs a beat), one for each 4.5 with
/// `--coalesce 5` 5.9 µs.
const V0: Figures = Figures {
    read: micros(66),
    send: SEND,
    user_bytes: 197,
    resume_bytes: 0,
    kernel_bytes: KERNEL_BYTES,
    accept: micros(55),
};

/// The row `default, TLS`, from before each beat was read as it comes: 6.06 µs a beat with half a
/// read for each.
const V0_TLS: Figures =
    Figures { read: micros(121), user_bytes: 3_928, accept: micros(1_630), ..V0 };

/// The row `protocol v1`: 2.43 µs a beat, one read for each 4.5 of them. Resuming takes 101 B more
/// (`bench --pairs`).
const V1: Figures =
    Figures { read: micros(109), user_bytes: 406, resume_bytes: 101, accept: micros(230), ..V0 };

/// The row `protocol v1, TLS`: 3.02 µs a beat.
const V1_TLS: Figures =
    Figures { read: micros(136), user_bytes: 4_190, accept: micros(1_850), ..V1 };

/// The rows `protocol v1` with and without beats of the server: 12.58 and 2.43 µs. It includes the
/// way to the client, because loopback delivers a packet in the time of its sender.
const SEND: Duration = micros(102);

/// The kernel had 3.9 to 4.8 KB for each connection, whatever the server.
const KERNEL_BYTES: u64 = 4_600;

/// How many beats wait in the kernel by default.
const COALESCE_V0: u16 = 1;
const COALESCE_V1: u16 = 4;

impl Figures {
    /// Those for a protocol, with TLS or without it.
    #[must_use]
    pub const fn of(is_v1: bool, tls: bool) -> Self {
        match (is_v1, tls) {
            (false, false) => V0,
            (false, true) => V0_TLS,
            (true, false) => V1,
            (true, true) => V1_TLS,
        }
    }
}

impl Plan {
    /// What a session with these settings costs a server that reads as `serving` says, while it is
    /// idle.
    #[must_use]
    pub fn price(&self, serving: Serving) -> Price {
        let figures = Figures::of(self.is_v1(), serving.tls);
        let resume_bytes = self.resume().map_or(0, |_| figures.resume_bytes);
        let server = View::new(self, Side::Server);
        let reads = self.reads_every(serving).map_or(0, |every| times_in(DAY, every));
        let read = times(figures.read, reads);
        let sent = times(figures.send, beats_of(&server));
        Price {
            processor_a_day: read.saturating_add(sent),
            user_bytes: figures.user_bytes.saturating_add(resume_bytes),
            kernel_bytes: figures.kernel_bytes,
            packets_a_day: self.traffic().packets,
            accept: figures.accept,
        }
    }

    /// How often the server reads from a client: when as many beats have come as wake it, or at the
    /// client's deadline, which is a timeout after the last beat that it knew of; that one was half
    /// an interval old on average. `None` if the client sends nothing.
    fn reads_every(&self, serving: Serving) -> Option<Duration> {
        let server = View::new(self, Side::Server);
        let beat = server.average(server.hears_every()?);
        let default = if self.is_v1() { COALESCE_V1 } else { COALESCE_V0 };
        let policy = server.own.policy;
        // A server reads each beat where one that waits would hide TLS's close_notify.
        let sees_close = !serving.tls || (self.is_v1() && policy.interval().is_some());
        let Some(timeout) = policy.timeout().filter(|_| sees_close && !policy.echo()) else {
            return Some(beat);
        };
        let gathered = u32::from(serving.coalesce.unwrap_or(default)).saturating_add(1);
        let deadline = timeout.saturating_sub(beat / 2).max(beat);
        Some(beat.saturating_mul(gathered).min(deadline))
    }
}

/// Beats that an end sends in a day, and its answers.
fn beats_of(view: &View) -> u64 {
    let own = view.own.policy.interval();
    let answers = view.peer.policy.interval().filter(|_| view.own.policy.echo());
    let beats =
        |every: Option<Duration>| every.map_or(0, |every| times_in(DAY, view.average(every)));
    beats(own).saturating_add(beats(answers))
}

fn times(each: Duration, count: u64) -> Duration {
    let nanos = each.as_nanos().saturating_mul(count.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
