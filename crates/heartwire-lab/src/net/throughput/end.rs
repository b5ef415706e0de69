//! Both ends of a connection with bulk data. Each is a process of its own, in its namespace.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Subcommand, ValueEnum};
use heartwire::client::{self, Client, ClientConfig, Events};
use heartwire::server::limits::Limits;
use heartwire::server::{Control, Event, Handler, Resume, Server, ServerConfig, SessionId};
use heartwire::tls::{ClientTls, ServerTls};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::net::cuts::{lines, print};
use crate::process::Usage;

/// The first bytes of a frame to the server: how long the answer to it shall be.
const WANT_LEN: usize = size_of::<u32>();

/// The answer to the last frame, where no other has one.
const LAST_LEN: usize = 8;

/// More than any client asks for at once.
const MAX_QUEUE: usize = 256 * 1024 * 1024;

/// What both ends are told.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::net) struct Args {
    /// The end to play.
    #[command(subcommand)]
    pub(super) end: End,
    /// The server's address.
    #[arg(long)]
    pub(super) address: String,
    /// The session can be resumed, with this window.
    #[arg(long)]
    pub(super) window: Option<u32>,
    /// Where `cert.pem` and `key.pem` are, to use TLS.
    #[arg(long)]
    pub(super) tls: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum End {
    Server,
    Client {
        direction: Direction,
        /// How much is sent.
        bytes: usize,
        /// The length of each frame.
        frame: usize,
        /// How many answers the client asks for before it has them.
        ahead: usize,
    },
}

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client, which asks for each frame.
    Down,
    /// Both ways: the server sends back as much as it gets.
    Both,
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

impl Args {
    /// What makes [`Part::Bulk`](crate::net::args::Part::Bulk) do this.
    pub(super) fn typed(&self) -> Vec<String> {
        let mut args = vec![format!("--address={}", self.address)];
        args.extend(self.window.map(|window| format!("--window={window}")));
        args.extend(self.tls.as_ref().map(|folder| format!("--tls={}", folder.display())));
        match self.end {
            End::Server => args.push("server".to_owned()),
            End::Client { direction, bytes, frame, ahead } => {
                args.extend(["client".to_owned(), direction.name().to_owned()]);
                args.extend([bytes, frame, ahead].map(|number| number.to_string()));
            }
        }
        args
    }
}

/// Plays one end: a server until its input ends, a client until everything has arrived.
pub(in crate::net) fn run(args: &Args) -> anyhow::Result<()> {
    // As `heartwire connect` does: glibc then keeps 2 MiB that were freed, and not 128 KiB.
    drop(core::hint::black_box(Vec::<u8>::with_capacity(1024 * 1024)));
    match args.end {
        End::Server => serve(args),
        End::Client { direction, bytes, frame, ahead } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(connect(args, direction, bytes / frame, frame, ahead))
        }
    }
}

fn serve(args: &Args) -> anyhow::Result<()> {
    let mut config = ServerConfig::new(args.address.parse()?)
        .threads(1)
        .limits(Limits::default().max_queue(MAX_QUEUE));
    if let Some(window) = args.window {
        config = config.resume(Resume::new().window(window).in_the_clear(true));
    }
    if let Some(folder) = &args.tls {
        config =
            config.tls(ServerTls::new(folder.join("cert.pem"), folder.join("key.pem")).load()?);
    }
    let server = Server::start(config, |_shard| Answerer::default())?;
    print("listening", json!({}))?;
    lines().for_each(drop);
    server.handle().shutdown();
    server.join()?;
    Ok(())
}

/// Answers each frame with as many bytes as it asks for.
#[derive(Debug, Default)]
struct Answerer {
    /// The lengths of the answers that are to be sent.
    owed: HashMap<SessionId, VecDeque<usize>>,
    answer: Vec<u8>,
}

impl Handler for Answerer {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other events do not matter here")]
        match event {
            Event::Data { id, data } => {
                let want = data.first_chunk().copied().map_or(0, u32::from_le_bytes);
                if let Ok(want @ 1..) = usize::try_from(want) {
                    self.owed.entry(id).or_default().push_back(want);
                    self.send(id, control);
                }
            }
            Event::Room { id } => self.send(id, control),
            Event::Offline { id, .. } => {
                self.owed.remove(&id);
            }
            _ => {}
        }
    }
}

impl Answerer {
    fn send(&mut self, id: SessionId, control: &mut Control<'_>) {
        let Some(owed) = self.owed.get_mut(&id) else { return };
        while let Some(&len) = owed.front() {
            if self.answer.len() < len {
                self.answer.resize(len, 0);
            }
            let answer = self.answer.get(..len).unwrap_or_default();
            if control.send(id, answer).is_err() {
                return;
            }
            owed.pop_front();
        }
    }
}

async fn connect(
    args: &Args,
    direction: Direction,
    count: usize,
    frame: usize,
    ahead: usize,
) -> anyhow::Result<()> {
    let resume = args.window.map(|window| client::Resume::default().window(window));
    let mut config = ClientConfig::new(args.address.as_str()).reconnect(None).resume(resume);
    if let Some(folder) = &args.tls {
        let tls = ClientTls::new().roots(folder.join("cert.pem")).server_name("localhost");
        config = config.tls(tls.load()?);
    }
    let (client, mut events) = Client::start(config);
    while let Some(event) = events.recv().await {
        if let client::Event::Online { welcome, .. } = event {
            let is_resumable = welcome.is_some_and(|welcome| welcome.resume.is_some());
            ensure!(is_resumable == args.window.is_some(), "the server does not agree to resume");
            break;
        }
    }
    let (request, answer) = match direction {
        Direction::Up => (frame, 0),
        Direction::Down => (WANT_LEN, frame),
        Direction::Both => (frame, frame),
    };
    let answers = if answer == 0 { 1 } else { count };
    let places = Arc::new(Semaphore::new(ahead));
    let taken = Arc::clone(&places);
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        for number in 1..=count {
            let want = if answer == 0 && number == count { LAST_LEN } else { answer };
            if answer > 0 {
                taken.acquire().await?.forget();
            }
            let mut body = vec![0; request];
            if let Some(head) = body.first_chunk_mut() {
                *head = u32::try_from(want)?.to_le_bytes();
            }
            client.send(body).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        anyhow::Ok(client)
    });
    take(&mut events, answers, &places).await?;
    let took = began.elapsed();
    sending.await??.close();
    while events.recv().await.is_some() {}
    let cpu = Usage::of(std::process::id())?.cpu_ns;
    print("done", json!({ "seconds": took.as_secs_f64(), "cpu_ns": cpu }))
}

/// Takes that many answers.
async fn take(events: &mut Events, answers: usize, places: &Semaphore) -> anyhow::Result<()> {
    let mut left = answers;
    while left > 0 {
        let within = Duration::from_secs(60);
        let event = tokio::time::timeout(within, events.recv()).await?.context("closed")?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "other events do not matter here")]
        match event {
            client::Event::Data(_) => {
                left -= 1;
                places.add_permits(1);
            }
            client::Event::Offline { .. } | client::Event::Away { .. } => {
                anyhow::bail!("the connection was lost: {event}");
            }
            _ => {}
        }
    }
    Ok(())
}
