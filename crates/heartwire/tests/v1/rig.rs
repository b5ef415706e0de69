//! A server and clients with their events, and what must be true of those in every test.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Instant;

use heartwire::client::{Client, ClientConfig, Event as ClientEvent, Retry};
use heartwire::server::{
    Agreed, Control, Event, Handle, Server, ServerConfig, SessionId, SessionInfo, Stats,
};
use heartwire::v1::Welcome;
use heartwire::{BackoffPolicy, Policy, Reason, Verdict};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// When a test gives up on something that should long have happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn policy(beat: u64, limit: u64) -> Policy {
    Policy::builder().beat(ms(beat)).limit(ms(limit)).build().unwrap()
}

/// Lets time pass that a test is about.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Beats every 100 ms, and calls nobody dead within a test's time.
pub(crate) fn patient() -> Policy {
    policy(100, 60_000)
}

/// One shard on the IPv4 loopback, for [`patient`] clients.
pub(crate) fn config() -> ServerConfig {
    // Peers stay open to the end of a test, and this is what its own end waits for them.
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).drain(ms(500));
    config.shards(1).policy(patient())
}

/// A running server and its events, checked as they come: `Online` first; nothing after `Offline`; and
/// nobody is heard of under a name before those with lower epochs are offline.
pub(crate) struct Rig {
    pub(crate) server: Server,
    events: mpsc::Receiver<Event<Vec<u8>>>,
    live: HashMap<SessionId, SocketAddr>,
    names: HashMap<Box<str>, (u64, Option<SessionId>)>,
}

impl Rig {
    #[track_caller]
    pub(crate) fn start(config: ServerConfig) -> Self {
        Self::acting(config, |_, _| {})
    }

