//! Against a real Redis, written by the scripts of nodes.

use core::time::Duration;
use std::collections::BTreeMap;

use heartwire_testkit::{PATIENCE, RedisServer};
use tokio::time::{sleep, timeout};

use super::*;
use crate::store::{Answer, Call, Op, Store};
use crate::{Directory, Kind, NodeId};

/// Plays three nodes.
struct Nodes {
    store: Store,
    /// The truth: the node of each name.
    online: BTreeMap<String, u64>,
    /// Counts calls; the epochs of sessions as well.
    number: u64,
}

fn node(number: u64) -> NodeId {
    NodeId::from_stored(&format!("n.{number:08x}"))
}

impl Nodes {
    async fn new(redis: &RedisServer) -> Self {
        let (store, _) = Store::connect(&redis.url().parse().unwrap()).await.unwrap();
        let nodes = Self { store, online: BTreeMap::new(), number: 1_000 };
        nodes.join().await;
        nodes
    }

    async fn join(&self) {
        for number in 0..3 {
            let answer = self.call(Call::Join { node: node(number), address: "".into() }).await;
            assert!(matches!(answer, Answer::Leased { .. }), "{answer:?}");
        }
    }

    async fn call(&self, call: Call) -> Answer {
        self.store.call(&call).await.unwrap()
    }

    /// Puts a name online on a node, or takes it offline.
    async fn change(&mut self, name: &str, to: Option<u64>) {
        let Some(at) = to.or(self.online.get(name).copied()) else { return };
        self.number += 1;
        let (number, name) = (self.number, Box::from(name));
        let op = match to {
            Some(_) => self.online(name, at),
            None => {
                self.online.remove(&*name);
                Op::Offline { name, epoch: number, reason: "dead".into(), incident: None }
            }
        };
        self.apply(at, vec![op]).await;
    }

    /// Puts many names online, on each of the nodes.
    async fn announce(&mut self, names: u64) {
        for at in 0..3 {
            let names: Vec<_> = (0..names).filter(|name| name % 3 == at).collect();
            for names in names.chunks(200) {
                self.number += 1;
                let ops = names.iter().map(|name| self.online(format!("name {name}").into(), at));
                let ops = ops.collect();
                self.apply(at, ops).await;
            }
        }
    }

    fn online(&mut self, name: Box<str>, at: u64) -> Op {
        self.online.insert(name.to_string(), at);
        let (session, peer) = (format!("0-{}-1", self.number).into(), "192.0.2.7:9".into());
        Op::Online { name, epoch: self.number, session, instance: None, peer }
    }

    async fn apply(&self, at: u64, ops: Vec<Op>) {
        let answer = self.call(Call::Apply { node: node(at), number: self.number, ops }).await;
        assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
    }

    /// A node dies, and others tell its names offline.
    async fn lose(&mut self, lost: u64) {
        self.call(Call::Leave { node: node(lost) }).await;
        while let Answer::Reaped { left: 1.., wait, .. } =
            self.call(Call::Reap { node: node(lost), most: 500 }).await
        {
            sleep(wait).await;
        }
        self.online.retain(|_, at| *at != lost);
    }

    fn truth(&self) -> BTreeMap<String, String> {
        self.online.iter().map(|(name, at)| (name.clone(), node(*at).to_string())).collect()
    }
}

/// What an application keeps.
#[derive(Default)]
struct Kept(BTreeMap<String, String>);

impl Kept {
    fn apply(&mut self, reading: &Reading) {
        match reading {
            Reading::Snapshot { entries, .. } => {
                let node = |entry: &Entry| (entry.name.to_string(), entry.node.to_string());
                self.0 = entries.iter().map(node).collect();
            }
            Reading::Change(Change { kind: Kind::Offline, entry, .. }) => {
                assert!(self.0.remove(&*entry.name).is_some(), "{entry:?} was not online");
            }
            Reading::Change(Change { entry, .. }) => {
                self.0.insert(entry.name.to_string(), entry.node.to_string());
            }
            Reading::Incident { .. } | Reading::Disconnected(_) | Reading::Connected => {}
        }
    }
}

async fn next(reader: &mut Reader) -> Reading {
    timeout(PATIENCE, reader.next()).await.unwrap()
}

/// Reads up to the name `last`, which comes online at the end.
async fn read_all(mut reader: Reader) -> BTreeMap<String, String> {
    let mut kept = Kept::default();
    while !kept.0.contains_key("last") {
        kept.apply(&next(&mut reader).await);
    }
    kept.0
}

async fn reader(redis: &RedisServer) -> Reader {
    Directory::connect(&redis.url()).await.unwrap().reader()
}

/// The names of a snapshot, which is the next reading.
async fn snapshot(reader: &mut Reader) -> (Because, Vec<String>) {
    let reading = next(reader).await;
    let Reading::Snapshot { because, entries } = reading else { panic!("{reading:?}") };
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    (because, names)
}

