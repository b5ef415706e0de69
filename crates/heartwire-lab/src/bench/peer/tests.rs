use super::*;

fn timeouts(wanted: Duration) -> [u128; 6] {
    Peer::ALL.map(|peer| peer.timeout(wanted).as_millis())
}

#[test]
fn timeouts_of_all_are_the_ledgers() {
    assert_eq!(timeouts(Duration::from_secs(15)), [15_000; 6]);
}

#[test]
fn timeouts_are_as_near_as_each_permits() {
    let near = [1_500, 2_499, 3_000, 2_500, 2_500, 2_500];
    assert_eq!(timeouts(Duration::from_millis(2_500)), near);
    assert_eq!(timeouts(Duration::from_millis(1)), [1_500, 3, 1_000, 1, 1, 1]);
}

#[test]
fn rules_name_what_is_set() {
    let rule = |peer: Peer| peer.rule(Duration::from_secs(15));
    assert!(rule(Peer::Mosquitto).contains("keep-alive of 10 s"));
    assert!(rule(Peer::Nats).contains("after 15s to 20s"));
    assert!(rule(Peer::Ws).contains("after 15s to 30s"));
}
