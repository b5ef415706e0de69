//! The pairs of processes, each a server and its clients, as the command sees them.

use core::time::Duration;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::answer::{Answer, Order};
use super::room::Layout;
use super::run::Plan;
use crate::net::stop::Stop;

/// How often the command looks whether it was asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the processes may take to close their connections.
const END_WITHIN: Duration = Duration::from_secs(60);

/// What all pairs said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) connected: u32,
    pub(super) open: u32,
}

/// All pairs. They end when this is dropped, and also when this process is killed.
pub(super) struct Pairs<'a> {
    pairs: Vec<Pair>,
    /// The number of the pair; `None` when it has ended.
    answers: Receiver<(usize, Option<Answer>)>,
    stop: &'a Stop,
}

struct Pair {
    child: Child,
    orders: Option<ChildStdin>,
    /// Its server, which the process of clients ends, unless it is killed itself. Not a process id,
    /// which may by then be that of another process.
    server: Option<OwnedFd>,
    now: Now,
}

impl<'a> Pairs<'a> {
    /// Starts them. Each says [`Answer::Ready`] when its server listens.
    pub(super) fn start(plan: &Plan, layout: &Layout, stop: &'a Stop) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let (sender, answers) = channel();
        let mut this = Self { pairs: Vec::new(), answers, stop };
        for number in 0..layout.pairs {
            let sessions = layout.part(layout.sessions, number).len();
            let mut command = Command::new(&program);
            command.arg("crowd-clients").args(plan.typed(number, sessions));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            // Ctrl-C is for the command, which ends them.
            command.process_group(0);
            let mut child = command.spawn().context("cannot start the clients")?;
            let orders = child.stdin.take();
            let output = BufReader::new(child.stdout.take().context("no output")?);
            let index = this.pairs.len();
            this.pairs.push(Pair { child, orders, server: None, now: Now::default() });
            let sender = sender.clone();
            thread::Builder::new().stack_size(1 << 17).spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    let Ok(answer) = serde_json::from_str(&line) else { break };
                    let _ = sender.send((index, Some(answer)));
                }
                let _ = sender.send((index, None));
            })?;
        }
        Ok(this)
    }

    /// Gives each pair an order, which may depend on its number.
    pub(super) fn order(&mut self, order: impl Fn(u32) -> Order) -> anyhow::Result<()> {
        for (pair, number) in self.pairs.iter_mut().zip(0..) {
            let orders = pair.orders.as_mut().context("no input")?;
            writeln!(orders, "{}", json!(order(number))).context("a process of clients is gone")?;
        }
        Ok(())
    }

    /// Waits until every pair has given an answer that `pick` takes.
    pub(super) fn collect<T>(
        &mut self,
        within: Duration,
        what: &str,
        pick: impl Fn(Answer) -> Option<T>,
        mut tick: impl FnMut(Now),
    ) -> anyhow::Result<Vec<T>> {
        let (deadline, mut picked) = (Instant::now() + within, Vec::new());
        while picked.len() < self.pairs.len() {
            ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
            picked.extend(self.hear()?.and_then(&pick));
            tick(self.now());
        }
        Ok(picked)
    }

    /// Waits until `is_over`, or for so long.
    pub(super) fn watch(
        &mut self,
        within: Duration,
        mut is_over: impl FnMut(Now) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !is_over(self.now()) && Instant::now() < deadline {
            self.hear()?;
        }
        Ok(())
    }

    /// The next answer, if there is one soon.
    fn hear(&mut self) -> anyhow::Result<Option<Answer>> {
        ensure!(!self.stop.is_asked(), "asked to stop");
        let (index, answer) = match self.answers.recv_timeout(LOOK_EVERY) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("all processes of clients have ended"),
        };
        let answer = answer.context("a process of clients has ended")?;
        let pair = self.pairs.get_mut(index).context("no such pair")?;
        match &answer {
            Answer::Ready { server } => {
                let pid = Pid::from_raw(i32::try_from(*server)?).context("no server")?;
                pair.server = Some(pidfd_open(pid, PidfdFlags::empty())?);
            }
            &Answer::Now { connected, open } => pair.now = Now { connected, open },
            Answer::Connected | Answer::Measured(_) | Answer::Judged(_) => {}
        }
        Ok(Some(answer))
    }

    fn now(&self) -> Now {
        self.pairs.iter().fold(Now::default(), |all, Pair { now, .. }| Now {
            connected: all.connected + now.connected,
            open: all.open + now.open,
        })
    }
}

impl Drop for Pairs<'_> {
    fn drop(&mut self) {
        // At the end of its input each closes its connections and ends its server; all at once.
        for pair in &mut self.pairs {
            pair.orders = None;
        }
        let deadline = Instant::now() + END_WITHIN;
        for Pair { child, server, .. } in &mut self.pairs {
            while child.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > deadline {
                    let _ = child.kill();
                }
                thread::sleep(Duration::from_millis(10));
            }
            if let Some(server) = server {
                // Usually it has ended.
                let _ = pidfd_send_signal(server, Signal::KILL);
            }
        }
    }
}
