//! Many healthy connections: over links that lose packets, and with a server that is paused.

use core::time::Duration;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, ensure};
use heartwire_core::{Policy, Preset, Side};
use heartwire_plan::End;
use rustix::process::Signal;

use super::detector::{BEAT, TIMEOUT, flags};
use super::experiment::Lab;
use super::fault::PAUSE;
use super::herd;
use super::namespace::this_program;
use super::program::{Program, Telling, Told};
use super::topology::{SERVER, Topology};

/// How long a herd may take to connect, and to disconnect.
const PATIENCE: Duration = Duration::from_secs(60);

/// Many healthy connections under a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Herd {
    pub(super) trial: Trial,
    pub(super) clients: u32,
    pub(super) time: Duration,
}

/// A trouble of healthy connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// This percentage of packets is lost, in each direction.
    Loss { percent: u32, preset: Preset },
    /// The server is paused for a while, and all clients keep sending beats.
    Pause,
}

/// The result.
#[derive(Clone, Debug)]
pub(super) struct HerdRecord {
    pub(super) herd: Herd,
    /// How long the trouble lasted and was observed.
    pub(super) took: Duration,
    /// Beats that came to the server, and to the clients.
    pub(super) beats: [u64; 2],
    /// Clients that the server declared dead, and those that declared the server dead: all wrongly.
    pub(super) dead: [u64; 2],
    /// Connections that ended for another reason.
    pub(super) otherwise: u64,
    /// Pauses that the server noticed.
    pub(super) pauses: u64,
}

impl HerdRecord {
    /// Whether it is as promised. What is not promised is published as it is.
    pub(super) fn is_right(&self) -> bool {
        match self.herd.trial {
            Trial::Loss { percent, preset: Preset::Default } if percent <= 5 => {
                self.false_verdicts() == 0
            }
            Trial::Loss { .. } => true,
            Trial::Pause => self.false_verdicts() == 0 && self.otherwise == 0 && self.pauses > 0,
        }
    }

    pub(super) const fn false_verdicts(&self) -> u64 {
        let [by_server, by_clients] = self.dead;
        by_server.saturating_add(by_clients)
    }
}

impl Trial {
    /// What the lab tries.
    pub(super) const ALL: [Self; 7] = [
        Self::Pause,
        Self::Loss { percent: 1, preset: Preset::Default },
        Self::Loss { percent: 5, preset: Preset::Default },
        Self::Loss { percent: 20, preset: Preset::Default },
        Self::Loss { percent: 1, preset: Preset::Fast },
        Self::Loss { percent: 5, preset: Preset::Fast },
        Self::Loss { percent: 20, preset: Preset::Fast },
    ];

    /// The protocol version: the default, or the tutorial's where only one end sends beats.
    const fn protocol(self) -> &'static str {
        match self {
            Self::Loss { .. } => "v1",
            Self::Pause => "v0",
        }
    }

    fn policy(self, side: Side) -> anyhow::Result<Policy> {
        let policy = match (self, side) {
            (Self::Loss { preset, .. }, _) => return Ok(preset.policy(side)),
            // The clients must not be the ones that give up.
            (Self::Pause, Side::Client) => Policy::builder().interval(BEAT),
            (Self::Pause, Side::Server) => Policy::builder().timeout(TIMEOUT).peer_interval(BEAT),
        };
        Ok(policy.build()?)
    }
}

impl Herd {
    /// Keeps it for its time.
    pub(super) fn run(&self, lab: &Lab, number: usize) -> anyhow::Result<HerdRecord> {
        self.try_run(lab, number).with_context(|| format!("a herd: {:?}", self.trial))
    }

    fn try_run(&self, lab: &Lab, number: usize) -> anyhow::Result<HerdRecord> {
        let topology = Topology::make(lab.maker, number, None)?;
        let (tell, told) = mpsc::channel();
        let mut telling = Telling::new(told, lab.stop.clone());
        let protocol = self.trial.protocol();
        let mut args = flags(&End::new(self.trial.policy(Side::Server)?));
        args.push(format!("--protocol={protocol}"));
        args.extend([format!("--listen={SERVER}"), "--events=verdict,offline".to_owned()]);
        let server = Program::serve(&topology.server, &lab.heartwire, &args, &tell)?;
        telling.expect(Side::Server, "listening", PATIENCE)?;
        let args =
            herd::Args::typed(SERVER, protocol, self.clients, &self.trial.policy(Side::Client)?);
        let program = this_program()?;
        let side = Side::Client;
        let mut clients = Program::part(side, &topology.client, &program, "herd", &args, &tell)?;
        telling.expect(Side::Client, "all_online", PATIENCE)?;

        let start = Instant::now();
        match self.trial {
            Trial::Loss { percent, .. } => {
                let lose = |from| format!("iifname {from} numgen random mod 100 < {percent} drop");
                topology.add_rules(&[&lose("client"), &lose("server")])?;
                telling.listen_for(self.time)?;
                topology.clear_rules()?;
            }
            Trial::Pause => {
                telling.listen_for(BEAT * 2)?;
                server.signal(Signal::STOP)?;
                telling.listen_for(PAUSE)?;
                server.signal(Signal::CONT)?;
                telling.listen_for(TIMEOUT + BEAT * 2)?;
            }
        }
        // What is retransmitted still arrives, before the goodbyes.
        telling.listen_for(BEAT)?;
        let (counted, took) = (telling.so_far.len(), start.elapsed());
        clients.end_input();
        telling.expect(Side::Client, "done", PATIENCE)?;
        server.signal(Signal::TERM)?;
        telling.expect(Side::Server, "stopped", PATIENCE)?;
        self.count(&telling, counted, took)
    }

    /// Counts the events. Those after the first `counted` belong to the end of the herd.
    fn count(
        &self,
        telling: &Telling,
        counted: usize,
        took: Duration,
    ) -> anyhow::Result<HerdRecord> {
        let during = telling.so_far.iter().take(counted);
        let ends = || during.clone().filter(|told| told.event == "offline");
        let dead = |side| {
            let dead = ends().filter(|told| told.side == side && told.text("reason") == "dead");
            u64::try_from(dead.count())
        };
        let otherwise = u64::try_from(ends().filter(|told| told.text("reason") != "dead").count())?;
        let all = telling.so_far.iter();
        let beats = |side, event| {
            let told = all.clone().filter(|told| told.side == side && told.event == event);
            told.map(Told::beats).sum()
        };
        let beats = [beats(Side::Server, "offline"), beats(Side::Client, "done")];
        ensure!(beats != [0, 0], "no beat was heard");
        let paused = all.filter(|told| told.side == Side::Server && told.event == "paused");
        Ok(HerdRecord {
            herd: *self,
            took,
            beats,
            dead: [dead(Side::Server)?, dead(Side::Client)?],
            otherwise,
            pauses: u64::try_from(paused.count())?,
        })
    }
}
