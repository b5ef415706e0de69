mod handshake;
mod resuming;
mod sending;

use core::net::{Ipv4Addr, SocketAddr};
use std::io;

use heartwire_core::Policy;
use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::v1::{Bye, ByeCode, Offer, Terms, Welcome};

use super::*;
use crate::client::internal::open;
use crate::client::{Client, Events, SendError, V1};
use crate::sys::Way;
use crate::toy::Toy;

const SERVER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const WAIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const RESET: io::ErrorKind = io::ErrorKind::ConnectionReset;

/// A client in a world of its own.
struct Rig {
    toy: Toy,
    client: Client,
    events: Events,
    life: Life<Toy>,
}

impl Rig {
    fn new(change: impl FnOnce(ClientConfig) -> ClientConfig) -> Self {
        let toy = Toy::new();
        let policy = Policy::builder().timeout(SECOND * 60).build().unwrap();
        let retry = Reconnect::new(BackoffPolicy::fixed(WAIT));
        let config = ClientConfig::new("a:1").v0().policy(policy).reconnect(retry);
        let (client, events, life) = open(change(config), toy.clone(), 1024);
        Self { toy, client, events, life }
    }

    /// One that has just connected.
    fn online(change: impl FnOnce(ClientConfig) -> ClientConfig) -> Self {
        let mut rig = Self::new(change);
        rig.connects();
        assert_eq!(rig.told(), ["connecting, attempt 1", "online"]);
        rig
    }

    fn wait(&mut self) -> Wait {
        match self.life.step() {
            Step::Wait(wait) => wait,
            other @ (Step::Dial | Step::Over) => panic!("{other:?}"),
        }
    }

    /// The next step dials, and there is a new connection.
    fn connects(&mut self) {
        assert_eq!(self.life.step(), Step::Dial);
        {
            let mut state = self.toy.state();
            (state.end, state.unacknowledged, state.way) = (None, Some(0), None);
            state.inbound.clear();
            state.written.clear();
        }
        self.life.connected(self.toy.clone(), SERVER);
        self.wait();
    }

    /// The next step dials, and there is none.
    fn fails(&mut self) -> Wait {
        assert_eq!(self.life.step(), Step::Dial);
        self.life.not_connected(SERVER, io::ErrorKind::ConnectionRefused.into());
        self.wait()
    }

    /// The server says this, and is gone.
    fn is_left(&mut self, words: &[u8]) -> Step {
        self.toy.send(words);
        self.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
        match self.life.step() {
            Step::Wait(wait) if wait.readable => self.life.step(),
            step @ (Step::Dial | Step::Wait(_) | Step::Over) => step,
        }
    }

    fn pass_until(&self, wait: Wait) {
        let until = wait.until.expect("there is a time to wait for");
        self.toy.pass(until.saturating_since(self.toy.now()));
    }

    /// How long that is from now.
    fn left(&self, wait: Wait) -> Duration {
        wait.until.expect("there is a time to wait for").saturating_since(self.toy.now())
    }

    /// What was told, a failed attempt and its wait in short.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the name says enough of the others")]
    fn told(&mut self) -> Vec<String> {
        let events = core::iter::from_fn(|| self.events.try_recv().ok());
        events
            .map(|event| match event {
                Event::Connecting { .. } | Event::Waiting { .. } => event.to_string(),
                Event::Offline { reason, unsent, .. } => format!("{}, {unsent}", reason.name()),
                other => other.name().to_owned(),
            })
            .collect()
    }
}

fn welcome() -> Vec<u8> {
    let offer = Offer::new(&Policy::default());
    Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode()
}

#[test]
fn attempts_are_counted_until_one_comes_to_something() {
    let mut rig = Rig::new(|config| config);
    for attempt in [1, 2] {
        let wait = rig.fails();
        assert!(wait.close && !wait.readable && !wait.message, "{wait:?}");
        let next = attempt + 1;
        assert_eq!(
            rig.told(),
            [
                format!("connecting, attempt {attempt}"),
                "failed".to_owned(),
                format!("waiting 10.000 s before attempt {next}")
            ]
        );
        assert_eq!(rig.left(wait), WAIT);
        rig.pass_until(wait);
    }
    rig.connects();
    assert_eq!(rig.told(), ["connecting, attempt 3", "online"]);
    let Step::Wait(_) = rig.is_left(&[]) else { panic!("it comes back") };
    assert_eq!(rig.told(), ["closed_by_peer, 0", "waiting 10.000 s before attempt 1"]);
}

#[test]
fn a_server_that_takes_connections_and_no_clients_is_no_new_start() {
    let mut rig = Rig::new(|config| config.v1(V1::default()));
    rig.connects();
    assert_eq!(rig.told(), ["connecting, attempt 1"]);
    rig.is_left(&[]);
    assert_eq!(rig.told(), ["failed", "waiting 10.000 s before attempt 2"]);
}

#[test]
fn a_client_without_retry_ends_with_its_connection() {
    let mut rig = Rig::online(|config| config.reconnect(None));
    assert_eq!(rig.is_left(&[]), Step::Over);
    assert_eq!(rig.told(), ["closed_by_peer, 0", "closed"]);
    assert!(matches!(rig.client.try_send(vec![1]), Err(SendError::Closed(_))));
}

