use std::string::ToString;

use super::*;
use crate::kernel::{Keepalive, KernelTimers};
use crate::policy::{Policy, PolicyBuilder, Preset};

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

fn setup(client: End, server: End) -> Setup {
    Setup::builder(client, server).rtt(Duration::ZERO).build().unwrap()
}

fn both(end: End) -> Setup {
    setup(end, end)
}

fn off() -> PolicyBuilder {
    Policy::builder()
}

fn none() -> Setup {
    both(end(off(), None, None))
}

fn default_keepalive() -> Setup {
    both(end(off(), Some((7200, 75, 9)), None))
}

fn tuned_keepalive() -> Setup {
    both(end(off(), Some((3, 3, 3)), None))
}

fn user_timeout() -> Setup {
    both(end(off(), None, Some(10)))
}

fn beats_one_way() -> Setup {
    let client = end(off().interval(secs(1.0)), None, None);
    setup(client, end(off().timeout(secs(3.0)).peer_interval(secs(1.0)), None, None))
}

fn asking(keepalive: Option<(u64, u64, u32)>, user_timeout: Option<u64>) -> Setup {
    let client = end(off().interval(secs(1.0)).timeout(secs(3.0)), keepalive, user_timeout);
    let server = off().echo(true).timeout(secs(3.0)).peer_interval(secs(1.0));
    setup(client, end(server, keepalive, user_timeout))
}

fn asking_and_answering() -> Setup {
    asking(None, None)
}

fn everything() -> Setup {
    asking(Some((3, 3, 3)), Some(12))
}

fn beats_both_ways() -> Setup {
    both(end(off().interval(secs(1.0)).timeout(secs(3.0)), None, None))
}

use Side::{Client, Server};

/// Asserts that what was measured, in seconds after the fault, lies within the plan.
#[track_caller]
fn assert_measured(setup: Setup, fault: Fault, side: Side, by: Mechanism, measured: f64) {
    let outcome = setup.plan().row(fault).side(side);
    let Some(finding) = outcome.finding() else { panic!("{fault}: {outcome:?}") };
    assert!(finding.bound.contains(secs(measured)), "{fault}: {measured} s, {finding:?}");
    assert_eq!(finding.by, by, "{fault}: {finding:?}");
}

#[track_caller]
fn assert_never(setup: Setup, fault: Fault, side: Side) {
    let outcome = setup.plan().row(fault).side(side);
    assert!(outcome.is_never(), "{fault} on the {side:?}: {outcome:?}");
}

#[test]
fn a_killed_peer_was_noticed_at_once_with_any_detector() {
    let setups = [none(), default_keepalive(), tuned_keepalive(), user_timeout(), everything()];
    for (setup, side) in setups.into_iter().flat_map(|setup| [(setup, Client), (setup, Server)]) {
        assert_measured(setup, Fault::PeerKilled, side, Mechanism::EndOfStream, 0.0);
        assert_measured(setup, Fault::Close, side, Mechanism::EndOfStream, 0.06);
        assert_measured(setup, Fault::Reset, side, Mechanism::Reset, 0.01);
    }
}

