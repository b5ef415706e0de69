//! The near end: a client for each connection of a local program.

mod carrier;

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use heartwire::client::{Client, ClientConfig, NetworkWatch, Resume, V1};
use heartwire::kernel::KernelOptions;
use heartwire::server::auth::valid_name;
use heartwire::tls::SharedClientTls;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::args::ConnectArgs;
use super::carry::{Carried, OPEN_WITHIN};
use super::line::{Connection, How, Line};
use super::local::{Listener, Local, Place};
use super::{MAX_UNSENT, offer, outages, rest_after, tell_stopping, threads};
use crate::connect::{client_tls, is_local, with_token};
use crate::exit::{Exit, Usage};
use crate::output::{inform, print_event, warn};
use crate::serve::raise_open_files;
use crate::signals::{Hangup, Look, Stop};
use crate::values::Format;

use carrier::{Carrier, Tell};

/// How long a reset may take to reach the far end; during an outage it waits for the grace.
const ABORT_WITHIN: Duration = Duration::from_secs(5);

/// Checks the options and the files that they name.
pub(super) fn check(args: &ConnectArgs) -> anyhow::Result<()> {
    config(args, load_tls(args)?).map(drop)?;
    checked_place(args)?;
    Ok(())
}

pub(super) fn run(args: &ConnectArgs) -> anyhow::Result<Exit> {
    raise_open_files();
    let tls = load_tls(args)?;
    let has_tls = tls.is_some();
    let near = Arc::new(Near {
        config: config(args, tls)?,
        service: args.service.clone(),
        name: args.name.clone(),
        clients: Mutex::default(),
        next: AtomicU64::new(0),
        tell: Tell { is_quiet: args.stdio && args.format.format() == Format::Text },
    });
    let listen = checked_place(args)?;
    let runtime = threads(2).enable_all().build()?;
    let exit = runtime.block_on(async {
        let stop = Stop::listen()?;
        tokio::spawn(Arc::clone(&near).watch(NetworkWatch::new(), Look::listen()?));
        let hangup = Hangup::listen()?;
        let listener = match listen {
            Some(place) => Some(
                Listener::bind(place)
                    .await
                    .map_err(|error| CannotListen { place: place.clone(), error })?,
            ),
            None => None,
        };
        let places = listener.as_ref().map(Listener::place).transpose()?;
        near.tell.line(&Line::Listening {
            addresses: places.iter().map(ToString::to_string).collect(),
            services: vec![args.service.clone()],
            far: Some(args.target()),
            tls: has_tls,
            outages: outages(&args.outages)?,
        });
        match listener {
            Some(listener) => {
                tokio::spawn(pass_over(hangup));
                near.serve(listener, args, stop).await
            }
            None => near.carry_stdio(args.outages.drain, stop, hangup).await,
        }
    });
    // Standard input may still be read.
    runtime.shutdown_background();
    exit
}

/// It cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {error}")]
pub(crate) struct CannotListen {
    place: Place,
    error: io::Error,
}

fn checked_place(args: &ConnectArgs) -> Result<Option<&Place>, Usage> {
    match &args.listen {
        Some(Place::Tcp(address)) if !address.ip().is_loopback() && !args.listen_anywhere => {
            Err(Usage(format!(
                "every program that reaches {address} could use the service: listen on 127.0.0.1, \
                 or give --listen-anywhere"
            )))
        }
        place => Ok(place.as_ref()),
    }
}

fn load_tls(args: &ConnectArgs) -> Result<Option<SharedClientTls>, Usage> {
    let ConnectArgs { tls_ca, tls_server_name, tls_cert, tls_key, .. } = args;
    let is_wanted = args.tls || tls_ca.is_some() || tls_server_name.is_some() || tls_cert.is_some();
    if args.no_tls || (!is_wanted && is_local(&args.target)) {
        return Ok(None);
    }
    let own = tls_cert.as_ref().zip(tls_key.as_ref());
    client_tls(tls_ca.as_ref(), tls_server_name.as_ref(), own).map(Some)
}

fn config(args: &ConnectArgs, tls: Option<SharedClientTls>) -> Result<ClientConfig, Usage> {
    let policy = args.outages.policy()?;
    let mut v1 = V1::default().offer(offer(&args.outages, &policy));
    if let Some(name) = &args.name {
        valid_name(name).map_err(|error| Usage(format!("--name: {error}")))?;
        v1 = v1.name(name);
    }
    if let Some(path) = &args.token_file {
        v1 = with_token(v1, path)?;
    }
    let resume = Resume::default().grace(args.outages.grace).window(args.outages.window);
    let config = ClientConfig::new(args.target())
        .v1(v1)
        .policy(policy)
        .kernel(KernelOptions::default().max_unsent(NonZeroU32::new(MAX_UNSENT)))
        .connect_timeout(OPEN_WITHIN)
        .handshake_timeout(OPEN_WITHIN)
        .close_timeout(ABORT_WITHIN.max(args.outages.grace))
        .reconnect(None)
        .resume(resume.suspect(true));
    Ok(match tls {
        Some(tls) => config.tls(tls),
        None => config,
    })
}

