use core::num::NonZeroU32;
use core::time::Duration;

use super::policy::CAP;
use super::simulate::Storm;
use super::{Outcome, Policy, ServerModel};

const TIMEOUT: Duration = Duration::from_secs(5);

/// How many random storms a property is tried on.
const STORMS: u64 = 100;

fn storm(clients: u32, policy: Policy, server: ServerModel) -> Storm {
    Storm {
        clients: count(clients),
        policy,
        server,
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

fn limited(capacity: u32, arrivals: u32) -> ServerModel {
    ServerModel { arrivals: Some(count(arrivals)), ..ServerModel::unlimited(count(capacity)) }
}

/// The measured storm of 18,000 clients on a server that took 2 ms for each, where a fixed second left
/// two thirds of them outside for ever and full jitter had all back after 47 s. Half of them were back
/// after 9.5 s there, so both processors worked: 1,000 handshakes a second.
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

/// Limits on the server's side save what the clients' waits do not.
#[test]
fn a_short_backlog_brings_even_a_fixed_second_back() {
    let outcome = storm(18_000, Policy::Fixed1s, in_turn(1_000, 128)).run();
    assert!(outcome.is_over(), "{} are back", outcome.back.len());
}

/// What docs/lab.md says of a server that is too slow and has no limits. If this fails, the promise
/// there can be widened.
#[test]
fn beyond_twenty_seconds_of_work_the_default_needs_limits_at_the_server() {
    let bare = storm(60_000, Policy::Jitter, ServerModel::unlimited(count(1_000))).run();
    assert!(bare.is_stuck, "{} are back", bare.back.len());
    let limited = storm(60_000, Policy::Jitter, limited(1_000, 1_000)).run();
    assert!(limited.is_over(), "{} are back", limited.back.len());
}

/// Without any limit at the server.
///
/// Let S be the time it takes to serve everybody, C the cap of 30 s, T the time-out of 5 s. A client
/// whose attempts all fail makes one every C/2 + T = 20 s on average once its waits are at the cap, so
/// that the server has S of work for every 20 s, and gets less and less behind if S is below 20 s. The
/// five attempts before that come sooner: 0.25 s, 0.5 s, 1 s .. 8 s on average, and T each. The k-th
/// attempt is made 20 (k - 4) s after the first, roughly, so that all is served that was asked for
/// when S k = 20 (k - 4), after 4 S / (1 - S / 20). From then on attempts succeed; the last client has
/// just failed, waits C at most, connects and is served within 2 T, and there is room for one of
/// them to fail once more.
fn bound_without_limits(work: Duration) -> Duration {
    let cycle = (CAP / 2 + TIMEOUT).as_secs_f64();
    let work = work.as_secs_f64();
    Duration::from_secs_f64(4.0 * work / (1.0 - work / cycle)) + 2 * (CAP + 2 * TIMEOUT)
}

/// With a queue that is served before anybody in it gives up.
///
/// Then nothing is served in vain. While more clients come than there is room for, the server is
/// always busy, and has served everybody after S. Afterwards there is room for each that comes, and
/// each comes within C + 2 T; there is room for two more failures. S counts twice because the number of
/// those that come is random: about when S / 20 of all are outside they come as fast as they are served.
fn bound_with_limits(work: Duration) -> Duration {
    2 * work + 3 * (CAP + 2 * TIMEOUT)
}

#[test]
fn the_default_is_never_metastable_where_everybody_is_served_in_15_s() {
    for seed in 0..STORMS {
        let mut draw = fastrand::Rng::with_seed(seed);
        let capacity = draw.u32(20..2_000);
        let clients = draw.u32(1..=15 * capacity).min(3_000);
        let in_flight = draw.bool().then(|| count(draw.u32(1..10_000)));
        let server = ServerModel {
            backlog: draw.u32(0..10_000),
            in_flight,
            ..ServerModel::unlimited(count(capacity))
        };
        let bound = bound_without_limits(server.work(clients));
        assert_all_back(&drawn(clients, server, seed, &mut draw), bound);
    }
}

#[test]
fn the_default_is_never_metastable_where_the_queue_is_short() {
    for seed in 0..STORMS {
        let mut draw = fastrand::Rng::with_seed(seed);
        let capacity = draw.u32(20..1_000);
        let clients = draw.u32(1..=120 * capacity).min(3_000);
        // Half of the time-out.
        let room = capacity * 5 / 2;
        let in_flight = draw.u32(1..=room);
        let server = ServerModel {
            backlog: draw.u32(0..=room - in_flight),
            in_flight: Some(count(in_flight)),
            ..ServerModel::unlimited(count(capacity))
        };
        let bound = bound_with_limits(server.work(clients));
        assert_all_back(&drawn(clients, server, seed, &mut draw), bound);
    }
}

/// As `heartwire serve` does it: the burst of arrivals is two seconds' worth.
#[test]
fn the_default_is_never_metastable_where_arrivals_are_limited_to_what_can_be_served() {
    for seed in 0..STORMS {
        let mut draw = fastrand::Rng::with_seed(seed);
        let arrivals = draw.u32(20..1_000);
        let capacity = draw.u32(arrivals..=4 * arrivals);
        let clients = draw.u32(1..=120 * arrivals).min(3_000);
        let server = limited(capacity, arrivals);
        let bound = bound_with_limits(server.work(clients));
        assert_all_back(&drawn(clients, server, seed, &mut draw), bound);
    }
}

fn drawn(clients: u32, server: ServerModel, seed: u64, draw: &mut fastrand::Rng) -> Storm {
    let policy = if draw.bool() { Policy::Jitter } else { Policy::Hint };
    let outage = Duration::from_millis(draw.u64(1..60_000));
    let round_trip = Duration::from_millis(draw.u64(1..300));
    Storm { outage, round_trip, seed, ..storm(clients, policy, server) }
}

fn assert_all_back(storm: &Storm, bound: Duration) {
    let outcome = Storm { watch: bound, ..*storm }.run();
    let back = outcome.back.len();
    assert!(outcome.is_over(), "{back} are back after {bound:?} in {storm:?}");
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

/// One client whose every wait is known, counted by hand.
#[test]
fn one_client_is_back_when_its_waits_say() {
    let server = ServerModel::unlimited(count(10));
    let outcome =
        Storm { outage: Duration::from_millis(2_500), ..storm(1, Policy::NoJitter, server) }.run();
    // The news takes 1 ms, each attempt 20 ms: at 0.5 s and 1.5 s it is refused, at 3.5 s served.
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
    // after 1 s, in vain, and after 3 s.
    let mut server = super::server::Server::new(in_turn(1, 0), 0);
    assert!(matches!(server.handle_syn(0), super::server::Answer::Done { .. }));
    assert_eq!(server.handle_syn(1), super::server::Answer::Dropped);

    let slow = ServerModel { in_flight: Some(NonZeroU32::MIN), ..in_turn(1, 0) };
    let outcome = Storm { outage: Duration::ZERO, ..storm(2, Policy::Fixed1s, slow) }.run();
    assert_eq!((outcome.attempts, outcome.dropped, outcome.failed), (2, Some(1), 0));
    // Dialled at 1.001 s, arrived 10 ms later; done 1 s later, heard 10 ms later.
    let first = Duration::from_millis(1_001 + 20 + 1_000);
    assert_eq!(outcome.back, [first, first + Duration::from_secs(1)]);
}

#[test]
fn limits_are_those_of_the_server() {
    #[cfg(target_os = "linux")]
    {
        use heartwire::server::AddressCaps;
        let rate = AddressCaps::ALL_ARRIVALS;
        assert_eq!((rate.per_second().get(), rate.burst().get()), (10_000, 20_000));
    }
    let mut server = super::server::Server::new(limited(1_000_000, 10_000), 0);
    let served = (0..50_000)
        .filter(|_| matches!(server.handle_syn(0), super::server::Answer::Done { .. }))
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
    assert_eq!(backoff.ceiling(), CAP);
}
