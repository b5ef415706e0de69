//! A bad link: packets between two namespaces pass through a process that delays, reorders,
//! duplicates and damages them. It is made of two TUN interfaces, because few kernels have netem.

mod way;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use tappers::{Interface, Tun};

use self::way::Way;
use super::namespace::{Namespace, this_program};

/// Longer than the longest packet: TUN interfaces take 1500 B.
const MAX_PACKET: usize = 2048;

/// What the process prints when its interfaces are ready.
const READY: &str = "ready";

/// Impairments of a link, the same in both directions, all from one seed.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(super) struct Profile {
    /// How long each packet takes, each way.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(super) delay: Duration,
    /// How much longer one may take. Packets stay in order.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub(super) jitter: Duration,
    /// Percentage of packets without delay, which overtake earlier ones.
    #[arg(long, default_value_t = 0.0)]
    pub(super) reorder: f64,
    /// Percentage of packets that are duplicated.
    #[arg(long, default_value_t = 0.0)]
    pub(super) duplicate: f64,
    /// Percentage of packets with a flipped bit.
    #[arg(long, default_value_t = 0.0)]
    pub(super) flip: f64,
    /// Percentage of packets that are lost.
    #[arg(long, default_value_t = 0.0)]
    pub(super) loss: f64,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

impl Profile {
    /// The longest round trip, while no packet is lost.
    pub(super) const fn round_trip(&self) -> Duration {
        self.delay.saturating_add(self.jitter).saturating_mul(2)
    }

    /// What makes [`Part::Impair`](super::Part::Impair) do this.
    fn args(&self) -> Vec<String> {
        let time = |time: Duration| format!("{}us", time.as_micros());
        vec![
            format!("--delay={}", time(self.delay)),
            format!("--jitter={}", time(self.jitter)),
            format!("--reorder={}", self.reorder),
            format!("--duplicate={}", self.duplicate),
            format!("--flip={}", self.flip),
            format!("--loss={}", self.loss),
            format!("--seed={}", self.seed),
        ]
    }
}

/// Human-readable: only the impairments that are on.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.is_zero() {
            parts.push(format!("{} ms each way", self.delay.as_millis()));
        }
        if !self.jitter.is_zero() {
            parts.push(format!("up to {} ms more", self.jitter.as_millis()));
        }
        for (percent, what) in [
            (self.reorder, "overtake"),
            (self.duplicate, "come twice"),
            (self.flip, "have a bit flipped"),
            (self.loss, "are lost"),
        ] {
            if percent > 0.0 {
                parts.push(format!("{percent} % {what}"));
            }
        }
        f.write_str(&parts.join(", "))
    }
}

/// The process that plays a bad link. Dropping it takes the link away.
#[derive(Debug)]
pub(super) struct Impairer(Child);

impl Impairer {
    /// Makes a link between `near` and `far`, each a namespace and the interface that it will have.
    pub(super) fn start(
        profile: &Profile,
        near: (&Namespace, &str),
        far: (&Namespace, &str),
    ) -> anyhow::Result<Self> {
        let mut command = near.0.lasting_command(this_program()?);
        command.args(["net", "impair"]).args(profile.args()).args([near.1, far.1]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut this = Self(process);
        let mut line = String::new();
        let stdout = this.0.stdout.take().context("the link has no output")?;
        BufReader::new(stdout.take(64)).read_line(&mut line)?;
        ensure!(line.trim() == READY, "the bad link did not start");
        // The process goes on holding it, wherever it is.
        near.0.ip(&format!("link set dev {} netns {}", far.1, far.0.name()))?;
        Ok(this)
    }
}

impl Drop for Impairer {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Arguments of `net impair`, which the lab uses itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    profile: Profile,
    /// The interface at this end.
    near: String,
    /// The one at the other.
    far: String,
}

/// Plays the link until it is killed.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let near = Arc::new(interface(&args.near)?);
    let far = Arc::new(interface(&args.far)?);
    crate::output::print(READY)?;
    let profile = &args.profile;
    let there = forward(&near, &far, Way::new(profile.clone(), profile.seed));
    // Another stream of draws, from the same seed.
    let back = forward(&far, &near, Way::new(profile.clone(), !profile.seed));
    for way in there.into_iter().chain(back) {
        let _ = way.join();
    }
    Ok(())
}

fn interface(name: &str) -> anyhow::Result<Tun> {
    let tun = Interface::new(name).and_then(Tun::new_named);
    tun.with_context(|| format!("cannot make the TUN interface {name}"))
}

/// Packets in flight, by when they arrive and the order in which they were sent.
#[derive(Debug, Default)]
struct UnderWay {
    packets: Mutex<BTreeMap<(Instant, u64), Vec<u8>>>,
    changed: Condvar,
}

/// Takes packets from one interface to another, on two threads.
fn forward(from: &Arc<Tun>, to: &Arc<Tun>, mut way: Way) -> [thread::JoinHandle<()>; 2] {
    let under_way = Arc::new(UnderWay::default());
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    let sender = Arc::clone(&under_way);
    let take = thread::spawn(move || {
        let start = Instant::now();
        let mut buffer = vec![0; MAX_PACKET];
        let mut number = 0;
        loop {
            let Ok(len) = from.recv(&mut buffer) else {
                // It is down, or just moving to its namespace.
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            let packet = buffer.get(..len).unwrap_or_default();
            let mut packets = sender.packets.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, packet) in way.send(start.elapsed(), packet) {
                number += 1;
                packets.insert((start + at, number), packet);
            }
            drop(packets);
            sender.changed.notify_one();
        }
    });
    let deliver = thread::spawn(move || {
        loop {
            let packet = under_way.next();
            // An interface that is down takes nothing, as a cable that is not plugged in.
            let _ = to.send(&packet);
        }
    });
    [take, deliver]
}

impl UnderWay {
    /// Waits until a packet arrives.
    fn next(&self) -> Vec<u8> {
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let wait = match packets.first_key_value() {
                Some((&(due, _), _)) if due <= now => {
                    if let Some((_, packet)) = packets.pop_first() {
                        return packet;
                    }
                    Duration::ZERO
                }
                Some((&(due, _), _)) => due.saturating_duration_since(now),
                None => Duration::from_secs(3600),
            };
            let waited = self.changed.wait_timeout(packets, wait);
            packets = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
