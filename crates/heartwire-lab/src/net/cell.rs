//! One cell of the matrix: a connection, a fault, and what both ends reported.

use core::hash::{Hash, Hasher};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use fastrand::Rng;
use heartwire_core::Side;

use super::both::Both;
use super::client::Client;
use super::detector::{BEAT, Detector};
use super::expect::Expected;
use super::experiment::{Conditions, Experiment, Lab};
use super::fault::{Fault, NAT_LIFETIME};
use super::impair::Profile;
use super::inject::Moments;
use super::judge::{Judgement, Seen, judge, sight};

/// How long a connection settles before the fault, and up to an interval more: the fault must be
/// able to occur at any time between two beats.
const SETTLE: Duration = Duration::from_millis(1500);

/// How long to listen after all expected events: no end may report more.
const LINGER: Duration = Duration::from_millis(500);

/// The longest bound to wait for. Longer ones are the kernel's quarter of an hour and two hours.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A fault, a detector and a client.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) fault: Fault,
    pub(super) detector: Detector,
    pub(super) client: Client,
    /// The impairments of the path, if any.
    pub(super) profile: Option<Profile>,
    /// The number of the run; the fault occurs at another time in each.
    pub(super) run: u32,
}

/// The result of a cell.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) fault: Fault,
    pub(super) detector: Detector,
    pub(super) client: Client,
    pub(super) sides: Both<SideRecord>,
}

/// The result at one end.
#[derive(Clone, Debug)]
pub(super) struct SideRecord {
    pub(super) expected: Expected,
    pub(super) seen: Seen,
    pub(super) judgement: Judgement,
}

impl Record {
    pub(super) fn is_right(&self) -> bool {
        self.sides.iter().all(|(_, side)| side.judgement.is_right())
    }
}

impl Cell {
    /// Runs it. An error means that the fault could not be made; everything that the ends report is
    /// a result.
    pub(super) fn run(
        &self,
        lab: &Lab,
        number: usize,
        seed: u64,
        observe: Duration,
    ) -> anyhow::Result<Record> {
        let what = || {
            let (fault, detector) = (self.fault.name(), self.detector.name());
            match self.client {
                Client::Connect => format!("{fault} with {detector}"),
                Client::C => format!("{fault} with {detector} and {}", self.client.name()),
            }
        };
        self.try_run(lab, number, seed, observe).with_context(what)
    }

    fn try_run(
        &self,
        lab: &Lab,
        number: usize,
        seed: u64,
        observe: Duration,
    ) -> anyhow::Result<Record> {
        let rtt = self.profile.as_ref().map_or(Duration::ZERO, Profile::round_trip);
        let nat = (self.fault == Fault::NatExpiry).then_some(NAT_LIFETIME);
        let plan = self.detector.plan(rtt, nat)?;
        let expected = Both::each(|side| Expected::of(&plan, self.fault, self.client, side));
        let conditions = Conditions {
            plan,
            client: self.client,
            protocol: self.detector.protocol(),
            fault: self.fault,
            profile: self.profile.as_ref(),
        };
        let mut experiment = Experiment::start(lab, number, conditions)?;

        let settle = SETTLE + BEAT.mul_f64(self.rng(seed).f64());
        experiment.telling.listen_for(settle)?;
        ensure!(
            experiment.telling.so_far.iter().all(|told| told.event != "offline"),
            "the connection was lost before the fault: {:?}",
            experiment.telling.so_far
        );

        let moments = experiment.inject(self.fault)?;
        let moments = self.observe(&mut experiment, moments, &expected, observe)?;
        if self.fault == Fault::NatExpiry && expected.client == Expected::Kept {
            let came = experiment.telling.so_far.iter().any(|told| told.event == "data");
            ensure!(came, "the connection was kept, and yet the line never came to the server");
        }
        let sides = Both::each(|side| self.record(side, &expected, &moments, &experiment));
        let Self { fault, detector, client, .. } = *self;
        Ok(Record { fault, detector, client, sides })
    }

    fn record(
        &self,
        side: Side,
        expected: &Both<Expected>,
        moments: &Moments,
        experiment: &Experiment,
    ) -> SideRecord {
        let (expected, fault) = (expected.of(side), moments.of(side));
        let told = &experiment.telling.so_far;
        let seen = match sight(side, expected, fault, told) {
            Some(sight) => Seen::Something(sight),
            None => {
                let during = SystemTime::now().duration_since(fault.to).unwrap_or_default();
                Seen::Nothing { during }
            }
        };
        let pauses = self.fault.pauses() == Some(side);
        let judgement = judge(side, pauses, expected, &seen, told);
        SideRecord { expected: expected.clone(), seen, judgement }
    }

    /// Listens to both ends after the fault, and takes it back if it is one that ends.
    fn observe(
        &self,
        experiment: &mut Experiment,
        mut moments: Moments,
        expected: &Both<Expected>,
        observe: Duration,
    ) -> anyhow::Result<Moments> {
        let start = Instant::now();
        let promised = expected.iter().filter_map(|(_, expected)| expected.promise());
        let latest = promised.map(|promise| promise.latest).filter(|&latest| latest < MAX_WAIT);
        let lasts = self.fault.lasts().unwrap_or_default();
        let deadline = start + observe.max(lasts + latest.max().unwrap_or_default() + BEAT);
        if self.fault.lasts().is_some() {
            // Not before it is due, whatever the ends report meanwhile.
            experiment.telling.listen_until(start + lasts, |_| false)?;
            moments = experiment.heal(self.fault, moments)?;
        }
        let asked = || expected.iter().filter(|(_, expected)| **expected != Expected::NotAsked);
        let all_said = experiment.telling.listen_until(deadline, |told| {
            // The end that was paused may still report something wrong.
            self.fault.pauses().is_none()
                && asked()
                    .all(|(side, expected)| sight(side, expected, moments.of(side), told).is_some())
        })?;
        if all_said {
            experiment.telling.listen_for(LINGER)?;
        }
        Ok(moments)
    }

    /// Draws for this cell alone, whichever others run; the same for every client.
    fn rng(&self, seed: u64) -> Rng {
        let mut hasher = DefaultHasher::new();
        (seed, self.fault, self.detector, self.run).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }
}
