//! `heartwire serve`: a server that prints its events.

mod answers;
mod args;
mod clients;
mod commands;
mod feed;
mod http;
mod left_out;
mod lines;
mod listening;
mod presence;
mod reload;
mod resources;

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::task::Waker;
use core::time::Duration;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use heartwire::Side;
use heartwire::server::auth::{Tokens, TokensError};
use heartwire::server::limits::{Admission, Limits, Rate};
use heartwire::server::{Control, Event, Handler, Protocols, Resume, Server, ServerConfig};
use heartwire::tls::{ServerTls, SharedServerTls};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::exit::{Exit, Usage};
use crate::output::{Sink, Target, inform, start_stdout, warn};
use crate::reload::{Live, Reloading};
use crate::settings;
use crate::signals::{Hangup, Look, Stop};
use crate::systemd::{Manager, Passed};
use crate::values::{ProtocolArg, RateOrOff, TimeOrOff, typed};

pub(crate) use args::{EXAMPLES, FIRST_EXAMPLES, ServeArgs, ServeTlsArgs};
use args::{EventKind, LimitArgs, ServeData};
pub(crate) use http::CannotServe;
pub(crate) use reload::Running;

use answers::Answers;
use clients::Clients;
use commands::Commands;
use feed::Feed;
use http::{Http, Observer, Settings};
use lines::Line;
use listening::Listening;
use presence::Telling;

/// The length of a frame's header.
const HEADER_LEN: u64 = 8;

/// Time after `--drain` for closing the sockets and printing the last events.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// For printing the last events when all sessions are closed; within the same time.
const PRINT_WITHIN: Duration = Duration::from_secs(1);

/// For readers of events over HTTP to take the last ones; within the same time.
const CLOSE_HTTP_WITHIN: Duration = Duration::from_millis(250);

/// What a server is started with: all that its options and the files that they name can have wrong
/// is found out here.
pub(crate) struct Prepared {
    tokens: Option<Tokens>,
    tls: Option<SharedServerTls>,
    config: ServerConfig,
    presence: Option<presence::Prepared>,
}

impl Prepared {
    fn new(args: &ServeArgs, passed: Vec<TcpListener>) -> anyhow::Result<Self> {
        check_protocol(args)?;
        let tokens = args.tokens.as_deref().map(load_tokens).transpose()?;
        let tls = load_tls(&args.tls)?;
        let config = config(args, tokens.clone(), passed)?;
        let config = match &tls {
            Some(tls) => config.tls(tls.clone()),
            None => config,
        };
        let presence = presence::Prepared::new(&args.presence)?;
        Ok(Self { tokens, tls, config, presence })
    }
}

/// Checks the options and the files that they name.
pub(crate) fn check(args: &ServeArgs) -> anyhow::Result<()> {
    Prepared::new(args, Vec::new())?;
    http::check(&args.http)
}

