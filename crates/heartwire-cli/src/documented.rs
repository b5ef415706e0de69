//! What docs/events.md says, compared with the types that print.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::output::timed_json;

const DOCUMENT: &str = include_str!("../../../docs/events.md");

/// The text of a section.
#[track_caller]
pub(crate) fn section(title: &str) -> &'static str {
    let section = DOCUMENT.split_once(&format!("\n## {title}\n")).unwrap().1;
    section.split_once("\n## ").map_or(section, |(section, _)| section)
}

/// The keys of each row in the tables of a section: what is in backquotes in the last column,
/// outside of parentheses, and the keys that a name in brackets stands for.
fn rows(section: &str, shared: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let (names, last) = (cells[0], cells[cells.len() - 1]);
        let mut keys = Vec::new();
        for (at, part) in without_parentheses(last).split('`').enumerate() {
            if at % 2 == 1 {
                keys.push(part.to_owned());
                continue;
            }
            for (name, _) in part.split('[').filter_map(|part| part.split_once(']')) {
                keys.extend(shared.get(name).into_iter().flatten().cloned());
            }
        }
        for name in names.split(',') {
            rows.insert(name.trim().trim_matches('`').to_owned(), keys.clone());
        }
    }
    rows.remove("event");
    rows
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0;
    let outside = text.chars().filter(|&char| {
        depth += i32::from(char == '(');
        let is_outside = depth == 0;
        depth -= i32::from(char == ')');
        is_outside
    });
    outside.collect()
}

/// The keys of an object, in order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(OfMap)
    }
}

/// The section documents exactly the kinds of these events, and for each of them exactly its keys,
/// in their order. Of an event with keys that can be absent, the example is to have all of them.
#[track_caller]
pub(crate) fn expect_documented(title: &str, examples: &[impl Serialize]) {
    // Twice, because a shared row can refer to another.
    let shared = rows(section("Shared keys"), &BTreeMap::new());
    let shared = rows(section("Shared keys"), &shared);
    let documented = rows(section(title), &shared);
    let mut kinds = BTreeSet::new();
    for example in examples {
        let json = timed_json(example, SystemTime::UNIX_EPOCH);
        let (Keys(keys), fields): (_, Value) =
            (serde_json::from_str(&json).unwrap(), serde_json::from_str(&json).unwrap());
        let kind = fields["event"].as_str().unwrap();
        let row = documented.get(kind).unwrap_or_else(|| panic!("{kind} is not documented"));
        let common = ["time", "event"].map(str::to_owned);
        assert_eq!(keys, [&common, row.as_slice()].concat(), "{kind}, and what is documented");
        for (key, value) in fields.as_object().unwrap() {
            let Some(object) = value.as_object() else { continue };
            let keys: BTreeSet<_> = object.keys().collect();
            assert_eq!(keys, shared[key].iter().collect(), "{key}, and what is documented");
        }
        kinds.insert(kind.to_owned());
    }
    assert_eq!(kinds, documented.keys().cloned().collect(), "what is printed, and documented");
}

/// The same for the lines of a command. `next` returns an example of the kind after that of a line,
/// the first one without a line.
#[track_caller]
pub(crate) fn expect_lines_documented<L: Serialize + fmt::Display>(
    title: &str,
    next: impl Fn(Option<&L>) -> Option<L>,
) {
    let mut examples = Vec::new();
    while let Some(line) = next(examples.last()) {
        examples.push(line);
    }
    expect_documented(title, &examples);
    expect_kind_first(&examples);
}

/// The text of each event begins with its kind.
#[track_caller]
fn expect_kind_first(examples: &[impl Serialize + fmt::Display]) {
    for example in examples {
        let (text, fields) = (example.to_string(), serde_json::to_value(example).unwrap());
        assert_eq!(text.split(' ').next(), fields["event"].as_str(), "{text}");
    }
}
