//! `heartwire connect`: a client between standard input and standard output.

mod args;
mod input;
mod lines;

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use heartwire::client::{Client, ClientConfig, Event, Events, Reconnect, Resume, V1};
use heartwire::server::auth::valid_name;
use heartwire::tls::{ClientTls, SharedClientTls};
use heartwire::v1::MAX_TOKEN_LEN;
use heartwire::{FrameLimits, Policy, Reason, Side};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::exit::{Exit, Usage};
use crate::memory;
use crate::options::{PolicyArgs, PresetArg};
use crate::output::{
    Sink, Target, Text, inform, print_event, shown_on_terminal, start_stdout, warn,
};
use crate::signals::{Hangup, Look, Stop};
use crate::values::{Format, ProtocolArg, Retry, TimeOrOff};

pub(crate) use args::{ConnectArgs, EXAMPLES, FIRST_EXAMPLES};
use args::{ConnectData, ConnectTlsArgs, Offline};

use input::Input;
use lines::{Line, Outages};

/// For printing received data after a signal, when the connection is closed.
const PRINT_WITHIN: Duration = Duration::from_secs(1);

/// For reading the remaining events when nothing more is printed.
const LOOK_WITHIN: Duration = Duration::from_millis(100);

/// Checks the options and the files that they name.
pub(crate) fn check(args: &ConnectArgs) -> anyhow::Result<()> {
    let tls = args.tls.tls.then(|| load_tls(args)).transpose()?;
    protocol(args)?;
    config(args, tls).map(drop)?;
    Ok(())
}

pub(crate) fn run(args: &ConnectArgs) -> anyhow::Result<Exit> {
    memory::keep_freed();
    let tls = args.tls.tls.then(|| load_tls(args)).transpose()?;
    let may_speak_v1 = !args.raw && protocol(args)? == ProtocolArg::V0;
    let config = config(args, tls.clone())?;
    // The client has its own thread, so that reading and writing delay no heartbeat.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut stop, mut look, (client, events)) = {
        let _guard = runtime.enter();
        runtime.spawn(reload(args.token_file.clone(), tls, Hangup::listen()?));
        (Stop::listen()?, Look::listen()?, Client::start(config))
    };
    print_event(&Line::Starting {
        target: args.target(),
        policy: policy(args)?,
        outages: Outages::new(resume(args)?),
    });
    if args.promise.is_some() {
        client.promise(args.promise);
        print_event(&Line::promising(args.promise));
    }

    let output = start_stdout(Target::StdoutWhileRead, Text::new(Format::Text))?;
    let (has_tried, tried) = oneshot::channel();
    let receiver = Receiver {
        client: client.clone(),
        output: output.clone(),
        runtime: runtime.handle().clone(),
        on_data: args.on_data,
        raw: args.raw,
        on_terminal: io::stdout().is_terminal(),
        exit: Exit::Success,
        has_lost: false,
        server_has_all: None,
        may_speak_v1,
        has_tried: Some(has_tried),
    };
    let (ended, end) = oneshot::channel();
    let thread = thread::Builder::new().name("events".to_owned());
    thread.spawn(move || ended.send(receiver.run(events)))?;

    let stay = args.stay;
    let (sent, sent_all) = oneshot::channel();
    if !args.no_input {
        let input = Input::new(args, client.clone(), runtime.handle().clone());
        let thread = thread::Builder::new().name("input".to_owned());
        thread.spawn(move || {
            let sent_all = input.run();
            match &sent_all {
                Ok(()) if stay => {}
                Ok(()) => inform("exiting, because the input has ended (see --stay)"),
                Err(error) if stay => warn(format_args!("no more input: {error}")),
                // It ends the program, which then reports it.
                Err(_) => {}
            }
            sent.send(sent_all)
        })?;
    }

    let looking = client.clone();
    runtime.spawn(async move {
        loop {
            look.signal().await;
            looking.network_changed();
        }
    });
    if let Some(interval) = args.rtt {
        runtime.spawn(print_rtt(client.clone(), interval));
    }
    let exit = runtime.block_on(async {
        let how = Cell::new(None);
        // Received data is printed, however long that takes, unless a signal comes.
        let all_printed = async {
            let ended = end.await?;
            how.set(Some(ended));
            match output.close().await {
                Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(error).context("not all data could be written to standard output")
                }
                // Everything is written, or the reader has exited.
                Ok(_) | Err(_) => Ok(ended),
            }
        };
        tokio::pin!(all_printed);
        // Whether it could connect is worth waiting for, also without input.
        let input_is_over = async {
            let sent_all = sent_all.await;
            let _ = tried.await;
            sent_all
        };
        let told_to_leave = tokio::select! {
            ended = &mut all_printed => return ended.map(|(exit, _)| exit),
            () = stop.signal() => true,
            // Without a reader the connection has no purpose.
            () = output.reader_gone() => true,
            sent = input_is_over, if !stay => {
                sent??;
                false
            }
        };
        // Input that waits is lost without a connection, and sent first on one.
        let input_waits = tokio::select! {
            biased;
            () = client.flush() => false,
            () = core::future::ready(()) => true,
        };
        client.close();
        let closed_and_printed = async {
            client.closed().await;
            tokio::time::sleep(PRINT_WITHIN).await;
        };
        tokio::select! {
            ended = &mut all_printed => drop(ended?),
            () = stop.signal() => {
                let before = if told_to_leave { "a second signal" } else { "a signal" };
                warn(format_args!("stopped at once by {before}"));
            }
            () = closed_and_printed, if told_to_leave => warn(
                "nothing reads the output; exiting without the rest of it",
            ),
        }
        if how.get().is_none() {
            // The last events may be behind data that waits to be printed.
            output.abandon();
            let _ = tokio::time::timeout(LOOK_WITHIN, all_printed).await;
        }
        // The connection was cut off: the server may not have everything.
        let (exit, server_has_all) = how.get().unwrap_or((Exit::CannotConnect, Some(false)));
        let nothing_is_lost = server_has_all.unwrap_or(!input_waits);
        anyhow::Ok(if exit == Exit::Undelivered {
            exit
        } else if told_to_leave && nothing_is_lost {
            Exit::Success
        } else if exit == Exit::Success && !nothing_is_lost {
            Exit::CannotConnect
        } else {
            exit
        })
    });
    // The input thread may still wait for a line.
    runtime.shutdown_background();
    exit
}

