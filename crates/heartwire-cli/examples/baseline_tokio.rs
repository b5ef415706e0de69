//! What a Rust user writes today: a tokio task and a `timeout` around each `read`, per connection.
//!
//! ```text
//! baseline_tokio 127.0.0.1:0 [LIMIT, default 15s]
//! ```
//!
//! A connection that sends nothing for the limit is closed. One worker thread, as every server in
//! `heartwire bench --compare` has one thread for its connections.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use core::net::SocketAddr;
use core::time::Duration;
use std::env;

use anyhow::Context;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

fn main() -> anyhow::Result<()> {
    let addr: SocketAddr = env::args().nth(1).context("give an address")?.parse()?;
    let limit = env::args().nth(2).map(|limit| humantime::parse_duration(&limit)).transpose()?;
    let limit = limit.unwrap_or(Duration::from_secs(15));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(4096)?;
        println!("listening on {}", listener.local_addr()?);
        // As a task, so that it runs on the worker and not on the main thread.
        tokio::spawn(accept(listener, limit)).await?
    })
}

async fn accept(listener: TcpListener, limit: Duration) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(hold(stream, limit));
    }
}

/// Reads until the client leaves, or is silent for too long. Either way the stream is dropped.
async fn hold(mut stream: TcpStream, limit: Duration) {
    let mut buffer = [0_u8; 64];
    while let Ok(Ok(1..)) = timeout(limit, stream.read(&mut buffer)).await {}
}
