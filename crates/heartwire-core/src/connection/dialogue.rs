//! What a v1 connection knows beyond v0: the contract, and how the other direction fares.

use core::time::Duration;

use crate::arrival;
use crate::bucket::{self, Bucket};
use crate::policy::{Policy, Side};
use crate::time::{Instant, micros, millis};
use crate::v1::{Beat, Contract, Direction, Health, Offer, PAD_LEN_MAX, Welcome};
use crate::violation::Violation;

/// Beats that may come at once, or too early, before anything is said about it.
const CREDIT_MIN: i64 = 64;

/// A peer may send at once what was due in this time: a path that was down, or dribbled, hands over all
/// at once what it held. Nothing is held for longer than a kernel goes on sending it again (Linux: 938 to
/// 940 s, docs/faults.md).
const CREDIT_TIME: Duration = Duration::from_secs(15 * 60);

/// What both directions of a v1 connection are like. It is known from beats alone, so it is as old as
/// the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// The time that a beat takes there and back, without the time that the peer held it; `None` until
    /// one has come back. The server's own reading adds up to a jiffy either way where beats wait in
    /// its kernel.
    pub rtt: Option<Duration>,
    /// How long it is since the peer heard us, as far as its last beat tells.
    pub unheard: Duration,
    /// How late the peer's last beat was sent, by the peer's own account.
    pub peer_late: Duration,
    /// How the peer says it is.
    pub peer_health: Health,
    /// The peer says that we beat far more often than agreed.
    pub too_fast: bool,
}

/// When a beat arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// As nearly as is known; `None` if that is not near enough to measure by.
    about: Option<Instant>,
    latest: Instant,
}

#[derive(Clone, Debug)]
pub(super) struct Dialogue {
    side: Side,
    /// What this client said it can do, and wants.
    offer: Option<Offer>,
    /// When the last of the bytes that are being handled arrived, as nearly as is known.
    arrived_at: Instant,
    /// The first of them arrived no earlier than this.
    unread_since: Instant,
    started: Instant,
    contract: Option<Contract>,
    nonce: u64,
    heard_nonce: u64,
    heard_nonce_at: Instant,
    rtt: Option<Duration>,
    /// When the peer last heard us, in its own view.
    heard_by_peer_at: Instant,
    /// The same before the bytes that are being handled.
    heard_by_peer_before: Instant,
    /// How long it had not heard us at its last beat.
    peer_silence: Duration,
    /// What our last beat promised, in milliseconds.
    promised_ms: u32,
    /// Our last beat said something that the peer did not know.
    told_news: bool,
    peer_late: Duration,
    peer_health: Health,
    warned: bool,
    health: Health,
    /// No beat has said so yet.
    health_changed: bool,
    /// Beats that the peer may still send before it is too fast.
    credit: Bucket,
}

impl Dialogue {
    pub(super) const fn new(side: Side, offer: Option<Offer>, now: Instant) -> Self {
        Self {
            side,
            offer,
            arrived_at: now,
            unread_since: now,
            started: now,
            contract: None,
            nonce: 0,
            heard_nonce: 0,
            heard_nonce_at: now,
            rtt: None,
            heard_by_peer_at: now,
            heard_by_peer_before: now,
            peer_silence: Duration::ZERO,
            promised_ms: 0,
            told_news: false,
            peer_late: Duration::ZERO,
            peer_health: Health::Ok,
            warned: false,
            health: Health::Ok,
            health_changed: false,
            credit: Bucket::new(CREDIT_MIN, now),
        }
    }

    pub(super) const fn contract(&self) -> Option<&Contract> {
        self.contract.as_ref()
    }

    /// The policy of this end under a contract.
    pub(super) fn begin(&mut self, contract: Contract, now: Instant) -> Policy {
        self.contract = Some(contract);
        self.heard_by_peer_not_before(now);
        self.credit = Bucket::new(CREDIT_MIN, now);
        let policy = contract.policy(self.side);
        self.promised_ms = policy.beat().map_or(0, millis);
        policy
    }

