//! `heartwire plan` as an object, against its description and against itself.

use std::collections::BTreeSet;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::args::{Cli, Command};

/// The section of docs/events.md about `plan`.
fn section() -> &'static str {
    let document = include_str!("../../../../docs/events.md");
    let section = document.split_once("\n## `plan`\n").unwrap().1;
    section.split_once("\n## ").map_or(section, |(section, _)| section)
}

#[track_caller]
fn planned(args: &[&str]) -> Report {
    let words = ["heartwire", "plan"].iter().chain(args);
    let Command::Plan(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    report(&args).unwrap()
}

fn plan(args: &[&str]) -> Value {
    serde_json::to_value(Object::new(&planned(args))).unwrap()
}

/// The outcome of one fault for one side.
#[track_caller]
fn outcome<'a>(plan: &'a Value, fault: &str, side: &str) -> &'a Value {
    let rows = plan["faults"].as_array().unwrap();
    let row = rows.iter().find(|row| row["fault"] == fault);
    &row.unwrap_or_else(|| panic!("no {fault} in {plan}"))[side]
}

/// Every field name, of nested objects too.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.keys().cloned());
            fields.values().for_each(|value| names(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Plans that together have every field and every word.
fn plans() -> [Value; 5] {
    [
        plan(&["--within", "9s", "--nat-timeout", "60s"]),
        plan(&[
            "--interval=off",
            "--timeout=off",
            "--keepalive",
            "3s,3s,3",
            "--user-timeout",
            "20s",
        ]),
        plan(&[
            "--protocol",
            "v0",
            "--interval=off",
            "--timeout",
            "5s",
            "--nat-timeout",
            "5s",
            "--user-timeout",
            "4s",
        ]),
        plan(&["--protocol", "v0", "--client", "--timeout 25s", "--server", "--interval 15s"]),
        plan(&["--grace", "5s", "--timeout", "off", "--fleet", "1M"]),
    ]
}

#[test]
fn the_object_has_the_documented_fields_and_no_others() {
    let mut found = BTreeSet::new();
    plans().iter().for_each(|plan| names(plan, &mut found));
    let rows = section().lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(found, documented);
}

#[test]
fn every_name_that_occurs_is_documented() {
    for plan in plans() {
        for row in plan["faults"].as_array().unwrap() {
            let outcomes = [&row["client"], &row["server"]];
            let words = outcomes.iter().flat_map(|side| [&side["outcome"], &side["by"]]);
            for word in words.chain([&row["fault"]]).filter_map(Value::as_str) {
                assert!(section().contains(&format!("`{word}`")), "{word}");
            }
        }
        for loss in plan["losses"].as_array().unwrap() {
            let word = loss["loss"].as_str().unwrap();
            assert!(section().contains(&format!("`{word}`")), "{word}");
        }
        for warning in plan["warnings"].as_array().unwrap() {
            let word = warning["warning"].as_str().unwrap();
            assert!(section().contains(&format!("`{word}`")), "{word}");
        }
    }
}

#[test]
fn a_proposal_is_planned_alike_when_it_is_typed() {
    let proposed = plan(&["--within", "20s"]);
    let [client, server] =
        ["client", "server"].map(|side| proposed[side]["flags"].as_str().unwrap());
    let typed = plan(&["--client", client, "--server", server]);
    assert_eq!(typed["faults"], proposed["faults"]);
    assert_eq!(typed["traffic"], proposed["traffic"]);
    assert!(typed["latest_ms"].as_f64().unwrap() <= 20_000.0);
    assert_eq!(
        (&proposed["within_ms"], &typed["within_ms"]),
        (&Value::from(20_000.0), &Value::Null)
    );
}

#[test]
fn a_silence_is_what_serve_prints_with_the_lateness_of_the_path_added() {
    let plan = plan(&["--preset", "fast", "--rtt", "0s", "--timer-slack", "100ms"]);
    let frozen = outcome(&plan, "peer_frozen", "server");
    assert_eq!((&frozen["outcome"], &frozen["by"]), (&"found".into(), &"silence".into()));
    // `serve` prints 6.0 to 8.6 s; the last beat may also have been a tick late.
    assert_eq!(frozen["earliest_ms"], 5_900.0);
    assert_eq!(frozen["latest_ms"], 8_600.0);
    assert_eq!(plan["latest_ms"], Value::Null, "a peer that does not read is never found");
    assert_eq!(outcome(&plan, "peer_not_reading", "server")["outcome"], "never");
}

#[test]
fn a_grace_that_is_over_before_the_clients_are_back_is_unsafe() {
    let names = |plan: &Value| {
        let warnings = plan["warnings"].as_array().unwrap().iter();
        warnings.map(|warning| warning["warning"].clone()).collect::<Vec<_>>()
    };
    assert!(names(&plan(&[])).is_empty());
    assert_eq!(names(&plan(&["--grace", "40s"])), ["grace_below_return"]);
    assert!(names(&plan(&["--grace", "40s", "--max-sessions", "5000"])).is_empty());
    let hasty = plan(&["--grace", "10s", "--drain", "1m"]);
    assert_eq!(names(&hasty), ["grace_too_short", "grace_below_return"]);
    assert_eq!(hasty["losses"][0]["server"]["given_up_ms"][0], 10_000.0);
    let off = plan(&["--grace", "off"]);
    assert_eq!((&off["grace_ms"], &off["losses"]), (&Value::Null, &Value::Array(Vec::new())));
    // Only `safe` settings pass `--check`.
    let report = planned(&["--user-timeout", "30s", "--grace", "40s"]);
    assert!(!is_safe(&report.plan) && is_safe(&planned(&["--user-timeout", "30s"]).plan));
}
