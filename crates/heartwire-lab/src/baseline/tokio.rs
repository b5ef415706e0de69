//! What a Rust user writes today: a tokio task and a `timeout` around each `read`, per connection.
//!
//! A connection that sends nothing for the timeout is closed. One worker thread, as every server in
//! `heartwire-lab bench --compare` has one thread for its connections.

use core::net::SocketAddr;
use core::time::Duration;

use ::tokio::io::AsyncReadExt;
use ::tokio::net::{TcpListener, TcpSocket, TcpStream};
use ::tokio::time::timeout;

use crate::output;

pub(super) fn run(addr: SocketAddr, silence: Duration) -> anyhow::Result<()> {
    let runtime =
        ::tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(4096)?;
        output::print(format_args!("listening on {}", listener.local_addr()?))?;
        // As a task, so that it runs on the worker and not on the main thread.
        ::tokio::spawn(accept(listener, silence)).await?
    })
}

async fn accept(listener: TcpListener, silence: Duration) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        ::tokio::spawn(hold(stream, silence));
    }
}

/// Reads until the client leaves, or is silent for too long. Either way the stream is dropped.
async fn hold(mut stream: TcpStream, silence: Duration) {
    let mut buffer = [0_u8; 64];
    while let Ok(Ok(1..)) = timeout(silence, stream.read(&mut buffer)).await {}
}
