//! What is held for all sessions together.

use core::num::NonZeroU32;
use std::io::Write;

use heartwire::Reason;
use heartwire::kernel::KernelOptions;
use heartwire::server::{CommandError, Event, Wires};

use heartwire_testkit::{Peer, ServerRig, head, wait_until};
use socket2::SockRef;

use super::config;

/// Of a frame of type `DATA`.
fn all_but_a_byte(len: usize) -> Vec<u8> {
    [head(1, i32::try_from(len).unwrap()), vec![0; len - 1]].concat()
}

#[test]
fn frames_that_are_not_whole_are_held_for_few_who_are_not_in() {
    const LEN: usize = 40_000;
    let config = config().wires(Wires::Any).outbound_max(64).pending_held_max(4 * LEN);
    let mut rig = ServerRig::start(config);
    let addr = rig.addr();
    let mut modest = Peer::connect(addr);
    let bytes = all_but_a_byte(100);
    modest.send(&bytes);
    let mut greedy: Vec<Peer> = (0..5).map(|_| Peer::connect(addr)).collect();
    let mut sent = 0;
    // Some of them may be gone before they have sent all.
    for peer in &mut greedy {
        sent += usize::from(peer.stream.write_all(&all_but_a_byte(LEN)).is_ok());
    }
    assert!(sent >= 4);
    wait_until("a client is gone", || rig.stats().held_most != 0);
    // A quarter of the bound is free again, so two had to go: those for which most is held.
    rig.turn();
    let gone = rig.stats().held_most;
    assert!((2..=5).contains(&gone), "{gone} are gone");
    modest.send(&[0]);
    let id = rig.expect_online(&modest);
    rig.expect_data(id, &[0; 100]);
    drop(greedy);
    rig.finish();
}

#[test]
fn of_many_who_do_not_read_those_go_for_whom_most_is_held() {
    let config = config().outbound_max(100_000).held_max(200_000);
    let mut rig = ServerRig::start(config);
    let mut narrow = Vec::new();
    for _ in 0..3 {
        let peer = Peer::connect_narrow(rig.addr());
        rig.expect_online(&peer);
        narrow.push(peer);
    }
    // None of them comes to the end of its own queue.
    while rig.stats().held_most == 0 {
        match rig.handle().broadcast(&[1; 1_000]) {
            Ok(()) | Err(CommandError::Busy) => rig.turn(),
            Err(error) => panic!("{error}"),
        }
    }
    let Event::Offline { reason, .. } = rig.next() else { panic!("somebody had to go") };
    assert_eq!(reason, Reason::HeldMost);
    // All have as much when the first has to go, and a buffer has room for twice of it at once.
    rig.turn();
    let gone = rig.stats().held_most;
    assert!((1..=2).contains(&gone) && rig.stats().slow_reader == 0, "{gone} are gone");
    drop(narrow);
    for _ in 1..3 {
        assert!(matches!(rig.next(), Event::Offline { .. }));
    }
    rig.finish();
}

/// One copy is held at a time, and not one for each.
#[test]
fn a_broadcast_to_those_who_read_holds_little() {
    const LEN: usize = 20_000;
    let mut rig = ServerRig::start(config().outbound_max(2 * LEN).held_max(10 * LEN));
    let mut peers: Vec<Peer> = (0..40).map(|_| rig.connect().0).collect();
    rig.handle().broadcast(&[3; LEN]).unwrap();
    peers.iter_mut().for_each(|peer| peer.expect_data(&[3; LEN]));
    assert_eq!((rig.stats().held_most, rig.handle().count()), (0, 40));
    drop(peers);
    (0..40).for_each(|_| assert!(matches!(rig.next(), Event::Offline { .. })));
    rig.finish();
}

/// The memory of a frame that was long is free when it is over.
#[test]
fn what_was_held_and_is_no_longer_does_not_count() {
    const LEN: usize = 40_000;
    let config = config().outbound_max(64).held_max(2 * LEN);
    let mut rig = ServerRig::start(config);
    let (mut peer, id) = rig.connect();
    for _ in 0..5 {
        peer.send(&all_but_a_byte(LEN));
        rig.turn();
        peer.send(&[0]);
        rig.expect_data(id, &[0; LEN]);
    }
    for _ in 0..5 {
        let (mut peer, id) = rig.connect();
        peer.send(&all_but_a_byte(LEN));
        rig.turn();
        drop(peer);
        assert_eq!(rig.offline(id), Reason::Truncated);
    }
    assert_eq!(rig.stats().held_most, 0);
    drop(peer);
    rig.expect_offline(id);
    rig.finish();
}

/// Nor does that of a client that has ended and takes its time to close.
#[test]
fn what_was_held_for_one_that_has_ended_does_not_count() {
    let config = config().outbound_max(64).held_max(200_000);
    let mut rig = ServerRig::start(config);
    let (mut largest, largest_id) = rig.connect();
    largest.send(&all_but_a_byte(60_000));
    rig.turn();
    let mut kicked = Vec::new();
    for _ in 0..10 {
        let (mut peer, id) = rig.connect();
        peer.send(&all_but_a_byte(30_000));
        rig.turn();
        rig.handle().kick(id).unwrap();
        assert_eq!(rig.offline(id), Reason::Kicked);
        kicked.push(peer);
    }
    largest.send(&[0]);
    rig.expect_data(largest_id, &[0; 60_000]);
    assert_eq!(rig.stats().held_most, 0);
    rig.finish();
}

/// What the kernel holds for one that does not read is as little as was asked for.
#[cfg(target_os = "linux")]
#[test]
fn sockets_have_the_buffers_that_were_asked_for() {
    let kernel = KernelOptions::default().buffers(NonZeroU32::new(8 * 1024));
    let mut rig = ServerRig::start(config().kernel(kernel).outbound_max(10_000));
    let peer = Peer::connect(rig.addr());
    let id = rig.expect_online(&peer);
    peer.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while rig.stats().slow_reader == 0 {
        rig.handle().send(id, &[1; 1_000]).unwrap();
        rig.turn();
        sent += 1_000;
    }
    // A system has 128 KiB or more for what arrives at this end, and the server's end 16 KiB and its queue.
    let arrived = SockRef::from(&peer.stream).recv_buffer_size().unwrap();
    assert!(sent < arrived + 50_000, "{sent} bytes were taken in, {arrived} of them here");
    assert_eq!(rig.offline(id), Reason::SlowReader);
    rig.finish();
}
