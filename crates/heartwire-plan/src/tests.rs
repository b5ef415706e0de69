use std::string::ToString;

use heartwire_core::kernel::{Keepalive, KernelTimers};
use heartwire_core::{Policy, PolicyBuilder, Preset};

use super::*;
use crate::mechanism::Mechanisms;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The detectors of the measurements: beats of 1 s, a timeout of 3 s, a user timeout of 10 s,
/// keepalive 3 s, 3 s, 3.
fn end(
    policy: PolicyBuilder,
    keepalive: Option<(u64, u64, u32)>,
    user_timeout: Option<u64>,
) -> End {
    let secs = Duration::from_secs;
    let keepalive = keepalive.map(|(i, n, c)| Keepalive::new(secs(i), secs(n), c).unwrap());
    let timers = KernelTimers::new(keepalive, user_timeout.map(secs)).unwrap();
    End::new(policy.build().unwrap()).kernel(timers)
}

fn plan(client: End, server: End) -> Plan {
    Setup::new(client, server).v0().rtt(Duration::ZERO).plan().unwrap()
}

fn both(end: End) -> Plan {
    plan(end, end)
}

fn off() -> PolicyBuilder {
    Policy::builder()
}

fn none() -> Plan {
    both(end(off(), None, None))
}

fn default_keepalive() -> Plan {
    both(end(off(), Some((7200, 75, 9)), None))
}

fn tuned_keepalive() -> Plan {
    both(end(off(), Some((3, 3, 3)), None))
}

fn user_timeout() -> Plan {
    both(end(off(), None, Some(10)))
}

fn beats_one_way() -> Plan {
    let client = end(off().interval(secs(1.0)), None, None);
    plan(client, end(off().timeout(secs(3.0)).peer_interval(secs(1.0)), None, None))
}

fn asking(keepalive: Option<(u64, u64, u32)>, user_timeout: Option<u64>) -> Plan {
    let client = end(off().interval(secs(1.0)).timeout(secs(3.0)), keepalive, user_timeout);
    let server = off().echo(true).timeout(secs(3.0)).peer_interval(secs(1.0));
    plan(client, end(server, keepalive, user_timeout))
}

fn asking_and_answering() -> Plan {
    asking(None, None)
}

fn everything() -> Plan {
    asking(Some((3, 3, 3)), Some(12))
}

fn beats_both_ways() -> Plan {
    both(end(off().interval(secs(1.0)).timeout(secs(3.0)), None, None))
}

use Side::{Client, Server};

/// Asserts that what was measured, in seconds after the fault, lies within the plan.
#[track_caller]
fn assert_measured(plan: Plan, fault: Fault, side: Side, by: Mechanism, measured: f64) {
    let outcome = plan.outcome(fault, side);
    let Some(finding) = outcome.finding() else { panic!("{fault}: {outcome:?}") };
    assert!(finding.bound.contains(secs(measured)), "{fault}: {measured} s, {finding:?}");
    assert_eq!(finding.by, by, "{fault}: {finding:?}");
}

#[track_caller]
fn assert_never(plan: Plan, fault: Fault, side: Side) {
    let outcome = plan.outcome(fault, side);
    assert!(matches!(outcome, Outcome::Never(_)), "{fault} on the {side:?}: {outcome:?}");
}

#[test]
fn a_killed_peer_was_noticed_at_once_with_any_detector() {
    let plans = [none(), default_keepalive(), tuned_keepalive(), user_timeout(), everything()];
    for (plan, side) in plans.into_iter().flat_map(|plan| [(plan, Client), (plan, Server)]) {
        assert_measured(plan, Fault::PeerKilled, side, Mechanism::EndOfStream, 0.0);
        assert_measured(plan, Fault::Close, side, Mechanism::EndOfStream, 0.06);
        assert_measured(plan, Fault::Reset, side, Mechanism::Reset, 0.01);
    }
}

