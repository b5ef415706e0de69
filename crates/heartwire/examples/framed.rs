//! A protocol of length-delimited frames, with a server that notices when a client hangs.
//!
//! ```text
//! cargo run --example framed
//! ```
//!
//! The client sends three frames, is idle for a while, and then hangs. Its kernel still
//! acknowledges, so only the missing heartbeats show it.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use core::error::Error;
use core::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::{EmptyFrame, Heartbeat};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

type Connection = Heartbeat<Framed<TcpStream, LengthDelimitedCodec>, EmptyFrame>;

/// The policy of both ends: a beat every 500 ms, and a timeout of 2 s.
fn wrap(stream: TcpStream) -> Result<Connection, Box<dyn Error>> {
    let policy = Policy::builder()
        .interval(Duration::from_millis(500))
        .timeout(Duration::from_secs(2))
        .build()?;
    let codec = LengthDelimitedCodec::builder().max_frame_length(64 * 1024).new_codec();
    Ok(Heartbeat::new(Framed::new(stream, codec), EmptyFrame, policy))
}

async fn serve(mut client: Connection, start: Instant) -> Result<(), Box<dyn Error>> {
    let say = |text: &str| println!("{:5.1} s  server: {text}", start.elapsed().as_secs_f64());
    if let Some(bound) = client.bound() {
        say(&format!("a silent client is dead after {bound}"));
    }
    while let Some(frame) = client.next().await {
        match frame {
            Ok(frame) => {
                say(&format!("{} bytes: {}", frame.len(), String::from_utf8_lossy(&frame)));
                client.send(frame.freeze()).await?;
            }
            Err(error) => {
                say(&format!("{error}"));
                return Ok(());
            }
        }
    }
    say("the client has gone");
    Ok(())
}

async fn talk(mut server: Connection, start: Instant) -> Result<(), Box<dyn Error>> {
    let say = |text: &str| println!("{:5.1} s  client: {text}", start.elapsed().as_secs_f64());
    for word in ["one", "two", "three"] {
        server.send(Bytes::from_static(word.as_bytes())).await?;
        if let Some(echo) = server.next().await {
            say(&format!("{} came back", String::from_utf8_lossy(&echo?)));
        }
        // Waiting for the next frame also sends the beats.
        let _nothing = timeout(Duration::from_secs(1), server.next()).await;
    }
    say("silent for 4 s: only heartbeats keep it connected");
    let _nothing = timeout(Duration::from_secs(4), server.next()).await;
    say("hangs from now on");
    sleep(Duration::from_secs(10)).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    let start = Instant::now();
    let (client, server) = (wrap(client)?, wrap(server)?);
    tokio::select! {
        served = serve(server, start) => served,
        talked = talk(client, start) => talked,
    }
}
