//! Random links, cut anywhere, and servers that forget: what arrives, and what is said of the rest.

use core::iter::repeat_with;
use std::collections::VecDeque;

use heartwire_core::Boxed;
use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::order::{Next, Outbound};
use heartwire_core::resume::Ledger;

use super::*;

const SEEDS: u64 = 100;
const STEPS: usize = 1000;
/// At the end nothing is cut, so that everything arrives.
const LAST_STEPS: usize = 300;
/// Longer than all of it takes.
const LONG: Duration = Duration::from_secs(100_000);

struct Random(u64);

impl Random {
    /// How many of so many bytes: all, as often as not.
    fn of(&mut self, len: usize) -> usize {
        if self.below(2) == 0 { len } else { self.below(len + 1) }
    }

    /// A number below this one.
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// A server that keeps one session, and what it knows.
struct Server {
    now: Instant,
    session: u64,
    link: u32,
    connection: Connection,
    ledger: Option<Boxed<Ledger>>,
    log: VecDeque<Vec<u8>>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Of frames that its application has not taken.
    untaken: VecDeque<Vec<u8>>,
    taken: Vec<u32>,
    sent: u32,
    /// It has answered the client's BYE, and this is what it had taken over.
    last: Option<Position>,
}

impl Server {
    fn new(now: Instant) -> Self {
        Self {
            now,
            session: 0,
            link: 0,
            connection: Self::connection(now),
            ledger: None,
            log: VecDeque::new(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            untaken: VecDeque::new(),
            taken: Vec::new(),
            sent: 0,
            last: None,
        }
    }

    fn connection(now: Instant) -> Connection {
        let policy = Policy::builder().build().unwrap();
        Connection::new(Settings::new(policy).protocol(Protocol::V1Only), now)
    }

    fn key(&self) -> Key {
        Key::new([7; 32]).of_session(self.session)
    }

    fn is_online(&self) -> bool {
        self.connection.ledger().is_some()
    }

    /// The link is cut, and another client may come.
    fn lose(&mut self) {
        self.ledger = self.connection.detach().or(self.ledger.take());
        self.connection = Self::connection(self.now);
        self.inbox.clear();
        self.outbox.clear();
    }

    /// Forgets the session. Returns up to where it had taken over what came.
    fn forget(&mut self) -> Option<Position> {
        self.lose();
        let taken = self.ledger.as_ref()?.taken();
        self.ledger = None;
        Some(taken)
    }

    fn forget_all(&mut self) {
        self.ledger = None;
        self.log.clear();
        self.untaken.clear();
        self.taken.clear();
    }

    fn send(&mut self) {
        let body = [u32::try_from(self.session).unwrap().to_le_bytes(), self.sent.to_le_bytes()];
        let frame = [&codec::header(Kind::Data, 8).unwrap()[..], &body.concat()].concat();
        let ledger = self.connection.ledger_mut().or(self.ledger.as_deref_mut());
        let len = u32::try_from(frame.len()).unwrap();
        if !ledger.is_some_and(|ledger| ledger.queue(len)) {
            return;
        }
        self.sent += 1;
        self.log.push_back(frame.clone());
        if let Some(ledger) = self.connection.ledger_mut() {
            self.outbox.extend(&frame);
            ledger.handle_written(self.log.iter().map(Vec::len).sum());
        }
    }

    fn take(&mut self) {
        let ledger = self.connection.ledger_mut().or(self.ledger.as_deref_mut());
        let Some((frame, ledger)) = self.untaken.pop_front().zip(ledger) else { return };
        ledger.take(frame.len());
        if let Some(number) = frame[8..].first_chunk() {
            self.taken.push(u32::from_le_bytes(*number));
        }
    }

    fn receive(&mut self, bytes: &[u8], lost: Option<Position>) {
        self.inbox.extend(bytes);
        let inbox = core::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        if !bytes.is_empty() {
            self.connection.handle_heard(self.now);
        }
        loop {
            let event = self.connection.handle_received(self.now, &mut rest);
            match event.expect("the client keeps the protocol") {
                Some(FromPeer::Hello(hello)) => self.welcome(*hello, lost),
                Some(FromPeer::Data(body)) => {
                    self.untaken.push_back([&[0; HEADER_LEN], body].concat());
                }
                Some(FromPeer::End) => self.untaken.push_back(vec![0; HEADER_LEN]),
                Some(FromPeer::Bye(_)) => {
                    self.say_bye();
                    break;
                }
                Some(_) => {}
                None => break,
            }
        }
        self.inbox = rest.to_vec();
        let lens = self.log.iter().map(Vec::len);
        if let Some(ledger) = self.connection.ledger_mut() {
            let count = ledger.settle(lens).expect("the client tells positions that were sent");
            self.log.drain(..count);
        }
    }

    /// The client leaves: its messages are taken over, and it is told so.
    fn say_bye(&mut self) {
        while !self.untaken.is_empty() {
            self.take();
        }
        self.last = self.connection.detach().map(|ledger| ledger.taken());
        let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(self.last);
        self.outbox.extend(bye.encode());
    }

    fn end(&mut self) {
        let ledger = self.connection.ledger_mut().or(self.ledger.as_deref_mut());
        if ledger.is_some_and(Ledger::queue_end) {
            self.log.push_back(frame(7, &[]));
            if let Some(ledger) = self.connection.ledger_mut() {
                self.outbox.extend(frame(7, &[]));
                ledger.handle_written(self.log.iter().map(Vec::len).sum());
            }
        }
    }

    fn welcome(&mut self, hello: heartwire_core::v1::Hello<'_>, lost: Option<Position>) {
        let policy = Policy::default();
        let contract = Terms::new(Offer::new(&policy)).agree(&hello.offer).unwrap();
        self.connection.welcome(self.now, self.session, contract);
        let resuming = hello
            .resuming
            .filter(|resuming| resuming.session == self.session && self.ledger.is_some());
        let welcome = if let Some(resuming) = resuming {
            assert!(resuming.link > self.link, "each link has a higher number");
            self.link = resuming.link;
            let mut ledger = self.ledger.take().unwrap();
            let Position { frames, bytes } = resuming.received;
            let claim = |role, Position { frames, bytes }: Position| Claim {
                role,
                server: 1,
                session: resuming.session,
                link: resuming.link,
                frames,
                bytes,
            };
            let claimed = claim(Role::Client, Position { frames, bytes });
            assert!(self.key().is_proven(claimed, &resuming.proof.0));
            let lens = self.log.iter().map(Vec::len);
            let skip = ledger.resume_at(resuming.received, lens).expect("it was sent");
            let received = ledger.received();
            let proof = Secret(self.key().prove(claim(Role::Server, received)));
            ledger.handle_written(self.log.iter().map(Vec::len).sum());
            self.connection.attach(ledger);
            let welcome = Welcome::new(self.session, 0, contract);
            let welcome = welcome.resumed(Resumed { received, proof }).encode();
            let replay = self.log.iter().skip(skip).flatten().copied();
            welcome.into_iter().chain(replay).collect::<Vec<u8>>()
        } else if hello.resuming.is_some_and(|resuming| resuming.only) {
            let bye = Bye::new(ByeCode::NotResumable, RetryHint::AtWill).taken(self.last);
            bye.encode()
        } else {
            (self.session, self.link, self.sent) = (self.session + 1, 1, 0);
            self.forget_all();
            let agreed = ResumeOffer { to_server: WINDOW, to_client: WINDOW, grace: LONG };
            let key = Secret(*self.key().as_bytes());
            let terms = ResumeTerms { server: 1, key, agreed };
            self.connection.attach(Boxed::new(Ledger::new(WINDOW, WINDOW)));
            let lost = lost.filter(|_| hello.resuming.is_some());
            Welcome::new(self.session, 0, contract).resume(Some(terms)).lost(lost).encode()
        };
        self.outbox.extend(welcome);
    }

    /// Beats and ACKs.
    fn speak(&mut self) {
        if self.is_online() {
            while let Next::Write(frame) = self.connection.poll(self.now, Outbound::Clear) {
                self.outbox.extend(frame.as_ref());
            }
        }
    }
}

/// What the application of the client knows.
#[derive(Default)]
struct Told {
    /// Session and number of the next message.
    next: (u32, u32),
    back: usize,
    offline: usize,
    ended: bool,
    done: bool,
    spare: usize,
}

#[test]
fn random_cuts_lose_and_double_nothing_and_what_is_lost_with_a_session_is_told() {
    let (mut back, mut offline, mut exact, mut spare) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let (told, exactly) = run(seed);
        back += told.back;
        offline += told.offline;
        spare += told.spare;
        exact += exactly;
    }
    let few = usize::try_from(SEEDS).unwrap();
    let all = [back, offline, exact, spare];
    assert!(all.iter().all(|&count| count > few), "{all:?}");
}

#[expect(clippy::too_many_lines, reason = "it is one list of what may happen")]
#[expect(clippy::wildcard_enum_match_arm, reason = "other events say nothing of messages")]
fn run(seed: u64) -> (Told, usize) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555);
    for _ in 0..5 {
        random.below(2);
    }
    let resume = Resume::default().window(WINDOW).grace(LONG).suspect(true);
    let mut rig = Rig::new(|config| {
        config.v1(V1::default()).policy(Policy::default()).resume(resume).max_queue(300)
    });
    let mut server = Server::new(rig.toy.now());
    let mut told = Told::default();
    // What the client accepted in this session, and messages of sessions that ended.
    let (mut accepted, mut number, mut exact) = (Vec::new(), 0_u32, 0);
    let mut is_behind = false;
    let mut forgotten: Option<(Option<Position>, Vec<u32>)> = None;
    let mut to_server: VecDeque<u8> = VecDeque::new();
    for step in 0..STEPS {
        let is_late = step > STEPS - LAST_STEPS;
        let is_last = step > STEPS - LAST_STEPS / 2;
        if step == STEPS - LAST_STEPS / 2 && seed % 4 == 0 && rig.client.end() {
            told.ended = true;
            server.end();
        }
        match random.below(if is_late { 9 } else { 14 }) {
            // An application that has not heard of an end would not know of which session it is.
            0 if !is_behind && !is_last => {
                if rig.client.try_send(number.to_le_bytes().to_vec()).is_ok() {
                    accepted.push(number);
                    number += 1;
                }
            }
            1 if !is_last => server.send(),
            2 => server.take(),
            3..=5 => {
                let len = random.of(to_server.len());
                let bytes: Vec<u8> = to_server.drain(..len).collect();
                let lost = forgotten.as_ref().and_then(|(lost, _)| *lost);
                server.receive(&bytes, lost);
                server.speak();
            }
            6..=8 => {
                let len = random.of(server.outbox.len());
                let bytes: Vec<u8> = server.outbox.drain(..len).collect();
                rig.toy.send(&bytes);
            }
            9 => rig.toy.state().room = random.below(60),
            10 | 11 if random.below(4) == 0 => {
                server.lose();
                to_server.clear();
                rig.toy.state().end = Some(RESET);
            }
            12 if random.below(4) == 0 && server.session > 0 && forgotten.is_none() => {
                let taken = server.forget().filter(|_| random.below(2) == 0);
                forgotten = Some((taken, server.taken.clone()));
                to_server.clear();
                rig.toy.state().end = Some(RESET);
            }
            13 if random.below(4) == 0 => {
                rig.toy.state().unacknowledged = Some(random.below(2));
                rig.client.network_changed();
            }
            _ => rig.toy.pass(Duration::from_millis(u64::try_from(random.below(300)).unwrap())),
        }
        if random.below(3) == 0 || is_late {
            rig.toy.state().room = usize::MAX;
        }
        server.now = rig.toy.now();
        loop {
            match rig.life.step() {
                Step::Dial => {
                    let mut state = rig.toy.state();
                    (state.end, state.room) = (None, usize::MAX);
                    state.inbound.clear();
                    state.written.clear();
                    drop(state);
                    to_server.clear();
                    server.lose();
                    rig.life.connected(rig.toy.clone(), SERVER);
                }
                Step::Wait(wait) if wait.spare && random.below(2) == 0 => {
                    let spare = rig.toy.another();
                    rig.life.spare_connected(spare.clone(), SERVER);
                    if spare.is_dropped() {
                        break;
                    }
                    told.spare += 1;
                    rig.toy = spare;
                    to_server.clear();
                    server.lose();
                }
                Step::Wait(wait) => {
                    let waits = rig.life.connection().is_none();
                    if waits && random.below(2) == 0 {
                        rig.pass_until(wait);
                        continue;
                    }
                    break;
                }
                Step::Over => {
                    assert!(told.ended, "seed {seed}");
                    break;
                }
            }
        }
        to_server.extend(rig.toy.take_written());
        if server.last.is_some() && server.outbox.is_empty() {
            // It closes after its BYE.
            rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
        }
        is_behind = random.below(3) > 0 && step < STEPS - 1;
        if is_behind {
            continue;
        }
        for event in repeat_with(|| rig.events.try_recv().ok()).map_while(|event| event) {
            match event {
                Event::Data(data) => {
                    let (session, n) = data.split_at(4);
                    let session = u32::from_le_bytes(session.try_into().unwrap());
                    let n = u32::from_le_bytes(n.try_into().unwrap());
                    if session > told.next.0 {
                        told.next = (session, 0);
                    }
                    assert_eq!((session, n), told.next, "seed {seed}");
                    told.next.1 += 1;
                }
                Event::Back { .. } => told.back += 1,
                Event::Offline { reason: Reason::Done, undelivered, .. } => {
                    assert!(told.ended && !told.done, "seed {seed}");
                    assert_eq!(undelivered, Undelivered::NOTHING, "seed {seed}");
                    told.done = true;
                }
                Event::Offline { reason, unsent, undelivered, .. } => {
                    assert_eq!(reason, Reason::NotResumed, "seed {seed}");
                    told.offline += 1;
                    let (_, taken) = forgotten.take().expect("the server has forgotten it");
                    assert_eq!(accepted[..taken.len()], taken, "seed {seed}");
                    let lost = u64::try_from(accepted.len() - taken.len()).unwrap();
                    accepted.clear();
                    if undelivered.exact {
                        exact += 1;
                        assert_eq!(undelivered.frames, lost, "seed {seed}");
                    } else {
                        assert!(undelivered.frames >= lost, "seed {seed}: {undelivered}");
                    }
                    assert_eq!(undelivered.bytes, 4 * undelivered.frames, "seed {seed}");
                    assert!(u64::try_from(unsent).unwrap() <= undelivered.frames);
                }
                _ => {}
            }
        }
        if forgotten.is_none() && server.session > 0 {
            assert!(accepted.starts_with(&server.taken), "seed {seed}: {:?}", server.taken);
        }
    }
    if seed % 2 == 0 {
        assert_eq!(server.taken, accepted, "seed {seed}");
        assert_eq!(told.next, (u32::try_from(server.session).unwrap(), server.sent), "seed {seed}");
        assert_eq!(told.done, told.ended, "seed {seed}");
        return (told, exact);
    }
    rig.toy.state().unacknowledged = Some(0);
    let left = close(&mut rig, &mut server, to_server, &mut random);
    let lost = u64::try_from(accepted.len() - server.taken.len()).unwrap();
    assert!(accepted.starts_with(&server.taken), "seed {seed}");
    if left.exact {
        exact += 1;
        assert_eq!(left.frames, lost, "seed {seed}");
    } else {
        assert!(left.frames >= lost, "seed {seed}: {left}");
    }
    (told, exact)
}

