//! A client and a server of the core over a network that delays bytes and cuts them anywhere: no
//! byte is lost or doubled, and a verdict is never early and never late.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::order::{Found, Next, Outbound};
use heartwire_core::v1::{Offer, Terms, Welcome};
use heartwire_core::{Connection, Event, Instant, Policy, Protocol, Settings};
use heartwire_ffi::abi::*;
use proptest::prelude::*;

use crate::rig::*;

const TICK_US: u64 = 100_000;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn len(&mut self, most: usize) -> usize {
        usize::try_from(self.below(u64::try_from(most).unwrap() + 1)).unwrap()
    }
}

/// One direction. Bytes arrive in order, at some time.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<(u64, u8)>,
    free_at: u64,
}

impl Pipe {
    fn send(&mut self, bytes: &[u8], now: u64, dice: &mut Dice) {
        for &byte in bytes {
            if dice.below(40) == 0 {
                self.free_at = self.free_at.max(now) + dice.below(50_000);
            }
            self.bytes.push_back((self.free_at.max(now), byte));
        }
    }

    fn next_at(&self) -> Option<u64> {
        self.bytes.front().map(|&(at, _)| at)
    }

    fn receive(&mut self, now: u64) -> Vec<u8> {
        let arrived = self.bytes.partition_point(|&(at, _)| at <= now);
        self.bytes.drain(..arrived).map(|(_, byte)| byte).collect()
    }
}

struct Server {
    connection: Connection,
    terms: Terms,
    unread: Vec<u8>,
    output: Vec<u8>,
    received: Vec<Vec<u8>>,
    has_welcomed: bool,
}

impl Server {
    fn new(wake_bytes: u32, now: Instant) -> Self {
        let ms = Duration::from_millis;
        let policy = Policy::builder().interval(ms(1_000)).timeout(ms(3_000)).build().unwrap();
        let offer = Offer::new(&policy).min_interval(Some(ms(1)));
        let settings = Settings::new(policy).protocol(Protocol::V1Only).offer(offer);
        Self {
            connection: Connection::new(settings, now),
            terms: Terms::new(offer).wake_bytes(wake_bytes),
            unread: Vec::new(),
            output: Vec::new(),
            received: Vec::new(),
            has_welcomed: false,
        }
    }

