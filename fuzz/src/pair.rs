//! Target `pair`: two honest ends and a path that is slow, but no slower than their contract
//! allows.

use core::time::Duration;
use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use heartwire_core::order::{Found, Next, Outbound, Over};
use heartwire_core::v1::{Bye, ByeCode, Contract, Health, Hello, RetryHint, Terms, Welcome};
use heartwire_core::{Cause, Connection, Event, Pad, Pause, Protocol, Verdict};

use crate::judge::{Judge, State};
use crate::knobs::{Knobs, START, Span, at, nanos};
use crate::model;

/// Wakes of both ends in one run, so that a run ends in time.
const MAX_WAKES: u32 = 60;
/// Wakes of an end that waits for its verdict at the end of a run: with a timeout of days and beats
/// of milliseconds there would be millions.
const MAX_LAST_WAKES: u32 = 1000;
/// Beats that an application may ask for besides those that are due. More of them at once are its
/// own fault: it is warned, and then disconnected.
const MAX_ASKED: u32 = 40;

#[derive(Arbitrary, Debug)]
struct Setup {
    client: Knobs,
    server: Knobs,
    v1_only: bool,
    wake_bytes: u8,
    /// Shares of what the contract leaves for delay and loss, in 256ths.
    delay: u8,
    pause: u8,
    late: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    /// In 16ths of the shorter interval.
    Wait(u8),
    /// In intervals of the end that sends beats less often.
    WaitLong(u8),
    /// In 256ths of the longest delay, for what is sent from now on.
    Delay {
        to_server: bool,
        share: u8,
    },
    Pause {
        server: bool,
        share: u8,
    },
    Promise {
        server: bool,
        span: Span,
    },
    /// A promise in 16ths of the agreed interval.
    PromiseNear {
        server: bool,
        sixteenths: u8,
    },
    Health {
        server: bool,
        health: u8,
    },
    Data {
        server: bool,
        len: u8,
    },
    Beat {
        server: bool,
    },
    Bye {
        server: bool,
    },
    Cut {
        to_server: bool,
        to_client: bool,
    },
}

/// Settings, then the steps.
pub fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let Ok(setup) = Setup::arbitrary(&mut u) else { return };
    let Some(mut pair) = Pair::new(&setup) else { return };
    while !u.is_empty() && pair.wakes < MAX_WAKES {
        let Ok(op) = Op::arbitrary(&mut u) else { break };
        if !pair.apply(op) {
            return;
        }
        pair.check();
    }
    pair.cut(true, true);
}

/// One direction: bytes that keep their order.
#[derive(Default)]
struct Way {
    under_way: VecDeque<(u64, Vec<u8>)>,
    last_arrival: u64,
    delay: u64,
    is_cut: bool,
}

impl Way {
    fn send(&mut self, now: u64, bytes: Vec<u8>) {
        if !self.is_cut {
            self.last_arrival = self.last_arrival.max(now + self.delay);
            self.under_way.push_back((self.last_arrival, bytes));
        }
    }

    fn next(&self) -> Option<u64> {
        self.under_way.front().map(|(arrival, _)| *arrival)
    }
}

struct End {
    connection: Connection,
    judge: Judge,
    unread: Vec<u8>,
    /// It is paused until then.
    paused_until: u64,
    paused_for: u64,
    resumed_at: u64,
    /// Its last pause.
    pause: Option<Pause>,
    asked: u32,
    sent: u32,
    verdict: Option<(u64, Verdict)>,
}

impl End {
    fn new(connection: Connection, protocol: Protocol) -> Self {
        Self {
            connection,
            judge: Judge::new(protocol),
            unread: Vec::new(),
            paused_until: START,
            paused_for: 0,
            resumed_at: START,
            pause: None,
            asked: 0,
            sent: 0,
            verdict: None,
        }
    }

