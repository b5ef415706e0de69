//! One flood, from the start of the server to the results.

use core::time::Duration;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, ensure};
use heartwire::Policy;
use heartwire::client::{Client, ClientConfig, V1};
use heartwire::server::limits::Admission;
use heartwire::tls::ClientTls;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval};

use super::args::{Args, Transport};
use super::crowd;
use super::honest;
use super::report::{self, Outcome};
use super::server::{BEAT, Files, Server, TIMEOUT, TOKEN};
use crate::local::{descriptors, program};
use crate::output;

/// Descriptors for everything but the crowd.
const SPARE: u64 = 1024;

/// How often the server's memory is measured.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much the server's memory may grow for each pending client, of which there are at most
/// `Admission::MAX_PENDING`. In plain text it is the part of the first frame that has arrived;
/// over TLS also a whole record in each direction (RFC 8446, 5.2: 16 KiB and the overhead of
/// encryption).
const PENDING_BYTES_PLAIN: u64 = 8 * 1024;
const PENDING_BYTES_TLS: u64 = 48 * 1024;
/// How much it may grow besides: buffers of the allocator, tables that double.
const GROWTH_ANYHOW: u64 = 16 * 1024 * 1024;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let program = program(args.bin.as_deref())?;
    let need = u64::from(args.silent) + u64::from(args.clients) + SPARE;
    let have = descriptors()?;
    ensure!(need <= have, "this needs {need} descriptors, and there are {have}: use --silent");
    let transports = match args.only {
        Some(transport) => vec![transport],
        None => vec![Transport::Plain, Transport::Tls],
    };
    let mut outcomes = Vec::new();
    for transport in transports {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        outcomes.push(LocalSet::new().block_on(&runtime, flood(args, transport, &program))?);
    }
    report::print(&outcomes, args.format)?;
    let fine = outcomes.iter().all(Outcome::is_fine);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn flood(args: &Args, transport: Transport, program: &Path) -> anyhow::Result<Outcome> {
    let files = Files::new(transport)?;
    let mut server = Server::start(program, &files)?;
    let mut config = ClientConfig::new(server.address.to_string())
        .policy(Policy::builder().interval(BEAT).timeout(TIMEOUT).build()?)
        .v1(V1::default().token(TOKEN));
    if let Some(roots) = files.roots() {
        let tls = ClientTls::new().roots(roots).server_name("localhost").load()?;
        config = config.tls(tls);
    }
    let honest = Rc::new(honest::Tally::default());
    let clients = honest::start(&config, args.clients, &honest).await?;
    let (before, cpu_before) = (server.memory()?, server.cpu()?);

    let began = Instant::now();
    let tally = Rc::new(crowd::Tally::default());
    let tasks = [
        spawn_local(crowd::keep_silent(server.address, args.silent, transport, Rc::clone(&tally))),
        spawn_local(crowd::shake_hands(config.clone(), args.handshakes, Rc::clone(&tally))),
        spawn_local(honest::newcomers(config, Rc::clone(&honest))),
    ];
    let mut most = before;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said_at = began;
    while began.elapsed() < args.time {
        looks.tick().await;
        most = most.max(server.memory()?);
        if said_at.elapsed() >= Duration::from_secs(5) {
            said_at = Instant::now();
            output::say(format_args!(
                "{}: {:.0} s of {:.0}, {} silent, {} handshakes begun, {} false verdicts",
                transport.name(),
                began.elapsed().as_secs_f64(),
                args.time.as_secs_f64(),
                tally.silent.get(),
                tally.begun.get(),
                honest.verdicts.get() + server.told().verdicts,
            ));
        }
    }
    let (time, cpu) = (began.elapsed(), server.cpu()?.saturating_sub(cpu_before));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    // Read the results of the honest clients before the server disconnects them.
    let told = server.told();
    clients.iter().for_each(Client::close);
    let stopped = server.stop()?.stopped.context("the server has not said its last word")?;
    let pending = match transport {
        Transport::Plain => PENDING_BYTES_PLAIN,
        Transport::Tls => PENDING_BYTES_TLS,
    };
    let max_pending = u64::try_from(Admission::MAX_PENDING)?;
    Ok(Outcome {
        transport,
        clients: args.clients,
        silent: args.silent,
        time,
        cpu,
        memory_before: before,
        memory_most: most,
        memory_bound: before + max_pending * pending + GROWTH_ANYHOW,
        honest,
        crowd: tally,
        told,
        stopped,
    })
}
