//! The settings of an end of a connection.

use core::time::Duration;

use heartwire_core::v1::{self, Contract, Direction, Offer, ResumeOffer};
use heartwire_core::{FrameLimits, Policy, Protocol, Settings, Side};

use super::broken::Broken;

/// The timeout of an end that gives no verdicts: longer than any run.
pub(super) const LENIENT: Duration = v1::MAX_TIMEOUT;

/// The settings of an end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) policy: Policy,
    pub(super) protocol: Protocol,
    pub(super) tick: Duration,
    /// Time from the start to the first frame.
    pub(super) handshake_timeout: Option<Duration>,
    /// Time for a frame.
    pub(super) frame: Option<Duration>,
    /// How many bytes wake a server.
    pub(super) mark: u32,
    /// How much longer than promised a peer can be silent on a healthy path.
    pub(super) slack: Duration,
    /// On protocol v1 it agrees to no longer timeout than its own.
    pub(super) is_fast: bool,
    /// On protocol v1 it has no timeout and does not say so, as another program might.
    pub(super) is_lenient: bool,
    /// How long a beat can wait behind what its application sends.
    pub(super) data_ahead: Duration,
    /// On protocol v1 a client has a name, so that its newer connection takes over from the older
    /// one.
    pub(super) has_name: bool,
    /// It has an offline queue.
    pub(super) keeps_messages: bool,
    /// On protocol v1 it accepts no longer message, and says so.
    pub(super) max_frame: Option<u32>,
    /// Its application answers each message with one that is twice as long.
    pub(super) answers: bool,
    /// On protocol v1 its sessions outlive their links: the window of both directions, and the
    /// grace.
    pub(super) resume: Option<(u32, Duration)>,
    /// A client makes a spare connection when it suspects that its own is lost.
    pub(super) suspects: bool,
    /// Of 256 times that its application would send in such a session, it says so often that it
    /// sends no more.
    pub(super) ends: u8,
    /// The greatest age of a server's sessions.
    pub(super) max_age: Option<Duration>,
    /// A client has a token, which the server requires.
    pub(super) has_token: bool,
    /// Round trips that beats measure are checked, and may be off by this much.
    pub(super) round_trip_off: Option<Duration>,
    /// Bytes that its peer, of a later version of protocol v1, appends to each beat.
    pub(super) tail_of_peer: u8,
    pub(super) broken: Option<Broken>,
}

impl Terms {
    pub(super) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// Time for a frame, or what a broken driver makes of it.
    pub(super) fn frame_within(&self) -> Option<Duration> {
        let hurries = self.is(Broken::HurriesFrames);
        self.frame.map(|frame| if hurries { frame / 2 } else { frame })
    }

    /// The longest message that it accepts, if that is less than can be sent.
    pub(super) fn accepts(&self) -> Option<usize> {
        self.max_frame.map(|len| usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// The same for its driver, or what a broken one makes of it.
    pub(super) fn max_frame_in_force(&self) -> Option<u32> {
        self.max_frame.filter(|_| !self.is(Broken::StretchesFrames))
    }

    /// How many beats may lie in the server's kernel.
    pub(super) fn coalesce(&self) -> u16 {
        let beat_len = if matches!(self.protocol, Protocol::V0) { 8 } else { 40 };
        u16::try_from(self.mark.saturating_sub(1) / beat_len).unwrap_or(u16::MAX)
    }

    pub(super) fn offer(&self) -> Offer {
        let offer = Offer::new(&self.policy);
        match self.policy.timeout().filter(|_| self.is_fast) {
            Some(timeout) => offer.max_timeout(timeout),
            None => offer,
        }
    }

    /// The same offer with an endless timeout, up to a `max_timeout`.
    pub(super) fn lenient_offer(&self, max_timeout: Duration) -> Offer {
        let own = self.offer();
        let want = own.want().unwrap_or(LENIENT / 3);
        let policy = self.policy.to_builder().timeout(LENIENT).peer_interval(want);
        let policy = policy.build().unwrap_or(self.policy);
        Offer::new(&policy).min_interval(own.shortest_interval()).max_timeout(max_timeout)
    }

    pub(super) fn as_server(&self) -> v1::Terms {
        v1::Terms::new(self.offer()).wake_bytes(self.mark)
    }

    /// The policy, or what a broken driver makes of it.
    pub(super) fn policy_in_force(&self) -> Policy {
        let Some(timeout) = self.policy.timeout() else { return self.policy };
        let timeout = match self.broken {
            Some(Broken::JudgesEarly) => timeout / 20 * 19,
            Some(Broken::JudgesLate) => timeout + timeout / 10 + self.tick,
            Some(Broken::NeverJudges) => v1::MAX_TIMEOUT,
            Some(_) | None => return self.policy,
        };
        self.policy.to_builder().timeout(timeout).build().unwrap_or(self.policy)
    }

    /// The client's configuration.
    pub(super) fn limits(&self) -> FrameLimits {
        FrameLimits::default()
            .handshake_timeout(self.handshake_timeout)
            .frame_timeout(self.frame_within())
            .max_frame(self.max_frame_in_force().unwrap_or(FrameLimits::MAX_FRAME))
    }

    pub(super) fn resume_offer(&self) -> Option<ResumeOffer> {
        let (window, grace) = self.resume?;
        Some(ResumeOffer { to_server: window, to_client: window, grace })
    }

    /// The settings of its connections.
    pub(super) fn settings(&self) -> Settings {
        Settings::new(self.policy_in_force())
            .protocol(self.protocol)
            .offer(self.offer())
            .limits(self.limits())
            .tick(self.tick)
            .resume(self.resume_offer())
    }
}

/// What an end has promised and may expect now, computed independently of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) echo: bool,
    /// How long a peer that keeps its promises may be silent, on a path without delay.
    pub(super) peer_gap: Option<Duration>,
    pub(super) contract: Option<Contract>,
}

impl InForce {
    pub(super) const NOTHING: Self =
        Self { interval: None, timeout: None, echo: false, peer_gap: None, contract: None };

