//! A WebSocket server for very many idle connections, and a client that hangs.
//!
//! ```text
//! cargo run --example websocket --features websocket
//! cargo run --example websocket --features websocket -- ws://127.0.0.1:8080
//! ```
//!
//! Without a URL the program runs both ends. With one it is a client: it prints messages, and the
//! verdict.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use core::error::Error;
use core::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::Heartbeat;
use heartwire::wrap::websocket::Ping;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, connect_async_with_config};

/// Small buffers. The defaults are 128 KiB to read and 128 KiB to write per connection, no limit to
/// writes that wait for a peer that does not read, and messages of up to 64 MiB.
fn small() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(4 * 1024)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(64 * 1024))
        .max_frame_size(Some(64 * 1024))
}

fn policy() -> Result<Policy, heartwire::PolicyError> {
    Policy::builder().interval(Duration::from_millis(500)).timeout(Duration::from_secs(2)).build()
}

/// Prints messages and sends them back, until the end.
async fn echo<S>(socket: WebSocketStream<S>, name: &str) -> Result<(), Box<dyn Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let say = |text: &str| println!("{:5.1} s  {name}: {text}", start.elapsed().as_secs_f64());
    let mut socket = Heartbeat::new(socket, Ping, policy()?);
    if let Some(bound) = socket.bound() {
        say(&format!("a silent peer is dead after {bound}"));
    }
    while let Some(message) = socket.next().await {
        match message {
            Ok(message) if message.is_close() => {}
            Ok(message) => {
                let rtt = socket.rtt().map(|rtt| format!("; round trip {rtt:.1?}"));
                say(&format!("{message}{}", rtt.unwrap_or_default()));
                socket.send(message).await?;
            }
            Err(error) => {
                say(&format!("{error}"));
                return Ok(());
            }
        }
    }
    say("closed");
    Ok(())
}

async fn hang(url: String) -> Result<(), Box<dyn Error>> {
    let (socket, _) = connect_async_with_config(url, Some(small()), true).await?;
    let mut socket = Heartbeat::new(socket, Ping, policy()?);
    let _nothing = timeout(Duration::from_secs(1), socket.next()).await;
    socket.send(Message::text("hello")).await?;
    // Waiting for the next message also sends beats, and answers the peer's.
    let _nothing = timeout(Duration::from_secs(4), socket.next()).await;
    let _nothing = timeout(Duration::from_secs(4), socket.next()).await;
    println!("         client: hangs from now on");
    sleep(Duration::from_secs(10)).await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(url) = std::env::args().nth(1) {
        let (socket, _) = connect_async_with_config(url, Some(small()), true).await?;
        return echo(socket, "client").await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let serve = async {
        let (stream, _) = listener.accept().await?;
        echo(accept_async_with_config(stream, Some(small())).await?, "server").await
    };
    tokio::select! {
        served = serve => served,
        hung = hang(url) => hung,
    }
}
