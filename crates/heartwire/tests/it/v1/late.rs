//! Nobody is served who has left, or has waited for so long that it is about to.

use core::time::Duration;
use std::time::Instant;

use heartwire::server::{Control, Event, ServerConfig};
use heartwire::v1::{ByeCode, Retry};
use heartwire::{Caps, Policy, Reason};
use heartwire_testkit::{Gate, Got, HEART, Peer, ServerRig, frame, hello, hello_as, ms, pass};

use super::config;

const STALE_AFTER: Duration = ms(2000);
/// Longer than that.
const LONG: Duration = ms(2400);

/// A server whose only shard stands still, in its handler, from the first data on until it is released.
fn held(config: ServerConfig) -> (ServerRig, Gate) {
    let hold = Gate::default();
    let wait = hold.clone();
    let act = move |event: &Event<&[u8]>, _: &mut Control<'_>| {
        if matches!(event, Event::Data { .. }) {
            wait.pass();
        }
    };
    (ServerRig::acting(config, act), hold)
}

/// The client that makes it do so, and its epoch.
#[track_caller]
fn stand_still(rig: &mut ServerRig) -> (Peer, u64) {
    let (mut holder, _) = Peer::welcomed(rig.addr(), &hello_as("holder", None));
    let (id, agreed) = rig.online();
    holder.data(b"stand still");
    rig.data(id);
    (holder, agreed.unwrap().epoch)
}

fn soon() -> ServerConfig {
    config().stale_after(STALE_AFTER)
}

#[test]
fn whoever_has_said_hello_and_left_is_heard_of_by_nobody_and_not_welcome() {
    let (mut rig, hold) = held(soon());
    let (_holder, epoch) = stand_still(&mut rig);
    let (mut dropped, mut reset) = (Peer::connect(rig.addr()), Peer::connect(rig.addr()));
    dropped.send(&hello());
    reset.send(&hello());
    drop(dropped);
    reset.reset();
    // One that has closed its half is gone too: nobody can be kept alive on the other one alone.
    let mut half = Peer::connect(rig.addr());
    half.send(&hello_as("half", None));
    half.half_close();
    // Nor was its name claimed, which would have cost an epoch.
    let mut fresh = Peer::connect(rig.addr());
    fresh.send(&hello_as("half", None));
    hold.open();
    half.expect_end();
    fresh.expect_welcome();
    let (_, agreed) = rig.online();
    let agreed = agreed.unwrap();
    assert_eq!((agreed.name.as_deref(), agreed.epoch), (Some("half"), epoch + 1));
    rig.expect_nothing();
    let stats = rig.stats();
    assert_eq!((stats.closed_by_peer + stats.reset, stats.turned_away), (3, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hello_that_has_waited_too_long_is_turned_away_and_a_fresh_one_is_not() {
    /// More of them than are accepted in a turn.
    const CROWD: u64 = 300;
    let (mut rig, hold) = held(soon());
    // One that was accepted long before, and those that the kernel has.
    let mut old = vec![Peer::connect(rig.addr())];
    let _holder = stand_still(&mut rig);
    old.extend((1..CROWD).map(|_| Peer::connect(rig.addr())));
    old.iter_mut().for_each(|peer| peer.send(&hello()));
    pass(LONG);
    let mut fresh = Peer::connect(rig.addr());
    fresh.send(&hello_as("fresh", None));
    hold.open();
    for peer in &mut old {
        let (code, retry, detail) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Full, Retry::AtWill));
        assert!(detail.contains("too late"), "{detail}");
    }
    fresh.expect_welcome();
    let (_, agreed) = rig.online();
    assert_eq!(agreed.unwrap().name.as_deref(), Some("fresh"));
    rig.expect_nothing();
    assert_eq!(rig.stats().turned_away, CROWD);
}

#[test]
fn whoever_speaks_v0_is_taken_in_however_long_it_has_waited() {
    let (mut rig, hold) = held(soon());
    let mut holder = Peer::connect(rig.addr());
    holder.data(b"stand still");
    let (id, _) = rig.online();
    rig.data(id);
    let mut patient = Peer::connect(rig.addr());
    patient.send(&frame(HEART, b""));
    pass(LONG);
    hold.open();
    let (_, agreed) = rig.online();
    assert!(agreed.is_none());
    assert_eq!(patient.next(), Got::Heart);
    assert_eq!(rig.stats().turned_away, 0);
}

/// What counts is how long the HELLO has been here, not how long it took.
#[test]
fn a_client_whose_hello_came_slowly_is_served() {
    let caps = Caps::default().first_frame(Some(ms(60_000)));
    let (mut rig, hold) = held(soon().caps(caps));
    let (mut silent, mut slow) = (Peer::connect(rig.addr()), Peer::connect(rig.addr()));
    let hello = hello();
    let (beginning, rest) = hello.split_at(20);
    slow.send(beginning);
    let _holder = stand_still(&mut rig);
    pass(LONG);
    // The server is behind, but these have just come.
    silent.send(&hello);
    slow.send(rest);
    hold.open();
    silent.expect_welcome();
    slow.expect_welcome();
    rig.online();
    rig.online();
    assert_eq!(rig.stats().turned_away, 0);
}

#[test]
fn a_server_can_be_told_to_serve_everybody() {
    let (mut rig, hold) = held(config().stale_after(Duration::MAX));
    let _holder = stand_still(&mut rig);
    let mut late = Peer::connect(rig.addr());
    late.send(&hello());
    pass(LONG);
    hold.open();
    late.expect_welcome();
    let (late_id, _) = rig.online();
    drop(late);
    assert!(matches!(rig.offline(late_id), Reason::ClosedByPeer | Reason::Reset));
}

/// The shard waits for no deadline meanwhile, so that nothing tells it that it was held up.
#[cfg(target_os = "linux")]
#[test]
fn what_came_while_the_shard_was_held_up_counts_from_when_it_came() {
    let judges = Policy::builder().limit(ms(60_000)).build().unwrap();
    let (mut rig, hold) = held(config().policy(judges).coalesce(0));
    let [(mut first, first_id), (mut second, second_id)] = [(), ()].map(|()| {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&frame(HEART, &[]));
        (peer, rig.online().0)
    });
    first.data(b"stand still");
    rig.data(first_id);
    second.send(&frame(HEART, &[]));
    let sent_at = Instant::now();
    pass(ms(300));
    let held_up = sent_at.elapsed();
    hold.open();
    let silence = rig.info(second_id).silence;
    // The kernel tells it in jiffies: three, and a millisecond.
    assert!(silence + ms(31) >= held_up, "{silence:?} after {held_up:?}");
}