async fn print_rtt(client: Client, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if let Some(path) = client.link_state() {
            print_event(&Line::rtt(&path));
        }
    }
}

/// Reads the files again on SIGHUP. Each attempt to connect also reads them if they have changed.
async fn reload(token_file: Option<PathBuf>, tls: Option<SharedClientTls>, mut hangup: Hangup) {
    loop {
        hangup.signal().await;
        let (token_file, tls) = (token_file.clone(), tls.clone());
        // Not on the client's thread: a file system may be slow. It never panics.
        let _ = spawn_blocking(move || read_again(token_file.as_deref(), tls.as_ref())).await;
    }
}

fn read_again(token_file: Option<&Path>, tls: Option<&SharedClientTls>) {
    if token_file.is_none() && tls.is_none() {
        inform("SIGHUP reads --token-file and the files for --tls again; none is given");
    }
    if let Some(path) = token_file {
        match read_token_and_warn(path) {
            Ok(_) => inform(format_args!("read {} again", path.display())),
            Err(Usage(error)) => warn(error),
        }
    }
    match tls.map(SharedClientTls::reload) {
        Some(Ok(())) => inform("read the certificates again"),
        Some(Err(error)) => warn(format_args!(
            "cannot read the certificates again, and go on with the old ones: {error}"
        )),
        None => {}
    }
}

