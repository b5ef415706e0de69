//! Nodes that share presence through Redis.

use core::num::NonZero;
use core::time::Duration;
use std::os::unix::fs::symlink;

use heartwire::Reason;
use heartwire::server::EpochClock;
use heartwire::v1::{ByeCode, Hello, Offer, RetryHint};
use heartwire_presence::PresenceEvent;
use heartwire_testkit::{Got, Peer, RedisServer, hello_as, ms, patient, wait_until};
use tempfile::TempDir;

use crate::rig::{Node, config, runtime};

/// The id of the node that has a name, in the record of the name.
fn node_of(redis: &RedisServer, name: &str) -> String {
    let record = redis.ask(&["HGET", "{hw}:p", name]);
    record.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// What happened to names, in order: the kinds of change.
fn kinds(redis: &RedisServer) -> Vec<String> {
    let stream = redis.ask(&["XRANGE", "{hw}:ev", "-", "+"]);
    let lines: Vec<&str> = stream.lines().collect();
    let kinds = lines.windows(2).filter(|pair| pair.first() == Some(&"k"));
    kinds.filter_map(|pair| pair.last()).map(ToString::to_string).collect()
}

#[test]
fn newest_session_of_a_name_ends_the_older_one_on_another_node() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let start = |name| Node::start(&runtime, config(name).redis(&redis.url()).unwrap()).unwrap();
    let (a, b) = (start("a"), start("b"));
    let mut first = a.client(&runtime, "ann");
    wait_until("ann is at a", || node_of(&redis, "ann") == a.id());
    let mut second = b.client(&runtime, "ann");
    assert_eq!(first.ended(&runtime), Reason::Bye(ByeCode::TakenOver));
    wait_until("ann is at b", || node_of(&redis, "ann") == b.id());
    let _third = a.client(&runtime, "ann");
    assert_eq!(second.ended(&runtime), Reason::Bye(ByeCode::TakenOver));
    wait_until("ann is at a", || node_of(&redis, "ann") == a.id());
    assert_eq!(kinds(&redis), ["online", "moved", "moved"]);
    b.close(&runtime);
    a.close(&runtime);
    assert_eq!(kinds(&redis), ["online", "moved", "moved", "offline"]);
    assert_eq!(redis.ask(&["ZCARD", "{hw}:nodes"]), "0");
}

#[test]
fn older_session_ends_also_if_redis_hears_of_it_last() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    // Node a cannot reach Redis yet.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.sock");
    let url = format!("redis+unix://{}", path.display());
    let a = Node::start(&runtime, config("a").redis(&url).unwrap()).unwrap();
    a.told.wait_for("Redis is not there", |event| matches!(event, PresenceEvent::Lost { .. }));
    let b = Node::start(&runtime, config("b").redis(&redis.url()).unwrap()).unwrap();
    let mut older = a.client(&runtime, "ann");
    let _newer = b.client(&runtime, "ann");
    wait_until("ann is at b", || node_of(&redis, "ann") == b.id());
    assert_eq!(a.presence.status().waiting, 1);
    symlink(redis.socket(), &path).unwrap();
    assert_eq!(older.ended(&runtime), Reason::Bye(ByeCode::TakenOver));
    assert_eq!((node_of(&redis, "ann"), kinds(&redis)), (b.id(), vec!["online".to_owned()]));
    a.told.wait_for("Redis is there", |event| matches!(event, PresenceEvent::Back { .. }));
}

/// Its clock may differ, and the order of its sessions may be mistaken.
#[test]
fn client_that_is_on_two_nodes_may_come_back() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let start = |name| Node::start(&runtime, config(name).redis(&redis.url()).unwrap()).unwrap();
    let (a, b) = (start("a"), start("b"));
    let mut hello = Hello::new(Offer::new(&patient()));
    (hello.name, hello.instance) = (Some("ann"), NonZero::new(7));
    let addr = |node: &Node| *node.server.local_addrs().first().unwrap();
    let (mut first, _) = Peer::welcomed(addr(&a), &hello.encode());
    wait_until("ann is at a", || node_of(&redis, "ann") == a.id());
    let (_second, _) = Peer::welcomed(addr(&b), &hello.encode());
    let got = first.next_but_beats();
    let Got::Bye(ByeCode::TakenOver, RetryHint::Within { latest, .. }, _) = got else {
        panic!("{got:?}")
    };
    assert_eq!(latest, ms(1_000));
}

#[test]
fn end_that_is_held_back_is_never_told_if_the_name_comes_online_elsewhere() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let start = |name| {
        let config = config(name).offline_after(Duration::from_secs(3_600));
        Node::start(&runtime, config.redis(&redis.url()).unwrap()).unwrap()
    };
    let (a, b) = (start("a"), start("b"));
    let ann = a.client(&runtime, "ann");
    wait_until("ann is at a", || node_of(&redis, "ann") == a.id());
    drop(ann);
    wait_until("its end is held", || a.presence.status().held == 1);
    let _ann = b.client(&runtime, "ann");
    wait_until("it is held no more", || a.presence.status().held == 0);
    assert_eq!((node_of(&redis, "ann"), kinds(&redis).join(" ")), (b.id(), "online moved".into()));
}

