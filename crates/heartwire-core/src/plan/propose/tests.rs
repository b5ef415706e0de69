use std::string::ToString;

use super::*;
use crate::plan::{Fault, Mechanism};
use crate::policy::Side::{Client, Server};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn nine_seconds_take_a_beat_of_under_three() {
    let proposal = propose(&Target::new(secs(9))).unwrap();
    let (client, server) = (proposal.setup.end(Client), proposal.setup.end(Server));
    assert_eq!(
        (client.policy.interval(), client.policy.timeout()),
        (Some(ms(2_800)), Some(ms(7_000)))
    );
    assert_eq!((server.policy.interval(), server.policy.timeout()), (None, Some(ms(7_000))));
    assert!(server.policy.echo() && !client.policy.echo());
    for end in [client, server] {
        assert_eq!(end.kernel.user_timeout(), Some(ms(7_000)));
        assert_eq!(end.kernel.keepalive(), None);
    }
    assert!((ms(8_900)..=secs(9)).contains(&proposal.latest), "{proposal:?}");
    assert_eq!(proposal.setup.traffic().to_server, 3_456_096);
}

#[test]
fn a_peer_that_does_not_read_decides_how_long_detection_takes() {
    let proposal = propose(&Target::new(secs(30))).unwrap();
    let row = proposal.setup.plan().row(Fault::PeerNotReading);
    let finding = row.server.finding().unwrap();
    assert_eq!((finding.by, finding.bound.latest), (Mechanism::UserTimeout, proposal.latest));
}

#[test]
fn a_middlebox_that_forgets_early_shortens_the_beat() {
    let forgetful = Target { nat_timeout: Some(secs(5)), ..Target::new(secs(60)) };
    let proposal = propose(&forgetful).unwrap();
    // It may be a tick and a round trip late, and must be there before the entry is gone.
    assert_eq!(proposal.setup.end(Client).policy.interval(), Some(ms(4_700)));
    assert_eq!(proposal.setup.warnings().count(), 0);
}

#[test]
fn an_impossible_target_is_refused_with_the_reason_and_the_least_one() {
    let target = Target { rtt: Duration::ZERO, ..Target::new(secs(2)) };
    let refusal = propose(&target).unwrap_err();
    let ProposeError::TooShort { least, interval, timeout, .. } = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((interval, timeout), (ms(100), ms(1_100)));
    assert!((ms(2_200)..ms(2_400)).contains(&least), "{least:?}");
    let text = refusal.to_string();
    assert!(text.contains("within 2s") && text.contains("a timeout of 1.1s"), "{text}");

    let forgetful = Target { nat_timeout: Some(ms(250)), ..Target::new(secs(9)) };
    let refusal = propose(&forgetful).unwrap_err();
    assert_eq!(refusal, ProposeError::NatTooShort { interval: ms(100) });
    assert!(refusal.to_string().contains("a beat every 100ms"), "{refusal}");

    let far = Target { rtt: secs(11), ..Target::new(secs(60)) };
    assert_eq!(propose(&far), Err(ProposeError::Setup(SetupError::RttTooLong { rtt: secs(11) })));
}

#[test]
fn the_longest_target_ends_where_settings_do() {
    let proposal = propose(&Target::new(Duration::MAX)).unwrap();
    // The kernel's longest user timeout is 24 days.
    let timeout = proposal.setup.end(Client).policy.timeout().unwrap();
    assert_eq!(timeout, ms(2_147_483_600));
}

#[test]
fn on_protocol_v1_both_ends_beat_and_it_costs_more() {
    let [v0, v1] = [false, true].map(|v1| propose(&Target { v1, ..Target::new(secs(9)) }).unwrap());
    let client = v1.setup.end(Client).policy;
    assert_eq!(client, v1.setup.end(Server).policy);
    assert!(client.interval().is_some() && !client.echo());
    assert!(v1.latest <= secs(9));
    assert!(v1.setup.traffic().total() > v0.setup.traffic().total());
}
