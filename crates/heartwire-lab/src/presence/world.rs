//! A Redis, perhaps with a replica, nodes and clients, and everything that can go wrong with them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustix::process::Signal;

use super::check::{self, Breach, Entry};
use super::crowd::Crowd;
use super::draw::{Act, Cut, Fault, NODES, Schedule};
use super::node::{self, Node, Settings, Shared};
use super::proxy::Proxy;
use super::record::Micros;
use super::redis::Redis;
use super::watcher::Watcher;

/// Everything that runs.
#[derive(Debug)]
pub(super) struct World {
    settings: Settings,
    pub(super) redis: Redis,
    /// It hears of changes over a proxy.
    replica: Option<(Redis, Proxy)>,
    /// Of each node, and then that of the reader.
    proxies: Vec<Proxy>,
    pub(super) watcher: Watcher,
    nodes: Vec<Option<Node>>,
    pub(super) crowd: Crowd,
    pub(super) shared: Arc<Shared>,
    /// Streams of changes that are gone.
    streams: Vec<Vec<Entry>>,
    /// When each fault that has not ended began.
    began: Vec<(Fault, Micros)>,
}

impl World {
    pub(super) fn start(
        redis: &Path,
        settings: Settings,
        schedule: &Schedule,
    ) -> anyhow::Result<Self> {
        Self::start_with(redis, settings, schedule, NODES)
    }

    /// The same with so many nodes.
    pub(super) fn start_with(
        redis: &Path,
        settings: Settings,
        schedule: &Schedule,
        count: usize,
    ) -> anyhow::Result<Self> {
        let master = Redis::start(redis, None)?;
        let replica = if schedule.faults().any(|fault| fault == Fault::FailedOver) {
            let link = Proxy::start(master.socket())?;
            let replica = Redis::start(redis, Some(link.address))?;
            replica.wait_for_link()?;
            Some((replica, link))
        } else {
            None
        };
        let paths = (0..=count).map(|_| Proxy::start(master.socket()));
        let proxies = paths.collect::<anyhow::Result<Vec<_>>>()?;
        let mut crowd = Crowd::start(schedule.names, schedule.seed, schedule.timeout / 3)?;
        let shared = Arc::<Shared>::default();
        let mut nodes = Vec::new();
        let watcher = Watcher::start(proxies.last().context("no path")?)?;
        for (number, proxy) in proxies.iter().enumerate().take(count) {
            let node = Node::start(&settings, number, Some(proxy.address), &shared)?;
            crowd.node(number, Some(node.address))?;
            nodes.push(Some(node));
        }
        Ok(Self {
            settings,
            redis: master,
            replica,
            proxies,
            watcher,
            nodes,
            crowd,
            shared,
            streams: Vec::new(),
            began: Vec::new(),
        })
    }

