//! Sends typed commands to a Redis server, and detects when it is dead.
//!
//! ```text
//! redis-server --port 6379
//! cargo run --example redis -- 127.0.0.1:6379
//! SET pulse 72
//! ```
//!
//! Then freeze the server (`kill -STOP`): the verdict comes 10.0 to 10.1 s after its last answer.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use core::error::Error;
use core::time::Duration;
use std::io::stdin;
use std::thread;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::{Heartbeat, Lines};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LinesCodec};

/// Lines from standard input, read by a separate thread, because a runtime that ends would wait for
/// its read.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    let stream = TcpStream::connect(address).await?;
    let policy = Policy::builder()
        .interval(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .build()?;
    let lines = Framed::new(stream, LinesCodec::new_with_max_length(64 * 1024));
    let mut redis = Heartbeat::new(lines, Lines::new("PING", "+PONG"), policy);

    let mut commands = typed();
    loop {
        tokio::select! {
            reply = redis.next() => match reply {
                // The verdict ends the program, like any other error.
                Some(reply) => println!("{}", reply?),
                None => break,
            },
            command = commands.recv() => match command {
                Some(command) => redis.send(command).await?,
                None => break,
            },
        }
    }
    Ok(())
}
