//! A v1 connection after the handshake: the contract, and the state of both directions.

use core::time::Duration;

use super::budget::Budget;
use super::stage::{Kept, Reading};
use super::transmit::Pad;
use crate::arrival;
use crate::boxed::Shared;
use crate::frame;
use crate::liveness::Clocks;
use crate::mix::mix;
use crate::policy::{Millis, Policy, Side};
use crate::resume::Ledger;
use crate::time::{Halves, Instant, micros};
use crate::v1::{Beat, Contract, Direction, Health};
use crate::violation::Violation;

/// What a beat of the peer says of both ends.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    silence_ms: u32,
    late_ms: u16,
    health: Health,
    too_fast: bool,
}

impl Said {
    const fn by(beat: &Beat) -> Self {
        let Beat { silence_ms, late_ms, health, too_fast, .. } = *beat;
        Self { silence_ms, late_ms, health, too_fast }
    }
}

/// State of both directions of a v1 connection: round trip, silence and health. It comes from
/// beats, so it is as old as the last one: on a server the last one that was read, where some wait
/// in its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// Round-trip time, without the time that the peer held the beat, if known: on a client from
    /// the handshake on if its server says how long it held the HELLO, and on a server from the
    /// client's first beat on. Never 0. Where beats wait in the server's kernel, later ones measure
    /// it to within 10 ms either way; one that measures less than 10 ms keeps an earlier value that
    /// is less than that too.
    pub rtt: Option<Duration>,
    /// Where `rtt` is not known: an upper limit of it, if there is one.
    pub rtt_below: Option<Duration>,
    /// How long ago the peer last heard us, according to its last beat.
    pub unheard: Duration,
    /// How late the peer's last beat was sent, as the peer reports.
    pub peer_late: Duration,
    /// The peer's health, as the peer reports.
    pub peer_health: Health,
    /// The peer reports that we send beats far more often than agreed.
    pub too_fast: bool,
}

/// Arrival time of the bytes that are being handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// When the last of them arrived, as precisely as is known.
    about: Halves,
    /// By how many nanoseconds the others arrived before that, if they all came within
    /// [`arrival::MAX_SPAN`]; else [`u32::MAX`].
    others_before: u32,
}

impl Arrived {
    pub(super) fn at(at: Instant) -> Self {
        Self { about: at.into(), others_before: 0 }
    }

    /// Nothing had been read since `unread_since`; the last byte arrived between `earliest` and
    /// `latest`.
    pub(super) fn between(unread_since: Instant, earliest: Instant, latest: Instant) -> Self {
        let about = earliest.saturating_add(latest.saturating_since(earliest) / 2);
        let span = latest.saturating_since(unread_since);
        let others_at = unread_since.saturating_add(span / 2);
        let others_before = if span <= arrival::MAX_SPAN {
            u32::try_from(about.nanos_since(others_at)).unwrap_or(u32::MAX)
        } else {
            u32::MAX
        };
        Self { about: about.into(), others_before }
    }

    /// When the last byte arrived, as precisely as is known.
    pub(super) fn about(self) -> Instant {
        self.about.into()
    }

    /// When a frame arrived; `None` if that is not known precisely enough to measure a round trip.
    /// Bytes may have waited in the kernel: only the arrival of the last one is known.
    fn of_frame(self, is_last: bool) -> Option<Instant> {
        match self.others_before {
            _ if is_last => Some(self.about()),
            u32::MAX => None,
            before => Some(self.about().saturating_sub(Duration::from_nanos(before.into()))),
        }
    }
}

/// The nonce of a beat of the peer, which our next beat echoes.
#[derive(Clone, Copy, Debug)]
struct Heard {
    nonce: u64,
    at: Instant,
}

/// What our last beat reports of this end, even if it still waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastSent {
    promise_ms: u32,
    health: Health,
}

/// A round trip in microseconds, which is as precise as beats tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rtt(u32);

impl Rtt {
    const UNKNOWN: Self = Self(u32::MAX);
    /// Too short to be measured.
    const SHORT: Self = Self(0);

    fn of(rtt: Duration) -> Self {
        let whole = micros(rtt.saturating_add(Duration::from_nanos(999)));
        Self(whole.min(u32::MAX - 1))
    }

    fn is_short(self) -> bool {
        self.known().is_some_and(|rtt| rtt < arrival::MAX_SPAN)
    }

    fn known(self) -> Option<Duration> {
        (self != Self::UNKNOWN).then(|| Duration::from_micros(self.0.into()))
    }
}