async fn change(reader: &mut Reader) -> (Kind, String) {
    let reading = next(reader).await;
    let Reading::Change(change) = reading else { panic!("{reading:?}") };
    (change.kind, change.entry.name.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_changes_come_to_what_redis_has_while_thousands_of_names_change() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut nodes = Nodes::new(&redis).await;
    nodes.announce(3_000).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut readers = Vec::new();
    for round in 0..3_000 {
        if round % 300 == 0 {
            readers.push(tokio::spawn(read_all(reader(&redis).await)));
        }
        let name = format!("name {}", random.u64(0..4_000));
        // On the same node, on another one, or offline.
        nodes.change(&name, [Some(0), Some(1), Some(2), None][random.usize(0..4)]).await;
    }
    nodes.lose(2).await;
    nodes.change("last", Some(0)).await;
    for (number, reader) in readers.into_iter().enumerate() {
        assert!(reader.await.unwrap() == nodes.truth(), "reader {number}");
    }
}

#[tokio::test]
async fn reader_takes_a_new_snapshot_where_changes_were_lost() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let mut nodes = Nodes::new(&redis).await;
    let mut reader = reader(&redis).await;
    assert_eq!(snapshot(&mut reader).await, (Because::First, vec![]));
    nodes.change("a", Some(1)).await;
    assert_eq!(change(&mut reader).await, (Kind::Online, "a".to_owned()));

    // A reader that comes late: what it has not read is there, and then not all of it.
    for name in ["b", "c", "d"] {
        nodes.change(name, Some(1)).await;
    }
    assert_eq!(change(&mut reader).await, (Kind::Online, "b".to_owned()));
    for rest in ["c", "d"] {
        assert_eq!(change(&mut reader).await, (Kind::Online, rest.to_owned()));
    }
    nodes.change("a", None).await;
    nodes.change("b", Some(2)).await;
    redis.ask(&["XTRIM", "{hw}:ev", "MAXLEN", "1"]);
    let names = ["b", "c", "d"].map(str::to_owned).to_vec();
    assert_eq!(snapshot(&mut reader).await, (Because::FellBehind, names));

    redis.ask(&["FLUSHALL"]);
    assert_eq!(snapshot(&mut reader).await, (Because::Emptied, vec![]));
    nodes.online.clear();
    nodes.join().await;
    nodes.change("e", Some(1)).await;
    assert_eq!(snapshot(&mut reader).await, (Because::Emptied, vec!["e".to_owned()]));

    // Its last writes are lost.
    redis.ask(&["SAVE"]);
    nodes.change("f", Some(1)).await;
    assert_eq!(change(&mut reader).await, (Kind::Online, "f".to_owned()));
    redis.kill();
    assert!(matches!(next(&mut reader).await, Reading::Disconnected(_)));
    redis.start_again();
    assert_eq!(next(&mut reader).await, Reading::Connected);
    assert_eq!(snapshot(&mut reader).await, (Because::AnotherServer, vec!["e".to_owned()]));
}

#[tokio::test]
async fn reader_says_that_redis_hangs_and_then_goes_on_without_a_gap() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut nodes = Nodes::new(&redis).await;
    let mut reader = reader(&redis).await;
    assert_eq!(snapshot(&mut reader).await, (Because::First, vec![]));
    nodes.change("a", Some(1)).await;
    redis.process().freeze();
    let reading = next(&mut reader).await;
    let Reading::Disconnected(error) = reading else { panic!("{reading:?}") };
    assert!(error.to_string().contains("Redis does not answer"), "{error}");
    redis.process().thaw();
    nodes.change("b", Some(1)).await;
    assert_eq!(next(&mut reader).await, Reading::Connected);
    assert_eq!(change(&mut reader).await, (Kind::Online, "a".to_owned()));
    assert_eq!(change(&mut reader).await, (Kind::Online, "b".to_owned()));
}

#[tokio::test]
async fn next_that_is_dropped_loses_nothing() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut nodes = Nodes::new(&redis).await;
    let mut reader = reader(&redis).await;
    assert_eq!(snapshot(&mut reader).await, (Because::First, vec![]));
    let mut seen = 0;
    for number in 0..200 {
        nodes.change(&format!("name {number}"), Some(1)).await;
        while let Ok(reading) = timeout(Duration::from_micros(200), reader.next()).await {
            assert!(matches!(reading, Reading::Change(_)), "{reading:?}");
            seen += 1;
        }
    }
    for _ in seen..200 {
        change(&mut reader).await;
    }
}

#[tokio::test]
async fn reader_tells_incidents_and_skips_what_it_does_not_know() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut nodes = Nodes::new(&redis).await;
    let mut reader = reader(&redis).await;
    assert_eq!(snapshot(&mut reader).await, (Because::First, vec![]));
    let add = |words: &[&str]| redis.ask(&[&["XADD", "{hw}:ev", "*"], words].concat());
    add(&["k", "incident", "n", "5", "d", r#"{"incident":"a1"}"#]);
    add(&["k", "of a later version", "n", "6", "d", "{}"]);
    add(&["nothing", "of", "this", "kind"]);
    add(&["k", "incident_over", "n", "7", "d", "{}"]);
    nodes.change("a", Some(1)).await;
    let incident = |number, is_over, detail: &str| Reading::Incident {
        number,
        is_over,
        detail: detail.into(),
    };
    assert_eq!(next(&mut reader).await, incident(5, false, r#"{"incident":"a1"}"#));
    assert_eq!(next(&mut reader).await, incident(7, true, "{}"));
    assert_eq!(change(&mut reader).await, (Kind::Online, "a".to_owned()));
}
