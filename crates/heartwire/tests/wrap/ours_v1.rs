//! A wrapped connection of wire v1 against our own server, over real sockets.

use core::time::Duration;
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use heartwire::server::{Control, Event, Events, Server, ServerConfig, Wires};
use heartwire::v1::{ByeCode, Conflict, Hello, Offer};
use heartwire::wrap::v1::{ConnectError, Connection, Frame, connect};
use heartwire::wrap::{Error, LastByte};
use heartwire::{Policy, Reason, TICK};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::rig::ms;

/// When a test gives up on something that should long have happened.
const PATIENCE: Duration = Duration::from_secs(20);

fn policy(beat: u64, limit: u64) -> Policy {
    Policy::builder().beat(ms(beat)).limit(ms(limit)).build().unwrap()
}

fn config(policy: Policy) -> ServerConfig {
    ServerConfig::new("127.0.0.1:0".parse().unwrap()).shards(1).policy(policy)
}

fn hello(policy: &Policy) -> Hello<'static> {
    let mut hello = Hello::new(Offer::new(policy));
    hello.name = Some("hall/door-3");
    hello
}

async fn dial(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addrs().first().unwrap()).await.unwrap()
}

/// The next event that a busy machine has no part in.
async fn next(events: &mut Events) -> Event<Vec<u8>> {
    loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("an event comes").unwrap();
        if !matches!(event, Event::Stalled { .. }) {
            return event;
        }
    }
}

