//! What a v1 connection knows beyond v0: the contract, and how the other direction fares.

use alloc::vec::Vec;
use core::time::Duration;

use super::budget::Budget;
use super::stage::Reading;
use crate::arrival;
use crate::frame::{self, Kind};
use crate::policy::{Policy, Side};
use crate::time::{Instant, micros, millis};
use crate::v1::{Beat, Contract, Direction, Health};
use crate::violation::Violation;

/// What stands for the peer's last beat before it has sent one.
const NOT_SAID: Beat = Beat {
    nonce: 0,
    echo: 0,
    held_us: 0,
    silence_ms: 0,
    promise_ms: 0,
    late_ms: 0,
    health: Health::Ok,
    too_fast: false,
};

/// What both directions of a v1 connection are like. It is known from beats alone, so it is as old
/// as the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// The time that a beat takes there and back, without the time that the peer held it, where it
    /// is known: on a client from the handshake on, where its server says how long it held the
    /// HELLO, and on a server from the client's first beat on. Never 0. Where beats wait in the
    /// server's kernel, later ones tell it to 10 ms either way, and one that could be nothing at all
    /// leaves what was known before, if it can be so.
    pub rtt: Option<Duration>,
    /// Where `rtt` is not known: it is less than this, if that is known.
    pub rtt_below: Option<Duration>,
    /// How long it is since the peer heard us, as far as its last beat tells.
    pub unheard: Duration,
    /// How late the peer's last beat was sent, by the peer's own account.
    pub peer_late: Duration,
    /// How the peer says it is.
    pub peer_health: Health,
    /// The peer says that we beat far more often than agreed.
    pub too_fast: bool,
}

/// When bytes arrived that are being handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// The first of them arrived no earlier than this.
    unread_since: Instant,
    /// When the last of them arrived, as nearly as is known.
    about: Instant,
}

impl Arrived {
    pub(super) const fn at(at: Instant) -> Self {
        Self { unread_since: at, about: at }
    }

    /// Nothing had been read since `unread_since`; the last byte arrived between `earliest` and
    /// `latest`.
    pub(super) fn between(unread_since: Instant, earliest: Instant, latest: Instant) -> Self {
        let about = earliest.saturating_add(latest.saturating_since(earliest) / 2);
        Self { unread_since, about }
    }

    /// When the last byte arrived, as nearly as is known.
    pub(super) const fn about(self) -> Instant {
        self.about
    }

    /// When a frame arrived, the last byte having come at `latest` at the latest; `None` if that is
    /// not known well enough to measure by. Bytes may have waited in the kernel: only the last of
    /// them is known to have come when that one did.
    fn of_frame(self, latest: Instant, is_last: bool) -> Option<Instant> {
        let span = latest.saturating_since(self.unread_since);
        match is_last {
            true => Some(self.about),
            false if span <= arrival::MAX_SPAN => Some(self.unread_since.saturating_add(span / 2)),
            false => None,
        }
    }
}

/// The nonce of a beat of the peer, which our next beat gives back.
#[derive(Clone, Copy, Debug)]
struct Heard {
    nonce: u64,
    at: Instant,
}

/// What our last beat tells the peer of this end, even if it still waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastSent {
    promise_ms: u32,
    health: Health,
}

/// A v1 connection, from the handshake on.
#[derive(Clone, Debug)]
pub(super) struct Dialogue {
    side: Side,
    contract: Contract,
    pub(super) reading: Reading,
    arrived: Arrived,
    started: Instant,
    /// Of our last beat.
    nonce: u64,
    told: LastSent,
    /// What the last one that was written promised: this is in force.
    promised_ms: u32,
    /// What our next beat tells.
    health: Health,
    heard: Heard,
    /// 0 if it is too short to be told.
    rtt: Option<Duration>,
    /// The peer's last beat, of those that were handed over.
    said: Beat,
    /// More of the peer has been read than was handed over: the application is slow.
    pub(super) is_held_back: bool,
    /// When the peer last heard us, in its own view.
    heard_by_peer_at: Instant,
    /// The same before the bytes that are being handled.
    heard_by_peer_before: Instant,
    budget: Budget,
}

