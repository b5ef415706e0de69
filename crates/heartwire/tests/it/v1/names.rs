//! One session for each name, the newest, on whatever shards they are.

use core::num::NonZero;

use heartwire::client::V1;
use heartwire::server::ServerConfig;
use heartwire::v1::{ByeCode, Hello, Offer};
use heartwire::{Preset, Reason, Side};
use heartwire_testkit::{ClientRig, Peer, ServerRig, client_config, hello_as, ms};

use super::config;

/// Clients in turn on one and the other.
fn two_shards() -> ServerConfig {
    config().threads(2).reuse_port(false)
}

#[test]
fn the_newest_wins_and_the_older_one_ends_for_good() {
    let mut rig = ServerRig::start(two_shards());
    let first = ClientRig::start(client_config(rig.addr()).v1(V1::default().name("a")));
    let epoch = first.online().epoch;
    let (id, _) = rig.online();
    let second = ClientRig::start(client_config(rig.addr()).v1(V1::default().name("a")));
    let welcome = second.online();
    assert!(welcome.epoch > epoch);
    // The rig holds the order: offline first, then online.
    assert_eq!(rig.offline(id), Reason::TakenOver);
    let (newer, agreed) = rig.online();
    assert_eq!((newer.as_u64(), agreed.unwrap().epoch), (welcome.session, welcome.epoch));
    assert_eq!(first.offline(), Reason::Bye(ByeCode::TakenOver));
    first.closed();
    assert_ne!(id, newer);
    assert_eq!(rig.count("taken_over"), 1);
    rig.expect_nothing();
    second.close();
}

/// A path that cuts the client's end of each connection, and leaves the server's open.
#[test]
fn a_client_that_comes_again_and_again_is_welcomed_each_time_and_two_that_fight_are_not() {
    let rig = ServerRig::start(two_shards());
    let mut hello = Hello::new(Offer::new(&Preset::Default.policy(Side::Client)));
    (hello.name, hello.instance) = (Some("a"), NonZero::new(7));
    let mut cut_off = Vec::new();
    for _ in 0..20 {
        cut_off.push(Peer::welcomed(rig.addr(), &hello.encode()).0);
    }
    for n in 0..5 {
        hello.instance = NonZero::new(100 + n);
        cut_off.push(Peer::welcomed(rig.addr(), &hello.encode()).0);
    }
    hello.instance = NonZero::new(7);
    let mut older = Peer::connect(rig.addr());
    older.send(&hello.encode());
    assert_eq!(older.expect_bye().0, ByeCode::Fighting);
}

/// Clients that come and go on all shards under few names, in any order: the rig checks each event.
#[test]
fn many_sessions_under_few_names_are_heard_of_in_order() {
    let mut rig = ServerRig::start(two_shards().threads(3));
    let addr = rig.addr();
    let threads: Vec<_> = (0..6_u64)
        .map(|thread| {
            std::thread::spawn(move || {
                for round in 0..40_u64 {
                    // New names all the time, or there would be a fight.
                    let name = format!("name-{}", round / 2);
                    let mut peer = Peer::connect(addr);
                    peer.send(&hello_as(&name, None));
                    match (thread + round) % 3 {
                        0 => drop(peer),
                        1 => peer.reset(),
                        _ => {
                            let _ = peer.next_but_beats();
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    while rig.next_within(ms(1500)).is_some() {}
    assert_eq!(rig.handle().blocking_list().len(), 0);
    assert_eq!(rig.handle().count(), 0);
    rig.finish();
}

#[test]
fn epochs_grow_from_one_run_of_a_server_to_the_next() {
    let mut last = 0;
    for _ in 0..2 {
        let mut rig = ServerRig::start(config());
        for _ in 0..2 {
            let (peer, welcome) = Peer::welcomed(rig.addr(), &hello_as("a", None));
            let (id, _) = rig.online();
            assert!(welcome.epoch > last, "{} after {last}", welcome.epoch);
            last = welcome.epoch;
            drop(peer);
            rig.offline(id);
        }
        rig.finish();
    }
    // A number that every reader of JSON holds exactly.
    assert!(last < 1 << 53);
}
