//! Two ends that speak v1 over a path with a delay, on one clock.

mod promises;
mod round_trip;
mod too_fast;
mod unheard;

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;
use crate::codec;
use crate::connection::tests::turn;
use crate::connection::{Connection, Event, Protocol, Settings, Spoken, Transmit};
use crate::frame::Kind;
use crate::liveness::{Cause, Verdict};
use crate::order::{Found, Next, Outbound, Over};
use crate::pause::Pause;
use crate::policy::Preset;
use crate::time::millis;
use crate::v1::{Hello, Offer, Terms, Welcome};

const TICK: Duration = Duration::from_millis(100);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Bytes on their way, with the time of their arrival.
type Way = VecDeque<(Instant, Vec<u8>)>;

struct End {
    connection: Connection,
    unread: Vec<u8>,
    beats: u32,
    outcome: Option<Result<Verdict, Violation>>,
    /// Its last pause.
    pause: Option<Pause>,
}

impl End {
    fn new(settings: Settings, now: Instant) -> Self {
        let connection = Connection::new(settings, now);
        Self { connection, unread: Vec::new(), beats: 0, outcome: None, pause: None }
    }

    /// Takes what has arrived. Returns what is to be written at once.
    fn take(&mut self, bytes: &[u8], terms: &Terms, now: Instant) -> Vec<u8> {
        let mut answer = Vec::new();
        self.connection.handle_heard(now);
        self.unread.extend_from_slice(bytes);
        let unread = core::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        loop {
            match self.connection.handle_received(now, &mut rest) {
                Ok(Some(Event::Hello(hello))) => {
                    let contract = terms.agree(&hello.offer).unwrap();
                    let held = self.connection.welcome(now, 1, contract);
                    answer.extend(Welcome::new(1, 0, contract).held(held).encode());
                }
                Ok(Some(Event::Beat | Event::Promise(_))) => self.beats += 1,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(violation) => self.outcome = Some(Err(violation)),
            }
        }
        self.unread = rest.to_vec();
        answer
    }

    /// What it writes when there is nothing to read.
    fn turn(&mut self, now: Instant) -> Vec<Transmit> {
        let (written, over) = turn(&mut self.connection, now, self.pause);
        match over {
            Some(Over::Dead(verdict)) => self.outcome = Some(Ok(verdict)),
            Some(Over::Broken(violation)) => self.outcome = Some(Err(violation)),
            None => {}
        }
        written
    }
}

struct Pair {
    now: Instant,
    delay: Duration,
    terms: Terms,
    client: End,
    server: End,
    to_server: Way,
    to_client: Way,
    /// Nothing gets through any more.
    cut_to_server: bool,
    cut_to_client: bool,
}

fn usual(side: Side) -> Policy {
    Preset::Default.policy(side)
}

impl Pair {
    /// Both ends with the usual preset, right after the handshake.
    fn usual(delay: Duration) -> Self {
        Self::new(usual(Side::Client), usual(Side::Server), delay)
    }

