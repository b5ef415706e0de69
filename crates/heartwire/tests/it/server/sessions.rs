//! Who is online: each client once, under a name of its own, on one of the shards.

use std::collections::HashSet;

use heartwire::Reason;
use heartwire::server::{Event, SessionId};
use heartwire_testkit::{Peer, ServerRig};

use super::config;

/// The shard in an id, as its text shows it.
fn shard(id: SessionId) -> String {
    id.to_string().split('-').next().unwrap().to_owned()
}

#[test]
fn each_client_is_online_once_and_offline_once() {
    const CLIENTS: usize = 300;
    for reuse_port in [true, false] {
        let mut rig = ServerRig::start(config().threads(3).reuse_port(reuse_port));
        let addr = rig.addr();
        let clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(addr)).collect();
        let mut expected: HashSet<_> = clients.iter().map(Peer::addr).collect();
        let mut ids = HashSet::new();
        for _ in 0..CLIENTS {
            let Event::Online { id, peer, .. } = rig.next() else { panic!("only newcomers") };
            assert!(expected.remove(&peer), "{peer} is online twice");
            ids.insert(id);
        }
        let count = |rig: &ServerRig| (rig.handle().count(), rig.handle().blocking_list().len());
        assert_eq!((ids.len(), count(&rig)), (CLIENTS, (CLIENTS, CLIENTS)));
        drop(clients);
        // The rig knows each of them.
        for _ in 0..CLIENTS {
            let event = rig.next();
            assert!(matches!(event, Event::Offline { reason: Reason::ClosedByPeer, .. }));
        }
        assert_eq!(count(&rig), (0, 0));
        assert_eq!((rig.count("accepted"), rig.count("closed_by_peer")), (300, 300));
        rig.finish();
    }
}

#[test]
fn acceptors_hand_clients_to_all_shards_in_turn_or_let_the_kernel_spread_them() {
    let shards = |reuse_port, shards, clients| -> Vec<String> {
        let mut rig = ServerRig::start(config().threads(shards).reuse_port(reuse_port));
        let clients: Vec<_> = (0..clients).map(|_| rig.connect()).collect();
        rig.finish();
        clients.iter().map(|(_, id)| shard(*id)).collect()
    };
    assert_eq!(shards(false, 3, 6), ["0", "1", "2", "0", "1", "2"]);
    // It would take bad luck of 1 in 2^63 to find one of them.
    let spread: HashSet<String> = shards(true, 2, 64).into_iter().collect();
    assert_eq!(spread.len(), 2);
}
