//! A server, its events, and what must be true of them in every test.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Instant;

use heartwire::server::{
    Control, Event, Events, Handle, Handler, Server, ServerConfig, SessionId, Stats, Wires,
};
use heartwire::{Policy, Reason, TICK, Verdict};

use crate::peer::{PATIENCE, Peer, ms};

/// One shard on the IPv4 loopback that judges nobody within a test's time.
pub(crate) fn config() -> ServerConfig {
    // Peers stay open to the end of a test, and this is what its own end waits for them.
    listening("127.0.0.1:0").shards(1).policy(limit(60_000)).drain(ms(500))
}

pub(crate) fn listening(addr: &str) -> ServerConfig {
    ServerConfig::new(addr.parse().unwrap()).wires(Wires::V0)
}

pub(crate) fn limit(millis: u64) -> Policy {
    Policy::builder().limit(ms(millis)).build().unwrap()
}

pub(crate) fn beat_and_limit(beat: u64, limit: u64) -> Policy {
    Policy::builder().beat(ms(beat)).limit(ms(limit)).build().unwrap()
}

/// What an `Offline` said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offline {
    pub(crate) reason: Reason,
    pub(crate) beats: u32,
}

/// A running server and its events. Each event that it takes must be legal after the ones before:
/// `Online` first, with an id never seen before; then data; after a `Verdict` only the `Offline`
/// with that verdict; nothing after the `Offline`.
///
/// A `Stalled` is not an event of the test's making on a busy machine: it is counted and left out.
pub(crate) struct Rig {
    server: Server,
    source: Source,
    seen: HashSet<SessionId>,
    live: HashMap<SessionId, (SocketAddr, Option<Verdict>)>,
    pub(crate) stalls: Vec<Duration>,
}

enum Source {
    Channel(Events, tokio::runtime::Runtime),
    Tap(mpsc::Receiver<Event<Vec<u8>>>),
}

/// A handler that shows the rig each event, then acts on it.
struct Tap<F> {
    shown: mpsc::Sender<Event<Vec<u8>>>,
    act: F,
}

impl<F: FnMut(&Event<&[u8]>, &mut Control<'_>) + Send> Handler for Tap<F> {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        // The test may be over.
        let _ = self.shown.send(event.to_owned());
        (self.act)(&event, control);
    }
}

/// What came, or did not, within some time.
enum Next {
    Event(Event<Vec<u8>>),
    Nothing,
    Ended,
}

impl Rig {
    /// A server whose events come through `server::channel`.
    #[track_caller]
    pub(crate) fn start(config: ServerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (server, events) = Server::start_with_events(config).unwrap();
        Self::of(server, Source::Channel(events, runtime))
    }

