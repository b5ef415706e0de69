//! What one end detects of one fault.

use core::time::Duration;

use heartwire_core::Side;

use crate::outcome::{Detector, Outcome, first_of};
use crate::view::View;
use crate::{Advice, Fault, Mechanism, Plan, tcp};

pub(crate) fn outcome(plan: &Plan, fault: Fault, view: &View) -> Outcome {
    match (fault, view.side) {
        (Fault::Close, _) => told(view, Mechanism::EndOfStream, None),
        (Fault::Reset, _) => told(view, Mechanism::Reset, None),
        (Fault::PeerKilled, _) => told(view, Mechanism::EndOfStream, Some(Mechanism::Reset)),
        (Fault::PeerFrozen, _) => first_of([view.silence()], silence_advice(view)),
        (Fault::MachineGoneIdle | Fault::FirewallDrop, _)
        | (Fault::CutToServer, Side::Server)
        | (Fault::CutToClient, Side::Client) => unreachable(view, None),
        (Fault::MachineGoneUnacked, _) => {
            let kernel = view.unacked(Duration::ZERO);
            first_of([view.silence(), Some(kernel)], silence_advice(view))
        }
        (Fault::CutToServer, Side::Client) | (Fault::CutToClient, Side::Server) => unheard(view),
        (Fault::NatForgotten, _) => forgotten(plan, view),
        (Fault::PeerNotReading, _) => not_read(view),
        (Fault::OwnPause, _) => paused(view),
    }
}

/// The peer's kernel reports the fault. Where a timeout is hardly longer than the peer's interval,
/// a silence that began before the fault can time out first.
fn told(view: &View, by: Mechanism, or_by: Option<Mechanism>) -> Outcome {
    let detectors = [Some(view.told(by)), or_by.map(|by| view.told(by)), view.silence()];
    first_of(detectors, silence_advice(view))
}

/// No packet of the peer arrives any more, neither bytes nor acknowledgements.
fn unreachable(view: &View, told: Option<Detector>) -> Outcome {
    let kernel = view.own_interval().map(|within| view.unacked(within));
    let detectors = [view.silence(), kernel, view.keepalive(view.own_interval()), told];
    first_of(detectors, silence_advice(view))
}

/// No packet of this end reaches the peer any more, while the peer's packets still arrive,
/// including the reset that follows its verdict. Keepalive sends one too when it gives up; the
/// other timers of a kernel do not.
fn unheard(view: &View) -> Outcome {
    let peer =
        View { side: crate::view::peer_of(view.side), own: view.peer, peer: view.own, ..*view };
    let delay = view.delivery();
    let verdict = peer.silence().map(|detector| detector.heard_as_reset(delay));
    let probed = peer.keepalive(peer.own_interval()).map(|detector| detector.heard_as_reset(delay));

    let sends_within = view.own_beat_or_answer();
    let kernel = sends_within.map(|within| view.unacked(within));
    let keepalive = match (sends_within, view.peer.policy.interval()) {
        (None, Some(interval)) => view.keepalive_between_retransmissions(interval),
        (sends_within, _) => view.keepalive(sends_within),
    };
    let detectors = [verdict, probed, view.silence_of_unheard_peer(), kernel, keepalive];
    first_of(detectors, silence_advice(view))
}

/// A middlebox forgets the connection, unless packets pass in time.
fn forgotten(plan: &Plan, view: &View) -> Outcome {
    if let (Some(nat_timeout), Some(quiet)) = (plan.nat_timeout(), plan.quiet()) {
        if quiet < nat_timeout {
            return Outcome::KeptOpen { quiet };
        }
    }
    // What this end sends may be answered with a reset, or not.
    let sent = view.own.policy.interval().map(|_| Duration::ZERO).or(view.next_probe());
    let reset = sent.map(|earliest| Detector { by: Mechanism::Reset, earliest, latest: None });
    unreachable(view, reset)
}

/// The peer's window is closed. Its kernel answers the probes, so only the user timeout detects
/// this. A peer that sends beats is still heard; one that only answers has nothing to answer.
fn not_read(view: &View) -> Outcome {
    let kernel = view.own.kernel.user_timeout().map(|_| view.unacked(Duration::ZERO));
    // It may have stopped reading long before its window was closed.
    let silence = view.silence().filter(|_| view.peer.policy.interval().is_none());
    let silence = silence.map(|detector| Detector { earliest: Duration::ZERO, ..detector });
    first_of([kernel, silence], Advice::UserTimeout { on: view.side })
}

/// This end was paused, and runs again.
fn paused(view: &View) -> Outcome {
    if view.own.policy.interval().is_none() && view.own.policy.timeout().is_none() {
        return Outcome::NothingDue;
    }
    let noticed = Detector::new(Mechanism::PauseWatch, Duration::ZERO, view.own.timer_slack);
    first_of([Some(noticed)], silence_advice(view))
}

fn silence_advice(view: &View) -> Advice {
    match view.hears_every() {
        Some(_) => Advice::Timeout { on: view.side },
        None => Advice::TimeoutAndTraffic { on: view.side },
    }
}

impl Plan {
    /// The longest time without a packet on the path, if there are regular ones: beats, or
    /// keepalive probes of an end that hears nothing.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        let passes = |side| {
            let end = self.end(side);
            let interval =
                end.policy.interval().map(|interval| interval.saturating_add(end.timer_slack));
            let probe = end.kernel.keepalive().map(tcp::first_probe);
            [interval, probe]
        };
        let every = [passes(Side::Client), passes(Side::Server)];
        let shortest = every.into_iter().flatten().flatten().min()?;
        Some(shortest.saturating_add(self.rtt()))
    }
}

#[cfg(test)]
mod tests;
