//! The near end: a client for each connection of a local program.

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use heartwire::Reason;
use heartwire::client::{Client, ClientConfig, Event, Events, NetworkWatch, Resume, V1};
use heartwire::kernel::KernelOptions;
use heartwire::server::auth::valid_name;
use heartwire::tls::{ClientTls, SharedClientTls};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::args::ConnectArgs;
use super::carry::{Carried, OPEN_WITHIN, count};
use super::line::{Connection, How, Line};
use super::local::{Listener, Local, Place};
use super::{MAX_UNSENT, offer, open, outages, rest_after, tell_stopping, threads};
use crate::connect::{is_local, read_token, read_token_and_warn};
use crate::exit::{Exit, Usage};
use crate::output::{Millis, inform, print_event, warn};
use crate::serve::raise_open_files;
use crate::signals::{Hangup, Look, Stop};
use crate::values::Format;

/// Messages that are written to the local program with one system call.
const WRITTEN_AT_ONCE: usize = 8;

/// How long a reset may take to reach the far end; during an outage it waits for the grace.
const ABORT_WITHIN: Duration = Duration::from_secs(5);

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
    let mut tls = ClientTls::new();
    if let Some(roots) = tls_ca {
        tls = tls.roots(roots);
    }
    if let Some(name) = tls_server_name {
        tls = tls.server_name(name);
    }
    if let (Some(certificate), Some(key)) = (tls_cert, tls_key) {
        tls = tls.certificate(certificate, key);
    }
    tls.load().map(Some).map_err(|error| Usage(error.to_string()))
}

