//! Crowds of clients that are not in, and what those who are notice of them: nothing.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

use heartwire::server::{AddressCaps, Event, Refusal, ServerConfig, SharedTokens, Tokens, Wires};
use heartwire::{Caps, Policy, Reason};
use heartwire_testkit::{
    ClientRig, Got, Peer, ServerRig, client_config, frame, hello, hello_as, ms, pass, policy,
    wait_until,
};

use super::config;

const TOKEN: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";
const SILENT: usize = 2000;
const PENDING_MAX: usize = 400;

fn judging() -> Policy {
    policy(100, 2500)
}

/// A server with tokens, and clients that judge and are judged.
fn with_clients(clients: usize) -> (ServerRig, Vec<ClientRig>) {
    let tokens = SharedTokens::new(Tokens::parse("aaaaaaaaaaaaaaaaaaaa\n").unwrap());
    let addresses = AddressCaps::default().arrivals(None).all_arrivals(None);
    let config = config()
        .policy(judging())
        .tokens(tokens)
        .pending_max(PENDING_MAX)
        // Nobody goes because of this within the test's time.
        .caps(Caps::default().first_frame(Some(ms(60_000))))
        .addresses(addresses);
    let mut rig = ServerRig::start(config);
    let clients = (0..clients)
        .map(|_| {
            let config = client_config(rig.addr()).policy(judging()).token(TOKEN);
            let client = ClientRig::start(config);
            client.online();
            rig.online();
            client
        })
        .collect();
    (rig, clients)
}

#[track_caller]
fn expect_nobody_noticed(rig: &mut ServerRig, clients: &[ClientRig]) {
    rig.expect_nothing();
    for client in clients {
        client.expect_quiet(ms(0));
    }
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out_and_kills_nobody() {
    let (mut rig, clients) = with_clients(4);
    let addr = rig.addr();
    let mut silent = Vec::new();
    for n in 0..SILENT {
        silent.push(Peer::connect(addr));
        if n % 100 == 0 {
            // Whoever has a token gets in all the while.
            let (peer, _) = Peer::welcomed(addr, &hello_as("newcomer", Some(TOKEN)));
            let (id, _) = rig.online();
            drop(peer);
            assert!(matches!(rig.offline(id), Reason::ClosedByPeer | Reason::Reset));
        }
    }
    // The oldest have gone again.
    wait_until("the oldest have gone", || rig.handle().count() <= PENDING_MAX + clients.len());
    assert_eq!(rig.handle().list().len(), clients.len());
    pass(ms(2600));
    expect_nobody_noticed(&mut rig, &clients);
    assert_eq!(rig.stats().dead, 0);
    for client in clients {
        client.close();
    }
}

#[test]
fn silent_ones_have_no_place_that_a_newcomer_wants() {
    const MOST: u64 = 10;
    let mut rig = ServerRig::start(config().sessions_max(10));
    let addr = rig.addr();
    let mut silent: Vec<Peer> = (0..MOST).map(|_| Peer::connect(addr)).collect();
    wait_until("all are accepted", || rig.stats().accepted >= MOST);
    // More than a second, which anybody may take to say something.
    pass(ms(1500));
    let mut online = Vec::new();
    for _ in 0..MOST {
        let (peer, _) = Peer::welcomed(addr, &hello());
        online.push((peer, rig.online()));
    }
    // Whoever has not said that it speaks v1 may hear beats of v0.
    let ends = |peer: &mut Peer| loop {
        match peer.next() {
            Got::Closed | Got::Reset => break,
            got => assert_eq!(got, Got::Heart),
        }
    };
    silent.iter_mut().for_each(ends);
    // Those who are in have no place for anybody.
    ends(&mut Peer::connect(addr));
    assert_eq!((rig.stats().turned_away_full, rig.stats().refused), (MOST, 1));
    assert!(matches!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit }));
    rig.finish();
}

#[test]
fn as_many_wait_by_default_as_leave_room_for_others() {
    let most = |config: ServerConfig| config.pending_max_in_force();
    let tokens = || SharedTokens::new(Tokens::parse("aaaaaaaaaaaaaaaaaaaa\n").unwrap());
    assert_eq!(most(config().sessions_max(100)), 100);
    assert_eq!(most(config().sessions_max(100).wires(Wires::V1)), 50);
    assert_eq!(most(config().sessions_max(100).tokens(tokens())), 50);
    assert_eq!(most(config().sessions_max(100).tokens(tokens()).pending_max(70)), 70);
    assert_eq!(most(config().sessions_max(1).wires(Wires::V1).shards(3)), 3);
    assert!(most(config().sessions_max(1_000_000).wires(Wires::V1)) <= ServerConfig::PENDING_MAX);
}

#[test]
fn a_flood_of_handshakes_kills_nobody() {
    let (mut rig, clients) = with_clients(4);
    let addr = rig.addr();
    let stop = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let flood: Vec<_> = (0..4_u8)
        .map(|thread| {
            let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
            std::thread::spawn(move || {
                let wrong = [
                    hello_as("eve", Some(b"bbbbbbbbbbbbbbbbbbbb")),
                    frame(2, &[0xff; 200]),
                    frame(1, b"data"),
                    hello_as("eve", None),
                ];
                while !stop.load(Ordering::Relaxed) {
                    let mut peer = Peer::connect(addr);
                    peer.send(&wrong[usize::from(thread)]);
                    match peer.next() {
                        Got::Bye(..) | Got::Closed | Got::Reset => {}
                        other => panic!("{other:?}"),
                    }
                    refused.fetch_add(1, Ordering::Relaxed);
                    // About a thousand a second, from all four.
                    pass(ms(3));
                }
            })
        })
        .collect();
    pass(ms(3000));
    let (_peer, _) = Peer::welcomed(addr, &hello_as("bob", Some(TOKEN)));
    let (id, _) = rig.online();
    stop.store(true, Ordering::Relaxed);
    for thread in flood {
        thread.join().unwrap();
    }
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 100, "only {refused} handshakes");
    // This one beats no more.
    assert!(matches!(rig.offline(id), Reason::Dead(_)));
    expect_nobody_noticed(&mut rig, &clients);
    assert_eq!(rig.handle().count(), clients.len());
    for client in clients {
        client.close();
    }
}

/// What waits in a socket is the kernel's, and nothing is queued for somebody who is not in.
#[test]
fn whoever_writes_without_a_pause_and_says_no_hello_is_gone_at_the_first_head() {
    let (mut rig, clients) = with_clients(1);
    for bytes in [vec![0; 1 << 20], vec![0x41; 1 << 20], frame(5, &vec![0; 60_000])] {
        let mut peer = Peer::connect(rig.addr());
        wait_until("it is read no more", || peer.try_send(&bytes).is_err());
    }
    expect_nobody_noticed(&mut rig, &clients);
    for client in clients {
        client.close();
    }
}