#[test]
fn a_wait_is_cut_short_once_a_second() {
    let mut rig = Rig::new(|config| config);
    rig.fails();
    rig.client.network_changed();
    assert_eq!(rig.fails().until, Some(rig.toy.now().saturating_add(WAIT)), "at once");
    rig.client.network_changed();
    let wait = rig.wait();
    assert_eq!(rig.left(wait), SECOND, "not so soon again");
    rig.pass_until(wait);
    let wait = rig.fails();
    assert_eq!(rig.left(wait), WAIT, "it was said once");
}

#[test]
fn a_wait_that_the_server_asked_for_is_not_cut_short() {
    let mut rig = Rig::new(|config| config.v1(V1::default()));
    rig.connects();
    let (earliest, latest) = (SECOND * 20, SECOND * 30);
    let bye = Bye::new(ByeCode::Draining, RetryHint::Within { earliest, latest }).encode();
    let Step::Wait(wait) = rig.is_left(&bye) else { panic!("it comes back") };
    assert!((earliest..=latest).contains(&rig.left(wait)), "{wait:?}");
    rig.client.network_changed();
    assert_eq!(rig.wait(), wait);
    rig.pass_until(wait);
    assert_eq!(rig.life.step(), Step::Dial);
    rig.life.not_connected(SERVER, io::ErrorKind::ConnectionRefused.into());
    assert_eq!(rig.life.step(), Step::Dial, "but the next one is");
}

#[test]
fn a_server_that_says_never_is_believed_unless_the_client_is_told_to_come_back() {
    let never = Bye::new(ByeCode::Unauthorized, RetryHint::Never).encode();
    let mut rig = Rig::new(|config| config.v1(V1::default()));
    rig.connects();
    assert_eq!(rig.is_left(&never), Step::Over);
    assert_eq!(rig.told(), ["connecting, attempt 1", "failed", "closed"]);
    // What a server may ask for is no limit to what the application has decided.
    let retry = Reconnect::new(BackoffPolicy::fixed(WAIT).max_hint(WAIT));
    let change = |config: ClientConfig| {
        config.reconnect(retry.even_if_rejected(SECOND * 60)).policy(Policy::default())
    };
    let mut rig = Rig::new(|config| change(config.v1(V1::default())));
    for words in [never.clone(), [welcome(), never].concat()] {
        rig.connects();
        let Step::Wait(wait) = rig.is_left(&words) else { panic!("it comes back") };
        assert!((SECOND * 60..=SECOND * 120).contains(&rig.left(wait)), "{wait:?}");
        rig.client.network_changed();
        assert_eq!(rig.wait(), wait, "the server does not want it sooner");
        rig.pass_until(wait);
    }
    let told = rig.told();
    let [.., last, _] = &told[..] else { panic!("{told:?}") };
    assert_eq!(last, "bye, 0", "it was online");
}

#[test]
fn messages_that_are_not_written_are_lost_or_kept_as_configured() {
    let [one, two] = [[1, 0, 0, 0, 1, 0, 0, 0, 11], [1, 0, 0, 0, 1, 0, 0, 0, 22]];
    for (mode, unsent) in [(false, 2), (true, 1)] {
        let mut rig = Rig::online(|config| config.offline_queue(mode));
        rig.toy.take_written();
        rig.toy.state().room = 3;
        rig.client.try_send(vec![11]).unwrap();
        rig.client.try_send(vec![22]).unwrap();
        rig.wait();
        assert_eq!(rig.toy.take_written(), one[..3], "it has begun, and is not sent again");
        let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
        assert_eq!(rig.told()[0], format!("closed_by_peer, {unsent}"));
        rig.pass_until(wait);
        rig.toy.state().room = 100;
        rig.connects();
        let kept: &[u8] = if unsent == 1 { &two } else { &[] };
        assert_eq!(rig.toy.take_written(), [&[0; 8], kept].concat());
    }
}

#[test]
fn a_client_whose_network_has_changed_dials_at_once() {
    let mut rig = Rig::online(|config| config);
    rig.toy.state().unacknowledged = Some(8);
    rig.client.network_changed();
    let wait = rig.wait();
    assert_eq!(rig.left(wait), SECOND * 3);
    rig.pass_until(wait);
    rig.toy.state().way = Some(Way { quiet: SECOND * 3, is_tried: true });
    assert_eq!(rig.life.step(), Step::Dial);
    assert_eq!(rig.told(), ["network_changed, 0", "connecting, attempt 1"]);
}

#[test]
fn a_client_is_closed_while_it_dials_and_while_it_waits() {
    let mut rig = Rig::new(|config| config);
    assert_eq!(rig.life.step(), Step::Dial);
    assert!(rig.wait().close);
    rig.client.close();
    assert_eq!(rig.life.step(), Step::Over);
    assert_eq!(rig.told(), ["connecting, attempt 1", "closed"]);

    let mut rig = Rig::new(|config| config);
    rig.fails();
    rig.told();
    let Rig { toy: _toy, client, mut events, mut life } = rig;
    drop(client);
    assert_eq!(life.step(), Step::Over);
    assert_eq!(events.try_recv().unwrap().name(), "closed");
}

