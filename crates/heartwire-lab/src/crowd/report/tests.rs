use super::*;

/// A run with nothing wrong in it.
pub(crate) fn sample(sessions: u32) -> Report {
    Report {
        sessions,
        held: sessions,
        processes: sessions.div_ceil(20_000),
        protocol: "v0".to_owned(),
        interval_ms: 60_000,
        timeout_ms: 150_000,
        connect_s: 60.25,
        time_s: 150.0,
        beats: u64::from(sessions) * 5 / 2,
        beat_cpu_us: 6.25,
        beat_user_us: 2.0,
        beat_system_us: 4.25,
        wakeups_per_beat: 0.5,
        busy: 0.104,
        user_bytes: 171.0,
        all_user_bytes: 300_000_000,
        kernel_bytes: 4_600.0,
        kernel_bytes_both_ends: 9_200.0,
        frozen: sessions / 10,
        verdict_ms: Some(Late { count: 10, min: 0.2, p50: 4.0, p99: 9.0, p999: 10.0, max: 11.0 }),
        early: 0,
        wrong: 0,
        missing: 0,
        clients: Clients {
            beat_cpu_us: 8.0,
            busy: 0.13,
            user_bytes: 104.0,
            late_p99_ms: 0.3,
            late_max_ms: 4.0,
        },
        warnings: Vec::new(),
    }
}

#[test]
fn a_report_reads_as_a_table() {
    let expected = "\
crowd      1000000 sessions on protocol v0, a beat every 60 s, timeout 150 s; \
50 servers, each with a process of clients
held       1000000 for 150 s, connected in 60.2 s
beats      2500000, each 6.25 µs of the servers' CPU (2.00 user, 4.25 system) and 0.500 wake-ups
servers    10 % of a processor; 171 B of memory a session, 300 MB in all
clients    13 % of a processor, 8.00 µs a beat; 104 B of memory each; \
beats late by p99 0.30, max 4.00 ms
kernel     9200 B a session, which is both of its ends: 9200 MB in all
frozen     100000 at once
verdicts   10, ms after the timeout: min 0.20, p50 4.00, p99 9.00, p99.9 10.00, max 11.00
wrong      0 early, 0 false, 0 missing
";
    assert_eq!(sample(1_000_000).render(), expected);
}

#[test]
fn the_exit_code_tells_wrong_from_missing() {
    let good = sample(100);
    assert_eq!(good.exit(), Exit::Fine);
    assert_eq!(Report { missing: 1, ..good.clone() }.exit(), Exit::Missing);
    assert_eq!(Report { held: 99, ..good.clone() }.exit(), Exit::Missing);
    assert_eq!(Report { early: 1, missing: 1, ..good.clone() }.exit(), Exit::Wrong);
    assert_eq!(Report { wrong: 1, ..good }.exit(), Exit::Wrong);
}

#[test]
fn every_field_is_documented() {
    let document = include_str!("../../../../../docs/lab.md");
    let (_, section) = document.split_once("\n## A million sessions\n").unwrap();
    let section = section.split_once("\n## ").unwrap().0;
    let report = json!(sample(100));
    for part in [&report, &report["clients"]] {
        for name in part.as_object().unwrap().keys() {
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
    }
}