pub(crate) fn run(args: &ServeArgs, given: &settings::Settings) -> anyhow::Result<Exit> {
    let passed = Passed::take()?;
    let manager = Manager::find();
    let open_files = raise_open_files();
    let on_passed = passed.addresses();
    let Prepared { tokens, tls, config, presence } = Prepared::new(args, passed.sessions)?;
    let is_open = tokens.is_none() && args.tls.tls_client_ca.is_none();
    let own_tokens = tokens.as_ref().map(|tokens| tokens.are_all_for_one_name());
    // Before the first client, which might take the last descriptor, and before the first line,
    // whose reader might send a signal.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut stop, hangup) = {
        let _guard = runtime.enter();
        runtime.spawn(pass_over(Look::listen()?));
        (Stop::listen()?, Hangup::listen()?)
    };
    let output = start_stdout(
        Target::Stdout,
        Feed::new(args.format.format(), args.events.clone(), args.hold_data),
    )?;
    let http = Http::start(&args.http, passed.http)?;
    let telling = Telling::new(output.clone(), http.as_ref().map(Http::observer));
    let hook_secret = presence.as_ref().and_then(|prepared| prepared.secret.clone());
    let start = |prepared: presence::Prepared| {
        presence::Running::start(prepared.reached_at(http.as_ref().map(Http::address)), telling)
    };
    let presence = presence.map(start).transpose()?;
    let config = match &presence {
        Some(presence) => config.epoch_clock(presence.epoch_clock()),
        None => config,
    };
    let on_data = args.on_data;
    let threads = args.threads.map_or_else(processors, usize::from);
    // Each shard holds a sender. Nothing is sent: the channel closes when the last shard ends.
    let (runs, mut ended) = mpsc::channel::<()>(1);
    let server = Server::start(config, |shard| OnEvents {
        shard,
        on_data,
        answers: Answers::new(args.limits.max_buffered / threads),
        printed: args.events.clone(),
        clients: Clients::new(),
        hold_data: args.hold_data,
        output: output.clone(),
        http: http.as_ref().map(Http::observer),
        presence: presence.as_ref().map(presence::Running::observer),
        _runs: runs.clone(),
    })?;
    drop(runs);
    if is_open && let Some(warning) = open_to_all(server.local_addrs()) {
        warn(warning);
    }
    let mut listening = Listening::new(args, &server, open_files, own_tokens)?.passed(&on_passed);
    if let Some(presence) = &presence {
        presence.attach(server.handle().clone());
        listening.add_presence(presence.shown());
    }
    if let Some(http) = &http {
        let policy = args.policy.policy(Side::Server)?;
        let presence = presence.as_ref().map(presence::Running::shared);
        let settings = Settings { policy, shards: threads, drain: args.drain, presence };
        http.started(server.handle().clone(), settings);
        listening.add_http(http.address());
    }
    output.put(|feed| feed.push_line(Line::Listening(Box::new(listening))));
    if let Some(presence) = &presence {
        presence.begin();
    }
    if args.commands {
        Commands::new(server.handle().clone(), output.clone()).start()?;
    }
    runtime.spawn(resources::watch(
        server.handle().clone(),
        server.local_addrs().to_vec(),
        open_files,
        output.clone(),
        http.as_ref().map(Http::observer),
    ));
    manager.ready();
    runtime.spawn(manager.clone().report(server.handle().clone()));

    let live = Live::new(args.drain);
    let running = Running {
        tokens,
        tls,
        server: server.handle().clone(),
        http: http.as_ref().map(Http::observer),
        hook_secret,
        live: Arc::clone(&live),
    };
    let reloading =
        Reloading { given: given.given.clone(), live: Arc::clone(&live), server: running };
    runtime.spawn(reloading.run(hangup, manager.clone()));

    let exit = runtime.block_on(async {
        let mut by_http = false;
        let exit = tokio::select! {
            _ = ended.recv() => Exit::Success,
            () = stop.signal() => Exit::Success,
            () = output.reader_gone(), if args.exit_with_reader => {
                warn("stopping, because the reader of the events has exited");
                Exit::Failure
            }
            () = http::drained(http.as_ref()) => {
                by_http = true;
                Exit::Success
            }
        };
        let drain = live.stop();
        let drain = http.as_ref().map_or(drain, |http| http.drain(drain));
        if by_http {
            inform(format_args!("stopping within {}, as asked for over HTTP", typed(drain)));
        }
        let within = drain.saturating_add(CLOSE_WITHIN);
        manager.stopping(within);
        let by = Instant::now() + within;
        server.handle().shutdown_within(drain);
        tokio::select! {
            _ = ended.recv() => {}
            () = last_signal(&mut stop, by_http) => {
                warn("stopped at once by a second signal");
                return Ok(exit);
            }
            () = sleep_until(by) => {
                warn("exiting although not all sessions are closed");
                return Ok(exit);
            }
        }
        if let Some(presence) = &presence {
            let within = by.saturating_duration_since(Instant::now());
            tokio::select! {
                () = presence.close(within.saturating_sub(CLOSE_HTTP_WITHIN)) => {}
                () = last_signal(&mut stop, by_http) => {
                    warn("stopped at once by a second signal");
                    return Ok(exit);
                }
            }
        }
        let stopped = Line::Stopped { stats: Box::new(server.handle().stats()) };
        output.put(|feed| feed.push_last(stopped));
        if let Some(http) = &http {
            let close = http.close(Line::Stopped { stats: Box::new(server.handle().stats()) });
            // The last events matter less than the end.
            let _ = timeout(CLOSE_HTTP_WITHIN, close).await;
        }
        tokio::select! {
            _ = output.close() => server.join()?,
            () = stop.signal() => warn("stopped at once by a second signal"),
            () = sleep_until(by.min(Instant::now() + PRINT_WITHIN)) => {
                warn("nothing reads the events; exiting without the last of them");
            }
        }
        anyhow::Ok(exit)
    });
    // Reading a file again may never end.
    runtime.shutdown_background();
    if let Some(presence) = presence {
        presence.end();
    }
    exit
}

