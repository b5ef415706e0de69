//! The far end: a server that connects each session to a service.

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use heartwire::Reason;
use heartwire::kernel::KernelOptions;
use heartwire::server::auth::Tokens;
use heartwire::server::limits::{Admission, Limits};
use heartwire::server::{
    Agreed, CommandError, Control, Event, Handle, Handler, Protocols, Receipt, Sender, Server,
    ServerConfig, SessionId,
};
use heartwire::tls::SharedServerTls;
use heartwire::v1::{ByeCode, RetryHint};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::args::ServeArgs;
use super::carry::{Carried, OPEN_WITHIN, count};
use super::line::{Connection, How, Line};
use super::local::Local;
use super::service::{Grants, Service};
use super::{MAX_UNSENT, offer, open, outages, tell_stopping, threads};
use crate::exit::{Exit, Usage};
use crate::output::{Millis, inform, print_event, warn};
use crate::serve::{load_tls, raise_open_files};
use crate::signals::{Hangup, Stop};

/// How long a service may take to accept a connection: less than the near end waits for it, so that
/// it can be told.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);

/// Time after `--drain` for closing what is left.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Rejected clients that a shard prints per second. Clients that guess tokens may come faster.
const MAX_REJECTED: u32 = 10;

/// How often a drain looks whether all connections have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    raise_open_files();
    check(args)?;
    let tls = load_tls(&args.tls)?;
    let identity = args.tokens.as_deref().map(|path| Grants::read(path, &args.service));
    let (tokens, grants) = identity.transpose()?.unzip();
    let config = config(args, tokens.clone(), tls.clone())?;
    let runtime = threads(4).enable_all().build()?;
    let mut stop = {
        let _guard = runtime.enter();
        let files = Files {
            path: args.tokens.clone(),
            services: args.service.clone(),
            identity: tokens.zip(grants.clone()),
            tls,
        };
        runtime.spawn(Arc::new(files).reload(Hangup::listen()?));
        Stop::listen()?
    };
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
    let exit = runtime.block_on(async {
        tokio::select! {
            _ = ended.recv() => {}
            () = stop.signal() => {}
        }
        far.is_stopping.store(true, Relaxed);
        tell_stopping(handle.count() + handle.away(), args.outages.drain);
        let drain = sleep(args.outages.drain);
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
fn check(args: &ServeArgs) -> Result<(), Usage> {
    for (at, service) in args.service.iter().enumerate() {
        if args.service.iter().take(at).any(|earlier| earlier.name == service.name) {
            return Err(Usage(format!("--service names {} twice", service.name)));
        }
    }
    let listen = args.listen();
    let Some(outside) = listen.iter().find(|address| !address.ip().is_loopback()) else {
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

fn config(
    args: &ServeArgs,
    tokens: Option<Tokens>,
    tls: Option<SharedServerTls>,
) -> anyhow::Result<ServerConfig> {
    let policy = args.outages.policy()?;
    let mut listen = args.listen().into_iter();
    let first = listen.next().ok_or_else(|| anyhow::anyhow!("no address to listen on"))?;
    let mut config = ServerConfig::new(first)
        .policy(policy)
        .offer(offer(&args.outages, &policy))
        .kernel(KernelOptions::default().max_unsent(NonZeroU32::new(MAX_UNSENT)))
        .protocols(tokens.map_or(Protocols::V1, Protocols::V1WithTokens))
        .admission(Admission::default().max_sessions(args.max_connections).many_per_name(true))
        // Their windows bound it: a slow reader is not reset because there are others.
        .limits(Limits::default().max_buffered(usize::MAX))
        .drain(Duration::from_secs(1))
        .resume(args.resume());
    for address in listen {
        config = config.also_listen(address);
    }
    Ok(match tls {
        Some(tls) => config.tls(tls),
        None => config,
    })
}

/// Files that SIGHUP reads again.
struct Files {
    path: Option<PathBuf>,
    services: Vec<Service>,
    identity: Option<(Tokens, Grants)>,
    tls: Option<SharedServerTls>,
}

impl Files {
    async fn reload(self: Arc<Self>, mut hangup: Hangup) {
        loop {
            hangup.signal().await;
            let files = Arc::clone(&self);
            // A file system may be slow. It never panics.
            let _ = spawn_blocking(move || files.read_again()).await;
        }
    }

    fn read_again(&self) {
        if let (Some(path), Some((tokens, grants))) = (&self.path, &self.identity) {
            match Grants::read(path, &self.services) {
                Ok((new_tokens, new_grants)) => {
                    // First, so that no client with a new token has more than is granted.
                    grants.replace(&new_grants);
                    tokens.replace(&new_tokens);
                    inform(format_args!("read {} again", path.display()));
                }
                Err(Usage(error)) => warn(format_args!("{error}; the old ones stay")),
            }
        }
        match self.tls.as_ref().map(SharedServerTls::reload) {
            Some(Ok(())) => inform("read the certificates again"),
            Some(Err(error)) => warn(format_args!("{error}; the old certificates stay")),
            None => {}
        }
    }
}

/// What all shards share.
#[derive(Debug)]
struct Far {
    services: Vec<Service>,
    grace: Duration,
    grants: Option<Grants>,
    runtime: runtime::Handle,
    is_stopping: AtomicBool,
    /// Standard input and output have been given to a connection.
    is_stdio_used: AtomicBool,
}

/// The handler of a shard.
struct OnEvents {
    far: Arc<Far>,
    carriers: HashMap<SessionId, Carrier>,
    /// How many clients were rejected within a second, and when that began.
    rejected: (Instant, u32),
    /// Closed when the last shard and the last connection have ended.
    runs: mpsc::Sender<()>,
}

/// One connection, as its shard sees it.
struct Carrier {
    of: Connection,
    peer: SocketAddr,
    carried: Arc<Carried>,
    /// The task that serves it, once its first message has named the service.
    task: Option<Task>,
    /// Until then.
    opening: Option<oneshot::Sender<()>>,
    /// How long it survives an outage.
    grace: Duration,
    /// Which outage it is in, if any; counted from 1.
    outage: Arc<AtomicU32>,
    outages: u32,
}

struct Task {
    input: mpsc::UnboundedSender<Input>,
    waiting: Arc<Waiting>,
    end: oneshot::Sender<Reason>,
}

/// What the shard knows of the inputs of a task, and of its connection to the service.
#[derive(Debug, Default)]
struct Waiting {
    /// How many inputs the task has not done with.
    inputs: AtomicUsize,
    /// Set when there is one. The task alone decides when it is closed.
    local: OnceLock<Weak<Local>>,
}

impl Task {
    /// Passes on what came from the near end. The shard writes it to the service itself, as far as
    /// that takes it at once: that costs no copy, and wakes no other thread.
    fn pass_on(&self, data: &[u8], receipt: Option<Receipt>, carried: &Carried) {
        let is_idle = self.waiting.inputs.load(Ordering::Acquire) == 0;
        let local = self.waiting.local.get().filter(|_| is_idle).and_then(Weak::upgrade);
        let (written, rest) = data.split_at(local.map_or(0, |local| local.write_now(data)));
        count(&carried.to_service, written);
        if !rest.is_empty() {
            self.put(Some(rest.to_vec()), receipt);
        }
    }

    fn put(&self, data: Option<Vec<u8>>, receipt: Option<Receipt>) {
        self.waiting.inputs.fetch_add(1, Relaxed);
        // A task that has ended has ended the session, too.
        let _ = self.input.send(Input { data, _receipt: receipt });
    }
}

/// What comes from the near end. At most a window of it waits.
struct Input {
    /// `None`: it sends no more.
    data: Option<Vec<u8>>,
    /// Acknowledges it when it is dropped.
    _receipt: Option<Receipt>,
}

impl Handler for OnEvents {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
        match event {
            Event::Online { id, peer, agreed } => self.begin(id, peer, agreed, control),
            Event::Data { id, data } => {
                let receipt = control.receipt();
                let Some(carrier) = self.carriers.get_mut(&id) else { return };
                match &carrier.task {
                    Some(task) => task.pass_on(data, receipt, &carrier.carried),
                    None if receipt.is_none() => {
                        refuse(carrier, id, control, "this tunnel needs sessions that are kept");
                    }
                    None => self.open(id, data, control),
                }
            }
            Event::Ended { id } => {
                let receipt = control.receipt();
                let task = self.carriers.get(&id).and_then(|carrier| carrier.task.as_ref());
                if let Some(task) = task {
                    task.put(None, receipt);
                }
            }
            Event::Away { id, reason, within, .. } => self.handle_away(id, reason, within, control),
            Event::Back { id, peer, away, replayed } => {
                let Some(carrier) = self.carriers.get_mut(&id) else { return };
                carrier.outage.store(0, Relaxed);
                carrier.of.peer = Some(peer);
                carrier.carried.handle_back(away);
                let (of, away_ms) = (carrier.of.clone(), Millis(away));
                print_event(&Line::Back { of, away_ms, replayed });
            }
            Event::Offline { id, reason, .. } => {
                let task = self.carriers.remove(&id).and_then(|carrier| carrier.task);
                if let Some(task) = task {
                    // The task may have ended the session.
                    let _ = task.end.send(reason);
                }
            }
            Event::Rejected { peer, name, code } => self.tell_rejected(peer, name, code),
            _ => {}
        }
    }
}

impl OnEvents {
    fn begin(
        &mut self,
        id: SessionId,
        peer: SocketAddr,
        agreed: Option<Box<Agreed>>,
        control: &Control<'_>,
    ) {
        let grace = agreed.as_ref().and_then(|agreed| agreed.grace).unwrap_or(self.far.grace);
        let name = agreed.and_then(|agreed| agreed.name).map(Into::into);
        let of = Connection { session: Some(id.as_u64()), service: None, name, peer: Some(peer) };
        let carrier = Carrier {
            peer,
            carried: Carried::new(),
            task: None,
            opening: Some(self.wait_for_request(id, of.clone(), control.handle())),
            of,
            grace,
            outage: Arc::default(),
            outages: 0,
        };
        self.carriers.insert(id, carrier);
    }

    /// Ends the session unless what is returned is dropped in time: a near end names the service at
    /// once.
    fn wait_for_request(
        &self,
        id: SessionId,
        of: Connection,
        handle: Handle,
    ) -> oneshot::Sender<()> {
        let (opening, opened) = oneshot::channel::<()>();
        self.far.runtime.spawn(async move {
            if timeout(OPEN_WITHIN, opened).await.is_err() {
                let detail = format!("no service was named within {OPEN_WITHIN:?}");
                end_session(&handle, id, &detail).await;
                print_event(&Line::Refused { of, detail });
            }
        });
        opening
    }

    fn tell_rejected(&mut self, peer: SocketAddr, name: Option<Box<str>>, code: ByeCode) {
        if self.rejected.0.elapsed() >= Duration::from_secs(1) {
            self.rejected = (Instant::now(), 0);
        }
        self.rejected.1 = self.rejected.1.saturating_add(1);
        match self.rejected.1 {
            ..=MAX_REJECTED => {
                let (name, peer) = (name.map(Into::into), Some(peer));
                let of = Connection { session: None, service: None, name, peer };
                print_event(&Line::Refused { of, detail: code.name().to_owned() });
            }
            count if count == MAX_REJECTED + 1 => {
                warn("more clients are rejected in this second than are shown");
            }
            _ => {}
        }
    }

    /// The near end has named the service.
    fn open(&mut self, id: SessionId, request: &[u8], control: &mut Control<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        carrier.opening = None;
        let name = match open::parse_request(request) {
            Ok(name) => name,
            Err(detail) => return refuse(carrier, id, control, detail),
        };
        carrier.of.service = Some(name.to_owned());
        if self.far.is_stopping.load(Relaxed) {
            return refuse(carrier, id, control, "the far end is being stopped");
        }
        // The same answer, so that a client cannot find out what there is.
        let service = self.far.services.iter().find(|service| service.name == name);
        let may_use = |_: &&Service| {
            let client = carrier.of.name.as_deref().unwrap_or_default();
            self.far.grants.as_ref().is_none_or(|grants| grants.allow(client, name))
        };
        let Some(service) = service.filter(may_use) else {
            return refuse(carrier, id, control, "there is no such service for this client");
        };
        if service.is_stdio() && self.far.is_stdio_used.swap(true, Relaxed) {
            return refuse(carrier, id, control, "the service is in use");
        }
        carrier.grace = carrier.grace.min(service.grace.unwrap_or(self.far.grace));
        let (input, inputs) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let waiting = Arc::<Waiting>::default();
        carrier.task = Some(Task { input, waiting: Arc::clone(&waiting), end });
        let task = Serving {
            id,
            of: carrier.of.clone(),
            peer: carrier.peer,
            service: service.clone(),
            grace: carrier.grace,
            carried: Arc::clone(&carrier.carried),
            handle: control.handle(),
            sender: control.handle().sender(id),
            waiting,
            _runs: self.runs.clone(),
        };
        self.far.runtime.spawn(task.run(inputs, ended));
    }

    fn handle_away(
        &mut self,
        id: SessionId,
        reason: Reason,
        within: Duration,
        control: &Control<'_>,
    ) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let kept = carrier.grace.min(within);
        let (of, within_ms) = (carrier.of.clone(), Millis(kept));
        print_event(&Line::Away { of, reason, within_ms });
        carrier.outages = carrier.outages.wrapping_add(1).max(1);
        carrier.outage.store(carrier.outages, Relaxed);
        if kept < within {
            let (outage, this, handle) =
                (Arc::clone(&carrier.outage), carrier.outages, control.handle());
            self.far.runtime.spawn(async move {
                sleep(kept).await;
                if outage.load(Relaxed) == this {
                    let detail = "the outage has lasted longer than the service allows";
                    // It may have ended.
                    let _ = handle.kick_with(id, RetryHint::Never, detail);
                }
            });
        }
    }
}

/// Ends a session that is not served.
fn refuse(carrier: &Carrier, id: SessionId, control: &mut Control<'_>, detail: &str) {
    print_event(&Line::Refused { of: carrier.of.clone(), detail: detail.to_owned() });
    // It may have ended.
    let _ = control.kick_with(id, RetryHint::Never, detail);
}

/// Serves one connection.
struct Serving {
    id: SessionId,
    of: Connection,
    peer: SocketAddr,
    service: Service,
    grace: Duration,
    carried: Arc<Carried>,
    handle: Handle,
    sender: Sender,
    waiting: Arc<Waiting>,
    _runs: mpsc::Sender<()>,
}

impl Serving {
    async fn run(
        mut self,
        mut inputs: mpsc::UnboundedReceiver<Input>,
        mut ended: oneshot::Receiver<Reason>,
    ) {
        let connected = tokio::select! {
            connected = timeout(CONNECT_WITHIN, self.service.connect(self.peer)) => connected,
            _ = &mut ended => return,
        };
        let local = match connected {
            Ok(Ok(local)) => Arc::new(local),
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(_)) | Err(_) => format!("no answer within {CONNECT_WITHIN:?}"),
                };
                // The address is not for the client.
                let detail = format!("{} cannot be reached: {why}", self.service.name);
                let said = format!("cannot reach {}: {why}", self.service.to);
                print_event(&Line::Refused { of: self.of, detail: said });
                return end_session(&self.handle, self.id, &detail).await;
            }
        };
        let answer = open::answer(self.grace);
        if self.sender.send(answer).await.is_err() {
            return;
        }
        let after_ms = Millis(self.carried.lasted());
        print_event(&Line::Opened { of: self.of.clone(), after_ms, grace_ms: Millis(self.grace) });
        let Self { id, of, carried, handle, mut sender, waiting, _runs, .. } = self;
        // It is set only here.
        let _ = waiting.local.set(Arc::downgrade(&local));
        let mut input = None;
        let to_service = pass_on(&mut inputs, &mut input, &waiting, &local, &carried);
        let from_service = async {
            loop {
                let bytes = local.read().await?;
                if bytes.is_empty() {
                    // If the session has ended, `ended` says how.
                    let _ = sender.end().await;
                    return core::future::pending::<std::io::Result<()>>().await;
                }
                count(&carried.from_service, &bytes);
                if sender.send(bytes).await.is_err() {
                    return core::future::pending().await;
                }
            }
        };
        let (how, detail) = tokio::select! {
            reason = &mut ended => match reason {
                Ok(reason) => how(reason),
                Err(_) => (How::Stopped, None),
            },
            failed = to_service => (How::ResetHere, failed.err().map(|error| error.to_string())),
            failed = from_service => (How::ResetHere, failed.err().map(|error| error.to_string())),
            () = local.failed() => (How::ResetHere, None),
        };
        if how == How::Done {
            local.finish();
        }
        if how == How::ResetHere {
            end_session(&handle, id, "reset by the service").await;
            // What was not written is acknowledged when it is dropped, and that must not end the
            // session as one that is done.
            let _ = ended.await;
        }
        drop((local, input, inputs));
        print_event(&carried.closed(of, how, detail));
    }
}

