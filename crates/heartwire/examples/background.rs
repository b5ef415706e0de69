//! A device that goes to the background, where it sends fewer heartbeats, and comes back.
//!
//! ```text
//! cargo run --example background
//! ```
//!
//! The program runs both ends. The device promises fewer heartbeats before it sleeps, and the
//! server's timeout follows. Then the device dies in its sleep, and is detected by its last
//! promise.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]
#![expect(clippy::wildcard_enum_match_arm, reason = "not everything that happens matters here")]

use core::error::Error;
use core::time::Duration;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use heartwire::Policy;
use heartwire::client::{self, Client, ClientConfig, V1};
use heartwire::server::{Event, Server, ServerConfig};
use tokio::time::sleep;

/// In production: 10 s and 30 s in the foreground, and up to half an hour in the background.
fn policy() -> Result<Policy, heartwire::PolicyError> {
    Policy::builder()
        .interval(Duration::from_millis(500))
        .timeout(Duration::from_millis(1500))
        .build()
}

fn say(start: Instant, who: &str, what: &str) {
    println!("{:5.1} s  {who}: {what}", start.elapsed().as_secs_f64());
}

fn seconds(timeout: Option<Duration>) -> String {
    timeout.map_or("off".to_owned(), |timeout| format!("{timeout:?}"))
}

async fn live(address: String, start: Instant) -> Result<(), Box<dyn Error>> {
    let say = |what: &str| say(start, "device", what);
    let (device, mut events) = Client::start(
        ClientConfig::new(address).policy(policy()?).v1(V1::default().name("watch-7")),
    );
    let contract = loop {
        if let Some(client::Event::Online { welcome: Some(welcome), .. }) = events.recv().await {
            break welcome.contract;
        }
    };
    say(&format!("connected; {contract}"));
    let to_server = contract.to_server;
    sleep(Duration::from_secs(2)).await;

    let rarely = Duration::from_secs(2);
    say(&format!("in the background: interval {rarely:?}, so the server's timeout will be {}", {
        seconds(to_server.timeout_for(rarely))
    }));
    device.promise(Some(rarely));
    // Much longer than the negotiated timeout.
    sleep(Duration::from_secs(4)).await;

    say("in the foreground: the negotiated interval");
    device.promise(None);
    sleep(Duration::from_secs(2)).await;

    say("in the background again, and the battery is empty");
    device.promise(Some(rarely));
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let config = ServerConfig::new("127.0.0.1:0".parse()?).policy(policy()?);
    let (server, mut events) = Server::start_with_events(config)?;
    let address = server.local_addrs().first().ok_or("no address")?.to_string();

    // The device runs on its own thread, and hangs at the end: the socket stays open, and its
    // kernel still acknowledges.
    let (over, until_over) = mpsc::channel::<()>();
    let device = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let lived = runtime.map_err(Into::into).and_then(|runtime| {
            let lived = runtime.block_on(live(address, start));
            let _ = until_over.recv();
            lived
        });
        lived.map_err(|error: Box<dyn Error>| error.to_string())
    });

    let say = |what: &str| say(start, "server", what);
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Online { agreed: Some(agreed), .. } => {
                let timeout = seconds(agreed.contract.to_server.timeout());
                let name = agreed.name.unwrap_or_default();
                say(&format!("{name} is here: timeout {timeout}"));
            }
            Event::Promise { interval, timeout: Some(timeout), .. } => {
                say(&format!("promised interval {interval:?}: timeout now {timeout:?}"));
            }
            Event::Offline { reason, .. } => {
                say(&format!("gone: {reason}"));
                break;
            }
            _ => {}
        }
    }
    drop(over);
    device.join().map_err(|_| "the device panicked")??;
    Ok(())
}
