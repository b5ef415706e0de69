//! Both ends of a connection over simulated links, on a virtual clock.
//!
//! A run is a life: a client connects, keeps its connection, loses it and reconnects, while paths
//! and processes fail in ways that the run's seed decides. Both ends are the library's real code, a
//! shard of its server and its client; everything below them is simulated: sockets and TCP, clocks,
//! timers and pauses. After every step each [`Invariant`] is checked against what the links know,
//! for everything that is written, read and reported.
//!
//! Each seed is also one fault on a settled connection, whose verdicts are compared with the plan,
//! and a healthy path, whose round trip the beats of protocol v1 have to measure.

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
mod session;
mod tail;
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