    fn new(client: Policy, server: Policy, delay: Duration) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let offer = Offer::new(&client);
        let settings = Settings::new(client).protocol(Protocol::V1).offer(offer).tick(TICK);
        let server_settings = Settings::new(server).protocol(Protocol::Any).tick(TICK);
        let mut pair = Self {
            now,
            delay,
            terms: Terms::new(Offer::new(&server)),
            client: End::new(settings, now),
            server: End::new(server_settings, now),
            to_server: Way::new(),
            to_client: Way::new(),
            cut_to_server: false,
            cut_to_client: false,
        };
        pair.to_server.push_back((now.saturating_add(delay), Hello::new(offer).encode()));
        pair.run_for(delay.saturating_mul(2));
        assert_eq!(pair.client.connection.spoken(), Spoken::V1);
        assert_eq!(pair.server.connection.spoken(), Spoken::V1);
        pair
    }

    fn at(&self, since_start: Duration) -> Instant {
        self.now.saturating_add(since_start)
    }

    /// Lets time pass. Each end wakes when it asked to, and `held` keeps the server from being run.
    fn run_for(&mut self, duration: Duration) {
        let until = self.at(duration);
        loop {
            self.write();
            let arrivals = [self.to_server.front(), self.to_client.front()];
            let arrival = arrivals.into_iter().flatten().map(|(at, _)| *at).min();
            let wakes = [&self.client, &self.server].map(|end| end.connection.poll_timeout());
            let next = wakes.into_iter().flatten().chain(arrival).min();
            let Some(next) = next.filter(|&next| next <= until) else { break };
            self.now = self.now.max(next);
            self.deliver();
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due = |way: &mut Way| way.pop_front_if(|(at, _)| *at <= now).map(|(_, bytes)| bytes);
        while let Some(bytes) = due(&mut self.to_server) {
            let answer = self.server.take(&bytes, &self.terms, now);
            if !answer.is_empty() {
                self.to_client.push_back((now.saturating_add(self.delay), answer));
            }
        }
        while let Some(bytes) = due(&mut self.to_client) {
            self.client.take(&bytes, &self.terms, now);
        }
    }

    fn write(&mut self) {
        let arrives = self.now.saturating_add(self.delay);
        for bytes in self.client.turn(self.now) {
            if !self.cut_to_server {
                self.to_server.push_back((arrives, bytes.as_ref().to_vec()));
            }
        }
        for bytes in self.server.turn(self.now) {
            if !self.cut_to_client {
                self.to_client.push_back((arrives, bytes.as_ref().to_vec()));
            }
        }
    }

    fn link_state(&self, side: Side) -> LinkState {
        let end = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        end.connection.link_state(self.now).unwrap()
    }

    fn both_live(&self) {
        assert_eq!((self.client.outcome, self.server.outcome), (None, None));
    }
}

#[test]
fn both_ends_beat_as_agreed_and_stay_alive() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(100));
    for end in [&pair.client, &pair.server] {
        // One at once, and one every 7.5 to 10 s; the last one may be under way.
        assert!((10..=14).contains(&end.beats), "{}", end.beats);
    }
    pair.both_live();
}

#[test]
fn an_echo_of_what_was_never_sent_ends_the_connection() {
    let mut pair = Pair::usual(ms(40));
    let beat = Beat { nonce: 1, echo: u64::MAX, ..Beat::decode(&[0; 32]) };
    let header = codec::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    pair.server.take(&bytes, &pair.terms, pair.now);
    assert_eq!(pair.server.outcome, Some(Err(Violation::UnknownNonce)));
}

#[test]
fn health_is_told_at_once() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    pair.client.connection.set_health(Health::Degraded);
    pair.run_for(ms(50));
    assert_eq!(pair.link_state(Side::Server).peer_health, Health::Degraded);
    let beats = pair.server.beats;
    pair.client.connection.set_health(Health::Degraded);
    pair.run_for(ms(50));
    assert_eq!(pair.server.beats, beats, "it is no news");
}

#[test]
fn bytes_that_a_later_version_appends_to_a_beat_are_skipped() {
    for tail in [1, 96] {
        let mut pair = Pair::usual(ms(40));
        pair.run_for(s(15));
        let beat = Beat { nonce: 9, health: Health::Draining, ..Beat::decode(&[0; 32]) };
        let header = codec::header(Kind::Heart, 32 + tail).unwrap();
        let longer = [&header[..], &beat.encode(), &[0xff; 96][..tail]].concat();
        let shorter = [&codec::header(Kind::Heart, 32).unwrap()[..], &beat.encode()].concat();
        let (before, terms) = (pair.client.beats, pair.terms);
        pair.client.take(&[longer, shorter].concat(), &terms, pair.now);
        assert_eq!((pair.client.beats, &pair.client.outcome), (before + 2, &None));
        assert_eq!(pair.link_state(Side::Client).peer_health, Health::Draining);
    }
}

