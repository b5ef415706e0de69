//! The sharded server with TLS, over the loopback.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use heartwire::server::{Control, Event, Handler, Resumer, Server, Wires};
use heartwire::tls::TlsFault;
use heartwire::{Caps, Reason};
use heartwire_testkit::{
    Authority, DATA, Gate, HEART, PATIENCE, Peer as Plain, ServerRig, frame, limit, ms, pass,
};

use super::peer::{End, Peer, Rig, secure, write_anyway};

/// What a beat of wire v0 comes to in a record.
const BEAT_RECORD: usize = 8 + 22;

#[test]
fn a_client_is_not_online_before_the_handshake() {
    let mut rig = Rig::start(|config| config);
    let mut peer = rig.begin();
    rig.expect_nothing();
    peer.flush();
    while peer.tls.is_handshaking() {
        peer.read().unwrap();
    }
    // What is still missing is the client's last message.
    rig.expect_nothing();
    assert_eq!(rig.handle().list().len(), 0);
    peer.flush();
    rig.expect_online(&peer);
    rig.finish();
}

#[test]
fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    let mut rig = Rig::start(|config| config.wires(Wires::Any));
    let mut peer = rig.begin();
    while peer.tls.is_handshaking() {
        peer.flush();
        peer.read().unwrap();
    }
    // One write: the end of the handshake, and two frames.
    let bytes = [peer.records(&frame(HEART, &[])), peer.records(&frame(DATA, b"early"))].concat();
    assert!(write_anyway(&mut peer.stream, &bytes));
    let id = rig.expect_online(&peer);
    rig.expect_data(id, b"early");
    rig.finish();
}

#[test]
fn a_goodbye_is_told_from_a_cut() {
    let mut rig = Rig::start(|config| config);
    let (mut peer, id) = rig.secured();
    peer.data(b"last words");
    peer.say_goodbye();
    peer.hang_up();
    rig.expect_data(id, b"last words");
    assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    assert_eq!(peer.end(), End::Goodbye, "it is answered");

    let (mut peer, id) = rig.secured();
    peer.data(b"last words");
    peer.hang_up();
    rig.expect_data(id, b"last words");
    assert_eq!(rig.offline(id), Reason::NoGoodbye);

    let (mut peer, id) = rig.secured();
    let record = peer.records(&frame(DATA, b"half"));
    assert!(write_anyway(&mut peer.stream, &record[..10]));
    peer.hang_up();
    assert_eq!(rig.offline(id), Reason::Truncated);

    // Half a frame, and then a goodbye.
    let (mut peer, id) = rig.secured();
    peer.send(&frame(DATA, b"half")[..9]);
    peer.say_goodbye();
    peer.hang_up();
    assert_eq!(rig.offline(id), Reason::Truncated);
    let stats = rig.stats();
    assert_eq!((stats.closed_by_peer, stats.no_goodbye, stats.truncated), (1, 1, 2));
    rig.finish();
}

#[test]
fn the_server_says_goodbye_after_what_is_queued_or_when_it_ends_a_session() {
    let mut rig = Rig::start(|config| config);
    let (mut kicked, id) = rig.secured();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    assert_eq!(kicked.end(), End::Goodbye);
    let (mut last, id) = rig.secured();
    let long = vec![7; 200_000];
    rig.handle().send(id, &long).unwrap();
    rig.handle().shut_down();
    last.expect_data(&long);
    assert_eq!(last.end(), End::Goodbye);
    rig.finish();
}

#[test]
fn a_client_without_tls_is_told_what_it_has_met() {
    let mut rig = Rig::start(|config| config);
    // The last is more than the server reads before it knows.
    let long = vec![0; 200_000];
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for first in [frame(HEART, &[]), frame(2, b"hello"), http, long] {
        let mut peer = Plain::connect(rig.addr());
        assert!(write_anyway(&mut peer.stream, &first));
        let answer = peer.read_to_end().0;
        assert_eq!(answer[..2], [0x15, 3], "an alert, not {answer:?}");
    }
    rig.wait_for_faults(4);
    // Nobody heard of them.
    rig.expect_nothing();
    rig.finish();
}

