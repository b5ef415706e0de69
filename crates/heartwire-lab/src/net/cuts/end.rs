//! Both ends of the sessions that are cut: what they have in common. Each is a process of its own,
//! in its namespace.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::Context;
use heartwire::Policy;
use heartwire_core::Side;
use serde_json::{Value, json};

use super::stream::{Faults, Frames, Sink, Source, Total};

/// How often an end prints its counts.
const COUNT_EVERY: Duration = Duration::from_millis(20);

/// Most different reasons that an end prints: the first ones.
const MAX_REASONS: usize = 20;

/// What both ends are told.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::net) struct Args {
    /// The end to play.
    #[command(subcommand)]
    pub(super) end: End,
    /// Number of sessions.
    #[arg(long = "clients")]
    pub(super) sessions: u32,
    /// How much each of them sends, each way.
    #[arg(long)]
    pub(super) bytes: u64,
    /// The seed of what they send.
    #[arg(long)]
    pub(super) seed: u64,
    /// Interval of each end.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) interval: Duration,
    /// Timeout of each end.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    /// The client's timeout to connect, and then for the handshake.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) handshake: Duration,
    /// Where `cert.pem` and `key.pem` are, to use TLS.
    #[arg(long)]
    pub(super) tls: Option<PathBuf>,
    /// Sessions can be resumed, with this window.
    #[arg(long)]
    pub(super) window: Option<u32>,
    /// And this grace.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub(super) enum End {
    Client,
    Server,
}

impl Args {
    /// What makes [`Part::Cut`](crate::net::args::Part::Cut) do this.
    pub(super) fn typed(&self, side: Side) -> Vec<String> {
        let time = |time: Duration| format!("{}ms", time.as_millis());
        let mut args = vec![
            format!("--clients={}", self.sessions),
            format!("--bytes={}", self.bytes),
            format!("--seed={}", self.seed),
            format!("--interval={}", time(self.interval)),
            format!("--timeout={}", time(self.timeout)),
            format!("--handshake={}", time(self.handshake)),
            format!("--grace={}", time(self.grace)),
        ];
        args.extend(self.tls.as_ref().map(|folder| format!("--tls={}", folder.display())));
        args.extend(self.window.map(|window| format!("--window={window}")));
        args.push(match side {
            Side::Client => "client".to_owned(),
            Side::Server => "server".to_owned(),
        });
        args
    }

    pub(super) fn policy(&self) -> anyhow::Result<Policy> {
        Ok(Policy::builder().interval(self.interval).timeout(self.timeout).build()?)
    }
}

/// Plays one end until its input ends.
pub(in crate::net) fn run(args: &Args) -> anyhow::Result<()> {
    match args.end {
        End::Client => super::client::run(args),
        End::Server => super::server::run(args),
    }
}

/// What all sessions of an end have sent and got.
#[derive(Debug)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    tally: Mutex<Tally>,
}

/// Both directions of one session.
#[derive(Debug)]
struct Stream {
    source: Mutex<Source>,
    sink: Mutex<Sink>,
}

/// The events of all sessions of an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sessions that began.
    pub(super) online: u64,
    /// How often one lost its connection, and how often one had a new one.
    pub(super) away: u64,
    pub(super) back: u64,
    /// When one was back last, in µs since 1970.
    pub(super) back_at: u64,
    /// Sessions that ended before they were closed.
    pub(super) offline: u64,
    /// Attempts to connect that failed.
    failed: u64,
    /// Why they failed, and why sessions ended, and how often.
    why: BTreeMap<String, u64>,
    /// What the library reports as lost: frames that were or may have been lost.
    pub(super) undelivered: u64,
    sent_bytes: u64,
    got_bytes: u64,
    sent_frames: u64,
    got_frames: u64,
}

impl Tally {
    /// A session has a connection again.
    pub(super) fn handle_back(&mut self) {
        self.back += 1;
        self.back_at = micros(SystemTime::now());
    }

    /// A session has ended, though it was not closed.
    pub(super) fn handle_end(&mut self, why: impl ToString) {
        self.offline += 1;
        self.note(why);
    }

    /// An attempt to connect has failed.
    pub(super) fn handle_failure(&mut self, why: impl ToString) {
        self.failed += 1;
        self.note(why);
    }

    fn note(&mut self, why: impl ToString) {
        let why = why.to_string();
        if self.why.len() < MAX_REASONS || self.why.contains_key(&why) {
            *self.why.entry(why).or_default() += 1;
        }
    }
}