fn config(args: &ConnectArgs, tls: Option<SharedClientTls>) -> Result<ClientConfig, Usage> {
    check_answers_fit(args)?;
    let policy = policy(args)?;
    let limits = FrameLimits::default().max_frame(args.max_frame).handshake_timeout(None);
    let offline_queue = match args.offline {
        Offline::Queue => true,
        Offline::Drop => false,
    };
    let mut config = ClientConfig::new(args.target())
        .watch_network()
        .policy(policy)
        .limits(limits)
        .kernel(args.kernel.options()?.buffers(args.socket_buffers))
        .connect_timeout(args.connect_timeout)
        .reconnect(reconnect(args)?)
        .offline_queue(offline_queue)
        .close_timeout(args.close_timeout)
        .max_queue(args.max_queue);
    if let Some(within) = args.handshake_timeout {
        config = config.handshake_timeout(within);
    }
    if let Some(tls) = tls {
        config = config.tls(tls);
    }
    if let Ok((grace, window)) = resume(args)? {
        config = config.resume(Resume::default().grace(grace).window(window));
    }
    if args.raw {
        return Ok(config.raw());
    }
    Ok(match protocol(args)? {
        ProtocolArg::V0 => config.v0(),
        ProtocolArg::V1 => config.v1(v1(args, &policy)?),
    })
}

/// For how long and with which window the session outlives its connection; or why it does not.
fn resume(args: &ConnectArgs) -> Result<Result<(Duration, u32), &'static str>, Usage> {
    if args.raw && args.resume.is_given() {
        return Err(Usage(
            "raw bytes have no sessions: --grace and --resume-in-the-clear need v1".to_owned(),
        ));
    }
    if args.raw {
        return Ok(Err("raw bytes"));
    }
    if protocol(args)? == ProtocolArg::V0 {
        return Ok(Err("protocol v0"));
    }
    let Some(grace) = args.resume.grace() else { return Ok(Err("--grace off")) };
    if args.retry == Retry::Never && args.resume.grace.is_none() {
        return Ok(Err("--retry never"));
    }
    if args.tls.tls || args.resume.resume_in_the_clear || is_local(&args.target) {
        Ok(Ok((grace, args.resume.window)))
    } else {
        Ok(Err("nothing is encrypted: --tls, or --resume-in-the-clear"))
    }
}

/// Whether a target is this machine: by its address, or by the name that stands for it (RFC 6761).
pub(crate) fn is_local(target: &str) -> bool {
    let with_port = target.parse().map(|address: SocketAddr| address.ip());
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let address = with_port.or_else(|_| target.trim_matches(['[', ']']).parse());
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn v1(args: &ConnectArgs, policy: &Policy) -> Result<V1, Usage> {
    let mut v1 = V1::default().offer(args.offer.offer(policy)?);
    if let Some(within) = args.watchdog {
        v1 = v1.watchdog(within);
    }
    if let Some(name) = &args.name {
        valid_name(name).map_err(|error| Usage(format!("--name: {error}")))?;
        v1 = v1.name(name);
    }
    match &args.token_file {
        Some(path) => with_token(v1, path),
        None => Ok(v1),
    }
}

/// With the token of a file, which is read again for each attempt.
pub(crate) fn with_token(v1: V1, path: &Path) -> Result<V1, Usage> {
    // The token is read now, because a pipe can be read only once.
    let v1 = v1.token(read_token_and_warn(path)?);
    let path = path.to_owned();
    let read = move || read_token(&path).map_err(|Usage(error)| io::Error::other(error));
    Ok(v1.token_source(move || read().map(String::into_bytes)))
}

fn reconnect(args: &ConnectArgs) -> Result<Option<Reconnect>, Usage> {
    match (args.retry, args.retry_rejected) {
        (Retry::Never, Some(_)) => {
            Err(Usage("--retry never and --retry-rejected contradict each other".to_owned()))
        }
        (Retry::Never, None) => Ok(None),
        (Retry::Backoff(policy), every) => {
            let reconnect = Reconnect::new(policy.max_hint(args.max_hint));
            Ok(Some(match every {
                Some(every) => reconnect.even_if_rejected(every),
                None => reconnect,
            }))
        }
    }
}

fn load_tls(args: &ConnectArgs) -> Result<SharedClientTls, Usage> {
    let ConnectTlsArgs { tls_ca, tls_server_name, tls_cert, tls_key, .. } = &args.tls;
    client_tls(tls_ca.as_ref(), tls_server_name.as_ref(), tls_cert.as_ref().zip(tls_key.as_ref()))
}

/// TLS of a client: the roots to trust, the server's name, and its own certificate with the key.
pub(crate) fn client_tls(
    tls_ca: Option<&PathBuf>,
    tls_server_name: Option<&String>,
    own: Option<(&PathBuf, &PathBuf)>,
) -> Result<SharedClientTls, Usage> {
    let mut tls = ClientTls::new();
    if let Some(roots) = tls_ca {
        tls = tls.roots(roots);
    }
    if let Some(name) = tls_server_name {
        tls = tls.server_name(name);
    }
    if let Some((certificate, key)) = own {
        tls = tls.certificate(certificate, key);
    }
    tls.load().map_err(|error| Usage(error.to_string()))
}

fn protocol(args: &ConnectArgs) -> Result<ProtocolArg, Usage> {
    let needs_v0 = args.policy.preset == PresetArg::Tutorial || args.policy.echo;
    let protocol = match args.protocol {
        Some(ProtocolArg::V1) if args.policy.echo => {
            return Err(Usage(
                "--echo answers heartbeats of protocol v0; with v1 both ends send their own"
                    .to_owned(),
            ));
        }
        Some(protocol) => protocol,
        None if needs_v0 => ProtocolArg::V0,
        None => ProtocolArg::V1,
    };
    match lacking_on_v0(args) {
        Some(what) if protocol == ProtocolArg::V0 => Err(Usage(what.to_owned())),
        Some(_) | None => Ok(protocol),
    }
}

/// An option that protocol v0 does not support.
const fn lacking_on_v0(args: &ConnectArgs) -> Option<&'static str> {
    Some(if args.name.is_some() || args.token_file.is_some() {
        "protocol v0 has neither names nor tokens: --name and --token-file need v1"
    } else if args.retry_rejected.is_some() {
        "a server of protocol v0 cannot reject a client for good: --retry-rejected needs v1"
    } else if args.rtt.is_some() {
        "protocol v0 does not measure the round trip: --rtt needs v1"
    } else if args.handshake_timeout.is_some() || args.offer.is_given() {
        "protocol v0 has no handshake: --handshake-timeout, --min-interval and --max-timeout need \
         v1"
    } else if args.resume.is_given() {
        "protocol v0 cannot resume sessions: --grace and --resume-in-the-clear need v1"
    } else if args.promise.is_some() || args.watchdog.is_some() || args.commands {
        "heartbeats of protocol v0 carry no status: --promise, --watchdog and --commands need v1"
    } else {
        return None;
    })
}

