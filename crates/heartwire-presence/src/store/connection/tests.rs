use std::time::Instant;

use heartwire_testkit::RedisServer;
use redis::Commands as _;

use super::super::error::Unsuited;
use super::super::setup::Persistence;
use super::super::{Op, Outcome};
use super::*;

/// What a user of Redis must be allowed to do, as `ACL SETUSER` takes it, beside the keys
/// `~{hw}:*`.
const RIGHTS: &str = "+info +eval +evalsha +time +zadd +zrem +zscore +zrange +zrangebyscore +hget \
                      +hset +hsetnx +hdel +hmget +hgetall +hscan +sadd +srem +scard +sscan \
                      +srandmember +xadd +xread +xrange +get +set +del +exists";

fn address(redis: &RedisServer) -> Address {
    redis.url().parse().unwrap()
}

fn node() -> NodeId {
    NodeId::from_stored("a.00000001")
}

fn join() -> Call {
    Call::Join { node: node(), address: "10.0.0.7:80".into() }
}

fn apply(number: u64, op: Op) -> Call {
    Call::Apply { node: node(), number, ops: vec![op] }
}

fn online() -> Op {
    let (name, session, peer) = ("door 3".into(), "0-0-1".into(), "192.0.2.1:7".into());
    Op::Online { name, epoch: 7, session, instance: None, peer }
}

fn offline() -> Op {
    Op::Offline { name: "door 3".into(), epoch: 7, reason: "dead".into(), incident: None }
}

/// The call fails; the error's text.
async fn refused(store: &Store, call: Call) -> String {
    store.call(&call).await.unwrap_err().to_string()
}

#[tokio::test]
async fn store_goes_on_when_redis_has_lost_its_scripts() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let (store, _) = Store::connect(&address(&redis)).await.unwrap();
    assert!(matches!(store.call(&join()).await, Ok(Answer::Leased { .. })));
    let applied = Answer::Applied(vec![Outcome::Online { epoch: 7 }]);
    for number in 1..=2 {
        assert_eq!(store.call(&apply(number, online())).await.unwrap(), applied);
        redis.ask(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn commands_arrive_once_and_those_of_a_newer_version_are_passed_over() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let (store, _) = Store::connect(&address(&redis)).await.unwrap();
    store.call(&join()).await.unwrap();
    store.call(&apply(1, online())).await.unwrap();
    let mut commands =
        Commands::connect(&address(&redis), &node(), StreamId::default()).await.unwrap();
    let kick = || async {
        let call = Call::Kick { name: "door 3".into() };
        assert_eq!(store.call(&call).await.unwrap(), Answer::Kicked(Some(node())));
    };
    let expected = [Command::Kick { name: "door 3".into(), epoch: 7 }];
    redis.ask(&["XADD", "{hw}:cmd:a.00000001", "*", "command", "dance", "name", "door 3"]);
    kick().await;
    assert_eq!(commands.next().await.unwrap(), expected);
    // Dropped while it waits.
    tokio::select! {
        biased;
        commands = commands.next() => panic!("{commands:?}"),
        () = tokio::task::yield_now() => {}
    }
    kick().await;
    let after = commands.after();
    assert_eq!(commands.next().await.unwrap(), expected);
    // Another connection goes on where this one stopped.
    let mut commands = Commands::connect(&address(&redis), &node(), after).await.unwrap();
    assert_eq!(commands.next().await.unwrap(), expected);
}

#[tokio::test]
async fn redis_that_will_not_do_is_refused_before_anything_is_written() {
    let cases: [(&[&str], _); 3] = [
        (&["--maxmemory-policy", "allkeys-lru"], Unsuited::Evicts("allkeys-lru".to_owned())),
        (&["--replicaof", "127.0.0.1", "1"], Unsuited::Replica),
        (&["--cluster-enabled", "yes"], Unsuited::Cluster),
    ];
    for (arguments, expected) in cases {
        let Some(redis) = RedisServer::start(arguments) else { return };
        let error = Store::connect(&address(&redis)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unsuited(it) if *it == expected), "{error}");
    }
}

