//! A game server: its handler runs on the shard's thread, without queue or copy, and all players
//! get all positions twenty times a second.
//!
//! ```text
//! cargo run --example game
//! ```
//!
//! Three players in this program play for 5 s; one of them hangs after 2 s, and is out of the world
//! within 1.1 s after its last message.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]
#![expect(clippy::wildcard_enum_match_arm, reason = "not everything that happens matters here")]

use core::error::Error;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use heartwire::Policy;
use heartwire::client::{self, Client, ClientConfig, V1};
use heartwire::server::{Control, Event, Handler, Server, ServerConfig, SessionId};
use tokio::time::interval;

const TICK: Duration = Duration::from_millis(50);
const GAME: Duration = Duration::from_secs(5);

fn policy() -> Result<Policy, heartwire::PolicyError> {
    Policy::builder().interval(Duration::from_millis(250)).timeout(Duration::from_secs(1)).build()
}

/// The positions of all players, in a world of 256 by 256 without an edge. The shard writes it and
/// the ticker reads it, each for microseconds.
type World = Arc<Mutex<BTreeMap<SessionId, [u8; 2]>>>;

fn with<T>(world: &World, act: impl FnOnce(&mut BTreeMap<SessionId, [u8; 2]>) -> T) -> T {
    act(&mut world.lock().unwrap_or_else(PoisonError::into_inner))
}

/// One step, whatever a client claims. `None` if it is not a direction.
fn step([x, y]: [u8; 2], towards: &[u8]) -> Option<[u8; 2]> {
    match towards {
        b"n" => Some([x, y.wrapping_sub(1)]),
        b"e" => Some([x.wrapping_add(1), y]),
        b"s" => Some([x, y.wrapping_add(1)]),
        b"w" => Some([x.wrapping_sub(1), y]),
        _ => None,
    }
}

struct Game {
    world: World,
    start: Instant,
}

impl Game {
    fn say(&self, what: &str) {
        println!("{:5.1} s  server: {what}", self.start.elapsed().as_secs_f64());
    }
}

/// The shard does nothing else while this runs, so it must be fast.
impl Handler for Game {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        match event {
            Event::Online { id, agreed, .. } => {
                with(&self.world, |world| world.insert(id, [0, 0]));
                let name = agreed.and_then(|agreed| agreed.name).unwrap_or_default();
                self.say(&format!("{id} is {name}"));
            }
            Event::Data { id, data } => {
                let moved = with(&self.world, |world| {
                    let place = world.get_mut(&id)?;
                    *place = step(*place, data)?;
                    Some(())
                });
                if moved.is_none() {
                    // Our players never send that. A session that has just ended cannot be kicked.
                    let _ = control.kick(id);
                }
            }
            Event::Offline { id, reason, .. } => {
                with(&self.world, |world| world.remove(&id));
                self.say(&format!("{id} is out of the world: {reason}"));
            }
            _ => {}
        }
    }
}

/// A player that runs in circles, and hangs after a while if `hangs` is set.
fn play(
    name: &'static str,
    address: String,
    hangs_after: Option<Duration>,
) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let (client, mut events) = Client::start(
            ClientConfig::new(address).v1(V1::default().name(name)).policy(policy()?),
        );
        let mut clock = interval(Duration::from_millis(100));
        let mut steps = b"nesw".iter().cycle();
        let (mut seen, mut frames) = (0, 0);
        while start.elapsed() < GAME {
            if hangs_after.is_some_and(|after| start.elapsed() >= after) {
                // This blocks the runtime: no beats, no answers.
                thread::sleep(GAME.saturating_sub(start.elapsed()));
                return Ok(());
            }
            tokio::select! {
                _ = clock.tick() => if let Some(&step) = steps.next() {
                    // Refused while there is no connection: the next step may succeed.
                    let _ = client.try_send(vec![step]);
                },
                event = events.recv() => if let Some(client::Event::Data(positions)) = event {
                    frames += 1;
                    seen = positions.len() / 2;
                },
            }
        }
        println!("         {name}: {frames} frames; {seen} players in the last");
        client.close();
        while events.recv().await.is_some() {}
        Ok(())
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let world = World::default();
    // One thread, because several shards would share the world's lock.
    let config = ServerConfig::new("127.0.0.1:0".parse()?).policy(policy()?).threads(1);
    let server = Server::start(config, |_shard| Game { world: Arc::clone(&world), start })?;
    let address = server.local_addrs().first().ok_or("no address")?.to_string();

    let hangs = Duration::from_secs(2);
    let players = [("ann", None), ("bob", None), ("cat", Some(hangs))].map(|(name, hangs)| {
        let address = address.clone();
        thread::spawn(move || play(name, address, hangs).map_err(|error| error.to_string()))
    });

    let mut next = start;
    while start.elapsed() < GAME {
        next += TICK;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let positions = with(&world, |world| world.values().copied().collect::<Vec<_>>().concat());
        // If the server is too busy for this one, the next one follows.
        let _ = server.handle().broadcast(&positions);
    }
    for player in players {
        player.join().map_err(|_| "a player panicked")??;
    }
    server.handle().shutdown();
    server.join()?;
    Ok(())
}
