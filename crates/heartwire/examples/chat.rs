//! A chat with presence: all clients see who is online, and who was lost.
//!
//! ```text
//! cargo run --example chat -- server
//! cargo run --example chat -- client ann
//! cargo run --example chat -- client bob
//! ```
//!
//! Type lines. Ctrl-D ends a client; a frozen one (`kill -STOP`) is lost 3.0 to 3.1 s after its
//! last beat. A second `ann` replaces the first.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]
#![expect(clippy::wildcard_enum_match_arm, reason = "not everything that happens matters here")]

use core::error::Error;
use core::time::Duration;
use std::collections::HashMap;
use std::io::stdin;
use std::thread;

use heartwire::client::{self, Client, ClientConfig, V1};
use heartwire::server::{Event, Protocols, Server, ServerConfig, SessionId};
use heartwire::v1::ByeCode;
use heartwire::{Policy, Reason};
use tokio::sync::mpsc;

/// The policy of both ends. It is short, for a demonstration; in production, begin with
/// `Preset::Default`.
fn policy() -> Result<Policy, heartwire::PolicyError> {
    Policy::builder().interval(Duration::from_secs(1)).timeout(Duration::from_secs(3)).build()
}

/// A peer's text, without control characters for the terminal.
fn clean(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(500).collect()
}

/// The room: the names of the clients online, by session.
struct Room {
    server: Server,
    names: HashMap<SessionId, Box<str>>,
}

impl Room {
    fn say(&self, line: &str) {
        println!("{line}");
        for &id in self.names.keys() {
            // A session that cannot be sent to is about to go offline.
            let _ = self.server.handle().send(id, line.as_bytes());
        }
    }

    fn handle(&mut self, event: Event<Vec<u8>>) {
        match event {
            Event::Online { id, agreed, .. } => match agreed.and_then(|agreed| agreed.name) {
                Some(name) => {
                    self.names.insert(id, name.clone());
                    let mut names: Vec<_> = self.names.values().map(AsRef::as_ref).collect();
                    names.sort_unstable();
                    self.say(&format!("* {name} is here; now: {}", names.join(", ")));
                }
                None => drop(self.server.handle().kick(id)),
            },
            Event::Data { id, data } => {
                if let Some(name) = self.names.get(&id) {
                    self.say(&format!("{name}: {}", clean(&data)));
                }
            }
            Event::Offline { id, reason, .. } => {
                let Some(name) = self.names.remove(&id) else { return };
                match reason {
                    Reason::Bye(ByeCode::Done) => self.say(&format!("* {name} has left")),
                    // The same name comes online again next.
                    Reason::TakenOver => {}
                    lost => self.say(&format!("* {name} was lost: {lost}")),
                }
            }
            _ => {}
        }
    }
}

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    // Names need protocol v1.
    let config = ServerConfig::new(address.parse()?).policy(policy()?).protocols(Protocols::V1);
    let (server, mut events) = Server::start_with_events(config)?;
    println!("listening on {}", server.local_addrs().first().ok_or("no address")?);
    let mut room = Room { server, names: HashMap::new() };
    while let Some(event) = events.recv().await {
        room.handle(event);
    }
    Ok(())
}

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

async fn talk(name: &str, address: &str) -> Result<(), Box<dyn Error>> {
    let config = ClientConfig::new(address).v1(V1::default().name(name)).policy(policy()?);
    let (client, mut events) = Client::start(config);
    let mut lines = typed();
    let mut typing = true;
    loop {
        tokio::select! {
            line = lines.recv(), if typing => match line {
                Some(line) => if let Err(error) = client.send(line.into_bytes()).await {
                    println!("* not sent: {error}");
                },
                None => {
                    typing = false;
                    client.close();
                }
            },
            event = events.recv() => match event {
                Some(client::Event::Data(line)) => println!("{}", clean(&line)),
                Some(client::Event::Online { welcome: Some(welcome), .. }) => {
                    println!("* in the room: {}", welcome.contract);
                }
                Some(client::Event::Offline { reason, .. }) => {
                    println!("* out of the room: {reason}");
                }
                Some(client::Event::Failed { error }) => println!("* {error}"),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server"] => serve("127.0.0.1:39010").await,
        ["server", address] => serve(address).await,
        ["client", name] => talk(name, "127.0.0.1:39010").await,
        ["client", name, address] => talk(name, address).await,
        _ => Err("say: server [ADDRESS], or: client NAME [ADDRESS]".into()),
    }
}