#[tokio::test]
async fn another_run_of_redis_has_another_identity_and_its_persistence_is_said() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let address = address(&redis);
    let connect = || async { Store::connect(&address).await.unwrap().1 };
    let setup = connect().await;
    assert_eq!(connect().await, setup);
    assert_eq!(setup.persistence, Persistence::Nothing);
    redis.ask(&["CONFIG", "SET", "save", "60 1"]);
    assert_eq!(connect().await.persistence, Persistence::Snapshots);
    redis.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(connect().await.persistence, Persistence::Log);
    redis.kill();
    redis.start_again();
    assert_ne!(connect().await.identity, setup.identity);
}

#[tokio::test]
async fn redis_that_stands_still_is_noticed_and_what_it_reads_late_does_not_count() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let (store, _) = Store::connect(&address(&redis)).await.unwrap();
    store.call(&join()).await.unwrap();
    redis.process().freeze();
    let asked_at = Instant::now();
    let error = store.call(&apply(1, online())).await.unwrap_err();
    assert!(matches!(error, StoreError::Silent(_)), "{error}");
    assert!(asked_at.elapsed() >= PATIENCE);
    let error = Store::connect(&address(&redis)).await.unwrap_err();
    assert!(matches!(error, StoreError::Silent(_)), "{error}");
    redis.process().thaw();
    // It has the first call in its buffer, and does it before or after the second.
    let (store, _) = Store::connect(&address(&redis)).await.unwrap();
    let applied = Answer::Applied(vec![Outcome::Offline]);
    assert_eq!(store.call(&apply(2, offline())).await.unwrap(), applied);
    assert_eq!(store.call(&apply(1, online())).await.unwrap(), Answer::Stale);
    assert_eq!(redis.ask(&["EXISTS", "{hw}:p"]), "0");
}

#[tokio::test]
async fn keys_of_something_else_are_an_error_that_names_the_key() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let (store, _) = Store::connect(&address(&redis)).await.unwrap();
    store.call(&join()).await.unwrap();
    for nonsense in ["", "7", "7 a.1 0-0-1 8 - ", "x a.1 0-0-1 8 - 192.0.2.1:7"] {
        redis.ask(&["HSET", "{hw}:p", "door 3", nonsense]);
        let expected = "Heartwire cannot read what Redis holds or answers: {hw}:p holds no record \
                        for the name \"door 3\", and no call with that name is done until it \
                        is removed: HDEL {hw}:p NAME";
        assert_eq!(refused(&store, apply(1, online())).await, expected);
        assert_eq!(refused(&store, Call::Kick { name: "door 3".into() }).await, expected);
    }
    redis.ask(&["SADD", "{hw}:n:a.00000001", "door 3"]);
    let error = refused(&store, Call::Names { node: node(), cursor: 0 }).await;
    assert!(error.contains("no record"), "{error}");
    redis.ask(&["ZADD", "{hw}:nodes", "0", "a.00000001"]);
    let error = refused(&store, Call::Reap { node: node(), most: 500 }).await;
    assert!(error.contains("no record"), "{error}");
    // What they say helps.
    redis.ask(&["HDEL", "{hw}:p", "door 3"]);
    let kick = Call::Kick { name: "door 3".into() };
    assert_eq!(store.call(&kick).await.unwrap(), Answer::Kicked(None));
    for (key, call) in [
        ("{hw}:p", apply(1, online())),
        ("{hw}:nodes", Call::Expired),
        ("{hw}:node:a.00000001", join()),
        ("{hw}:ev", Call::Tell { kind: "incident", detail: "{}".into() }),
        ("{hw}:n:a.00000001", Call::Names { node: node(), cursor: 0 }),
    ] {
        redis.ask(&["FLUSHALL"]);
        store.call(&join()).await.unwrap();
        redis.ask(&["DEL", key]);
        redis.ask(&["LPUSH", key, "nonsense"]);
        let error = refused(&store, call).await;
        assert!(error.contains("WRONGTYPE"), "{key}: {error}");
    }
}

