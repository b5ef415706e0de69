//! Many connections under names, on real sockets, to servers that each test plays by hand.

use core::future::Future;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use heartwire::client::{ClientConfig, Event, Reconnect, SendError};
use heartwire::supervisor::{AddError, Events, Supervisor};
use heartwire::{BackoffPolicy, Reason};
use heartwire_testkit::{Listener, PATIENCE, Peer, beat, data, ms, wait_until};
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
        Self::with_queue(Supervisor::MAX_EVENTS)
    }

    fn with_queue(max_events: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (supervisor, events) = Supervisor::with_queue(max_events);
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

    /// The next event, pauses of a busy machine apart.
    #[track_caller]
    fn next(&mut self) -> (Arc<str>, Event) {
        loop {
            match self.try_next().expect("it goes on") {
                (_, Event::Paused(_)) => {}
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
fn each_name_has_its_own_task_server_messages_and_events() {
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
    assert_eq!(rig.runtime.metrics().num_alive_tasks(), 5);
    drop(peers.remove(0));
    rig.next_of("n0", |event| matches!(event, Event::Offline { .. }));
    let _again = accept(&servers[0]);
    rig.online("n0");
    assert!(rig.supervisor.get("missing").is_none());
    let refused = rig.block_on(rig.supervisor.send("missing", b"x".to_vec())).unwrap_err();
    assert!(matches!(refused, SendError::Closed(data) if data == b"x"));
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
    // So does one that ends by itself leave its name.
    rig.add("one", server.config().reconnect(None)).unwrap();
    assert!(matches!(rig.next().1, Event::Connecting { attempt: 1 }));
    drop(accept(&server));
    rig.closed("one");
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

/// A seed is for tests: it must not bring all the connections back at the same moments.
#[test]
fn connections_with_the_same_settings_do_not_come_back_in_step() {
    let mut rig = Rig::new();
    let backoff = BackoffPolicy::default().first(ms(1_000_000)).cap(ms(1_000_000)).stable(ms(1));
    // No server listens there any more.
    let config = Listener::new().config().reconnect(Reconnect::new(backoff).seed(7));
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
    rig.supervisor.network_changed();
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

/// One event may wait, and none is taken.
#[test]
fn a_close_does_not_wait_for_the_application_and_cuts_off_a_server_that_does_not_close_in_time() {
    for closes in [true, false] {
        let mut rig = Rig::with_queue(1);
        let server = Listener::new();
        rig.add("unread", server.config()).unwrap();
        let mut peer = accept(&server);
        rig.online("unread");
        peer.send(&data(b"unread").repeat(10));
        // A server that does not close its end has a second for it.
        let within = if closes { PATIENCE } else { ms(100) };
        let reader = std::thread::spawn(move || {
            if closes {
                peer.read_to_end();
                return None;
            }
            Some(peer)
        });
        let started = Instant::now();
        let left = rig.block_on(rig.supervisor.close(within));
        if closes {
            assert!(left.is_empty(), "{left:?}");
        } else {
            assert_eq!(left, ["unread".into()]);
            assert!(started.elapsed() >= within);
        }
        drop(reader.join().unwrap());
        assert!(rig.supervisor.names().is_empty());
        wait_until("its task is over", || rig.runtime.metrics().num_alive_tasks() == 0);
        // What was told before is still there, and then nothing.
        while let Some((_, event)) = rig.try_next() {
            let is_told = matches!(event, Event::Data(_) | Event::Offline { .. })
                || closes && matches!(event, Event::Closed);
            assert!(is_told, "{event}");
        }
    }
}

#[test]
fn dropping_it_closes_the_clients_without_another_handle() {
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
