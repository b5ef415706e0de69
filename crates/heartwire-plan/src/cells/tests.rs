//! Bounds to the millisecond, on a path with a round trip of 200 ms and timers 100 ms late.

use heartwire_core::kernel::{Keepalive, KernelTimers};
use heartwire_core::{Policy, PolicyBuilder};

use super::*;
use crate::{End, Finding, Setup};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn end(policy: PolicyBuilder) -> End {
    End::new(policy.build().unwrap())
}

fn with_keepalive(end: End, idle: u64, interval: u64, count: u32) -> End {
    let keepalive = Keepalive::new(secs(idle), secs(interval), count).unwrap();
    end.kernel(KernelTimers::new(Some(keepalive), None).unwrap())
}

fn quiet() -> End {
    end(Policy::builder())
}

fn beating(interval: Duration) -> End {
    end(Policy::builder().interval(interval))
}

fn judging() -> End {
    end(Policy::builder().timeout(secs(30)))
}

#[track_caller]
fn found(client: End, server: End, fault: Fault, side: Side) -> Finding {
    let plan = Setup::new(client, server).v0().rtt(ms(200)).plan().unwrap();
    let outcome = plan.outcome(fault, side);
    outcome.finding().unwrap_or_else(|| panic!("{outcome:?}"))
}

#[track_caller]
fn assert_bound(finding: Finding, earliest: u64, latest: u64) {
    let Finding { bound, .. } = finding;
    assert_eq!((bound.earliest, bound.latest), (ms(earliest), ms(latest)), "{finding:?}");
}

#[test]
fn news_takes_a_round_trip_and_a_tick_at_most() {
    assert_bound(found(quiet(), quiet(), Fault::Close, Side::Server), 0, 300);
    let killed = found(quiet(), quiet(), Fault::PeerKilled, Side::Client);
    assert_bound(killed, 0, 300);
    assert!(killed.can_be_by(Mechanism::Reset) && killed.by == Mechanism::EndOfStream);
}

#[test]
fn news_comes_first_unless_a_timeout_hardly_leaves_room_for_beats() {
    let by_silence = |interval, timeout| {
        let judging = end(Policy::builder().timeout(ms(timeout)));
        let killed = found(beating(ms(interval)), judging, Fault::PeerKilled, Side::Server);
        assert_bound(killed, 0, 300);
        killed.can_be_by(Mechanism::Silence)
    };
    // A beat is late by 300 ms at most, and so is the news.
    assert!(by_silence(38, 76) && by_silence(1_000, 1_600));
    assert!(!by_silence(1_000, 1_601) && !by_silence(10_000, 30_000));
}

#[test]
fn a_silence_began_with_a_beat_that_may_have_been_late() {
    let frozen = found(beating(secs(10)), judging(), Fault::PeerFrozen, Side::Server);
    assert_bound(frozen, 19_700, 30_300);
    // An answer waits for two timers.
    let (asking, answering) = (
        end(Policy::builder().interval(secs(10)).timeout(secs(30))),
        end(Policy::builder().echo(true)),
    );
    assert_bound(found(asking, answering, Fault::PeerFrozen, Side::Client), 19_600, 30_300);
    // Nothing is known of when the last byte came.
    assert_bound(found(quiet(), judging(), Fault::PeerFrozen, Side::Server), 0, 30_300);
}

#[test]
fn a_peer_that_is_not_acknowledged_sends_one_beat_more() {
    let fault = Fault::CutToClient;
    let finding = found(beating(secs(10)), judging(), fault, Side::Server);
    assert_bound(finding, 29_600, 40_400);
    // Or all those before its kernel retransmits the first, which is 1.7 s at most.
    let finding = found(beating(ms(500)), judging(), fault, Side::Server);
    assert_bound(finding, 29_600, 32_600);
    // On protocol v1 a second one can come sooner than that: a beat is up to a quarter early.
    let latest = |setup: Setup| {
        let plan = setup.rtt(ms(200)).plan().unwrap();
        plan.outcome(fault, Side::Server).finding().unwrap().bound.latest
    };
    let setup = |interval| Setup::new(beating(ms(interval)), judging());
    for (interval, more_on_v1) in [(1_600, 0), (2_200, 1_700), (2_300, 0)] {
        // It sends beats as often on either version.
        let setup = setup(interval);
        assert_eq!(latest(setup), latest(setup.v0()) + ms(more_on_v1), "{interval} ms");
    }
    // One that only answers has nothing to answer any more.
    let asking = end(Policy::builder().interval(secs(10)).timeout(secs(30)));
    let answering = end(Policy::builder().echo(true));
    let finding = found(asking, answering, Fault::CutToServer, Side::Client);
    assert_bound(finding, 19_600, 30_300);
}

#[test]
fn a_reset_is_heard_when_the_other_end_gives_its_verdict() {
    let fault = Fault::CutToServer;
    let server = found(beating(secs(10)), judging(), fault, Side::Server);
    let client = found(beating(secs(10)), judging(), fault, Side::Client);
    assert_eq!((server.by, client.by), (Mechanism::Silence, Mechanism::Reset));
    assert_bound(server, 19_700, 30_300);
    assert_bound(client, 19_700, 30_600);
}