    /// A server with a handler on its shards' threads.
    #[track_caller]
    pub(crate) fn acting(
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
        Self { server: server.unwrap(), events, live: HashMap::new(), names: HashMap::new() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.server.handle()
    }

    /// What was counted once all that the only shard had begun is over. A turn is counted when it has ended,
    /// and one that was under way may not have seen what happened before: the one after it has.
    #[track_caller]
    pub(crate) fn stats(&self) -> Stats {
        let (begun, started) = (self.handle().stats().turns, Instant::now());
        while self.handle().stats().turns < begun + 2 {
            assert!(started.elapsed() < PATIENCE, "no turn ends");
            drop(self.handle().list());
        }
        self.handle().stats()
    }

    /// The session in the server's own list.
    #[track_caller]
    pub(crate) fn info(&self, id: SessionId) -> SessionInfo {
        self.handle().list().into_iter().find(|info| info.id == id).expect("it is listed")
    }

    /// The next event within `time`, if there is one. Stalls of a busy machine are left out.
    #[track_caller]
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Event<Vec<u8>>> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).ok()?;
            if !matches!(event, Event::Stalled { .. }) {
                self.check(&event);
                return Some(event);
            }
        }
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Event<Vec<u8>> {
        self.next_within(PATIENCE).expect("an event comes")
    }

    #[track_caller]
    pub(crate) fn expect_quiet(&mut self, time: Duration) {
        let event = self.next_within(time);
        assert!(event.is_none(), "{event:?} came");
    }

    #[track_caller]
    pub(crate) fn online(&mut self) -> (SessionId, Option<Agreed>) {
        match self.next() {
            Event::Online { id, agreed, .. } => (id, agreed.map(|agreed| *agreed)),
            other => panic!("nobody is online, but {other:?} came"),
        }
    }

    /// The offline event of a session, with whatever else it has to tell before that.
    #[track_caller]
    pub(crate) fn offline(&mut self, of: SessionId) -> Reason {
        loop {
            match self.next() {
                Event::Offline { id, reason, .. } if id == of => return reason,
                Event::Verdict { id, .. } if id == of => {}
                other => panic!("{of:?} is not offline, but {other:?} came"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn verdict(&mut self, of: SessionId) -> Verdict {
        verdict_of(self.offline(of))
    }

    #[track_caller]
    pub(crate) fn data(&mut self, of: SessionId) -> Vec<u8> {
        match self.next() {
            Event::Data { id, data } if id == of => data,
            other => panic!("no data of {of:?}, but {other:?} came"),
        }
    }

    /// Shuts down: everybody goes offline, nothing else happens, and the threads end.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.handle().shut_down();
        while !self.live.is_empty() {
            match self.next() {
                Event::Offline { .. } | Event::Data { .. } | Event::Promise { .. } => {}
                other => panic!("{other:?} came during the shutdown"),
            }
        }
        self.server.join().unwrap();
    }

    #[track_caller]
    fn check(&mut self, event: &Event<Vec<u8>>) {
        match event {
            Event::Online { id, peer, agreed } => {
                assert!(self.live.insert(*id, *peer).is_none(), "{id:?} is online twice");
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
                assert!(self.live.contains_key(id), "{event:?} of somebody who is not online");
            }
            Event::Verdict { id, peer, .. } => assert_eq!(self.live.get(id), Some(peer)),
            Event::Offline { id, peer, .. } => {
                assert_eq!(self.live.remove(id), Some(*peer), "{event:?}");
                for (_, holder) in self.names.values_mut() {
                    *holder = holder.filter(|holder| holder != id);
                }
            }
            _ => {}
        }
    }
}

/// A verdict that came as soon as the machine let it: the silence is what was allowed, what this end stood
/// still in it, and how late its timer was.
#[track_caller]
pub(crate) fn verdict_of(reason: Reason) -> Verdict {
    let Reason::Dead(verdict) = reason else { panic!("not dead: {reason}") };
    let allowed = verdict.bound.unwrap().earliest;
    assert_eq!(verdict.silence, allowed + verdict.stalled + verdict.late.min(heartwire::TICK));
    // What is later than this is a stall, and is not held against the peer.
    assert!(verdict.late < ms(1000), "late: {verdict}");
    verdict
}

/// Where a handler waits until the test lets it go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hold(Arc<(Mutex<bool>, Condvar)>);

impl Hold {
    pub(crate) fn release(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let held = self.0.0.lock().unwrap();
        let _ = self.0.1.wait_timeout_while(held, PATIENCE, |released| !*released).unwrap();
    }
}

/// A client with a runtime of its own.
pub(crate) struct ClientRig {
    pub(crate) client: Client,
    events: mpsc::Receiver<ClientEvent>,
    pub(crate) runtime: Runtime,
    heeded: Arc<Notify>,
}

pub(crate) fn client_config(addr: SocketAddr) -> ClientConfig {
    ClientConfig::new(addr.to_string()).policy(patient()).retry(fixed(ms(20)))
}

pub(crate) fn fixed(wait: Duration) -> Retry {
    Retry::Backoff(BackoffPolicy::fixed(wait).unwrap())
}

impl ClientRig {
    pub(crate) fn start(config: ClientConfig) -> Self {
        let rig = Self::unheeded(config);
        rig.heed();
        rig
    }

    /// A client whose application takes no event before it is told to [heed](Self::heed) them.
    pub(crate) fn unheeded(config: ClientConfig) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (client, mut events) = {
            let _inside = runtime.enter();
            Client::start(config)
        };
        let (shown, taken) = mpsc::channel();
        let heeded = Arc::new(Notify::new());
        let told = Arc::clone(&heeded);
        runtime.spawn(async move {
            told.notified().await;
            while let Some(event) = events.recv().await {
                // The test may be over.
                let _ = shown.send(event);
            }
        });
        Self { client, events: taken, runtime, heeded }
    }

    pub(crate) fn heed(&self) {
        self.heeded.notify_one();
    }

    /// Keeps the only thread of the client from running anything else for `time`.
    pub(crate) fn stand_still(&self, time: Duration) {
        self.runtime.spawn(async move { std::thread::sleep(time) });
    }

    /// The next event within `time`, if there is one. Stalls of a busy machine are left out.
    pub(crate) fn next_within(&self, time: Duration) -> Option<ClientEvent> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).ok()?;
            if !matches!(event, ClientEvent::Stalled(_)) {
                return Some(event);
            }
        }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> ClientEvent {
        self.next_within(PATIENCE).expect("an event comes")
    }

    #[track_caller]
    pub(crate) fn expect_quiet(&self, time: Duration) {
        let event = self.next_within(time);
        assert!(event.is_none(), "{event:?} came");
    }

    #[track_caller]
    pub(crate) fn connecting(&self) -> u32 {
        match self.next() {
            ClientEvent::Connecting { attempt } => attempt,
            other => panic!("it does not connect: {other}"),
        }
    }

    /// Waits until it is online, and skips the attempts before that.
    #[track_caller]
    pub(crate) fn online(&self) -> Welcome {
        loop {
            match self.next() {
                ClientEvent::Online { welcome, .. } => return *welcome.expect("it speaks v1"),
                ClientEvent::Connecting { .. }
                | ClientEvent::Failed { .. }
                | ClientEvent::Waiting { .. } => {}
                other => panic!("it is not online: {other}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn offline(&self) -> Reason {
        match self.next() {
            ClientEvent::Offline { reason, .. } => reason,
            other => panic!("it is not offline: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn failed(&self) -> heartwire::client::ConnectError {
        match self.next() {
            ClientEvent::Failed { error } => error,
            other => panic!("it did not fail: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn waiting(&self) -> Duration {
        match self.next() {
            ClientEvent::Waiting { wait, .. } => wait,
            other => panic!("it does not wait: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn closed(&self) {
        match self.next() {
            ClientEvent::Closed => {}
            other => panic!("it is not closed: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn send(&self, data: &[u8]) {
        self.runtime.block_on(self.client.send(data.to_vec())).unwrap();
    }

    /// Drops everything without a farewell, as if the machine had gone.
    pub(crate) fn close(self) {
        self.client.close();
        while self.next_within(PATIENCE).is_some_and(|event| !matches!(event, ClientEvent::Closed))
        {
        }
    }
}