async fn offline(events: &mut Events) -> (Reason, u32) {
    loop {
        match next(events).await {
            Event::Offline { reason, beats, .. } => return (reason, beats),
            Event::Verdict { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn online(policy: Policy) -> (Server, Events, Connection<TcpStream>) {
    let (server, mut events) = Server::start_with_events(config(policy)).unwrap();
    let (client, welcome) = connect(dial(&server).await, hello(&policy)).await.unwrap();
    let Event::Online { agreed: Some(agreed), .. } = next(&mut events).await else {
        panic!("a client of v1 comes");
    };
    assert_eq!(agreed.name.as_deref(), Some("hall/door-3"));
    assert_eq!(agreed.contract, welcome.contract);
    assert_eq!(agreed.epoch, welcome.epoch);
    assert_eq!(client.policy().limit(), policy.limit());
    (server, events, client)
}

#[tokio::test]
async fn both_ends_keep_each_other_alive_and_know_the_round_trip() {
    let (server, mut events, mut client) = online(policy(50, 2_000)).await;
    // Longer than either limit: beats alone keep it.
    assert!(timeout(ms(4_500), client.next()).await.is_err());
    let started = Instant::now();
    loop {
        let sessions = server.handle().list();
        let path = sessions[0].path.expect("it speaks v1");
        assert!(path.unheard < ms(2_000), "{path:?}");
        let rtts = [client.rtt(), path.rtt].map(|rtt| rtt.expect("a nonce came back"));
        // The last one may have taken longer on a busy machine.
        if rtts.iter().all(|&rtt| rtt < ms(100)) && sessions[0].beats >= 20 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{rtts:?} {sessions:?}");
        assert!(timeout(ms(100), client.next()).await.is_err());
    }

    client.send(Bytes::from_static(b"still here")).await.unwrap();
    let Event::Data { id, data } = next(&mut events).await else { panic!("data comes") };
    assert_eq!(data, b"still here");
    server.handle().send(id, b"so am I").unwrap();
    let frame = client.next().await.unwrap().unwrap();
    assert_eq!(frame, Frame::Data(Bytes::from_static(b"so am I")));

    client.send(Frame::bye(ByeCode::Done)).await.unwrap();
    assert_eq!(offline(&mut events).await.0, Reason::Bye(ByeCode::Done));
}

#[tokio::test]
async fn data_does_not_stand_in_for_beats() {
    let (_server, mut events, mut client) = online(policy(100, 2_000)).await;
    let started = Instant::now();
    while started.elapsed() < ms(2_000) {
        client.send(Bytes::from_static(b"busy")).await.unwrap();
        assert!(timeout(ms(20), client.next()).await.is_err());
    }
    drop(client);
    let beats = loop {
        match next(&mut events).await {
            Event::Offline { beats, .. } => break beats,
            Event::Data { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    let took = started.elapsed();
    assert!(beats >= 5 && u128::from(beats) <= took.as_millis() / 100 + 2, "{beats} in {took:?}");
}

/// Beats are far away, so nothing but the padding can have woken the server.
#[tokio::test]
async fn a_short_message_wakes_a_server_that_lets_beats_lie() {
    let (server, mut events, mut client) = online(policy(60_000, 300_000)).await;
    assert!(server.wake_bytes_v1() > 20, "{}", server.wake_bytes_v1());
    client.send(Bytes::from_static(b"now")).await.unwrap();
    let Event::Data { data, .. } = next(&mut events).await else { panic!("data comes") };
    assert_eq!(data, b"now");
}

#[tokio::test]
async fn the_server_finds_out_that_a_wrapped_client_hangs() {
    let (_server, mut events, mut client) = online(policy(50, 1_000)).await;
    assert!(timeout(ms(200), client.next()).await.is_err());
    // Its beats stop, because nobody polls it; the socket stays open.
    let Event::Verdict { verdict, .. } = next(&mut events).await else { panic!("it is dead") };
    assert_eq!(verdict.silence, ms(1_000) + verdict.stalled + verdict.late.min(TICK));
    assert!(matches!(offline(&mut events).await.0, Reason::Dead(_)));
    // The verdict ends the connection with a reset, and is not held against it that it was ours.
    assert!(matches!(client.next().await, Some(Err(Error::Inner(_))) | None));
}

#[tokio::test]
async fn a_wrapped_client_finds_out_that_the_server_hangs() {
    let policy = policy(50, 2_000);
    let (thaw, frozen) = mpsc::channel::<()>();
    let frozen = std::sync::Mutex::new(Some(frozen));
    let server = Server::start(config(policy), |_| {
        let frozen = frozen.lock().unwrap().take();
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if let (Event::Data { .. }, Some(frozen)) = (&event, &frozen) {
                // The shard's thread hangs; its kernel goes on answering.
                let _ = frozen.recv();
            }
        }
    })
    .unwrap();
    let (watched, last_byte) = LastByte::watch(dial(&server).await);
    let (client, _) = connect(watched, hello(&policy)).await.unwrap();
    let mut client = client.last_byte(last_byte);
    assert!(timeout(ms(2_500), client.next()).await.is_err());
    client.send(Bytes::from_static(b"freeze")).await.unwrap();
    match timeout(PATIENCE, client.next()).await.unwrap() {
        Some(Err(Error::Dead(dead))) => {
            let verdict = dead.verdict;
            assert_eq!(verdict.silence, ms(2_000) + verdict.stalled + verdict.late.min(TICK));
            assert_eq!(verdict.bound.unwrap().latest, ms(2_000) + TICK);
        }
        other => panic!("{other:?}"),
    }
    drop(thaw);
}

#[tokio::test]
async fn nothing_the_server_does_stretches_the_limit() {
    let (server, _events) = Server::start_with_events(config(policy(50, 1_000))).unwrap();
    let (_, welcome) = connect(dial(&server).await, hello(&policy(50, 700))).await.unwrap();
    let to_client = welcome.contract.to_client;
    assert_eq!(to_client.ceiling(), ms(700));
    assert_eq!(to_client.promise_max(), to_client.beat().unwrap());
}

#[tokio::test]
async fn a_server_that_cannot_agree_says_why() {
    let patient = policy(10_000, 30_000);
    let offer = Offer::new(&patient).floor(Some(ms(5_000)));
    let (server, _events) = Server::start_with_events(config(patient).offer(offer)).unwrap();
    match connect(dial(&server).await, hello(&policy(50, 1_000))).await {
        Err(ConnectError::Bye(farewell)) => {
            assert_eq!(farewell.code, ByeCode::Conflict);
            let why =
                Conflict::BeatTooSlow { beat: ms(5_000), needed: ms(15_000), ceiling: ms(1_000) };
            assert_eq!(farewell.detail, why.to_string());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_of_v0_is_no_server_of_v1() {
    let config = config(policy(50, 1_000)).wires(Wires::V0);
    let (server, _events) = Server::start_with_events(config).unwrap();
    match connect(dial(&server).await, hello(&policy(50, 1_000))).await {
        Err(ConnectError::Closed | ConnectError::Io(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// Beats of v0 may come before the WELCOME, and bytes of the next frame with it.
#[tokio::test]
async fn the_handshake_takes_no_byte_too_many() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let offer = Offer::new(&policy(1_000, 5_000));
    let contract = heartwire::v1::Terms::new(offer).agree(&offer.ceiling(ms(5_000))).unwrap();
    let mut bytes = heartwire::frame::BEAT.repeat(3);
    bytes.extend(heartwire::v1::Welcome::new(9, 0, contract).encode());
    bytes.extend(heartwire::frame::data_head(2).unwrap());
    bytes.extend(b"ok");
    server.write_all(&bytes).await.unwrap();
    let (mut client, welcome) = connect(stream, Hello::new(offer)).await.unwrap();
    assert_eq!((welcome.session, welcome.contract), (9, contract));
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::Data(Bytes::from_static(b"ok")));
}

#[tokio::test]
async fn a_server_that_answers_otherwise_or_not_at_all_is_refused() {
    let offer = Offer::new(&policy(1_000, 5_000));
    // Agrees to a limit that is not what was offered.
    let other = Offer::new(&policy(1_000, 4_000));
    let contract = heartwire::v1::Terms::new(offer).agree(&other).unwrap();
    let answers: [(Vec<u8>, &str); 4] = [
        (heartwire::v1::Welcome::new(9, 0, contract).encode(), "bad_welcome"),
        (
            heartwire::frame::head(heartwire::frame::Kind::Welcome, 3_000).unwrap().to_vec(),
            "too_long",
        ),
        (heartwire::frame::data_head(0).unwrap().to_vec(), "unexpected"),
        (b"SSH-2.0-OpenSSH".to_vec(), "unknown_type"),
    ];
    for (answer, name) in answers {
        let (stream, mut server) = tokio::io::duplex(4_096);
        server.write_all(&answer).await.unwrap();
        match connect(stream, Hello::new(offer)).await {
            Err(ConnectError::Violation(violation)) => assert_eq!(violation.name(), name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_in_the_handshake_does_not_hold_us_up() {
    let (stream, _server) = tokio::io::duplex(4_096);
    let start = tokio::time::Instant::now();
    match connect(stream, hello(&policy(1_000, 5_000))).await {
        Err(ConnectError::TimedOut) => assert_eq!(start.elapsed(), Duration::from_secs(5)),
        other => panic!("{other:?}"),
    }
}
