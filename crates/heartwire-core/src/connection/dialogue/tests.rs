//! Two ends that speak v1 over a path with a delay, on one clock.

use std::collections::VecDeque;
use std::vec::Vec;

use super::*;
use crate::connection::tests::turn;
use crate::connection::{Connection, Event, Protocol, Settings, Spoken, Transmit};
use crate::liveness::{Cause, Verdict};
use crate::order::{Found, Next, Outbound, Over};
use crate::pause::Pause;
use crate::policy::Preset;
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
                    let held = self.connection.welcome(now, contract);
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

    fn nobody_died(&self) {
        assert_eq!((self.client.outcome, self.server.outcome), (None, None));
    }
}

#[test]
fn both_ends_beat_as_agreed_and_nobody_dies() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(100));
    // One at once, and one every 10 s.
    assert_eq!((pair.client.beats, pair.server.beats), (11, 10));
    pair.nobody_died();
}

#[test]
fn both_ends_know_the_round_trip_from_their_first_words_on() {
    // The client has the WELCOME, and its first beat is on its way.
    let mut pair = Pair::usual(ms(40));
    assert_eq!(pair.link_state(Side::Client).rtt, Some(ms(80)));
    assert_eq!(pair.link_state(Side::Server).rtt, None);
    pair.run_for(ms(40));
    assert_eq!(pair.link_state(Side::Server).rtt, Some(ms(80)));
}

/// The server lets beats wait in its kernel and knows about when they came.
#[test]
fn a_round_trip_that_looks_like_nothing_is_not_told_as_nothing() {
    let rough = |rtt| {
        let server = Offer::new(&usual(Side::Server));
        let contract = Terms::new(server).wake_bytes(161).agree(&Offer::new(&usual(Side::Client)));
        let now = Instant::from_nanos(1_000_000_000_000);
        let (contract, arrived) = (contract.unwrap(), Arrived::at(now));
        let client = Dialogue::new(Side::Client, contract, Health::Ok, arrived, now);
        let mut client = client.with_rtt(rtt);
        move |reading| {
            client.handle_rtt(reading);
            let link_state = client.link_state(now);
            (link_state.rtt, link_state.rtt_below)
        }
    };
    let below = Some(arrival::MAX_SPAN);
    let mut of_handshake = rough(Some(ms(1)));
    assert_eq!(of_handshake(ms(0)), (Some(ms(1)), None), "it can be so");
    assert_eq!(of_handshake(ms(9)), (Some(ms(1)), None), "it can be so");
    assert_eq!(of_handshake(ms(50)), (Some(ms(50)), None), "it cannot");
    assert_eq!(of_handshake(ms(0)), (None, below), "it has become short again");
    let mut unknown = rough(None);
    assert_eq!(unknown(ms(2)), (None, below));
}

#[test]
fn beats_tell_both_ends_the_round_trip() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(30));
    for side in [Side::Client, Side::Server] {
        let link_state = pair.link_state(side);
        // What was held is told in whole microseconds.
        let rtt = link_state.rtt.unwrap();
        assert!((ms(80)..ms(80) + Duration::from_micros(2)).contains(&rtt), "{rtt:?}");
        assert_eq!((link_state.peer_health, link_state.too_fast), (Health::Ok, false));
    }
}

/// A server lets beats lie in its kernel, and knows when the last of them came.
#[test]
fn of_beats_that_are_read_together_the_last_says_when_the_peer_heard_this_end() {
    let mut pair = Pair::usual(ms(40));
    pair.now = pair.at(s(40));
    let beats: Vec<u8> = [5, 15, 25].into_iter().flat_map(beat_of_silence).collect();
    pair.server.take(&beats, &pair.terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).unheard, s(25));
    // Read later, a smaller silence is news, and a larger one has nothing to take back.
    pair.server.take(&beat_of_silence(1), &pair.terms, pair.now);
    pair.server.take(&beat_of_silence(2), &pair.terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).unheard, s(1));
}

