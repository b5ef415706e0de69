use core::num::NonZeroU32;
use core::time::Duration;

use super::policy::CAP;
use super::simulate::Storm;
use super::{Outcome, Policy, ServerModel};

const TIMEOUT: Duration = Duration::from_secs(5);
const SECOND: u64 = 1_000_000_000;

/// How many random storms a property is tried on.
const STORMS: u64 = 100;

fn storm(clients: u32, policy: Policy, server: ServerModel) -> Storm {
    Storm {
        clients: count(clients),
        policy,
        server,
        servers: NonZeroU32::MIN,
        outage: Duration::from_secs(10),
        round_trip: Duration::from_millis(20),
        connect_timeout: TIMEOUT,
        handshake_timeout: TIMEOUT,
        hint: Duration::from_secs(5),
        watch: Duration::from_secs(600),
        seed: 1,
        progress: false,
    }
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn in_turn(capacity: u32, backlog: u32) -> ServerModel {
    let server = ServerModel::unlimited(count(capacity));
    ServerModel { backlog, in_flight: Some(NonZeroU32::MIN), ..server }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The measured storm of 18,000 clients on a server that took 2 ms for each, where a fixed second
/// left two thirds of them outside forever and full jitter had all back after 47 s. Half of them
/// were back after 9.5 s there, so both processors worked: 1,000 handshakes a second.
#[test]
fn a_fixed_second_keeps_a_slow_server_down_and_jitter_does_not() {
    let server = ServerModel::unlimited(count(1_000));
    let fixed = storm(18_000, Policy::Fixed1s, server).run();
    assert!(fixed.is_stuck, "{} are back", fixed.back.len());
    assert!((3_000..9_000).contains(&fixed.back.len()), "{} are back", fixed.back.len());
    let jitter = storm(18_000, Policy::Jitter, server).run();
    assert!(jitter.back_at(100) < Some(Duration::from_secs(60)), "{} are back", jitter.back.len());
    assert!(jitter.is_over() && jitter.peak * 5 < fixed.peak, "{} and {}", jitter.peak, fixed.peak);
}

/// The same on a server that took 0.2 ms: jitter costs time when the server is fast.
#[test]
fn jitter_is_slower_with_a_fast_server() {
    let server = in_turn(5_000, 4096);
    let fixed = storm(18_000, Policy::Fixed1s, server).run();
    let jitter = storm(18_000, Policy::Jitter, server).run();
    assert!(fixed.is_over() && jitter.is_over());
    assert!(fixed.back_at(100) < jitter.back_at(100));
    assert!(fixed.failed > jitter.failed);
}

/// Limits of the server help where the clients' delays do not.
#[test]
fn a_short_backlog_brings_even_a_fixed_second_back() {
    let outcome = storm(18_000, Policy::Fixed1s, in_turn(1_000, 128)).run();
    assert!(outcome.is_over(), "{} are back", outcome.back.len());
}

/// An unbounded queue becomes longer than the clients' timeout at some time, and a server that
/// serves it in order then stays down forever. Without the rule none of our limits would help.
#[test]
fn a_server_without_stale_after_is_kept_down_and_ours_is_not() {
    let late = |server| ServerModel { stale_after: None, ..server };
    let at_once = |server| ServerModel { in_flight: None, ..server };
    let ours = ServerModel::like_serve(count(2_000));
    let watched = ms(150_000);
    let bare = storm(100_000, Policy::Jitter, at_once(late(ours)));
    let kept_down = Storm { watch: watched, ..bare }.run();
    assert!(kept_down.is_stuck, "{} are back", kept_down.back.len());
    assert_back_in_time(&storm(100_000, Policy::Jitter, at_once(ours)));
    // The kernel's queue is bounded, but too long for this server too.
    let ours = ServerModel::like_serve(count(200));
    let kept_down = Storm { watch: watched, ..storm(20_000, Policy::Jitter, late(ours)) }.run();
    assert!(kept_down.is_stuck, "{} are back", kept_down.back.len());
    let outcome = assert_back_in_time(&storm(20_000, Policy::Jitter, ours));
    assert_eq!(outcome.wasted, Some(0));
    assert!(outcome.rejected > Some(0));
}

/// Rejecting only clients that have left is not enough: those still there are about to leave.
#[test]
fn rejecting_only_clients_that_have_left_keeps_a_server_down_too() {
    let server = ServerModel {
        in_flight: None,
        stale_after: Some(Duration::from_secs(3600)),
        ..ServerModel::like_serve(count(1_000))
    };
    let outcome = storm(60_000, Policy::Jitter, server).run();
    assert!(outcome.is_stuck, "{} are back", outcome.back.len());
    assert!(outcome.rejected > Some(0) && outcome.wasted > Some(0));
}

/// The derivation of the bound is at [`ServerModel::bound`].
#[test]
fn the_default_is_never_metastable() {
    let (mut rejected, mut dropped) = (0, 0);
    for seed in 0..STORMS {
        let outcome = assert_back_in_time(&Storm::draw(seed, count(100_000)));
        rejected += outcome.rejected.unwrap();
        dropped += outcome.dropped.unwrap();
    }
    // The storms were hard enough.
    assert!(rejected > 0 && dropped > 0, "{rejected} and {dropped}");
    for (clients, capacity) in [(100_000, 2_000), (100_000, 100_000), (20_000, 200)] {
        let server = ServerModel::like_serve(count(capacity));
        assert_back_in_time(&storm(clients, Policy::Jitter, server));
    }
}

#[track_caller]
fn assert_back_in_time(storm: &Storm) -> Outcome {
    let bound = storm.bound().unwrap_or_else(|| panic!("nothing is promised for {storm:?}"));
    let outcome = Storm { watch: bound, ..*storm }.run();
    let back = outcome.back.len();
    assert!(outcome.is_over(), "{back} are back after {bound:?} in {storm:?}");
    outcome
}

/// Clients of lost nodes are back when `heartwire plan --fleet` says.
#[test]
fn fleets_lose_nodes_and_all_are_back_as_planned() {
    let (mut rejected, mut dropped) = (0, 0);
    for seed in 0..STORMS {
        let loss = Storm::draw_loss(seed, count(40_000));
        let outcome = loss.run();
        let ratio = loss.planned_to(&outcome);
        let (planned, back) = (loss.planned().back(), outcome.back_at(100));
        assert!(
            ratio.is_some_and(|ratio| super::PLANNED.contains(&ratio)),
            "planned {planned:?}, simulated {back:?}: {loss:?}"
        );
        rejected += outcome.rejected.unwrap();
        dropped += outcome.dropped.unwrap();
    }
    assert!(rejected > 0 && dropped > 0, "{rejected} and {dropped}");
}

/// A larger fleet is more of the same: what decides is how many clients come to each node. So a
/// fleet that is too large to be simulated can be planned like a smaller one.
#[test]
fn fleets_of_any_size_are_back_at_the_same_time_if_each_node_takes_as_many() {
    let back = |servers: u32| {
        let nodes = Storm {
            servers: count(servers),
            outage: Duration::ZERO,
            ..storm(4_000 * servers, Policy::Resuming, ServerModel::like_serve(count(800)))
        };
        nodes.run().back_at(99).unwrap().as_secs_f64()
    };
    let [few, more, many] = [2, 8, 32].map(back);
    // Shares differ by chance, less so among many.
    for other in [few, more] {
        assert!((other / many - 1.0).abs() < 0.15, "{few}, {more} and {many}");
    }
}

#[test]
fn attempts_go_to_all_servers() {
    // One server alone would need ten seconds.
    let servers = ServerModel::unlimited(count(100));
    let one = Storm { outage: Duration::ZERO, ..storm(1_000, Policy::Jitter, servers) };
    let ten = Storm { servers: count(10), ..one };
    assert!(one.run().back_at(100) >= Some(Duration::from_secs(5)));
    assert!(ten.run().back_at(100) < Some(Duration::from_millis(2_500)));
}

#[test]
fn storms_without_a_bound_promise_nothing() {
    let ours = ServerModel::like_serve(count(1_000));
    assert!(ours.bound(1_000_000, TIMEOUT).is_some());
    for server in [
        ServerModel { stale_after: None, ..ours },
        // So late that there is no time left for the handshake.
        ServerModel { stale_after: Some(TIMEOUT), ..ours },
        // Rejecting takes all of its time.
        ServerModel { reject: Duration::from_millis(2), ..ours },
        // Rejected clients use up the accept rate.
        ServerModel { accept_rate: Some(count(1_000)), ..ours },
        // A million clients that try every 15 s.
        ServerModel { in_flight: None, ..ours },
    ] {
        assert_eq!(server.bound(1_000_000, TIMEOUT), None, "{server:?}");
    }
    let fixed = storm(1_000, Policy::Fixed1s, ours);
    assert_eq!(fixed.bound(), None);
    let hasty = Storm { handshake_timeout: ms(2_000), ..storm(1_000, Policy::Jitter, ours) };
    assert_eq!(hasty.bound(), None);
}

/// Clients with a shorter timeout than ours are not served either after they have left.
#[test]
fn clients_that_have_left_are_rejected_however_young() {
    let mut server = super::server::Server::new(ServerModel::like_serve(count(1)), 0);
    assert_eq!(server.handle_syn(0, 900_000_000), super::server::Answer::Done { at: SECOND });
    let rejected = super::server::Answer::Rejected { at: SECOND + 60_000 };
    assert_eq!(server.handle_syn(1, 900_000_000), rejected);
    let done = super::server::Answer::Done { at: 2 * SECOND + 60_000 };
    assert_eq!(server.handle_syn(2, 3 * SECOND), done);
    // And this one will be too old.
    let rejected = super::server::Answer::Rejected { at: 3 * SECOND + 120_000 };
    assert_eq!(
        server.handle_syn(3, 9 * SECOND),
        super::server::Answer::Done { at: 3 * SECOND + 60_000 }
    );
    assert_eq!(server.handle_syn(4, 9 * SECOND), rejected);
}

#[test]
fn a_seed_replays() {
    let run = |seed| -> Outcome {
        Storm { seed, ..storm(2_000, Policy::Jitter, in_turn(100, 50)) }.run()
    };
    let (first, again, other) = (run(7), run(7), run(8));
    assert_eq!(first.back, again.back);
    assert_eq!(first.attempts, again.attempts);
    assert_ne!(first.back, other.back);
}

/// One client whose delays are known, calculated by hand.
#[test]
fn a_client_is_back_when_its_waits_say() {
    let server = ServerModel::unlimited(count(10));
    let outcome =
        Storm { outage: Duration::from_millis(2_500), ..storm(1, Policy::NoJitter, server) }.run();
    // It notices after 1 ms, and each attempt takes 20 ms: at 0.5 s and 1.5 s it is refused, at
    // 3.5 s served.
    assert_eq!((outcome.attempts, outcome.refused, outcome.failed), (3, 2, 0));
    let dialled = Duration::from_millis(1 + 500 + 20 + 1_000 + 20 + 2_000);
    let back =
        (dialled + Duration::from_millis(20 + 100)).saturating_sub(Duration::from_millis(2_500));
    assert_eq!(outcome.back, [back]);
}

/// A SYN that finds no room comes again after 1 s, and after 3 s; the client gives up after 5 s.
#[test]
fn dropped_syns_come_again_as_linux_sends_them() {
    // Two clients at the same time, room for one, which is busy for 2 s: the other one comes again
    // after 1 s, without success, and after 3 s.
    let mut server = super::server::Server::new(in_turn(1, 0), 0);
    assert!(matches!(server.handle_syn(0, u64::MAX), super::server::Answer::Done { .. }));
    assert_eq!(server.handle_syn(1, u64::MAX), super::server::Answer::Dropped);

    let slow = ServerModel { in_flight: Some(NonZeroU32::MIN), ..in_turn(1, 0) };
    let outcome = Storm { outage: Duration::ZERO, ..storm(2, Policy::Fixed1s, slow) }.run();
    assert_eq!((outcome.attempts, outcome.dropped, outcome.failed), (2, Some(1), 0));
    // Dialled at 1.001 s, arrived 10 ms later; done 1 s later, heard 10 ms later.
    let first = Duration::from_millis(1_001 + 20 + 1_000);
    assert_eq!(outcome.back, [first, first + Duration::from_secs(1)]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_model_is_the_server_that_we_have() {
    use heartwire::server::limits::Admission;
    let model = ServerModel::like_serve(count(1_000));
    let rate = Admission::ACCEPT_RATE;
    assert_eq!(model.accept_rate, Some(rate.per_second));
    assert_eq!(rate.burst.get(), 2 * rate.per_second.get());
    assert_eq!(model.stale_after, Some(Admission::STALE_AFTER));
    // A plan computes with the same.
    assert_eq!(heartwire_plan::Storm::PLACES, u64::from(ServerModel::BACKLOG + 128));
    assert_eq!(ServerModel::IN_FLIGHT.get(), 128);
    assert_eq!(heartwire_plan::Storm::STALE_AFTER, ServerModel::STALE_AFTER);
    assert_eq!(heartwire_plan::Storm::REJECT, ServerModel::REJECT);
    let node = heartwire_plan::fleet::Node::default();
    assert_eq!(node.accept_rate, u64::from(ServerModel::ACCEPT_RATE_PER_ADDRESS.get()));
    let waits = |policy: Policy| {
        let mut waits = heartwire_core::Backoff::new(policy.backoff_policy(), 1);
        let first = waits.max_wait();
        for _ in 0..20 {
            waits.next_wait();
        }
        heartwire_plan::Waits { first, longest: waits.max_wait() }
    };
    assert_eq!(waits(Policy::Jitter), heartwire_plan::Waits::DEFAULT);
    assert_eq!(waits(Policy::Resuming), heartwire_plan::Waits::RESUMING);
}

#[test]
fn arrivals_are_limited_with_a_burst_of_two_seconds() {
    let limited = ServerModel {
        accept_rate: Some(count(10_000)),
        ..ServerModel::unlimited(count(1_000_000))
    };
    let mut server = super::server::Server::new(limited, 0);
    let served = (0..50_000)
        .filter(|_| matches!(server.handle_syn(0, u64::MAX), super::server::Answer::Done { .. }))
        .count();
    assert_eq!(served, 20_000);
}

#[test]
fn the_waits_are_those_of_the_product() {
    assert_eq!(Policy::Jitter.backoff_policy(), heartwire_core::backoff::BackoffPolicy::default());
    let mut backoff =
        heartwire_core::Backoff::new(heartwire_core::backoff::BackoffPolicy::default(), 3);
    let mut waits = Policy::Jitter.waits(Duration::ZERO, 3);
    for _ in 0..20 {
        assert_eq!(waits.next_wait(), backoff.next_wait());
    }
    assert_eq!(backoff.max_wait(), CAP);
}
