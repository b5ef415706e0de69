//! Light clients with names, all on one thread of a process of their own: they connect to nodes,
//! send heartbeats, move, and come back when their connection is lost.

use core::net::SocketAddr;
use core::num::NonZero;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use fastrand::Rng;
use heartwire::Policy;
use heartwire::v1::{ByeCode, Hello, Offer};
use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use serde_json::json;

use self::links::{Found, Links};
use crate::output;

mod links;

/// How often clients look at the time.
const TURN: Duration = Duration::from_millis(20);

/// How long a client waits for its WELCOME, before it tries another node.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client whose connection was lost waits up to so long.
const BACK_WITHIN: Duration = Duration::from_millis(500);

/// How many connect in a turn at most: more than a node accepts is no use.
const CONNECTS: usize = 200;

/// Arguments of `presence clients`, which the lab uses itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The number of the first client.
    #[arg(long)]
    pub(super) first: u32,
    /// How many.
    #[arg(long)]
    pub(super) count: u32,
    /// Decides what they do.
    #[arg(long)]
    pub(super) seed: u64,
    /// Interval of each.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) interval: Duration,
}

/// The name of a client.
pub(super) fn name(number: u32) -> String {
    format!("client-{number}")
}

/// Runs them until standard input ends. Lines of it say what to do.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    crate::process::need_open_files(args.count)?;
    let (orders, receiver) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if orders.send(line).is_err() {
                return;
            }
        }
    });
    Crowd::new(args)?.run(&receiver)
}

struct Crowd {
    args: Args,
    rng: Rng,
    clients: Vec<Client>,
    links: Links,
    /// Where each is, as far as it was told.
    nodes: Vec<Option<SocketAddr>>,
    beat: Vec<u8>,
    offer: Offer,
    /// How often each code of a BYE came.
    byes: BTreeMap<&'static str, u32>,
    /// How often the newest connection of a client was ended because a newer one had its name.
    wrong: u32,
    /// No beats any more.
    is_resting: bool,
    /// Whose turn it is to send a beat.
    next: usize,
}

struct Client {
    wants: bool,
    home: usize,
    /// Its newest connection.
    link: Option<u64>,
    retry_at: Instant,
    instance: Option<NonZero<u64>>,
}