/// A v1 connection, from the handshake on. 136 bytes, because a server keeps one for each.
#[derive(Clone, Debug)]
pub(super) struct Dialogue {
    side: Side,
    contract: Shared<Contract>,
    /// Our interval, and the peer's by its last promise, which replace those of the contract.
    interval: Option<Millis>,
    peer_interval: Option<Millis>,
    pub(super) reading: Reading,
    arrived: Arrived,
    started: Instant,
    /// Drawn with our last beat: how early the next one is sent. At the start it comes from the
    /// session's id, which makes this connection's draws its own.
    drawn: u32,
    /// We have sent a beat.
    has_sent: bool,
    told: LastSent,
    /// The promise of our last beat that was written, which is in force.
    promised_ms: u32,
    /// The health that our next beat reports.
    health: Health,
    heard: Heard,
    rtt: Rtt,
    /// By the peer's last beat that was handed over.
    said: Said,
    /// More of the peer has been read than was handed over: the application is slow.
    pub(super) is_held_back: bool,
    /// The longest DATA body that the peer accepts.
    max_frame: u32,
    /// When the peer last heard us, as the peer reports.
    heard_by_peer_at: Instant,
    /// The same before the bytes that are being handled.
    heard_by_peer_before: Instant,
    budget: Budget,
    /// In a session that can be resumed.
    pub(super) ledger: Option<Kept>,
}

impl Dialogue {
    /// Begins with a contract, as the `session` of the WELCOME. `arrived` is the arrival time of
    /// the bytes with it, `health` this end's own.
    pub(super) fn new(
        side: Side,
        (session, contract): (u64, Shared<Contract>),
        health: Health,
        arrived: Arrived,
        now: Instant,
    ) -> Self {
        let Policy { interval, peer_interval, .. } = contract.policy(side);
        let promise_ms = interval.map_or(0, Millis::get);
        Self {
            side,
            contract,
            interval,
            peer_interval,
            reading: Reading::Between,
            arrived,
            started: now,
            drawn: u32::try_from(mix(session) >> 32).unwrap_or_default(),
            has_sent: false,
            told: LastSent {
                // The first beat of a client is news, so that it wakes its server, which measures
                // the round trip with it.
                promise_ms: if side == Side::Client { u32::MAX } else { promise_ms },
                health: Health::Ok,
            },
            promised_ms: promise_ms,
            health,
            heard: Heard { nonce: 0, at: now },
            rtt: Rtt::UNKNOWN,
            said: Said::default(),
            is_held_back: false,
            max_frame: frame::MAX_FRAME,
            heard_by_peer_at: now,
            heard_by_peer_before: now,
            budget: Budget::new(now),
            ledger: None,
        }
    }

    /// Sets a round trip that is known from the handshake.
    pub(super) fn with_rtt(mut self, rtt: Option<Duration>) -> Self {
        self.rtt = rtt.map_or(Rtt::UNKNOWN, Rtt::of);
        self
    }

    /// Sets the longest DATA body that the peer accepts.
    pub(super) const fn with_max_frame(mut self, max_frame: u32) -> Self {
        self.max_frame = max_frame;
        self
    }

    pub(super) const fn max_frame(&self) -> u32 {
        self.max_frame
    }

    /// Whether the peer has to be told what was taken over.
    pub(super) fn ack_due(&self) -> bool {
        self.ledger.as_deref().is_some_and(Ledger::ack_due)
    }

    pub(super) fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The policy in force: that of the contract, with what was promised since.
    pub(super) fn policy(&self) -> Policy {
        let inward = self.inward();
        let timeout = match self.peer_interval {
            Some(promise) => inward.timeout_after(promise),
            None => inward.timeout,
        };
        Policy::agreed(self.interval, timeout, self.peer_interval)
    }

    fn inward(&self) -> Direction {
        self.contract.directions(self.side).0
    }

    fn outward(&self) -> Direction {
        self.contract.directions(self.side).1
    }

    /// The nonce of our last beat: when it was sent. 0 before the first.
    fn nonce(&self, clocks: &Clocks) -> u64 {
        if !self.has_sent {
            return 0;
        }
        clocks.last_beat().nanos_since(self.started).saturating_add(1)
    }

    /// How many milliseconds before it is due the next beat is sent: up to a quarter of the
    /// interval. The first is not.
    pub(super) fn early_ms(&self) -> u32 {
        if !self.has_sent {
            return 0;
        }
        let quarter_ms = self.interval.map_or(0, Millis::get) / 4;
        let early_ms = ((u64::from(quarter_ms) + 1) * u64::from(self.drawn)) >> 32;
        u32::try_from(early_ms).unwrap_or(quarter_ms)
    }

