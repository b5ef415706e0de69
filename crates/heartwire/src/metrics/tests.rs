use std::collections::BTreeSet;

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
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `heartwire_")).collect();
    let expected: Vec<_> = ALL
        .iter()
        .map(|Metric { name, kind, unit, labels, help }| {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "))
        })
        .collect();
    assert_eq!(rows, expected);
}
