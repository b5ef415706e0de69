//! Floods: many clients, or clients that send without a pause, do not affect others.

use heartwire_core::Policy;
use heartwire_testkit::{Got, HEART, frame, header, hello, hello_as, ms, policy, timeout};

use super::{v0, v1};
use crate::Reason;
use crate::server::auth::Tokens;
use crate::server::limits::{Admission, Limits, Refusal};
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, ServerConfig};
use crate::toy::Toy;

const TOKEN: &[u8] = b"aaaaaaaaaaaaaaaaaaaa";

fn tokens() -> Tokens {
    Tokens::parse("aaaaaaaaaaaaaaaaaaaa\n").unwrap()
}

fn any_rate() -> Admission {
    Admission::default().accept_rate_per_address(None).accept_rate(None)
}

/// A turn reads for 20 ms, and then it is the turn of deadlines and newcomers, however much is
/// there.
#[test]
fn a_newcomer_does_not_wait_until_everything_is_read() {
    const BUSY: usize = 40;
    let mut rig = Rig::start(v0());
    let busy: Vec<Toy> = (0..BUSY).map(|_| rig.online().0).collect();
    let (toy, events) = (rig.toy.clone(), |rig: &mut Rig| rig.inbox().events.len());
    assert_eq!(events(&mut rig), 0);
    for client in &busy {
        client.data(b"work");
        let toy = toy.clone();
        rig.meanwhile(move || toy.pass(ms(5)));
    }
    rig.door.connect();
    rig.run();
    let told = core::mem::take(&mut rig.inbox().events);
    let before = told.iter().take_while(|event| matches!(event, Event::Data { .. })).count();
    assert!(before < BUSY / 2, "{before} of {BUSY} came before the newcomer");
    assert_eq!(told.len(), BUSY + 1);
}

/// More than is read of one session in a turn, each turn.
#[test]
fn a_flood_of_beats_delays_neither_echoes_nor_verdicts() {
    let mut rig = Rig::start(v0().policy(timeout(2_000)));
    let ((flooder, flooder_id), (client, id)) = (rig.online(), rig.online());
    let (_silent, silent_id) = rig.online();
    let flood = header(HEART, 0).repeat(5 * 8_192);
    let mut flooded = 0;
    for _ in 0..25 {
        flooder.send(&flood);
        flooded += 5 * 8_192;
        client.data(b"?");
        rig.turn();
        rig.toy.pass(ms(70));
        rig.turn();
        rig.expect_data(id, b"?");
    }
    rig.toy.pass(ms(251));
    rig.turn();
    assert!(rig.verdict(silent_id).late <= ms(350));
    client.data(b"?");
    flooder.close();
    rig.run();
    rig.expect_data(id, b"?");
    assert_eq!(rig.offline(flooder_id), (Reason::ClosedByPeer, flooded));
}

#[test]
fn a_flood_of_beats_that_asks_for_answers_it_does_not_read_takes_no_memory() {
    let echo = Policy::builder().timeout(ms(60_000)).echo(true).build().unwrap();
    let mut rig = Rig::start(v0().policy(echo));
    let (flooder, id) = rig.online();
    flooder.state().room = 0;
    for _ in 0..10 {
        flooder.send(&header(HEART, 0).repeat(8_192));
        rig.run();
        // The answers that a read can ask for.
        assert!(rig.session(id).queued <= 64 * 8, "{}", rig.session(id).queued);
    }
}

#[test]
fn clients_that_come_and_go_as_fast_as_they_can_delay_no_others() {
    let mut rig = Rig::start(v0().admission(any_rate()));
    let (client, id) = rig.online();
    for _ in 0..1_000 {
        rig.door.connect().reset();
        client.data(b"?");
        rig.turn();
        rig.turn();
        rig.inbox().events.retain(|event| !matches!(event, Event::Online { .. }));
        rig.inbox().events.retain(|event| !matches!(event, Event::Offline { .. }));
        rig.expect_data(id, b"?");
    }
    rig.run();
    assert_eq!((rig.count("reset"), rig.handle.count()), (1_000, 1));
}

