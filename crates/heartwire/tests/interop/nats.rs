//! `nats-server`, with lines: either end sends `PING`, the other one answers `PONG`.

use std::fs;
use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::{Heartbeat, Lines};
use heartwire_testkit::lasting_address;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use super::peer::Peer;
use super::{CALM, TIMEOUT, freeze, policy};

type Nats = Heartbeat<Framed<TcpStream, LinesCodec>, Lines>;

/// A server that asks every second, and lets two questions go unanswered.
async fn connect(policy: Policy) -> Option<(Peer, Nats)> {
    let address = lasting_address();
    let config =
        format!("host: 127.0.0.1\nport: {}\nping_interval: \"1s\"\nping_max: 2\n", address.port());
    let path = std::env::temp_dir().join(format!("heartwire-nats-{}.conf", address.port()));
    fs::write(&path, config).unwrap();
    let mut peer = Peer::start(Command::new("nats-server").arg("-c").arg(&path))?;
    let stream = peer.connect(address).await;
    fs::remove_file(path).unwrap();
    let mut lines = Framed::new(stream, LinesCodec::new());
    // A busy machine starts it late, after its system has accepted the connection.
    let info = lines.next().await.unwrap().unwrap();
    assert!(info.starts_with("INFO "), "{info}");
    let mut nats = Heartbeat::new(lines, Lines::default(), policy);
    nats.send(r#"CONNECT {"verbose":false}"#).await.unwrap();
    Some((peer, nats))
}

#[tokio::test]
async fn a_nats_that_is_frozen_is_dead() {
    let Some((peer, mut nats)) = connect(policy()).await else { return };
    assert!(timeout(CALM, nats.next()).await.is_err());
    nats.send("SUB pulse 1").await.unwrap();
    nats.send("PUB pulse 2\r\n72\r").await.unwrap();
    assert_eq!(nats.next().await.unwrap().unwrap(), "MSG pulse 1 2");
    assert_eq!(nats.next().await.unwrap().unwrap(), "72");
    freeze(&peer, async { nats.next().await?.unwrap_err().verdict() }).await;
}

#[tokio::test]
async fn the_beats_of_a_nats_are_answered_by_an_end_that_has_none() {
    let judge = Policy::builder().timeout(TIMEOUT).build().unwrap();
    let Some((_peer, mut nats)) = connect(judge).await else { return };
    // Lines end with a line feed here, and a payload has to end with both.
    // It would be gone after 3 s without answers.
    assert!(timeout(CALM, nats.next()).await.is_err());
    nats.send("SUB pulse 1\r\nPUB pulse 2\r\n72\r").await.unwrap();
    assert_eq!(nats.next().await.unwrap().unwrap(), "MSG pulse 1 2");
}
