//! One application over one carrier, and what became of it.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use super::app::{App, Work, copy_name};
use super::carrier::Carrier;
use super::files::checksum;
use super::process::Running;
use super::seen::{Reading, Seen, read};
use super::service::sql;
use super::trial::{TICK, Trial};
use crate::net::topology::Topology;

/// How long scp and pg_dump take without a fault.
const TRANSFER: Duration = Duration::from_secs(20);

/// What became of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It got everything; the longest time without data.
    Survived { gap: Duration },
    /// Its client ended, so long after the fault began, with its last words.
    Ended { after: Duration, said: String },
    /// Its client went on without some of the data, or with other data.
    Wrong { how: String },
    /// It had not got everything when the time was over.
    Hung,
}

/// An application over a carrier.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) app: App,
    pub(super) carrier: Carrier,
    /// Until there is an outcome.
    programs: Option<Programs>,
    reading: Reading,
    /// Numbers that were sent so far, if this cell sends them itself.
    asked: u64,
    /// What is copied by scp, at the server.
    copy: Option<PathBuf>,
    /// The number that has to arrive.
    goal: Option<u64>,
    has_typed_last: bool,
    pub(super) outcome: Option<Outcome>,
}

#[derive(Debug)]
struct Programs {
    client: Running,
    feeder: Option<Running>,
}

/// What a cell has to know at each step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'a> {
    pub(super) topology: &'a Topology,
    /// When the fault began, once it has.
    pub(super) fault_at: Option<Instant>,
    /// The work ends when everything so far has arrived.
    pub(super) is_finishing: bool,
    /// Numbers that all clients of Redis were sent so far.
    pub(super) fed: u64,
    pub(super) dump_sha256: [u8; 32],
}

impl Cell {
    /// Starts its client.
    pub(super) fn start(
        app: App,
        carrier: Carrier,
        trial: &Trial<'_>,
        topology: &Topology,
    ) -> anyhow::Result<Self> {
        let per_second = trial.args.bytes / TRANSFER.as_secs();
        let name = format!("{}-{}", app.name(), carrier.name());
        let mut command = app.client(&topology.client, trial, carrier, per_second);
        let mut client = Running::client(&mut command, trial.log(&name))?;
        let paced = (app.work() == Work::Download).then_some(per_second / 2);
        let reading = read(client.output()?, paced);
        if let Some(line) = app.first_line() {
            client.type_line(line);
        }
        let feeder = app
            .feeder(&topology.client, carrier)
            .map(|mut feeder| Running::feeder(&mut feeder, trial.log(&format!("{name}-feeder"))));
        let copy = (app.work() == Work::Upload).then(|| trial.files.path(&copy_name(carrier)));
        Ok(Self {
            app,
            carrier,
            programs: Some(Programs { client, feeder: feeder.transpose()? }),
            reading,
            asked: 0,
            copy,
            goal: None,
            has_typed_last: false,
            outcome: None,
        })
    }

    /// Whether data has come.
    pub(super) fn has_begun(&self) -> bool {
        let seen = self.reading.seen();
        match self.app.work() {
            Work::Dialogue | Work::Feed => seen.latest > 0,
            Work::Upload | Work::Download => seen.bytes > 0,
        }
    }

    /// The last words of its client.
    pub(super) fn last_words(&self) -> String {
        self.programs.as_ref().map(|programs| programs.client.last_words()).unwrap_or_default()
    }

    /// The longest time without data counts from now on.
    pub(super) fn handle_fault(&self) {
        self.reading.seen().gap = Duration::ZERO;
    }