/// Waits for the signal that ends a drain. That of an orchestrator, which has asked for the drain
/// over HTTP before, does not.
async fn last_signal(stop: &mut Stop, by_http: bool) {
    if by_http {
        stop.signal().await;
        inform("stopping already, as asked for over HTTP; another signal exits at once");
    }
    stop.signal().await;
}

/// How many there are; a server has as many threads by default.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The warning about a server without authentication that other machines can reach.
fn open_to_all(addresses: &[SocketAddr]) -> Option<String> {
    let open: Vec<_> = addresses.iter().filter(|address| !address.ip().is_loopback()).collect();
    let first = open.first()?;
    Some(format!(
        "any client that reaches {first} may connect. --tokens accepts only clients with \
         a token, --tls-client-ca only those with a certificate, and 127.0.0.1 only this machine's"
    ))
}

fn config(
    args: &ServeArgs,
    tokens: Option<Tokens>,
    passed: Vec<TcpListener>,
) -> anyhow::Result<ServerConfig> {
    check_answers_fit(args)?;
    let policy = args.policy.policy(Side::Server)?;
    let listen = if passed.is_empty() { args.listen() } else { args.listen.clone() };
    let mut config = listen_on(listen, passed)?
        .policy(policy)
        .kernel(args.kernel.options()?.buffers(args.socket_buffers))
        .protocols(match (tokens, args.protocol) {
            (Some(tokens), _) => Protocols::V1WithTokens(tokens),
            (None, None) => Protocols::Any,
            (None, Some(ProtocolArg::V0)) => Protocols::V0,
            (None, Some(ProtocolArg::V1)) => Protocols::V1,
        })
        .offer(args.offer.offer(&policy)?)
        .admission(admission(&args.limits))
        .limits(limits(&args.limits))
        .drain(args.drain);
    config = config.proxy_from(args.proxy_from.iter().copied());
    if let Some(resume) = resume(args) {
        config = config.resume(resume);
    }
    if let Some(age) = args.max_age {
        config = config.max_age(age);
    }
    if let Some(beats) = args.coalesce {
        config = config.coalesce(beats);
    }
    if let Some(shards) = args.threads {
        config = config.threads(usize::from(shards));
    }
    Ok(config)
}

/// A server on these addresses and sockets.
pub(crate) fn listen_on(
    addresses: Vec<SocketAddr>,
    sockets: Vec<TcpListener>,
) -> anyhow::Result<ServerConfig> {
    let (mut addresses, mut sockets) = (addresses.into_iter(), sockets.into_iter());
    let first = addresses.next().map(ServerConfig::new);
    let config = first.or_else(|| sockets.next().map(ServerConfig::from_listener));
    let config = config.ok_or_else(|| anyhow::anyhow!("no address to listen on"))?;
    let config = addresses.fold(config, ServerConfig::also_listen);
    Ok(sockets.fold(config, ServerConfig::also_listener))
}

