//! Many healthy clients in one process: every verdict on one of them, or by one of them, is false.

use core::time::Duration;
use std::io::{self, Read};
use std::thread;
use std::time::SystemTime;

use heartwire::client::{Client, ClientConfig, Event, Reconnect};
use heartwire::{Policy, Reason};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// Arguments of `net herd`, which the lab uses itself.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The server's address.
    target: String,
    /// The version of the protocol, v0 or v1.
    #[arg(long)]
    protocol: String,
    /// Number of clients.
    #[arg(long)]
    connections: u32,
    /// Their starts are spread over this time, so that their beats are too.
    #[arg(long, value_parser = humantime::parse_duration)]
    spread: Duration,
    /// Interval of each client.
    #[arg(long, value_parser = humantime::parse_duration)]
    interval: Option<Duration>,
    /// Timeout of each client.
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

impl Args {
    /// What makes [`Part::Herd`](super::Part::Herd) do this.
    pub(super) fn typed(
        target: &str,
        protocol: &str,
        connections: u32,
        policy: &Policy,
    ) -> Vec<String> {
        let mut args = vec![target.to_owned(), format!("--connections={connections}")];
        args.push(format!("--protocol={protocol}"));
        let interval = policy.interval();
        let spread = interval.unwrap_or(Duration::from_secs(1));
        for (flag, time) in
            [("spread", Some(spread)), ("interval", interval), ("timeout", policy.timeout())]
        {
            args.extend(time.map(|time| format!("--{flag}={}ms", time.as_millis())));
        }
        args
    }
}

/// Runs the herd until the input ends; then disconnects all clients, and reports how many beats
/// each side heard.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut policy = Policy::builder();
    if let Some(interval) = args.interval {
        policy = policy.interval(interval);
    }
    if let Some(timeout) = args.timeout {
        policy = policy.timeout(timeout);
    }
    let policy = policy.build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(keep(args, policy))
}

async fn keep(args: &Args, policy: Policy) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    thread::spawn(move || {
        // On every way out.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        stop.send_replace(true);
    });
    let (tell, mut told) = mpsc::unbounded_channel();
    for number in 0..args.connections {
        let config = ClientConfig::new(args.target.clone())
            .policy(policy)
            .reconnect(Reconnect::default().seed(number.into()));
        let config = if args.protocol == "v0" { config.v0() } else { config };
        let wait = args.spread.mul_f64(f64::from(number) / f64::from(args.connections));
        tokio::spawn(one(config, wait, stopped.clone(), tell.clone()));
    }
    drop(tell);
    let (mut online, mut beats) = (0_u32, 0_u64);
    while let Some(event) = told.recv().await {
        if matches!(event, Event::Online { .. }) {
            online += 1;
            if online == args.connections {
                print("all_online", json!({}))?;
            }
        }
        if let Event::Offline { reason, beats: heard, .. } = event {
            beats += heard;
            offline(&reason)?;
        }
        if let Event::Paused(pause) = event {
            print("paused", json!({ "gap_ms": pause.gap.as_secs_f64() * 1e3 }))?;
        }
    }
    print("done", json!({ "beats": beats, "online": online }))
}

/// Runs one client until it is stopped, and passes on its events.
async fn one(
    config: ClientConfig,
    wait: Duration,
    mut stopped: watch::Receiver<bool>,
    tell: mpsc::UnboundedSender<Event>,
) {
    sleep(wait).await;
    let (client, mut events) = Client::start(config);
    let mut is_closing = false;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                // The receiver is gone when the herd cannot print.
                Some(event) => tell.send(event).unwrap_or_default(),
                None => return,
            },
            // An error cannot come before the value does.
            _ = stopped.wait_for(|&stopped| stopped), if !is_closing => {
                client.close();
                is_closing = true;
            }
        }
    }
}

fn offline(reason: &Reason) -> anyhow::Result<()> {
    if *reason == Reason::Shutdown {
        return Ok(());
    }
    let cause = if let Reason::Dead(verdict) = reason { Some(verdict.cause.name()) } else { None };
    print(
        "offline",
        json!({ "reason": reason.name(), "cause": cause, "detail": reason.to_string() }),
    )
}

fn print(event: &str, mut fields: Value) -> anyhow::Result<()> {
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("time".to_owned(), time.into());
        fields.insert("event".to_owned(), event.into());
    }
    crate::output::print(fields)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Herd {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_herd_understands_what_the_lab_types() {
        let policy = Policy::default();
        let typed = Args::typed("192.0.2.1:7", "v1", 5, &policy);
        let Herd { args } = Herd::parse_from(["herd".to_owned()].into_iter().chain(typed));
        assert_eq!((args.target.as_str(), args.connections), ("192.0.2.1:7", 5));
        assert_eq!((args.interval, args.timeout), (policy.interval(), policy.timeout()));
    }
}
