//! Slow applications, and clients that do not read: no verdicts, and bounded memory.

use core::num::NonZeroU32;

use heartwire::Reason;
use heartwire::kernel::KernelOptions;
use heartwire::server::limits::Limits;
use heartwire_testkit::{Peer, ServerRig, ms, pass, timeout};
use socket2::SockRef;

use super::config;

/// What it has not taken lies in the channel and in the kernel, for two timeouts.
#[test]
fn a_slow_application_is_no_death_and_loses_nothing() {
    let mut rig = ServerRig::start(config().policy(timeout(2_000)));
    let (mut peer, id) = rig.connect();
    // Twice as many as may wait.
    let frames = 2 * 1024_u32;
    (0..frames).for_each(|number| peer.data(&number.to_le_bytes()));
    let beating = peer.beat_every(ms(40));
    pass(ms(4_500));
    (0..frames).for_each(|number| rig.expect_data(id, &number.to_le_bytes()));
    drop(beating.stop());
    assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    rig.finish();
}

#[test]
fn a_slow_reader_is_closed_and_the_others_get_everything() {
    const PARTS: u32 = 400;
    let mut rig = ServerRig::start(config().limits(Limits::default().max_queue(128 * 1024)));
    let slow = Peer::connect_narrow(rig.addr());
    let slow_id = rig.expect_online(&slow);
    let (mut peer, _) = rig.connect();
    for number in 0..PARTS {
        let body = [number.to_le_bytes().to_vec(), vec![1; 32 * 1024]].concat();
        rig.handle().broadcast(&body).unwrap();
        peer.expect_data(&body);
    }
    assert_eq!(rig.offline(slow_id), Reason::SlowReader);
    assert_eq!((rig.count("slow_reader"), rig.handle().count()), (1, 1));
    drop(slow);
    rig.finish();
}

#[test]
fn queued_messages_arrive_when_a_blocked_client_reads_again() {
    let mut rig = ServerRig::start(config().limits(Limits::default().max_queue(16 << 20)));
    let mut peer = Peer::connect_narrow(rig.addr());
    let id = rig.expect_online(&peer);
    for number in 0..200_u8 {
        rig.handle().send(id, &[number; 60_000]).unwrap();
    }
    rig.turn();
    assert!(rig.info(id).queued > 0, "the sockets took everything");
    for number in 0..200_u8 {
        peer.expect_data(&[number; 60_000]);
    }
    assert_eq!(rig.info(id).queued, 0);
    rig.handle().send(id, b"and after it").unwrap();
    peer.expect_data(b"and after it");
    rig.finish();
}

/// What the kernel holds for one that does not read is as little as was asked for.
#[cfg(target_os = "linux")]
#[test]
fn sockets_have_the_buffers_that_were_asked_for() {
    let kernel = KernelOptions::default().buffers(NonZeroU32::new(8 * 1024));
    let mut rig =
        ServerRig::start(config().kernel(kernel).limits(Limits::default().max_queue(10_000)));
    let peer = Peer::connect(rig.addr());
    let id = rig.expect_online(&peer);
    peer.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while rig.count("slow_reader") == 0 {
        rig.handle().send(id, &[1; 1_000]).unwrap();
        rig.turn();
        sent += 1_000;
    }
    // This end's kernel buffers 128 KiB or more, and the server's end 16 KiB and its queue.
    let arrived = SockRef::from(&peer.stream).recv_buffer_size().unwrap();
    assert!(sent < arrived + 50_000, "{sent} bytes were sent, {arrived} of them arrived");
    assert_eq!(rig.offline(id), Reason::SlowReader);
    rig.finish();
}