/// Reads the token, and warns if it is no secret: at the start and on SIGHUP, not at each attempt.
pub(crate) fn read_token_and_warn(path: &Path) -> Result<String, Usage> {
    let token = read_token(path)?;
    if is_world_readable(path) {
        tracing::warn!(path = %path.display(), "every user of this machine can read the token");
    }
    Ok(token)
}

/// Whether all users of this machine may read a file.
#[cfg(unix)]
pub(crate) fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_world_readable(_: &Path) -> bool {
    false
}

fn read_token(path: &Path) -> Result<String, Usage> {
    let text = fs::read_to_string(path)
        .map_err(|error| Usage(format!("cannot read the token in {}: {error}", path.display())))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        let what = if token.is_empty() { "is empty" } else { "holds more than one word" };
        return Err(Usage(format!(
            "{} {what}: it must hold the token of this client and nothing else",
            path.display()
        )));
    }
    if token.len() > MAX_TOKEN_LEN {
        return Err(Usage(format!(
            "the token in {} is longer than {MAX_TOKEN_LEN} bytes",
            path.display()
        )));
    }
    Ok(token.to_owned())
}

fn policy(args: &ConnectArgs) -> Result<Policy, Usage> {
    if !args.raw {
        return args.policy.policy(Side::Client);
    }
    // A server of raw bytes need not send any: a preset's timeout would declare healthy ones dead.
    let off = Some(TimeOrOff(None));
    let timeout = args.policy.timeout.or(off);
    PolicyArgs { interval: off, timeout, ..args.policy.clone() }.policy(Side::Client)
}

