//! `redis-server`, with lines: an inline `PING`, and its `+PONG`.

use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::wrap::{Heartbeat, Lines};
use heartwire_testkit::lasting_address;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use super::peer::Peer;
use super::{CALM, freeze, policy};

#[tokio::test]
async fn a_redis_that_is_frozen_is_dead() {
    let address = lasting_address();
    let port = address.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
    let Some(mut peer) = Peer::start(&mut command) else { return };
    let stream = peer.connect(address).await;
    let lines = Framed::new(stream, LinesCodec::new());
    let mut redis = Heartbeat::new(lines, Lines::new("PING", "+PONG"), policy());

    // It says nothing of its own, and its answers to beats are not shown.
    assert!(timeout(CALM, redis.next()).await.is_err());
    redis.send("SET pulse 72").await.unwrap();
    assert_eq!(redis.next().await.unwrap().unwrap(), "+OK");
    redis.send("GET pulse").await.unwrap();
    assert_eq!(redis.next().await.unwrap().unwrap(), "$2");
    assert_eq!(redis.next().await.unwrap().unwrap(), "72");

    freeze(&peer, async { redis.next().await?.unwrap_err().verdict() }).await;
}
