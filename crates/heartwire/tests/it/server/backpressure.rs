//! Slow owners, and clients that do not read. Neither is a death, and neither costs without bound.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use heartwire::server::{
    ChannelHandler, CommandError, Control, EVENTS_MAX, Event, Handler, Resumer, Server,
    ServerConfig, SessionId, Wires, channel,
};
use heartwire::{Caps, Reason};
use heartwire_testkit::{
    DATA, Got, PATIENCE, Peer, ServerRig, data, head, limit, ms, pass, policy, wait_until,
};

use super::config;

/// The owner takes nothing for several limits. Its slowness is not the clients': not their silence,
/// and not the time for their frames, the first one or another.
#[test]
fn a_slow_owner_is_no_death_and_no_breach_and_loses_nothing() {
    const LIMIT: u64 = 3_000;
    let caps = Caps::default().first_frame(Some(ms(LIMIT))).frame(Some(ms(LIMIT)));
    let mut rig = ServerRig::start(config().policy(limit(LIMIT)).caps(caps));
    let (mut partial, partial_id) = rig.connect();
    partial.data(b"");
    rig.expect_data(partial_id, b"");
    let (mut new, new_id) = rig.connect();
    let (mut peer, id) = rig.connect();
    let (mut silent, silent_id) = rig.connect();
    silent.beat();
    partial.send(&data(b"half a frame")[..14]);
    // More events than the channel takes; each body is its number.
    let frames = u32::try_from(EVENTS_MAX).unwrap() * 2;
    (0..frames).for_each(|number| peer.data(&number.to_le_bytes()));
    // The shard has read all that it will, so the channel is full, and this stays in the socket.
    (0..2).for_each(|_| rig.turn());
    partial.send(&data(b"half a frame")[14..]);
    new.data(b"the first");
    let beating = [partial, new, peer].map(|peer| peer.beat_every(ms(40)));
    pass(ms(LIMIT * 2));
    let mut bodies: HashMap<SessionId, Vec<Vec<u8>>> = HashMap::new();
    let (mut left, mut verdict) = (frames + 2, None);
    while left > 0 || verdict.is_none() {
        match rig.next() {
            Event::Data { id, data } => {
                bodies.entry(id).or_default().push(data);
                left -= 1;
            }
            // Found while the owner was slow, not afterwards: a verdict says how late it is.
            Event::Offline { id, reason, .. } if id == silent_id => {
                verdict = Some(heartwire_testkit::verdict_of(reason));
            }
            Event::Verdict { id, .. } if id == silent_id => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(bodies[&partial_id], [b"half a frame"]);
    assert_eq!(bodies[&new_id], [b"the first"]);
    let numbers: Vec<_> = (0..frames).map(|number| number.to_le_bytes().to_vec()).collect();
    assert!(bodies[&id] == numbers, "not all of them, in order");
    for (beating, id) in beating.into_iter().zip([partial_id, new_id, id]) {
        drop(beating.stop());
        assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    }
    rig.finish();
}

/// Forwards everything to a channel, counts it, and answers a greeting.
struct Greeter {
    events: ChannelHandler,
    told: Arc<AtomicUsize>,
}

const GREETING: &[u8] = b"hello";

impl Handler for Greeter {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        if let Event::Data { id, data: GREETING } = event {
            control.send(id, GREETING).unwrap();
        }
        self.events.forward(event.to_owned());
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    fn has_room(&mut self, resumer: &Resumer) -> bool {
        self.events.has_room(resumer)
    }

    fn has_room_for_newcomers(&mut self, resumer: &Resumer) -> bool {
        self.events.has_room_for_newcomers(resumer)
    }
}

#[test]
fn a_client_that_fills_the_channel_shuts_out_no_others() {
    let (sender, mut events) = channel();
    let told = Arc::new(AtomicUsize::new(0));
    // Where the first frame decides what a client speaks, it has to be read.
    let server = Server::start(config().wires(Wires::Any), |_| Greeter {
        events: sender.handler(),
        told: Arc::clone(&told),
    });
    let server = server.unwrap();
    drop(sender);
    let mut stranger = Peer::connect(server.local_addrs()[0]);
    (0..2 * EVENTS_MAX).for_each(|_| stranger.data(b""));
    wait_until("the channel is full", || told.load(Ordering::SeqCst) >= EVENTS_MAX);
    let mut newcomers: Vec<Peer> = Vec::new();
    for _ in 0..100 {
        let mut newcomer = Peer::connect(server.local_addrs()[0]);
        newcomer.expect_echo(GREETING);
        newcomers.push(newcomer);
    }
    // Those that are in wait for the owner with what they send now.
    newcomers[0].data(b"later");
    server.handle().shut_down();
    let (mut online, mut greetings, mut offline) = (0, 0, 0);
    while let Some(event) = events.recv_blocking() {
        match event {
            Event::Online { .. } => online += 1,
            Event::Data { data, .. } if data == GREETING => greetings += 1,
            Event::Offline { .. } => offline += 1,
            _ => {}
        }
    }
    assert_eq!((online, greetings, offline), (101, 100, 101));
    server.join().unwrap();
}

/// A handler with room for so many events.
struct Valve {
    room: Arc<AtomicUsize>,
    shown: mpsc::Sender<Event<Vec<u8>>>,
    resumer: Arc<Mutex<Option<Resumer>>>,
}

impl Handler for Valve {
    fn handle(&mut self, event: Event<&[u8]>, _: &mut Control<'_>) {
        let left = |room: usize| Some(room.saturating_sub(1));
        self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).unwrap();
        let _ = self.shown.send(event.to_owned());
    }

    fn has_room(&mut self, resumer: &Resumer) -> bool {
        self.resumer.lock().unwrap().get_or_insert_with(|| resumer.clone());
        self.room.load(Ordering::SeqCst) > 0
    }
}

/// A server with one shard whose handler is a [`Valve`].
struct Valved {
    server: Server,
    events: mpsc::Receiver<Event<Vec<u8>>>,
    room: Arc<AtomicUsize>,
    resumer: Arc<Mutex<Option<Resumer>>>,
}

impl Valved {
    fn start(config: ServerConfig) -> Self {
        let (shown, events) = mpsc::channel();
        let room = Arc::new(AtomicUsize::new(usize::MAX));
        let resumer = Arc::default();
        let server = Server::start(config, |_| Valve {
            room: Arc::clone(&room),
            shown: shown.clone(),
            resumer: Arc::clone(&resumer),
        });
        Self { server: server.unwrap(), events, room, resumer }
    }

    /// Makes room for so many events.
    fn open(&self, room: usize) {
        self.room.store(room, Ordering::SeqCst);
        self.resumer.lock().unwrap().as_ref().unwrap().resume();
    }

    fn close(&self) {
        self.room.store(0, Ordering::SeqCst);
        // The shard may be about to read: when it has answered, it has seen that there is no room.
        self.turn();
    }

    /// Waits until the shard has done a turn.
    fn turn(&self) {
        (0..2).for_each(|_| drop(self.server.handle().list()));
    }

    fn next(&self) -> Event<Vec<u8>> {
        loop {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                Event::Stalled { .. } => {}
                event => return event,
            }
        }
    }

    fn connect(&self) -> (Peer, SessionId) {
        let peer = Peer::connect(self.server.local_addrs()[0]);
        let Event::Online { id, .. } = self.next() else { panic!("it is online first") };
        (peer, id)
    }
}