/// Refuses frames that are larger than the queue: they could not be sent back, and would be lost.
fn check_answers_fit(args: &ConnectArgs) -> Result<(), Usage> {
    let sends_back = matches!(args.on_data, ConnectData::Echo | ConnectData::Upper);
    let needed = u64::from(args.max_frame) + 8;
    let max_queue = u64::try_from(args.max_queue).unwrap_or(u64::MAX);
    if !sends_back || args.raw || max_queue >= needed {
        return Ok(());
    }
    Err(Usage(format!(
        "--on-data sends back up to {} B (--max-frame) and a header of 8 B, which do not fit into \
         a queue of {max_queue} B. Use a --max-queue of at least {needed}, or a --max-frame of at \
         most {}",
        args.max_frame,
        max_queue.saturating_sub(8)
    )))
}

/// Handles events: data goes to standard output or back, the rest to standard error.
struct Receiver {
    client: Client,
    output: Sink<Text>,
    runtime: Handle,
    on_data: ConnectData,
    raw: bool,
    /// Standard output is a terminal, which would obey control characters in data.
    on_terminal: bool,
    exit: Exit,
    /// A session ended uncleanly, and not all of the input is known to have been taken over.
    has_lost: bool,
    /// Whether the server has acknowledged everything on the last connection; `None` without one.
    server_has_all: Option<bool>,
    /// On protocol v0, until the server has sent something.
    may_speak_v1: bool,
    /// Until the first attempt to connect has succeeded or failed.
    has_tried: Option<oneshot::Sender<()>>,
}

impl Receiver {
    fn run(mut self, mut events: Events) -> (Exit, Option<bool>) {
        while let Some(event) = events.blocking_recv() {
            if let Event::Data(data) = event {
                self.may_speak_v1 = false;
                self.handle_data(data);
                continue;
            }
            self.exit = exit_after(&event).unwrap_or(self.exit);
            if matches!(event, Event::Online { .. } | Event::Failed { .. }) {
                self.has_tried.take().map(|has_tried| has_tried.send(()));
            }
            let mut ended = None;
            if let Event::Offline { reason, beats, undelivered, .. } = &event {
                let is_clean = exit_after(&event) == Some(Exit::Success);
                self.server_has_all = Some(is_clean);
                self.has_lost |= !is_clean && undelivered.frames > 0;
                ended = Some((*reason, *beats));
            } else if matches!(event, Event::Waiting { .. }) {
                // The client reconnects after that connection.
                self.server_has_all = None;
            }
            print_event(&Line::of(event));
            if let Some((reason, beats)) = ended {
                self.explain(reason, beats);
            }
        }
        (if self.has_lost { Exit::Undelivered } else { self.exit }, self.server_has_all)
    }

    /// A server that speaks only v1 closes a connection on v0 without a word.
    fn explain(&mut self, reason: Reason, beats: u64) {
        if self.may_speak_v1 && beats == 0 && reason == Reason::ClosedByPeer {
            inform(
                "the server closed the connection and sent nothing: perhaps it is full, or speaks \
                 only protocol v1 (--protocol v1)",
            );
        }
        // Once is enough.
        self.may_speak_v1 = false;
    }

    fn handle_data(&mut self, mut data: Vec<u8>) {
        match self.on_data {
            ConnectData::Discard => return,
            ConnectData::Print => {
                if self.on_terminal {
                    data = shown_on_terminal(&data, self.raw).into_bytes();
                }
                if !self.raw {
                    data.push(b'\n');
                }
                // Data is never dropped: while the reader is slow, the connection is not read. When
                // the reader exits, so does the program.
                let _ = self.output.put_when(Text::has_room, |text| text.push(data));
                return;
            }
            ConnectData::Echo => {}
            ConnectData::Upper => data.make_ascii_uppercase(),
        }
        // An error means that the connection has ended, which another event reports.
        if let Err(error) = self.runtime.block_on(self.client.send(data)) {
            tracing::debug!(%error, "could not send data back");
        }
    }
}

/// The exit code if this is the last event before the client ends.
fn exit_after(event: &Event) -> Option<Exit> {
    if let Event::Offline { reason, .. } = event {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are a lost connection")]
        return Some(match reason {
            Reason::Shutdown | Reason::Done => Exit::Success,
            Reason::Dead(_) => Exit::PeerDead,
            _ => Exit::CannotConnect,
        });
    }
    matches!(event, Event::Failed { .. }).then_some(Exit::CannotConnect)
}

#[cfg(test)]
mod tests;