impl Crowd {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let mut rng = Rng::with_seed(args.seed);
        let policy = Policy::builder().interval(args.interval).build()?;
        let promise_ms = u32::try_from(args.interval.as_millis())?;
        let beat = Beat { nonce: 1, promise_ms, ..Beat::decode(&[0; BEAT_LEN]) }.encode();
        let header = codec::header(Kind::Heart, beat.len()).context("a beat is short")?;
        let now = Instant::now();
        let clients = (0..args.count).map(|_| Client {
            wants: true,
            // At a random one of those that there will be.
            home: usize::MAX,
            link: None,
            retry_at: now,
            instance: if rng.bool() { NonZero::new(rng.u64(..)) } else { None },
        });
        Ok(Self {
            clients: clients.collect(),
            args: args.clone(),
            rng,
            links: Links::new()?,
            nodes: Vec::new(),
            beat: [header.as_slice(), &beat].concat(),
            offer: Offer::new(&policy),
            byes: BTreeMap::new(),
            wrong: 0,
            is_resting: false,
            next: 0,
        })
    }

    fn run(&mut self, orders: &Receiver<String>) -> anyhow::Result<()> {
        loop {
            match orders.try_recv() {
                Ok(order) => {
                    self.obey(&order).with_context(|| format!("the order {order:?}"))?;
                    continue;
                }
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => {}
            }
            for (client, id, found) in self.links.wait(TURN)? {
                self.handle(client, id, found);
            }
            self.connect_those_who_want();
            self.send_beats();
        }
    }

    /// `node NUMBER ADDRESS|-`, `move PERMILLE NODE keep|end`, `leave PERMILLE`, `return PERMILLE`,
    /// `rest` (no beats any more) or `ask`.
    fn obey(&mut self, order: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = order.split(' ').collect();
        match *words.as_slice() {
            ["node", number, address] => {
                let number: usize = number.parse()?;
                if number >= self.nodes.len() {
                    self.nodes.resize(number + 1, None);
                }
                let slot = self.nodes.get_mut(number).context("no such node")?;
                *slot = if address == "-" { None } else { Some(address.parse()?) };
            }
            ["move", permille, to, how] => {
                let to = to.parse()?;
                for index in self.choose(permille.parse()?, true) {
                    self.move_to(index, to, how == "keep");
                }
            }
            ["leave", permille] => {
                for index in self.choose(permille.parse()?, true) {
                    self.leave(index);
                }
            }
            ["return", permille] => {
                let now = Instant::now();
                for index in self.choose(permille.parse()?, false) {
                    if let Some(client) = self.clients.get_mut(index) {
                        client.wants = true;
                        client.retry_at = now;
                    }
                }
            }
            ["rest"] => self.is_resting = true,
            ["ask"] => self.answer()?,
            _ => anyhow::bail!("not known"),
        }
        Ok(())
    }

    /// Some of those that want to be online, or that do not; at least one.
    fn choose(&mut self, permille: u32, wants: bool) -> Vec<usize> {
        let indices = 0..self.clients.len();
        let is_one = |&index: &usize| self.clients.get(index).is_some_and(|it| it.wants == wants);
        let mut all: Vec<usize> = indices.filter(is_one).collect();
        self.rng.shuffle(&mut all);
        let permille = usize::try_from(permille).unwrap_or(1000);
        let count = (all.len() * permille / 1000).max(1);
        all.truncate(count);
        all
    }

    fn move_to(&mut self, index: usize, to: usize, keeps: bool) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if client.home == to || self.nodes.get(to).copied().flatten().is_none() {
            return;
        }
        client.home = to;
        let older = client.link.take();
        // One that is kept is silent from now on, as when a client has moved to another network.
        // Not one whose handshake waits: a node could still accept it, as the newest.
        if let Some(older) = older.filter(|older| !keeps || !self.links.is_online(*older)) {
            self.links.close(older);
        }
        self.connect(index);
    }

    fn leave(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else { return };
        client.wants = false;
        client.link = None;
        // With those that fell silent.
        self.links.close_all_of(index);
    }

    fn connect(&mut self, index: usize) {
        let elsewhere = self.any_node();
        let Some(client) = self.clients.get_mut(index) else { return };
        let number = self.args.first + u32::try_from(index).unwrap_or_default();
        client.retry_at = Instant::now() + BACK_WITHIN.mul_f64(self.rng.f64());
        let name = name(number);
        let mut hello = Hello::new(self.offer);
        hello.name = Some(&name);
        hello.instance = client.instance;
        let address = self.nodes.get(client.home).copied().flatten();
        client.link =
            address.and_then(|address| self.links.open(index, number, address, hello.encode()));
        if client.link.is_none() {
            client.home = elsewhere;
        }
    }

    fn handle(&mut self, index: usize, id: u64, found: Found) {
        let elsewhere = self.any_node();
        let Some(client) = self.clients.get_mut(index) else { return };
        let is_newest = client.link == Some(id);
        let bye = match found {
            Found::Welcome => return,
            Found::End(bye) => bye,
        };
        if let Some(code) = bye {
            *self.byes.entry(code.name()).or_default() += 1;
        }
        self.links.close(id);
        if is_newest {
            self.wrong += u32::from(bye == Some(ByeCode::TakenOver));
            client.link = None;
            client.retry_at = Instant::now() + BACK_WITHIN.mul_f64(self.rng.f64());
            client.home = elsewhere;
        }
    }

    fn connect_those_who_want(&mut self) {
        let now = Instant::now();
        for id in self.links.waiting_since_before(now.checked_sub(PATIENCE)) {
            if let Some(index) = self.links.client_of(id) {
                self.handle(index, id, Found::End(None));
            }
        }
        let is_due =
            |client: &Client| client.wants && client.link.is_none() && client.retry_at <= now;
        let due = self.clients.iter().enumerate().filter(|(_, client)| is_due(client));
        let due: Vec<usize> = due.map(|(index, _)| index).take(CONNECTS).collect();
        for index in due {
            self.connect(index);
        }
    }

    /// One of the nodes, perhaps of those that are down.
    fn any_node(&mut self) -> usize {
        self.rng.usize(..self.nodes.len().max(1))
    }

    /// Each client sends one in each interval.
    fn send_beats(&mut self) {
        if self.is_resting {
            return;
        }
        let part = TURN.div_duration_f64(self.args.interval);
        let count = self.clients.len();
        #[expect(clippy::as_conversions, reason = "a part of a length is a length")]
        let now = ((part * count as f64).ceil() as usize).min(count);
        for _ in 0..now {
            if let Some(id) = self.clients.get(self.next).and_then(|client| client.link) {
                self.links.send(id, &self.beat);
            }
            self.next = (self.next + 1) % count.max(1);
        }
    }

    fn answer(&self) -> anyhow::Result<()> {
        let numbers = self.args.first..;
        let away = numbers.zip(&self.clients).filter(|(_, client)| !client.wants);
        let away: Vec<u32> = away.map(|(number, _)| number).collect();
        output::print(json!({
            "online": self.links.online(),
            "away": away,
            "byes": self.byes,
            "wrong": self.wrong,
        }))
    }
}
