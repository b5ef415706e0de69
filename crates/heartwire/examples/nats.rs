//! Subscribes to a subject of a NATS server. Both ends send PING, and both answer PONG.
//!
//! ```text
//! nats-server -a 127.0.0.1 -p 4222
//! cargo run --example nats -- 127.0.0.1:4222 pulse
//! printf 'CONNECT {"verbose":false}\r\nPUB pulse 2\r\n72\r\n' | nc -q 1 127.0.0.1 4222
//! ```
//!
//! Then freeze the server (`kill -STOP`): the verdict comes 10.0 to 10.1 s after its last answer.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use core::error::Error;
use core::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::{Heartbeat, Lines};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LinesCodec};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:4222".to_owned());
    let subject = args.next().unwrap_or_else(|| "pulse".to_owned());

    let stream = TcpStream::connect(address).await?;
    let policy = Policy::builder()
        .interval(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .build()?;
    let lines = Framed::new(stream, LinesCodec::new_with_max_length(64 * 1024));
    let mut nats = Heartbeat::new(lines, Lines::new("PING", "PONG"), policy);
    nats.send(r#"CONNECT {"verbose":false}"#.to_owned()).await?;
    nats.send(format!("SUB {subject} 1")).await?;

    while let Some(line) = nats.next().await {
        // The verdict ends the program, like any other error.
        println!("{}", line?);
    }
    println!("the server has closed the connection");
    Ok(())
}