    pub(super) fn act(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Move { permille, to, keeps } => {
                let how = if keeps { "keep" } else { "end" };
                self.crowd.order(&format!("move {permille} {to} {how}"))
            }
            Act::Leave { permille } => self.crowd.order(&format!("leave {permille}")),
            Act::Return { permille } => self.crowd.order(&format!("return {permille}")),
            Act::Begin(fault) => {
                self.began.push((fault, node::now()));
                self.begin(fault)
            }
            Act::End(fault) => {
                self.end(fault)?;
                let index = self.began.iter().position(|(of, _)| *of == fault);
                let (_, from) = self.began.remove(index.context("a fault has not begun")?);
                self.shared.recording().trouble(fault.node(), from, node::now());
                Ok(())
            }
        }
    }

    fn begin(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed(number) => {
                self.crowd.node(number, None)?;
                if let Some(mut node) = self.slot(number)?.take() {
                    node.kill()?;
                }
                Ok(())
            }
            Fault::Stopped(number) => self.signal(number, Signal::STOP),
            Fault::Cut(number, cut) => {
                self.proxy(number)?.cut(cut);
                Ok(())
            }
            Fault::RedisKilled => self.redis.kill(),
            Fault::RedisEmptied => {
                self.keep_stream()?;
                self.redis.kill()
            }
            Fault::RedisFlushed => {
                self.keep_stream()?;
                self.redis.flush()
            }
            Fault::RedisStopped => self.redis.signal(Signal::STOP),
            Fault::FailedOver => {
                let (_, link) = self.replica.as_ref().context("no replica")?;
                link.cut(Cut::Held);
                Ok(())
            }
        }
    }

    fn end(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Killed(number) => {
                let (address, shared) = (self.proxy(number)?.address, Arc::clone(&self.shared));
                let node = Node::start(&self.settings, number, Some(address), &shared)?;
                self.crowd.node(number, Some(node.address))?;
                *self.slot(number)? = Some(node);
                Ok(())
            }
            Fault::Stopped(number) => self.signal(number, Signal::CONT),
            Fault::Cut(number, _) => {
                self.proxy(number)?.mend();
                Ok(())
            }
            Fault::RedisKilled => self.redis.start_again(true),
            Fault::RedisEmptied => self.redis.start_again(false),
            Fault::RedisFlushed => Ok(()),
            Fault::RedisStopped => self.redis.signal(Signal::CONT),
            Fault::FailedOver => {
                self.keep_stream()?;
                let (mut replica, link) = self.replica.take().context("no replica")?;
                self.redis.kill()?;
                // It would wait for its master, which is gone.
                link.cut(Cut::Refused);
                replica.promote()?;
                for proxy in &self.proxies {
                    proxy.lead_to(replica.socket());
                }
                self.redis = replica;
                Ok(())
            }
        }
    }

    /// What is wrong now: presence against the truth, and the clients against what they want.
    pub(super) fn differences(
        &self,
        wanted: &BTreeMap<String, bool>,
    ) -> anyhow::Result<Vec<Breach>> {
        let names: Vec<String> = (0..self.nodes.len()).map(node::name).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        // Redis first: what changes in between is seen as a difference, and looked at again.
        let present = self.redis.present()?;
        let recording = self.shared.recording();
        let mut breaches = check::equals(&recording, &names, &present);
        breaches.extend(check::all_who_want(&recording, wanted));
        Ok(breaches)
    }

    /// What was wrong at any time.
    pub(super) fn breaches(&self, bound: Duration) -> anyhow::Result<(Vec<Breach>, usize)> {
        let bound = u64::try_from(bound.as_micros())?;
        let mut breaches = check::never_on_two(&self.shared.recording(), bound, node::now());
        let stream = self.redis.stream()?;
        for stream in self.streams.iter().chain([&stream]) {
            breaches.extend(check::in_order(stream));
        }
        breaches.extend(check::stream_leads_to(&stream, &self.redis.present()?));
        let told = self.streams.iter().map(Vec::len).sum::<usize>() + stream.len();
        Ok((breaches, told))
    }

    /// The node that delivers hooks, if one does.
    pub(super) fn delivering(&self) -> anyhow::Result<Option<usize>> {
        let holder = self.redis.holder()?;
        Ok((0..NODES).find(|number| holder.starts_with(&format!("{}.", node::name(*number)))))
    }

    /// Reads the stream before it is lost.
    fn keep_stream(&mut self) -> anyhow::Result<()> {
        self.streams.push(self.redis.stream()?);
        Ok(())
    }

    /// Clients know only this node from now on, and those of others move to it.
    pub(super) fn only_node(&mut self, only: usize) -> anyhow::Result<()> {
        for number in (0..self.nodes.len()).filter(|number| *number != only) {
            self.crowd.node(number, None)?;
        }
        self.crowd.order(&format!("move 1000 {only} end"))
    }

    /// How many sessions this node has.
    pub(super) fn on_node(&self, number: usize) -> u64 {
        let recording = self.shared.recording();
        let count = recording.now().values().flatten().filter(|stay| stay.node == number).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    fn signal(&mut self, number: usize, signal: Signal) -> anyhow::Result<()> {
        self.slot(number)?.as_ref().context("no such node")?.signal(signal)
    }

    fn slot(&mut self, number: usize) -> anyhow::Result<&mut Option<Node>> {
        self.nodes.get_mut(number).context("no such node")
    }

    fn proxy(&self, number: usize) -> anyhow::Result<&Proxy> {
        self.proxies.get(number).context("no such node")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // So that nodes do not print the end of each session of the clients, which end first.
        for node in self.nodes.iter_mut().flatten() {
            // What it had to say, it has said.
            let _ = node.kill();
        }
    }
}