    /// A server with a handler on its shards' threads.
    #[track_caller]
    pub(crate) fn acting(
        config: ServerConfig,
        act: impl FnMut(&Event<&[u8]>, &mut Control<'_>) + Clone + Send + 'static,
    ) -> Self {
        let (shown, events) = mpsc::channel();
        let server = Server::start(config, |_| Tap { shown: shown.clone(), act: act.clone() });
        Self::of(server.unwrap(), Source::Tap(events))
    }

    /// A server that sends back what it is sent.
    #[track_caller]
    pub(crate) fn echo(config: ServerConfig) -> Self {
        Self::acting(config, echo)
    }

    fn of(server: Server, source: Source) -> Self {
        Self { server, source, seen: HashSet::new(), live: HashMap::new(), stalls: Vec::new() }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.server.handle()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.handle().stats()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    /// A peer that has connected, and its session.
    #[track_caller]
    pub(crate) fn connect(&mut self) -> (Peer, SessionId) {
        let peer = Peer::connect(self.addr());
        let id = self.expect_online(&peer);
        (peer, id)
    }

    /// Waits until a turn has begun and ended, so that whatever a shard began before is done. (A list is made
    /// in the middle of one, before what was queued is written.)
    #[track_caller]
    pub(crate) fn turn(&self) {
        let (begun, started) = (self.stats().turns, Instant::now());
        while self.stats().turns < begun + 2 {
            assert!(started.elapsed() < PATIENCE, "no turn ends");
            drop(self.handle().list());
        }
    }

    /// The next event, whatever it is.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Event<Vec<u8>> {
        match self.next_within(PATIENCE) {
            Next::Event(event) => event,
            Next::Nothing => panic!("no event came"),
            Next::Ended => panic!("the events ended"),
        }
    }

    /// Nothing happens for `time`.
    #[track_caller]
    pub(crate) fn expect_quiet(&mut self, time: Duration) {
        match self.next_within(time) {
            Next::Nothing => {}
            Next::Event(event) => panic!("{event:?} came"),
            Next::Ended => panic!("the events ended"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_online(&mut self, of: &Peer) -> SessionId {
        match self.next() {
            Event::Online { id, peer, .. } if peer == of.addr() => id,
            other => panic!("{of:?} is not online, but {other:?} came"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, of: SessionId, body: &[u8]) {
        match self.next() {
            Event::Data { id, data } if id == of && data == body => {}
            other => panic!("not {} bytes from {of:?}, but {other:?} came", body.len()),
        }
    }

    #[track_caller]
    pub(crate) fn expect_offline(&mut self, of: SessionId) -> Offline {
        match self.next() {
            Event::Offline { id, reason, beats, .. } if id == of => Offline { reason, beats },
            other => panic!("{of:?} is not offline, but {other:?} came"),
        }
    }

    /// The verdict on a session and its `Offline` come, and nothing else.
    #[track_caller]
    pub(crate) fn expect_verdict(&mut self, of: SessionId) -> Verdict {
        let verdict = match self.next() {
            Event::Verdict { id, verdict, .. } if id == of => verdict,
            other => panic!("{of:?} is not called dead, but {other:?} came"),
        };
        assert_eq!(self.expect_offline(of).reason, Reason::Dead(verdict));
        verdict
    }

    /// The verdict on a session whose last byte left after `silent_since` comes, in its bound.
    #[track_caller]
    pub(crate) fn expect_verdict_in_bound(
        &mut self,
        of: SessionId,
        limit: Duration,
        silent_since: Instant,
    ) -> Verdict {
        let verdict = self.expect_verdict(of);
        let silence = silent_since.elapsed();
        assert!(silence >= limit, "early: {verdict} after {silence:?}");
        assert!(verdict.silence >= limit, "early: {verdict}");
        assert!(verdict.silence <= silence, "a byte seems older than it is: {verdict}");
        let bound = verdict.bound.unwrap();
        assert_eq!((bound.earliest, bound.latest), (limit, limit + TICK));
        // The figures agree with each other, to the nanosecond.
        assert_eq!(verdict.silence, verdict.stalled + limit + verdict.late.min(TICK));
        // What is later than this is a stall, and is not held against the peer.
        assert!(verdict.late < ms(1000), "late: {verdict}");
        verdict
    }

    /// An echoing server still serves this session.
    #[track_caller]
    pub(crate) fn expect_echo(&mut self, peer: &mut Peer, id: SessionId) {
        peer.data(b"still there?");
        self.expect_data(id, b"still there?");
        assert_eq!(peer.receive_data(), b"still there?");
    }

    /// Shuts down: every session that is still online goes offline with that reason, nothing else
    /// happens, the events end, and the threads do.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.handle().shut_down();
        loop {
            match self.next_within(PATIENCE) {
                Next::Event(Event::Offline { reason: Reason::Shutdown, .. }) => {}
                Next::Event(event) => panic!("{event:?} came during the shutdown"),
                Next::Nothing => panic!("the shutdown did not end"),
                Next::Ended => break,
            }
        }
        assert!(self.live.is_empty(), "never offline: {:?}", self.live);
        self.server.join().unwrap();
    }

    fn next_within(&mut self, time: Duration) -> Next {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = match &mut self.source {
                Source::Channel(events, runtime) => runtime.block_on(async {
                    match tokio::time::timeout(left, events.recv()).await {
                        Ok(Some(event)) => Next::Event(event),
                        Ok(None) => Next::Ended,
                        Err(_) => Next::Nothing,
                    }
                }),
                Source::Tap(events) => match events.recv_timeout(left) {
                    Ok(event) => Next::Event(event),
                    Err(mpsc::RecvTimeoutError::Timeout) => Next::Nothing,
                    Err(mpsc::RecvTimeoutError::Disconnected) => Next::Ended,
                },
            };
            if let Next::Event(Event::Stalled { stall, .. }) = next {
                self.stalls.push(stall.gap);
                continue;
            }
            if let Next::Event(event) = &next {
                self.check(event);
            }
            return next;
        }
    }

    /// Checks that an event is legal after the ones before.
    fn check(&mut self, event: &Event<Vec<u8>>) {
        match *event {
            Event::Online { id, peer, .. } => {
                assert!(self.seen.insert(id), "{id:?} is used twice");
                self.live.insert(id, (peer, None));
            }
            Event::Data { id, .. } => match self.live.get(&id) {
                Some((_, None)) => {}
                other => panic!("{event:?} came for a session that is {other:?}"),
            },
            Event::Verdict { id, peer, verdict } => match self.live.get_mut(&id) {
                Some((known, given @ None)) if *known == peer => *given = Some(verdict),
                other => panic!("{event:?} came for a session that is {other:?}"),
            },
            Event::Offline { id, peer, reason, .. } => match self.live.remove(&id) {
                Some((known, None)) if known == peer => {}
                Some((known, Some(verdict))) if known == peer => {
                    assert_eq!(reason, Reason::Dead(verdict));
                }
                other => panic!("{event:?} came for a session that is {other:?}"),
            },
            _ => {}
        }
    }
}

/// Sends back what is sent.
pub(crate) fn echo(event: &Event<&[u8]>, control: &mut Control<'_>) {
    if let Event::Data { id, data } = event {
        // A slow reader's end is what some tests are about.
        let _ = control.send(*id, data);
    }
}

/// Where a handler waits until the test lets it go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, and closes it again.
    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        let (mut open, _) = self.0.1.wait_timeout_while(closed, PATIENCE, |open| !*open).unwrap();
        *open = false;
    }
}