impl Dialogue {
    /// Begins under a contract. `arrived` are the bytes that it came with, and `health` is how this
    /// end is.
    pub(super) fn new(
        side: Side,
        contract: Contract,
        health: Health,
        arrived: Arrived,
        now: Instant,
    ) -> Self {
        let promise_ms = contract.policy(side).interval().map_or(0, millis);
        Self {
            side,
            contract,
            reading: Reading::Between,
            arrived,
            started: now,
            nonce: 0,
            told: LastSent {
                // The first beat of a client is news, so that it wakes its server: when it came
                // tells the round trip.
                promise_ms: if side == Side::Client { u32::MAX } else { promise_ms },
                health: Health::Ok,
            },
            promised_ms: promise_ms,
            health,
            heard: Heard { nonce: 0, at: now },
            rtt: None,
            said: NOT_SAID,
            is_held_back: false,
            heard_by_peer_at: now,
            heard_by_peer_before: now,
            budget: Budget::new(now),
        }
    }

    /// With a round trip that is known from the handshake.
    pub(super) const fn with_rtt(mut self, rtt: Option<Duration>) -> Self {
        self.rtt = rtt;
        self
    }

    pub(super) const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The policy that it begins with.
    pub(super) fn policy(&self) -> Policy {
        self.contract.policy(self.side)
    }

    const fn inward(&self) -> Direction {
        self.contract.directions(self.side).0
    }

    const fn outward(&self) -> Direction {
        self.contract.directions(self.side).1
    }

    /// The next beat, under `policy`, which became due at `due_at`; and whether it says something
    /// of this end that the peer does not know.
    pub(super) fn beat(
        &mut self,
        policy: &Policy,
        last_heard: Instant,
        due_at: Option<Instant>,
        now: Instant,
    ) -> (Beat, bool) {
        let since_start = now.saturating_since(self.started).as_nanos();
        let nonce = u64::try_from(since_start).unwrap_or(u64::MAX).saturating_add(1);
        self.nonce = nonce.max(self.nonce);
        let late = due_at.map_or(Duration::ZERO, |due_at| now.saturating_since(due_at));
        let tells =
            LastSent { promise_ms: policy.interval().map_or(0, millis), health: self.health };
        let is_news = tells != core::mem::replace(&mut self.told, tells);
        let beat = Beat {
            nonce: self.nonce,
            echo: self.heard.nonce,
            held_us: micros(now.saturating_since(self.heard.at)),
            silence_ms: millis(now.saturating_since(last_heard)),
            promise_ms: tells.promise_ms,
            late_ms: u16::try_from(late.as_millis()).unwrap_or(u16::MAX),
            health: tells.health,
            too_fast: self.budget.credit() < 0,
        };
        (beat, is_news)
    }

    /// A beat of ours was written at `at`: from now on what it promises is in force.
    pub(super) fn handle_written(&mut self, beat: &Beat, at: Instant) {
        let before = core::mem::replace(&mut self.promised_ms, beat.promise_ms);
        if beat.promise_ms == before {
            return;
        }
        if beat.promise_ms < before {
            // Until now it had no reason to expect us so soon.
            self.heard_by_peer_not_before(at);
        }
        // What the peer said before was said under another promise.
        self.said.silence_ms = 0;
    }

    /// Bytes of the peer were read. What they say comes now.
    pub(super) const fn handle_heard(&mut self, arrived: Arrived) {
        self.arrived = arrived;
        self.heard_by_peer_before = self.heard_by_peer_at;
    }

    /// A beat came, as the last of the bytes that were read or before others; the last of them had
    /// come by `latest`. Returns the policy that holds from now on, if it is not what it was.
    pub(super) fn handle_beat(
        &mut self,
        beat: &Beat,
        policy: &Policy,
        (latest, is_last): (Instant, bool),
        now: Instant,
    ) -> Result<Option<Policy>, Violation> {
        if beat.echo > self.nonce {
            return Err(Violation::UnknownNonce);
        }
        self.charge(policy, now)?;
        if let Some(arrived_at) = self.arrived.of_frame(latest, is_last) {
            self.measure(beat, arrived_at);
        }
        // Of beats that are read together only the last is known to have come by then: those before
        // it are older than they look, and what the peer has heard never goes back.
        let heard_by_peer_at = latest.saturating_sub(beat.silence());
        self.heard_by_peer_at = self.heard_by_peer_before.max(heard_by_peer_at);
        self.said = *beat;
        self.promised(beat.promise(), policy)
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
        // A server that lets beats wait in its kernel knows about when they came, but for a client's
        // first one, which wakes it.
        let is_rough =
            self.contract.wake_bytes > 1 && (self.side == Side::Client || self.rtt.is_some());
        let is_short = |rtt: &Duration| *rtt < arrival::MAX_SPAN;
        self.rtt = if is_rough && is_short(&rtt) {
            Some(self.rtt.filter(is_short).unwrap_or_default())
        } else {
            Some(rtt)
        };
    }