fn beat_of_silence(secs: u32) -> Vec<u8> {
    let beat = Beat { silence_ms: secs * 1_000, promise_ms: 10_000, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    header.into_iter().chain(beat.encode()).collect()
}

#[test]
fn each_end_knows_when_the_other_last_heard_it() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let before = pair.link_state(Side::Client).unheard;
    assert!(before <= s(20), "{before:?}");
    pair.cut_to_server = true;
    pair.run_for(s(25));
    let unheard = pair.link_state(Side::Client).unheard;
    assert!((s(20)..=s(45)).contains(&unheard), "{unheard:?}");
    assert_eq!(pair.client.outcome, None);
}

#[test]
fn a_way_that_is_cut_is_found_by_both_ends() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    pair.cut_to_server = true;
    pair.run_for(s(31));
    // The server has not heard its client for its timeout.
    let Some(Ok(verdict)) = pair.server.outcome else { panic!("{:?}", pair.server.outcome) };
    assert_eq!((verdict.cause, verdict.silence), (Cause::Silence, s(30)));
    // It judges and falls silent, so the client can tell by that alone.
    pair.run_for(s(40));
    let Some(Ok(verdict)) = pair.client.outcome else { panic!("{:?}", pair.client.outcome) };
    assert_eq!(verdict.cause, Cause::Silence);
}

#[test]
fn a_peer_that_beats_but_does_not_hear_us_is_found_by_its_own_account() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let last_heard = pair.server.connection.last_heard();
    pair.cut_to_server = true;
    pair.cut_to_client = true;
    let (mut beat, mut nonce) = (Beat::decode(&[0; 32]), 1_000_000_000_000_000);
    for _ in 0..12 {
        // A beat of the server that says how long it has heard nothing.
        nonce += 1;
        beat.nonce = nonce;
        beat.promise_ms = 10_000;
        beat.silence_ms = millis(pair.now.saturating_since(last_heard));
        let header = frame::header(Kind::Heart, 32).unwrap();
        let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
        pair.client.take(&bytes, &pair.terms, pair.now);
        pair.run_for(s(5));
        if pair.client.outcome.is_some() {
            break;
        }
    }
    let Some(Ok(verdict)) = pair.client.outcome else { panic!("{:?}", pair.client.outcome) };
    assert_eq!(verdict.cause, Cause::Unheard);
    // Two timeouts of 30 s since the server last heard its client.
    assert_eq!(verdict.silence, s(60));
    assert_eq!(verdict.bound.unwrap().earliest, s(60));
}

#[test]
fn a_promise_is_kept_and_moves_the_timeout_of_the_other_end() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    assert_eq!(pair.client.connection.promise(s(300)), Some(s(300)));
    pair.run_for(s(1));
    assert_eq!(pair.server.connection.policy().timeout(), Some(s(600)));
    let beats = pair.server.beats;
    pair.run_for(s(1500));
    assert_eq!(pair.server.beats - beats, 5);
    pair.nobody_died();
    // And back.
    assert_eq!(pair.client.connection.promise(s(10)), Some(s(10)));
    pair.run_for(s(1));
    assert_eq!(pair.server.connection.policy().timeout(), Some(s(30)));
    pair.cut_to_server = true;
    pair.run_for(s(31));
    assert!(matches!(pair.server.outcome, Some(Ok(_))), "{:?}", pair.server.outcome);
}

#[test]
fn a_promise_keeps_to_the_contract() {
    let mut pair = Pair::usual(ms(40));
    assert_eq!(pair.client.connection.promise(s(100_000)), Some(s(1800)));
    assert_eq!(pair.client.connection.promise(ms(1)), Some(s(1)));
    pair.run_for(s(10));
    pair.nobody_died();
}

#[test]
fn a_promise_that_is_repeated_is_no_news() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(1));
    let beats = pair.server.beats;
    for _ in 0..1000 {
        // It comes to what the contract allows, each time.
        assert_eq!(pair.client.connection.promise(s(100_000)), Some(s(1800)));
        pair.run_for(ms(1));
    }
    assert_eq!(pair.server.beats, beats + 1);
}

#[test]
fn a_promise_that_is_shortened_leaves_the_peer_time_to_hear_of_it() {
    let mut pair = Pair::usual(ms(40));
    pair.client.connection.promise(s(300));
    // The server has heard nothing for 290 s, as its beats say, and rightly so.
    pair.run_for(s(290));
    assert!(pair.link_state(Side::Client).unheard > s(280));
    pair.client.connection.promise(s(10));
    assert!(!pair.client.connection.is_over(pair.now));
    // A beat that was under way meanwhile says so too.
    pair.server.connection.beat_now();
    pair.run_for(s(100));
    pair.nobody_died();
}

