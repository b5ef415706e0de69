//! One run: the clients connect, the server is looked at in one way after the other, and drains.

use core::time::Duration;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use heartwire_core::frame::BEAT;
use serde_json::Value;

use super::args::Args;
use super::http::Http;
use super::load::Running;
use super::report::{self, Drained, Lateness, Listings, Outcome, Share};
use super::server::{DRAIN, Server, TIMEOUT};
use crate::local::program;
use crate::output;
use crate::process::need_open_files;

/// The descriptors of silent clients and of everything else, besides the sessions'.
const SPARE: u32 = 512;

/// How long the server may take to accept all clients.
const ONLINE_WITHIN: Duration = Duration::from_secs(60);

/// How long the server works with requests and without them, in turn: what else happens on this
/// machine changes both.
const TURN: Duration = Duration::from_secs(2);

/// How often the page asks.
const PAGE_EVERY: Duration = Duration::from_secs(1);

/// How often `heartwire top` asks.
const TOP_EVERY: Duration = Duration::from_secs(2);

/// Beyond so many sessions the page asks for a heat map instead of all sessions.
const MOST_POINTS: u32 = 2_500;

/// Clients of v0 that the server disconnects one after the other in its drain.
const LEAVING: usize = 10;

/// Requests a second while one kind is measured.
const REQUESTS_PER_S: u32 = 50;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let silent = args.silent * u32::try_from(TIMEOUT.as_secs() + 1)?;
    need_open_files(args.sessions + silent + SPARE)?;
    let mut server = Server::start(&program(args.bin.as_deref())?)?;
    let mut load = Running::start(args, server.address)?;
    let mut lab = Lab { args, http: Http::connect(server.http)?, server: &server };
    lab.wait_for_sessions()?;
    output::say(format_args!("{} sessions", args.sessions));
    // Until the first silent clients are declared dead.
    thread::sleep(TIMEOUT + Duration::from_secs(1));

    let control = lab.lateness(|_| {
        thread::sleep(Duration::from_millis(100));
        Ok(())
    })?;
    output::say("verdicts without listings: done");
    let mut listings = Listings::default();
    let with_listings = lab.lateness(|http| list_all(http, &mut listings))?;
    output::say("verdicts beside listings: done");
    load.check(args)?;
    let scrape_ms = lab.cost_ms("/metrics")?;
    let stats_ms = lab.cost_ms("/v1/stats")?;
    output::say("scrapes and statistics: done");
    let page = lab.share(PAGE_EVERY, page(args.sessions))?;
    let top = lab.share(TOP_EVERY, |_| {
        ["/v1/stats", "/v1/sessions?sort=due&limit=20", "/v1/sessions?sort=rtt&limit=20"]
            .map(str::to_owned)
            .to_vec()
    })?;
    output::say("the page and top: done");
    load.check(args)?;
    // The clients do not close any more, so the drain lasts.
    load.rest();
    let drained = drain(&mut server)?;
    let outcome = Outcome {
        sessions: args.sessions,
        control,
        with_listings,
        listings,
        scrape_ms,
        stats_ms,
        page,
        top,
        drained,
    };
    report::print(&outcome, args.format)?;
    Ok(if outcome.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the page asks for in each second.
fn page(sessions: u32) -> impl Fn(u32) -> Vec<String> {
    move |second| {
        let mut paths = vec!["/v1/stats".to_owned()];
        if sessions <= MOST_POINTS {
            paths
                .extend((0..sessions.div_ceil(1000)).map(|_| "/v1/sessions?limit=1000".to_owned()));
        } else if second % 2 == 0 {
            paths.push("/v1/heat".to_owned());
        } else {
            paths.push("/v1/sessions?sort=due&limit=50".to_owned());
        }
        paths
    }
}

/// Asks for the longest silent 1,000 sessions, and for all by their ids, page by page.
fn list_all(http: &mut Http, listings: &mut Listings) -> anyhow::Result<()> {
    let mut ask = |path: &str| -> anyhow::Result<Option<String>> {
        let asked = Instant::now();
        let page = http.json(path)?;
        listings.slowest = listings.slowest.max(asked.elapsed());
        listings.count += 1;
        let missing = page.get("missing_shards").and_then(Value::as_array);
        ensure!(missing.is_some_and(Vec::is_empty), "{path}: shards have not answered");
        Ok(page.get("after").and_then(Value::as_str).map(str::to_owned))
    };
    ask("/v1/sessions?sort=silence&limit=1000")?;
    let mut after = ask("/v1/sessions?limit=1000")?;
    while let Some(last) = after {
        after = ask(&format!("/v1/sessions?limit=1000&after={last}"))?;
    }
    Ok(())
}

struct Lab<'a> {
    args: &'a Args,
    http: Http,
    server: &'a Server,
}