#[tokio::test]
async fn user_with_these_rights_suffices_and_a_wrong_password_is_said_but_not_shown() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut acl = vec!["ACL", "SETUSER", "heartwire", "on", ">geheim", "~{hw}:*"];
    acl.extend(RIGHTS.split(' '));
    redis.ask(&acl);
    redis.ask(&["ACL", "SETUSER", "default", "off"]);
    let url = |password| format!("{}?user=heartwire&pass={password}", redis.url());
    let address: Address = url("geheim").parse().unwrap();
    let (store, setup) = Store::connect(&address).await.unwrap();
    assert_eq!(setup.persistence, Persistence::Unknown);
    let cursor = 0;
    for call in [
        join(),
        Call::Renew { node: node() },
        apply(1, online()),
        Call::Kick { name: "door 3".into() },
        Call::Compare { node: node() },
        Call::Names { node: node(), cursor },
        Call::Tell { kind: "incident", detail: "{}".into() },
        apply(2, offline()),
        apply(3, online()),
        Call::Expired,
        Call::Leave { node: node() },
        Call::Reap { node: node(), most: 500 },
    ] {
        store.call(&call).await.unwrap();
    }
    let mut commands = Commands::connect(&address, &node(), StreamId::default()).await.unwrap();
    let entry = [("command", "kick"), ("name", "door 3"), ("epoch", "7")];
    let client = Client::open(url("geheim")).unwrap();
    client
        .get_connection()
        .unwrap()
        .xadd::<_, _, _, _, ()>("{hw}:cmd:a.00000001", "*", &entry)
        .unwrap();
    assert_eq!(commands.next().await.unwrap().len(), 1);

    let address: Address = url("falsch").parse().unwrap();
    let error = Store::connect(&address).await.unwrap_err();
    let shown = format!("{error} {error:?} {address} {address:?}");
    assert!(matches!(error, StoreError::Refused(_)), "{shown}");
    assert!(!shown.contains("falsch"), "{shown}");
}

#[test]
fn address_is_shown_without_user_and_password() {
    for (url, shown) in [
        ("redis://10.0.0.7", "redis://10.0.0.7:6379"),
        ("redis://u:geheim@redis.example:7000/3", "redis://redis.example:7000/3"),
        ("rediss://:geheim@redis.example", "rediss://redis.example:6379"),
        (
            "redis+unix:///run/redis.sock?db=2&user=u&pass=geheim",
            "redis+unix:///run/redis.sock?db=2",
        ),
    ] {
        let address: Address = url.parse().unwrap();
        assert_eq!(address.to_string(), shown);
        let debug = format!("{address:?}");
        assert!(!debug.contains("geheim"), "{debug}");
    }
    for url in [
        "",
        "geheim",
        "http://u:geheim@host",
        "redis://u:geheim@host:99999",
        "redis://u:geheim@host/x",
    ] {
        let error = url.parse::<Address>().unwrap_err().to_string();
        assert!(error.starts_with("not the address of a Redis"), "{error}");
        assert!(!error.contains("geheim"), "{error}");
    }
}

