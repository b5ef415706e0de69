//! The attackers: silent connections, and clients with a wrong token.

use core::cell::Cell;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::rc::Rc;

use heartwire::client::{Client, ClientConfig, ConnectError, Event, V1};
use heartwire::v1::ByeCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::args::Transport;

/// Number of source addresses, so that the limits per address do not help the server.
const SOURCES: u32 = 200;

/// A silent connection that was closed reconnects after this.
const BACK_AFTER: Duration = Duration::from_secs(10);

/// Silent connections are made in rounds of this many, this far apart: by default half of them
/// within a second.
const ROUND: u32 = 500;
const ROUNDS_APART: Duration = Duration::from_millis(100);

/// Handshakes are begun in groups, this far apart.
const GROUPS_APART: Duration = Duration::from_millis(20);

/// How a TLS record begins that holds a ClientHello, and the ClientHello's own header (RFC 8446,
/// 5.1 and 4).
const BEGUN: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

/// Results of the attackers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Silent connections, now and at most.
    pub(super) silent: Cell<u64>,
    pub(super) max_silent: Cell<u64>,
    /// Made, and closed by the server.
    pub(super) connected: Cell<u64>,
    pub(super) closed: Cell<u64>,
    /// Handshakes that were begun, were told that the token is wrong, or ended otherwise.
    pub(super) begun: Cell<u64>,
    pub(super) refused: Cell<u64>,
    pub(super) failed: Cell<u64>,
    /// A client with a wrong token was accepted.
    pub(super) let_in: Cell<u64>,
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// Connects `silent` of them, and keeps connecting.
pub(super) async fn keep_silent(
    target: SocketAddr,
    silent: u32,
    transport: Transport,
    tally: Rc<Tally>,
) {
    for number in 0..silent {
        spawn_local(stay(target, number, transport, Rc::clone(&tally)));
        if number % ROUND == ROUND - 1 {
            sleep(ROUNDS_APART).await;
        }
    }
}

async fn stay(target: SocketAddr, number: u32, transport: Transport, tally: Rc<Tally>) {
    loop {
        if let Ok(mut stream) = connect(target, number).await {
            add(&tally.connected);
            add(&tally.silent);
            tally.max_silent.set(tally.max_silent.get().max(tally.silent.get()));
            if transport == Transport::Tls && number % 2 == 1 {
                // If it is closed by now, the read finds out.
                let _ = stream.write_all(&BEGUN).await;
            }
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|len| len > 0) {}
            tally.silent.set(tally.silent.get() - 1);
            add(&tally.closed);
        }
        sleep(BACK_AFTER).await;
    }
}

async fn connect(target: SocketAddr, number: u32) -> std::io::Result<TcpStream> {
    let first = u32::from(Ipv4Addr::new(127, 0, 1, 0));
    let source = Ipv4Addr::from(first + number % SOURCES);
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    // Closing resets, so that no port stays in TIME_WAIT.
    socket.set_zero_linger()?;
    socket.connect(target).await
}

/// Begins this many handshakes a second, each from a new client with a wrong token.
pub(super) async fn shake_hands(config: ClientConfig, per_second: u32, tally: Rc<Tally>) {
    let config = config.v1(V1::default().token("no-client-has-this-token")).reconnect(None);
    let mut ticks = interval(GROUPS_APART);
    // Those that were missed are begun at once: a flood does not get smaller when the machine is
    // busy.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut due = 0.0;
    loop {
        ticks.tick().await;
        due += f64::from(per_second) * GROUPS_APART.as_secs_f64();
        while due >= 1.0 {
            due -= 1.0;
            spawn_local(shake_hand(config.clone(), Rc::clone(&tally)));
        }
    }
}

async fn shake_hand(config: ClientConfig, tally: Rc<Tally>) {
    add(&tally.begun);
    let (_client, mut events) = Client::start(config);
    while let Some(event) = events.recv().await {
        if let Event::Failed { error } = event {
            let refused = ByeCode::Unauthorized;
            let is_refused =
                matches!(error, ConnectError::Rejected { code, .. } if code == refused);
            add(if is_refused { &tally.refused } else { &tally.failed });
        } else if matches!(event, Event::Online { .. }) {
            add(&tally.let_in);
        }
    }
}