    fn receive(&mut self, now: u64, bytes: &[u8], terms: &Terms) -> Vec<u8> {
        let mut answer = Vec::new();
        self.connection.handle_heard(at(now));
        self.unread.extend_from_slice(bytes);
        let mut rest = self.unread.as_slice();
        loop {
            let event = match self.connection.handle_received(at(now), &mut rest) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(violation) => panic!("{violation}, between two honest ends"),
            };
            self.judge.event(&event);
            match event {
                Event::Hello(hello) => {
                    let agreed = terms.agree(&hello.offer);
                    model::check_agreement(terms, &hello.offer, &agreed);
                    match agreed {
                        Ok(contract) => {
                            self.connection.welcome(at(now), 1, contract);
                            self.judge.welcomed();
                            answer = Welcome::new(1, 1, contract).encode();
                        }
                        Err(_) => answer = Bye::new(ByeCode::Conflict, RetryHint::Never).encode(),
                    }
                }
                Event::Beat
                | Event::Promise(_)
                | Event::Data(_)
                | Event::Welcome(_)
                | Event::End
                | Event::Bye(_) => {}
            }
        }
        let taken = self.unread.len() - rest.len();
        self.unread.drain(..taken);
        answer
    }

    /// When it runs next.
    fn wake_at(&self, arrival: Option<u64>, late: u64) -> Option<u64> {
        let timeout = self.connection.poll_timeout();
        let timeout = timeout.map(|at| at.as_nanos().saturating_add(late));
        let resumes = (self.paused_for > 0).then_some(self.paused_until);
        let next = timeout.into_iter().chain(arrival).chain(resumes).min();
        next.map(|next| next.max(self.paused_until))
    }

    /// Does what the connection asks for after a read. Returns what it writes.
    fn turn(&mut self, now: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = self.connection.poll(at(now), Outbound::Clear);
        loop {
            next = match next {
                Next::ReadFirst(read) => self.connection.judge(read, Found::All, self.pause),
                Next::Write(transmit) => {
                    bytes.extend_from_slice(transmit.as_ref());
                    self.sent += 1;
                    assert!(bytes.len() <= 40, "one beat at a time");
                    self.connection.poll(at(now), Outbound::Clear)
                }
                Next::SleepUntil(_) => return bytes,
                Next::Over(Over::Dead(verdict)) => {
                    self.verdict = Some((now, verdict));
                    self.judge.end();
                    self.connection.poll(at(now), Outbound::Clear)
                }
                Next::Over(Over::Broken(violation)) => {
                    panic!("{violation}, between two honest ends")
                }
            };
        }
    }
}

struct Pair {
    client: End,
    server: End,
    to_server: Way,
    to_client: Way,
    terms: Terms,
    contract: Contract,
    now: u64,
    began: u64,
    wakes: u32,
    /// The longest delay, the longest pause, and how late timers are.
    max_delay: u64,
    max_pause: u64,
    late: u64,
    min_interval: u64,
    max_interval: u64,
}

impl Pair {
    /// Two ends right after their handshake; `None` if they cannot agree.
    fn new(setup: &Setup) -> Option<Self> {
        let offer = setup.client.offer()?;
        let terms = setup.server.terms(u16::from(setup.wake_bytes))?;
        let protocol = if setup.v1_only { Protocol::V1Only } else { Protocol::Any };
        let client = Connection::new(setup.client.settings(Protocol::V1)?, at(START));
        let server = Connection::new(setup.server.settings(protocol)?, at(START));
        let mut client = End::new(client, Protocol::V1);
        let mut server = End::new(server, protocol);
        let answer = server.receive(START, &Hello::new(offer).encode(), &terms);
        client.receive(START, &answer, &terms);
        if client.judge.state == State::Ended {
            assert_eq!(server.judge.state, State::Deciding);
            return None;
        }
        assert_eq!((client.judge.state, server.judge.state), (State::V1, State::V1));
        assert_eq!(client.connection.contract(), server.connection.contract());
        let contract = *client.connection.contract()?;
        let directions = [contract.to_server, contract.to_client];
        // How much later than a healthy peer's beats the verdict would come.
        let allowance = directions.iter().filter_map(|d| Some(d.timeout()? - d.interval()?)).min();
        let allowance = nanos(allowance.unwrap_or(Duration::from_secs(30)));
        let shares = [setup.delay, setup.pause, setup.late].map(u64::from);
        let all = shares.iter().sum::<u64>().max(256);
        let [max_delay, max_pause, late] = shares.map(|share| (allowance - 1) / all * share);
        let beats = || directions.iter().filter_map(|d| d.interval()).map(nanos);
        let (min_interval, max_interval) = (beats().min()?, beats().max()?);
        Some(Self {
            client,
            server,
            to_server: Way::default(),
            to_client: Way::default(),
            terms,
            contract,
            now: START,
            began: START,
            wakes: 0,
            max_delay,
            max_pause,
            late,
            min_interval,
            max_interval,
        })
    }

