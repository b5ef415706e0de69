//! One session for each name, the newest, on whatever shards they are.

use heartwire::Reason;
use heartwire::server::{Acceptor, Control, Event, ServerConfig, SharedTokens, Tokens};
use heartwire::v1::{ByeCode, Retry};
use heartwire_testkit::{ClientRig, Gate, Got, Peer, ServerRig, client_config, hello_as, ms, pass};

use super::config;

/// Clients in turn on one and the other.
fn two_shards() -> ServerConfig {
    config().shards(2).acceptor(Acceptor::HandOver)
}

#[test]
fn the_newest_wins_and_the_older_one_ends_for_good() {
    let mut rig = ServerRig::start(two_shards());
    let first = ClientRig::start(client_config(rig.addr()).name("a"));
    let epoch = first.online().epoch;
    let (id, _) = rig.online();
    let second = ClientRig::start(client_config(rig.addr()).name("a"));
    let welcome = second.online();
    assert!(welcome.epoch > epoch);
    // The rig holds the order: offline first, then online.
    assert_eq!(rig.offline(id), Reason::TakenOver);
    let (newer, agreed) = rig.online();
    assert_eq!((newer.as_u64(), agreed.unwrap().epoch), (welcome.session, welcome.epoch));
    assert_eq!(first.offline(), Reason::Bye(ByeCode::TakenOver));
    first.closed();
    assert_ne!(id, newer);
    assert_eq!(rig.stats().taken_over, 1);
    rig.expect_nothing();
    second.close();
}

/// A server that stands still when it has told such an event, until the gate is open.
fn held(config: ServerConfig, at: fn(&Event<&[u8]>) -> bool) -> (ServerRig, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let act = move |event: &Event<&[u8]>, _: &mut Control<'_>| {
        if at(event) {
            held.pass();
        }
    };
    (ServerRig::acting(config, act), gate)
}

#[test]
fn of_three_claimants_the_last_gets_the_name() {
    let (mut rig, hold) =
        held(config(), |e| matches!(e, Event::Offline { reason: Reason::TakenOver, .. }));
    let (mut first, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
    let (id, _) = rig.online();
    let mut claimants: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = Peer::connect(rig.addr());
            peer.send(&hello_as("a", None));
            // They come in this order.
            pass(ms(50));
            peer
        })
        .collect();
    assert_eq!(first.expect_bye().0, ByeCode::TakenOver);
    assert_eq!(rig.offline(id), Reason::TakenOver);
    hold.open();
    let mut last = claimants.pop().unwrap();
    let welcome = last.expect_welcome();
    for mut peer in claimants {
        let mut got = peer.next_but_beats();
        // It may have been in for a moment, when the server was held up.
        if matches!(got, Got::Welcome(_)) {
            got = peer.next_but_beats();
        }
        assert!(matches!(got, Got::Bye(ByeCode::TakenOver, Retry::Never, _)), "{got:?}");
    }
    loop {
        match rig.next() {
            Event::Online { id, .. } if id.as_u64() == welcome.session => break,
            Event::Online { .. } | Event::Offline { reason: Reason::TakenOver, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    rig.finish();
}

#[test]
fn a_fight_is_noticed_named_and_slowed_down() {
    let mut rig = ServerRig::start(two_shards());
    let mut peers = Vec::new();
    let mut last = None;
    let turned_away = loop {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&hello_as("prize", None));
        match peer.next_but_beats() {
            Got::Welcome(_) => {
                if let Some(last) = last {
                    assert_eq!(rig.offline(last), Reason::TakenOver);
                }
                last = Some(rig.online().0);
                peers.push(peer);
            }
            Got::Bye(code, retry, detail) => break (code, retry, detail),
            other => panic!("{other:?}"),
        }
        assert!(peers.len() < 20, "nobody notices");
    };
    // Five takeovers in a minute are put down to a bad path.
    assert_eq!(peers.len(), 6);
    let (code, retry, detail) = turned_away;
    assert_eq!(code, ByeCode::Fighting);
    match retry {
        Retry::Within { earliest, latest } => {
            assert!(earliest > ms(50_000) && latest + ms(1) >= earliest * 2, "{retry:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!detail.is_empty());
    match rig.next() {
        Event::Fighting { name, .. } => assert_eq!(&*name, "prize"),
        other => panic!("{other:?}"),
    }
    // Said once; the holder is left alone, and so are other names.
    let mut late = Peer::connect(rig.addr());
    late.send(&hello_as("prize", None));
    assert_eq!(late.expect_bye().0, ByeCode::Fighting);
    rig.expect_nothing();
    let mut holder = peers.pop().unwrap();
    holder.data(b"mine");
    assert_eq!(rig.data(last.unwrap()), b"mine");
    let (_other, _) = Peer::welcomed(rig.addr(), &hello_as("another", None));
    rig.online();
    rig.finish();
}

/// Clients that come and go on all shards under few names, in any order: the rig checks each event.
#[test]
fn many_sessions_under_few_names_are_heard_of_in_order() {
    let mut rig = ServerRig::start(two_shards().shards(3));
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
    assert_eq!(rig.handle().list().len(), 0);
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

/// Nobody is refused because of a session whose client has closed, though its shard has not come to read that.
#[test]
fn whoever_would_be_refused_has_the_name_if_its_holder_is_gone() {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n").unwrap();
    let tokens = SharedTokens::new(tokens);
    let (a, b) = (Some(&b"aaaaaaaaaaaaaaaaaaaa"[..]), Some(&b"bbbbbbbbbbbbbbbbbbbb"[..]));
    for (token, code) in [(a, ByeCode::Fighting), (b, ByeCode::NameInUse)] {
        let config = two_shards().tokens(tokens.clone());
        let (mut rig, hold) = held(config, |event| matches!(event, Event::Data { .. }));
        // The sixth of them is on the second shard, and has taken the name over for the fifth time.
        let (mut holder, _) = Peer::welcomed(rig.addr(), &hello_as("a", a));
        let (mut holder_id, _) = rig.online();
        for _ in 0..5 {
            (holder, _) = Peer::welcomed(rig.addr(), &hello_as("a", a));
            assert_eq!(rig.offline(holder_id), Reason::TakenOver);
            (holder_id, _) = rig.online();
        }
        let mut refused = Peer::connect(rig.addr());
        refused.send(&hello_as("a", token));
        assert_eq!(refused.expect_bye().0, code);
        if code == ByeCode::Fighting {
            assert!(matches!(rig.next(), Event::Fighting { .. }));
        }
        // The second shard stands still, and its client closes.
        let (mut other, _) = Peer::welcomed(rig.addr(), &hello_as("other", a));
        let (other_id, _) = rig.online();
        other.data(b"stand still");
        rig.data(other_id);
        drop(holder);
        // Without a list, which would wait for the second shard.
        let hellos = rig.handle().stats().hellos;
        let mut newcomer = Peer::connect(rig.addr());
        newcomer.send(&hello_as("a", token));
        while rig.handle().stats().hellos == hellos {
            pass(ms(1));
        }
        hold.open();
        newcomer.expect_welcome();
        assert!(matches!(rig.offline(holder_id), Reason::ClosedByPeer | Reason::Reset));
        rig.online();
        rig.finish();
    }
}