impl Streams {
    pub(super) fn new(args: &Args, side: Side) -> Self {
        let (here, there) = (side, super::super::both::other(side));
        let stream = |session| Stream {
            source: Mutex::new(Source::new(Frames::new(args.seed, here, session))),
            sink: Mutex::new(Sink::new(Frames::new(args.seed, there, session))),
        };
        Self { streams: (0..args.sessions).map(stream).collect(), tally: Mutex::default() }
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// A session's next frame to send, if it has sent less than `quota` bytes.
    pub(super) fn next(&self, session: usize, quota: u64) -> Option<Vec<u8>> {
        let mut source = lock(&self.streams.get(session)?.source);
        source.next(quota).map(<[u8]>::to_vec)
    }

    /// The session's next frame was accepted for sending.
    pub(super) fn handle_sent(&self, session: usize) {
        let Some(stream) = self.streams.get(session) else { return };
        let mut source = lock(&stream.source);
        let before = source.sent().bytes;
        source.handle_sent();
        let bytes = source.sent().bytes - before;
        let mut tally = self.tally();
        tally.sent_frames += 1;
        tally.sent_bytes += bytes;
    }

    /// A frame has arrived. Returns how many bytes have, in this session.
    pub(super) fn handle_frame(&self, session: usize, frame: &[u8]) -> u64 {
        let Some(stream) = self.streams.get(session) else { return 0 };
        let mut sink = lock(&stream.sink);
        sink.handle_frame(frame);
        let mut tally = self.tally();
        tally.got_frames += 1;
        tally.got_bytes += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        sink.got().bytes
    }

    pub(super) fn got(&self, session: usize) -> u64 {
        self.streams.get(session).map_or(0, |stream| lock(&stream.sink).got().bytes)
    }

    /// Prints the counts again and again, for as long as the process runs.
    pub(super) fn print_counts(&self) -> anyhow::Result<()> {
        let mut last = Tally::default();
        loop {
            thread::sleep(COUNT_EVERY);
            let tally = self.tally().clone();
            if tally != last {
                print("count", tally.object())?;
                last = tally;
            }
        }
    }

    /// Prints what came of it, as the last line.
    pub(super) fn print_done(&self) -> anyhow::Result<()> {
        let (mut sent, mut got) = (Sum::default(), Sum::default());
        let mut faults = Faults::default();
        for stream in &self.streams {
            sent.add(lock(&stream.source).sent());
            let sink = lock(&stream.sink);
            got.add(sink.got());
            faults.missing += sink.faults.missing;
            faults.repeated += sink.faults.repeated;
            faults.damaged += sink.faults.damaged;
        }
        let mut fields = self.tally().object();
        let why = self.tally().why.clone();
        for (name, value) in [
            ("sent_sha256", json!(sent.checksum())),
            ("got_sha256", json!(got.checksum())),
            ("missing", faults.missing.into()),
            ("repeated", faults.repeated.into()),
            ("damaged", faults.damaged.into()),
            ("why", json!(why)),
        ] {
            insert(&mut fields, name, value);
        }
        print("done", fields)
    }
}

impl Tally {
    fn object(&self) -> Value {
        json!({
            "online": self.online,
            "away": self.away,
            "back": self.back,
            "back_at": self.back_at,
            "offline": self.offline,
            "failed": self.failed,
            "undelivered": self.undelivered,
            "sent_frames": self.sent_frames,
            "sent_bytes": self.sent_bytes,
            "got_frames": self.got_frames,
            "got_bytes": self.got_bytes,
        })
    }
}

/// The checksum of many streams.
#[derive(Default)]
struct Sum(sha2::Sha256);

impl Sum {
    fn add(&mut self, total: &Total) {
        use sha2::Digest;
        self.0.update(total.checksum());
    }

    fn checksum(self) -> String {
        use sha2::Digest;
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The lines of the input; none when it has ended.
pub(in crate::net) fn lines() -> impl Iterator<Item = String> {
    io::stdin().lines().map_while(Result::ok)
}

pub(in crate::net) fn print(event: &str, mut fields: Value) -> anyhow::Result<()> {
    let time = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    insert(&mut fields, "time", time.into());
    insert(&mut fields, "event", event.into());
    crate::output::print(fields)
}

fn insert(fields: &mut Value, name: &str, value: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

pub(super) fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session of that name.
pub(super) fn number(name: &str) -> anyhow::Result<usize> {
    name.strip_prefix(NAME).and_then(|number| number.parse().ok()).context("an unknown client")
}

/// What the names of clients begin with; their numbers follow.
pub(super) const NAME: &str = "session-";
