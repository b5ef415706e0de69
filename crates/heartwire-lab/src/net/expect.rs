//! The expected results, from the plan.

use core::time::Duration;

use heartwire_core::Side;
use heartwire_plan::{Fault as Class, Finding, Mechanism, Outcome, Plan};

use super::both::other;
use super::client::Client;
use super::detector::BEAT;
use super::fault::{Fault, PAUSE, Question};

/// How much longer a silence can be than twice the blackout that caused it: a beat before, and
/// TCP's first tries. Measured: 2.7 to 4.3 s of silence for a blackout of 2 s, beats of 1 s.
const BACK_WITHIN: Duration = BEAT.saturating_add(Duration::from_millis(500));

/// When a client that watches its network gives up a connection: it notices a change within a
/// second, and then for 3 to 6 s nothing that it sends is acknowledged.
const NETWORK_CHANGED: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(7)];

/// What one end is expected to see.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    /// This end is the broken one.
    NotAsked,
    /// The connection must not be lost.
    Kept,
    /// The fault is never detected while it lasts.
    Never,
    /// The fault is detected.
    Found(Promise),
    /// The same, unless the connection is not lost after all.
    FoundOrKept(Promise),
}

/// When a fault is detected, and by what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Promise {
    pub(super) earliest: Duration,
    pub(super) latest: Duration,
    /// The mechanism that promises it, then those that may be first.
    pub(super) by: Vec<Mechanism>,
}

impl Promise {
    fn of(finding: &Finding) -> Self {
        let by = core::iter::once(finding.by).chain(finding.or_by()).collect();
        Self { earliest: finding.bound.earliest, latest: finding.bound.latest, by }
    }
}

impl Expected {
    /// What one end must see of a fault with this client, by the plan for a plan.
    pub(super) fn of(plan: &Plan, fault: Fault, client: Client, side: Side) -> Self {
        let expected = Self::of_plan(plan, fault, side);
        let changes = matches!(fault, Fault::ClientLinkDown | Fault::AddressChanged);
        if changes && side == Side::Client && client == Client::Connect {
            network_changed(plan, expected)
        } else {
            expected
        }
    }

    fn of_plan(plan: &Plan, fault: Fault, side: Side) -> Self {
        let planned = |class| Self::planned(plan.outcome(class, side));
        match fault.question(side) {
            Question::Broken => Self::NotAsked,
            Question::Healthy => Self::Kept,
            Question::Found(Class::OwnPause) => own_pause(plan, side),
            Question::Found(Class::NatForgotten) if fault == Fault::NatExpiry => {
                nat_expiry(plan, side)
            }
            Question::Found(class) if fault == Fault::MtuHole => mtu_hole(plan, side, class),
            Question::Found(class) => planned(class),
            Question::FoundOrKept(class) => found_or_kept(plan, planned(class)),
            Question::Blackout(lasts) => blackout(plan, side, lasts),
        }
    }

    fn planned(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Found(finding) => Self::Found(Promise::of(&finding)),
            Outcome::Never(_) => Self::Never,
            Outcome::KeptOpen { .. } | Outcome::NothingDue => Self::Kept,
        }
    }

    pub(super) const fn promise(&self) -> Option<&Promise> {
        match self {
            Self::Found(promise) | Self::FoundOrKept(promise) => Some(promise),
            Self::NotAsked | Self::Kept | Self::Never => None,
        }
    }
}

/// What the plan does not know: that `connect` watches its network. It needs no timeout to notice
/// that the connection did not survive, if it sends something.
fn network_changed(plan: &Plan, expected: Expected) -> Expected {
    let [earliest, latest] = NETWORK_CHANGED;
    let latest = latest.saturating_add(plan.end(Side::Client).timer_slack);
    let is_sooner = expected.promise().is_some_and(|promise| latest < promise.earliest);
    if is_sooner && plan.end(Side::Client).policy.interval().is_some() {
        Expected::Found(Promise { earliest, latest, by: vec![Mechanism::Retransmissions] })
    } else {
        expected
    }
}

/// An end that was paused notices it; unless the other end rightly declared it dead meanwhile, so
/// that it sees the reset first.
fn own_pause(plan: &Plan, side: Side) -> Expected {
    let row = |class, side| plan.outcome(class, side);
    let mut expected = Expected::planned(row(Class::OwnPause, side));
    let given_up = row(Class::PeerFrozen, other(side)).finding();
    if given_up.is_some_and(|finding| finding.bound.latest < PAUSE) {
        let reset = Promise {
            earliest: Duration::ZERO,
            latest: plan.end(side).timer_slack.saturating_add(plan.rtt()),
            by: vec![Mechanism::Reset],
        };
        match &mut expected {
            Expected::Found(promise) => promise.by.push(Mechanism::Reset),
            Expected::NotAsked | Expected::Kept | Expected::Never | Expected::FoundOrKept(_) => {
                expected = Expected::Found(reset)
            }
        }
    }
    expected
}

/// Long packets get lost, short ones do not: keepalive probes still come and go, and the server's
/// beats. It is only detected by what waits behind the long line: by a server with a timeout, or by
/// the kernel that retransmits the line.
fn mtu_hole(plan: &Plan, side: Side, cut: Class) -> Expected {
    let row = |class| Expected::planned(plan.outcome(class, side));
    match (plan.end(Side::Server).policy.timeout(), side) {
        (Some(_), _) => row(cut),
        (None, Side::Client) => row(Class::MachineGoneUnacked),
        (None, Side::Server) => Expected::Never,
    }
}

/// A router that forgets, and remembers again with the client's next packet. Only what the server
/// sends before that, a beat or a probe, finds no entry in the router.
fn found_or_kept(plan: &Plan, planned: Expected) -> Expected {
    let server = plan.end(Side::Server);
    let server_sends = server.policy.interval().is_some() || server.kernel.keepalive().is_some();
    match planned {
        Expected::Found(promise) if server_sends => Expected::FoundOrKept(promise),
        Expected::Never => Expected::Never,
        Expected::Found(_) | Expected::NotAsked | Expected::Kept | Expected::FoundOrKept(_) => {
            Expected::Kept
        }
    }
}

/// A router that forgets idle connections; after a rest the client sends a line.
fn nat_expiry(plan: &Plan, side: Side) -> Expected {
    let row = |class| Expected::planned(plan.outcome(class, side));
    match (row(Class::NatForgotten), side) {
        (Expected::Kept, _) => Expected::Kept,
        // Only then is there a fault: the line is not acknowledged.
        (_, Side::Client) => row(Class::MachineGoneUnacked),
        (expected, Side::Server) => expected,
    }
}

/// A path that comes back. The plan knows faults that last; what it says of a machine that is gone
/// holds while this one does.
fn blackout(plan: &Plan, side: Side, lasts: Duration) -> Expected {
    let gone = |side| plan.outcome(Class::MachineGoneIdle, side).finding();
    let in_time = |side| gone(side).filter(|finding| finding.bound.latest <= lasts);
    if let Some(finding) = in_time(side) {
        return Expected::Found(Promise::of(&finding));
    }
    if in_time(other(side)).is_none() {
        // Too short for either; the measurement checks the margin.
        return Expected::Kept;
    }
    // The other end has given up; a reset answers everything that this one still sends.
    let end = plan.end(side);
    if end.policy.interval().is_none() {
        return Expected::Never;
    }
    let latest = lasts.saturating_mul(2).saturating_add(BACK_WITHIN);
    Expected::Found(Promise { earliest: lasts, latest, by: vec![Mechanism::Reset] })
}

#[cfg(test)]
mod tests;
