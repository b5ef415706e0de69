//! The clients with a token: those connected before the flood, and newcomers during it.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::{Client, ClientConfig, Event};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{interval, timeout};

/// How often a newcomer connects.
const NEWCOMERS_APART: Duration = Duration::from_millis(500);

/// How long a newcomer may take before it counts as locked out: a client's default timeouts to
/// connect and for the handshake.
const IN_WITHIN: Duration = Duration::from_secs(10);

/// Results of the honest clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Verdicts of clients on the server. All are false.
    pub(super) verdicts: Cell<u64>,
    /// Connections that were lost otherwise.
    pub(super) lost: Cell<u64>,
    pub(super) pauses: Cell<u64>,
    pub(super) newcomers: Cell<u64>,
    pub(super) shut_out: Cell<u64>,
    pub(super) slowest: Cell<Duration>,
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// Starts this many, and returns when all are online.
pub(super) async fn start(
    config: &ClientConfig,
    clients: u32,
    tally: &Rc<Tally>,
) -> anyhow::Result<Vec<Client>> {
    let (online, mut is_online) = watch::channel(0);
    let mut started = Vec::new();
    for _ in 0..clients {
        let (client, mut events) = Client::start(config.clone());
        let (tally, online) = (Rc::clone(tally), online.clone());
        spawn_local(async move {
            while let Some(event) = events.recv().await {
                if let Event::Offline { reason, .. } = event {
                    if matches!(reason, Reason::Dead(_)) {
                        add(&tally.verdicts);
                    } else if !matches!(reason, Reason::Shutdown) {
                        add(&tally.lost);
                    }
                } else if matches!(event, Event::Online { .. }) {
                    online.send_modify(|count| *count += 1);
                } else if matches!(event, Event::Paused(_)) {
                    add(&tally.pauses);
                }
            }
        });
        started.push(client);
    }
    timeout(Duration::from_secs(60), is_online.wait_for(|&count| count == clients)).await??;
    Ok(started)
}

/// Connects a newcomer again and again.
pub(super) async fn newcomers(config: ClientConfig, tally: Rc<Tally>) {
    let mut ticks = interval(NEWCOMERS_APART);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        let (client, mut events) = Client::start(config.clone().reconnect(None));
        add(&tally.newcomers);
        let in_time = timeout(IN_WITHIN, async {
            while let Some(event) = events.recv().await {
                if matches!(event, Event::Online { .. }) {
                    return true;
                }
            }
            false
        });
        if in_time.await.unwrap_or(false) {
            tally.slowest.set(tally.slowest.get().max(began.elapsed()));
        } else {
            add(&tally.shut_out);
        }
        client.close();
        while events.recv().await.is_some() {}
    }
}