#[test]
fn node_goes_on_under_a_new_id_when_redis_was_emptied() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let config = config("a").lease(Duration::from_secs(1)).redis(&redis.url()).unwrap();
    let a = Node::start(&runtime, config).unwrap();
    let _ann = a.client(&runtime, "ann");
    wait_until("ann is told", || node_of(&redis, "ann") == a.id());
    let before = a.id();
    redis.ask(&["FLUSHALL"]);
    a.told.wait_for(
        "it is fenced",
        |event| matches!(event, PresenceEvent::Fenced { node } if node.as_str() == before),
    );
    wait_until("ann is told again", || node_of(&redis, "ann") == a.id());
    assert_ne!(a.id(), before);
    // Commands come under the new id.
    let stream = format!("{{hw}}:cmd:{}", a.id());
    let late = "9007199254740991";
    redis.ask(&["XADD", &stream, "*", "command", "kick", "name", "ann", "epoch", late]);
    wait_until("ann is kicked", || redis.ask(&["HLEN", "{hw}:p"]) == "0");
}

#[test]
fn clock_of_epochs_follows_that_of_redis() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let a = Node::start(&runtime, config("a").redis(&redis.url()).unwrap()).unwrap();
    let clock = a.presence.epoch_clock();
    let right = EpochClock::new().now_micros();
    clock.correct(3_600_000_000);
    let _ann = a.client(&runtime, "ann");
    wait_until("it is set right", || clock.now_micros().abs_diff(right) < 1_800_000_000);
}

#[test]
fn sessions_outlive_redis_and_their_changes_are_told_afterwards() {
    for keeps in [true, false] {
        let Some(mut redis) = RedisServer::start(&[]) else { return };
        let runtime = runtime();
        let a = Node::start(&runtime, config("a").redis(&redis.url()).unwrap()).unwrap();
        let mut stays = a.client(&runtime, "stays");
        let leaves = a.client(&runtime, "leaves");
        wait_until("both are told", || redis.ask(&["HLEN", "{hw}:p"]) == "2");
        let before = a.id();
        if keeps {
            redis.ask(&["SAVE"]);
        }
        redis.kill();
        a.told.wait_for("Redis is gone", |event| matches!(event, PresenceEvent::Lost { .. }));
        drop(leaves);
        wait_until("it has left", || a.presence.status().names == 1);
        let _comes = a.client(&runtime, "comes");
        assert_eq!(a.presence.status().connected, Some(false));
        redis.start_again();
        a.told.wait_for("Redis is back", |event| matches!(event, PresenceEvent::Back { .. }));
        wait_until("all is told", || a.presence.status().waiting == 0);
        wait_until("the truth", || {
            let mut names: Vec<_> =
                redis.ask(&["HKEYS", "{hw}:p"]).lines().map(str::to_owned).collect();
            names.sort();
            names == ["comes", "stays"]
        });
        assert_eq!(a.presence.status().fenced, u64::from(!keeps));
        assert_eq!(a.id() == before, keeps);
        a.close(&runtime);
        assert!(matches!(stays.ended(&runtime), Reason::Bye(ByeCode::Draining)));
        assert_eq!(redis.ask(&["HLEN", "{hw}:p"]), "0");
    }
}

#[test]
fn redis_that_hangs_holds_up_no_session_and_what_it_reads_late_does_no_harm() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let start = |name| Node::start(&runtime, config(name).redis(&redis.url()).unwrap()).unwrap();
    let (a, b) = (start("a"), start("b"));
    let ann = a.client(&runtime, "ann");
    wait_until("ann is at a", || node_of(&redis, "ann") == a.id());
    let ids = (a.id(), b.id());
    redis.process().freeze();
    let _ann = b.client(&runtime, "ann");
    drop(ann);
    for node in [&a, &b] {
        node.told.wait_for("Redis hangs", |event| matches!(event, PresenceEvent::Lost { .. }));
    }
    let mut bob = a.client(&runtime, "bob");
    redis.process().thaw();
    wait_until("all is told", || {
        [&a, &b].iter().all(|node| {
            let status = node.presence.status();
            status.connected == Some(true) && status.waiting == 0
        })
    });
    wait_until("the truth", || {
        (node_of(&redis, "ann"), node_of(&redis, "bob")) == (ids.1.clone(), ids.0.clone())
    });
    assert_eq!((a.id(), b.id()), ids);
    a.close(&runtime);
    assert_eq!(bob.ended(&runtime), Reason::Bye(ByeCode::Draining));
    assert_eq!(node_of(&redis, "ann"), ids.1);
}