fn config(args: &ConnectArgs, tls: Option<SharedClientTls>) -> Result<ClientConfig, Usage> {
    let policy = args.outages.policy()?;
    let mut v1 = V1::default().offer(offer(&args.outages, &policy));
    if let Some(name) = &args.name {
        valid_name(name).map_err(|error| Usage(format!("--name: {error}")))?;
        v1 = v1.name(name);
    }
    if let Some(path) = &args.token_file {
        v1 = v1.token(read_token_and_warn(path)?);
        let path = path.clone();
        let read = move || read_token(&path).map_err(|Usage(error)| io::Error::other(error));
        v1 = v1.token_source(move || read().map(String::into_bytes));
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

/// Prints lines. With standard input and output as the connection the terminal belongs to another
/// program, such as ssh: there only what is not [routine](Line::is_routine), unless it is JSON.
#[derive(Clone, Copy)]
struct Tell {
    is_quiet: bool,
}

impl Tell {
    fn line(self, line: &Line) {
        if !self.is_quiet || !line.is_routine() {
            print_event(line);
        }
    }
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

/// Carries one connection.
struct Carrier {
    client: Client,
    events: Events,
    of: Connection,
    /// How long the connection survives an outage.
    grace: Option<Duration>,
    tell: Tell,
}

impl Carrier {
    async fn carry(mut self, service: &str, local: Local, carried: &Carried) -> Option<How> {
        let opened = tokio::select! {
            opened = timeout(OPEN_WITHIN, self.open(service)) => {
                opened.unwrap_or_else(|_| Err(format!("not reached within {OPEN_WITHIN:?}")))
            }
            () = local.failed() => Err("the local program gave up".to_owned()),
        };
        if let Err(detail) = opened {
            drop(local);
            self.client.abort();
            self.tell.line(&Line::Refused { of: self.of, detail });
            return None;
        }
        self.tell.line(&Line::Opened {
            of: self.of.clone(),
            after_ms: Millis(carried.lasted()),
            grace_ms: Millis(self.grace.unwrap_or_default()),
        });
        let client = self.client.clone();
        let to_far = async {
            loop {
                let bytes = local.read().await?;
                if bytes.is_empty() {
                    client.end();
                    return core::future::pending::<io::Result<()>>().await;
                }
                count(&carried.to_service, &bytes);
                if client.send(bytes).await.is_err() {
                    // The session has ended, and the events say how.
                    return core::future::pending().await;
                }
            }
        };
        let end = tokio::select! {
            end = self.carry_back(&local, carried) => end,
            failed = to_far => (How::ResetHere, failed.err().map(|error| error.to_string())),
            () = local.failed() => (How::ResetHere, None),
        };
        let (how, detail) = end;
        if how == How::Done {
            local.finish();
        } else {
            client.abort();
        }
        // Before the far end is told, which may take as long as an outage.
        drop(local);
        self.tell.line(&carried.closed(self.of, how, detail));
        Some(how)
    }

    /// Asks for the service. An error is in words.
    async fn open(&mut self, service: &str) -> Result<(), String> {
        let mut failed = None;
        while let Some(event) = self.events.recv().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing yet")]
            match event {
                Event::Online { welcome, .. } => {
                    let welcome = welcome.as_deref();
                    self.of.session = welcome.map(|welcome| welcome.session);
                    if welcome.is_none_or(|welcome| welcome.resume.is_none()) {
                        return Err("the far end keeps no sessions: it is no `tunnel serve`, or \
                                    without TLS"
                            .to_owned());
                    }
                    if self.client.send(open::request(service)).await.is_err() {
                        return Err("the session has ended at once".to_owned());
                    }
                }
                Event::Data(answer) => {
                    self.grace = open::parse_answer(&answer);
                    return match self.grace {
                        Some(_) => Ok(()),
                        None => Err("it answers as no far end of a tunnel does".to_owned()),
                    };
                }
                Event::Failed { error } => failed = Some(error.to_string()),
                Event::Offline { reason, bye, .. } => {
                    let detail = bye.map(|bye| bye.detail).filter(|detail| !detail.is_empty());
                    failed = Some(detail.unwrap_or_else(|| reason.to_string()));
                }
                _ => {}
            }
        }
        Err(failed.unwrap_or_else(|| "not reached".to_owned()))
    }

    /// Passes on what comes from the service, until the session has ended.
    async fn carry_back(&mut self, local: &Local, carried: &Carried) -> (How, Option<String>) {
        let mut until = None;
        let mut next = None;
        loop {
            let event = match (next.take(), until) {
                (Some(event), _) => Some(event),
                (None, None) => self.events.recv().await,
                (None, Some(until)) => match timeout_at(until, self.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => return (How::Lost, Some(Reason::NotBack.to_string())),
                },
            };
            match event {
                Some(Event::Data(bytes)) => {
                    let data;
                    (data, next) = self.with_more(bytes);
                    if let Err(end) = self.pass_on(local, &data).await {
                        return end;
                    }
                    data.iter().for_each(|bytes| count(&carried.from_service, bytes));
                }
                Some(Event::Ended) => {
                    if let Err(error) = local.end_writing().await {
                        return (How::ResetHere, Some(error.to_string()));
                    }
                }
                Some(Event::Away { reason, within, .. }) => {
                    let kept = self.grace.map_or(within, |grace| grace.min(within));
                    // The session itself ends after its grace, which is longer after a pause.
                    until = (kept < within).then(|| Instant::now() + kept);
                    let (of, within_ms) = (self.of.clone(), Millis(kept));
                    self.tell.line(&Line::Away { of, reason, within_ms });
                }
                Some(Event::Back { after, replayed, .. }) => {
                    until = None;
                    carried.handle_back(after);
                    let (of, away_ms) = (self.of.clone(), Millis(after));
                    self.tell.line(&Line::Back { of, away_ms, replayed });
                }
                Some(Event::Offline { reason, bye, .. }) => {
                    return how(reason, bye.map(|bye| bye.detail));
                }
                Some(_) => {}
                None => return (How::Lost, None),
            }
        }
    }

    /// Data, and the data that has come behind it, to be written with one system call; and the
    /// event behind that.
    fn with_more(&mut self, bytes: Vec<u8>) -> (Vec<Vec<u8>>, Option<Event>) {
        let mut data = vec![bytes];
        while data.len() < WRITTEN_AT_ONCE {
            match self.events.try_recv() {
                Ok(Event::Data(more)) => data.push(more),
                other => return (data, other.ok()),
            }
        }
        (data, None)
    }

    /// Writes bytes to the local program, which may read slowly. A session that ends meanwhile does
    /// not end well: the program has not got all of it.
    async fn pass_on(
        &mut self,
        local: &Local,
        data: &[Vec<u8>],
    ) -> Result<(), (How, Option<String>)> {
        let write = local.write_all(data);
        tokio::pin!(write);
        let written = tokio::select! {
            biased;
            written = &mut write => written,
            () = self.client.closed() => {
                while let Ok(event) = self.events.try_recv() {
                    if let Event::Offline { reason, bye, .. } = event {
                        return Err(how(reason, bye.map(|bye| bye.detail)));
                    }
                }
                return Err((How::Lost, None));
            }
        };
        written.map_err(|error| (How::ResetHere, Some(error.to_string())))
    }
}

fn how(reason: Reason, detail: Option<String>) -> (How, Option<String>) {
    let said = detail.filter(|detail| !detail.is_empty());
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no clean end")]
    match reason {
        Reason::Done => (How::Done, None),
        // Also one that says "done": this end does not know that it is.
        Reason::Bye(_) => (How::ResetThere, said.or_else(|| Some(reason.to_string()))),
        Reason::Shutdown => (How::Stopped, None),
        reason => (How::Lost, said.or_else(|| Some(reason.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use heartwire::v1::ByeCode;

    use super::*;

    #[test]
    fn only_what_both_ends_have_ended_is_done() {
        let how = |reason| how(reason, Some("why".to_owned()));
        assert_eq!(how(Reason::Done), (How::Done, None));
        let why = Some("why".to_owned());
        assert_eq!(how(Reason::Bye(ByeCode::Done)), (How::ResetThere, why.clone()));
        assert_eq!(how(Reason::NotBack), (How::Lost, why));
        assert_eq!(how(Reason::Shutdown), (How::Stopped, None));
    }
}