#[test]
fn a_shard_that_waits_for_room_reads_nothing_accepts_nobody_and_does_not_spin() {
    let server = Valved::start(config().policy(policy(50, 60_000)));
    let (mut peer, id) = server.connect();
    server.close();
    peer.data(b"later");
    // Much more than the server would keep for itself.
    let filled = peer.fill(&data(&[7; 1_000]));
    let waiting = Peer::connect(server.server.local_addrs()[0]);
    let turns = || server.server.handle().stats().turns;
    let (before, started) = (turns(), Instant::now());
    pass(ms(400));
    assert!(!server.events.try_iter().any(|event| !matches!(event, Event::Stalled { .. })));
    let (turns, took) = (turns() - before, started.elapsed());
    // It wakes for its beats, and now and then for more.
    assert!(u128::from(turns) < 20 + took.as_millis() / 10, "{turns} turns in {took:?}");
    peer.expect_heart();
    server.open(usize::MAX);
    assert_eq!(server.next(), Event::Data { id, data: b"later".to_vec() });
    let mut bodies = filled / 1_008;
    let mut online = false;
    while bodies > 0 || !online {
        match server.next() {
            Event::Data { data, .. } if data == [7; 1_000] => bodies -= 1,
            Event::Online { peer, .. } if peer == waiting.addr() => online = true,
            event => panic!("{event:?}"),
        }
    }
    drop(server.server);
}

/// The shard asks before each read, so that what an owner gets after it has said that there is no
/// room is bounded by one read, and not by the number of clients.
#[test]
fn an_owner_without_room_gets_the_rest_of_one_read_at_most() {
    const CLIENTS: usize = 50;
    const FRAMES: usize = 20;
    let server = Valved::start(config());
    let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| server.connect().0).collect();
    server.close();
    clients.iter_mut().for_each(|peer| peer.send(&data(&[7; 1_000]).repeat(FRAMES)));
    let (mut openings, mut all) = (0, 0);
    while all < CLIENTS * FRAMES {
        server.open(1);
        server.turn();
        let events = server.events.try_iter().filter(|e| !matches!(e, Event::Stalled { .. }));
        let events = events.count();
        assert!(events <= FRAMES, "{events} events for one read");
        all += events;
        openings += 1;
    }
    assert!(openings >= CLIENTS);
    drop(server.server);
}

