use std::string::ToString;

use heartwire_core::Side::{Client, Server};

use super::*;
use crate::{Fault, Mechanism};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn nine_seconds_take_a_beat_of_under_three_from_both_ends() {
    let plan = Target::new(secs(9)).propose().unwrap();
    assert!(plan.is_v1());
    for end in [plan.end(Client), plan.end(Server)] {
        assert_eq!(end.policy.interval(), Some(ms(2_800)));
        assert_eq!(end.policy.timeout(), Some(ms(7_000)));
        assert!(!end.policy.echo());
        assert_eq!(end.kernel.user_timeout(), Some(ms(7_000)));
        assert_eq!(end.kernel.keepalive(), None);
    }
    assert!((Some(ms(8_900))..=Some(secs(9))).contains(&plan.latest()), "{plan:?}");
}

#[test]
fn on_protocol_v0_the_server_answers_and_it_costs_less() {
    let [v0, v1] =
        [Target::new(secs(9)).v0(), Target::new(secs(9))].map(|it| it.propose().unwrap());
    assert!(!v0.is_v1());
    let [client, server] = [v0.end(Client), v0.end(Server)];
    assert_eq!(client, v1.end(Client));
    assert!(server.policy.echo() && server.policy.interval().is_none());
    assert_eq!(server.policy.timeout(), Some(ms(7_000)));
    assert!((Some(ms(8_900))..=Some(secs(9))).contains(&v0.latest()), "{v0:?}");
    let [v0, v1] = [v0.traffic(), v1.traffic()];
    assert_eq!((v0.to_server, v1.to_server), (30_858 * 112, 35_266 * (92 + 52)));
    assert!(v0.to_client < v1.to_client);
}

#[test]
fn a_peer_that_does_not_read_decides_how_long_detection_takes() {
    let plan = Target::new(secs(30)).propose().unwrap();
    let finding = plan.outcome(Fault::PeerNotReading, Server).finding().unwrap();
    assert_eq!(finding.by, Mechanism::UserTimeout);
    assert_eq!(Some(finding.bound.latest), plan.latest());
}

#[test]
fn a_middlebox_that_forgets_early_shortens_the_beat() {
    let plan = Target::new(secs(60)).nat_timeout(Some(secs(5))).propose().unwrap();
    // It may be a tick and a round trip late, and must be there before the entry is gone.
    assert_eq!(plan.end(Client).policy.interval(), Some(ms(4_700)));
    assert_eq!(plan.warnings().count(), 0);
}

#[test]
fn an_impossible_target_is_refused_with_the_reason_and_the_least_one() {
    let refusal = Target::new(secs(2)).rtt(Duration::ZERO).propose().unwrap_err();
    let PlanError::TargetTooShort { least, interval, timeout, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((interval, timeout), (ms(100), ms(1_100)));
    assert!((ms(2_200)..ms(2_400)).contains(&least), "{least:?}");
    let text = refusal.to_string();
    assert!(text.contains("within 2s") && text.contains("a timeout of 1.1s"), "{text}");

    let refusal = Target::new(secs(9)).nat_timeout(Some(ms(250))).propose().unwrap_err();
    assert_eq!(refusal, PlanError::NatTooShort { interval: ms(100) });
    assert!(refusal.to_string().contains("a beat every 100ms"), "{refusal}");

    let far = Target::new(secs(60)).rtt(secs(11)).propose();
    assert_eq!(far, Err(PlanError::RttTooLong { rtt: secs(11) }));
}

#[test]
fn the_longest_target_ends_where_settings_do() {
    let plan = Target::new(Duration::MAX).v0().propose().unwrap();
    // The kernel's longest user timeout is 24 days.
    assert_eq!(plan.end(Client).policy.timeout(), Some(ms(2_147_483_600)));
}
