//! The network of a node with very many clients goes down: one incident, and hooks at a pace.

use core::time::Duration;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{Format, Governor};
use super::crowd::Crowd;
use super::node::{self, Node, Settings, Shared, micros};
use super::receiver::{Receiver, Taken};
use crate::local::program;
use crate::net::topology::{SERVER, Topology};
use crate::net::{missing, namespace::Maker};
use crate::output;

/// How long a client may be silent.
const TIMEOUT: Duration = Duration::from_secs(12);

/// What a node says that it takes at most to tell the last of an incident is held to this.
const LATE: Duration = Duration::from_secs(2);

pub(super) fn run(args: &Governor) -> anyhow::Result<ExitCode> {
    crate::net::namespace::remove_leftovers()?;
    let maker = Maker::this()?;
    missing::nothing(maker)?;
    let topology = Topology::plain(maker)?;
    let mut receiver = Receiver::start(|program| topology.server.lasting_command(program))?;
    let settings = Settings {
        program: program(args.common.bin.as_deref())?,
        timeout: TIMEOUT,
        lease: None,
        more: vec!["--hook".to_owned(), receiver.url()],
    };
    let shared = Arc::<Shared>::default();
    let mut command: Command = topology.server.lasting_command(&settings.program);
    Node::configure(&mut command, &settings, 0, None, SERVER);
    let node = Node::spawn(&mut command, &settings.program, 0, &shared)?;
    let mut crowd = Crowd::start_with(args.clients, 1, TIMEOUT / 3, |program| {
        topology.client.lasting_command(program)
    })?;
    crowd.node(0, Some(node.address))?;
    let all = usize::try_from(args.clients)?;
    wait_for("all clients online", Duration::from_secs(120), || {
        Ok(shared.recording().count() == all)
    })?;
    wait_for("all hooks of it", Duration::from_secs(120), || Ok(receiver.taken()?.len() >= all))?;
    // The rate of ends that is usual is known after some time.
    thread::sleep(Duration::from_secs(5));
    output::say(format_args!("{} clients online; the link goes down", args.clients));

    let began = node::now();
    topology.server.ip("link set dev link down\n")?;
    thread::sleep(args.down);
    topology.server.ip("link set dev link up\n")?;
    output::say("the link is up again");
    wait_for("all clients online again", Duration::from_secs(180), || {
        Ok(shared.recording().now().len() == all)
    })?;
    let is_over = || {
        let told = shared.told();
        Ok(told.iter().any(|(_, event)| is(event, "incident_over")))
    };
    wait_for("the end of the incident", Duration::from_secs(180), is_over)?;
    thread::sleep(Duration::from_secs(3));
    let taken = receiver.taken()?;
    report(args, &taken, &shared, began)
}

fn report(
    args: &Governor,
    taken: &[Taken],
    shared: &Shared,
    began: u64,
) -> anyhow::Result<ExitCode> {
    let told = shared.told();
    let of_kind = |kind| told.iter().map(|(_, event)| event).filter(move |event| is(event, kind));
    let incidents: Vec<&Value> = of_kind("incident").collect();
    let over = of_kind("incident_over").next().context("no end of an incident")?;
    let offline: Vec<&Taken> = taken.iter().filter(|one| one.kind == "offline").collect();
    let online = taken.iter().filter(|one| one.kind == "online" && one.at > began).count();
    let last = offline.iter().map(|one| one.at).max();
    let promised = incidents.first().and_then(|it| it.get("released_by")).and_then(Value::as_str);
    let promised = promised.and_then(micros);
    let seconds = |at: u64| super::check::seconds(at.saturating_sub(began));
    let is_short = args.down < Duration::from_secs(60);
    let right = if is_short { 0 } else { usize::try_from(args.clients)? };
    let mut missed = Vec::new();
    let mut bar = |is_kept: bool, what: String| {
        if !is_kept {
            missed.push(what);
        }
    };
    bar(incidents.len() == 1, format!("{} incidents", incidents.len()));
    bar(offline.len() == right, format!("{} hooks of offline, not {right}", offline.len()));
    if let (Some(last), Some(promised)) = (last, promised) {
        let late = Duration::from_micros(last.saturating_sub(promised));
        bar(late <= LATE, format!("the last came {late:?} later than was said"));
    }
    let object = json!({
        "clients": args.clients,
        "down_ms": args.down.as_millis(),
        "incidents": incidents,
        "over": over,
        "offline_hooks": offline.len(),
        "online_hooks_after": online,
        "first_offline_after_s": offline.iter().map(|one| one.at).min().map(seconds),
        "last_offline_after_s": last.map(seconds),
        "released_by_after_s": promised.map(seconds),
        "missed": missed,
    });
    if args.common.format == Format::Json {
        output::print(&object)?;
    } else {
        output::print(serde_json::to_string_pretty(&object)?)?;
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is(event: &Value, kind: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(kind)
}

pub(super) fn wait_for(
    what: &str,
    within: Duration,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    while !is_so()? {
        anyhow::ensure!(began.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(began.elapsed())
}
