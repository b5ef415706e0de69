//! Traffic that heartbeats and keepalive cost.

use core::time::Duration;

use heartwire_core::Side;

use crate::Plan;
use crate::view::View;

/// A packet without data: IPv4 and TCP headers of 20 bytes each, and 12 bytes for timestamps, which
/// Linux uses by default (RFC 7323). IPv6 adds 20 bytes; frames of the link are not counted.
const PACKET_LEN: u64 = 52;

/// A beat of protocol v0 is a packet with 8 bytes in it, one of v1 has 32 more, and 48 if it
/// acknowledges what came in a session that can be resumed.
const BEAT_LEN: u64 = PACKET_LEN + 8;
const BEAT_LEN_V1: u64 = BEAT_LEN + 32;
const BEAT_LEN_RESUME: u64 = BEAT_LEN + 48;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Bytes a day for one idle connection: beats, their answers, keepalive probes, and a packet that
/// acknowledges each of them. On protocol v1 beats come up to a quarter of the interval early, and
/// so every 7/8 of it on average. An answer acknowledges the beat it answers; a packet is 52 bytes
/// (IPv4 and TCP with timestamps), a beat 60, on protocol v1 92, or 108 where sessions outlive
/// their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// From the client to the server.
    pub to_server: u64,
    /// From the server to the client.
    pub to_client: u64,
    /// Length of one packet with a beat, in either direction.
    pub beat_len: u64,
    /// Packets in both directions together.
    pub packets: u64,
}

impl Plan {
    /// The traffic of an idle connection with these settings.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let beat_len = match self.resume() {
            Some(_) => BEAT_LEN_RESUME,
            None if self.is_v1() => BEAT_LEN_V1,
            None => BEAT_LEN,
        };
        let [client, server] =
            [Side::Client, Side::Server].map(|side| Started::by(&View::new(self, side), beat_len));
        Traffic {
            to_server: client.sent.saturating_add(server.back),
            to_client: server.sent.saturating_add(client.back),
            beat_len,
            packets: client.packets.saturating_add(server.packets),
        }
    }
}

/// What one end causes in a day with its beats and probes.
struct Started {
    /// Bytes in its own direction.
    sent: u64,
    /// Bytes that come back.
    back: u64,
    /// Packets in both directions.
    packets: u64,
}

impl Started {
    fn by(view: &View, beat_len: u64) -> Self {
        let beats =
            view.own.policy.interval().map_or(0, |interval| times_in(DAY, view.average(interval)));
        let probes = probes_a_day(view);
        let (own, back, packets) = if view.peer.policy.echo() {
            (beat_len.saturating_add(PACKET_LEN), beat_len, 3)
        } else {
            (beat_len, PACKET_LEN, 2_u64)
        };
        let probed = probes.saturating_mul(PACKET_LEN);
        Self {
            sent: beats.saturating_mul(own).saturating_add(probed),
            back: beats.saturating_mul(back).saturating_add(probed),
            packets: beats.saturating_mul(packets).saturating_add(probes.saturating_mul(2)),
        }
    }
}

/// Keepalive probes that an end sends in a day, only while it hears nothing else.
fn probes_a_day(view: &View) -> u64 {
    let Some(keepalive) = view.own.kernel.keepalive() else { return 0 };
    match view.packet_every() {
        None => times_in(DAY, keepalive.idle()),
        Some(every) => {
            let before_next = every.saturating_sub(Duration::from_nanos(1));
            let in_between = before_next.as_nanos() / keepalive.idle().as_nanos().max(1);
            let in_between = u64::try_from(in_between).unwrap_or(u64::MAX);
            times_in(DAY, view.average(every)).saturating_mul(in_between)
        }
    }
}

/// How many times `every` fits into `time`, rounded up.
pub(crate) fn times_in(time: Duration, every: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(every.as_nanos().max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