#[test]
fn a_frozen_peer_was_found_by_a_timeout_and_by_nothing_else() {
    for plan in [none(), default_keepalive(), tuned_keepalive(), user_timeout()] {
        assert_never(plan, Fault::PeerFrozen, Client);
        assert_never(plan, Fault::PeerFrozen, Server);
    }
    assert_never(beats_one_way(), Fault::PeerFrozen, Client);
    assert_measured(beats_one_way(), Fault::PeerFrozen, Server, Mechanism::Silence, 2.98);
    for plan in [asking_and_answering(), everything(), beats_both_ways()] {
        assert_measured(plan, Fault::PeerFrozen, Client, Mechanism::Silence, 2.98);
        assert_measured(plan, Fault::PeerFrozen, Server, Mechanism::Silence, 2.98);
    }
}

#[test]
fn a_machine_that_was_gone_while_idle_was_found_by_limits_and_keepalive() {
    let fault = Fault::MachineGoneIdle;
    for side in [Client, Server] {
        assert_never(none(), fault, side);
        assert_never(user_timeout(), fault, side);
        assert_measured(default_keepalive(), fault, side, Mechanism::Keepalive, 7875.0);
        assert_measured(tuned_keepalive(), fault, side, Mechanism::Keepalive, 10.3);
        assert_measured(asking_and_answering(), fault, side, Mechanism::Silence, 2.99);
        assert_measured(everything(), fault, side, Mechanism::Silence, 2.98);
    }
    assert_measured(beats_one_way(), fault, Server, Mechanism::Silence, 2.98);
    assert_measured(beats_one_way(), fault, Client, Mechanism::Retransmissions, 939.4);
}

#[test]
fn unacknowledged_data_was_given_up_by_the_user_timeout_or_after_15_minutes() {
    let fault = Fault::MachineGoneUnacked;
    for side in [Client, Server] {
        assert_measured(none(), fault, side, Mechanism::Retransmissions, 939.2);
        // Keepalive is muted.
        assert_measured(tuned_keepalive(), fault, side, Mechanism::Retransmissions, 938.4);
        assert_measured(user_timeout(), fault, side, Mechanism::UserTimeout, 10.6);
        assert_measured(asking_and_answering(), fault, side, Mechanism::Silence, 2.99);
    }
}

#[test]
fn a_user_timeout_with_beats_counts_from_the_first_beat_that_is_lost() {
    let beating = end(off().interval(secs(1.0)), None, Some(10));
    for measured in [11.0, 11.6, 12.8] {
        let fault = Fault::FirewallDrop;
        assert_measured(both(beating), fault, Client, Mechanism::UserTimeout, measured);
    }
}

#[test]
fn a_path_cut_one_way_was_found_on_both_ends() {
    let (cut_off, unheard) = (Fault::CutToServer, Fault::CutToClient);
    assert_measured(asking_and_answering(), cut_off, Server, Mechanism::Silence, 3.0);
    assert_measured(asking_and_answering(), cut_off, Client, Mechanism::Silence, 3.0);
    assert_measured(beats_one_way(), cut_off, Server, Mechanism::Silence, 3.0);
    assert_measured(asking_and_answering(), unheard, Client, Mechanism::Silence, 2.99);
    // The client goes on for one beat more, and then its kernel waits for an acknowledgement.
    assert_measured(beats_one_way(), unheard, Server, Mechanism::Silence, 3.98);
    for fault in [cut_off, unheard] {
        assert_measured(tuned_keepalive(), fault, Client, Mechanism::Keepalive, 10.3);
    }
}

#[test]
fn a_reset_follows_a_verdict_where_the_path_is_up() {
    // One-way beats: the client was blind before its server reset the connection.
    let found = |side| beats_one_way().outcome(Fault::CutToServer, side).finding().unwrap();
    let (client, server) = (found(Client), found(Server));
    assert_eq!(client.by, Mechanism::Reset);
    assert_eq!(client.bound.earliest, server.bound.earliest);
    assert_eq!(client.bound.latest, server.bound.latest + ms(100));
    // Keepalive resets too (12.3 s measured on the other end).
    let beating = end(off().interval(secs(1.0)), None, None);
    let probing = end(off(), Some((3, 3, 3)), None);
    let fault = Fault::CutToServer;
    assert_measured(plan(beating, probing), fault, Client, Mechanism::Reset, 12.3);
    // The path is down in the direction of a reset.
    let fault = Fault::CutToClient;
    assert_measured(beats_one_way(), fault, Client, Mechanism::Retransmissions, 939.4);
}