    /// Whether a WELCOME is to something that this client offered.
    pub(super) fn check(&self, welcome: &Welcome) -> Result<(), Violation> {
        let offer = self.offer.ok_or(Violation::BadWelcome)?;
        let Contract { to_server, to_client, wake_bytes, .. } = &welcome.contract;
        let fits = |direction: &Direction| match (direction.limit(), direction.beat()) {
            (Some(limit), Some(beat)) => {
                (beat.saturating_mul(2)..=direction.ceiling()).contains(&limit)
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        let can_beat = to_server
            .beat()
            .is_none_or(|beat| offer.beat_floor().is_some_and(|floor| beat >= floor));
        let judges_as_offered = match (offer.limit(), to_client.limit()) {
            (Some(least), Some(limit)) => limit >= least,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // What the server may promise stretches the limit to the ceiling.
        let can_wait = to_client.ceiling() <= offer.limit_ceiling();
        let can_wake = *wake_bytes <= PAD_LEN_MAX;
        if fits(to_server)
            && fits(to_client)
            && can_beat
            && judges_as_offered
            && can_wait
            && can_wake
        {
            Ok(())
        } else {
            Err(Violation::BadWelcome)
        }
    }

    fn inward(&self) -> Option<Direction> {
        self.contract.map(|contract| contract.directions(self.side).0)
    }

    fn outward(&self) -> Option<Direction> {
        self.contract.map(|contract| contract.directions(self.side).1)
    }

    /// The next beat, under `policy`, which became due at `due_at`.
    pub(super) fn beat(
        &mut self,
        policy: &Policy,
        last_heard: Instant,
        due_at: Option<Instant>,
        now: Instant,
    ) -> Beat {
        let since_start = now.saturating_since(self.started).as_nanos();
        let nonce = u64::try_from(since_start).unwrap_or(u64::MAX).saturating_add(1);
        self.nonce = nonce.max(self.nonce);
        let late = due_at.map_or(Duration::ZERO, |due_at| now.saturating_since(due_at));
        let promise_ms = policy.beat().map_or(0, millis);
        if promise_ms < self.promised_ms {
            // Until now it had no reason to expect us so soon.
            self.heard_by_peer_not_before(now);
        }
        self.told_news = self.health_changed || promise_ms != self.promised_ms;
        self.promised_ms = promise_ms;
        self.health_changed = false;
        Beat {
            nonce: self.nonce,
            echo: self.heard_nonce,
            held_us: micros(now.saturating_since(self.heard_nonce_at)),
            silence_ms: millis(now.saturating_since(last_heard)),
            promise_ms,
            late_ms: u16::try_from(late.as_millis()).unwrap_or(u16::MAX),
            health: self.health,
            too_fast: self.credit.tokens() < 0,
        }
    }

    /// Bytes of the peer were read, of which the first arrived no earlier than `unread_since` and the last
    /// at `arrived_at`, as nearly as is known. What they say comes now.
    pub(super) const fn handle_heard(&mut self, unread_since: Instant, arrived_at: Instant) {
        self.unread_since = unread_since;
        self.arrived_at = arrived_at;
        self.heard_by_peer_before = self.heard_by_peer_at;
    }

    /// When a frame arrived, the last byte having come at `latest` at the latest. Bytes may have waited
    /// in the kernel: only the last of them is known to have come when that one did.
    pub(super) fn arrival(&self, latest: Instant, is_last: bool) -> Arrival {
        let span = latest.saturating_since(self.unread_since);
        let about = match is_last {
            true => Some(self.arrived_at),
            false if span <= arrival::SPAN_MAX => Some(self.unread_since.saturating_add(span / 2)),
            false => None,
        };
        Arrival { about, latest }
    }

    /// A beat came. Returns the policy that holds from now on, if it is not what it was.
    pub(super) fn handle_beat(
        &mut self,
        beat: &Beat,
        policy: &Policy,
        arrival: Arrival,
        now: Instant,
    ) -> Result<Option<Policy>, Violation> {
        if beat.echo > self.nonce {
            return Err(Violation::UnknownNonce);
        }
        self.charge(policy, now)?;
        if let Some(arrived_at) = arrival.about {
            self.measure(beat, arrived_at);
        }
        // Of beats that are read together only the last is known to have come by then: those before it
        // are older than they look, and what the peer has heard never goes back.
        let heard_by_peer_at = arrival.latest.saturating_sub(beat.silence());
        self.heard_by_peer_at = self.heard_by_peer_before.max(heard_by_peer_at);
        self.peer_silence = beat.silence();
        self.peer_late = Duration::from_millis(u64::from(beat.late_ms));
        self.peer_health = beat.health;
        self.warned = beat.too_fast;
        self.promised(beat.promise(), policy)
    }

    fn measure(&mut self, beat: &Beat, arrived_at: Instant) {
        self.heard_nonce = beat.nonce;
        self.heard_nonce_at = arrived_at;
        if beat.echo > 0 && beat.held_us < u32::MAX {
            let sent_at = self.started.saturating_add(Duration::from_nanos(beat.echo - 1));
            let away = arrived_at.saturating_since(sent_at);
            self.rtt = Some(away.saturating_sub(beat.held()));
        }
    }

    fn promised(
        &self,
        promise: Option<Duration>,
        policy: &Policy,
    ) -> Result<Option<Policy>, Violation> {
        let (Some(promise), Some(from_peer)) = (promise, self.inward()) else {
            return Ok(None);
        };
        let max = from_peer.promise_max();
        if promise > max {
            return Err(Violation::PromiseTooLong { promise, max });
        }
        let floor = self.contract.map_or(Duration::ZERO, |contract| contract.floor);
        let promise = promise.max(floor.min(from_peer.beat().unwrap_or(floor)));
        if policy.peer_beat() == Some(promise) {
            return Ok(None);
        }
        Ok(Some(Policy::agreed(policy.beat(), from_peer.limit_for(promise), Some(promise))))
    }

    /// Counts a beat against what was agreed. Twice as many as that are nobody's business.
    fn charge(&mut self, policy: &Policy, now: Instant) -> Result<(), Violation> {
        let agreed = self.inward().and_then(|direction| direction.beat());
        let agreed = agreed.into_iter().chain(policy.peer_beat()).min();
        // Where no beats are asked for, none need to come more often than anybody may ask for.
        let floor = self.contract.map(|contract| contract.floor);
        let Some(interval) = agreed.or(floor) else { return Ok(()) };
        let half = (interval / 2).max(Duration::from_micros(1));
        let most = CREDIT_MIN.max(i64::from(bucket::intervals(CREDIT_TIME, half)));
        // A peer that was not read for long may have sent all that was due meanwhile.
        self.credit.refill(half, |gained| gained.max(most), now);
        if self.credit.take(-CREDIT_MIN) { Ok(()) } else { Err(Violation::TooFast) }
    }

    /// Whether the peer is to be told at once that it is too fast.
    pub(super) const fn has_just_become_too_fast(&self) -> bool {
        self.credit.tokens() == -1
    }

    pub(super) fn handle_stall(&mut self, resumed_at: Instant) {
        // We said nothing meanwhile.
        self.heard_by_peer_not_before(resumed_at);
    }

    /// Nothing that the peer did not hear before `at` is held against the way to it.
    fn heard_by_peer_not_before(&mut self, at: Instant) {
        self.heard_by_peer_at = self.heard_by_peer_at.max(at);
        self.heard_by_peer_before = self.heard_by_peer_before.max(at);
    }

    /// When the peer has not heard us for so long that the way there must be cut. It says so with its
    /// beats, which may be late by all that this end puts up with. As long as none says that it has not
    /// heard us for its own limit, there is nothing to judge by: they may be held up behind its data.
    pub(super) fn unheard_at(&self, policy: &Policy) -> Option<Instant> {
        let to_peer = self.outward()?;
        let theirs = to_peer.limit_for(policy.beat().or(to_peer.beat())?)?;
        let ours = policy.limit().filter(|_| self.peer_silence >= theirs)?;
        Some(self.heard_by_peer_at.saturating_add(theirs).saturating_add(ours))
    }

    /// Promises a beat in `interval`, as far as the contract allows. Returns the policy that holds from
    /// now on.
    pub(super) fn promise(&mut self, interval: Duration, policy: &Policy) -> Option<Policy> {
        let to_peer = self.outward()?;
        let least = self.contract?.floor.min(to_peer.beat()?);
        let interval = interval.min(to_peer.promise_max()).max(least);
        let promised = Policy::agreed(Some(interval), policy.limit(), policy.peer_beat());
        if promised != *policy {
            // What the peer said before was said under another promise.
            self.peer_silence = Duration::ZERO;
        }
        Some(promised)
    }

    /// Returns whether this is news.
    pub(super) fn set_health(&mut self, health: Health) -> bool {
        let is_news = core::mem::replace(&mut self.health, health) != health;
        self.health_changed |= is_news;
        is_news
    }

    pub(super) const fn has_told_news(&self) -> bool {
        self.told_news
    }

    pub(super) fn path(&self, now: Instant) -> Path {
        Path {
            rtt: self.rtt,
            unheard: now.saturating_since(self.heard_by_peer_at),
            peer_late: self.peer_late,
            peer_health: self.peer_health,
            too_fast: self.warned,
        }
    }

    pub(super) const fn heard_by_peer_at(&self) -> Instant {
        self.heard_by_peer_at
    }

    /// How long a PAD's body must be for `len` bytes before it to be read at once.
    pub(super) fn padding(&self, len: usize) -> Option<usize> {
        let wake = usize::try_from(self.contract?.wake_bytes).ok()?;
        let missing = wake.checked_sub(len).filter(|&missing| missing > 0)?;
        Some(missing.saturating_sub(crate::frame::HEAD_LEN))
    }
}

#[cfg(test)]
mod tests;
