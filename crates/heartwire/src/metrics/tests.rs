use std::collections::{BTreeMap, BTreeSet};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::*;

const PAGE: &str = include_str!("../../../../docs/observability.md");

#[test]
fn names_differ_and_say_what_they_are() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{metric:?}");
        let has_unit = metric.name.ends_with("_seconds");
        assert_eq!(has_unit, metric.unit == "seconds", "{metric:?}");
    }
}

#[test]
fn the_page_has_them_all_and_no_others() {
    // Those that `serve --http` has besides stand in a section of their own.
    let own = PAGE.split("\n## ").find(|section| section.starts_with("Metrics\n")).unwrap();
    let rows: Vec<_> = own.lines().filter(|line| line.starts_with("| `heartwire_")).collect();
    let expected: Vec<_> = ALL
        .iter()
        .map(|Metric { name, kind, unit, labels, help }| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "))
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_servers_counts_are_reported_as_they_are() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let stats = |counts: &[(&str, u64)]| crate::server::Stats::of(counts);
    ::metrics::with_local_recorder(&recorder, || {
        report_server(&stats(&[("accepted", 6), ("dead", 2)]));
        let others = [("away", 2), ("resumed", 5), ("dead", 4), ("bye", 3)];
        report_server(&stats(&[&[("accepted", 7), ("refused", 1)], &others[..]].concat()));
    });
    let mut counts = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let metric = ALL.iter().find(|metric| metric.name == key.name()).expect("described");
        assert_eq!(metric.kind, Kind::Counter);
        let labels: Vec<_> = key.labels().map(|label| label.key()).collect();
        assert_eq!(labels, metric.labels, "{key}");
        let label = key.labels().map(|label| label.value()).collect::<String>();
        counts.insert((metric.name, label), value);
    }
    for (name, label, count) in [
        (SERVER_ACCEPTED, "", 7),
        (SERVER_REFUSED, "", 1),
        (SERVER_AWAY, "", 2),
        (SERVER_BACK, "", 5),
        (SERVER_ENDS, "dead", 4),
        (SERVER_ENDS, "bye", 3),
        (SERVER_ENDS, "reset", 0),
    ] {
        assert_eq!(counts[&(name, label.to_owned())], DebugValue::Counter(count), "{name} {label}");
    }
}