#[test]
fn retransmissions_of_the_other_end_put_keepalive_off() {
    let beating = end(off().interval(secs(1.0)), None, None);
    let probing = end(off(), Some((3, 3, 3)), None);
    let fault = Fault::CutToClient;
    assert_measured(plan(beating, probing), fault, Server, Mechanism::Keepalive, 26.7);
    // A gap as long as this never comes: keepalive starts when the other end has given up.
    let probing = end(off(), Some((7200, 75, 9)), None);
    let outcome = plan(beating, probing).outcome(fault, Server);
    let latest = outcome.finding().unwrap().bound.latest;
    assert!(latest > secs(7875.0 + 938.0), "{latest:?}");
}

#[test]
fn a_peer_that_does_not_read_is_found_by_the_user_timeout_alone() {
    let fault = Fault::PeerNotReading;
    for plan in [none(), default_keepalive(), tuned_keepalive(), beats_both_ways()] {
        assert_never(plan, fault, Client);
        assert_never(plan, fault, Server);
    }
    assert_measured(user_timeout(), fault, Client, Mechanism::UserTimeout, 10.4);
    // A server that only answers has nothing to answer if it does not read.
    let client = asking_and_answering().outcome(fault, Client);
    assert_eq!(client.finding().unwrap().by, Mechanism::Silence);
    assert_never(asking_and_answering(), fault, Server);
}

#[test]
fn a_forgotten_entry_is_found_by_a_reset_or_like_a_drop() {
    let fault = Fault::NatForgotten;
    assert_measured(beats_one_way(), fault, Server, Mechanism::Silence, 2.99);
    assert_measured(asking_and_answering(), fault, Server, Mechanism::Silence, 2.98);
    for plan in [asking_and_answering(), everything()] {
        // The client's next beat was answered with a reset.
        let client = plan.outcome(fault, Client).finding().unwrap();
        assert!(client.bound.contains(secs(0.98)) && client.can_be_by(Mechanism::Reset));
    }
    assert_never(none(), fault, Client);
}

#[test]
fn an_entry_is_not_forgotten_while_beats_or_probes_pass() {
    let is_kept = |end: End, nat_timeout| {
        let setup = Setup::new(end, end).v0().rtt(Duration::ZERO);
        let plan = setup.nat_timeout(Some(secs(nat_timeout))).plan().unwrap();
        matches!(plan.outcome(Fault::NatForgotten, Client), Outcome::KeptOpen { .. })
    };
    let beating = |interval| end(off().interval(secs(interval)), None, None);
    assert!(is_kept(beating(2.0), 5.0) && !is_kept(beating(10.0), 5.0));
    assert!(is_kept(end(off(), Some((3, 3, 3)), None), 5.0));
    // As long is too long, and the beat may come a tick late.
    assert!(!is_kept(beating(5.0), 5.1) && is_kept(beating(5.0), 5.101));
}

#[test]
fn a_pause_of_its_own_is_noticed_when_it_ends_and_costs_nothing() {
    let finding = beats_both_ways().outcome(Fault::OwnPause, Client).finding().unwrap();
    assert_eq!((finding.by, finding.bound.latest), (Mechanism::PauseWatch, ms(100)));
    assert_eq!(none().outcome(Fault::OwnPause, Client), Outcome::NothingDue);
}

#[test]
fn never_comes_with_advice_that_works() {
    let never = |plan: Plan, fault, side| {
        let outcome = plan.outcome(fault, side);
        let Outcome::Never(advice) = outcome else { panic!("{outcome:?}") };
        advice.to_string()
    };
    assert_eq!(
        never(none(), Fault::PeerFrozen, Client),
        "set a timeout on the client, and a beat or an echo on the server"
    );
    let answered =
        plan(end(off().interval(secs(1.0)), None, None), end(off().echo(true), None, None));
    assert_eq!(never(answered, Fault::PeerFrozen, Client), "set a timeout on the client");
    assert_eq!(
        never(beats_both_ways(), Fault::PeerNotReading, Server),
        "set a user timeout on the server"
    );
}