/// How sessions outlive their connections; on v0 they do not.
fn resume(args: &ServeArgs) -> Option<Resume> {
    let grace = args.resume.grace().filter(|_| args.protocol != Some(ProtocolArg::V0))?;
    let resume = Resume::new().grace(grace).window(args.resume.window).max_replay(args.max_replay);
    Some(resume.in_the_clear(args.resume.resume_in_the_clear))
}

fn limits(args: &LimitArgs) -> Limits {
    let mut limits = Limits::default()
        .max_frame(args.max_frame)
        .max_queue(args.max_queue)
        .max_buffered(args.max_buffered)
        .max_pending_buffered(args.max_pending_buffered);
    if let Some(TimeOrOff(within)) = args.handshake_timeout {
        limits = limits.handshake_timeout(within);
    }
    if let Some(TimeOrOff(within)) = args.frame_timeout {
        limits = limits.frame_timeout(within);
    }
    limits
}

/// Refuses options that would have no effect.
fn check_protocol(args: &ServeArgs) -> Result<(), Usage> {
    if args.protocol != Some(ProtocolArg::V0) {
        return Ok(());
    }
    if args.tokens.is_some() {
        return Err(Usage("protocol v0 has no tokens: --tokens needs v1".to_owned()));
    }
    if args.offer.is_given() {
        return Err(Usage(
            "protocol v0 negotiates nothing: --min-interval and --max-timeout need v1".to_owned(),
        ));
    }
    if args.presence.is_given() {
        return Err(Usage(
            "protocol v0 has no names: --presence, --hook and --hook-command need v1".to_owned(),
        ));
    }
    if args.resume.is_given() {
        return Err(Usage(
            "protocol v0 cannot resume sessions: --grace and --resume-in-the-clear need v1"
                .to_owned(),
        ));
    }
    Ok(())
}

fn admission(args: &LimitArgs) -> Admission {
    let rate = |most: RateOrOff, bursts: u32| {
        most.0.map(|per_second| {
            let bursts = NonZeroU32::MIN.saturating_add(bursts - 1);
            Rate { per_second, burst: per_second.saturating_mul(bursts) }
        })
    };
    let admission = Admission::default()
        .max_sessions(args.max_sessions)
        .max_per_address(args.max_per_address)
        .accept_rate_per_address(rate(args.accept_rate_per_address, 20))
        .accept_rate(rate(args.accept_rate, 2));
    match args.max_pending {
        Some(clients) => admission.max_pending(clients),
        None => admission,
    }
}

fn load_tokens(path: &Path) -> Result<Tokens, Usage> {
    Tokens::from_file(path).map_err(|error| {
        let what = if matches!(error, TokensError::Unreadable { .. }) {
            error.to_string()
        } else {
            format!("cannot use the tokens in {}: {error}", path.display())
        };
        Usage(what)
    })
}

pub(crate) fn load_tls(args: &ServeTlsArgs) -> Result<Option<SharedServerTls>, Usage> {
    let ServeTlsArgs { tls_cert, tls_key, tls_client_ca, tls_client_crl, tls_ticket_keys } = args;
    let (Some(certificate), Some(key)) = (tls_cert, tls_key) else { return Ok(None) };
    let mut tls = ServerTls::new(certificate, key);
    if let Some(roots) = tls_client_ca {
        tls = tls.require_client_certificates(roots);
        for file in tls_client_crl {
            tls = tls.revocation_lists(file);
        }
    }
    match tls_ticket_keys {
        None => {}
        Some(off) if off == Path::new("off") => tls = tls.without_tickets(),
        Some(file) => tls = tls.ticket_keys(file),
    }
    tls.load().map(Some).map_err(|error| Usage(error.to_string()))
}