#[test]
fn a_promise_beyond_the_contract_ends_the_connection() {
    let mut pair = Pair::usual(ms(40));
    let beat = Beat { nonce: 1, promise_ms: 1_800_001, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    pair.server.take(&bytes, &pair.terms, pair.now);
    let too_long = Violation::PromiseTooLong { promise: ms(1_800_001), max: s(1800) };
    assert_eq!(pair.server.outcome, Some(Err(too_long)));
}

#[test]
fn an_echo_of_what_was_never_sent_ends_the_connection() {
    let mut pair = Pair::usual(ms(40));
    let beat = Beat { nonce: 1, echo: u64::MAX, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    pair.server.take(&bytes, &pair.terms, pair.now);
    assert_eq!(pair.server.outcome, Some(Err(Violation::UnknownNonce)));
}

#[test]
fn whoever_is_far_too_fast_is_told_and_then_sent_away() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(30));
    let mut sent = 0;
    while pair.server.outcome.is_none() {
        pair.client.connection.beat_now();
        pair.run_for(ms(100));
        sent += 1;
        assert!(sent < 1000, "it is never too much");
        if sent == 80 {
            assert!(pair.link_state(Side::Client).too_fast, "it was told");
        }
    }
    assert_eq!(pair.server.outcome, Some(Err(Violation::TooFast)));
    assert!((120..160).contains(&sent), "{sent}");
}

#[test]
fn a_promise_that_no_beat_has_told_yet_proves_nothing() {
    let mut pair = Pair::usual(ms(40));
    pair.client.connection.promise(s(300));
    pair.run_for(s(290));
    pair.client.connection.promise(s(10));
    // Before that is told, a beat of the server is read: it goes by what it was promised.
    let beat = Beat { nonce: 1, silence_ms: 280_000, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    pair.run_for(s(100));
    pair.nobody_died();
}

#[test]
fn a_promise_that_waits_for_the_socket_is_not_in_force() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let (terms, client) = (pair.terms, &mut pair.client);
    let (unheard_since, mut now) = (pair.now, pair.now);
    let mut waiting = None;
    // The server, which gives no verdicts, hears nothing any more, and says so each second.
    for secs in 1.. {
        now = now.saturating_add(s(1));
        let silence_ms = millis(now.saturating_since(unheard_since));
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        let header = frame::header(Kind::Heart, 32).unwrap();
        client.take(&header.into_iter().chain(beat.encode()).collect::<Vec<u8>>(), &terms, now);
        // The client's application cannot make up its mind.
        client.connection.promise(if secs % 2 == 0 { s(300) } else { s(10) });
        let mut next = client.connection.poll(now, Outbound::Waiting);
        let over = loop {
            next = match next {
                Next::ReadFirst(read) => client.connection.judge(read, Found::All, None),
                Next::Write(beat) => {
                    waiting = Some(beat);
                    client.connection.poll(now, Outbound::Waiting)
                }
                Next::SleepUntil(_) => break None,
                Next::Over(over) => break Some(over),
            };
        };
        if let Some(Over::Dead(verdict)) = over {
            assert_eq!((verdict.cause, secs), (Cause::Unheard, 60), "{verdict}");
            break;
        }
        assert!(secs < 60, "no verdict");
    }
    assert!(waiting.is_some_and(|beat| beat.is_news()));
}

#[test]
fn a_promise_is_in_force_when_its_beat_has_been_written() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let now = pair.now;
    let connection = &mut pair.client.connection;
    // The timeouts are 30 s each, and 600 s for a server that was promised a beat in 300 s.
    connection.promise(s(300));
    let Next::ReadFirst(read) = connection.poll(now, Outbound::Waiting) else { panic!("no beat") };
    let Next::Write(beat) = connection.judge(read, Found::All, None) else { panic!("no beat") };
    let unheard_for = |silence_ms, connection: &mut Connection| {
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        let header = frame::header(Kind::Heart, 32).unwrap();
        let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
        connection.handle_heard(now);
        connection.handle_received(now, &mut bytes.as_slice()).unwrap();
        let dialogue = connection.stage.dialogue().unwrap();
        dialogue
            .unheard_at(&connection.liveness.policy())
            .map(|at| at.saturating_since(dialogue.heard_by_peer_at()))
    };
    assert_eq!(unheard_for(31_000, connection), Some(s(60)), "it waits");
    connection.handle_beat_written(&beat, now);
    assert_eq!(unheard_for(31_000, connection), None, "the server is not impatient");
    assert_eq!(unheard_for(600_000, connection), Some(s(630)));
}

