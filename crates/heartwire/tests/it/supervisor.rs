//! Many connections under names, on real sockets, to servers that each test plays by hand.

use core::future::Future;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use heartwire::client::{ClientConfig, Event, Retry, SendError};
use heartwire::supervisor::{AddError, Events, Supervisor};
use heartwire::{BackoffPolicy, Reason};
use heartwire_testkit::{Listener, PATIENCE, Peer, beat, data, limit, ms, pass, wait_until};
use tokio::runtime::Runtime;

/// The next client, whose first beat has been read.
#[track_caller]
fn accept(server: &Listener) -> Peer {
    let mut peer = server.accept();
    peer.expect_heart();
    peer
}

/// A supervisor on a runtime with one thread of its own.
struct Rig {
    supervisor: Supervisor,
    events: Events,
    runtime: Runtime,
}

impl Rig {
    fn new() -> Self {
        Self::with_queue(Supervisor::EVENTS_MAX)
    }

    fn with_queue(events_max: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (supervisor, events) = Supervisor::with_queue(events_max);
        Self { supervisor, events, runtime: runtime.unwrap() }
    }

    fn add(&self, name: &str, config: ClientConfig) -> Result<(), AddError> {
        let _inside = self.runtime.enter();
        self.supervisor.add(name, config).map(|_| ())
    }

    #[track_caller]
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let within = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.block_on(within).expect("took too long")
    }

    #[track_caller]
    fn try_next(&mut self) -> Option<(Arc<str>, Event)> {
        let next = async { tokio::time::timeout(PATIENCE, self.events.recv()).await };
        self.runtime.block_on(next).expect("an event in time")
    }

    /// The next event, stalls of a busy machine apart.
    #[track_caller]
    fn next(&mut self) -> (Arc<str>, Event) {
        loop {
            match self.try_next().expect("it goes on") {
                (_, Event::Stalled(_)) => {}
                next => return next,
            }
        }
    }

    /// The next event of this name that is one of these, leaving out all others.
    #[track_caller]
    fn next_of(&mut self, name: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.next() {
                (of, event) if *of == *name && is_it(&event) => return event,
                _ => {}
            }
        }
    }

    #[track_caller]
    fn online(&mut self, name: &str) {
        self.next_of(name, |event| matches!(event, Event::Online { .. }));
    }

    #[track_caller]
    fn closed(&mut self, name: &str) {
        self.next_of(name, |event| matches!(event, Event::Closed));
    }
}

#[test]
fn each_name_has_its_own_server_messages_and_events() {
    let mut rig = Rig::new();
    let servers: Vec<_> = (0..5).map(|_| Listener::new()).collect();
    let mut peers = Vec::new();
    for (n, server) in servers.iter().enumerate() {
        rig.add(&format!("n{n}"), server.config()).unwrap();
        peers.push(accept(server));
        rig.online(&format!("n{n}"));
    }
    assert_eq!(rig.supervisor.names(), ["n0", "n1", "n2", "n3", "n4"].map(Arc::from));
    for (n, peer) in peers.iter_mut().enumerate() {
        let name = format!("n{n}");
        rig.block_on(rig.supervisor.send(&name, vec![u8::try_from(n).unwrap()])).unwrap();
        rig.supervisor.get(&name).unwrap().try_send(b"by its handle".to_vec()).unwrap();
        peer.expect_data(&[u8::try_from(n).unwrap()]);
        peer.expect_data(b"by its handle");
        peer.data(name.as_bytes());
        let (of, event) = rig.next();
        assert!(matches!(event, Event::Data(body) if body == name.as_bytes() && *of == *name));
    }
    assert!(rig.supervisor.get("nobody").is_none());
    let refused = rig.block_on(rig.supervisor.send("nobody", b"x".to_vec())).unwrap_err();
    assert!(matches!(refused, SendError::Closed(data) if data == b"x"));
}

#[test]
fn one_that_is_lost_comes_back_and_the_others_stay() {
    let mut rig = Rig::new();
    let (here, there) = (Listener::new(), Listener::new());
    rig.add("here", here.config()).unwrap();
    rig.add("there", there.config()).unwrap();
    let (lost, mut kept) = (accept(&here), accept(&there));
    rig.online("there");
    drop(lost);
    rig.next_of("here", |event| matches!(event, Event::Offline { .. }));
    let _again = accept(&here);
    rig.online("here");
    rig.block_on(rig.supervisor.send("there", b"still".to_vec())).unwrap();
    kept.expect_data(b"still");
}

