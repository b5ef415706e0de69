//! Bad links that are not dead: every verdict is false, and data must arrive as it was sent.

use core::time::Duration;
use std::time::Instant;

use anyhow::Context;
use heartwire_core::Side;

use super::client::Client;
use super::detector::Detector;
use super::experiment::{Conditions, Experiment, Lab};
use super::fault::Fault;
use super::impair::Profile;
use super::program::Told;

/// How often the client sends a line. That suppresses beats, so it rests now and then.
const SAY_EVERY: Duration = Duration::from_millis(20);
/// How many lines it sends before it rests.
const BREATH: u32 = 50;
/// How long it rests: long enough for some beats.
const REST: Duration = Duration::from_millis(2500);

/// A bad link, and the test on it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) profile: Profile,
    /// How long data is sent over it.
    pub(super) time: Duration,
}

/// The result.
#[derive(Clone, Debug)]
pub(super) struct LinkRecord {
    pub(super) profile: Profile,
    pub(super) time: Duration,
    /// Lines that the client sent.
    pub(super) sent: u32,
    /// Lines that the server got, each as it was sent, in the same order.
    pub(super) arrived: u32,
    /// Why the connection ended at either end, though it was healthy.
    pub(super) lost: Vec<String>,
}

impl LinkRecord {
    pub(super) fn is_right(&self) -> bool {
        self.lost.is_empty() && self.arrived == self.sent
    }
}

/// The links that the lab tests, with random choices from `seed`. Packets are lost only because of
/// flipped bits: loss has its own [section](super::herds).
pub(super) fn profiles(seed: u64) -> Vec<Profile> {
    let ms = Duration::from_millis;
    let good = Profile { seed, ..Profile::default() };
    vec![
        Profile { delay: ms(10), ..good.clone() },
        Profile { delay: ms(100), ..good.clone() },
        Profile { delay: ms(20), jitter: ms(100), ..good.clone() },
        Profile { delay: ms(20), reorder: 10.0, ..good.clone() },
        Profile { delay: ms(20), duplicate: 10.0, ..good.clone() },
        Profile { delay: ms(20), flip: 2.0, ..good.clone() },
        Profile { delay: ms(80), jitter: ms(100), reorder: 5.0, duplicate: 2.0, flip: 1.0, ..good },
    ]
}

impl Link {
    /// Sends data over the link for its time.
    pub(super) fn run(&self, lab: &Lab, number: usize) -> anyhow::Result<LinkRecord> {
        self.try_run(lab, number).with_context(|| format!("a link: {}", self.profile))
    }

    fn try_run(&self, lab: &Lab, number: usize) -> anyhow::Result<LinkRecord> {
        let profile = &self.profile;
        let detector = Detector::ProtocolV1;
        let conditions = Conditions {
            plan: detector.plan(profile.round_trip(), None)?,
            client: Client::Connect,
            protocol: detector.protocol(),
            fault: Fault::Nothing,
            profile: Some(profile),
        };
        let mut experiment = Experiment::start(lab, number, conditions)?;
        let end = Instant::now() + self.time;
        let mut sent = 0;
        while Instant::now() < end {
            for _ in 0..BREATH {
                sent += 1;
                experiment.client.type_line(&line(sent))?;
                experiment.telling.listen_for(SAY_EVERY)?;
            }
            experiment.telling.listen_for(REST)?;
        }
        // Data in flight still arrives.
        let last = line(sent);
        let patience = Instant::now() + Duration::from_secs(10);
        let is_last = |told: &Told| said(told) == Some(last.as_str());
        experiment.telling.listen_until(patience, |told| told.iter().any(is_last))?;

        let told = &experiment.telling.so_far;
        let mut arrived = 0;
        for text in told.iter().filter_map(said) {
            if text == line(arrived + 1) {
                arrived += 1;
            }
        }
        let ends = told.iter().filter(|told| told.event == "offline");
        let lost = ends.map(|told| format!("{}: {}", end_of(told.side), told.text("detail")));
        Ok(LinkRecord {
            profile: profile.clone(),
            time: self.time,
            sent,
            arrived,
            lost: lost.collect(),
        })
    }
}

fn line(number: u32) -> String {
    format!("line {number}")
}

/// The line that the server got.
fn said(told: &Told) -> Option<&str> {
    (told.event == "data").then(|| told.text("preview").trim_matches('"'))
}

const fn end_of(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}