    /// The beat that counts as sent now, and became due at `due_at`; and whether it reports a
    /// change to the peer. Draws how early the next one is sent.
    pub(super) fn beat(
        &mut self,
        clocks: &Clocks,
        due_at: Option<Instant>,
        now: Instant,
    ) -> (Beat, bool) {
        self.has_sent = true;
        let nonce = self.nonce(clocks);
        // Two connections that began at the same time may have the same nonces.
        let drawn = mix(nonce ^ (u64::from(self.drawn) << 32));
        self.drawn = u32::try_from(drawn >> 32).unwrap_or_default();
        let late_ms = due_at.map_or(0, |due_at| now.millis_since(due_at));
        let promise_ms = self.interval.map_or(0, Millis::get);
        let tells = LastSent { promise_ms, health: self.health };
        let is_news = tells != core::mem::replace(&mut self.told, tells);
        let beat = Beat {
            nonce,
            echo: self.heard.nonce,
            held_us: now.micros_since(self.heard.at),
            silence_ms: now.millis_since(clocks.last_heard()),
            promise_ms: tells.promise_ms,
            late_ms: u16::try_from(late_ms).unwrap_or(u16::MAX),
            health: tells.health,
            too_fast: self.budget.credit() < 0,
        };
        (beat, is_news)
    }

    /// A beat of ours was written at `at`: its promise is in force from now on.
    pub(super) fn handle_written(&mut self, beat: &Beat, at: Instant) {
        let before = core::mem::replace(&mut self.promised_ms, beat.promise_ms);
        if beat.promise_ms == before {
            return;
        }
        if beat.promise_ms < before {
            // Until now the peer did not expect us so soon.
            self.heard_by_peer_not_before(at);
        }
        // The peer's earlier reports are based on another promise.
        self.said.silence_ms = 0;
    }

    /// Bytes of the peer were read; their frames follow.
    pub(super) const fn handle_heard(&mut self, arrived: Arrived) {
        self.arrived = arrived;
        self.heard_by_peer_before = self.heard_by_peer_at;
    }

    /// Whether a beat of the peer is known that our next one echoes.
    pub(super) const fn has_echo(&self) -> bool {
        self.heard.nonce > 0
    }

    /// When the last byte that was read arrived, as precisely as is known.
    pub(super) fn last_read(&self) -> Instant {
        self.arrived.about()
    }

    /// A beat came; `is_last` if no bytes followed it in this read. Returns a promise that is news.
    pub(super) fn handle_beat(
        &mut self,
        beat: &Beat,
        clocks: &Clocks,
        is_last: bool,
        now: Instant,
    ) -> Result<Option<Millis>, Violation> {
        if beat.echo > self.nonce(clocks) {
            return Err(Violation::UnknownNonce);
        }
        self.charge(now)?;
        if let Some(arrived_at) = self.arrived.of_frame(is_last) {
            self.measure(beat, arrived_at);
        }
        // Of beats that are read together only the last one's arrival is known: earlier ones are
        // older than they seem, so this time never goes back.
        let heard_by_peer_at = clocks.last_heard().minus_millis(beat.silence_ms);
        self.heard_by_peer_at = self.heard_by_peer_before.max(heard_by_peer_at);
        self.said = Said::by(beat);
        self.handle_promise(Millis::new(beat.promise_ms))
    }

    fn measure(&mut self, beat: &Beat, arrived_at: Instant) {
        self.heard = Heard { nonce: beat.nonce, at: arrived_at };
        if beat.echo > 0 && beat.held_us < u32::MAX {
            let sent_at = self.started.saturating_add(Duration::from_nanos(beat.echo - 1));
            let away = arrived_at.saturating_since(sent_at);
            self.handle_rtt(away.saturating_sub(beat.held()));
        }
    }

    fn handle_rtt(&mut self, rtt: Duration) {
        // A server that lets beats wait in its kernel knows their arrival only roughly, except for
        // a client's first one, which wakes it.
        let is_first = self.side == Side::Server && self.rtt == Rtt::UNKNOWN;
        let is_rough = self.contract.wake_bytes > 1 && !is_first;
        let rtt = Rtt::of(rtt);
        self.rtt = match is_rough && rtt.is_short() {
            true if self.rtt.is_short() => self.rtt,
            true => Rtt::SHORT,
            false => rtt,
        };
    }