#[test]
fn a_reset_that_comes_while_the_owner_is_slow_is_a_reset_and_loses_nothing() {
    // Found by a beat that is written, or by a look for bytes when the deadline comes.
    for (policy, found_within) in [(policy(40, 60_000), 400), (limit(2_000), 2_500)] {
        let server = Valved::start(config().policy(policy));
        let (mut speaking, speaking_id) = server.connect();
        let (silent, silent_id) = server.connect();
        server.close();
        speaking.data(b"last words");
        speaking.reset();
        silent.reset();
        pass(ms(found_within));
        server.open(usize::MAX);
        let mut events = [server.next(), server.next(), server.next()];
        // Of different sessions they may come in any order.
        events.sort_by_key(|event| match event {
            Event::Data { .. } => None,
            Event::Offline { id, reason: Reason::Reset, .. } => Some(*id),
            event => panic!("{event:?}"),
        });
        let [Event::Data { data, .. }, Event::Offline { id: first, .. }, Event::Offline { id, .. }] =
            &events
        else {
            panic!("{events:?}");
        };
        assert_eq!((data.as_slice(), *first, *id), (&b"last words"[..], speaking_id, silent_id));
        drop(server.server);
    }
}

#[test]
fn a_slow_reader_is_closed_and_the_others_get_everything() {
    const PARTS: u32 = 400;
    let mut rig = ServerRig::start(config().outbound_max(128 * 1024));
    let slow = Peer::connect_narrow(rig.addr());
    let slow_id = rig.expect_online(&slow);
    let (mut peer, _) = rig.connect();
    for number in 0..PARTS {
        let body = [number.to_le_bytes().to_vec(), vec![1; 32 * 1024]].concat();
        rig.handle().broadcast(&body).unwrap();
        peer.expect_data(&body);
    }
    assert_eq!(rig.offline(slow_id), Reason::SlowReader);
    assert_eq!((rig.stats().slow_reader, rig.handle().count()), (1, 1));
    drop(slow);
    rig.finish();
}

#[test]
fn a_handler_is_told_that_its_reader_is_slow() {
    let (result, results) = mpsc::channel();
    let mut rig = ServerRig::acting(config().outbound_max(64 * 1024), move |event, control| {
        if let Event::Data { id, .. } = event {
            while control.send(*id, &[1; 8_192]).is_ok() {}
            let _ = result.send(control.send(*id, b""));
        }
    });
    let mut peer = Peer::connect_narrow(rig.addr());
    let id = rig.expect_online(&peer);
    peer.data(b"go");
    rig.expect_data(id, b"go");
    assert_eq!(rig.offline(id), Reason::SlowReader);
    assert_eq!(results.recv().unwrap(), Err(CommandError::Gone));
    // What it was sent before is whole frames, cut where the connection ended.
    let (bytes, _) = peer.read_to_end();
    assert!(bytes.starts_with(&head(DATA, 8_192)));
    rig.finish();
}

/// Frames of this are more than the kernels of both ends take.
static FRAME: [u8; 60_000] = [1; 60_000];

/// That beats do not pile up behind a full socket either, the core's tests hold.
#[test]
fn a_full_socket_delays_no_verdict() {
    const LIMIT: u64 = 2_000;
    let mut rig = ServerRig::start(config().policy(policy(10, LIMIT)).outbound_max(8 << 20));
    let mut peer = Peer::connect_narrow(rig.addr());
    let id = rig.expect_online(&peer);
    let silent_since = Instant::now();
    peer.beat();
    (0..100).for_each(|_| rig.handle().send(id, &FRAME).unwrap());
    // What was sent is written at the end of the turn that takes it.
    rig.turn();
    let full = rig.info(id).queued;
    assert!(full > 0, "the sockets took everything");
    rig.expect_verdict(id, LIMIT, silent_since);
    rig.finish();
}

#[test]
fn what_was_queued_arrives_when_a_blocked_client_reads_again() {
    let mut rig = ServerRig::start(config().outbound_max(16 << 20));
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

/// A beat that asks falls due while the client reads nothing. Then it says something, so that what waits
/// stands in for that beat; and the next one comes when it is due, though no timer was set for it before.
#[test]
fn a_server_goes_on_beating_after_data_stood_in_for_a_beat_to_a_slow_client() {
    const FRAMES: usize = 512;
    let config = config().policy(policy(200, 60_000)).outbound_max(2 * FRAMES * FRAME.len());
    let mut rig = ServerRig::acting(config, |event: &Event<&[u8]>, control: &mut Control<'_>| {
        if let Event::Data { id, data: b"everything" } = event {
            (0..FRAMES).for_each(|_| control.send(*id, &FRAME).unwrap());
        }
    });
    let (mut peer, id) = rig.connect();
    peer.data(b"everything");
    rig.expect_data(id, b"everything");
    rig.expect_quiet(ms(600));
    peer.data(b"still here");
    rig.expect_data(id, b"still here");
    let mut frames = 0;
    while frames < FRAMES {
        frames += usize::from(matches!(peer.next(), Got::Data(body) if body == FRAME));
    }
    (0..3).for_each(|_| peer.expect_heart());
    rig.finish();
}