    fn end(&mut self, server: bool) -> &mut End {
        if server { &mut self.server } else { &mut self.client }
    }

    fn way(&mut self, to_server: bool) -> &mut Way {
        if to_server { &mut self.to_server } else { &mut self.to_client }
    }

    /// Whether the run goes on.
    fn apply(&mut self, op: Op) -> bool {
        match op {
            Op::Wait(sixteenths) => self.run_for(self.min_interval / 16 * u64::from(sixteenths)),
            Op::WaitLong(beats) => self.run_for(self.max_interval.saturating_mul(u64::from(beats))),
            Op::Delay { to_server, share } => {
                self.way(to_server).delay = self.max_delay / 256 * u64::from(share);
            }
            Op::Pause { server, share } => {
                self.pause(server, self.max_pause / 256 * u64::from(share))
            }
            Op::Promise { server, span } => self.promise(server, span.duration()),
            Op::PromiseNear { server, sixteenths } => {
                let direction =
                    if server { self.contract.to_client } else { self.contract.to_server };
                let beat = direction.interval().unwrap_or_default();
                self.promise(server, beat / 16 * u32::from(sixteenths));
            }
            Op::Health { server, health } => {
                let health = [Health::Ok, Health::Degraded][usize::from(health % 2)];
                self.application(server, |end| end.connection.set_health(health));
            }
            Op::Data { server, len } => self.send_data(server, len),
            Op::Beat { server } => self.application(server, |end| end.connection.beat_now()),
            Op::Bye { server } => {
                self.leave(server);
                return false;
            }
            Op::Cut { to_server, to_client } => {
                self.cut(to_server, to_client);
                return false;
            }
        }
        true
    }

    /// A request of the application that makes a beat due; not too often.
    fn application(&mut self, server: bool, ask: impl FnOnce(&mut End)) {
        let now = self.now;
        let end = self.end(server);
        if end.paused_until <= now && end.asked < MAX_ASKED {
            end.asked += 1;
            ask(end);
        }
        self.wake_both();
    }

    fn promise(&mut self, server: bool, interval: Duration) {
        self.application(server, |end| {
            end.connection.promise(interval);
        });
    }

    fn send_data(&mut self, server: bool, len: u8) {
        let now = self.now;
        let end = self.end(server);
        if end.paused_until > now {
            return;
        }
        let header = end.connection.data_header(usize::from(len)).expect("it is short");
        let mut bytes = header.as_ref().to_vec();
        bytes.extend(core::iter::repeat_n(b'x', usize::from(len)));
        bytes.extend(end.connection.pad(bytes.len()).into_iter().flat_map(Pad::bytes));
        end.connection.handle_sent(at(now));
        self.way(!server).send(now, bytes);
    }

    /// One end is paused, and the other is not: what the other sends meanwhile is there when it
    /// resumes.
    fn pause(&mut self, server: bool, duration: u64) {
        let now = self.now;
        let end = self.end(server);
        if end.paused_until <= now && duration > 0 {
            end.paused_until = now + duration;
            end.paused_for = duration;
        }
    }

    fn run_for(&mut self, duration: u64) {
        let until = self.now.saturating_add(duration);
        self.wake_both();
        while self.wakes < MAX_WAKES {
            let client = self.client.wake_at(self.to_client.next(), self.late);
            let server = self.server.wake_at(self.to_server.next(), self.late);
            let Some(next) = client.into_iter().chain(server).min().filter(|&next| next <= until)
            else {
                break;
            };
            self.now = self.now.max(next);
            self.wakes += 1;
            self.wake_both();
        }
        if self.wakes < MAX_WAKES {
            self.now = until;
        }
    }

    fn wake_both(&mut self) {
        self.wake(true);
        self.wake(false);
    }