    /// Does what is due, and looks for an outcome.
    pub(super) fn step(&mut self, trial: &Trial<'_>, now: Now<'_>) -> anyhow::Result<()> {
        let Some(programs) = &mut self.programs else { return Ok(()) };
        match self.app.work() {
            Work::Dialogue => {
                let seen = self.reading.seen();
                if seen.latest == self.asked && seen.last_at.elapsed() >= TICK {
                    if !now.is_finishing {
                        self.asked += 1;
                        programs.client.type_line(&self.app.question(self.asked));
                    } else if !self.has_typed_last {
                        self.has_typed_last = true;
                        programs.client.type_line(self.app.last_line());
                        programs.client.end_input();
                    }
                }
            }
            Work::Feed => {
                if let Some(feeder) = &mut programs.feeder {
                    self.asked += 1;
                    feeder.type_line(&format!("{}{}", super::seen::MARK, self.asked));
                }
                if now.is_finishing {
                    let sent = if programs.feeder.is_some() { self.asked } else { now.fed };
                    self.goal.get_or_insert(sent);
                }
            }
            Work::Upload => {
                let len = self.copy.as_ref().and_then(|copy| fs::metadata(copy).ok());
                let mut seen = self.reading.seen();
                let more = len.map_or(0, |len| len.len()).saturating_sub(seen.bytes);
                if more > 0 {
                    seen.handle_data(more);
                }
            }
            Work::Download => {}
        }
        let feeder_exit = programs.feeder.as_mut().map(Running::exit).transpose()?.flatten();
        let exit = programs.client.exit()?;
        let is_over = self.reading.seen().is_over;
        let outcome = match exit.filter(|_| is_over).or(feeder_exit) {
            Some(status) => Some(self.judge_exit(trial, now, status)?),
            None => self.judge_feed(),
        };
        if outcome.is_some() {
            self.end_with(outcome);
        }
        Ok(())
    }

    /// Time is over.
    pub(super) fn give_up(&mut self) {
        if self.outcome.is_none() {
            self.end_with(Some(Outcome::Hung));
        }
    }

    fn end_with(&mut self, outcome: Option<Outcome>) {
        self.outcome = outcome;
        self.programs = None;
        if let Some(copy) = &self.copy {
            // There may be none.
            let _ = fs::remove_file(copy);
        }
    }

    fn judge_feed(&self) -> Option<Outcome> {
        let goal = self.goal?;
        let seen = self.reading.seen();
        (seen.latest >= goal).then(|| self.judge_numbers(&seen))
    }

    fn judge_numbers(&self, seen: &Seen) -> Outcome {
        let how = match (seen.missing, seen.repeated) {
            (0, 0) => return Outcome::Survived { gap: seen.gap },
            (missing, 0) => format!("went on, {missing} messages lost"),
            (missing, repeated) => format!("went on, {missing} messages lost, {repeated} again"),
        };
        Outcome::Wrong { how }
    }

    fn judge_exit(
        &self,
        trial: &Trial<'_>,
        now: Now<'_>,
        status: ExitStatus,
    ) -> anyhow::Result<Outcome> {
        let seen = self.reading.seen();
        let is_whole = match self.app.work() {
            Work::Dialogue => self.has_typed_last && seen.latest == self.asked,
            Work::Feed => false,
            Work::Upload | Work::Download => true,
        };
        if !status.success() || !is_whole {
            let after = now.fault_at.map_or(Duration::ZERO, |at| at.elapsed());
            return Ok(Outcome::Ended { after, said: self.last_words() });
        }
        let is_right = match self.app {
            App::Ssh | App::RedisMonitor | App::RedisPubsub | App::Mqtt => true,
            App::Psql => {
                let rows = sql(
                    &now.topology.server,
                    &format!(
                        "SELECT count(*), min(number), max(number) FROM numbers
                         WHERE carrier = '{}';",
                        self.carrier.name()
                    ),
                )?;
                rows.trim() == format!("{0}|1|{0}", self.asked)
            }
            App::Scp => {
                let copy = self.copy.as_ref().map(|copy| checksum(copy)).transpose()?;
                copy == Some(trial.files.source_sha256)
            }
            App::PgDump => seen.checksum() == now.dump_sha256,
        };
        if !is_right {
            return Ok(Outcome::Wrong { how: "ended well with other data".to_owned() });
        }
        Ok(self.judge_numbers(&seen))
    }
}
