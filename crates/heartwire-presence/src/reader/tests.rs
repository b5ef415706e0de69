//! Against a real Redis, with records and changes as nodes write them.

use core::time::Duration;
use std::collections::BTreeMap;

use heartwire_testkit::{PATIENCE, RedisServer};
use redis::aio::MultiplexedConnection;
use redis::{Client, Script};
use tokio::time::timeout;

use super::*;
use crate::{Directory, Kind};

/// What a node writes of a change, in one script as it does.
const WRITE: &str = r"
    if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1])
    else redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
    if ARGV[3] ~= '' then
      redis.call('XADD', KEYS[2], '*', 'k', ARGV[3], 'n', ARGV[4], 'd', ARGV[5])
    end
";

/// Plays nodes.
struct Nodes {
    connection: MultiplexedConnection,
    write: Script,
    /// The truth: the node and the epoch of each name.
    online: BTreeMap<String, (u64, u64)>,
    epoch: u64,
}

impl Nodes {
    async fn new(redis: &RedisServer) -> Self {
        let client = Client::open(redis.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        redis.ask(&["SET", "{hw}:gen", "one"]);
        Self { connection, write: Script::new(WRITE), online: BTreeMap::new(), epoch: 1_000 }
    }

    /// Puts a name online on a node, or takes it offline.
    async fn change(&mut self, name: &str, node: Option<u64>) {
        self.epoch += 1;
        let before = self.online.get(name).copied();
        let (kind, number) = match (before, node) {
            (None, None) => return,
            (None, Some(_)) => ("online", node),
            // The same client, connected anew: nothing is told.
            (Some((at, _)), Some(node)) if at == node => ("", Some(at)),
            (Some(_), Some(_)) => ("moved", node),
            (Some((at, _)), None) => ("offline", Some(at)),
        };
        let epoch = if node.is_some() { self.epoch } else { before.unwrap().1 };
        let (of, session) = (format!("n.{:08x}", number.unwrap()), format!("0-{epoch}-1"));
        let record = format!("{epoch} {of} {session} 5 - 192.0.2.7:9");
        let record = node.map_or("", |_| &record);
        let detail = serde_json::json!({
            "name": name, "epoch": epoch, "node": of, "session": session, "since": 5, "peer": "p",
        });
        let mut call = self.write.prepare_invoke();
        call.key("{hw}:p").key("{hw}:ev").arg(name).arg(record).arg(kind).arg(self.epoch);
        call.arg(detail.to_string()).invoke_async::<()>(&mut self.connection).await.unwrap();
        match node {
            Some(node) => drop(self.online.insert(name.to_owned(), (node, epoch))),
            None => drop(self.online.remove(name)),
        }
    }

    fn truth(&self) -> BTreeMap<String, String> {
        let node = |node| format!("n.{node:08x}");
        self.online.iter().map(|(name, (at, _))| (name.clone(), node(at))).collect()
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
    for name in 0..3_000_u64 {
        nodes.change(&format!("name {name}"), Some(name % 3)).await;
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut readers = Vec::new();
    for round in 0..6_000 {
        if round % 600 == 0 {
            readers.push(tokio::spawn(read_all(reader(&redis).await)));
        }
        let name = format!("name {}", random.u64(0..4_000));
        // On the same node, on another one, or offline.
        nodes.change(&name, [Some(0), Some(1), Some(2), None][random.usize(0..4)]).await;
    }
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
    redis.ask(&["SET", "{hw}:gen", "two"]);
    nodes.online.clear();
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