#[test]
fn a_beat_behind_data_that_the_application_has_no_room_for_may_say_that_the_peer_hears_us() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    let heart = |silence_ms| {
        let beat = Beat { nonce: 1, silence_ms, ..Beat::decode(&[0; 32]) };
        frame::header(Kind::Heart, 32).unwrap().into_iter().chain(beat.encode())
    };
    let now = pair.at(s(100));
    let data = frame::header(Kind::Data, 0).unwrap();
    let bytes: Vec<u8> = heart(100_000).chain(data).chain(heart(0)).collect();
    let (client, mut rest) = (&mut pair.client.connection, bytes.as_slice());
    client.handle_heard(now);
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Beat)));
    assert!(!client.is_over(now), "not all is known");
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Data(&[]))));
    assert!(!client.is_over(now), "not all is known");
    assert_eq!(client.handle_received(now, &mut rest), Ok(Some(Event::Beat)));
    assert!(!client.is_over(now), "it hears us");
}

#[test]
fn beats_that_come_all_at_once_after_a_long_stop_are_not_too_fast() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    // The server is stopped for an hour and a half, while its client beats.
    let mut held = Vec::new();
    for _ in 0..540 {
        pair.now = pair.at(s(10));
        pair.client.connection.handle_heard(pair.now);
        pair.client.connection.beat_now();
        for bytes in pair.client.turn(pair.now) {
            held.extend_from_slice(bytes.as_ref());
        }
    }
    assert_eq!(held.len(), 540 * 40);
    pair.server.take(&held, &pair.terms, pair.now);
    assert_eq!(pair.server.outcome, None);
}

#[test]
fn beats_that_a_dribbling_path_hands_over_late_are_not_too_fast() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    // Every third beat gets through at once; what is held up comes when the path is well again.
    let (mut held, mut handed_over) = (VecDeque::new(), 0);
    for beat in 0..220 {
        pair.now = pair.at(s(10));
        pair.client.connection.handle_heard(pair.now);
        pair.client.connection.beat_now();
        for bytes in pair.client.turn(pair.now) {
            held.push_back(bytes.as_ref().to_vec());
        }
        if beat % 3 == 0 {
            let bytes: Vec<u8> = held.pop_front().unwrap();
            pair.server.take(&bytes, &pair.terms, pair.now);
            handed_over += 1;
        }
    }
    assert!(held.len() > 128, "{handed_over} were handed over, and {} are left", held.len());
    for bytes in held {
        pair.server.take(&bytes, &pair.terms, pair.now);
        assert!(
            !pair
                .server
                .turn(pair.now)
                .iter()
                .any(|bytes| { Beat::decode(bytes.as_ref()[8..40].try_into().unwrap()).too_fast })
        );
    }
    assert_eq!(pair.server.outcome, None);
}

/// A server's budget for its client's beats, with 10 s agreed; each is read this long after the one
/// before.
struct Book {
    dialogue: Dialogue,
    policy: Policy,
    now: Instant,
}

impl Book {
    fn new() -> Self {
        let now = Instant::from_nanos(0);
        let terms = Terms::new(Offer::new(&usual(Side::Server)));
        let contract = terms.agree(&Offer::new(&usual(Side::Client))).unwrap();
        let dialogue = Dialogue::new(Side::Server, contract, Health::Ok, Arrived::at(now), now);
        Self { policy: dialogue.policy(), dialogue, now }
    }

    #[track_caller]
    fn beats(&mut self, count: u32, each_after: Duration, credit: i64) -> &mut Self {
        for _ in 0..count {
            self.now = self.now.saturating_add(each_after);
            self.dialogue.charge(&self.policy, self.now).unwrap();
        }
        assert_eq!(self.dialogue.budget.credit(), credit);
        self
    }

