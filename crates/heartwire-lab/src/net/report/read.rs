//! What the charts show, out of `faults.json`.

use core::time::Duration;

use anyhow::{Context, bail};
use heartwire_core::Side;
use serde_json::Value;

use super::{Matrix, end_of};
use crate::net::both::Both;
use crate::net::cell::{Record, SideRecord};
use crate::net::client::Client;
use crate::net::detector::Detector;
use crate::net::expect::{Expected, Promise};
use crate::net::fault::Fault;
use crate::net::judge::{How, Judgement, Seen, Sight};

/// The parts of `faults.json` that a chart shows.
pub(super) struct Figures {
    pub(super) near: Matrix,
    /// A server that was paused: how many clients it had, and how many of them it declared dead.
    pub(super) paused: Option<[u64; 2]>,
}

pub(super) fn figures(json: &str) -> anyhow::Result<Figures> {
    let data: Value = serde_json::from_str(json)?;
    let list = |key| data.get(key).and_then(Value::as_array).into_iter().flatten();
    let records = list("cells").map(record).collect::<anyhow::Result<_>>()?;
    let paused = list("herds").find_map(|herd| {
        let dead = herd.pointer("/false_verdicts/server")?.as_u64()?;
        (herd.get("trial")? == "pause").then_some([herd.get("clients")?.as_u64()?, dead])
    });
    Ok(Figures { near: Matrix { profile: None, records }, paused })
}

fn record(cell: &Value) -> anyhow::Result<Record> {
    let name = |key| cell.get(key).and_then(Value::as_str).context(format!("a cell without {key}"));
    let (fault, detector) = (name("fault")?, name("detector")?);
    let one = |side| one_side(cell.get(end_of(side)).unwrap_or(&Value::Null));
    Ok(Record {
        fault: Fault::ALL.into_iter().find(|known| known.name() == fault).context("a new fault")?,
        detector: Detector::ALL
            .into_iter()
            .find(|known| known.name() == detector)
            .context("a new detector")?,
        client: Client::Connect,
        sides: Both { client: one(Side::Client)?, server: one(Side::Server)? },
    })
}

fn one_side(side: &Value) -> anyhow::Result<SideRecord> {
    if side.is_null() {
        let seen = Seen::Nothing { during: Duration::ZERO };
        return Ok(SideRecord {
            expected: Expected::NotAsked,
            seen,
            judgement: Judgement::NotAsked,
        });
    }
    let pair = |key| match side.get(key).and_then(Value::as_array).map(Vec::as_slice) {
        Some([least, most]) => Some([ms(least)?, ms(most)?]),
        _ => None,
    };
    let promise = || {
        let [earliest, latest] = pair("bound_ms").context("no bound")?;
        anyhow::Ok(Promise { earliest, latest, by: Vec::new() })
    };
    let expected = match side.get("plan").and_then(Value::as_str) {
        Some("kept") => Expected::Kept,
        Some("never") => Expected::Never,
        Some("found") => Expected::Found(promise()?),
        Some("found_or_kept") => Expected::FoundOrKept(promise()?),
        plan => bail!("the plan says {plan:?}"),
    };
    let seen = match side.get("watched_ms").and_then(ms) {
        Some(during) => Seen::Nothing { during },
        None => {
            let (how, detail) = (How::Otherwise, String::new());
            Seen::Something(Sight { after: pair("found_ms"), how, detail, own_bound: None })
        }
    };
    let judgement = side.get("judgement").and_then(Value::as_str).unwrap_or_default();
    let is_it = |known: &Judgement| known.name() == judgement;
    let judgement = Judgement::ALL.into_iter().find(is_it).context("a new judgement")?;
    Ok(SideRecord { expected, seen, judgement })
}

fn ms(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()? / 1e3).ok()
}
