//! What a beat and an expired deadline cost a server with 10 thousand and with 10 million sessions.
//!
//! Each session is what a shard keeps of one: a [`Connection`] and its entry in the [`Wheel`]. All
//! of them beat every 3 s and are judged after 15 s, so five beats lie between two expiries.
//! `interval` is what a beat that is read costs: it is heard and decoded, and no timer moves.
//! `expiry` is what a deadline costs that has moved since it was set: the wheel wakes for it, the
//! connection says that no peer is dead, and the wheel is set again.
//!
//! Sessions come up in the order in which they were accepted (`sequential`) or in any other
//! (`random`). The work is the same. But ten million sessions are more than a gigabyte, and in any
//! other order each one comes from main memory.
//!
//! `cargo bench -p heartwire-core --all-features --bench sessions` prints nanoseconds per
//! operation, and the ratio. One run on a shared core of an EPYC with 1 MiB of L2 and 32 MiB of L3:
//!
//! | operation | order | 10000 | 10000000 | ratio |
//! |---|---|---|---|---|
//! | beat | sequential | 6 | 8 | 1.3 |
//! | expiry | sequential | 31 | 37 | 1.2 |
//! | beat | random | 10 | 84 | 8.2 |
//! | expiry | random | 52 | 599 | 11.5 |

#![expect(clippy::print_stdout, reason = "it prints a table")]
#![expect(clippy::expect_used, reason = "a mistake in here has to stop it")]

use core::hint::black_box;
use core::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use heartwire_core::order::{Next, Outbound};
use heartwire_core::wheel::Wheel;
use heartwire_core::{Connection, Instant, Preset, Settings, Side, frame};

const SIZES: [u32; 2] = [10_000, 10_000_000];
const TICK: Duration = Duration::from_millis(4);
const BEAT: Duration = Duration::from_secs(3);
/// Each figure is the cheapest of so many rounds over at least [`OPERATIONS`]: whatever else the
/// machine does makes a round dearer, never cheaper.
const ROUNDS: u32 = 3;
const OPERATIONS: u32 = 10_000_000;

struct Server {
    sessions: Vec<Connection>,
    wheel: Wheel,
    /// The order in which sessions beat, and expire.
    order: Vec<u32>,
    gap: Duration,
    now: Instant,
}

impl Server {
    /// All sessions accepted within one beat, so that beats and deadlines lie evenly in time.
    fn new(size: u32, shuffled: bool) -> Self {
        let settings = Settings::new(Preset::Tutorial.policy(Side::Server));
        let mut order: Vec<u32> = (0..size).collect();
        if shuffled {
            fastrand::Rng::with_seed(1).shuffle(&mut order);
        }
        let now = Instant::from_nanos(0);
        let sessions = vec![Connection::new(settings, now); order.len()];
        let mut wheel = Wheel::new(TICK);
        // With the largest key the wheel takes all its memory.
        wheel.insert(size - 1, now);
        wheel.remove(size - 1);
        let mut server = Self { sessions, wheel, order, gap: BEAT / size, now };
        server.beat_all();
        for &key in &server.order {
            let deadline = session(&mut server.sessions, key).poll_timeout();
            server.wheel.insert(key, deadline.expect("it has a timeout"));
        }
        server
    }

    /// Each session beats once, in one interval.
    fn beat_all(&mut self) {
        for &key in &self.order {
            self.now = self.now.saturating_add(self.gap);
            let session = session(&mut self.sessions, key);
            session.handle_heard(self.now);
            let mut bytes = black_box(frame::BEAT.as_slice());
            let received = session.handle_received(self.now, &mut bytes);
            received.expect("a beat breaks no rule");
        }
    }

    /// Wakes for every deadline until now, tick by tick as a shard does. All of them have moved
    /// since they were set, and are set again. Returns how many there were.
    fn expire_all(&mut self) -> u32 {
        let mut expired = 0;
        while let Some(now) = self.wheel.next_wake().filter(|&wake| wake <= self.now) {
            while let Some(key) = self.wheel.poll(now) {
                expired += 1;
                let session = session(&mut self.sessions, key);
                let Next::SleepUntil(Some(until)) = session.poll(now, Outbound::Clear) else {
                    panic!("all of them beat, and have a timeout")
                };
                self.wheel.insert(key, until);
            }
        }
        expired
    }

    /// Nanoseconds for a beat, and for an expiry.
    fn round(&mut self, size: u32) -> [f64; 2] {
        let (mut beats, mut beating) = (0, Duration::ZERO);
        let (mut expiries, mut expiring) = (0, Duration::ZERO);
        while beats < OPERATIONS.max(5 * size) {
            let start = WallTime.start();
            self.beat_all();
            beating += WallTime.end(start);
            beats += size;
            let start = WallTime.start();
            expiries += self.expire_all();
            expiring += WallTime.end(start);
        }
        [per(beating, beats), per(expiring, expiries)]
    }
}

fn session(sessions: &mut [Connection], key: u32) -> &mut Connection {
    let slot = usize::try_from(key).expect("a slot is an index");
    sessions.get_mut(slot).expect("there is one for each key")
}

fn cheapest(size: u32, shuffled: bool) -> [f64; 2] {
    let mut server = Server::new(size, shuffled);
    let rounds = (0..ROUNDS).map(|_| server.round(size));
    rounds.fold([f64::MAX; 2], |least, round| [least[0].min(round[0]), least[1].min(round[1])])
}

fn per(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(count.max(1))
}

fn main() {
    println!("| operation | order | {} | {} | ratio |", SIZES[0], SIZES[1]);
    println!("|---|---|---|---|---|");
    for (order, shuffled) in [("sequential", false), ("random", true)] {
        let [few, many] = SIZES.map(|size| cheapest(size, shuffled));
        for (index, operation) in ["beat", "expiry"].into_iter().enumerate() {
            let [few, many] = [few, many].map(|figures| figures.get(index).copied().unwrap_or(0.0));
            println!("| {operation} | {order} | {few:.0} | {many:.0} | {:.1} |", many / few);
        }
    }
}
