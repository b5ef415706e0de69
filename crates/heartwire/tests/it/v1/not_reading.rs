//! Clients that read nothing for a while, and then all that has waited for them.

use heartwire::server::{Control, Event};
use heartwire_testkit::{Gate, Got, Peer, ServerRig, hello, ms, pass};

use super::config;

/// More than the kernel takes from a server whose client does not read.
const FRAMES: usize = 512;
static FRAME: [u8; 64 * 1024] = [7; 64 * 1024];

/// A server that answers data with `FRAMES` frames, all at once.
fn lavish() -> ServerRig {
    let config = config().outbound_max(2 * FRAMES * FRAME.len());
    ServerRig::acting(config, |event: &Event<&[u8]>, control: &mut Control<'_>| {
        if let Event::Data { id, .. } = event {
            (0..FRAMES).for_each(|_| control.send(*id, &FRAME).unwrap());
        }
    })
}

/// How many beats come among the frames that waited. It reads slowly, so that beats fall due meanwhile.
#[track_caller]
fn read_frames(peer: &mut Peer) -> usize {
    let (mut frames, mut beats) = (0, 0);
    while frames < FRAMES {
        if frames % 128 == 0 {
            pass(ms(200));
        }
        match peer.next() {
            Got::Data(body) => {
                assert_eq!(body, FRAME);
                frames += 1;
            }
            Got::Beat(_) => beats += 1,
            other => panic!("neither data nor a beat: {other:?}"),
        }
    }
    beats
}

/// And the beat that had to wait is not the last one for as long as the server's own limit, a
/// minute, as it would be if its timer were not set for the next.
#[test]
fn a_beat_does_not_wait_behind_data_that_was_queued_before_it_and_others_follow() {
    let mut rig = lavish();
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    // The one that comes with every WELCOME.
    assert!(matches!(peer.next(), Got::Beat(_)));
    peer.data(b"everything, please");
    rig.data(id);
    assert!(read_frames(&mut peer) > 0, "all beats came behind the data");
    for _ in 0..5 {
        assert!(matches!(peer.next(), Got::Beat(_)));
    }
}

/// The poller tells of a socket that takes bytes again. A broadcast must not find it out before, or the beat
/// that waits for this waits on.
#[test]
fn a_beat_that_waits_for_the_socket_is_sent_though_a_broadcast_comes_first() {
    let holds = [Gate::default(), Gate::default()];
    let [first, second] = holds.clone();
    let mut rig = ServerRig::acting(config().outbound_max(64 << 20), move |event, _| match event {
        Event::Data { data: b"first", .. } => first.pass(),
        Event::Data { data: b"second", .. } => second.pass(),
        _ => {}
    });
    let [first, second] = holds;
    let (mut slow, _) = Peer::welcomed(rig.addr(), &hello());
    let (slow_id, _) = rig.online();
    let mut sent = 0;
    while rig.info(slow_id).queued == 0 {
        rig.handle().send(slow_id, &FRAME).unwrap();
        sent += 1;
        // It is written at the end of a turn.
        let _ = rig.stats();
    }
    // Its beat falls due, and waits.
    pass(ms(300));
    let queued = rig.info(slow_id).queued;
    let (mut other, _) = Peer::welcomed(rig.addr(), &hello());
    let (other_id, _) = rig.online();
    other.data(b"first");
    rig.data(other_id);
    // The next turn of the shard has two things to do, and is held up between them.
    other.data(b"second");
    rig.handle().broadcast(b"to all").unwrap();
    first.open();
    rig.data(other_id);
    let in_the_kernel = sent - queued.div_ceil(FRAME.len());
    let mut frames = 0;
    while frames < in_the_kernel {
        frames += usize::from(matches!(slow.next(), Got::Data(_)));
    }
    second.open();
    while slow.next() != Got::Data(b"to all".to_vec()) {}
    assert!(matches!(slow.next(), Got::Beat(_)));
}
