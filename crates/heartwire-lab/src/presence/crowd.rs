//! The processes of light clients, and what they are told and asked.

use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use serde::Deserialize;

use super::clients::name;
use super::node::typed;

/// Clients of one process. Each may have an older connection too, and many systems allow a process
/// 20,000 descriptors.
const PER_PROCESS: u32 = 9_000;

/// All clients. Their processes end when this is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    count: u32,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the clients say of themselves.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Answer {
    /// Connections that a node has accepted and not ended.
    pub(super) online: u32,
    /// The numbers of those that do not want to be online.
    away: Vec<u32>,
    /// How often each code of a BYE came.
    pub(super) byes: BTreeMap<String, u32>,
    /// How often the newest connection of a client ended as if it were an older one.
    pub(super) wrong: u32,
}

impl Crowd {
    /// Starts the processes. The clients connect as soon as they know nodes.
    pub(super) fn start(count: u32, seed: u64, interval: Duration) -> anyhow::Result<Self> {
        Self::start_with(count, seed, interval, |program| Command::new(program))
    }

    /// The same with commands made by `command`, as in a namespace.
    pub(super) fn start_with(
        count: u32,
        seed: u64,
        interval: Duration,
        command: impl Fn(&std::path::Path) -> Command,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let firsts = (0..count).step_by(usize::try_from(PER_PROCESS)?);
        let parts = firsts.map(|first| {
            let Range { start, end } = first..count.min(first + PER_PROCESS);
            let mut command = command(&program);
            command.args(["presence", "clients", "--first", &start.to_string()]);
            command.args(["--count", &(end - start).to_string()]);
            command.args(["--seed", &seed.wrapping_add(start.into()).to_string()]);
            command.args(["--interval", &typed(interval)]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().context("cannot start the clients")?;
            let orders = child.stdin.take().context("no input")?;
            let answers = BufReader::new(child.stdout.take().context("no output")?);
            Ok(Part { child, orders, answers })
        });
        Ok(Self { count, parts: parts.collect::<anyhow::Result<_>>()? })
    }

    /// Tells all where a node is, or that it is nowhere.
    pub(super) fn node(
        &mut self,
        number: usize,
        address: Option<SocketAddr>,
    ) -> anyhow::Result<()> {
        let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        self.order(&format!("node {number} {address}"))
    }

    /// Gives an order to all processes.
    pub(super) fn order(&mut self, order: &str) -> anyhow::Result<()> {
        for part in &mut self.parts {
            writeln!(part.orders, "{order}").context("the clients have ended")?;
        }
        Ok(())
    }

    pub(super) fn ask(&mut self) -> anyhow::Result<Answer> {
        self.order("ask")?;
        let mut all = Answer::default();
        for part in &mut self.parts {
            let mut line = String::new();
            part.answers.read_line(&mut line)?;
            let answer: Answer =
                serde_json::from_str(&line).context("the clients have not answered")?;
            all.online += answer.online;
            all.wrong += answer.wrong;
            all.away.extend(answer.away);
            for (code, count) in answer.byes {
                *all.byes.entry(code).or_default() += count;
            }
        }
        Ok(all)
    }

    /// Each name, and whether its client wants to be online.
    pub(super) fn wanted(&self, answer: &Answer) -> BTreeMap<String, bool> {
        let mut wanted: BTreeMap<String, bool> =
            (0..self.count).map(|number| (name(number), true)).collect();
        for &number in &answer.away {
            wanted.insert(name(number), false);
        }
        wanted
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It ends by itself at the end of its input, but is not waited for so long.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
