//! An echo over bare TCP that leaves liveness to the kernel: the tutorial's second client.
//!
//! ```text
//! cargo run --example keepalive
//! cargo run --example keepalive -- 127.0.0.1:39011
//! ```
//!
//! Without an address the program also runs the server, which sends a word, receives it in upper
//! case, disconnects, and accepts the client again. With an address it is only the client, until
//! Ctrl-C.
//!
//! There are no heartbeats, so a hung server is never detected: its kernel answers the probes. Only
//! a machine or a path that is gone is detected.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]
#![expect(clippy::wildcard_enum_match_arm, reason = "not everything that happens matters here")]

use core::error::Error;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use heartwire::client::{Client, ClientConfig, Event, Reconnect};
use heartwire::kernel::{Keepalive, KernelOptions, KernelTimers};
use heartwire::{BackoffPolicy, Policy};

/// The server. It ends the program after two words.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for word in [b"hello", b"again"] {
        let (mut client, _) = listener.accept()?;
        client.write_all(word)?;
        let mut echo = [0; 5];
        client.read_exact(&mut echo)?;
        println!("the server hears {}", String::from_utf8_lossy(&echo));
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

async fn echo(address: String) -> Result<(), Box<dyn Error>> {
    let secs = Duration::from_secs;
    let probes = Keepalive::new(secs(3), secs(3), 3)?;
    // The tutorial sets no user timeout: the kernel sends no probes while data is in flight, and
    // would then detect nothing for a quarter of an hour.
    let timers = KernelTimers::new(Some(probes), Some(probes.bound()))?;
    let kernel = KernelOptions::default().timers(timers);
    println!("a silent path is dead after {:?}, by the kernel alone", probes.bound());

    let config = ClientConfig::new(address)
        .raw()
        .policy(Policy::builder().build()?)
        .kernel(kernel)
        .reconnect(Reconnect::new(BackoffPolicy::fixed(Duration::from_millis(100))));
    let (client, mut events) = Client::start(config);
    let mut failures = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Online { peer, kernel, .. } => {
                failures = 0;
                println!("connected with {peer}: {kernel}");
            }
            Event::Data(mut bytes) => {
                bytes.make_ascii_uppercase();
                // Refused if the connection has just ended; `Offline` follows.
                let _ = client.send(bytes).await;
            }
            Event::Offline { reason, .. } => println!("lost: {reason}"),
            Event::Failed { error } => {
                failures += 1;
                if failures == 1 {
                    println!("{error}; trying every 100 ms");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return echo(address).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = tokio::task::spawn_blocking(move || serve(&listener));
    tokio::select! {
        served = server => Ok(served??),
        echoed = echo(address) => echoed,
    }
}