#[test]
fn a_frozen_peer_was_found_by_a_timeout_and_by_nothing_else() {
    for setup in [none(), default_keepalive(), tuned_keepalive(), user_timeout()] {
        assert_never(setup, Fault::PeerFrozen, Client);
        assert_never(setup, Fault::PeerFrozen, Server);
    }
    assert_never(beats_one_way(), Fault::PeerFrozen, Client);
    assert_measured(beats_one_way(), Fault::PeerFrozen, Server, Mechanism::Silence, 2.98);
    for setup in [asking_and_answering(), everything(), beats_both_ways()] {
        assert_measured(setup, Fault::PeerFrozen, Client, Mechanism::Silence, 2.98);
        assert_measured(setup, Fault::PeerFrozen, Server, Mechanism::Silence, 2.98);
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
    let row = beats_one_way().plan().row(Fault::CutToServer);
    let (client, server) = (row.client.finding().unwrap(), row.server.finding().unwrap());
    assert_eq!(client.by, Mechanism::Reset);
    assert_eq!(client.bound.earliest, server.bound.earliest);
    assert_eq!(client.bound.latest, server.bound.latest + ms(100));
    // Keepalive resets too (12.3 s measured on the other end).
    let beating = end(off().interval(secs(1.0)), None, None);
    let probing = end(off(), Some((3, 3, 3)), None);
    let fault = Fault::CutToServer;
    assert_measured(setup(beating, probing), fault, Client, Mechanism::Reset, 12.3);
    // The path is down in the direction of a reset.
    let fault = Fault::CutToClient;
    assert_measured(beats_one_way(), fault, Client, Mechanism::Retransmissions, 939.4);
}

#[test]
fn retransmissions_of_the_other_end_put_keepalive_off() {
    let beating = end(off().interval(secs(1.0)), None, None);
    let probing = end(off(), Some((3, 3, 3)), None);
    let fault = Fault::CutToClient;
    assert_measured(setup(beating, probing), fault, Server, Mechanism::Keepalive, 26.7);
    // A gap as long as this never comes: keepalive starts when the other end has given up.
    let probing = end(off(), Some((7200, 75, 9)), None);
    let row = setup(beating, probing).plan().row(fault);
    let latest = row.server.finding().unwrap().bound.latest;
    assert!(latest > secs(7875.0 + 938.0), "{latest:?}");
}

#[test]
fn a_peer_that_does_not_read_is_found_by_the_user_timeout_alone() {
    let fault = Fault::PeerNotReading;
    for setup in [none(), default_keepalive(), tuned_keepalive(), beats_both_ways()] {
        assert_never(setup, fault, Client);
        assert_never(setup, fault, Server);
    }
    assert_measured(user_timeout(), fault, Client, Mechanism::UserTimeout, 10.4);
    // A server that only answers has nothing to answer if it does not read.
    let row = asking_and_answering().plan().row(fault);
    assert_eq!(row.client.finding().unwrap().by, Mechanism::Silence);
    assert!(row.server.is_never());
}

#[test]
fn a_forgotten_entry_is_found_by_a_reset_or_like_a_drop() {
    let fault = Fault::NatForgotten;
    assert_measured(beats_one_way(), fault, Server, Mechanism::Silence, 2.99);
    assert_measured(asking_and_answering(), fault, Server, Mechanism::Silence, 2.98);
    for setup in [asking_and_answering(), everything()] {
        // The client's next beat was answered with a reset.
        let client = setup.plan().row(fault).client.finding().unwrap();
        assert!(client.bound.contains(secs(0.98)) && client.can_be_by(Mechanism::Reset));
    }
    assert_never(none(), fault, Client);
}

#[test]
fn an_entry_is_not_forgotten_while_beats_or_probes_pass() {
    let with_nat = |end: End, nat_timeout| {
        let setup =
            Setup::builder(end, end).rtt(Duration::ZERO).nat_timeout(Some(secs(nat_timeout)));
        setup.build().unwrap().plan().row(Fault::NatForgotten).client
    };
    let beating = |interval| end(off().interval(secs(interval)), None, None);
    assert!(matches!(with_nat(beating(2.0), 5.0), Outcome::NotLost(NotLost::KeptOpen { .. })));
    assert!(!matches!(with_nat(beating(10.0), 5.0), Outcome::NotLost(_)));
    let probing = end(off(), Some((3, 3, 3)), None);
    assert!(matches!(with_nat(probing, 5.0), Outcome::NotLost(_)));
    // As long is too long, and the beat may come a tick late.
    assert!(!matches!(with_nat(beating(5.0), 5.1), Outcome::NotLost(_)));
    assert!(matches!(with_nat(beating(5.0), 5.101), Outcome::NotLost(_)));
}

#[test]
fn a_pause_of_its_own_is_noticed_when_it_ends_and_costs_nothing() {
    let row = beats_both_ways().plan().row(Fault::OwnPause);
    let finding = row.client.finding().unwrap();
    assert_eq!((finding.by, finding.bound.latest), (Mechanism::PauseWatch, ms(100)));
    let row = none().plan().row(Fault::OwnPause);
    assert_eq!(row.client, Outcome::NotLost(NotLost::NothingDue));
}

#[test]
fn never_comes_with_advice_that_works() {
    let never = |setup: Setup, fault, side| {
        let outcome = setup.plan().row(fault).side(side);
        let Outcome::Never(advice) = outcome else { panic!("{outcome:?}") };
        advice.to_string()
    };
    assert_eq!(
        never(none(), Fault::PeerFrozen, Client),
        "set a timeout on the client, and a beat or an echo on the server"
    );
    let answered =
        setup(end(off().interval(secs(1.0)), None, None), end(off().echo(true), None, None));
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
        let row = setup(client, server).plan().row(Fault::PeerFrozen);
        let printed = preset.policy(Client).bound_after_fault(Duration::ZERO).unwrap();
        assert_eq!(row.client.finding().unwrap().bound, printed);
        assert_eq!(row.server.finding().unwrap().bound, printed);
    }
}