    /// One end wakes: it reads, checks its deadlines, then writes.
    fn wake(&mut self, server: bool) {
        let (now, terms) = (self.now, self.terms);
        let (end, way) = if server {
            (&mut self.server, &mut self.to_server)
        } else {
            (&mut self.client, &mut self.to_client)
        };
        if end.paused_until > now {
            return;
        }
        while way.next().is_some_and(|arrival| arrival <= now) {
            let Some((_, bytes)) = way.under_way.pop_front() else { break };
            end.receive(now, &bytes, &terms);
        }
        if end.paused_for > 0 {
            let gap = Duration::from_nanos(end.paused_for);
            if gap >= heartwire_core::MIN_PAUSE {
                end.pause = Some(Pause::new(at(now), gap));
                end.resumed_at = now;
            }
            end.paused_for = 0;
        }
        let bytes = end.turn(now);
        if !bytes.is_empty() {
            self.way(!server).send(now, bytes);
        }
    }

    fn check(&self) {
        for end in [&self.client, &self.server] {
            assert_eq!(end.verdict, None, "both ends live");
            end.judge.check(&end.connection);
            // The first beat, those that were asked for, and those that were due by a promise, up
            // to a quarter early.
            let min_interval = nanos(self.contract.min_interval()).min(self.min_interval);
            let due = (self.now - self.began) / (min_interval / 4 * 3).max(1) + 2;
            assert!(u64::from(end.sent) <= due + u64::from(end.asked), "{} beats", end.sent);
        }
        if self.to_server.under_way.is_empty() && self.to_client.under_way.is_empty() {
            let (client, server) =
                (self.client.connection.policy(), self.server.connection.policy());
            if self.contract.to_server.timeout().is_some() {
                assert_eq!(client.interval(), server.peer_interval());
            }
            if self.contract.to_client.timeout().is_some() {
                assert_eq!(server.interval(), client.peer_interval());
            }
        }
    }

    /// One end says BYE: the other ends too, and neither sends anything afterwards.
    fn leave(&mut self, server: bool) {
        let now = self.now;
        self.way(!server).send(now, Bye::new(ByeCode::Done, RetryHint::AtWill).encode());
        let arrival = self.way(!server).last_arrival;
        let stays = self.end(!server);
        self.now = arrival.max(stays.paused_until).max(now);
        self.wake(!server);
        let stays = self.end(!server);
        assert_eq!((stays.judge.state, stays.verdict), (State::Ended, None));
        stays.judge.check(&stays.connection);
    }

    /// The path is cut: each end with a timeout gives its verdict, not early, and not late.
    fn cut(&mut self, to_server: bool, to_client: bool) {
        self.to_server.is_cut = to_server;
        self.to_client.is_cut = to_client;
        for way in [&mut self.to_server, &mut self.to_client] {
            if way.is_cut {
                way.under_way.clear();
            }
        }
        let server_judges = self.server.connection.policy().timeout().is_some();
        if to_server && server_judges {
            self.find(true);
        }
        let client_judges = self.client.connection.policy().timeout().is_some();
        // A server that has given its verdict is silent.
        if (to_client || (to_server && server_judges)) && client_judges {
            self.find(false);
        }
    }

    fn find(&mut self, server: bool) {
        let late = self.late;
        self.wakes = 0;
        let mut left = MAX_LAST_WAKES;
        while self.end(server).verdict.is_none() {
            left -= 1;
            if left == 0 {
                return;
            }
            let (now, wakes) = (self.now, self.wakes);
            let end = self.end(server);
            let due = end.wake_at(None, late).expect("it judges");
            self.run_for(due.saturating_sub(now).max(1));
            assert!(self.wakes > wakes || self.now > now, "it waits forever");
            if self.wakes >= MAX_WAKES {
                return;
            }
        }
        let end = self.end(server);
        end.judge.check(&end.connection);
        let Some((given_at, verdict)) = end.verdict else { return };
        let timeout = nanos(end.connection.policy().timeout().expect("it judged by one"));
        let heard = end.connection.last_heard().as_nanos();
        let silence = nanos(verdict.silence);
        assert!(silence >= timeout, "early: {verdict:?}");
        if verdict.cause == Cause::Silence {
            let from = heard.max(end.resumed_at);
            let latest = (from + timeout + late).max(end.paused_until);
            let too_late = given_at.saturating_sub(latest);
            assert_eq!(too_late, 0, "{verdict:?}");
        }
    }
}
