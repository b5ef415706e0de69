//! What a server measures of its clients and of itself.

use core::pin::pin;
use core::time::Duration;

use futures_util::FutureExt as _;
use heartwire_testkit::{Got, hello, hello_as, ms, policy, timeout};

use super::{v0, v1};
use crate::server::rig::Rig;

#[test]
fn the_lateness_of_a_verdict_is_measured() {
    let mut rig = Rig::start(v0().policy(timeout(200)));
    let (_client, id) = rig.online();
    assert_eq!(rig.handle.histograms().lateness.count(), 0);
    rig.pass(ms(205));
    let verdict = rig.verdict(id);
    let lateness = rig.handle.histograms().lateness;
    assert_eq!((lateness.count(), lateness.sum()), (1, verdict.late));
}

/// A client is online from its first beat on: the time up to that is no gap.
#[test]
fn the_times_between_a_clients_bytes_are_measured() {
    let mut rig = Rig::start(v1());
    let client = rig.door.connect();
    rig.pass(ms(50));
    client.beat();
    rig.run();
    rig.told_online();
    assert_eq!(rig.handle.histograms().gap.count(), 0);
    for gap in [5, 20, 70] {
        rig.pass(ms(gap));
        client.beat();
        rig.run();
    }
    let gap = rig.handle.histograms().gap;
    assert_eq!((gap.count(), gap.sum()), (3, ms(95)));
    assert_eq!(gap.quantile(1000), Some(ms(100)));
}

/// They are read together at the deadline, and each counts.
#[test]
fn beats_that_wait_in_the_kernel_count_with_their_mean_gap() {
    let mut rig = Rig::start(v0().policy(timeout(2_000)).coalesce(1_000));
    let (client, _) = rig.online();
    client.beat();
    rig.run();
    rig.pass_beating(ms(1_900), &[&client]);
    rig.pass(ms(200));
    let gap = rig.handle.histograms().gap;
    assert!((19..=20).contains(&gap.count()), "{gap:?}");
    assert!(gap.quantile(1000) <= Some(ms(100)), "{gap:?}");
}

#[test]
fn a_round_trip_is_measured_when_a_beat_brings_it() {
    let mut rig = Rig::start(v1().policy(policy(100, 60_000)));
    let (client, id) = rig.welcomed(&hello());
    rig.pass(ms(100));
    let got = client.got();
    let Some(Got::Beat(last)) = got.last() else { panic!("{got:?}") };
    rig.pass(ms(30));
    client.beat_with(|beat| (beat.echo, beat.nonce) = (last.nonce, 1));
    rig.run();
    let rtt = rig.session(id).connection.link_state(rig.toy.now()).unwrap().rtt.unwrap();
    let measured = rig.handle.histograms().round_trip;
    assert_eq!((measured.count(), measured.sum()), (1, rtt));
    // Data brings none.
    client.data(b"?");
    rig.run();
    assert_eq!(rig.handle.histograms().round_trip.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn shards_that_do_not_turn_are_named_and_those_that_are_over_are_not() {
    const WITHIN: Duration = Duration::from_secs(3);
    let mut rig = Rig::start(v1().threads(3).drain(ms(0)));
    rig.run();
    let handle = rig.handle.clone();
    // No shard has anything to do: they are woken.
    let mut turned = pin!(handle.turned(WITHIN));
    assert_eq!(turned.as_mut().now_or_never(), None);
    rig.run();
    assert_eq!(turned.await, vec![0; 0]);

    rig.stand_still(1, true);
    let asked_at = tokio::time::Instant::now();
    let mut turned = pin!(handle.turned(WITHIN));
    assert_eq!(turned.as_mut().now_or_never(), None);
    rig.run();
    assert_eq!((turned.await, asked_at.elapsed()), (vec![1], WITHIN));

    handle.shutdown();
    rig.run();
    assert_eq!(handle.turned(WITHIN).await, [1]);
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(handle.turned(WITHIN).now_or_never(), Some(vec![]));
}

#[test]
fn a_list_says_how_long_a_session_has_lasted_and_when_its_verdict_is_due() {
    let mut rig = Rig::start(v1().policy(policy(100, 500)));
    let (_client, id) = rig.welcomed(&hello_as("a", None));
    let (v0_client, v0_id) = {
        let client = rig.door.connect();
        client.beat();
        rig.run();
        (client, rig.told_online().0)
    };
    rig.pass(ms(120));
    v0_client.beat();
    rig.run();
    let handle = rig.handle.clone();
    let mut list = pin!(handle.list());
    assert_eq!(list.as_mut().now_or_never(), None);
    rig.run();
    let mut list = list.now_or_never().unwrap();
    list.sort_unstable_by_key(|info| info.id);
    let [v1, v0] = &list[..] else { panic!("{list:?}") };
    assert_eq!((v1.id, v0.id), (id, v0_id));
    assert_eq!((v1.protocol, v0.protocol), ("v1", "v0"));
    assert_eq!((v1.age, v0.age), (ms(120), ms(120)));
    assert_eq!((v1.silence, v0.silence), (ms(120), ms(0)));
    assert_eq!((v1.is_secure, v1.interval), (false, Some(ms(100))));
    for info in [v1, v0] {
        let timeout = info.timeout.unwrap();
        assert_eq!(info.due, timeout.checked_sub(info.silence), "{info:?}");
    }
    assert_eq!(v0.timeout, Some(ms(500)));
}
