//! A server of the library, its events, and what must be true of them in every test.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use heartwire::server::{
    Agreed, Control, Event, Events, Handle, Server, ServerConfig, SessionId, SessionInfo, Stats,
};
use heartwire::{Reason, TICK, Verdict};

use crate::{PATIENCE, Peer, ms};

/// The fields of an `Offline` event.
#[derive(Clone, Copy, Debug)]
pub struct Offline {
    /// Why.
    pub reason: Reason,
    /// How many beats arrived.
    pub beats: u32,
}

/// A running server of one or more shards, and its events.
///
/// Each event must be legal after the ones before: `Online` first, with a new id, and under a name
/// only when all sessions of that name with lower epochs are offline; then the rest; after a
/// `Verdict` only the `Away` or `Offline` with that verdict; nothing after the `Offline`. `Paused`,
/// which a busy machine may add at any time, is skipped and kept in [`pauses`](Self::pauses).
#[derive(Debug)]
pub struct ServerRig {
    server: Server,
    source: Source,
    seen: HashSet<SessionId>,
    live: HashMap<SessionId, Live>,
    names: HashMap<Box<str>, (u64, Option<SessionId>)>,
    /// How long each pause was.
    pub pauses: Vec<Duration>,
}

#[derive(Debug)]
struct Live {
    peer: SocketAddr,
    is_v1: bool,
    is_away: bool,
    verdict: Option<Verdict>,
}

#[derive(Debug)]
enum Source {
    Channel(Events, tokio::runtime::Runtime),
    Tap(mpsc::Receiver<Event<Vec<u8>>>),
}

impl ServerRig {
    /// A server with a channel of events, which the test takes one by one: while it takes none, the
    /// server has a slow application.
    #[track_caller]
    pub fn start(config: ServerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (server, events) = Server::start_with_events(config).unwrap();
        Self::of(server, Source::Channel(events, runtime))
    }

    /// A server with a handler, which runs on its shards' threads.
    #[track_caller]
    pub fn acting(
        config: ServerConfig,
        act: impl FnMut(&Event<&[u8]>, &mut Control<'_>) + Clone + Send + 'static,
    ) -> Self {
        let (shown, events) = mpsc::channel();
        let server = Server::start(config, |_| {
            let (shown, mut act) = (shown.clone(), act.clone());
            move |event: Event<&[u8]>, control: &mut Control<'_>| {
                // The test may be over.
                let _ = shown.send(event.to_owned());
                act(&event, control);
            }
        });
        Self::of(server.unwrap(), Source::Tap(events))
    }

    /// A server that echoes data.
    #[track_caller]
    pub fn echo(config: ServerConfig) -> Self {
        Self::acting(config, echo)
    }

    fn of(server: Server, source: Source) -> Self {
        let (seen, live, names) = Default::default();
        Self { server, source, seen, live, names, pauses: Vec::new() }
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its handle.
    pub fn handle(&self) -> &Handle {
        self.server.handle()
    }

    /// The first address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    /// Waits until its only shard has finished a turn that began after this call. A turn is counted
    /// when it ends, and the current one may have begun earlier, so this waits for the next one
    /// too. (`list` answers in the middle of a turn, before queued data is written.)
    #[track_caller]
    pub fn turn(&self) {
        let (begun, started) = (self.handle().stats().turns, Instant::now());
        while self.handle().stats().turns < begun + 2 {
            assert!(started.elapsed() < PATIENCE, "no turn ends");
            drop(self.handle().blocking_list());
        }
    }

    /// The counters, after a [`turn`](Self::turn).
    #[track_caller]
    pub fn stats(&self) -> Stats {
        self.turn();
        self.handle().stats()
    }

    /// One of the counters, after a [`turn`](Self::turn).
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.stats().get(name).expect(name)
    }

    /// Waits until a counter is at least this high.
    #[track_caller]
    pub fn wait_for(&self, name: &str, count: u64) {
        let started = Instant::now();
        while self.handle().stats().get(name).expect(name) < count {
            assert!(started.elapsed() < PATIENCE, "{name}: {:?}", self.handle().stats());
            drop(self.handle().blocking_list());
        }
    }

    /// The session in the server's own list.
    #[track_caller]
    pub fn info(&self, id: SessionId) -> SessionInfo {
        self.handle().blocking_list().into_iter().find(|info| info.id == id).expect("it is listed")
    }

    /// A peer that has connected, and its session. For servers that speak only v0: on others a
    /// session is online only after its first frame.
    #[track_caller]
    pub fn connect(&mut self) -> (Peer, SessionId) {
        let peer = Peer::connect(self.addr());
        let id = self.expect_online(&peer);
        (peer, id)
    }

