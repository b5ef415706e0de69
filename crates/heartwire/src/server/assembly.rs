//! Assembles a server for any world: the machine, or a simulated one.

use core::task::Waker;
use std::sync::{Arc, OnceLock};

use super::admission::addresses::AddressCounts;
use super::admission::denials::Denials;
use super::admission::names::Names;
use super::config::ServerConfig;
use super::handle::{Handle, Shared};
use super::handler::Handler;
use super::listener::{Listener, Places};
use super::mailbox::Mailbox;
use super::resume::{AwayCount, Run};
use super::shard::{HandOver, Inlets, Shard, ShardConfig};
use super::stats::{Counters, ShardCounters};
use super::tombstones::Tombstones;
use crate::world::ServerWorld;

/// The world and the sockets of one shard.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the simulator makes them")]
pub struct Place<W: ServerWorld> {
    /// Its world.
    pub world: W,
    /// Its listening sockets; none if the first shard hands clients over.
    pub listeners: Vec<W::Listener>,
    /// Makes its next turn run soon, with [`Ready::Woken`](super::shard::Ready::Woken).
    pub waker: Waker,
}

/// Creates a server's handle and its shards, one per place. There must be as many places as the
/// configuration has threads.
///
/// `can_coalesce`: whether the sockets have low-water marks. `secret`: of this run, from which the
/// keys of its sessions are derived.
pub fn assemble<W: ServerWorld, H: Handler>(
    config: &ServerConfig,
    places: Vec<Place<W>>,
    can_coalesce: bool,
    secret: [u8; 32],
    mut handler: impl FnMut(usize) -> H,
) -> (Handle, Vec<Shard<W, H>>) {
    let coalesces = can_coalesce && config.wants_to_coalesce();
    let shard_config = Arc::new(ShardConfig::new(config, coalesces));
    let wakers = places.iter().map(|place| place.waker.clone());
    let wakers: Arc<[Waker]> = wakers.collect();
    if let Some(tokens) = config.tokens() {
        tokens.watch(&wakers);
    }
    if let Some(tls) = &config.tls {
        tls.watch(&wakers);
    }
    let (mailboxes, commands): (Vec<_>, Vec<_>) = wakers.iter().cloned().map(Mailbox::new).unzip();
    let handle = Handle(Arc::new(Shared {
        mailboxes,
        places: Places::new(config.admission.max_sessions),
        away: AwayCount::new(config.admission.clone()),
        run: Run::new(secret),
        tombstones: Tombstones::default(),
        counters: Counters::default(),
        shards: places.iter().map(|_| ShardCounters::default()).collect(),
        drain: (config.drain, OnceLock::new()),
        kernel: config.kernel,
        max_queue: config.limits.max_queue,
        longest_resumable: config.window() / 2,
        tokens: config.tokens().cloned(),
        wakers,
        tls: config.tls.clone(),
        addresses: AddressCounts::new(config.admission.clone()),
        names: Names::new(config.epoch_clock.clone()),
        max_pending: config.max_pending(),
        held_per_shard: config.held_per_shard(),
        denials: Denials::new(),
    }));
    let hand_over = HandOver::of(places.len());
    let places = places.into_iter().zip(commands).zip(hand_over).zip(0..=u8::MAX);
    let shards = places.filter_map(|(((place, commands), (mut hand_over, adoptees)), index)| {
        let accepts = !place.listeners.is_empty();
        let listener = accepts.then(|| Listener::new(place.listeners));
        hand_over.next = (accepts && !config.each_shard_accepts()).then_some(0);
        let inlets = Inlets { commands, listener, hand_over, adoptees };
        let handler = handler(usize::from(index));
        let config = Arc::clone(&shard_config);
        Shard::new(index, handle.clone(), config, place.world, inlets, handler)
    });
    let shards = shards.collect();
    (handle, shards)
}
