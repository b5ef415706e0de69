use super::super::report::tests::sample;
use super::*;

pub(crate) fn comparison(servers: Vec<Report>) -> Comparison {
    Comparison {
        machine: "A machine".to_owned(),
        time: "2026-11-28T01:02:03Z".to_owned(),
        command: "heartwire-lab bench --compare".to_owned(),
        interval: spaced(Duration::from_millis(250)),
        load: "The foot.".to_owned(),
        rounds: 1,
        shards: 1,
        left_out: Vec::new(),
        servers,
    }
}

#[test]
fn ratios_are_against_the_first_row_that_does_the_same() {
    let base = sample("bare", 4.0);
    let answering = Report { answers: Some(true), ..sample("bare, answers", 8.0) };
    let ours = Report { accepts_per_s: 75_000.2, ..sample("ours", 1.0) };
    let echo = Report { answers: Some(true), ..sample("echo", 4.0) };
    let table = render(&comparison(vec![base, answering, ours, echo]));
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(
        rows[2],
        "| bare | no | 4.00 µs (0.50 + 3.50) | 1.00 × | 50 % | 0.250 | 171 B | 4612 B | 150000 \
         | 1.00 × | 6.21 µs | 4.0 / 10.0 / 11.0 | - | 0 | 0 |"
    );
    assert!(rows[3].starts_with("| bare, answers | yes | 8.00 µs"), "{}", rows[3]);
    assert!(rows[3].contains("| 1.00 × |"), "{}", rows[3]);
    assert!(rows[4].starts_with("| ours | no | 1.00 µs (0.50 + 0.50) | 0.25 × |"), "{}", rows[4]);
    assert!(rows[4].contains("| 75000 | 0.50 × |"), "{}", rows[4]);
    assert!(rows[5].starts_with("| echo | yes | 4.00 µs (0.50 + 3.50) | 0.50 × |"), "{}", rows[5]);
    assert_eq!(&rows[6..], ["", "The foot. A machine, 2026-11-28T01:02:03Z."]);
    let columns = |row: &str| row.matches('|').count();
    assert!(rows[..6].iter().all(|row| columns(row) == columns(rows[0])));
}

#[test]
fn warnings_are_below_the_table() {
    let late = Report { warnings: vec!["too slow".to_owned()], missing: 3, ..sample("bare", 4.0) };
    let table = render(&comparison(vec![late]));
    assert!(table.ends_with("WARNING, bare: too slow\nWARNING, bare: 3 never closed\n"), "{table}");
}

#[test]
fn a_median_is_the_middle_one() {
    assert_eq!(middle(vec![9.0, 1.0, 2.0]), 2.0);
    assert_eq!(middle(vec![9.0, 1.0]), 5.0);
    assert_eq!(middle(vec![]), 0.0);
}

#[test]
fn rounds_give_medians_and_keep_what_went_wrong() {
    let slow = Report { early: 1, ..sample("ours", 9.0) };
    let late = Late { max: 99.0, p50: 5.0, ..sample("ours", 1.0).verdict_ms.unwrap() };
    let busy = Report { verdict_ms: Some(late), ..sample("ours", 2.0) };
    let report = median(&[sample("ours", 1.0), slow, busy]).unwrap();
    assert_eq!((report.beat_cpu_us, report.early), (2.0, 1));
    let late = report.verdict_ms.unwrap();
    assert_eq!((late.p50, late.max), (4.0, 99.0));
}