    fn turn(&mut self, bytes: &[u8], now: Instant) {
        let mut next = None;
        if !bytes.is_empty() {
            self.connection.handle_heard(now);
            self.unread.extend(bytes);
        }
        loop {
            let mut rest = self.unread.as_slice();
            let event = self.connection.handle_received(now, &mut rest).unwrap();
            let mut welcome = None;
            match event {
                Some(Event::Hello(hello)) => {
                    welcome = Some(self.terms.agree(&hello.offer).unwrap());
                }
                Some(Event::Data(body)) => self.received.push(body.to_vec()),
                Some(_) => {}
                None => next = Some(()),
            }
            let left = rest.len();
            self.unread.drain(..self.unread.len() - left);
            if let Some(contract) = welcome {
                let _ = self.connection.welcome(now, 7, contract);
                self.output.extend(Welcome::new(7, 0, contract).encode());
                self.has_welcomed = true;
            } else if next.is_some() {
                break;
            }
        }
        loop {
            match self.connection.poll(now, Outbound::Clear) {
                Next::ReadFirst(read) => match self.connection.judge(read, Found::All, None) {
                    Next::Write(beat) => self.output.extend(beat.as_ref()),
                    Next::Over(over) => panic!("the client is alive: {over}"),
                    Next::ReadFirst(_) | Next::SleepUntil(_) => return,
                },
                Next::Write(beat) => self.output.extend(beat.as_ref()),
                Next::SleepUntil(_) => return,
                Next::Over(over) => panic!("the client is alive: {over}"),
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    wake_bytes: u32,
    step_ms: u32,
    sizes: (usize, usize),
    /// How many bytes the client's socket holds until they have arrived.
    socket: usize,
    dies_at_us: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let sizes = (HW_MIN_RX..1_200, HW_MIN_TX..800);
    let wake_bytes = prop_oneof![Just(1_u32), Just(41), Just(300), Just(2_000)];
    let step_ms = prop_oneof![Just(1_u32), Just(7), Just(50)];
    (1..u64::MAX, wake_bytes, step_ms, sizes, 20_usize..3_000, 100_000_u64..20_000_000).prop_map(
        |(seed, wake_bytes, step_ms, sizes, socket, dies_at_us)| Plan {
            seed,
            wake_bytes,
            step_ms,
            sizes,
            socket,
            dies_at_us,
        },
    )
}

fn live(plan: &Plan) {
    let Plan { seed, wake_bytes, step_ms, sizes: (rx, tx), socket, dies_at_us } = *plan;
    let mut dice = Dice(seed);
    let mut now = 5_000_000 + dice.below(1_000_000);
    let dies_at_us = now + dies_at_us;
    let step_us = u64::from(step_ms) * 1_000;
    let mut rig = Rig::sized(Sizes { rx, tx }, |config| config.clock_step_ms = step_ms);
    let shown = |now: u64| now / step_us * u64::from(step_ms);
    rig.now = shown(now);
    assert_eq!(rig.connected(), Status::OK);
    let at = |us: u64| Instant::from_nanos(us * 1_000);
    let mut server = Server::new(wake_bytes, at(now));
    let (mut to_server, mut to_client) = (Pipe::default(), Pipe::default());
    let (mut sent, mut to_receive) = (Vec::new(), VecDeque::new());
    let (mut last_arrival, mut last_heard) = (now, now);
    let mut kept: Vec<u8> = Vec::new();
    let mut is_slow_until = 0;
    for _ in 0..200_000 {
        let is_alive = now < dies_at_us;
        // The server.
        if is_alive {
            let bytes = to_server.receive(now);
            server.turn(&bytes, at(now));
            let has_room = server.has_welcomed && to_client.bytes.len() < 4_000;
            if has_room && dice.below(8) == 0 {
                let body = vec![u8::try_from(dice.below(256)).unwrap(); dice.len(rx - 8)];
                server.output.extend(frame(DATA, &body));
                to_receive.push_back(body);
            }
            let output = core::mem::take(&mut server.output);
            to_client.send(&output, now, &mut dice);
        }
        // The client.
        rig.now = shown(now);
        if now >= is_slow_until && dice.below(100) == 0 && is_alive {
            is_slow_until = now + dice.below(1_500_000);
        }
        let is_slow = now < is_slow_until;
        let mut end = None;
        let mut hear = |rig: &mut Rig, kept: &mut Vec<u8>, to_client: &mut Pipe| {
            loop {
                if kept.is_empty() {
                    *kept = to_client.receive(now);
                    if !kept.is_empty() {
                        (last_arrival, last_heard) = (now, now);
                    }
                }
                let fed = !kept.is_empty();
                if fed {
                    let taken = rig.feed(kept);
                    kept.drain(..taken);
                    last_heard = now;
                }
                loop {
                    let event = if is_slow { None } else { rig.event() };
                    match event {
                        Some(Got::Data(body)) => {
                            assert_eq!(Some(body), to_receive.pop_front(), "as it was sent");
                        }
                        Some(Got::Welcome | Got::Beat | Got::Promise(_)) => {}
                        Some(other) => end = Some(other),
                        None => break,
                    }
                }
                if !fed || is_slow {
                    return;
                }
            }
        };
        hear(&mut rig, &mut kept, &mut to_client);
        while dice.below(3) == 0 {
            let body = vec![u8::try_from(dice.below(256)).unwrap(); dice.len(rig.send_room())];
            match rig.send(&body) {
                Status::OK => sent.push(body),
                Status::ERR_ROOM | Status::ERR_STATE | Status::ERR_TOO_LONG => break,
                other => panic!("{other:?}"),
            }
        }
        let mut step = rig.poll();
        let mut is_over = false;
        loop {
            match step {
                Step::Read => {
                    hear(&mut rig, &mut kept, &mut to_client);
                    step = rig.read_done(false);
                }
                Step::Write => {
                    let output = rig.output();
                    let room = socket.saturating_sub(to_server.bytes.len());
                    let len = dice.len(output.len()).min(room);
                    if len == 0 {
                        break;
                    }
                    to_server.send(&output[..len], now, &mut dice);
                    rig.written(len);
                    step = rig.poll();
                }
                Step::Sleep => break,
                Step::Close => {
                    is_over = true;
                    break;
                }
                Step::Idle => panic!("there is a connection"),
            }
        }
        if is_over {
            end = end.or_else(|| rig.events().pop());
            if end == Some(Got::Broken(ViolationCode::NO_FIRST_FRAME)) {
                assert!(now >= 10_000_000, "after the handshake timeout");
                break;
            }
            let Some(Got::Dead(Dead { silence_ms, latest_ms, .. })) = end else {
                panic!("{end:?}, {plan:?}");
            };
            assert!(!is_alive, "the server is alive");
            let (silence, bound) = (now - last_arrival, 3_000_000..=u64::from(latest_ms) * 1_000);
            assert!(silence >= *bound.start(), "early: {silence} µs");
            assert!(now - last_heard <= *bound.end(), "late: {} µs, {plan:?}", now - last_heard);
            assert!(u64::from(silence_ms) <= silence / 1_000 + u64::from(step_ms));
            break;
        }
        assert!(end.is_none(), "{end:?}");
        // Until something happens, and a little later.
        let deadline_us = (rig.deadline().div_ceil(u64::from(step_ms))).saturating_mul(step_us);
        let wake = deadline_us.max(now + 1) + dice.below(TICK_US - 1);
        let mut until = wake.min(now + 20_000 + dice.below(300_000));
        if is_alive {
            until = until.min(to_server.next_at().unwrap_or(u64::MAX).max(now + 1));
        }
        if kept.is_empty() {
            until = until.min(to_client.next_at().unwrap_or(u64::MAX).max(now + 1));
        }
        now = until.max(now + 1);
        assert!(now < dies_at_us + 60_000_000, "it never ends: {plan:?}");
    }
    let arrived = &server.received;
    assert!(sent.starts_with(arrived), "each message arrives once, in order: {plan:?}");
}

/// When the core gives its verdict on a server that was heard at these times, to the microsecond.
fn verdict_of_the_core(begin: u64, heard: &[u64]) -> u64 {
    let at = |us: u64| Instant::from_nanos(us * 1_000);
    let policy = Policy::builder().timeout(Duration::from_secs(3)).build().unwrap();
    let mut connection = Connection::new(Settings::new(policy).protocol(Protocol::Raw), at(begin));
    for &us in heard {
        connection.handle_heard(at(us));
    }
    connection.poll_timeout().unwrap().as_nanos().div_ceil(1_000)
}

proptest! {
    #[test]
    fn a_verdict_comes_when_the_core_gives_it_but_for_the_clock(
        step_ms in 1_u64..60,
        begin in 1_000_000_u64..9_000_000,
        gaps in prop::collection::vec(1_u64..2_900_000, 0..20),
    ) {
        let step_us = step_ms * 1_000;
        let shown = |us: u64| us / step_us * step_ms;
        let mut rig = Rig::new(|config| {
            (config.protocol, config.interval_ms) = (2, 0);
            config.clock_step_ms = u32::try_from(step_ms).unwrap();
        });
        rig.now = shown(begin);
        assert_eq!(rig.connected(), Status::OK);
        let mut heard = Vec::new();
        let mut now = begin;
        for gap in gaps {
            now += gap;
            heard.push(now);
            rig.now = shown(now);
            prop_assert_eq!(rig.turn().1, Step::Sleep);
            prop_assert_eq!(rig.hear(&[1]), [Got::Data(vec![1])]);
        }
        prop_assert_eq!(rig.turn().1, Step::Sleep);
        // The first moment at which the clock shows the deadline.
        let verdict = rig.deadline().div_ceil(step_ms) * step_us;
        rig.now = shown(verdict);
        prop_assert_eq!(rig.turn().1, Step::Close);
        let exact = verdict_of_the_core(begin, &heard);
        prop_assert!(verdict >= exact, "early by {} µs", exact - verdict);
        prop_assert!(verdict - exact <= 2 * step_us, "late by {} µs", verdict - exact);
    }
}

proptest! {
    #[test]
    fn a_server_lives_until_it_dies_and_no_longer(plan in plan()) {
        live(&plan);
    }
}
