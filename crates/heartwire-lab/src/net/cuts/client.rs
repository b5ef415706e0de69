//! The clients whose sessions are cut.

use core::time::Duration;
use std::sync::Arc;
use std::thread;

use heartwire::client::{Client, ClientConfig, Event, Events, Reconnect, Resume, V1};
use heartwire::tls::ClientTls;
use heartwire::{BackoffPolicy, Reason};
use heartwire_core::Side;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::end::{Args, NAME, Streams, lines, print};
use crate::net::topology::SERVER;

/// With more clients none watches its network: each would need a descriptor more.
const MAX_WATCHING: u32 = 1_000;

/// When a client whose session has ended begins the next one.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a client may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Send, until this many bytes were sent.
    Send(u64),
    Close,
}

/// Runs them until the input ends, and closes them then. Each line of the input is how much each
/// client may send so far.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(args))
}

async fn play(args: &Args) -> anyhow::Result<()> {
    let streams = Arc::new(Streams::new(args, Side::Client));
    let (order, orders) = watch::channel(Order::Send(0));
    thread::spawn(move || {
        for quota in lines().filter_map(|line| line.parse().ok()) {
            order.send_replace(Order::Send(quota));
        }
        order.send_replace(Order::Close);
    });
    let counting = Arc::clone(&streams);
    thread::spawn(move || counting.print_counts());
    let mut config = ClientConfig::new(SERVER)
        .policy(args.policy()?)
        .connect_timeout(args.handshake)
        .handshake_timeout(args.handshake)
        .reconnect(Reconnect::new(BackoffPolicy::fixed(AGAIN_AFTER)))
        .offline_queue(true)
        .resume(args.window.map(|window| Resume::default().window(window).grace(args.grace)));
    if let Some(folder) = &args.tls {
        let tls = ClientTls::new().roots(folder.join("cert.pem")).server_name("localhost");
        config = config.tls(tls.load()?);
    }
    if args.sessions <= MAX_WATCHING {
        config = config.watch_network();
    }
    let mut clients = JoinSet::new();
    for session in 0..args.sessions {
        let config = config.clone().v1(V1::default().name(format!("{NAME}{session}")));
        let (client, events) = Client::start(config);
        let session = usize::try_from(session)?;
        clients.spawn(send(client, session, orders.clone(), Arc::clone(&streams)));
        clients.spawn(receive(events, session, orders.clone(), Arc::clone(&streams)));
    }
    while clients.join_next().await.is_some() {}
    streams.print_done()
}

/// Sends as much as it may, then closes the client.
async fn send(
    client: Client,
    session: usize,
    mut orders: watch::Receiver<Order>,
    streams: Arc<Streams>,
) {
    loop {
        let order = *orders.borrow_and_update();
        match order {
            Order::Close => return client.close(),
            Order::Send(quota) => {
                while let Some(frame) = streams.next(session, quota) {
                    if client.send(frame).await.is_err() {
                        return;
                    }
                    streams.handle_sent(session);
                }
            }
        }
        if orders.changed().await.is_err() {
            return;
        }
    }
}

/// Takes the client's events until it has ended.
async fn receive(
    mut events: Events,
    session: usize,
    orders: watch::Receiver<Order>,
    streams: Arc<Streams>,
) {
    let (mut has_been_online, mut is_away) = (false, false);
    while let Some(event) = events.recv().await {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other events do not matter here")]
        match event {
            Event::Data(frame) => {
                streams.handle_frame(session, &frame);
            }
            Event::Away { .. } => {
                is_away = true;
                streams.tally().away += 1;
            }
            Event::Back { .. } => {
                is_away = false;
                streams.tally().handle_back();
            }
            Event::Online { .. } if has_been_online => {
                is_away = false;
                streams.tally().handle_back();
            }
            Event::Online { .. } => {
                has_been_online = true;
                streams.tally().online += 1;
            }
            Event::Offline { reason, undelivered, .. } => {
                let is_closed = *orders.borrow() == Order::Close;
                let mut tally = streams.tally();
                tally.undelivered += undelivered.frames;
                if !is_closed || reason != Reason::Shutdown {
                    tally.away += u64::from(!is_away);
                    is_away = true;
                    tally.handle_end(reason);
                }
            }
            Event::Failed { error } => streams.tally().handle_failure(error),
            Event::Lagged { count } => {
                // It would be a fault of this program.
                let _ = print("lagged", json!({ "count": count }));
            }
            _ => {}
        }
    }
}