/// Ignores SIGUSR1, which is for `connect`: sent to all processes of a name, it would kill this
/// one.
async fn pass_over(mut look: Look) {
    loop {
        look.signal().await;
        inform("SIGUSR1 tells connect that the network has changed, and does nothing here");
    }
}

/// Refuses frames that are larger than the queue: they could not be sent back, and would be lost.
fn check_answers_fit(args: &ServeArgs) -> Result<(), Usage> {
    let max_body = u64::from(args.limits.max_frame);
    let max_queue = u64::try_from(args.limits.max_queue).unwrap_or(u64::MAX);
    let needed = max_body + HEADER_LEN;
    if args.on_data == ServeData::Discard || max_queue >= needed {
        return Ok(());
    }
    Err(Usage(format!(
        "--on-data sends back up to {max_body} B (--max-frame) and a header of {HEADER_LEN} B, \
         which do not fit into a queue of {max_queue} B. Use a --max-queue of at least {needed}, \
         or a --max-frame of at most {}",
        max_queue.saturating_sub(HEADER_LEN)
    )))
}

/// Raises the soft limit of open files to the hard one, and returns the limit in force. Systems
/// keep the soft limit low for programs that use `select(2)`, which this one does not.
#[cfg(unix)]
pub(crate) fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let soft = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "could not raise the limit of open files");
            limit.current = soft;
        }
    }
    limit.current
}

#[cfg(not(unix))]
pub(crate) fn raise_open_files() -> Option<u64> {
    None
}

/// Sends data back if asked to, and queues events for printing. A shard never waits for printing.
#[derive(Debug)]
struct OnEvents {
    shard: usize,
    on_data: ServeData,
    answers: Answers,
    printed: Vec<EventKind>,
    clients: Clients,
    hold_data: bool,
    output: Sink<Feed>,
    http: Option<Observer>,
    presence: Option<presence::Observer>,
    _runs: mpsc::Sender<()>,
}

impl Handler for OnEvents {
    fn handle(&mut self, mut event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are only printed")]
        match &mut event {
            Event::Data { id, data } => match self.on_data {
                ServeData::Discard => {}
                ServeData::Echo => self.answers.send(*id, data, control),
                ServeData::Upper => self.answers.send(*id, &data.to_ascii_uppercase(), control),
            },
            Event::Room { id } => return self.answers.send_waiting(*id, control),
            Event::Offline { id, undelivered, .. } => self.answers.forget(*id, undelivered),
            _ => {}
        }
        if let Some(presence) = &self.presence {
            presence.observe(self.shard, &event);
        }
        let client = self.clients.of(&event);
        if let Some(http) = &self.http {
            http.observe(&event, client.as_ref());
        }
        // The queue has to know which sessions have ended, even if that is not printed.
        let is_told = |kind| self.printed.contains(&kind);
        if matches!(event, Event::Offline { .. }) || feed::kind(&event).is_none_or(is_told) {
            let time = SystemTime::now();
            self.output.put(|feed| feed.push(time, &event, client));
        }
    }

    fn has_room(&mut self, waker: &Waker) -> bool {
        // All shards share the queue, and this is asked for each read.
        if !self.hold_data {
            return true;
        }
        let shard = self.shard;
        self.output.ask(|feed| feed.has_room_for_data(shard, waker)).unwrap_or(true)
    }

    fn has_room_for_newcomers(&mut self, _: &Waker) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_other_machines_reach_warns_that_any_client_may_connect() {
        let warning = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|at| at.parse().unwrap()).collect();
            open_to_all(&addresses)
        };
        assert_eq!(warning(&["127.0.0.1:7", "[::1]:7"]), None);
        let said = warning(&["127.0.0.1:7", "0.0.0.0:8"]).unwrap();
        assert!(said.contains("reaches 0.0.0.0:8 may connect"), "{said}");
        assert!(warning(&["[::]:7"]).is_some() && warning(&["192.0.2.1:7"]).is_some());
    }
}