#[test]
fn clients_lost_at_once_are_one_incident_and_its_end_is_told_last() {
    const CLIENTS: usize = 150;
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let pace = NonZero::new(1_000).unwrap();
    let config = config("a").hold(Some(Duration::from_secs(1))).pace(pace);
    let a = Node::start(&runtime, config.redis(&redis.url()).unwrap()).unwrap();
    let addr = *a.server.local_addrs().first().unwrap();
    let names = 0..CLIENTS;
    let peers: Vec<_> =
        names.map(|name| Peer::welcomed(addr, &hello_as(&name.to_string(), None)).0).collect();
    let online = CLIENTS.to_string();
    wait_until("all are told", || redis.ask(&["HLEN", "{hw}:p"]) == online);
    peers.into_iter().for_each(Peer::reset);
    a.told.wait_for("it is over", |event| matches!(event, PresenceEvent::IncidentOver(_)));
    wait_until("all is told", || kinds(&redis).contains(&"incident_over".to_owned()));
    let kinds = kinds(&redis);
    let told = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!((told("online"), told("incident"), told("incident_over")), (CLIENTS, 1, 1));
    let count = |kind: &str| kinds.iter().position(|one| one == kind);
    assert_eq!((count("incident"), told("offline")), (Some(CLIENTS), CLIENTS));
    assert_eq!(kinds.last().map(String::as_str), Some("incident_over"));
    let status = a.presence.status();
    assert_eq!((status.incident, status.incidents, status.held), (None, 1, 0));
}

#[test]
fn redis_that_would_forget_is_refused_with_what_to_do() {
    let Some(redis) = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let runtime = runtime();
    let config = config("a").redis(&redis.url()).unwrap();
    let error = Node::start(&runtime, config.clone()).unwrap_err().to_string();
    assert!(error.contains("CONFIG SET maxmemory-policy noeviction"), "{error}");
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    Node::start(&runtime, config).unwrap().close(&runtime);
}

#[test]
fn operator_ends_the_session_of_a_name() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let a = Node::start(&runtime, config("a").redis(&redis.url()).unwrap()).unwrap();
    let mut ann = a.client(&runtime, "ann");
    wait_until("ann is told", || node_of(&redis, "ann") == a.id());
    let stream = format!("{{hw}}:cmd:{}", a.id());
    let late = "9007199254740991";
    redis.ask(&["XADD", &stream, "*", "command", "kick", "name", "ann", "epoch", late]);
    assert_eq!(ann.ended(&runtime), Reason::Bye(ByeCode::Kicked));
    wait_until("it is told", || redis.ask(&["HLEN", "{hw}:p"]) == "0");
}

/// As after a failover to a replica that lagged.
#[test]
fn commands_are_read_also_if_redis_has_forgotten_the_last_ones() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let a = Node::start(&runtime, config("a").redis(&redis.url()).unwrap()).unwrap();
    let (mut ann, mut bob) = (a.client(&runtime, "ann"), a.client(&runtime, "bob"));
    wait_until("both are told", || redis.ask(&["HLEN", "{hw}:p"]) == "2");
    redis.ask(&["SAVE"]);
    let kick = |redis: &RedisServer, id: &str, name: &str| {
        let (stream, late) = (format!("{{hw}}:cmd:{}", a.id()), "9007199254740991");
        redis.ask(&["XADD", &stream, id, "command", "kick", "name", name, "epoch", late]);
    };
    kick(&redis, "9999999999999-0", "bob");
    assert_eq!(bob.ended(&runtime), Reason::Bye(ByeCode::Kicked));
    redis.kill();
    a.told.wait_for("Redis is gone", |event| matches!(event, PresenceEvent::Lost { .. }));
    redis.start_again();
    a.told.wait_for("Redis is back", |event| matches!(event, PresenceEvent::Back { .. }));
    kick(&redis, "*", "ann");
    assert_eq!(ann.ended(&runtime), Reason::Bye(ByeCode::Kicked));
}

#[test]
fn part_that_fails_is_told() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let told = crate::rig::Told::default();
    let own = told.clone();
    let start = heartwire_presence::Presence::start(
        config("a").redis(&redis.url()).unwrap(),
        move |event| {
            assert!(!matches!(event, PresenceEvent::Joined { .. }), "a mistake");
            own.take(event);
        },
    );
    let presence = runtime.block_on(start).unwrap();
    told.wait_for("it is told", |event| {
        matches!(event, PresenceEvent::Failed { part: "link", error } if error.contains("panic"))
    });
    assert!(presence.status().failed);
}

/// A call that Redis refuses is made again and again, between others that it answers.
#[test]
fn redis_that_refuses_one_call_is_not_back_with_the_answer_to_another() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let runtime = runtime();
    let node = Node::start(&runtime, config("a").redis(&redis.url()).unwrap()).unwrap();
    let ann = node.client(&runtime, "ann");
    wait_until("ann is online", || node_of(&redis, "ann") == node.id());

    redis.ask(&["HSET", "{hw}:p", "ann", "no record"]);
    drop(ann);
    wait_until("it was refused four times", || {
        let stats = redis.ask(&["INFO", "errorstats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("errorstat_GARBAGE:count="));
        count.is_some_and(|count| count.trim().parse::<u64>().unwrap() >= 4)
    });
    let is_back = |event: &PresenceEvent| matches!(event, PresenceEvent::Back { .. });
    assert!(!node.told.has(is_back), "{:?}", node.told.all());

    redis.ask(&["HDEL", "{hw}:p", "ann"]);
    node.told.wait_for("Redis is back", is_back);
    node.close(&runtime);
}
