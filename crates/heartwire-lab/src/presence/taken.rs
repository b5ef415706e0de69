//! What is promised of hooks, checked against what a receiver has taken.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::check::{Breach, Entry};
use super::receiver::Taken;

/// Nothing comes out of order for a name. What was taken before may come again.
pub(super) fn in_order(taken: &[Taken]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut seen = HashSet::new();
    let mut last: HashMap<&str, &Taken> = HashMap::new();
    for one in taken.iter().filter(|one| !one.name.is_empty()) {
        if !seen.insert(one.number) {
            continue;
        }
        if let Some(before) = last.get(&*one.name).filter(|before| before.number > one.number) {
            breaches.push(Breach {
                promise: "hooks-in-order",
                seen: format!(
                    "{}: {} {} came after {} {}",
                    one.name, one.kind, one.number, before.kind, before.number
                ),
            });
        }
        last.insert(&one.name, one);
    }
    breaches
}

/// All that the stream tells was taken.
pub(super) fn misses_nothing(taken: &[Taken], stream: &[Entry]) -> Vec<Breach> {
    let numbers: HashSet<u64> = taken.iter().map(|one| one.number).collect();
    let missing = stream.iter().filter(|entry| !numbers.contains(&entry.number));
    missing
        .map(|entry| Breach {
            promise: "hooks-miss-nothing",
            seen: format!("{}: {} {}", entry.name, entry.kind, entry.number),
        })
        .collect()
}

/// A receiver that keeps the newest of each name knows who is online.
pub(super) fn leads_to(taken: &[Taken], online: &BTreeMap<String, bool>) -> Vec<Breach> {
    let mut newest: HashMap<&str, &Taken> = HashMap::new();
    for one in taken.iter().filter(|one| !one.name.is_empty()) {
        let entry = newest.entry(&one.name).or_insert(one);
        if one.number > entry.number {
            *entry = one;
        }
    }
    let is_online = |name: &str| newest.get(name).is_some_and(|one| one.kind != "offline");
    let differ = online.iter().filter(|&(name, &really)| is_online(name) != really);
    differ
        .map(|(name, really)| Breach {
            promise: "hooks-lead-to-the-truth",
            seen: format!("{name} is online: {really}; the receiver thinks otherwise"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(told: &[(u64, &str, &str)]) -> Vec<Taken> {
        let taken = |&(number, kind, name): &(u64, &str, &str)| Taken {
            at: number,
            number,
            kind: kind.to_owned(),
            name: name.to_owned(),
            epoch: number,
            incident: None,
        };
        told.iter().map(taken).collect()
    }

    #[test]
    fn hooks_out_of_order_are_found_and_repeated_ones_are_not() {
        let right = [(1, "online", "x"), (3, "online", "y"), (2, "offline", "x")];
        assert_eq!(in_order(&taken(&right)), []);
        let again = [(1, "online", "x"), (2, "offline", "x"), (1, "online", "x")];
        assert_eq!(in_order(&taken(&again)), []);
        let wrong = [(2, "offline", "x"), (1, "online", "x")];
        assert_eq!(in_order(&taken(&wrong)).len(), 1);
    }

    #[test]
    fn hook_that_did_not_come_is_found() {
        let entry = |number| Entry {
            number,
            kind: "online".into(),
            name: "x".into(),
            epoch: 1,
            node: String::new(),
        };
        let told = taken(&[(1, "online", "x")]);
        assert_eq!(misses_nothing(&told, &[entry(1)]), []);
        assert_eq!(misses_nothing(&told, &[entry(1), entry(2)]).len(), 1);
    }

    #[test]
    fn receiver_that_was_misled_is_found() {
        let online = BTreeMap::from([("x".to_owned(), true), ("y".to_owned(), false)]);
        let leads = |told: &[(u64, &str, &str)]| leads_to(&taken(told), &online).len();
        assert_eq!(leads(&[(1, "offline", "x"), (2, "online", "x")]), 0);
        assert_eq!(leads(&[(2, "online", "x"), (1, "offline", "x")]), 0, "it drops what is old");
        assert_eq!(leads(&[(2, "offline", "x")]), 1);
        assert_eq!(leads(&[(1, "online", "x"), (2, "online", "y")]), 1);
    }
}