    /// The next event within `time`, if there is one.
    #[track_caller]
    pub fn next_within(&mut self, time: Duration) -> Option<Event<Vec<u8>>> {
        self.take_within(time).unwrap_or_else(|_| panic!("the events ended"))
    }

    /// The next event within `time`, if there is one; `Err` after the last.
    #[track_caller]
    fn take_within(&mut self, time: Duration) -> Result<Option<Event<Vec<u8>>>, ()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = match &mut self.source {
                Source::Channel(events, runtime) => runtime.block_on(async {
                    match tokio::time::timeout(left, events.recv()).await {
                        Ok(event) => event.ok_or(RecvTimeoutError::Disconnected),
                        Err(_) => Err(RecvTimeoutError::Timeout),
                    }
                }),
                Source::Tap(events) => events.recv_timeout(left),
            };
            match next {
                Ok(Event::Paused { pause, .. }) => self.pauses.push(pause.gap),
                // Tests of rejected clients look at what the peer received.
                Ok(Event::Rejected { .. }) => {}
                Ok(event) => {
                    self.check(&event);
                    return Ok(Some(event));
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(()),
            }
        }
    }

    /// The next event.
    #[track_caller]
    pub fn next(&mut self) -> Event<Vec<u8>> {
        self.next_within(PATIENCE).expect("an event comes")
    }

    /// Checks that no event comes until the server has handled everything sent to it: after a
    /// [`turn`](Self::turn).
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.turn();
        self.expect_quiet(Duration::ZERO);
    }

    /// Checks that no event comes for `time`.
    #[track_caller]
    pub fn expect_quiet(&mut self, time: Duration) {
        let event = self.next_within(time);
        assert!(event.is_none(), "{event:?} came");
    }

    /// The next event is `Online`, with this contract on v1.
    #[track_caller]
    pub fn online(&mut self) -> (SessionId, Option<Agreed>) {
        match self.next() {
            Event::Online { id, agreed, .. } => (id, agreed.map(|agreed| *agreed)),
            other => panic!("no client is online, but {other:?} came"),
        }
    }

    /// The next event is `Online` of this session.
    #[track_caller]
    pub fn expect_online(&mut self, of: &Peer) -> SessionId {
        match self.next() {
            Event::Online { id, peer, .. } if peer == of.addr() => id,
            other => panic!("{of:?} is not online, but {other:?} came"),
        }
    }

    /// The next event is data of this session.
    #[track_caller]
    pub fn data(&mut self, of: SessionId) -> Vec<u8> {
        match self.next() {
            Event::Data { id, data } if id == of => data,
            other => panic!("no data of {of:?}, but {other:?} came"),
        }
    }

    /// The next event is this data of this session.
    #[track_caller]
    pub fn expect_data(&mut self, of: SessionId, body: &[u8]) {
        let data = self.data(of);
        assert!(data == body, "{} other bytes", data.len());
    }

    /// The end of a session, after the verdict if there was one.
    #[track_caller]
    pub fn expect_offline(&mut self, of: SessionId) -> Offline {
        loop {
            match self.next() {
                Event::Offline { id, reason, beats, .. } if id == of => {
                    return Offline { reason, beats };
                }
                Event::Verdict { id, .. } if id == of => {}
                other => panic!("{of:?} is not offline, but {other:?} came"),
            }
        }
    }

    /// Why a session ended.
    #[track_caller]
    pub fn offline(&mut self, of: SessionId) -> Reason {
        self.expect_offline(of).reason
    }

    /// The verdict on a session and its `Offline`, and nothing else.
    #[track_caller]
    pub fn verdict(&mut self, of: SessionId) -> Verdict {
        verdict_of(self.offline(of))
    }

    /// The verdict on a session whose last byte was sent after `silent_since`: it comes, and not
    /// early.
    #[track_caller]
    pub fn expect_verdict(
        &mut self,
        of: SessionId,
        timeout: u64,
        silent_since: Instant,
    ) -> Verdict {
        let verdict = self.verdict(of);
        let silence = silent_since.elapsed();
        assert!(silence >= ms(timeout), "early: {verdict} after {silence:?}");
        assert!(verdict.silence <= silence, "a byte seems older than it is: {verdict}");
        let bound = verdict.bound.unwrap();
        assert_eq!((bound.earliest, bound.latest), (ms(timeout), ms(timeout) + TICK));
        verdict
    }

    /// Checks that an echoing server still serves this session.
    #[track_caller]
    pub fn expect_echo(&mut self, peer: &mut Peer, id: SessionId) {
        peer.data(b"still there?");
        self.expect_data(id, b"still there?");
        assert_eq!(peer.receive_data(), b"still there?");
    }

    /// Shuts down: every session that is still online goes offline, on v0 with that reason and
    /// nothing before it; no client connects, the events end, and the threads end.
    #[track_caller]
    pub fn finish(mut self) {
        self.handle().shutdown();
        loop {
            let on_v1: Vec<_> =
                self.live.iter().filter(|(_, l)| l.is_v1).map(|(id, _)| *id).collect();
            let Ok(event) = self.take_within(PATIENCE) else { break };
            match event.expect("the shutdown ends") {
                Event::Offline { reason: Reason::Shutdown, .. } => {}
                Event::Offline { id, .. } | Event::Data { id, .. } | Event::Promise { id, .. }
                    if on_v1.contains(&id) => {}
                event => panic!("{event:?} came during the shutdown"),
            }
        }
        assert!(self.live.is_empty(), "never offline: {:?}", self.live);
        self.server.join().unwrap();
    }

    /// Waits until it has ended; other events are skipped.
    #[track_caller]
    pub fn join(self) {
        self.server.join().unwrap();
    }

    /// Checks that an event is legal after the ones before.
    #[track_caller]
    fn check(&mut self, event: &Event<Vec<u8>>) {
        match event {
            Event::Online { id, peer, agreed } => {
                assert!(self.seen.insert(*id), "{id:?} is used twice");
                let live =
                    Live { peer: *peer, is_v1: agreed.is_some(), is_away: false, verdict: None };
                self.live.insert(*id, live);
                let Some(agreed) = agreed else { return };
                if let Some(name) = &agreed.name {
                    let newer = (agreed.epoch, Some(*id));
                    if let Some((epoch, holder)) = self.names.insert(name.clone(), newer) {
                        assert!(epoch < agreed.epoch, "epoch {} after {epoch}", agreed.epoch);
                        assert_eq!(holder, None, "{name} was not offline yet");
                    }
                }
            }
            Event::Data { id, .. } | Event::Promise { id, .. } | Event::Health { id, .. } => {
                let is_in = self.live.get(id).is_some_and(|live| live.verdict.is_none());
                assert!(is_in, "{event:?} came for a session that is {:?}", self.live.get(id));
            }
            Event::Verdict { id, peer, verdict } => match self.live.get_mut(id) {
                Some(Live { peer: known, verdict: given @ None, .. }) if known == peer => {
                    *given = Some(*verdict);
                }
                other => panic!("{event:?} came for a session that is {other:?}"),
            },
            Event::Offline { id, peer, reason, .. } => {
                let live = self.live.remove(id).expect("it was online");
                assert_eq!(live.peer, *peer, "{event:?}");
                if live.verdict.is_some() || matches!(reason, Reason::Dead(_)) {
                    assert_eq!(Some(*reason), live.verdict.map(Reason::Dead));
                }
                for (_, holder) in self.names.values_mut() {
                    *holder = holder.filter(|holder| holder != id);
                }
            }
            Event::Away { id, peer, reason, .. } => {
                let live = self.live.get_mut(id).expect("it was online");
                assert_eq!((live.peer, live.is_away), (*peer, false), "{event:?}");
                if let Some(verdict) = live.verdict.take() {
                    assert_eq!(*reason, Reason::Dead(verdict));
                }
                live.is_away = true;
            }
            Event::Back { id, peer, .. } => {
                let live = self.live.get_mut(id).expect("it was online");
                (live.peer, live.is_away) = (*peer, false);
            }
            _ => {}
        }
    }
}

/// Checks a verdict's numbers: its silence is the timeout plus this end's pauses plus how late its
/// timer was, to the nanosecond.
#[track_caller]
pub fn verdict_of(reason: Reason) -> Verdict {
    let Reason::Dead(verdict) = reason else { panic!("not dead: {reason}") };
    let allowed = verdict.bound.unwrap().earliest;
    assert_eq!(verdict.silence, allowed + verdict.paused + verdict.late.min(TICK), "{verdict}");
    // A longer lateness would have been a pause.
    assert!(verdict.late < ms(1000), "late: {verdict}");
    verdict
}

/// Echoes data.
pub fn echo(event: &Event<&[u8]>, control: &mut Control<'_>) {
    if let Event::Data { id, data } = event {
        // Some tests disconnect slow readers.
        let _ = control.send(*id, data);
    }
}
