//! The far end: a server that connects each session to a service.

mod handler;
mod reload;
mod serving;

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use heartwire::kernel::KernelOptions;
use heartwire::server::auth::Tokens;
use heartwire::server::limits::{Admission, Limits};
use heartwire::server::{Protocols, Server, ServerConfig};
use heartwire::tls::SharedServerTls;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::args::ServeArgs;
use super::line::Line;
use super::service::Grants;
use super::{MAX_UNSENT, offer, outages, tell_stopping, threads};
use crate::exit::{Exit, Usage};
use crate::output::{print_event, warn};
use crate::reload::{Live, Reloading};
use crate::serve::{listen_on, load_tls, raise_open_files};
use crate::settings::Settings;
use crate::signals::{Hangup, Stop};
use crate::systemd::{Manager, Passed};

use handler::{Far, OnEvents};
pub(crate) use reload::Running;

/// Time after `--drain` for closing what is left.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How often a drain looks whether all connections have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the far end is started with: all that its options and the files that they name can have
/// wrong is found out here.
pub(super) fn prepare(args: &ServeArgs, passed: Passed) -> anyhow::Result<Prepared> {
    let on_passed: Vec<_> = passed.addresses().into_iter().map(|(addr, _)| addr).collect();
    let listen = if on_passed.is_empty() { args.listen() } else { args.listen.clone() };
    check(args, listen.iter().chain(&on_passed))?;
    let tls = load_tls(&args.tls)?;
    let identity = args.tokens.as_deref().map(|path| Grants::read(path, &args.service));
    let (tokens, grants) = identity.transpose()?.unzip();
    let config = listen_on(listen, passed.sessions)?;
    let config = configure(config, args, tokens.clone(), tls.clone())?;
    Ok(Prepared { tokens, grants, tls, config })
}

pub(crate) struct Prepared {
    tokens: Option<Tokens>,
    grants: Option<Grants>,
    tls: Option<SharedServerTls>,
    config: ServerConfig,
}

pub(super) fn run(args: &ServeArgs, given: &Settings) -> anyhow::Result<Exit> {
    let passed = Passed::take()?;
    let manager = Manager::find();
    raise_open_files();
    let Prepared { tokens, grants, tls, config } = prepare(args, passed)?;
    let runtime = threads(4).enable_all().build()?;
    let (mut stop, hangup) = {
        let _guard = runtime.enter();
        (Stop::listen()?, Hangup::listen()?)
    };
    let identity = tokens.zip(grants.clone());
    let (runs, mut ended) = mpsc::channel::<()>(1);
    let far = Arc::new(Far {
        services: args.service.clone(),
        grace: args.outages.grace,
        grants,
        runtime: runtime.handle().clone(),
        is_stopping: AtomicBool::new(false),
        is_stdio_used: AtomicBool::new(false),
    });
    let server = Server::start(config, |_| OnEvents {
        far: Arc::clone(&far),
        carriers: HashMap::new(),
        rejected: (Instant::now(), 0),
        runs: runs.clone(),
    })?;
    drop(runs);
    print_event(&Line::Listening {
        addresses: server.local_addrs().iter().map(ToString::to_string).collect(),
        services: args.service.iter().map(ToString::to_string).collect(),
        far: None,
        tls: args.tls.tls_cert.is_some(),
        outages: outages(&args.outages)?,
    });
    let handle = server.handle().clone();
    let live = Live::new(args.outages.drain);
    let services = args.service.clone();
    let running =
        Running { services, identity, tls, server: handle.clone(), live: Arc::clone(&live) };
    let reloading =
        Reloading { given: given.given.clone(), live: Arc::clone(&live), server: running };
    runtime.spawn(reloading.run(hangup, manager.clone()));
    manager.ready();
    runtime.spawn(manager.clone().report(handle.clone()));
    let exit = runtime.block_on(async {
        tokio::select! {
            _ = ended.recv() => {}
            () = stop.signal() => {}
        }
        let within = live.stop();
        manager.stopping(within.saturating_add(CLOSE_WITHIN));
        far.is_stopping.store(true, Relaxed);
        tell_stopping(handle.count() + handle.away(), within);
        let drain = sleep(within);
        tokio::pin!(drain);
        let is_empty = || handle.count() + handle.away() == 0;
        while !is_empty() {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = &mut drain => break,
                () = stop.signal() => {
                    warn("stopped at once by a second signal");
                    break;
                }
            }
        }
        print_event(&Line::Stopped { connections: handle.count() + handle.away() });
        handle.shutdown();
        if timeout(CLOSE_WITHIN, ended.recv()).await.is_err() {
            warn("exiting although not all sessions are closed");
            return Ok(Exit::Success);
        }
        server.join()?;
        anyhow::Ok(Exit::Success)
    });
    // What is left of the services' connections is reset with the process.
    runtime.shutdown_background();
    exit
}

/// Refuses what would open services to anyone by mistake.
fn check<'a>(
    args: &ServeArgs,
    mut listen: impl Iterator<Item = &'a SocketAddr>,
) -> Result<(), Usage> {
    for (at, service) in args.service.iter().enumerate() {
        if args.service.iter().take(at).any(|earlier| earlier.name == service.name) {
            return Err(Usage(format!("--service names {} twice", service.name)));
        }
    }
    let Some(outside) = listen.find(|address| !address.ip().is_loopback()) else {
        return Ok(());
    };
    if args.tls.tls_cert.is_none() && !args.no_tls {
        return Err(Usage(format!(
            "{outside} is reached from outside, where everything could be read on the path: give \
             --tls-cert and --tls-key, or --no-tls"
        )));
    }
    if args.tokens.is_none() && args.tls.tls_client_ca.is_none() && !args.allow_anyone {
        return Err(Usage(format!(
            "every client that reaches {outside} could use the services: give --tokens or \
             --tls-client-ca, or --allow-anyone"
        )));
    }
    Ok(())
}

fn configure(
    config: ServerConfig,
    args: &ServeArgs,
    tokens: Option<Tokens>,
    tls: Option<SharedServerTls>,
) -> anyhow::Result<ServerConfig> {
    let policy = args.outages.policy()?;
    let config = config
        .policy(policy)
        .offer(offer(&args.outages, &policy))
        .kernel(KernelOptions::default().max_unsent(NonZeroU32::new(MAX_UNSENT)))
        .protocols(tokens.map_or(Protocols::V1, Protocols::V1WithTokens))
        .admission(admission(args))
        // Their windows bound it: a slow reader is not reset because there are others.
        .limits(Limits::default().max_buffered(usize::MAX))
        .drain(Duration::from_secs(1))
        .proxy_from(args.proxy_from.iter().copied())
        .resume(args.resume());
    Ok(match tls {
        Some(tls) => config.tls(tls),
        None => config,
    })
}

fn admission(args: &ServeArgs) -> Admission {
    Admission::default().max_sessions(args.max_connections).many_per_name(true)
}