    fn promised(
        &self,
        promise: Option<Duration>,
        policy: &Policy,
    ) -> Result<Option<Policy>, Violation> {
        let Some(promise) = promise else { return Ok(None) };
        let from_peer = self.inward();
        let max = from_peer.max_promise();
        if promise > max {
            return Err(Violation::PromiseTooLong { promise, max });
        }
        let min_interval = self.contract.min_interval;
        let promise = promise.max(min_interval.min(from_peer.interval().unwrap_or(min_interval)));
        if policy.peer_interval() == Some(promise) {
            return Ok(None);
        }
        Ok(Some(Policy::agreed(policy.interval(), from_peer.timeout_for(promise), Some(promise))))
    }

    /// Charges one beat to the peer's budget.
    fn charge(&mut self, policy: &Policy, now: Instant) -> Result<(), Violation> {
        let agreed = self.inward().interval().into_iter().chain(policy.peer_interval()).min();
        // Where no beats are asked for, none need to come more often than anybody may ask for.
        let interval = agreed.unwrap_or(self.contract.min_interval);
        if self.budget.charge(interval, now) { Ok(()) } else { Err(Violation::TooFast) }
    }

    /// Whether the peer is to be told at once that it is too fast.
    pub(super) const fn has_just_become_too_fast(&self) -> bool {
        self.budget.credit() == -1
    }

    pub(super) fn handle_pause(&mut self, resumed_at: Instant) {
        // We said nothing meanwhile.
        self.heard_by_peer_not_before(resumed_at);
    }

    /// Nothing that the peer did not hear before `at` is held against the way to it.
    fn heard_by_peer_not_before(&mut self, at: Instant) {
        self.heard_by_peer_at = self.heard_by_peer_at.max(at);
        self.heard_by_peer_before = self.heard_by_peer_before.max(at);
    }

    /// When the peer has not heard us for so long that the way there must be cut. It says so with
    /// its beats, which may be late by all that this end puts up with. As long as none says that it
    /// has not heard us for its own timeout, there is nothing to judge by: they may be held up behind
    /// its data. So may those that came last, behind data that the application has no room for.
    pub(super) fn unheard_at(&self, policy: &Policy) -> Option<Instant> {
        if self.is_held_back {
            return None;
        }
        let to_peer = self.outward();
        // It goes by what our last beat promised that was written: it knows of no other.
        let promised = Some(Duration::from_millis(self.promised_ms.into()));
        let promised = promised.filter(|promise| !promise.is_zero());
        let theirs = to_peer.timeout_for(promised.or(to_peer.interval())?)?;
        let ours = policy.timeout().filter(|_| self.said.silence() >= theirs)?;
        Some(self.heard_by_peer_at.saturating_add(theirs).saturating_add(ours))
    }

    /// Promises a beat in `interval`, as far as the contract allows. Returns the policy that holds
    /// from now on.
    pub(super) fn promise(&self, interval: Duration, policy: &Policy) -> Option<Policy> {
        let to_peer = self.outward();
        let least = self.contract.min_interval.min(to_peer.interval()?);
        let interval = interval.min(to_peer.max_promise()).max(least);
        Some(Policy::agreed(Some(interval), policy.timeout(), policy.peer_interval()))
    }

    /// Returns whether the peer does not know.
    pub(super) fn set_health(&mut self, health: Health) -> bool {
        self.health = health;
        self.told.health != health
    }

    pub(super) fn link_state(&self, now: Instant) -> LinkState {
        LinkState {
            rtt: self.rtt.filter(|rtt| !rtt.is_zero()),
            rtt_below: self.rtt.filter(Duration::is_zero).map(|_| arrival::MAX_SPAN),
            unheard: now.saturating_since(self.heard_by_peer_at),
            peer_late: Duration::from_millis(u64::from(self.said.late_ms)),
            peer_health: self.said.health,
            too_fast: self.said.too_fast,
        }
    }

    pub(super) const fn heard_by_peer_at(&self) -> Instant {
        self.heard_by_peer_at
    }

    /// The PAD that makes a write of `len` bytes long enough to be read at once.
    pub(super) fn pad(&self, len: usize) -> Option<Vec<u8>> {
        let wake = usize::try_from(self.contract.wake_bytes).ok()?;
        let missing = wake.checked_sub(len).filter(|&missing| missing > 0)?;
        let header = frame::header(Kind::Pad, missing.saturating_sub(frame::HEADER_LEN))?;
        let mut pad = Vec::with_capacity(missing.max(header.len()));
        pad.extend_from_slice(&header);
        pad.resize(missing.max(header.len()), 0);
        Some(pad)
    }
}

#[cfg(test)]
mod tests;
