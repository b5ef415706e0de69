//! Against a real Redis, with records as nodes write them.

use core::fmt::Write as _;
use std::collections::HashSet;

use heartwire_testkit::RedisServer;

use super::*;

#[tokio::test]
async fn list_has_every_name_once_in_portions() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut directory = Directory::connect(&redis.url()).await.unwrap();
    let mut lines = String::new();
    for number in 0..5_000 {
        writeln!(lines, "HSET {{hw}}:p n{number} \"{number} eu.0000000a 0-1-1 7 - 192.0.2.7:9\"")
            .unwrap();
    }
    lines.push_str("HSET {hw}:p foreign \"something else\"\n");
    redis.type_in(&lines);
    let (mut names, mut seen, mut portions) = (directory.list(), HashSet::new(), 0);
    while let Some(portion) = names.portion().await.unwrap() {
        portions += 1;
        assert!(portion.iter().all(|entry| seen.insert(entry.name.clone())));
    }
    assert_eq!((seen.len(), portions > 3), (5_000, true), "{portions} portions");
    assert_eq!(directory.count().await.unwrap(), 5_001);
    let entry = directory.get("n4999").await.unwrap().unwrap();
    assert_eq!((entry.epoch, entry.node.name()), (4_999, "eu"));
    assert_eq!(directory.get("n5000").await.unwrap(), None);
}

#[tokio::test]
async fn nodes_are_there_expired_or_being_reaped() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let mut directory = Directory::connect(&redis.url()).await.unwrap();
    assert_eq!(directory.nodes().await.unwrap(), []);
    redis.type_in(
        "ZADD {hw}:nodes 99999999999999 eu-1.00000001 1000 eu-2.00000002\n\
         ZADD {hw}:reaping 1000 eu-3.00000003\n\
         HSET {hw}:node:eu-1.00000001 since 17 address 192.0.2.1:29002 names 2 hash 5\n\
         SADD {hw}:n:eu-1.00000001 a b\n",
    );
    let nodes = directory.nodes().await.unwrap();
    let names: Vec<_> = nodes.iter().map(|node| (node.id.name(), node.names)).collect();
    assert_eq!(names, [("eu-1", 2), ("eu-2", 0), ("eu-3", 0)]);
    assert_eq!(nodes[0].address.as_deref(), Some("192.0.2.1:29002"));
    assert_eq!((nodes[0].since, nodes[1].since), (Some(17), None));
    assert!(matches!(nodes[0].lease, Lease::Left(_)), "{nodes:?}");
    assert!(matches!(nodes[1].lease, Lease::Over(_)), "{nodes:?}");
    assert_eq!(nodes[2].lease, Lease::Reaping);
}

#[tokio::test]
async fn errors_say_what_to_do_and_never_the_password() {
    let refused = Directory::connect("http://x").await.unwrap_err().to_string();
    assert!(refused.contains("such as redis://host:6379"), "{refused}");
    // Nothing listens on this port of the loopback.
    let url = "redis://:secret@127.0.0.1:1/0";
    let unreachable = Directory::connect(url).await.unwrap_err().to_string();
    assert!(unreachable.contains("redis://127.0.0.1:1"), "{unreachable}");
    assert!(!unreachable.contains("secret"), "{unreachable}");
    let Some(redis) = RedisServer::start(&[]) else { return };
    redis.ask(&["CONFIG", "SET", "requirepass", "hush"]);
    let login = Directory::connect(&redis.url()).await.unwrap_err().to_string();
    assert!(login.contains("Authentication required"), "{login}");
    let url = format!("redis+unix://{}?pass=hush", redis.socket().display());
    Directory::connect(&url).await.unwrap();
}

#[tokio::test]
async fn directory_connects_anew_after_an_error() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let mut directory = Directory::connect(&redis.url()).await.unwrap();
    redis.kill();
    directory.count().await.unwrap_err();
    redis.start_again();
    assert_eq!(directory.count().await.unwrap(), 0);
}

#[tokio::test]
async fn kick_tells_the_node_of_the_name_if_it_is_there() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let directory = Directory::connect(&redis.url()).await.unwrap();
    redis.type_in(
        "ZADD {hw}:nodes 99999999999999 eu-1.00000001\n\
         HSET {hw}:p a \"17 eu-1.00000001 0-1-1 7 - 192.0.2.7:9\"\n\
         HSET {hw}:p b \"18 eu-2.00000002 0-1-1 7 - 192.0.2.7:9\"\n",
    );
    let told = directory.kick("a").await.unwrap().unwrap();
    assert_eq!(told.name(), "eu-1");
    assert_eq!(directory.kick("b").await.unwrap(), None, "its node is dead");
    assert_eq!(directory.kick("c").await.unwrap(), None, "offline");
    let commands = redis.ask(&["XRANGE", "{hw}:cmd:eu-1.00000001", "-", "+"]);
    assert!(commands.ends_with("command\nkick\nname\na\nepoch\n17"), "{commands}");
}