/// Writes so many bytes at a time, with a pause of so many milliseconds after each, until all are
/// written or the server takes no more.
fn trickle(peer: &mut Peer, bytes: &[u8], len: usize, pause: u64) {
    for piece in bytes.chunks(len) {
        if !write_anyway(&mut peer.stream, piece) {
            break;
        }
        pass(ms(pause));
    }
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    let mut rig = Rig::start(|config| config.tls_within(ms(2_000)));
    let started = Instant::now();
    let mut silent = Plain::connect(rig.addr());
    let mut half = rig.begin();
    half.flush();
    // A byte now and then does not help.
    let mut slow = rig.begin();
    let hello = slow.records(&[]);
    trickle(&mut slow, &hello, 1, 20);
    assert!(started.elapsed() >= ms(2_000), "never early");
    rig.wait_for_faults(3);
    assert!(silent.read_to_end().0.is_empty());
    // Others are not concerned.
    let (mut peer, id) = rig.secured();
    peer.data(b"hello");
    rig.expect_data(id, b"hello");
    rig.finish();
}

#[test]
fn the_time_for_the_first_frame_begins_after_the_handshake() {
    let caps = Caps::default().first_frame(Some(ms(400)));
    let rig = Rig::start(|config| config.wires(Wires::Any).caps(caps));
    let mut peer = rig.begin();
    pass(ms(300));
    while peer.tls.is_handshaking() {
        peer.flush();
        peer.read().unwrap();
    }
    let secured_at = Instant::now();
    peer.flush();
    peer.end();
    assert!(secured_at.elapsed() >= ms(400), "{:?}", secured_at.elapsed());
    rig.finish();
}

#[test]
fn a_record_has_as_much_time_as_a_frame_and_the_next_one_too() {
    let caps = Caps::default().frame(Some(ms(2_000)));
    let mut rig = Rig::start(|config| config.caps(caps));
    let (mut peer, id) = rig.secured();
    let bytes: Vec<u8> = (0..40).flat_map(|_| peer.records(&frame(HEART, &[]))).collect();
    let started = Instant::now();
    // Each write ends in the middle of a record.
    trickle(&mut peer, &bytes, BEAT_RECORD + 1, 110);
    assert!(started.elapsed() > ms(4_000));
    peer.data(b"still here");
    rig.expect_data(id, b"still here");
    let record = peer.records(&frame(DATA, &[0; 1000]));
    let started = Instant::now();
    trickle(&mut peer, &record, 1, 20);
    assert!(started.elapsed() >= ms(2_000), "never early");
    assert_eq!(rig.offline(id), Reason::Tls(TlsFault::TooSlow));
    rig.finish();
}

#[test]
fn a_part_of_a_record_is_life() {
    let caps = Caps::default().frame(None);
    let mut rig = Rig::start(|config| config.caps(caps).policy(limit(2_000)));
    let (mut peer, id) = rig.secured();
    let record = peer.records(&frame(DATA, b"slowly but surely"));
    trickle(&mut peer, &record, 4, 300);
    rig.expect_data(id, b"slowly but surely");
    rig.finish();
}

/// A peer whose first beat has come, so that its socket has its mark.
#[cfg(target_os = "linux")]
fn with_a_mark(rig: &mut Rig) -> (Peer, heartwire::server::SessionId) {
    let (mut peer, id) = rig.secured();
    peer.data(b"first");
    rig.expect_data(id, b"first");
    rig.turn();
    (peer, id)
}

/// It is shorter than any beat, and nothing follows it: no FIN before it is answered, and no more beats.
#[test]
fn a_goodbye_is_answered_though_beats_may_lie_in_the_kernel() {
    let mut rig = Rig::start(|config| config.coalesce(4));
    assert_eq!(rig.server().receive_mark(), 1);
    for beats in 0..3 {
        let (mut peer, id) = with_a_mark(&mut rig);
        (0..beats).for_each(|_| peer.beat());
        peer.say_goodbye();
        assert_eq!(peer.end(), End::Goodbye);
        drop(peer);
        assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    }
    rig.finish();
}

