use super::*;
use crate::bench::pin::Pin;

fn plan() -> Plan {
    let second = Duration::from_secs(1);
    Plan {
        connections: 10,
        interval: second,
        spread: Spread::Even,
        time: second * 15,
        timeout: second * 15,
        freeze: true,
        bin: None,
        pin: None,
    }
}

/// A run with nothing wrong in it.
pub(crate) fn sample(server: &str, beat_cpu_us: f64) -> Report {
    Report {
        id: server.to_owned(),
        server: server.to_owned(),
        version: None,
        rule: "declares a client dead".to_owned(),
        timeout_ms: 15_000.0,
        own: true,
        connections: 1000,
        accepts_per_s: 150_000.4,
        accepts_queued: true,
        accept_cpu_us: 6.214,
        beats: 10_000,
        beat_cpu_us,
        beat_user_us: 0.5,
        beat_system_us: beat_cpu_us - 0.5,
        wakeups_per_beat: 0.25,
        answers: Some(false),
        answers_per_beat: 0.0,
        busy: 0.5,
        threads: 3,
        user_bytes: 171.0,
        kernel_bytes: 4612.0,
        verdict_ms: Some(Late { count: 1000, min: 0.2, p50: 4.0, p99: 9.0, p999: 10.0, max: 11.0 }),
        seen_ms: None,
        early: 0,
        wrong: 0,
        missing: 0,
        generator: Generator { late_p99_ms: 0.1, late_max_ms: 2.0, busy: 0.2 },
        warnings: Vec::new(),
    }
}

#[test]
fn a_report_reads_as_a_table() {
    let expected = "\
server     ours, 1000 connections
accepting  150000 a second, 6.21 µs of CPU each
beats      10000, each 2.25 µs of CPU (0.50 user, 1.75 system) and 0.250 wake-ups
answers    0.000 of the server for each of these
memory     171 B a connection, and 4612 B in the kernel
verdicts   1000, ms after the timeout: min 0.20, p50 4.00, p99 9.00, p99.9 10.00, max 11.00
wrong      0 early, 0 false, 0 missing
generator  late by p99 0.10, max 2.00 ms; 20 % of a processor
";
    assert_eq!(sample("ours", 2.25).render(), expected);
}

#[test]
fn the_exit_code_tells_wrong_from_missing() {
    let good = sample("ours", 1.0);
    assert_eq!(good.exit(), Exit::Fine);
    assert_eq!(Report { missing: 1, ..good.clone() }.exit(), Exit::Missing);
    assert_eq!(Report { early: 1, missing: 1, ..good.clone() }.exit(), Exit::Wrong);
    assert_eq!(Report { wrong: 1, ..good }.exit(), Exit::Wrong);
}

#[test]
fn a_late_or_busy_generator_says_so() {
    let fine = Generator { late_p99_ms: 9.0, late_max_ms: 500.0, busy: 0.5 };
    let said = |plan: &Plan, generator| {
        warnings(plan, generator, 0.5, 0).iter().any(|warning| warning.contains("bottleneck"))
    };
    assert!(!said(&plan(), fine));
    assert!(said(&plan(), Generator { late_p99_ms: 11.0, ..fine }));
    assert!(said(&plan(), Generator { busy: 0.95, ..fine }));
}

#[test]
fn a_server_without_time_left_says_so() {
    let pin = Some(Pin { server: 1, load: 0 });
    let generator = Generator { late_p99_ms: 1.0, late_max_ms: 1.0, busy: 0.5 };
    let said = |plan: &Plan, busy| {
        warnings(plan, generator, busy, 0).iter().any(|warning| warning.contains("kept up"))
    };
    assert!(said(&Plan { pin, ..plan() }, 0.99));
    assert!(!said(&Plan { pin, ..plan() }, 0.9) && !said(&plan(), 1.5));
}

#[test]
fn a_burst_may_take_a_tenth_of_its_interval() {
    let plan = Plan { spread: Spread::Burst, ..plan() };
    let late = |late_p99_ms| Generator { late_p99_ms, late_max_ms: late_p99_ms, busy: 0.5 };
    assert!(!warnings(&plan, late(99.0), 0.5, 0).iter().any(|w| w.contains("bottleneck")));
    assert!(warnings(&plan, late(101.0), 0.5, 0).iter().any(|w| w.contains("bottleneck")));
}

#[test]
fn the_object_has_the_names_that_are_promised() {
    let report = json!(sample("ours", 1.0));
    for name in ["server", "beat_cpu_us", "wakeups_per_beat", "early", "false", "missing"] {
        assert!(report.get(name).is_some(), "{name}");
    }
    assert_eq!(report.pointer("/verdict_ms/p999"), Some(&json!(10.0)));
}

#[test]
fn every_field_is_documented() {
    let document = include_str!("../../../../../docs/lab.md");
    let section = document.split_once("\n## What a server costs\n").unwrap().1;
    let report = json!(sample("ours", 1.0));
    let parts = [&report, &report["verdict_ms"], &report["generator"]];
    for name in parts.iter().flat_map(|part| part.as_object().unwrap().keys()) {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn a_ratio_to_zero_is_zero() {
    assert_eq!((ratio(0, 0), ratio(3, 0), ratio(3, 2)), (0.0, 0.0, 1.5));
}