    fn gives_notice(&mut self) -> bool {
        self.dialogue.beat(&self.policy, self.now, None, self.now).0.too_fast
    }
}

/// The numbers of PROTOCOL.md.
#[test]
fn the_credit_for_beats_grows_to_15_minutes_of_them_or_to_the_time_since_the_last_one() {
    // One back each 5 s, and each beat takes one.
    Book::new().beats(1, s(10), 65).beats(10, s(10), 75).beats(500, s(10), 179);
    // 20 min are 240 times 5 s.
    Book::new().beats(1, s(0), 63).beats(1, s(20 * 60), 239).beats(1, s(5), 238);
    Book::new().beats(1, s(60 * 60), 719);
}

#[test]
fn a_notice_is_kept_until_the_credit_is_0_again_and_only_beats_tell() {
    let mut book = Book::new();
    book.beats(64, s(0), 0);
    assert!(!book.gives_notice());
    book.beats(1, s(0), -1);
    assert!(book.gives_notice());
    // Silence alone does not lift it, though ten are owed by now.
    book.now = book.now.saturating_add(s(50));
    assert!(book.gives_notice());
    book.beats(1, s(0), 8);
    assert!(!book.gives_notice());
    // One back for one taken.
    book.beats(9, s(0), -1).beats(5, s(5), -1);
    assert!(book.gives_notice());
    book.beats(1, s(10), 0);
    assert!(!book.gives_notice());
    book.beats(64, s(0), -64);
    assert_eq!(book.dialogue.charge(&book.policy, book.now), Err(Violation::TooFast));
}

#[test]
fn twice_as_many_beats_as_agreed_are_nobodys_business() {
    let mut pair = Pair::usual(ms(40));
    for _ in 0..1000 {
        pair.client.connection.beat_now();
        pair.run_for(s(5));
    }
    pair.nobody_died();
    assert!(!pair.link_state(Side::Client).too_fast);
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
fn a_beat_says_how_late_it_was() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    // The client is stopped for 12 s: its beat was due at 10 s.
    let due = pair.client.connection.poll_timeout().unwrap();
    pair.now = due.saturating_add(s(7));
    pair.write();
    pair.run_for(s(1));
    assert_eq!(pair.link_state(Side::Server).peer_late, s(7));
}

#[test]
fn a_pause_of_ours_is_not_held_against_the_way_to_the_peer() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    pair.now = pair.at(s(500));
    // It reads first: the server's beats of that time, of which the last one has heard nothing for
    // long.
    let beat = Beat { nonce: 5, silence_ms: 490_000, promise_ms: 10_000, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    pair.client.pause = Some(Pause::new(pair.now, s(480)));
    pair.write();
    assert_eq!(pair.client.outcome, None);
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
    assert_eq!(pair.server.beats - beats, 10);
}

#[test]
fn beats_that_are_held_up_behind_data_kill_nobody() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    // The client's beats come when all of its data have, which the server takes at its leisure.
    pair.cut_to_server = true;
    for _ in 0..600 {
        pair.server.connection.handle_heard(pair.now);
        pair.run_for(s(1));
    }
    pair.nobody_died();
}

#[test]
fn beats_that_lay_unread_do_not_spoil_the_round_trip() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(62));
    let before = pair.link_state(Side::Server).rtt.unwrap();
    let echoed = pair.server.connection.stage.dialogue().unwrap().heard.nonce;
    pair.client.connection.beat_now();
    let mut held = pair.client.turn(pair.now)[0].as_ref().to_vec();
    held.extend(frame::data_header(0).unwrap());
    // The beat waits in the server's kernel until data wake it. When it came is not known.
    pair.run_for(s(4));
    let terms = pair.terms;
    pair.server.take(&held, &terms, pair.now);
    assert_eq!(pair.link_state(Side::Server).rtt, Some(before));
    assert_eq!(pair.server.connection.stage.dialogue().unwrap().heard.nonce, echoed);
    // The client's own reading is as good as before.
    pair.run_for(s(30));
    for side in [Side::Client, Side::Server] {
        let rtt = pair.link_state(side).rtt.unwrap();
        assert!((ms(80)..ms(81)).contains(&rtt), "{side:?}: {rtt:?}");
    }
}