#[test]
fn a_look_during_an_attempt_has_the_next_one_follow_at_once() {
    let mut rig = Rig::new(|config| config);
    assert_eq!(rig.life.step(), Step::Dial);
    rig.client.network_changed();
    rig.wait();
    rig.life.not_connected(SERVER, io::ErrorKind::TimedOut.into());
    assert_eq!(rig.life.step(), Step::Dial);
}

#[test]
fn a_server_that_takes_nothing_is_given_up_and_what_it_did_not_take_is_counted() {
    let mut rig = Rig::online(|config| config);
    rig.toy.state().room = 0;
    for n in 0..3 {
        rig.client.try_send(vec![n]).unwrap();
    }
    rig.client.close();
    let mut steps = 0;
    while let Step::Wait(wait) = rig.life.step() {
        rig.pass_until(wait);
        steps += 1;
        assert!(steps < 1000, "it does not end");
    }
    assert_eq!(rig.told(), ["unacknowledged, 3", "closed"]);
}

/// Which of two addresses comes first after this came of a connection to the first one.
fn v1(config: ClientConfig) -> ClientConfig {
    config.v1(V1::default())
}

fn first_after(
    speaks: fn(ClientConfig) -> ClientConfig,
    what: impl FnOnce(&mut Rig),
) -> SocketAddr {
    let other = SocketAddr::new(SERVER.ip(), 2);
    let mut rig = Rig::new(speaks);
    rig.connects();
    what(&mut rig);
    let now = rig.toy.now();
    let first = *rig.life.dialler.in_order([SERVER, other], now).first().unwrap();
    // The server of a session that is away comes first nevertheless.
    rig.life.dialler.session_at = Some(SERVER);
    assert_eq!(rig.life.dialler.in_order([SERVER, other], now), [SERVER, other]);
    first
}

#[test]
fn an_address_where_nothing_good_came_of_a_connection_is_tried_last() {
    let closes = |rig: &mut Rig| assert!(matches!(rig.is_left(&[]), Step::Wait(_)));
    let is_silent = |rig: &mut Rig| {
        while let Step::Wait(wait) = rig.life.step() {
            if rig.life.connection().is_none() {
                break;
            }
            rig.pass_until(wait);
        }
    };
    let other = |address: SocketAddr| address.port() == 2;
    assert!(other(first_after(v1, closes)), "it closes");
    assert!(other(first_after(ClientConfig::v0, closes)), "it closes without a byte");
    assert!(other(first_after(v1, is_silent)), "it does not answer the HELLO");
    assert!(other(first_after(ClientConfig::v0, is_silent)), "it is declared dead");
    let speaks_http = |rig: &mut Rig| {
        rig.is_left(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    };
    assert!(other(first_after(v1, speaks_http)), "it is no server of ours");
    let is_good = |rig: &mut Rig| {
        rig.toy.pass(SECOND);
        rig.is_left(&[0; 8]);
    };
    assert!(!other(first_after(ClientConfig::v0, is_good)), "it beats, and then it closes");
}

#[test]
fn an_application_that_takes_no_event_is_connected_again_and_can_be_closed() {
    let toy = Toy::new();
    let policy = Policy::builder().interval(SECOND).build().unwrap();
    let retry = Reconnect::new(BackoffPolicy::fixed(WAIT));
    let config = ClientConfig::new("a:1").v0().policy(policy).reconnect(retry);
    let (client, events, life) = open(config, toy.clone(), 3);
    let mut rig = Rig { toy, client, events, life };
    rig.connects();
    // The last event that there is room for is the first of these; an end behind the others is
    // noticed when a beat cannot be written.
    rig.toy.send(&[1, 0, 0, 0, 0, 0, 0, 0].repeat(5));
    for _ in 0..3 {
        rig.wait();
        let mut state = rig.toy.state();
        (state.end, state.write_error) = (Some(io::ErrorKind::UnexpectedEof), Some(RESET));
        drop(state);
        let mut steps = 0;
        loop {
            match rig.life.step() {
                Step::Wait(wait) => rig.pass_until(wait),
                Step::Dial => break,
                Step::Over => panic!("it goes on"),
            }
            steps += 1;
            assert!(steps < 100, "it is held up");
        }
        let mut state = rig.toy.state();
        (state.end, state.write_error) = (None, None);
        state.inbound.clear();
        drop(state);
        rig.life.connected(rig.toy.clone(), SERVER);
    }
    rig.client.close();
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    assert_eq!(rig.life.step(), Step::Over);
    let again =
        ["reset, 0", "waiting 10.000 s before attempt 1", "connecting, attempt 1", "online"];
    let mut expected = vec!["connecting, attempt 1", "online"];
    expected.extend(["data"; 5]);
    expected.extend(again.repeat(3));
    expected.extend(["shutdown, 0", "closed"]);
    assert_eq!(rig.told(), expected);
}