#[test]
fn the_kernel_counts_from_the_next_beat() {
    let timers = KernelTimers::new(None, Some(secs(20))).unwrap();
    let client = beating(secs(5)).kernel(timers);
    // A late beat, two tries (1.7 s), a timer of at most 10.9 s that is late, and a tick.
    let fault = Fault::FirewallDrop;
    assert_bound(found(client, quiet(), fault, Side::Client), 20_000, 28_288);
    // An answer is not acknowledged either, if what it answers still comes.
    let server = end(Policy::builder().echo(true)).kernel(timers);
    let finding = found(beating(secs(5)), server, Fault::CutToClient, Side::Server);
    assert_bound(finding, 20_000, 28_588);
    // What was sent at the moment of the fault counts at once.
    let fault = Fault::MachineGoneUnacked;
    assert_bound(found(client, quiet(), fault, Side::Client), 20_000, 23_188);
}

#[test]
fn keepalive_counts_from_the_last_probe_that_was_answered() {
    let probing = with_keepalive(quiet(), 3, 3, 3);
    let fault = Fault::MachineGoneIdle;
    // Four timers of 3 s, each up to 391 ms late, a round trip and a tick.
    let idle = found(probing, quiet(), fault, Side::Client);
    assert_bound(idle, 8_609, 13_864);
    // Beats of the other end put it off.
    let finding = found(probing, beating(secs(1)), fault, Side::Client);
    assert_bound(finding, 10_600, 13_864);
    // An answer that was not yet acknowledged did so once more.
    let answering = with_keepalive(end(Policy::builder().echo(true)), 3, 3, 3);
    let finding = found(answering, beating(secs(1)), fault, Side::Client);
    assert_bound(finding, 10_600, 17_255);
}

#[test]
fn keepalive_is_no_promise_where_a_beat_can_be_in_its_way() {
    let fault = Fault::MachineGoneIdle;
    let slow = with_keepalive(beating(secs(30)), 3, 3, 3);
    let finding = found(slow, quiet(), fault, Side::Client);
    assert_eq!(finding.by, Mechanism::Retransmissions);
    assert!(finding.or_by().eq([Mechanism::Keepalive]));
    assert_eq!(finding.bound.earliest, ms(8_609));
    // With a faster beat it never comes so far.
    let fast = with_keepalive(beating(secs(5)), 3, 3, 3);
    let finding = found(fast, quiet(), fault, Side::Client);
    assert_eq!((finding.or_by().count(), finding.bound.earliest), (0, ms(924_600)));
}

#[test]
fn keepalive_waits_for_a_gap_between_retransmissions() {
    let fault = Fault::CutToClient;
    let bound = |interval, keepalive: (u64, u64, u32)| {
        let (idle, every, count) = keepalive;
        let server = with_keepalive(quiet(), idle, every, count);
        found(beating(interval), server, fault, Side::Server).bound
    };
    // Twice 12 s, less the lateness of a timer, the first retransmission, and what was under way;
    // a beat, two tries, gaps of twice keepalive's 13.9 s and then one that is long enough.
    let threes = bound(secs(1), (3, 3, 3));
    assert_eq!((threes.earliest, threes.latest), (ms(21_216), ms(48_223)));
    assert_eq!(bound(secs(2), (3, 3, 3)).latest, threes.latest + secs(1));
    // A slow beat may come after it is over.
    assert_eq!(bound(secs(15), (3, 3, 3)).earliest, ms(8_609));
    // Retransmissions are never 160 s apart: the other kernel must have given up.
    let given_up = tcp::unacked(None, ms(200));
    let slow = bound(secs(1), (100, 20, 3));
    assert!(slow.earliest > given_up.earliest + secs(159));
    assert!(slow.latest > given_up.latest + secs(160));
    assert!(bound(secs(1), (60, 10, 3)).latest < given_up.latest);
}

#[test]
fn a_forgotten_nat_entry_may_answer_with_a_reset() {
    let fault = Fault::NatForgotten;
    let client = found(beating(secs(5)), quiet(), fault, Side::Client);
    assert_eq!((client.by, client.bound.earliest), (Mechanism::Retransmissions, Duration::ZERO));
    assert!(client.or_by().eq([Mechanism::Reset]));
    // A probe comes when nothing was heard for 15 s, and there was a beat in the last 5.4.
    let server = with_keepalive(quiet(), 15, 5, 3);
    let probing = found(beating(secs(5)), server, fault, Side::Server);
    assert_eq!((probing.by, probing.bound.earliest), (Mechanism::Keepalive, ms(9_600)));
    assert!(probing.or_by().eq([Mechanism::Reset]));
    // Who sends nothing gets nothing back.
    let finding = found(beating(secs(5)), judging(), fault, Side::Server);
    assert_eq!(finding.or_by().count(), 0);
}

#[test]
fn a_mechanism_that_cannot_be_first_is_not_named() {
    let policy = Policy::builder().interval(secs(1)).timeout(secs(3));
    let timers = |secs_| KernelTimers::new(None, Some(secs(secs_))).unwrap();
    let late = end(policy).kernel(timers(12));
    let fault = Fault::MachineGoneUnacked;
    assert_eq!(found(late, late, fault, Side::Client).or_by().count(), 0);
    let early = end(policy).kernel(timers(3));
    let finding = found(early, early, fault, Side::Client);
    assert!(finding.or_by().eq([Mechanism::UserTimeout]));
}