    fn handle_promise(&mut self, promise: Option<Millis>) -> Result<Option<Millis>, Violation> {
        let Some(promise) = promise else { return Ok(None) };
        let from_peer = self.inward();
        let max = from_peer.longest_promise();
        if promise > max {
            let (promise, max) = (promise.duration(), max.duration());
            return Err(Violation::PromiseTooLong { promise, max });
        }
        let min_interval = self.contract.min_interval;
        let promise = promise.max(min_interval.min(from_peer.interval.unwrap_or(min_interval)));
        let is_news = self.peer_interval.replace(promise) != Some(promise);
        Ok(is_news.then_some(promise))
    }

    /// Charges one beat to the peer's budget.
    fn charge(&mut self, now: Instant) -> Result<(), Violation> {
        let agreed = self.inward().interval.into_iter().chain(self.peer_interval).min();
        // Without an agreed interval, the server's minimum interval is the limit.
        let interval = agreed.unwrap_or(self.contract.min_interval);
        if self.budget.charge(interval, now) { Ok(()) } else { Err(Violation::TooFast) }
    }

    /// Whether the peer must be told at once that it is too fast.
    pub(super) fn has_just_become_too_fast(&self) -> bool {
        self.budget.credit() == -1
    }

    pub(super) fn handle_pause(&mut self, resumed_at: Instant) {
        // We sent nothing meanwhile.
        self.heard_by_peer_not_before(resumed_at);
    }

    /// The peer's silence about us counts from `at` at the earliest.
    fn heard_by_peer_not_before(&mut self, at: Instant) {
        self.heard_by_peer_at = self.heard_by_peer_at.max(at);
        self.heard_by_peer_before = self.heard_by_peer_before.max(at);
    }

    /// When the peer has not heard us for so long that the path to it must be cut. Its beats report
    /// that, and they may be late by up to our own timeout. `None` until one reports a silence as
    /// long as the peer's timeout, because beats may be held up behind the peer's data; and while
    /// the last ones wait behind data that the application has no room for.
    pub(super) fn unheard_at(&self) -> Option<Instant> {
        let theirs = self.timeout_of_peer()?.get();
        self.unheard_by().filter(|_| self.said.silence_ms >= theirs && !self.is_held_back)
    }

    /// The same if beats that were not read say that the peer does not hear us.
    pub(super) fn unheard_by(&self) -> Option<Instant> {
        let (theirs, ours) = (self.timeout_of_peer()?.get(), self.policy().timeout?.get());
        Some(self.heard_by_peer_at.plus_millis(theirs).plus_millis(ours))
    }

    /// The silence of ours that the peer calls death. It knows only the promise of our last beat
    /// that was written.
    fn timeout_of_peer(&self) -> Option<Millis> {
        let to_peer = self.outward();
        to_peer.timeout_after(Millis::new(self.promised_ms).or(to_peer.interval)?)
    }

    /// Changes our interval, as far as the contract allows. Returns whether it is another one now;
    /// `None` if we send no beats.
    pub(super) fn promise(&mut self, interval: Duration) -> Option<bool> {
        let to_peer = self.outward();
        let least = self.contract.min_interval.min(to_peer.interval?);
        let interval = Millis::clamp(interval).min(to_peer.longest_promise()).max(least);
        Some(self.interval.replace(interval) != Some(interval))
    }

    /// Returns whether the peer must be told.
    pub(super) fn set_health(&mut self, health: Health) -> bool {
        self.health = health;
        self.told.health != health
    }

    pub(super) fn link_state(&self, now: Instant) -> LinkState {
        LinkState {
            rtt: self.rtt.known().filter(|rtt| !rtt.is_zero()),
            rtt_below: (self.rtt == Rtt::SHORT).then_some(arrival::MAX_SPAN),
            unheard: now.saturating_since(self.heard_by_peer_at),
            peer_late: Duration::from_millis(u64::from(self.said.late_ms)),
            peer_health: self.said.health,
            too_fast: self.said.too_fast,
        }
    }

    pub(super) const fn heard_by_peer_at(&self) -> Instant {
        self.heard_by_peer_at
    }

    /// The PAD that makes a write of `len` bytes long enough to wake the server.
    pub(super) fn pad(&self, len: usize) -> Option<Pad> {
        let wake = usize::try_from(self.contract.wake_bytes).ok()?;
        let missing = wake.checked_sub(len).filter(|&missing| missing > 0)?;
        Pad::new(missing.saturating_sub(frame::HEADER_LEN))
    }
}

#[cfg(test)]
mod tests;
