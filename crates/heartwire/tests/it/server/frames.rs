//! What the application gets of what clients send.

use std::sync::{Arc, Mutex};
use std::thread;

use heartwire::Reason;
use heartwire::server::Event;
use heartwire::server::limits::Limits;
use heartwire_testkit::{HEART, ServerRig, data, header};

use super::config;

#[test]
fn beats_are_counted_and_are_no_events() {
    let mut rig = ServerRig::start(config());
    let (mut peer, id) = rig.connect();
    (0..5).for_each(|_| peer.beat());
    peer.send(&header(HEART, 0).repeat(7));
    peer.data(b"mark");
    rig.expect_data(id, b"mark");
    let list = rig.handle().blocking_list();
    let [info] = &list[..] else { panic!("one session") };
    assert_eq!((info.id, info.peer, info.beats, info.queued), (id, peer.addr(), 12, 0));
    peer.beat();
    drop(peer);
    assert_eq!(rig.expect_offline(id).beats, 13);
    rig.finish();
}

#[test]
fn a_body_may_be_empty_and_as_long_as_allowed() {
    const MOST: u32 = 300_000;
    let mut rig = ServerRig::start(config().limits(Limits::default().max_frame(MOST)));
    let (mut peer, id) = rig.connect();
    for len in [0, 1, 65_527, 65_528, 65_529, 65_536, 299_999, usize::try_from(MOST).unwrap()] {
        let body: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        peer.data(&body);
        rig.expect_data(id, &body);
    }
    rig.finish();
}

#[test]
fn a_handler_may_be_a_closure_and_runs_on_its_shards_thread() {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&threads);
    let mut rig = ServerRig::acting(config(), move |event, control| {
        let name = thread::current().name().unwrap_or_default().to_owned();
        seen.lock().unwrap().push(name);
        if let Event::Data { id, data } = event {
            let answer: Vec<u8> = data.iter().rev().copied().collect();
            control.send(*id, &answer).unwrap();
            assert_eq!(control.count(), 1);
            // Its handle may go to another thread.
            let (handle, id) = (control.handle(), *id);
            thread::spawn(move || handle.send(id, b"from another thread").unwrap());
        }
    });
    let (mut peer, id) = rig.connect();
    peer.data(b"abc");
    rig.expect_data(id, b"abc");
    peer.expect_data(b"cba");
    peer.expect_data(b"from another thread");
    drop(peer);
    assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    rig.finish();
    assert_eq!(*threads.lock().unwrap(), ["heartwire-0"; 3]);
}

#[test]
fn a_mebibyte_of_the_smallest_data_frames_arrives_frame_by_frame() {
    const FRAMES: usize = 131_072;
    let mut rig = ServerRig::start(config());
    let (mut peer, id) = rig.connect();
    let writing = thread::spawn(move || {
        peer.send(&data(b"").repeat(FRAMES));
        peer
    });
    for _ in 0..FRAMES {
        rig.expect_data(id, b"");
    }
    drop(writing.join().unwrap());
    assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    rig.finish();
}