#[test]
fn a_beat_says_how_late_it_was() {
    let mut pair = Pair::usual(ms(40));
    // The client has just sent a beat, so that the next is due in 10 s, however early it was meant
    // to be sent. Then it is stopped.
    pair.now = pair.at(s(17));
    pair.write();
    pair.run_for(s(1));
    assert_eq!(pair.link_state(Side::Server).peer_late, s(7));
}

#[test]
fn data_does_not_stand_in_for_beats() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let beats = pair.server.beats;
    for _ in 0..100 {
        pair.client.connection.handle_sent(pair.now);
        pair.run_for(s(1));
    }
    let beats = pair.server.beats - beats;
    assert!((10..=14).contains(&beats), "{beats}");
}

#[test]
fn silence_before_the_welcome_is_not_judged() {
    let start = Instant::from_nanos(1_000_000_000_000);
    let policy = Policy::builder().interval(ms(100)).timeout(ms(300)).build().unwrap();
    let mut server =
        Connection::new(Settings::new(policy).protocol(Protocol::Any).tick(TICK), start);
    let hello = Hello::new(Offer::new(&policy)).encode();
    assert!(matches!(server.handle_received(start, &mut &*hello), Ok(Some(Event::Hello(_)))));
    let later = start.saturating_add(s(5));
    assert!(!server.is_over(later));
    let (written, over) = turn(&mut server, later, None);
    assert!(written.is_empty() && over.is_none(), "{over:?}");
    let contract = Terms::new(Offer::new(&policy)).agree(&Offer::new(&policy)).unwrap();
    server.welcome(later, 1, contract);
    // Its time begins now.
    assert!(!server.is_over(later.saturating_add(ms(299))));
    assert!(server.is_over(later.saturating_add(ms(300))));
}

#[test]
fn short_writes_are_padded_until_they_wake_the_server() {
    let client = usual(Side::Client);
    let server = Offer::new(&usual(Side::Server));
    let contract = Terms::new(server).wake_bytes(161).agree(&Offer::new(&client)).unwrap();
    let now = Instant::from_nanos(0);
    let agreed = (1, contract.into());
    let dialogue = Dialogue::new(Side::Client, agreed, Health::Ok, Arrived::at(now), now);
    let pad = |len| dialogue.pad(len).map(|pad| (pad.header.to_vec(), pad.bytes().count()));
    let header = |body_len| codec::header(Kind::Pad, body_len).unwrap().to_vec();
    assert_eq!(pad(10), Some((header(143), 151)));
    assert_eq!(pad(153), Some((header(0), 8)));
    assert_eq!(pad(160), Some((header(0), 8)));
    assert_eq!(pad(161), None);
}

#[test]
fn each_end_knows_how_long_a_frame_the_other_accepts() {
    let (offer, now) = (Offer::new(&usual(Side::Client)), Instant::from_nanos(0));
    let contract = Terms::new(offer).agree(&offer).unwrap();
    let settings = Settings::new(usual(Side::Client));
    let lens = |connection: &Connection| {
        [10, 11, 1 << 20].map(|len| connection.data_header(len).is_some())
    };
    for (max_frame, accepted) in
        [(None, [true; 3]), (Some(10), [true, false, false]), (Some(u32::MAX), [true; 3])]
    {
        let mut server = Connection::new(settings.protocol(Protocol::V1Only), now);
        let hello = Hello { max_frame, ..Hello::new(offer) }.encode();
        assert!(server.handle_received(now, &mut hello.as_slice()).is_ok());
        server.welcome(now, 1, contract);
        assert_eq!(lens(&server), accepted);
        let mut client = Connection::new(settings.protocol(Protocol::V1), now);
        assert_eq!(lens(&client), [true; 3]);
        let welcome = Welcome { max_frame, ..Welcome::new(1, 0, contract) }.encode();
        assert!(client.handle_received(now, &mut welcome.as_slice()).is_ok());
        assert_eq!(lens(&client), accepted);
    }
}