/// Prints how fast a Redis beside it takes names, and how long the longest script holds it up:
/// `cargo test -p heartwire-presence --lib figures -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "it measures"]
async fn figures_of_announcing_comparing_and_reaping_100_000_names() {
    const NAMES: u64 = 100_000;
    let Some(redis) =
        RedisServer::start(&["--slowlog-log-slower-than", "1000", "--slowlog-max-len", "9999"])
    else {
        return;
    };
    let (store, setup) = Store::connect(&address(&redis)).await.unwrap();
    println!("{}", setup.version);
    store.call(&join()).await.unwrap();
    let batch = |number: u64, round: u64| {
        let ops = (number * 200..(number + 1) * 200).map(|name| Op::Online {
            name: format!("door {name} of the northern building").into(),
            epoch: 7 + round,
            session: format!("0-{name}-{round}").into(),
            instance: name.try_into().ok(),
            peer: "192.0.2.107:54321".into(),
        });
        Call::Apply { node: node(), number: round * NAMES + number, ops: ops.collect() }
    };
    for (round, what) in [(0, "new"), (1, "newer sessions")] {
        let began = Instant::now();
        for number in 0..NAMES / 200 {
            let Answer::Applied(outcomes) = store.call(&batch(number, round)).await.unwrap() else {
                panic!()
            };
            assert_eq!(outcomes.len(), 200);
        }
        let took = began.elapsed();
        println!("{NAMES} names, {what}: {took:.2?}; slow calls: {}", slow(&redis));
    }
    let (mut names, mut cursor, began) = (0, 0, Instant::now());
    loop {
        let call = Call::Names { node: node(), cursor };
        let Answer::Names { names: some, cursor: next } = store.call(&call).await.unwrap() else {
            panic!()
        };
        names += some.len();
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    println!("{names} names read: {:.2?}; slow calls: {}", began.elapsed(), slow(&redis));
    redis.ask(&["ZADD", "{hw}:nodes", "0", node().as_str()]);
    let (mut portions, mut longest) = (0, Duration::ZERO);
    loop {
        let began = Instant::now();
        let call = Call::Reap { node: node(), most: 500 };
        let Answer::Reaped { left, wait, .. } = store.call(&call).await.unwrap() else { panic!() };
        (portions, longest) = (portions + 1, longest.max(began.elapsed()));
        if left == 0 || portions == 20 {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    println!("{portions} portions of 500: {longest:.2?} at most; slow calls: {}", slow(&redis));
    let count = redis.ask(&["XLEN", "{hw}:ev"]);
    for (key, count) in [("{hw}:ev", count), ("{hw}:p", redis.ask(&["HLEN", "{hw}:p"]))] {
        println!("{key}: {count} take {} bytes", redis.ask(&["MEMORY", "USAGE", key]));
    }
}

/// How many calls held Redis up for a millisecond or longer, the longest, and the processor time of
/// Redis, since it was asked. On a busy machine a call takes longer than its processor time.
fn slow(redis: &RedisServer) -> String {
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut ask = redis::cmd("SLOWLOG");
    let entries: Vec<Vec<Value>> = ask.arg("GET").arg(-1).query(&mut connection).unwrap();
    redis::cmd("SLOWLOG").arg("RESET").exec(&mut connection).unwrap();
    let cpu = redis.ask(&["INFO", "cpu"]);
    let cpu = cpu.lines().filter(|line| line.starts_with("used_cpu_")).take(2);
    let cpu = cpu.map(|line| line.trim_end().split_once(':').unwrap().1.parse::<f64>().unwrap());
    let times = entries.iter().map(|entry| redis::from_redis_value_ref::<u64>(&entry[2]).unwrap());
    let (count, longest) = (times.clone().count(), times.max().unwrap_or(0));
    format!("{count}, {longest} µs at most; processor time so far {:.2} s", cpu.sum::<f64>())
}

#[tokio::test]
async fn peer_that_is_no_redis_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream
    });
    let address: Address = format!("redis+unix://{}", socket.display()).parse().unwrap();
    let error = Store::connect(&address).await.unwrap_err();
    assert!(matches!(error, StoreError::Garbage(_)), "{error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
    drop(peer.join().unwrap());
}

#[test]
fn answer_to_another_call_or_to_other_ops_is_none() {
    let call = apply(1, online());
    let applied = Answer::Applied(vec![Outcome::Online { epoch: 7 }]);
    assert!(applied.suits(&call) && !applied.suits(&join()));
    assert!(!Answer::Applied(vec![]).suits(&call));
    assert!(!Answer::Alive.suits(&call));
}