#[test]
fn a_name_is_taken_until_its_last_event() {
    let mut rig = Rig::new();
    let server = Listener::new();
    rig.add("one", server.config()).unwrap();
    let mut peer = accept(&server);
    assert_eq!(rig.add("one", server.config()), Err(AddError::Taken("one".into())));
    rig.online("one");
    assert!(rig.supervisor.remove("one"));
    peer.read_to_end();
    // It waits until the server has closed as well.
    assert_eq!(rig.add("one", server.config()), Err(AddError::Taken("one".into())));
    drop(peer);
    match rig.next() {
        (_, Event::Offline { reason: Reason::Shutdown, .. }) => {}
        other => panic!("{other:?}"),
    }
    rig.closed("one");
    wait_until("the name is free", || !rig.supervisor.remove("one"));
    rig.add("one", server.config()).unwrap();
    assert!(matches!(rig.next().1, Event::Connecting { attempt: 1 }));
    accept(&server);
}

#[test]
fn one_that_ends_by_itself_leaves_its_name() {
    let mut rig = Rig::new();
    let server = Listener::new();
    rig.add("once", server.config().retry(Retry::Never)).unwrap();
    drop(accept(&server));
    rig.closed("once");
    wait_until("the name is free", || rig.supervisor.names().is_empty());
}

