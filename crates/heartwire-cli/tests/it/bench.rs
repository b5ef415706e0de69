//! `heartwire bench`, small: that its load is what it says, and that no verdict is wrong.

use serde_json::Value;

use crate::program::run;

#[track_caller]
fn bench(args: &[&str]) -> Value {
    let load = ["--connections", "40", "--beat", "100ms", "--time", "1s", "--limit", "1s"];
    let output = run(&[&["bench", "--format", "json"], &load[..], args].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_kind_of_load_beats_and_is_judged() {
    for args in [&[][..], &["--tls"], &["--wire", "v1", "--both"], &["--wire", "v1", "--tls"]] {
        let report = bench(args);
        assert_eq!(report["connections"], 40, "{args:?}");
        // Each beats ten times; a machine that stands still may leave out a few at the end.
        assert!(report["beats"].as_u64().unwrap() >= 360, "{args:?}: {report}");
        assert_eq!(report["verdict_ms"]["count"], 40, "{args:?}: {report}");
        for wrong in ["early", "false", "missing"] {
            assert_eq!(report[wrong], 0, "{args:?}: {report}");
        }
        let tls = report["server"].as_str().unwrap().contains("TLS");
        assert_eq!(tls, args.contains(&"--tls"), "{report}");
    }
}