/// The application closes the client, over a path that is cut once in a while.
fn close(
    rig: &mut Rig,
    server: &mut Server,
    mut to_server: VecDeque<u8>,
    random: &mut Random,
) -> Undelivered {
    for _ in 0..random.below(20) {
        server.send();
    }
    rig.client.close();
    let mut wait = Wait::default();
    for _ in 0..10_000 {
        match random.below(20) {
            0..=6 => {
                let len = random.of(to_server.len());
                let bytes: Vec<u8> = to_server.drain(..len).collect();
                server.receive(&bytes, None);
                server.speak();
            }
            7..=13 => {
                let len = random.of(server.outbox.len());
                let bytes: Vec<u8> = server.outbox.drain(..len).collect();
                rig.toy.send(&bytes);
                if server.last.is_some() && server.outbox.is_empty() {
                    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
                }
            }
            14 => {
                server.lose();
                to_server.clear();
                rig.toy.state().end = Some(RESET);
            }
            15..=16 => rig.toy.state().room = random.below(60),
            17 => rig.toy.state().room = usize::MAX,
            _ if wait.until.is_some() => rig.pass_until(wait),
            _ => {}
        }
        server.now = rig.toy.now();
        match rig.life.step() {
            Step::Dial => {
                let mut state = rig.toy.state();
                (state.end, state.room) = (None, usize::MAX);
                state.inbound.clear();
                state.written.clear();
                drop(state);
                to_server.clear();
                server.lose();
                rig.life.connected(rig.toy.clone(), SERVER);
            }
            Step::Wait(next) => wait = next,
            Step::Over => return rig.end().2,
        }
        to_server.extend(rig.toy.take_written());
    }
    panic!("it does not end")
}