/// A server with tokens that judges, and clients that are in.
fn judging() -> (Rig, Vec<Toy>) {
    // None goes because of the first frame.
    let limits = Limits::default().handshake_timeout(Some(ms(60_000)));
    let config = v1()
        .policy(policy(100, 2_500))
        .protocols(Protocols::V1WithTokens(tokens()))
        .admission(any_rate().max_pending(400))
        .limits(limits);
    let mut rig = Rig::start(config);
    let clients = ["a", "b", "c", "d"].map(|name| rig.welcomed(&hello_as(name, Some(TOKEN))).0);
    (rig, clients.into())
}

#[test]
fn a_crowd_that_says_nothing_keeps_none_out_and_kills_none() {
    let (mut rig, inside) = judging();
    for n in 0..2_000 {
        rig.door.connect();
        rig.run();
        if n % 100 == 0 {
            // A client with a token gets in all the while.
            let (newcomer, id) = rig.welcomed(&hello_as("newcomer", Some(TOKEN)));
            newcomer.close();
            rig.run();
            rig.offline(id);
            inside.iter().for_each(|client| client.beat_with(|_| {}));
            rig.pass(ms(200));
        }
    }
    // The oldest have gone again.
    assert_eq!(rig.handle.count(), 400 + inside.len());
    rig.expect_nothing();
}

#[test]
fn clients_that_may_not_come_in_or_say_no_hello_are_gone_at_once_and_none_is_told() {
    let (mut rig, _inside) = judging();
    let wrong = [
        hello_as("eve", Some(b"bbbbbbbbbbbbbbbbbbbb")),
        hello_as("eve", None),
        frame(2, &[0xff; 200]),
        frame(1, b"data"),
        // What waits in a socket is the kernel's.
        vec![0; 1 << 20],
        vec![0x41; 1 << 20],
        frame(5, &vec![0; 60_000]).repeat(20),
    ];
    for bytes in wrong {
        let client = rig.door.connect();
        client.send(&bytes);
        rig.run();
        client.close();
        rig.run();
        assert!(client.state().is_closed);
        let got = client.got();
        assert!(matches!(got[..], [] | [Got::Bye(..)]), "{got:?}");
    }
    rig.expect_nothing();
    assert_eq!(rig.handle.count(), 4);
}

#[test]
fn silent_ones_have_no_place_that_a_newcomer_wants() {
    const MOST: usize = 10;
    let mut rig = Rig::start(v1().admission(Admission::default().max_sessions(MOST)));
    let silent: Vec<Toy> = (0..MOST).map(|_| rig.door.connect()).collect();
    // More than a second, which each may take to say something.
    rig.pass(ms(1_500));
    for _ in 0..MOST {
        rig.welcomed(&hello());
    }
    assert!(silent.iter().all(|client| client.state().is_closed));
    // Those who are in have no place for another.
    rig.door.connect();
    rig.run();
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    assert_eq!((rig.count("rejected_full"), rig.count("refused")), (10, 1));
}

#[test]
fn as_many_wait_by_default_as_leave_room_for_others() {
    let most = |sessions, config: ServerConfig| {
        config.admission(Admission::default().max_sessions(sessions)).max_pending().all()
    };
    assert_eq!(most(100, v1()), 100);
    assert_eq!(most(100, v1().protocols(Protocols::V1)), 50);
    assert_eq!(most(100, v1().protocols(Protocols::V1WithTokens(tokens()))), 50);
    assert_eq!(most(1, v1().protocols(Protocols::V1).threads(3)), 3);
    assert!(most(1_000_000, v1().protocols(Protocols::V1)) <= Admission::MAX_PENDING);
    let set = Admission::default().max_sessions(100).max_pending(70);
    assert_eq!(v1().protocols(Protocols::V1).admission(set).max_pending().all(), 70);
}

#[test]
fn list_of_clients_that_have_said_nothing_is_freed_when_all_have() {
    const CLIENTS: usize = 2_000;
    let mut rig = Rig::start(v0().protocols(Protocols::Any).admission(any_rate()));
    let clients: Vec<Toy> = (0..CLIENTS).map(|_| rig.door.connect()).collect();
    rig.run();
    assert!(rig.room_for_silent() >= CLIENTS);
    let (last, others) = clients.split_last().unwrap();
    others.iter().for_each(Toy::beat);
    rig.run();
    assert!(rig.room_for_silent() >= CLIENTS, "one is still in it");
    last.beat();
    rig.run();
    assert_eq!((rig.inbox().events.len(), rig.room_for_silent()), (CLIENTS, 0));
}