    /// Before any frame.
    pub(super) fn at_first(terms: &Terms, peer: &Terms) -> Self {
        let policy = terms.settings_policy();
        if matches!(terms.protocol, Protocol::V1 | Protocol::V1Only) {
            return Self::NOTHING;
        }
        Self {
            interval: policy.interval(),
            timeout: terms.policy.timeout(),
            echo: policy.echo(),
            peer_gap: gap(terms, peer),
            contract: None,
        }
    }

    /// Whether a client sends a beat at once.
    pub(super) const fn begins_with_a_beat(&self, terms: &Terms) -> bool {
        matches!(terms.protocol, Protocol::V0) && !self.echo
    }

    /// Under a contract.
    pub(super) fn agreed(contract: Contract, side: Side) -> Self {
        let (from_peer, to_peer) = directions(&contract, side);
        Self {
            interval: to_peer.interval(),
            timeout: from_peer.timeout(),
            echo: false,
            peer_gap: from_peer.interval(),
            contract: Some(contract),
        }
    }

    /// A beat of the peer promises the next one. Returns whether the promise changed.
    pub(super) fn promised(&mut self, side: Side, promise: Option<Duration>) -> bool {
        let Some((contract, promise)) = self.contract.zip(promise) else { return false };
        let from_peer = directions(&contract, side).0;
        // A promise beyond the allowed one counts as the allowed one.
        let least =
            contract.min_interval().min(from_peer.interval().unwrap_or(contract.min_interval()));
        let promise = promise.max(least);
        if self.peer_gap == Some(promise) {
            return false;
        }
        self.timeout = from_peer.timeout_for(promise);
        self.peer_gap = Some(promise);
        true
    }

    /// The peer's timeout, given this end's promise.
    pub(super) fn timeout_of_peer(&self, side: Side) -> Option<Duration> {
        let to_peer = directions(&self.contract?, side).1;
        to_peer.timeout_for(self.interval.or(to_peer.interval())?)
    }
}

/// The direction to an end, and the one from it.
const fn directions(contract: &Contract, side: Side) -> (Direction, Direction) {
    match side {
        Side::Client => (contract.to_client, contract.to_server),
        Side::Server => (contract.to_server, contract.to_client),
    }
}

impl Terms {
    fn settings_policy(&self) -> Policy {
        Settings::new(self.policy).protocol(self.protocol).policy()
    }
}

/// How long the peer may be silent on protocol v0. One that only answers is asked so often,
/// whatever else is sent, though the question may have to wait behind that.
fn gap(own: &Terms, peer: &Terms) -> Option<Duration> {
    let (own_policy, peer_policy) = (own.settings_policy(), peer.settings_policy());
    let asked = own_policy.interval().filter(|_| peer_policy.echo());
    peer_policy.interval().or_else(|| Some(asked? + own.data_ahead))
}
