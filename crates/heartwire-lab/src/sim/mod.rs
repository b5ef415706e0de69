//! Both ends of a connection over simulated links, on a virtual clock.
//!
//! A run is a life: a client connects, keeps its connection, loses it and connects again, while
//! paths and processes fail in ways that the run's seed decides. Both ends are what the library
//! ships, a shard of its server and its client; everything below them is simulated: sockets and
//! TCP, clocks, timers and pauses. After every step the promises are checked ([`Invariant`])
//! against what the links know, by what is written, read and told.
//!
//! Each seed is also one fault on a settled connection, whose verdicts are held against the plan, and
//! a path on which nothing goes wrong, whose round trip the beats of protocol v1 have to tell.

mod breach;
mod broken;
mod client;
mod command;
mod draw;
mod ended;
mod frames;
mod host;
mod kept;
mod ledger;
mod lie;
mod link;
mod machine;
mod many;
mod net;
mod observer;
mod oracle;
mod outbox;
mod packet;
mod pipe;
mod planned;
mod queue;
mod report;
mod round_trips;
mod scenario;
mod seed;
mod server;
mod tally;
mod terms;
mod time;
mod trace;
mod trouble;
mod unheard;
mod world;

pub use breach::{Failure, Invariant};
pub use broken::Broken;
pub use command::{Args, run};
pub use kept::{Kept, kept};
pub use many::{Totals, run_many};
pub use planned::Held;
pub use seed::{
    SeedSummary, Traced, run_life, run_misplanned, run_planned, run_round_trips, run_seed,
    trace_seed,
};
pub use tally::{Ends, Mishaps, Plans, Sums};
pub use time::WorldTime;
pub use world::Summary;