#[cfg(target_os = "linux")]
#[test]
fn the_rest_of_a_record_that_has_begun_wakes_at_once() {
    let mut rig = Rig::start(|config| config.coalesce(4));
    let (mut peer, id) = with_a_mark(&mut rig);
    for _ in 0..3 {
        let beats: Vec<u8> = (0..4).flat_map(|_| peer.records(&frame(HEART, &[]))).collect();
        let record = peer.records(&frame(DATA, b"?"));
        let (begun, rest) = record.split_at(10);
        assert!(write_anyway(&mut peer.stream, &[&beats[..], begun].concat()));
        assert!(write_anyway(&mut peer.stream, rest));
        rig.expect_data(id, b"?");
    }
    rig.finish();
}

#[test]
fn the_end_of_a_record_goes_out_though_nothing_follows_it() {
    let mut rig = Rig::start(|config| config.outbound_max(8_000_000));
    let (mut peer, id) = rig.secured();
    let body = [7; 16_000];
    let mut sent = 0;
    // The last of them is a record that the socket has not taken whole.
    while rig.handle().list()[0].queued == 0 {
        rig.handle().send(id, &body).unwrap();
        sent += 1;
        // What a turn was told to send is written when it is over.
        rig.turn();
    }
    assert!(sent > 2);
    for _ in 0..sent {
        peer.expect_data(&body);
    }
    rig.finish();
}

/// An owner that is busy for a while after data.
struct Busy {
    events: mpsc::Sender<&'static str>,
    is_busy: Arc<AtomicBool>,
}

impl Handler for Busy {
    fn handle(&mut self, event: Event<&[u8]>, _: &mut Control<'_>) {
        self.is_busy.fetch_or(matches!(event, Event::Data { .. }), Relaxed);
        if let Event::Offline { reason, .. } = event {
            self.events.send(reason.name()).unwrap();
        } else if let Event::Data { .. } = event {
            self.events.send("data").unwrap();
        }
    }

    fn has_room(&mut self, _: &Resumer) -> bool {
        !self.is_busy.load(Relaxed)
    }
}

#[test]
fn an_end_that_waits_for_a_slow_owner_is_no_silence() {
    let (events, told) = mpsc::channel();
    let is_busy = Arc::new(AtomicBool::new(false));
    let authority = Authority::new();
    let config = secure(&authority, |tls| tls).policy(limit(2_000));
    let handler = |_| Busy { events: events.clone(), is_busy: Arc::clone(&is_busy) };
    let server = Server::start(config, handler).unwrap();
    let mut peer = Peer::connect(server.local_addrs()[0], &authority);
    // In one write, so that the end is known when the data is handed over. The socket stays open.
    let bytes = [peer.records(&frame(DATA, b"last words")), peer.goodbye()].concat();
    assert!(write_anyway(&mut peer.stream, &bytes));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("data"));
    pass(ms(2_500));
    is_busy.store(false, Relaxed);
    // Anything that wakes the shard will do.
    drop(server.handle().list());
    assert_eq!(told.recv_timeout(PATIENCE), Ok("closed_by_peer"));
}

#[test]
fn many_clients_at_once_all_get_in_and_take_turns() {
    let gate = Gate::default();
    let held = gate.clone();
    // Data keeps the shard busy until the test says otherwise.
    let act = move |event: &Event<&[u8]>, _: &mut Control<'_>| {
        if let Event::Data { .. } = event {
            held.pass();
        }
    };
    let mut rig = Rig::of(|config| ServerRig::acting(config, act), |tls| tls, |config| config);
    let mut peers: Vec<_> = (0..200).map(|_| rig.begin()).collect();
    let (mut first, id) = rig.secured();
    first.data(b"hold it");
    rig.expect_data(id, b"hold it");
    for peer in &mut peers {
        peer.flush();
    }
    let before = rig.handle().stats().turns;
    gate.open();
    for peer in &mut peers {
        while peer.tls.is_handshaking() {
            peer.read().unwrap();
        }
    }
    let turns = rig.handle().stats().turns - before;
    assert!(turns >= 200 / 32, "{turns} turns");
    for peer in &mut peers {
        peer.flush();
    }
    peers.iter().for_each(|_| drop(rig.online()));
    rig.handle().shut_down();
}