#[test]
fn presets_agree_with_what_serve_and_connect_print() {
    for preset in [Preset::Default, Preset::Fast] {
        let [client, server] =
            [Client, Server].map(|side| End::new(preset.policy(side)).timer_slack(Duration::ZERO));
        let printed = preset.policy(Client).bound_after_fault(Duration::ZERO).unwrap();
        for side in [Client, Server] {
            let outcome = plan(client, server).outcome(Fault::PeerFrozen, side);
            assert_eq!(outcome.finding().unwrap().bound, printed);
        }
    }
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    for fault in Fault::ALL {
        let same = Fault::ALL.iter().filter(|other| other.name() == fault.name());
        assert_eq!(same.count(), 1, "{}", fault.name());
    }
    for mechanism in Mechanism::ALL {
        let set = Mechanisms::default().with(mechanism);
        assert!(set.iter().eq([mechanism]), "{mechanism}");
    }
}

#[test]
fn impossible_setups_are_refused_with_the_reason() {
    let echoing = end(off().echo(true), None, None);
    let refused = |setup: Setup| setup.v0().plan().unwrap_err();
    assert_eq!(refused(Setup::new(echoing, echoing)), PlanError::EchoAtBothEnds);
    let quiet = end(off(), None, None);
    let rtt = ms(10_001);
    assert_eq!(refused(Setup::new(quiet, quiet).rtt(rtt)), PlanError::RttTooLong { rtt });
    assert!(Setup::new(quiet, quiet).rtt(ms(10_000)).plan().is_ok());
    let timer_slack = ms(65_536);
    let too_late = refused(Setup::new(quiet, quiet.timer_slack(timer_slack)));
    assert_eq!(too_late, PlanError::TimerSlackTooLong { timer_slack });
    assert!(too_late.to_string().contains("65.535s"), "{too_late}");
}

#[test]
fn on_protocol_v1_a_plan_is_for_what_is_agreed() {
    let [usual, strict] = [Preset::Default, Preset::Fast].map(|p| End::new(p.policy(Client)));
    let agreed = Setup::new(usual, strict).plan().unwrap();
    let client = agreed.end(Client).policy;
    assert_eq!((client.interval(), client.timeout()), (Some(secs(2.5)), Some(secs(30.0))));
    let server = agreed.end(Server).policy;
    assert_eq!((server.interval(), server.timeout()), (Some(secs(2.5)), Some(secs(8.5))));
    // The same plan as on v0 for two ends that were told so.
    let told = Setup::new(End::new(client), End::new(server)).v0().plan().unwrap();
    assert!(agreed.is_v1() && !told.is_v1());
    for (fault, side) in Fault::ALL.into_iter().flat_map(|fault| [(fault, Client), (fault, Server)])
    {
        let [agreed, told] = [agreed, told].map(|plan| plan.outcome(fault, side));
        assert_eq!(agreed, told, "{fault}");
    }
    // 92 bytes for a beat where v0 takes 60, and 52 for what acknowledges it; 8 beats where v0 has
    // 7, because they come early.
    let [agreed, told] = [agreed, told].map(|plan| plan.traffic().to_server);
    assert_eq!((agreed, told), (39_498 * (92 + 52), 34_560 * (60 + 52)));
}

#[test]
fn impossible_setups_on_protocol_v1_are_refused() {
    let echoing = End::new(off().echo(true).timeout(secs(9.0)).build().unwrap());
    let usual = End::new(Preset::Default.policy(Client));
    assert_eq!(Setup::new(usual, echoing).plan(), Err(PlanError::EchoOnV1));
    let days = End::new(off().interval(secs(80_000.0)).timeout(secs(200_000.0)).build().unwrap());
    // It beats as often as it is asked to.
    assert!(Setup::new(days, usual).plan().is_ok());
}
