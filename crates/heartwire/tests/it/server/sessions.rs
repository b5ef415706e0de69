//! Who is online: each client once, under a name of its own.

use std::collections::{HashMap, HashSet};
use std::thread;

use heartwire::Reason;
use heartwire::server::{Acceptor, Event, SessionId};
use heartwire_testkit::{Peer, ServerRig, data};

use super::config;

/// The shard in an id, as its text shows it.
fn shard(id: SessionId) -> String {
    id.to_string().split('-').next().unwrap().to_owned()
}

fn each_client_is_online_once_and_offline_once(acceptor: Acceptor) {
    const CLIENTS: usize = 300;
    let mut rig = ServerRig::start(config().shards(3).acceptor(acceptor));
    let addr = rig.addr();
    let clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(addr)).collect();
    let mut expected: HashSet<_> = clients.iter().map(Peer::addr).collect();
    let mut ids = HashSet::new();
    for _ in 0..CLIENTS {
        let Event::Online { id, peer, .. } = rig.next() else {
            panic!("only clients that connect")
        };
        assert!(expected.remove(&peer), "{peer} is online twice");
        ids.insert(id);
    }
    assert_eq!((ids.len(), rig.handle().count(), rig.handle().list().len()), (300, 300, 300));
    drop(clients);
    for _ in 0..CLIENTS {
        let Event::Offline { id, reason: Reason::ClosedByPeer, .. } = rig.next() else {
            panic!("only clients that close");
        };
        assert!(ids.remove(&id), "{id:?} is offline twice");
    }
    assert_eq!((rig.handle().count(), rig.handle().list().len()), (0, 0));
    assert_eq!((rig.stats().accepted, rig.stats().closed_by_peer), (300, 300));
    rig.finish();
}

#[test]
fn each_client_is_online_once_and_offline_once_where_each_shard_accepts() {
    each_client_is_online_once_and_offline_once(Acceptor::PerShard);
}

#[test]
fn each_client_is_online_once_and_offline_once_where_one_shard_hands_over() {
    each_client_is_online_once_and_offline_once(Acceptor::HandOver);
}

#[test]
fn one_shard_hands_clients_to_all_shards_in_turn() {
    let mut rig = ServerRig::start(config().shards(3).acceptor(Acceptor::HandOver));
    let clients: Vec<_> = (0..6).map(|_| rig.connect()).collect();
    let shards: Vec<String> = clients.iter().map(|(_, id)| shard(*id)).collect();
    assert_eq!(shards, ["0", "1", "2", "0", "1", "2"]);
    rig.finish();
}

#[test]
fn the_kernel_spreads_clients_over_shards_that_accept_for_themselves() {
    let mut rig = ServerRig::start(config().shards(2).acceptor(Acceptor::PerShard));
    let clients: Vec<_> = (0..64).map(|_| rig.connect()).collect();
    let shards: HashSet<String> = clients.iter().map(|(_, id)| shard(*id)).collect();
    // It would take bad luck of 1 in 2^63 to find one of them.
    assert_eq!(shards.len(), 2);
    rig.finish();
}

#[test]
fn a_slot_is_used_again_and_an_id_never() {
    let mut rig = ServerRig::start(config());
    let mut slots = HashSet::new();
    for use_of_slot in 0..1_000 {
        let (peer, id) = rig.connect();
        slots.insert(id.to_string().split('-').nth(1).unwrap().to_owned());
        assert_eq!(id.to_string(), format!("0-0-{use_of_slot}"));
        drop(peer);
        // The rig fails on an id that was seen before.
        assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    }
    assert_eq!(slots.len(), 1);
    rig.finish();
}

#[test]
fn the_events_of_a_session_come_in_order_however_many_there_are() {
    const CLIENTS: usize = 12;
    const FRAMES: u32 = 200;
    let mut rig = ServerRig::start(config().shards(3));
    let addr = rig.addr();
    let clients = (0..CLIENTS).map(|_| {
        thread::spawn(move || {
            let mut peer = Peer::connect(addr);
            (0..FRAMES).for_each(|number| peer.send(&data(&number.to_le_bytes())));
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut next = HashMap::new();
    let mut offline = 0;
    while offline < CLIENTS {
        match rig.next() {
            Event::Online { id, .. } => assert_eq!(next.insert(id, 0), None),
            Event::Data { id, data } => {
                let next = next.get_mut(&id).unwrap();
                assert_eq!(data, u32::to_le_bytes(*next));
                *next += 1;
            }
            Event::Offline { id, reason, .. } => {
                assert_eq!((next[&id], reason), (FRAMES, Reason::ClosedByPeer));
                offline += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    rig.finish();
}