#[test]
fn a_beat_right_before_data_is_measured() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    pair.server.connection.handle_heard(pair.now);
    pair.now = pair.at(ms(8));
    pair.client.connection.beat_now();
    let mut bytes = pair.client.turn(pair.now)[0].as_ref().to_vec();
    bytes.extend(frame::data_header(0).unwrap());
    let terms = pair.terms;
    pair.server.take(&bytes, &terms, pair.now);
    let heard_at = pair.server.connection.stage.dialogue().unwrap().heard.at;
    // Between the last byte before it, and its own.
    assert_eq!(pair.now.saturating_since(heard_at), ms(4));
}

#[test]
fn whoever_waits_for_an_answer_is_not_judged_by_its_silence() {
    let start = Instant::from_nanos(1_000_000_000_000);
    let policy = Policy::builder().interval(ms(100)).timeout(ms(300)).build().unwrap();
    let mut server =
        Connection::new(Settings::new(policy).protocol(Protocol::Any).tick(TICK), start);
    let hello = Hello::new(Offer::new(&policy)).encode();
    assert!(matches!(server.handle_received(start, &mut &*hello), Ok(Some(Event::Hello(_)))));
    let later = start.saturating_add(s(5));
    assert!(!server.is_over(later));
    assert_eq!(turn(&mut server, later, None), (Vec::new(), None));
    let contract = Terms::new(Offer::new(&policy)).agree(&Offer::new(&policy)).unwrap();
    server.welcome(later, contract);
    // Its time begins now.
    assert!(!server.is_over(later.saturating_add(ms(299))));
    assert!(server.is_over(later.saturating_add(ms(300))));
}

#[test]
fn a_flood_of_beats_that_nobody_asked_for_is_too_fast() {
    let nobody = Policy::builder().build().unwrap();
    let mut pair = Pair::new(nobody, nobody, ms(40));
    assert_eq!(pair.server.connection.contract().unwrap().to_server.interval(), None);
    let mut sent = 0;
    while pair.server.outcome.is_none() {
        pair.client.connection.beat_now();
        pair.run_for(ms(1));
        sent += 1;
        assert!(sent < 1000, "it is never too much");
    }
    assert_eq!(pair.server.outcome, Some(Err(Violation::TooFast)));
}

#[test]
fn what_was_held_for_longer_than_can_be_said_is_no_measurement() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(60));
    let before = pair.link_state(Side::Server).rtt;
    let beat = Beat { nonce: 1, echo: 1, held_us: u32::MAX, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.server.take(&bytes, &terms, pair.now);
    assert_eq!((pair.link_state(Side::Server).rtt, pair.server.outcome), (before, None));
}

#[test]
fn short_writes_are_padded_until_they_wake_the_server() {
    let client = usual(Side::Client);
    let server = Offer::new(&usual(Side::Server));
    let contract = Terms::new(server).wake_bytes(161).agree(&Offer::new(&client)).unwrap();
    let now = Instant::from_nanos(0);
    let dialogue = Dialogue::new(Side::Client, contract, Health::Ok, Arrived::at(now), now);
    let pad = |len| dialogue.pad(len).map(|pad| (pad[..8].to_vec(), pad.len()));
    let header = |body_len| frame::header(Kind::Pad, body_len).unwrap().to_vec();
    assert_eq!(pad(10), Some((header(143), 151)));
    assert_eq!(pad(153), Some((header(0), 8)));
    assert_eq!(pad(160), Some((header(0), 8)));
    assert_eq!(pad(161), None);
}

#[test]
fn what_the_peer_says_of_us_may_wait_unread() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(15));
    let beat = Beat { nonce: 9, silence_ms: 40_000, ..Beat::decode(&[0; 32]) };
    let header = frame::header(Kind::Heart, 32).unwrap();
    let bytes: Vec<u8> = header.into_iter().chain(beat.encode()).collect();
    let terms = pair.terms;
    pair.client.take(&bytes, &terms, pair.now);
    // Its application does not let the client read any more, and the server's next beats wait.
    pair.now = pair.at(s(100));
    assert!(pair.client.connection.is_over(pair.now));
    pair.client.connection.handle_backpressure(pair.now);
    assert!(!pair.client.connection.is_over(pair.now));
    pair.write();
    assert_eq!(pair.client.outcome, None);
}