/// SIGHUP does not end a near end: each connection reads its files when they have changed.
async fn pass_over(mut hangup: Hangup) {
    loop {
        hangup.signal().await;
        inform("the token and the certificates are read anew for each connection");
    }
}

/// What all connections share.
struct Near {
    config: ClientConfig,
    service: String,
    name: Option<String>,
    /// For [changes of the network](Self::watch).
    clients: Mutex<HashMap<u64, Client>>,
    next: AtomicU64,
    tell: Tell,
}

impl Near {
    /// Has all clients check their connections when the network has changed.
    async fn watch(self: Arc<Self>, mut network: NetworkWatch, mut look: Look) {
        loop {
            tokio::select! {
                () = network.changed() => {}
                () = look.signal() => {}
            }
            self.lock().values().for_each(Client::network_changed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries the connections of local programs until it is told to stop.
    async fn serve(
        self: Arc<Self>,
        listener: Listener,
        args: &ConnectArgs,
        mut stop: Stop,
    ) -> anyhow::Result<Exit> {
        let most = args.max_connections;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.signal() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    // Dropping it resets it.
                    Ok((_, peer)) if connections.len() >= most => print_event(&Line::Refused {
                        of: self.of(None, peer),
                        detail: format!("there are {most} connections (--max-connections)"),
                    }),
                    Ok((local, peer)) => {
                        connections.spawn(Arc::clone(&self).carry(local, peer));
                    }
                    Err(error) => rest_after(&error).await,
                }
            }
        }
        drop(listener);
        tell_stopping(connections.len(), args.outages.drain);
        let drain = sleep(args.outages.drain);
        tokio::pin!(drain);
        while !connections.is_empty() {
            tokio::select! {
                _ = connections.join_next() => {}
                () = &mut drain => break,
                () = stop.signal() => {
                    warn("stopped at once by a second signal");
                    break;
                }
            }
        }
        print_event(&Line::Stopped { connections: connections.len() });
        self.abort_all(&mut connections).await;
        Ok(Exit::Success)
    }

    /// Tells the far end of what is left, as far as that is possible at once.
    async fn abort_all(&self, connections: &mut JoinSet<Option<How>>) {
        self.lock().values().for_each(Client::abort);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(Duration::from_secs(1), all).await;
    }

    /// Carries one connection between standard input and standard output. SIGHUP stops it as well:
    /// ssh sends it to its ProxyCommand when it ends.
    async fn carry_stdio(
        self: Arc<Self>,
        drain: Duration,
        mut stop: Stop,
        mut hangup: Hangup,
    ) -> anyhow::Result<Exit> {
        let mut connections = JoinSet::new();
        connections.spawn(Arc::clone(&self).carry(Local::stdio(), None));
        let told = async {
            tokio::select! {
                () = stop.signal() => {}
                () = hangup.signal() => {}
            }
        };
        let ended = tokio::select! {
            ended = connections.join_next() => ended,
            () = told => timeout(drain, async {
                tokio::select! {
                    ended = connections.join_next() => ended,
                    () = stop.signal() => None,
                }
            }).await.ok().flatten(),
        };
        let Some(how) = ended.transpose().context("the connection failed")? else {
            self.abort_all(&mut connections).await;
            return Ok(Exit::Undelivered);
        };
        Ok(match how {
            Some(How::Done) => Exit::Success,
            Some(_) => Exit::Undelivered,
            None => Exit::CannotConnect,
        })
    }

    fn of(&self, session: Option<u64>, peer: Option<SocketAddr>) -> Connection {
        Connection { session, service: Some(self.service.clone()), name: self.name.clone(), peer }
    }

    /// Carries one connection. Returns how it ended, unless it was refused.
    async fn carry(self: Arc<Self>, local: Local, peer: Option<SocketAddr>) -> Option<How> {
        let (client, events) = Client::start(self.config.clone());
        let key = self.next.fetch_add(1, Relaxed);
        self.lock().insert(key, client.clone());
        let carried = Carried::new();
        let of = self.of(None, peer);
        let tell = self.tell;
        let carrier = Carrier { client: client.clone(), events, of, grace: None, tell };
        let end = carrier.carry(&self.service, local, &carried).await;
        client.closed().await;
        self.lock().remove(&key);
        end
    }
}