/// Writes what the near end sends to the service. `input` keeps what is being written: it is
/// acknowledged when it is dropped.
async fn pass_on(
    inputs: &mut mpsc::UnboundedReceiver<Input>,
    input: &mut Option<Input>,
    waiting: &Waiting,
    local: &Local,
    carried: &Carried,
) -> std::io::Result<()> {
    while let Some(next) = inputs.recv().await {
        match &input.insert(next).data {
            Some(bytes) => {
                local.write_all(core::slice::from_ref(bytes)).await?;
                count(&carried.to_service, bytes);
            }
            None => local.end_writing().await?,
        }
        *input = None;
        // Only now: the receipts of later data follow this one.
        waiting.inputs.fetch_sub(1, Ordering::Release);
    }
    core::future::pending().await
}

/// Ends a session, so that the near end resets its connection.
async fn end_session(handle: &Handle, id: SessionId, detail: &str) {
    while let Err(CommandError::Busy) = handle.kick_with(id, RetryHint::Never, detail) {
        sleep(LOOK_EVERY).await;
    }
}

fn how(reason: Reason) -> (How, Option<String>) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no clean end")]
    match reason {
        Reason::Done => (How::Done, None),
        Reason::Bye(_) => (How::ResetThere, None),
        Reason::Shutdown => (How::Stopped, None),
        reason => (How::Lost, Some(reason.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn the_shard_writes_to_the_service_only_while_nothing_waits() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, mut service) = UnixStream::pair().unwrap();
            let local = Arc::new(Local::Unix(stream));
            let (input, mut inputs) = mpsc::unbounded_channel();
            let task = Task { input, waiting: Arc::default(), end: oneshot::channel().0 };
            let carried = Carried::new();
            // The service is not connected yet.
            task.pass_on(b"one", None, &carried);
            task.waiting.local.set(Arc::downgrade(&local)).unwrap();
            task.pass_on(b"two", None, &carried);
            let mut got = [0; 6];
            let mut input = None;
            tokio::select! {
                _ = pass_on(&mut inputs, &mut input, &task.waiting, &local, &carried) => {}
                read = service.read_exact(&mut got) => drop(read.unwrap()),
            }
            assert_eq!(&got, b"onetwo");

            task.pass_on(b"three", None, &carried);
            assert!(inputs.try_recv().is_err());
            service.read_exact(&mut got[..5]).await.unwrap();
            assert_eq!(&got[..5], b"three");
            assert_eq!(carried.to_service.load(Relaxed), 11);

            // More than the socket takes, and what comes behind it.
            task.pass_on(&vec![7; 4 << 20], None, &carried);
            task.pass_on(b"four", None, &carried);
            let lens: Vec<_> = core::iter::from_fn(|| inputs.try_recv().ok())
                .map(|input| input.data.unwrap().len())
                .collect();
            let written = usize::try_from(carried.to_service.load(Relaxed)).unwrap() - 11;
            assert!(written > 0);
            assert_eq!(lens, [(4 << 20) - written, 4]);
        });
    }
}
