use std::string::ToString;

use heartwire_core::{Policy, PolicyBuilder, Preset};

use super::*;
use crate::{End, Setup, Warning};

use Side::{Client, Server};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn bound(earliest: u64, latest: u64) -> Option<Bound> {
    Some(Bound { earliest: ms(earliest), latest: ms(latest) })
}

fn plan(resume: Resume) -> Plan {
    let [client, server] = [Client, Server].map(|side| End::new(Preset::Default.policy(side)));
    Setup::new(client, server).resume(Some(resume)).plan().unwrap()
}

fn of(client: PolicyBuilder, server: PolicyBuilder, resume: Resume) -> Plan {
    let [client, server] = [client, server].map(|policy| End::new(policy.build().unwrap()));
    Setup::new(client, server).resume(Some(resume)).plan().unwrap()
}

#[test]
fn away_is_known_when_the_loss_is() {
    let plan = plan(Resume::new(secs(120)));
    for side in [Client, Server] {
        assert_eq!(plan.away(Loss::Reset, side), bound(0, 200));
        let silent = plan.outcome(Fault::FirewallDrop, side).finding().unwrap().bound;
        assert_eq!(plan.away(Loss::Unnoticed, side), Some(silent));
        assert_eq!((silent.earliest, silent.latest), (ms(19_800), ms(30_200)));
    }
    // It looks within a second, and asks the kernel twice at most, after 3 s each; 3.5 s measured.
    assert_eq!(plan.away(Loss::NewAddress, Client), bound(3_000, 7_100));
    assert_eq!(plan.away(Loss::NewAddress, Server), bound(19_800, 30_200));
}

#[test]
fn a_timeout_that_is_shorter_notices_a_new_address_first() {
    let fast = Policy::builder().interval(secs(1)).timeout(secs(3));
    let plan = of(fast, fast, Resume::new(secs(120)));
    assert_eq!(plan.away(Loss::NewAddress, Client), plan.away(Loss::Unnoticed, Client));
    assert!(plan.away(Loss::NewAddress, Client).unwrap().latest < ms(3_300));
}

#[test]
fn given_up_is_a_grace_after_away() {
    let plan = plan(Resume::new(secs(120)));
    assert_eq!(plan.given_up(Loss::Reset, Server), bound(120_000, 120_300));
    assert_eq!(plan.given_up(Loss::Unnoticed, Client), bound(139_800, 150_300));
}

#[test]
fn back_takes_the_spread_and_three_round_trips() {
    let setup = |rtt| {
        let [client, server] = [Client, Server]
            .map(|side| End::new(Preset::Default.policy(side)).timer_slack(Duration::ZERO));
        let setup = Setup::new(client, server).rtt(rtt).resume(Some(Resume::new(secs(120))));
        setup.plan().unwrap()
    };
    assert_eq!(setup(Duration::ZERO).back(Loss::Reset), Some(ms(100)));
    // One round trip for the reset, and three for the handshakes.
    assert_eq!(setup(ms(50)).back(Loss::Reset), Some(ms(300)));
    let unnoticed = setup(Duration::ZERO).away(Loss::Unnoticed, Client).unwrap();
    assert_eq!(setup(Duration::ZERO).back(Loss::Unnoticed), Some(unnoticed.latest + ms(100)));
}

#[test]
fn all_are_back_as_fast_as_the_server_accepts_them() {
    let back = |sessions, drain| plan(Resume::new(secs(120)).sessions(sessions).drain(drain));
    // The longest wait, a round trip of 100 ms three times, and a timer.
    assert_eq!(back(0, secs(5)).all_back(), Some(ms(10_400)));
    assert_eq!(back(26_920, secs(5)).all_back(), Some(ms(20_400)));
    assert_eq!(back(26_920, secs(60)).all_back(), Some(ms(70_400)));
}

#[test]
fn without_a_grace_or_on_v0_no_session_outlives_its_connection() {
    let end = End::new(Preset::Default.policy(Client));
    let resume = Some(Resume::new(secs(120)));
    let plain = Setup::new(end, end).plan().unwrap();
    let v0 = Setup::new(end, end).resume(resume).v0().plan().unwrap();
    for plan in [plain, v0] {
        assert_eq!(plan.resume(), None);
        assert_eq!((plan.away(Loss::Reset, Server), plan.back(Loss::Reset)), (None, None));
        assert_eq!((plan.given_up(Loss::Reset, Server), plan.all_back()), (None, None));
    }
    let resumable = Setup::new(end, end).resume(resume).plan().unwrap();
    // Each beat has 16 bytes more.
    let [less, more] = [plain, resumable].map(|plan| plan.traffic());
    assert_eq!((less.beat_len, more.beat_len), (92, 108));
    let beats_a_day = 86_400_u64.div_ceil(10) * 8 / 7;
    assert_eq!((more.to_server - less.to_server) / 16, beats_a_day + 1);
}

/// The names of all warnings about this plan.
fn warned(plan: &Plan) -> std::vec::Vec<&'static str> {
    plan.warnings().map(|warning| warning.name()).collect()
}

#[test]
fn a_grace_has_to_last_until_the_client_is_back() {
    // The server may know 19.8 s after the loss, and the client is back after 30.7 s.
    let few = |grace| Resume::new(grace).sessions(0);
    assert_eq!(warned(&plan(few(ms(10_899)))), ["grace_too_short"]);
    assert_eq!(warned(&plan(few(ms(10_900)))), [""; 0]);
    let warning = plan(few(ms(10_899))).warnings().next().unwrap();
    assert!(warning.to_string().contains("a grace of at least 10.9s"), "{warning}");
    // A client that is told of nothing needs more.
    let (slow, fast) = (secs(60), secs(3));
    let slow = Policy::builder().interval(secs(10)).timeout(slow);
    let fast = Policy::builder().interval(secs(1)).timeout(fast);
    let first = of(slow, fast, few(secs(1))).warnings().next();
    let Some(Warning::GraceTooShort { least, .. }) = first else { panic!("{first:?}") };
    assert!(least > secs(50), "{least:?}");
}

#[test]
fn a_grace_has_to_last_until_the_next_attempt_and_until_a_crowd_is_back() {
    let fast = Policy::builder().interval(secs(1)).timeout(secs(3));
    let warned_of =
        |grace, sessions| warned(&of(fast, fast, Resume::new(grace).sessions(sessions)));
    assert_eq!(warned_of(ms(10_399), 0), ["grace_below_return"]);
    assert_eq!(warned_of(ms(10_400), 0), [""; 0]);
    assert_eq!(warned_of(secs(40), 100_000), ["grace_below_return"]);
    assert_eq!(warned_of(secs(120), 100_000), [""; 0]);
}

#[test]
fn every_loss_has_a_name_of_its_own() {
    for loss in Loss::ALL {
        let same = Loss::ALL.iter().filter(|other| other.name() == loss.name());
        assert_eq!(same.count(), 1, "{loss}");
    }
}
