//! One client cannot take the server away from the others.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::Write;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use heartwire::server::{AddressCaps, Event};
use heartwire::{Policy, Reason};
use heartwire_testkit::{End, HEART, Peer, ServerRig, data, echo, head, limit, ms};

use super::config;

/// A client that writes the same bytes as fast as it can, and reads nothing.
struct Flood {
    flooding: Arc<AtomicBool>,
    thread: JoinHandle<(Peer, u64)>,
}

impl Flood {
    fn start(mut peer: Peer, bytes: Vec<u8>) -> Self {
        let flooding = Arc::new(AtomicBool::new(true));
        let going_on = Arc::clone(&flooding);
        peer.stream.set_write_timeout(Some(ms(50))).unwrap();
        let thread = thread::spawn(move || {
            let mut len = 0;
            while going_on.load(Ordering::Relaxed) {
                // A timeout: the server takes no more for now.
                len += peer.stream.write(&bytes).unwrap_or(0);
            }
            (peer, u64::try_from(len).unwrap())
        });
        Self { flooding, thread }
    }

    fn stop(self) -> (Peer, u64) {
        self.flooding.store(false, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Each of many echoes comes, and most of them soon.
#[track_caller]
fn expect_soon(mut echo: impl FnMut()) {
    let started = Instant::now();
    let mut took = Vec::new();
    while took.len() < 20 || started.elapsed() < ms(1_000) {
        let asked = Instant::now();
        echo();
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    // upper bound: what is usual, not the worst. Behind a flood that is never read to its end, none comes.
    assert!(took[took.len() / 2] < ms(500), "an echo took {took:?}");
}

/// A turn reads for 20 ms, and then it is the turn of deadlines and newcomers, however much is there.
#[test]
fn a_newcomer_does_not_wait_until_everything_is_read() {
    const BUSY: usize = 40;
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let mut rig = ServerRig::acting(config(), move |event, _| {
        if let Event::Data { data: b"wait", .. } = event {
            while !gone.load(Ordering::Relaxed) {
                thread::sleep(ms(1));
            }
        } else if let Event::Data { .. } = event {
            thread::sleep(ms(5));
        }
    });
    let (mut first, _) = rig.connect();
    let mut busy: Vec<Peer> = (0..BUSY).map(|_| rig.connect().0).collect();
    first.send(&data(b"wait"));
    assert!(matches!(rig.next(), Event::Data { .. }));
    busy.iter_mut().for_each(|peer| peer.send(&data(b"work")));
    let _newcomer = Peer::connect(rig.addr());
    go.store(true, Ordering::Relaxed);
    let mut before = 0;
    while let Event::Data { .. } = rig.next() {
        before += 1;
    }
    assert!(before < BUSY / 2, "{before} of {BUSY} came before the newcomer");
    (before..BUSY).for_each(|_| assert!(matches!(rig.next(), Event::Data { .. })));
    rig.finish();
}

#[test]
fn a_flood_of_beats_delays_neither_echoes_nor_verdicts() {
    let mut rig = ServerRig::echo(config().policy(limit(2_000)));
    let (flooder, flooder_id) = rig.connect();
    let (mut peer, id) = rig.connect();
    let flood = Flood::start(flooder, head(HEART, 0).repeat(8_192));
    expect_soon(|| rig.expect_echo(&mut peer, id));
    let silent_since = Instant::now();
    peer.data(b"the last");
    rig.expect_data(id, b"the last");
    rig.expect_verdict(id, 2_000, silent_since);
    let (flooder, len) = flood.stop();
    drop(flooder);
    let offline = rig.expect_offline(flooder_id);
    assert!(offline.beats > 10_000, "it was no flood: {} beats", offline.beats);
    // Reset, if echoes were on their way: there are none, so every beat was counted.
    assert!(matches!(offline.reason, Reason::ClosedByPeer | Reason::Truncated));
    assert_eq!(u64::from(offline.beats), len / 8);
    rig.finish();
}

#[test]
fn a_flood_of_beats_that_asks_for_answers_it_does_not_read_takes_no_memory() {
    let policy = Policy::builder().limit(ms(60_000)).echo(true).build().unwrap();
    let mut rig = ServerRig::echo(config().policy(policy));
    let (mut peer, id) = rig.connect();
    let flooder = Peer::connect_narrow(rig.addr());
    let flooder_id = rig.expect_online(&flooder);
    let flood = Flood::start(flooder, head(HEART, 0).repeat(1_024));
    expect_soon(|| rig.expect_echo(&mut peer, id));
    let list = rig.handle().list();
    let info = list.iter().find(|info| info.id == flooder_id).unwrap();
    // The answers that a read can ask for, as often as a turn reads, in front of a full socket.
    assert!(info.queued <= 64 * 8 * 16, "{info:?}");
    let (mut flooder, len) = flood.stop();
    let beats_sent = len / 8;
    assert!(u64::from(info.beats) > 10_000, "{info:?}");
    // The answers it was owed are there, and never more than it asked for.
    flooder.half_close();
    let offline = rig.expect_offline(flooder_id);
    assert_eq!(u64::from(offline.beats), beats_sent);
    let (answers, _) = flooder.read_to_end();
    assert!(answers.iter().all(|&byte| byte == 0));
    assert!(!answers.is_empty() && u64::try_from(answers.len() / 8).unwrap() <= beats_sent);
    rig.finish();
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

#[test]
fn clients_that_come_and_go_as_fast_as_they_can_delay_nobody() {
    let addresses = AddressCaps::default().arrivals(None).all_arrivals(None);
    let mut rig = ServerRig::acting(config().addresses(addresses), echo);
    let (mut peer, id) = rig.connect();
    let addr = rig.addr();
    let flooding = Arc::new(AtomicBool::new(true));
    let going_on = Arc::clone(&flooding);
    let flood = thread::spawn(move || {
        let mut clients = 0;
        while going_on.load(Ordering::Relaxed) {
            // Without a TIME_WAIT to clutter the system's table.
            Peer::connect(addr).reset();
            clients += 1;
        }
        clients
    });
    let (mut online, mut offline) = (0, 0);
    let mut count = |event| match event {
        Event::Online { .. } => online += 1,
        Event::Offline { reason: Reason::Reset, .. } => offline += 1,
        event => panic!("{event:?}"),
    };
    expect_soon(|| {
        peer.data(b"?");
        loop {
            match rig.next() {
                Event::Data { id: of, .. } if of == id => break,
                event => count(event),
            }
        }
        peer.expect_data(b"?");
    });
    flooding.store(false, Ordering::Relaxed);
    let clients: u64 = flood.join().unwrap();
    while rig.handle().stats().reset < clients {
        count(rig.next());
    }
    // The last event may still be on its way.
    rig.handle().shut_down();
    assert_eq!(peer.expect_end(), End::Closed);
    assert_eq!((rig.handle().stats().accepted, rig.handle().stats().reset), (clients + 1, clients));
    drop(rig);
}
