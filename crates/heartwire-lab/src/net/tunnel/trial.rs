//! One fault: all applications over all carriers at once.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{bail, ensure};

use super::app::{App, CHANNEL};
use super::args::Args;
use super::carrier::Carrier;
use super::cell::{Cell, Now, Outcome};
use super::fault::Fault;
use super::files::Files;
use super::process::Running;
use super::seen::MARK;
use super::service::{STARTS_WITHIN, Service, fill_postgres, listening, sql};
use crate::net::cuts::Kind;
use crate::net::namespace::{Maker, Namespace};
use crate::net::stop::Stop;
use crate::net::topology::Topology;

/// How often something is typed, and looked at.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long all clients may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// How long they work before the fault.
const SETTLE: Duration = Duration::from_secs(3);

/// How long they work after it.
const WORK_ON: Duration = Duration::from_secs(10);

/// One fault of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial<'a> {
    pub(super) args: &'a Args,
    pub(super) fault: Fault,
    pub(super) files: &'a Files,
    pub(super) heartwire: &'a Path,
    pub(super) stop: &'a Stop,
}

/// What became of one application over one carrier.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) fault: Fault,
    pub(super) app: App,
    pub(super) carrier: Carrier,
    pub(super) outcome: Outcome,
}

/// All programs of a trial. They end in this order, and then the namespaces go.
struct Stage<'a> {
    trial: Trial<'a>,
    cells: Vec<Cell>,
    feeder: Option<Running>,
    fed: u64,
    dump_sha256: [u8; 32],
    fault_at: Option<Instant>,
    is_finishing: bool,
    _carriers: Vec<Running>,
    _servers: Vec<Running>,
    topology: Topology,
}

impl Trial<'_> {
    pub(super) fn run(self, maker: Maker, number: usize) -> anyhow::Result<Vec<Record>> {
        let mut stage = Stage::start(self, maker, number)?;
        stage.begin()?;
        stage.work(SETTLE)?;
        if let Some(cell) = stage.cells.iter().find(|cell| cell.outcome.is_some()) {
            bail!("{} before the fault: {:?}", name(cell), cell.outcome);
        }
        let kind = self.fault.kind();
        stage.cells.iter().for_each(Cell::handle_fault);
        stage.fault_at = Some(Instant::now());
        kind.make(&stage.topology, 0)?;
        if kind.is_outage() {
            stage.work(self.args.down)?;
            kind.heal(&stage.topology)?;
        }
        let until = Instant::now() + self.args.wait;
        stage.work(WORK_ON)?;
        stage.is_finishing = true;
        while Instant::now() < until && stage.cells.iter().any(|cell| cell.outcome.is_none()) {
            stage.work(TICK)?;
        }
        stage.cells.iter_mut().for_each(Cell::give_up);
        Ok(stage.records())
    }

    /// Where a program's standard error goes.
    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.files.log(&format!("{}-{program}", self.fault.name()))
    }
}

impl<'a> Stage<'a> {
    /// Starts everything but the clients.
    fn start(trial: Trial<'a>, maker: Maker, number: usize) -> anyhow::Result<Self> {
        let args = trial.args;
        let topology = Topology::make(maker, number, None)?;
        Kind::prepare(&topology)?;
        let services = args.services();
        let mut servers = Vec::new();
        for service in &services {
            let log = trial.log(service.name());
            servers.push(service.start(&topology.server, trial.files, log)?);
        }
        for service in &services {
            wait_for_port(trial, &topology.server, "", *service, &mut servers)?;
        }
        let mut dump_sha256 = [0; 32];
        if services.contains(&Service::Postgres) {
            let until = Instant::now() + STARTS_WITHIN;
            while let Err(error) = sql(&topology.server, "SELECT 1;") {
                ensure!(Instant::now() < until, error.context("PostgreSQL does not start"));
                thread::sleep(TICK);
            }
            dump_sha256 = fill_postgres(&topology.server, args.bytes / 2)?;
        }
        let mut carriers = Vec::new();
        let carried = args.carried();
        for carrier in args.carriers() {
            carriers.extend(carrier.start(&trial, &topology, &carried)?);
            if carrier != Carrier::Plain {
                for service in &carried {
                    let host = carrier.host();
                    wait_for_port(trial, &topology.client, host, *service, &mut carriers)?;
                }
            }
        }
        let feeder = services.contains(&Service::Redis).then(|| {
            let mut command = topology.server.lasting_command("redis-cli");
            Running::feeder(&mut command, trial.log("redis-feeder"))
        });
        Ok(Self {
            trial,
            cells: Vec::new(),
            feeder: feeder.transpose()?,
            fed: 0,
            dump_sha256,
            fault_at: None,
            is_finishing: false,
            _carriers: carriers,
            _servers: servers,
            topology,
        })
    }

