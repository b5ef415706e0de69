//! Those that wait for a name whose older session does not end: its shard stands still.

use std::time::Instant;

use heartwire::server::{Acceptor, Event, ServerConfig, SessionId};
use heartwire::v1::{ByeCode, Retry};
use heartwire::{Caps, Reason};
use heartwire_testkit::{Gate, Got, Peer, ServerRig, hello, hello_as, ms};

use super::config;

/// Clients in turn on the first and the second shard, of which the second stands still from its first
/// data on until it is released. The first one accepts for both.
struct Held {
    rig: ServerRig,
    hold: Gate,
    /// Who has the name.
    holder: SessionId,
    _peers: [Peer; 2],
}

impl Held {
    #[track_caller]
    fn start(config: ServerConfig) -> Self {
        let hold = Gate::default();
        let held = hold.clone();
        let config = config.shards(2).acceptor(Acceptor::HandOver);
        let mut rig = ServerRig::acting(config, move |event, _| {
            if matches!(event, Event::Data { .. }) {
                held.pass();
            }
        });
        let (first, _) = Peer::welcomed(rig.addr(), &hello());
        rig.online();
        let (mut second, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
        let (holder, _) = rig.online();
        second.data(b"stand still");
        rig.data(holder);
        Self { rig, hold, holder, _peers: [first, second] }
    }

    /// A client that waits for the name, on the shard that runs.
    #[track_caller]
    fn waiting(&self) -> Peer {
        let mut peer = Peer::connect(self.rig.addr());
        let hellos = self.rig.handle().stats().hellos;
        peer.send(&hello_as("a", None));
        // A list would wait for the other shard.
        while self.rig.handle().stats().hellos == hellos {
            std::thread::yield_now();
        }
        peer
    }
}

#[test]
fn who_waits_for_a_name_makes_room_for_those_that_come_later_and_is_told() {
    // One for each shard.
    let mut held = Held::start(config().pending_max(2));
    let mut waiting = held.waiting();
    // This one is handed to the shard that stands still, the next one is not.
    let _handed_over = Peer::connect(held.rig.addr());
    let mut next = Peer::connect(held.rig.addr());
    let (code, retry, detail) = waiting.expect_bye();
    assert_eq!((code, retry), (ByeCode::Full, Retry::AtWill), "{detail}");
    next.send(&hello());
    next.expect_welcome();
    held.rig.online();
    assert_eq!(held.rig.handle().stats().turned_away_full, 1);

    // The name is not lost: the older session ends all the same, and then anybody can have it.
    held.hold.open();
    assert_eq!(held.rig.offline(held.holder), Reason::TakenOver);
    let (_newest, _) = Peer::welcomed(held.rig.addr(), &hello_as("a", None));
    held.rig.online();
    held.rig.finish();
}

#[test]
fn who_waits_for_a_name_at_the_end_of_the_server_is_told() {
    let held = Held::start(config().drain(ms(1_700)));
    let mut waiting = held.waiting();
    held.rig.handle().shut_down();
    // While the other shard stands still, so that it cannot have been welcomed before.
    match waiting.next() {
        Got::Bye(ByeCode::Draining, Retry::Within { earliest, latest }, _) => {
            assert_eq!((earliest, latest), (ms(0), ms(1_700)));
        }
        other => panic!("{other:?}"),
    }
    held.hold.open();
    held.rig.join();
}

#[test]
fn who_waits_too_long_for_a_name_is_told_and_may_come_again() {
    let caps = Caps::default().first_frame(Some(ms(1_500)));
    let mut held = Held::start(config().caps(caps));
    let started = Instant::now();
    let mut waiting = held.waiting();
    let (code, retry, detail) = waiting.expect_bye();
    assert!(started.elapsed() >= ms(1_500), "early: {:?}", started.elapsed());
    assert_eq!((code, retry), (ByeCode::NameInUse, Retry::AtWill));
    assert!(detail.contains("older session"), "{detail}");
    // The holder ends after all.
    held.hold.open();
    assert_eq!(held.rig.offline(held.holder), Reason::TakenOver);
}
