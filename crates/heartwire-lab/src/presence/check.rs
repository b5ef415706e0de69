//! What is promised of presence, checked against what was recorded.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::record::{Micros, Recording, Stay, Trouble};

/// A promise that was broken: its name, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) promise: &'static str,
    pub(super) seen: String,
}

/// A name in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    /// The name of its node.
    pub(super) node: String,
    pub(super) session: String,
}

/// An entry of the stream of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// `online`, `moved` or `offline`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) epoch: u64,
    /// The name of its node.
    pub(super) node: String,
}

/// Presence equals the truth: each name is where it really is, and no other is online.
pub(super) fn equals(
    recording: &Recording,
    nodes: &[&str],
    present: &BTreeMap<String, Present>,
) -> Vec<Breach> {
    let truth = recording.now();
    let breach = |seen| Breach { promise: "equals-the-truth", seen };
    let mut breaches = Vec::new();
    for (name, stays) in &truth {
        let is_there = |stay: &&Stay| {
            present.get(*name).is_some_and(|there| {
                nodes.get(stay.node) == Some(&&*there.node) && stay.session == there.session
            })
        };
        if stays.len() != 1 || !stays.iter().all(is_there) {
            let on = |stay: &&Stay| format!("{} on {}", stay.session, place(nodes, stay.node));
            let stays: Vec<String> = stays.iter().map(on).collect();
            let there = present.get(*name).map_or_else(
                || "offline".to_owned(),
                |there| format!("{} on {}", there.session, there.node),
            );
            breaches.push(breach(format!("{name} is {}, in Redis {there}", stays.join(" and "))));
        }
    }
    for (name, there) in present.iter().filter(|(name, _)| !truth.contains_key(&***name)) {
        let (session, node) = (&there.session, &there.node);
        breaches.push(breach(format!("{name} is offline, in Redis {session} on {node}")));
    }
    breaches
}

/// No name is on two nodes for longer than the bound, without the time in which one of the two, or
/// Redis, was in trouble.
pub(super) fn never_on_two(recording: &Recording, bound: Micros, end: Micros) -> Vec<Breach> {
    let mut by_name: HashMap<&str, Vec<&Stay>> = HashMap::new();
    for stay in recording.stays() {
        by_name.entry(&stay.name).or_default().push(stay);
    }
    let mut breaches = Vec::new();
    for (name, mut stays) in by_name {
        stays.sort_by_key(|stay| stay.from);
        for (index, one) in stays.iter().enumerate() {
            for other in stays.iter().skip(index + 1) {
                let until = one.to.unwrap_or(end).min(other.to.unwrap_or(end));
                if until <= other.from || one.node == other.node {
                    continue;
                }
                let nodes = [one.node, other.node];
                let longest = calm(other.from, until, nodes, recording.troubles());
                if longest > bound {
                    breaches.push(Breach {
                        promise: "never-on-two-nodes",
                        seen: format!(
                            "{name}: {} on node {} and {} on node {} for {:.1} s",
                            one.session,
                            one.node,
                            other.session,
                            other.node,
                            seconds(longest)
                        ),
                    });
                }
            }
        }
    }
    breaches
}

/// The longest time between these two without trouble on these nodes.
fn calm(from: Micros, until: Micros, nodes: [usize; 2], troubles: &[Trouble]) -> Micros {
    let touches = |trouble: &&Trouble| trouble.node.is_none_or(|node| nodes.contains(&node));
    let mut troubles: Vec<&Trouble> = troubles.iter().filter(touches).collect();
    troubles.sort_by_key(|trouble| trouble.from);
    let (mut calm_from, mut longest) = (from, 0);
    for trouble in troubles {
        longest = longest.max(trouble.from.min(until).saturating_sub(calm_from));
        calm_from = calm_from.max(trouble.to);
    }
    longest.max(until.saturating_sub(calm_from))
}

/// The stream of one Redis, from its beginning: numbers grow, each name is online and offline in
/// turn, and no session goes offline that is older than one that came online.
pub(super) fn in_order(stream: &[Entry]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut last_number = 0;
    // Of each name the epoch and the node it is online with, or `None` when it is offline.
    let mut online: HashMap<&str, Option<(u64, &str)>> = HashMap::new();
    for entry in stream {
        let Entry { number, kind, name, epoch, node } = entry;
        let mut breach = |promise, seen| breaches.push(Breach { promise, seen });
        if *number <= last_number {
            breach("numbers-grow", format!("{number} after {last_number}"));
        }
        last_number = *number;
        let before = online.get(&**name).copied();
        let is_online = kind != "offline";
        match (&**kind, before) {
            ("offline", Some(Some((newer, _)))) if *epoch < newer => {
                let seen = format!("{name}: offline of {epoch} after online of {newer}");
                breach("no-offline-after-newer-online", seen);
            }
            ("offline", Some(None)) => {
                breach("online-and-offline-in-turn", format!("{name}: offline twice, {number}"));
            }
            ("online", Some(Some(_))) => {
                breach("online-and-offline-in-turn", format!("{name}: online twice, {number}"));
            }
            // A node that goes on under another id has the same sessions there.
            ("moved", Some(Some((older, from))))
                if *epoch < older || *epoch == older && node != from =>
            {
                let seen = format!("{name}: moved with {epoch} after {older}");
                breach("newest-wins", seen);
            }
            ("moved", Some(None)) => {
                breach("online-and-offline-in-turn", format!("{name}: moved offline, {number}"));
            }
            _ => {}
        }
        online.insert(name, is_online.then_some((*epoch, node)));
    }
    breaches
}

/// What the stream leads to is what Redis has.
pub(super) fn stream_leads_to(
    stream: &[Entry],
    present: &BTreeMap<String, Present>,
) -> Vec<Breach> {
    let mut online: BTreeMap<&str, bool> = BTreeMap::new();
    for entry in stream {
        online.insert(&entry.name, entry.kind != "offline");
    }
    let differs =
        online.iter().filter(|&(name, &is_online)| present.contains_key(*name) != is_online);
    let untold = present.keys().filter(|name| !online.contains_key(&***name));
    let names: Vec<&str> = differs.map(|(name, _)| *name).chain(untold.map(|it| &**it)).collect();
    names
        .into_iter()
        .map(|name| Breach {
            promise: "stream-leads-to-presence",
            seen: format!("{name}: online in one and not in the other"),
        })
        .collect()
}

/// Exactly the names whose clients want that are online.
pub(super) fn all_who_want(recording: &Recording, wanted: &BTreeMap<String, bool>) -> Vec<Breach> {
    let now = recording.now();
    let differs = wanted.iter().filter(|&(name, &wants)| now.contains_key(&**name) != wants);
    differs
        .map(|(name, wants)| Breach {
            promise: "clients-are-where-they-want",
            seen: format!("{name} wants to be online: {wants}"),
        })
        .collect()
}

fn place<'a>(nodes: &[&'a str], node: usize) -> &'a str {
    nodes.get(node).copied().unwrap_or("?")
}

/// As JSON.
pub(super) fn objects(breaches: &[Breach]) -> Vec<Value> {
    let object = |it: &Breach| json!({ "promise": it.promise, "seen": it.seen });
    breaches.iter().map(object).collect()
}

pub(super) fn seconds(time: Micros) -> f64 {
    core::time::Duration::from_micros(time).as_secs_f64()
}

#[cfg(test)]
mod tests;