    /// Starts the clients, and waits until all of them work. Transfers are last, so that the fault
    /// comes early in them.
    fn begin(&mut self) -> anyhow::Result<()> {
        let (transfers, others): (Vec<App>, Vec<App>) =
            self.trial.args.apps().into_iter().partition(|app| app.is_transfer());
        for apps in [others, transfers] {
            for app in apps {
                for carrier in self.trial.args.carriers() {
                    self.cells.push(Cell::start(app, carrier, &self.trial, &self.topology)?);
                }
            }
            self.wait_for_data()?;
        }
        Ok(())
    }

    fn wait_for_data(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + BEGIN_WITHIN;
        loop {
            self.work(TICK)?;
            let Some(cell) = self.cells.iter().find(|cell| !cell.has_begun()) else {
                return Ok(());
            };
            if cell.outcome.is_some() || Instant::now() >= until {
                let said = match &cell.outcome {
                    Some(outcome) => format!("{outcome:?}"),
                    None => cell.last_words(),
                };
                bail!("{} does not begin: {said}", name(cell));
            }
        }
    }

    /// Lets all clients work for a while.
    fn work(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        loop {
            if self.trial.stop.is_asked() {
                bail!("stopped");
            }
            if let Some(feeder) = &mut self.feeder {
                self.fed += 1;
                feeder.type_line(&format!("PUBLISH {CHANNEL} {MARK}{}", self.fed));
            }
            let now = Now {
                topology: &self.topology,
                fault_at: self.fault_at,
                is_finishing: self.is_finishing,
                fed: self.fed,
                dump_sha256: self.dump_sha256,
            };
            for cell in &mut self.cells {
                cell.step(&self.trial, now)?;
            }
            thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        let fault = self.trial.fault;
        let record = |cell: &Cell| {
            let outcome = cell.outcome.clone()?;
            Some(Record { fault, app: cell.app, carrier: cell.carrier, outcome })
        };
        self.cells.iter().filter_map(record).collect()
    }
}

fn name(cell: &Cell) -> String {
    format!("{} over {}", cell.app.name(), cell.carrier.title())
}

/// Waits until a program listens at the port of that service, at an address or at any.
fn wait_for_port(
    trial: Trial<'_>,
    namespace: &Namespace,
    host: &str,
    service: Service,
    programs: &mut [Running],
) -> anyhow::Result<()> {
    let wanted = format!("{host}:{} ", service.port());
    let until = Instant::now() + STARTS_WITHIN;
    while !listening(namespace)?.contains(&wanted) {
        if trial.stop.is_asked() {
            bail!("stopped");
        }
        for program in &mut *programs {
            if let Some(status) = program.exit()? {
                bail!("a program ended before all listened: {status}: {}", program.last_words());
            }
        }
        if Instant::now() >= until {
            let said: Vec<String> = programs.iter().map(Running::last_words).collect();
            bail!("nothing listens on {wanted}within {STARTS_WITHIN:?}: {}", said.join("; "));
        }
        thread::sleep(TICK);
    }
    Ok(())
}
