use heartwire_core::kernel::{Keepalive, KernelTimers};
use heartwire_core::{Policy, PolicyBuilder};

use super::*;
use crate::{End, Setup};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn end(policy: PolicyBuilder, keepalive: Option<u64>) -> End {
    let keepalive = keepalive.map(|idle| Keepalive::new(secs(idle), secs(1), 3).unwrap());
    End::new(policy.build().unwrap()).kernel(KernelTimers::new(keepalive, None).unwrap())
}

#[track_caller]
fn assert_traffic(client: End, server: End, to_server: u64, to_client: u64) {
    let plan = Setup::new(client, server).v0().plan().unwrap();
    // A packet is 52 bytes, or 60 with a beat: those sent are all that add up to so many bytes.
    let bytes = to_server + to_client;
    let packets = plan.traffic().packets;
    assert!((bytes.div_ceil(60)..=bytes / 52).contains(&packets), "{packets}");
    assert_eq!(plan.traffic(), Traffic { to_server, to_client, beat_len: 60, packets });
}

#[test]
fn each_beat_is_acknowledged() {
    let (quiet, beating) = (Policy::builder(), Policy::builder().interval(secs(10)));
    assert_traffic(end(quiet, None), end(quiet, None), 0, 0);
    assert_traffic(end(beating, None), end(quiet, None), 8_640 * 60, 8_640 * 52);
    assert_traffic(end(beating, None), end(beating, None), 8_640 * 112, 8_640 * 112);
}

#[test]
fn an_answer_acknowledges_what_it_answers() {
    let asking = end(Policy::builder().interval(secs(10)), None);
    let answering = end(Policy::builder().echo(true), None);
    assert_traffic(asking, answering, 8_640 * 112, 8_640 * 60);
    assert_traffic(answering, asking, 8_640 * 60, 8_640 * 112);
}

#[test]
fn keepalive_probes_only_while_nothing_else_comes() {
    let (quiet, beating) = (Policy::builder(), Policy::builder().interval(secs(10)));
    assert_traffic(end(quiet, Some(3)), end(quiet, None), 28_800 * 52, 28_800 * 52);
    // Three probes fit between two beats, and none if it waits as long as a beat.
    let three_each = 8_640 * 3 * 52;
    let (to_server, to_client) = (8_640 * 60 + three_each, 8_640 * 52 + three_each);
    assert_traffic(end(beating, Some(3)), end(quiet, None), to_server, to_client);
    assert_traffic(end(beating, Some(10)), end(quiet, Some(10)), 8_640 * 60, 8_640 * 52);
}

#[test]
fn packets_are_counted_with_what_acknowledges_them() {
    let packets =
        |client, server| Setup::new(client, server).v0().plan().unwrap().traffic().packets;
    let (quiet, beating) = (Policy::builder(), Policy::builder().interval(secs(10)));
    assert_eq!(packets(end(beating, None), end(quiet, None)), 8_640 * 2);
    assert_eq!(packets(end(beating, None), end(beating, None)), 8_640 * 4);
    // An answer acknowledges its beat, so there is one packet less.
    assert_eq!(packets(end(beating, None), end(Policy::builder().echo(true), None)), 8_640 * 3);
    assert_eq!(packets(end(quiet, Some(3)), end(quiet, None)), 28_800 * 2);
}
