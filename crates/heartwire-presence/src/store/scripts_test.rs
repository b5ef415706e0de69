//! The scripts against their model, in a real Redis: random calls, and after each the same answer
//! and the same state.
//!
//! `HEARTWIRE_SEQUENCES=10000` runs that many sequences.

use core::num::NonZero;
use std::collections::{BTreeMap, HashMap, HashSet};

use heartwire_testkit::RedisServer;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use redis::streams::StreamRangeReply;
use redis::{Connection, FromRedisValue, Value};
use serde_json::json;

use super::connection::command;
use super::model::{About, Model, Told};
use super::script::{Script, answer, script};
use super::{Answer, Call, LEASE, Op, StreamId};
use crate::{Change, Entry, NodeId};

/// How many sequences run in the suite.
const SEQUENCES: u32 = 200;

/// Microseconds since 1970 when a sequence begins.
const START: u64 = 1_764_270_000_000_000;

const NODES: [&str; 4] = ["a.00000001", "a.00000002", "b.00000001", "b.c.00000001"];

#[test]
fn scripts_answer_as_their_model_does_and_leave_the_same_state() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let cases = std::env::var("HEARTWIRE_SEQUENCES").map_or(SEQUENCES, |it| it.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let client = redis::Client::open(redis.url()).unwrap();
    let connection = core::cell::RefCell::new(client.get_connection().unwrap());
    let steps = proptest::collection::vec(step(), 1..80);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut connection = connection.borrow_mut();
        let mut rig = Rig::new(&mut connection);
        for step in steps {
            rig.take(step)?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The clock of Redis goes on, or back: microseconds.
    Pass(i64),
    /// Redis loses all.
    Wipe,
    /// A call. The numbers of [`Call::Apply`] and the epochs in it are yet to be counted from what
    /// there is.
    Call(Call),
}

fn step() -> impl Strategy<Value = Step> {
    let times = vec![1, 2, 1_000, 249_000, 250_000, 250_000, 5_000_000, 15_000_000];
    let call = prop_oneof![
        3 => (node(), select(vec!["", "10.0.0.7:80"])).prop_map(|(node, address)| {
            Call::Join { node, address: address.into() }
        }),
        2 => node().prop_map(|node| Call::Renew { node }),
        12 => (node(), 0..10_u64, proptest::collection::vec(op(), 1..6)).prop_map(
            |(node, number, ops)| Call::Apply { node, number, ops }
        ),
        1 => node().prop_map(|node| Call::Compare { node }),
        1 => node().prop_map(|node| Call::Names { node, cursor: 0 }),
        2 => Just(Call::Expired),
        8 => (node(), 0..3_u32).prop_map(|(node, most)| Call::Reap { node, most }),
        1 => select(vec!["incident", "incident_over"]).prop_map(|kind| {
            Call::Tell { kind, detail: r#"{"text":"a \"quoted\" word"}"#.into() }
        }),
        1 => node().prop_map(|node| Call::Leave { node }),
        3 => name().prop_map(|name| Call::Kick { name }),
    ];
    prop_oneof![
        5 => select(times).prop_map(Step::Pass),
        1 => select(vec![-1, -1_000, -3_600_000_000]).prop_map(Step::Pass),
        30 => call.prop_map(Step::Call),
        // In about a third of the sequences.
        1 => proptest::bool::weighted(0.4).prop_map(|is_wiped| match is_wiped {
            true => Step::Wipe,
            false => Step::Pass(0),
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    // What is stored (1) or one less (0), before now (odd) or from now on (even), or far to come.
    let epoch = || prop_oneof![6 => 0..2_u64, 4 => 2..6_u64, 1 => Just(u64::MAX)];
    let session = select(vec!["0-0-1", "0-0-2", "3-17-4294967295"]);
    let instances = vec![None, NonZero::new(1), NonZero::new(u64::MAX)];
    let peer = select(vec!["192.0.2.1:7", "[2001:db8::1]:65535"]);
    prop_oneof![
        3 => (name(), epoch(), session, select(instances), peer).prop_map(
            |(name, epoch, session, instance, peer)| {
                let (session, peer) = (session.into(), peer.into());
                Op::Online { name, epoch, session, instance, peer }
            }
        ),
        2 => (name(), epoch(), select(vec![None, Some("a 1"), Some("")])).prop_map(
            |(name, epoch, incident)| {
                let incident = incident.map(Into::into);
                Op::Offline { name, epoch, reason: "dead".into(), incident }
            }
        ),
    ]
}

fn node() -> impl Strategy<Value = NodeId> {
    select(&NODES[..]).prop_map(NodeId::from_stored)
}

fn name() -> impl Strategy<Value = Box<str>> {
    let long = "é".repeat(127) + "!";
    let names = ["door 3", "-", "0", "q\"uo'te\\d / {hw}:p", "ключ 🔑\u{7f}\u{1}\n", &long];
    select(names.map(Box::<str>::from).to_vec())
}

/// What Redis holds.
struct Stored {
    keys: HashSet<String>,
    /// Since the last call.
    told: Vec<Told>,
    digests: BTreeMap<NodeId, u64>,
    /// The rest.
    model: Model,
}

/// A model, and a Redis beside it.
struct Rig<'a> {
    connection: &'a mut Connection,
    /// The scripts with the rig's clock.
    scripts: HashMap<*const Script, Script>,
    now: u64,
    model: Model,
    calls: u64,
    /// The last entry of the stream of changes that was compared.
    seen: String,
}

impl<'a> Rig<'a> {
    fn new(connection: &'a mut Connection) -> Self {
        let model = Model::default();
        let scripts = HashMap::new();
        let seen = "0".to_owned();
        let mut rig = Self { connection, scripts, now: START, model, calls: 0, seen };
        rig.ask::<()>("FLUSHALL", &[]);
        rig
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(time) => self.now = self.now.strict_add_signed(time),
            Step::Wipe => {
                self.ask::<()>("FLUSHALL", &[]);
                self.seen = "0".to_owned();
                self.model = Model::default();
            }
            Step::Call(Call::Names { node, .. }) => self.compare_names(&node)?,
            Step::Call(call) => {
                let call = self.counted(call);
                self.compare(&call)?;
            }
        }
        Ok(())
    }

    /// Counts the numbers of calls and the epochs from what there is.
    fn counted(&mut self, mut call: Call) -> Call {
        if let Call::Apply { number, ops, .. } = &mut call {
            self.calls += 1;
            // One in ten is older than the last, one is the last again.
            *number = self.calls.saturating_sub(number.saturating_sub(7));
            for op in ops {
                let stored = self.model.entries.get(op.name()).map(|entry| entry.epoch);
                let (Op::Online { epoch, .. } | Op::Offline { epoch, .. }) = op;
                *epoch = match *epoch {
                    u64::MAX => u64::MAX,
                    0 => stored.unwrap_or(self.now) - 1,
                    1 => stored.unwrap_or(self.now),
                    number if number % 2 == 0 => self.now + (number - 2) / 2,
                    number => self.now - number,
                };
            }
        }
        call
    }

    fn compare(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let answered = self.call(call);
        let Stored { keys, told, digests, model: stored } = self.stored();
        if let Call::Reap { .. } = call {
            let names = told.iter().filter_map(|told| match told {
                Told::Change(change) => Some(change.entry.name.clone()),
                Told::Incident { .. } => None,
            });
            self.model.reaped_first = names.collect();
        }
        let expected = self.model.call(call, self.now);
        self.model.reaped_first.clear();
        prop_assert_eq!(answered, expected, "the answer to {:?}", call);
        prop_assert_eq!(told, core::mem::take(&mut self.model.told), "told by {:?}", call);
        self.compare_keys(keys)?;
        // The ids of commands are of the clock that Redis has itself.
        for commands in self.model.commands.values_mut() {
            for (number, (id, _)) in commands.iter_mut().enumerate() {
                *id = nth(number);
            }
        }
        prop_assert_eq!(&stored, &self.model, "after {:?}", call);
        for node in self.model.nodes.clone().into_keys() {
            let digest = digests.get(&node).copied().unwrap_or_default();
            let names = self.model.names.get(&node).map_or(0, |it| it.len().try_into().unwrap());
            let expected = Answer::Digest { names, hash: digest };
            prop_assert_eq!(self.model.call(&Call::Compare { node }, 0), expected);
        }
        Ok(())
    }

    /// Portions are of any size: all together are compared.
    fn compare_names(&mut self, node: &NodeId) -> Result<(), TestCaseError> {
        let (mut all, mut cursor) = (BTreeMap::new(), 0);
        loop {
            let call = Call::Names { node: node.clone(), cursor };
            let Answer::Names { names, cursor: next } = self.call(&call) else { unreachable!() };
            all.extend(names);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let names = self.model.names.get(node).into_iter().flatten();
        let expected = names.map(|name| (name.clone(), self.model.entries[name].epoch));
        prop_assert_eq!(all, expected.collect::<BTreeMap<_, _>>());
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Answer {
        let (s, us) = (self.now / 1_000_000, self.now % 1_000_000);
        let script = script(call);
        let script = self.scripts.entry(script).or_insert_with(|| {
            let script = on_test_clock(script);
            redis::cmd("SCRIPT").arg("LOAD").arg(&script.text).exec(self.connection).unwrap();
            script
        });
        let mut pipe = redis::pipe();
        pipe.cmd("HSET").arg(&["clock", "s", &s.to_string(), "us", &us.to_string()]).ignore();
        pipe.add_command(script.cached(call, LEASE));
        let (value,) = pipe.query::<(Value,)>(self.connection).unwrap();
        answer(value).unwrap()
    }

    fn compare_keys(&self, keys: HashSet<String>) -> Result<(), TestCaseError> {
        let model = &self.model;
        let mut expected = HashSet::from(["clock".to_owned()]);
        let mut expect = |is_there: bool, key: &str| {
            if is_there {
                expected.insert(format!("{{hw}}:{key}"));
            }
        };
        expect(!model.nodes.is_empty(), "nodes");
        expect(!model.reaping.is_empty(), "reaping");
        expect(!model.entries.is_empty(), "p");
        expect(model.generation.is_some(), "gen");
        expect(model.last > 0, "last");
        expect(model.last > 0, "ev");
        for node in NODES.map(NodeId::from_stored) {
            expect(model.about.contains_key(&node), &format!("node:{node}"));
            expect(model.names.contains_key(&node), &format!("n:{node}"));
            expect(model.commands.contains_key(&node), &format!("cmd:{node}"));
        }
        prop_assert_eq!(keys, expected);
        Ok(())
    }

    /// All that Redis holds.
    fn stored(&mut self) -> Stored {
        let mut pipe = redis::pipe();
        pipe.cmd("KEYS").arg("*");
        pipe.cmd("XRANGE").arg(&["{hw}:ev", &format!("({}", self.seen), "+"]);
        pipe.cmd("ZRANGE").arg(&["{hw}:nodes", "0", "-1", "WITHSCORES"]);
        pipe.cmd("ZRANGE").arg(&["{hw}:reaping", "0", "-1", "WITHSCORES"]);
        pipe.cmd("HGETALL").arg("{hw}:p");
        pipe.cmd("GET").arg("{hw}:gen");
        pipe.cmd("GET").arg("{hw}:last");
        for node in NODES {
            pipe.cmd("HGETALL").arg(format!("{{hw}}:node:{node}"));
            pipe.cmd("SMEMBERS").arg(format!("{{hw}}:n:{node}"));
            pipe.cmd("XRANGE").arg(&[&format!("{{hw}}:cmd:{node}"), "-", "+"]);
        }
        let values: Vec<Value> = pipe.query(self.connection).unwrap();
        let mut values = values.into_iter();
        let keys = next(&mut values);
        let told: StreamRangeReply = next(&mut values);
        if let Some(last) = told.ids.last() {
            self.seen.clone_from(&last.id);
        }
        let mut stored = Model {
            nodes: by_node(next(&mut values)),
            reaping: by_node(next(&mut values)),
            entries: next::<Vec<(String, String)>>(&mut values)
                .into_iter()
                .map(|(name, packed)| (name.as_str().into(), entry(&name, &packed)))
                .collect(),
            generation: next(&mut values),
            last: next::<Option<u64>>(&mut values).unwrap_or(0),
            ..Model::default()
        };
        let mut digests = BTreeMap::new();
        for node in NODES.map(NodeId::from_stored) {
            let about: HashMap<String, String> = next(&mut values);
            if !about.is_empty() {
                let number = |field| about.get(field).map_or(0, |it| it.parse().unwrap());
                assert_eq!(about["name"], node.name());
                digests.insert(node.clone(), number("hash"));
                let address = about["address"].as_str().into();
                let about = About { since: number("since"), address, applied: number("applied") };
                stored.about.insert(node.clone(), about);
            }
            let names: Vec<String> = next(&mut values);
            if !names.is_empty() {
                stored.names.insert(node.clone(), names.into_iter().map(Into::into).collect());
            }
            let commands: StreamRangeReply = next(&mut values);
            if !commands.ids.is_empty() {
                let commands = commands.ids.iter().map(|entry| command(entry).unwrap());
                let commands = commands.enumerate().map(|(number, it)| (nth(number), it));
                stored.commands.insert(node, commands.collect());
            }
        }
        let told = told.ids.iter().map(told_in).collect();
        Stored { keys, told, digests, model: stored }
    }

    fn ask<T: FromRedisValue>(&mut self, verb: &str, arguments: &[&str]) -> T {
        redis::cmd(verb).arg(arguments).query(self.connection).unwrap()
    }
}

/// The script with a clock that the test sets.
fn on_test_clock(script: &Script) -> Script {
    let (time, clock) = ("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'us')");
    assert_eq!(script.text.matches(time).count(), 1);
    Script::new(script.text.replace(time, clock))
}

fn next<T: FromRedisValue>(values: &mut impl Iterator<Item = Value>) -> T {
    T::from_redis_value(values.next().unwrap()).unwrap()
}

fn by_node(scores: Vec<(String, u64)>) -> BTreeMap<NodeId, u64> {
    scores.into_iter().map(|(node, at)| (NodeId::from_stored(&node), at)).collect()
}

/// The ids of commands as they are compared.
fn nth(number: usize) -> StreamId {
    StreamId { ms: 0, sequence: number.try_into().unwrap() }
}

fn entry(name: &str, packed: &str) -> Entry {
    let fields: Vec<_> = packed.split(' ').collect();
    let [epoch, node, session, since, instance, peer] = fields[..] else { panic!("{packed:?}") };
    Entry {
        name: name.into(),
        epoch: epoch.parse().unwrap(),
        node: NodeId::from_stored(node),
        session: session.into(),
        since: since.parse().unwrap(),
        instance: (instance != "-").then(|| instance.parse().unwrap()),
        peer: peer.into(),
    }
}

/// Reads an entry of the stream of changes.
fn told_in(entry: &redis::streams::StreamId) -> Told {
    let field = |name| entry.get::<String>(name).unwrap();
    let (kind, number, detail) = (field("k"), field("n").parse().unwrap(), field("d"));
    if kind.starts_with("incident") {
        return Told::Incident { number, kind: kind.into(), detail: detail.into() };
    }
    let mut change: serde_json::Value = serde_json::from_str(&detail).unwrap();
    change["number"] = json!(number);
    change["kind"] = json!(kind);
    Told::Change(serde_json::from_value::<Change>(change).unwrap())
}
