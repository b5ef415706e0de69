//! One session for each name, the newest, on whatever shards they are.

use heartwire::Reason;
use heartwire::client::ConnectError;
use heartwire::server::{Acceptor, Event, ServerConfig, SharedTokens, Tokens};
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

#[test]
fn names_of_others_are_not_touched_and_a_name_is_free_again_after_its_session() {
    let mut rig = ServerRig::start(two_shards());
    let (_b, _) = Peer::welcomed(rig.addr(), &hello_as("b", None));
    rig.online();
    for _ in 0..10 {
        let (peer, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
        let (id, _) = rig.online();
        drop(peer);
        assert!(matches!(rig.offline(id), Reason::ClosedByPeer | Reason::Reset));
    }
    assert_eq!(rig.handle().list().len(), 1);
    rig.finish();
}

#[test]
fn of_three_claimants_the_last_gets_the_name() {
    let hold = Gate::default();
    let held = hold.clone();
    let mut rig = ServerRig::acting(config(), move |event, _| {
        if matches!(event, Event::Offline { reason: Reason::TakenOver, .. }) {
            held.pass();
        }
    });
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
fn a_claimant_that_leaves_while_it_waits_leaves_the_name_free() {
    for resets in [false, true] {
        let hold = Gate::default();
        let held = hold.clone();
        let mut rig = ServerRig::acting(two_shards(), move |event, _| {
            if matches!(event, Event::Offline { reason: Reason::TakenOver, .. }) {
                held.pass();
            }
        });
        let (_first, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
        let (id, _) = rig.online();
        let mut leaving = Peer::connect(rig.addr());
        leaving.send(&hello_as("a", None));
        assert_eq!(rig.offline(id), Reason::TakenOver);
        if resets {
            leaving.reset();
        } else {
            drop(leaving);
        }
        pass(ms(50));
        hold.open();
        let (mut next, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
        loop {
            match rig.next() {
                Event::Online { peer, .. } if peer == next.addr() => break,
                Event::Online { .. } | Event::Offline { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        next.data(b"in");
        assert!(matches!(rig.next(), Event::Data { .. }));
        rig.finish();
    }
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
    let client = ClientRig::start(client_config(rig.addr()).name("prize"));
    client.connecting();
    match client.failed() {
        ConnectError::TurnedAway { code: ByeCode::Fighting, .. } => {}
        other => panic!("{other}"),
    }
    assert!(client.waiting() > ms(50_000));
    rig.expect_nothing();
    let mut holder = peers.pop().unwrap();
    holder.data(b"mine");
    assert_eq!(rig.data(last.unwrap()), b"mine");
    let (_other, _) = Peer::welcomed(rig.addr(), &hello_as("another", None));
    rig.online();
    client.close();
    rig.finish();
}

#[test]
fn a_name_is_nobody_elses_who_has_another_token() {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n").unwrap();
    let mut rig = ServerRig::start(two_shards().tokens(SharedTokens::new(tokens)));
    let a = Some(&b"aaaaaaaaaaaaaaaaaaaa"[..]);
    let b = Some(&b"bbbbbbbbbbbbbbbbbbbb"[..]);
    let (mut holder, _) = Peer::welcomed(rig.addr(), &hello_as("a", a));
    let (id, _) = rig.online();
    let mut other = Peer::connect(rig.addr());
    other.send(&hello_as("a", b));
    let (code, retry, _) = other.expect_bye();
    assert_eq!((code, retry), (ByeCode::NameInUse, Retry::Never));
    holder.data(b"mine");
    assert_eq!(rig.data(id), b"mine");
    // Its own newer session takes over.
    let (_newer, _) = Peer::welcomed(rig.addr(), &hello_as("a", a));
    assert_eq!(rig.offline(id), Reason::TakenOver);
    rig.online();
    rig.finish();
}

#[test]
fn a_client_with_a_name_that_is_too_long_does_not_come_in_without_it() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()).name("n".repeat(256)));
    client.connecting();
    match client.failed() {
        ConnectError::TurnedAway { code: ByeCode::Protocol, retry: Retry::Never, .. } => {}
        other => panic!("{other}"),
    }
    client.closed();
    rig.expect_nothing();
    rig.finish();
}

#[test]
fn a_name_that_nobody_may_have_is_refused_for_good() {
    let mut rig = ServerRig::start(config());
    for name in ["", "a ", "a\nb", "\u{202e}", "a\0"] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&hello_as(name, None));
        let (code, retry, detail) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Protocol, Retry::Never), "{name:?}");
        assert!(!detail.contains(['\n', '\0']), "{detail:?}");
    }
    rig.expect_nothing();
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
    for _ in 0..3 {
        let mut rig = ServerRig::start(config());
        for _ in 0..3 {
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
        let hold = Gate::default();
        let held = hold.clone();
        let config = two_shards().tokens(tokens.clone());
        let mut rig = ServerRig::acting(config, move |event, _| {
            if matches!(event, Event::Data { .. }) {
                held.pass();
            }
        });
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