/// An idle connection must not keep room that others need.
#[test]
fn there_may_be_more_connections_than_events_may_wait() {
    const COUNT: usize = 40;
    let mut rig = Rig::with_queue(2);
    let server = Listener::new();
    let runtime = rig.runtime.handle().clone();
    let supervisor = rig.supervisor.clone();
    let config = server.config();
    for n in 0..COUNT {
        let _inside = runtime.enter();
        supervisor.add(format!("n{n}"), config.clone()).unwrap();
    }
    let peers = std::thread::spawn(move || {
        let mut peers: Vec<_> = (0..COUNT).map(|_| accept(&server)).collect();
        for _ in 0..3 {
            for peer in &mut peers {
                peer.data(b"hello");
            }
        }
        peers
    });
    let mut online = 0;
    let mut data: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    while data.values().sum::<u32>() < 3 * u32::try_from(COUNT).unwrap() {
        match rig.next() {
            (_, Event::Online { .. }) => online += 1,
            (name, Event::Data(_)) => *data.entry(name).or_default() += 1,
            (_, Event::Connecting { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(online, COUNT);
    assert!(data.len() == COUNT && data.values().all(|&count| count == 3), "{data:?}");
    drop(peers.join().unwrap());
}

#[test]
fn a_full_queue_is_no_verdict_on_anybody() {
    let mut rig = Rig::with_queue(4);
    let (loud, quiet) = (Listener::new(), Listener::new());
    rig.add("loud", loud.config()).unwrap();
    let mut flood = accept(&loud);
    rig.online("loud");
    rig.add("quiet", quiet.config().policy(limit(2_000))).unwrap();
    let mut peer = accept(&quiet);
    rig.online("quiet");
    flood.send(&data(b"flood").repeat(100));
    // Nobody takes events for two limits; what comes meanwhile lies in the kernel, and is life.
    let started = Instant::now();
    while started.elapsed() < ms(4_300) {
        peer.beat();
        pass(ms(50));
    }
    peer.data(b"alive");
    let mut floods = 0;
    let mut is_alive = false;
    while floods < 100 || !is_alive {
        match rig.next() {
            (name, Event::Data(_)) if *name == *"loud" => floods += 1,
            (name, Event::Data(_)) if *name == *"quiet" => is_alive = true,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_is_one_task() {
    let mut rig = Rig::new();
    let server = Listener::new();
    let mut peers = Vec::new();
    for n in 0..10 {
        rig.add(&format!("n{n}"), server.config()).unwrap();
        peers.push(accept(&server));
        rig.online(&format!("n{n}"));
    }
    assert_eq!(rig.runtime.metrics().num_alive_tasks(), 10);
}

/// A seed is for tests: it must not bring all the connections back at the same moments.
#[test]
fn connections_with_the_same_settings_do_not_come_back_in_step() {
    let mut rig = Rig::new();
    let backoff = BackoffPolicy::exponential(ms(1_000_000), ms(1_000_000), ms(1)).unwrap();
    // Nobody listens there any more.
    let config = Listener::new().config().retry(Retry::Backoff(backoff)).seed(7);
    let mut waits = Vec::new();
    for n in 0..8 {
        let name = format!("n{n}");
        rig.add(&name, config.clone()).unwrap();
        match rig.next_of(&name, |event| matches!(event, Event::Waiting { .. })) {
            Event::Waiting { wait, .. } => waits.push(wait),
            other => panic!("{other}"),
        }
    }
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), 8, "{waits:?}");
}

#[test]
fn all_look_when_the_network_has_changed() {
    let rig = Rig::new();
    let (one, two) = (Listener::new(), Listener::new());
    for (name, server) in [("one", &one), ("two", &two)] {
        let config = server.config().policy(beat(1_000_000));
        rig.add(name, config).unwrap();
    }
    let mut peers = [accept(&one), accept(&two)];
    rig.supervisor.look_now();
    peers.iter_mut().for_each(|peer| peer.expect_heart());
}

#[test]
fn closing_writes_what_was_accepted_and_waits_for_all() {
    let mut rig = Rig::new();
    let server = Listener::new();
    let mut peers = Vec::new();
    for n in 0..5 {
        let name = format!("n{n}");
        rig.add(&name, server.config()).unwrap();
        peers.push(accept(&server));
        rig.online(&name);
        rig.block_on(rig.supervisor.send(&name, vec![9; 100_000])).unwrap();
    }
    let readers = std::thread::spawn(move || {
        for mut peer in peers {
            assert_eq!(peer.read_to_end().0.len(), 100_008);
        }
    });
    assert!(rig.block_on(rig.supervisor.close(PATIENCE)).is_empty());
    readers.join().unwrap();
    assert_eq!(rig.add("late", server.config()), Err(AddError::Closed));
    let mut closed = 0;
    while let Some((_, event)) = rig.try_next() {
        closed += u32::from(matches!(event, Event::Closed));
    }
    assert_eq!(closed, 5);
    assert!(rig.block_on(rig.supervisor.close(PATIENCE)).is_empty());
}

#[test]
fn what_is_not_closed_in_time_is_cut_off() {
    let mut rig = Rig::with_queue(1);
    let server = Listener::new();
    rig.add("stuck", server.config()).unwrap();
    let mut peer = accept(&server);
    rig.online("stuck");
    // The queue is full of this, and the server does not close its end, for which it has a second.
    peer.send(&data(b"unread").repeat(10));
    let started = Instant::now();
    let within = ms(100);
    assert_eq!(rig.block_on(rig.supervisor.close(within)), ["stuck".into()]);
    assert!(started.elapsed() >= within);
    assert!(rig.supervisor.names().is_empty());
    wait_until("its task is over", || rig.runtime.metrics().num_alive_tasks() == 0);
    // What was told before is still there, and then nothing.
    while let Some((_, event)) = rig.try_next() {
        assert!(matches!(event, Event::Data(_) | Event::Offline { .. }), "{event}");
    }
}

#[test]
fn events_that_are_not_taken_do_not_hold_up_the_end() {
    let mut rig = Rig::with_queue(1);
    let server = Listener::new();
    rig.add("unread", server.config()).unwrap();
    let mut peer = accept(&server);
    rig.online("unread");
    peer.send(&data(b"unread").repeat(10));
    let reader = std::thread::spawn(move || peer.read_to_end());
    assert!(rig.block_on(rig.supervisor.close(PATIENCE)).is_empty());
    reader.join().unwrap();
    while let Some((_, event)) = rig.try_next() {
        assert!(matches!(event, Event::Data(_) | Event::Offline { .. } | Event::Closed), "{event}");
    }
}

#[test]
fn dropping_it_closes_what_nobody_else_holds() {
    let mut rig = Rig::new();
    let (one, two) = (Listener::new(), Listener::new());
    rig.add("one", one.config()).unwrap();
    rig.add("two", two.config()).unwrap();
    let (mut closed, mut held) = (accept(&one), accept(&two));
    rig.online("one");
    let client = rig.supervisor.get("two").unwrap();
    let (other, _) = Supervisor::new();
    drop(core::mem::replace(&mut rig.supervisor, other));
    closed.read_to_end();
    drop(closed);
    rig.closed("one");
    client.try_send(b"mine".to_vec()).unwrap();
    held.expect_data(b"mine");
    drop(client);
    held.read_to_end();
    drop(held);
    rig.closed("two");
    assert!(rig.try_next().is_none());
}
