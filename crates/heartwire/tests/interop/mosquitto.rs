//! `mosquitto`, with the beat that `examples/mqtt` writes for itself.

use std::process::Command;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::wrap::Heartbeat;
use heartwire_testkit::lasting_address;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::peer::Peer;
use super::{CALM, freeze, policy};

#[path = "../../examples/mqtt/packet.rs"]
mod packet;

use packet::{Codec, Packet, PingRequest};

#[tokio::test]
async fn a_mosquitto_that_is_frozen_is_dead() {
    let address = lasting_address();
    let port = address.port().to_string();
    let mut command = Command::new("mosquitto");
    // On Debian it is not in everybody's path. Without a configuration it keeps to loopback.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).args(["-p", &port]);
    let Some(mut peer) = Peer::start(&mut command) else { return };
    let stream = peer.connect(address).await;
    let mut mqtt = Heartbeat::new(Framed::new(stream, Codec), PingRequest, policy());

    // It drops a client that sends nothing for one and a half times this many seconds.
    mqtt.send(Packet::connect("heartwire", 2)).await.unwrap();
    let accepted = mqtt.next().await.unwrap().unwrap();
    assert_eq!(accepted, Packet::new(packet::CONNACK, b"\0\0"));
    assert!(timeout(CALM, mqtt.next()).await.is_err());
    mqtt.send(Packet::subscribe(1, "pulse")).await.unwrap();
    assert_eq!(mqtt.next().await.unwrap().unwrap(), Packet::new(packet::SUBACK, b"\0\x01\0"));
    mqtt.send(Packet::publish("pulse", b"72")).await.unwrap();
    assert_eq!(mqtt.next().await.unwrap().unwrap(), Packet::publish("pulse", b"72"));

    freeze(&peer, async { mqtt.next().await?.unwrap_err().verdict() }).await;
}
