//! Subscribes to a topic of an MQTT broker, with a `Beat` written for MQTT.
//!
//! ```text
//! mosquitto -p 1883
//! cargo run --example mqtt -- 127.0.0.1:1883 pulse
//! mosquitto_pub -t pulse -m 72
//! ```
//!
//! Then freeze the broker (`kill -STOP`): the verdict comes 10.0 to 10.1 s after its last answer.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

mod packet;

use core::error::Error;
use core::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::Heartbeat;
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use packet::{CONNACK, Codec, PUBLISH, Packet, PingRequest, SUBACK};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:1883".to_owned());
    let topic = args.next().unwrap_or_else(|| "pulse".to_owned());

    let stream = TcpStream::connect(address).await?;
    let policy = Policy::builder()
        .interval(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .build()?;
    let mut mqtt = Heartbeat::new(Framed::new(stream, Codec), PingRequest, policy);
    mqtt.send(Packet::connect("heartwire-example", 10)).await?;
    mqtt.send(Packet::subscribe(1, &topic)).await?;

    while let Some(packet) = mqtt.next().await {
        // The verdict ends the program, like any other error.
        let Packet { kind, body } = packet?;
        match kind {
            CONNACK => println!("connected"),
            SUBACK => {
                println!("listening to {topic}");
                mqtt.send(Packet::publish(&topic, b"hello, listeners")).await?;
            }
            kind if kind & 0xf0 == PUBLISH => {
                println!("{}", String::from_utf8_lossy(body.get(2 + topic.len()..).unwrap_or(b"")));
            }
            kind => println!("a packet of type {:#x}", kind >> 4),
        }
    }
    println!("the broker has closed the connection");
    Ok(())
}
