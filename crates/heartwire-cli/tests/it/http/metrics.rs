//! Metrics, and what docs/observability.md says of them.

use std::collections::BTreeSet;

use heartwire_testkit::{BEAT, Peer, wait_until};
use serde_json::Value;

use super::Web;
use crate::program::Client;

const DOCUMENT: &str = include_str!("../../../../../docs/observability.md");

#[test]
fn hooks_and_presence_are_told_with_everything_else() {
    let web = Web::start(&["--hook-command", "/bin/true", "--node", "one"]);
    let presence = web.get("/v1/stats").expect(200)["presence"].clone();
    assert_eq!((&presence["connected"], &presence["hooks"]["dead"]), (&Value::Null, &0.into()));
    let _door = Client::start_plain(web.server.addr, &["--name", "door", "--stay"]);
    let told = "\nheartwire_server_hooks_delivered_total 1\n";
    wait_until("the hook has it", || web.get("/metrics").body.contains(told));
    assert_eq!(web.get("/v1/stats").expect(200)["presence"]["hooks"]["delivered"], 1);
}

#[test]
fn metrics_are_the_documented_ones_and_name_no_client() {
    let web = Web::start(&["--protocol", "v0"]);
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    web.server.event("online");
    drop(peer);
    web.server.event("offline");
    let answer = web.get("/metrics");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(kind), "{answer:?}");
    let text = &answer.body;
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "heartwire_server_ready 1",
        "heartwire_server_accepted_total 1",
        "heartwire_server_ends_total{reason=\"closed_by_peer\"} 1",
        "heartwire_server_ends_total{reason=\"dead\"} 0",
        "heartwire_server_rejections_total{code=\"unauthorized\"} 0",
        "heartwire_server_verdict_late_seconds_count 0",
        "heartwire_server_verdict_late_seconds_bucket{le=\"+Inf\"} 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }

    let (rest, own) = DOCUMENT.split_once("## `/metrics`").unwrap();
    let server = rest.lines().filter(|line| line.starts_with("| `heartwire_server_"));
    let rows = own.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<(&str, &str)> = server
        .chain(rows)
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[2])
        })
        .collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: BTreeSet<(String, &str)> = types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (format!("{name}{suffix}"), kind)
        })
        .collect();
    let told: BTreeSet<(&str, &str)> =
        told.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    assert_eq!(told, documented);

    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, labels)) = line.split_once('{') else { continue };
        let label = labels.split('=').next().unwrap();
        assert!(["reason", "code", "version", "le", "resource"].contains(&label), "{line}");
    }
}
