//! What each end knows of both directions, from beats alone. How exact that is, and when it judges,
//! the simulator holds.

use std::time::Instant;

use heartwire_testkit::{ClientRig, PATIENCE, Proxy, ServerRig, Way, client_config, ms, pass};

use super::config;

#[test]
fn both_ends_are_told_the_round_trip_of_both_ways() {
    let mut rig = ServerRig::start(config().coalesce(4));
    let proxy = Proxy::new(rig.addr(), Way::delayed(ms(30)), Way::delayed(ms(50)));
    let client = ClientRig::start(client_config(proxy.addr));
    client.online();
    let (id, _) = rig.online();
    let started = Instant::now();
    let (mut at_client, mut at_server) = (None, None);
    // One that is nearly right: a busy machine makes some of them longer, and none shorter.
    let is_told = |rtt: Option<_>| rtt.is_some_and(|rtt| rtt < ms(80 + 25));
    while !is_told(at_client) || !is_told(at_server) {
        assert!(started.elapsed() < PATIENCE, "{at_client:?} {at_server:?}");
        pass(ms(50));
        at_client = client.client().link_state().and_then(|path| path.rtt);
        at_server = rig.info(id).link_state.and_then(|path| path.rtt);
        let least = [at_client, at_server].into_iter().flatten().min();
        assert!(least.is_none_or(|least| least >= ms(75)), "{at_client:?} {at_server:?}");
    }
    client.close();
}