impl Lab<'_> {
    fn wait_for_sessions(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let stats = self.http.json("/v1/stats")?;
            let now = stats.pointer("/now/sessions").and_then(Value::as_u64);
            if now.context("no sessions in /v1/stats")? >= self.args.sessions.into() {
                return Ok(());
            }
            ensure!(began.elapsed() < ONLINE_WITHIN, "the server does not accept all clients");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// How late verdicts are while `meanwhile` is done again and again.
    fn lateness(
        &mut self,
        mut meanwhile: impl FnMut(&mut Http) -> anyhow::Result<()>,
    ) -> anyhow::Result<Lateness> {
        self.http = Http::connect(self.server.http)?;
        drop(self.server.take_lateness());
        let began = Instant::now();
        while began.elapsed() < self.args.time {
            meanwhile(&mut self.http)?;
        }
        Lateness::new(self.server.take_lateness()).context("no verdict came: give it more time")
    }

    /// The server's processor time for one request, in ms.
    fn cost_ms(&mut self, path: &str) -> anyhow::Result<f64> {
        let every = Duration::from_secs(1) / REQUESTS_PER_S;
        let share = self.share(every, |_| vec![path.to_owned()])?;
        Ok(share.each * 1e3)
    }

    /// How much of a processor the server needs for these requests.
    fn share(
        &mut self,
        every: Duration,
        paths: impl Fn(u32) -> Vec<String>,
    ) -> anyhow::Result<Share> {
        // The server closes a connection that has been idle.
        self.http = Http::connect(self.server.http)?;
        let turn = TURN.min(self.args.time / 2);
        let mut used = [Duration::ZERO; 2];
        let mut spent = [Duration::ZERO; 2];
        let (mut number, mut slowest) = (0, Duration::ZERO);
        while spent.iter().sum::<Duration>() < self.args.time {
            for (asks, (used, spent)) in used.iter_mut().zip(&mut spent).enumerate() {
                let (began, before) = (Instant::now(), self.server.cpu()?);
                let mut next = Duration::ZERO;
                while next < turn {
                    thread::sleep(next.saturating_sub(began.elapsed()));
                    if asks == 1 {
                        for path in paths(number) {
                            let asked = Instant::now();
                            self.http.get(&path)?;
                            slowest = slowest.max(asked.elapsed());
                        }
                        number += 1;
                    }
                    next += every;
                }
                thread::sleep(turn.saturating_sub(began.elapsed()));
                *used += self.server.cpu()?.saturating_sub(before);
                *spent += began.elapsed();
            }
        }
        let [[used_idle, used], [spent_idle, spent]] =
            [used, spent].map(|times| times.map(|time| time.as_secs_f64()));
        let idle = used_idle / spent_idle;
        // By their number, because they may have been slower than they should come.
        let each = (used - idle * spent) / f64::from(number);
        Ok(Share { idle, each, cpu: each / every.as_secs_f64(), slowest })
    }
}

/// Drains the server, and asks for its health all the while.
fn drain(server: &mut Server) -> anyhow::Result<Drained> {
    let [mut live, mut ready, mut control] =
        [Http::connect(server.http)?, Http::connect(server.http)?, Http::connect(server.http)?];
    // Clients of v0 leave one after the other, so they make the drain last.
    let mut leaving = Vec::new();
    for _ in 0..LEAVING {
        let mut client = TcpStream::connect(server.address)?;
        client.write_all(&BEAT)?;
        leaving.push(client);
    }
    thread::sleep(Duration::from_millis(500));
    let before = ready.request("GET", "/readyz", "")?.status;
    ensure!(before == 200, "the server is not ready before it drains: {before}");
    let began = Instant::now();
    let accepted = control.request("POST", "/v1/drain", &Server::authorization())?.status;
    ensure!(accepted == 202, "the drain was answered with {accepted}");
    let mut drained = Drained::default();
    // On the connections of before, as a balancer keeps them.
    loop {
        let Ok(answer) = ready.request("GET", "/readyz", "") else { break };
        drained.count_ready(answer.status);
        let Ok(answer) = live.request("GET", "/livez", "") else { break };
        drained.count_live(answer.status);
        if server.has_ended()? {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    drained.lasted = began.elapsed();
    drained.is_whole = drained.lasted >= DRAIN / 2;
    Ok(drained)
}