#[test]
fn every_fault_has_one_row_and_a_name_of_its_own() {
    let plan = none().plan();
    assert!(plan.rows().map(|row| row.fault).eq(Fault::ALL));
    for fault in Fault::ALL {
        let same = Fault::ALL.iter().filter(|other| other.name() == fault.name());
        assert_eq!(same.count(), 1, "{}", fault.name());
    }
    for mechanism in Mechanism::ALL {
        let set = Mechanisms::default().with(mechanism);
        assert!(!set.is_empty() && set.iter().eq([mechanism]), "{mechanism}");
    }
}

#[test]
fn impossible_setups_are_refused_with_the_reason() {
    let echoing = end(off().echo(true), None, None);
    let refused = |builder: SetupBuilder| builder.build().unwrap_err();
    assert_eq!(refused(Setup::builder(echoing, echoing)), SetupError::EchoAtBothEnds);
    let quiet = end(off(), None, None);
    let rtt = Setup::MAX_RTT + ms(1);
    let too_far = refused(Setup::builder(quiet, quiet).rtt(rtt));
    assert_eq!(too_far, SetupError::RttTooLong { rtt });
    let timer_slack = Setup::MAX_TICK + ms(1);
    let too_late = refused(Setup::builder(quiet, quiet.timer_slack(timer_slack)));
    assert_eq!(too_late, SetupError::TickTooLong { timer_slack });
    assert!(too_late.to_string().contains("65.535s"), "{too_late}");
}

#[test]
fn on_protocol_v1_a_plan_is_for_what_is_agreed() {
    let [usual, strict] = [Preset::Default, Preset::Fast].map(|p| End::new(p.policy(Client)));
    let agreed = Setup::builder(usual, strict).v1().build().unwrap();
    let client = agreed.end(Client).policy;
    assert_eq!((client.interval(), client.timeout()), (Some(secs(2.5)), Some(secs(30.0))));
    let server = agreed.end(Server).policy;
    assert_eq!((server.interval(), server.timeout()), (Some(secs(2.5)), Some(secs(8.5))));
    assert_eq!(agreed.contract().unwrap().to_server.timeout(), Some(secs(8.5)));
    // The same plan as on v0 for two ends that were told so.
    let told = Setup::builder(End::new(client), End::new(server)).build().unwrap();
    assert_eq!(told.contract(), None);
    for fault in Fault::ALL {
        let [agreed, told] = [agreed, told].map(|setup| setup.plan().row(fault));
        assert_eq!(agreed, told, "{fault}");
    }
    // 92 bytes for a beat where v0 takes 60, and 52 for what acknowledges it.
    let a_day = |interval: u64| 86_400 * 10 / 25 * (interval + 52);
    let [agreed, told] = [agreed, told].map(|setup| setup.traffic().to_server);
    assert_eq!((agreed, told), (a_day(92), a_day(60)));
}

#[test]
fn impossible_setups_on_protocol_v1_are_refused() {
    let echoing = End::new(off().echo(true).timeout(secs(9.0)).build().unwrap());
    let usual = End::new(Preset::Default.policy(Client));
    let refused = Setup::builder(usual, echoing).v1().build();
    assert_eq!(refused, Err(SetupError::EchoOnV1));
    let days = End::new(off().interval(secs(80_000.0)).timeout(secs(200_000.0)).build().unwrap());
    // It beats as often as it is asked to.
    assert!(Setup::builder(days, usual).v1().build().is_ok());
}
