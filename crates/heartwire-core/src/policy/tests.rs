use std::string::ToString;

use super::*;

const TICK: Duration = Duration::from_millis(100);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The most milliseconds that 4 bytes can hold.
const DAYS_49: Duration = Duration::from_millis(4_294_967_295);

fn after_fault(preset: Preset, side: Side) -> Bound {
    preset.policy(side).bound_after_fault(TICK).unwrap()
}

#[test]
fn a_policy_takes_16_bytes() {
    assert_eq!(size_of::<Policy>(), 16);
}

#[test]
fn every_knob_is_off_at_first() {
    let policy = Policy::builder().build().unwrap();
    assert_eq!((policy.interval(), policy.timeout(), policy.echo()), (None, None, false));
    assert_eq!((policy.peer_interval(), policy.bound(TICK)), (None, None));
}

#[test]
fn usual_beats_every_10_s_and_gives_up_after_30_at_both_ends() {
    for side in [Side::Client, Side::Server] {
        let policy = Preset::Default.policy(side);
        assert_eq!((policy.interval(), policy.timeout()), (Some(secs(10)), Some(secs(30))));
        assert_eq!(policy, Policy::default());
    }
    assert_eq!(Preset::default(), Preset::Default);
    assert_eq!(after_fault(Preset::Default, Side::Server).to_string(), "20.0 to 30.1 s");
}

#[test]
fn the_tutorials_client_beats_every_3_s_and_has_no_timeout() {
    let client = Preset::Tutorial.policy(Side::Client);
    assert_eq!((client.interval(), client.timeout(), client.echo()), (Some(secs(3)), None, false));
    assert_eq!((client.bound(TICK), client.bound_after_fault(TICK)), (None, None));
}

#[test]
fn the_reference_server_is_silent_and_gives_up_after_15_s() {
    let server = Preset::Tutorial.policy(Side::Server);
    assert_eq!((server.interval(), server.timeout(), server.echo()), (None, Some(secs(15)), false));
    assert_eq!(server.bound(TICK).unwrap().to_string(), "15.0 to 15.1 s");
    assert_eq!(after_fault(Preset::Tutorial, Side::Server).to_string(), "12.0 to 15.1 s");
}

#[test]
fn strict_gives_its_verdict_6_to_9_s_after_the_fault() {
    for side in [Side::Client, Side::Server] {
        let bound = after_fault(Preset::Fast, side);
        assert!(bound.earliest >= secs(6) && bound.latest <= secs(9), "{bound}");
        assert_eq!(bound.to_string(), "6.0 to 8.6 s");
    }
}

#[test]
fn presets_are_policies_that_the_builder_would_accept() {
    for preset in [Preset::Default, Preset::Tutorial, Preset::Fast] {
        for side in [Side::Client, Side::Server] {
            let policy = preset.policy(side);
            let built = policy.to_builder().build().unwrap();
            assert_eq!((built.interval(), built.timeout()), (policy.interval(), policy.timeout()));
        }
    }
}

#[test]
fn one_end_cannot_both_beat_and_echo() {
    let builder = Policy::builder().interval(secs(3)).echo(true);
    assert_eq!(builder.build(), Err(PolicyError::BeatAndEcho));
    assert!(builder.no_interval().build().unwrap().echo());
    assert_eq!(builder.echo(false).build().unwrap().interval(), Some(secs(3)));
}

#[test]
fn a_timeout_under_two_beats_of_the_peer_is_refused() {
    let symmetric = Policy::builder().interval(secs(3));
    let refused =
        |timeout, peer_interval| Err(PolicyError::TimeoutTooShort { timeout, peer_interval });
    assert!(symmetric.timeout(secs(6)).build().is_ok());
    assert_eq!(symmetric.timeout(ms(5_999)).build(), refused(ms(5_999), secs(3)));

    let listener = Policy::builder().peer_interval(secs(4));
    assert!(listener.timeout(secs(8)).build().is_ok());
    assert_eq!(listener.timeout(ms(7_999)).build(), refused(ms(7_999), secs(4)));
}

#[test]
fn the_peers_interval_bounds_the_timeout_and_the_own_one_does_not() {
    let fast_peer = Policy::builder().interval(secs(10)).peer_interval(secs(1)).timeout(secs(2));
    assert_eq!(fast_peer.build().unwrap().peer_interval(), Some(secs(1)));
    let slow_peer = Policy::builder().interval(secs(1)).peer_interval(secs(10)).timeout(secs(19));
    assert!(slow_peer.build().is_err());
}

#[test]
fn a_knob_under_1_ms_or_over_49_days_is_refused_by_name() {
    let builder = Policy::builder();
    for value in [Duration::ZERO, DAYS_49 + ms(1), Duration::MAX] {
        let refused = |knob| Err(PolicyError::OutOfRange { knob, value });
        assert_eq!(builder.interval(value).build(), refused("interval"));
        assert_eq!(builder.timeout(value).build(), refused("timeout"));
        assert_eq!(builder.peer_interval(value).build(), refused("peer interval"));
    }
    assert!(builder.interval(ms(1)).timeout(DAYS_49).build().is_ok());
}

#[test]
fn fractions_of_a_millisecond_make_beats_sooner_and_verdicts_later() {
    let policy = Policy::builder()
        .interval(Duration::from_micros(2_999))
        .timeout(Duration::from_micros(6_001))
        .build()
        .unwrap();
    assert_eq!((policy.interval(), policy.timeout()), (Some(ms(2)), Some(ms(7))));
}

#[test]
fn an_assumed_promise_follows_the_beat_it_was_assumed_from() {
    let usual = Policy::default();
    let faster = usual.to_builder().interval(secs(5)).build().unwrap();
    assert_eq!(faster.peer_interval(), Some(secs(5)));
    let silent = usual.to_builder().no_interval().build().unwrap();
    assert_eq!(silent.peer_interval(), None);
    assert_eq!(usual.to_builder().no_timeout().build().unwrap().timeout(), None);
}

#[test]
fn a_promise_that_was_made_outlives_a_change() {
    let policy = Policy::builder()
        .interval(secs(3))
        .peer_interval(secs(4))
        .timeout(secs(9))
        .build()
        .unwrap();
    let changed = policy.to_builder().interval(secs(1)).build().unwrap();
    assert_eq!(changed.peer_interval(), Some(secs(4)));
}

#[test]
fn on_a_protocol_without_beats_only_a_promise_that_was_made_remains() {
    let usual = Policy::default().without_beats();
    assert_eq!(
        (usual.interval(), usual.peer_interval(), usual.timeout()),
        (None, None, Some(secs(30)))
    );
    let promised =
        Policy::builder().peer_interval(secs(4)).timeout(secs(9)).echo(true).build().unwrap();
    let promised = promised.without_beats();
    assert_eq!((promised.echo(), promised.peer_interval()), (false, Some(secs(4))));
}

#[test]
fn with_an_unknown_peer_the_verdict_may_come_at_once_after_the_fault() {
    let policy = Policy::builder().timeout(secs(15)).build().unwrap();
    assert_eq!(policy.bound_after_fault(TICK).unwrap().to_string(), "0.0 to 15.1 s");
}

#[test]
fn a_bound_contains_both_its_ends() {
    let bound = Preset::Tutorial.policy(Side::Server).bound(TICK).unwrap();
    let contained = [14_999, 15_000, 15_100, 15_101].map(|millis| bound.contains(ms(millis)));
    assert_eq!(contained, [false, true, true, false]);
}

#[test]
fn a_bound_is_shown_exactly() {
    let policy = Policy::builder().timeout(secs(15)).build().unwrap();
    let shown = |tick| policy.bound(tick).unwrap().to_string();
    assert_eq!(shown(ms(0)), "15.0 to 15.0 s");
    assert_eq!(shown(ms(100)), "15.0 to 15.1 s");
    assert_eq!(shown(ms(10)), "15.00 to 15.01 s");
    assert_eq!(shown(ms(8)), "15.000 to 15.008 s");
    assert_eq!(shown(ms(1_250)), "15.00 to 16.25 s");
}

#[test]
fn no_tick_is_too_long_to_add() {
    assert_eq!(Policy::default().bound(Duration::MAX).unwrap().latest, Duration::MAX);
}

#[test]
fn a_refusal_says_what_would_work() {
    let text =
        Policy::builder().interval(secs(3)).timeout(secs(5)).build().unwrap_err().to_string();
    assert!(text.contains("timeout of 5s") && text.contains("at least 6s"), "{text}");
    let text = Policy::builder().interval(secs(3)).echo(true).build().unwrap_err().to_string();
    assert!(text.contains("Send beats on one end and echo on the other"), "{text}");
    let text = Policy::builder().timeout(ms(0)).build().unwrap_err().to_string();
    assert_eq!(text, "the timeout of 0s is out of range: it must be 1 ms to 49 days");
}

#[test]
fn clamped_milliseconds_round_up() {
    let clamped = |value| Millis::clamp(value).duration();
    assert_eq!(clamped(Duration::ZERO), ms(1));
    assert_eq!(clamped(Duration::from_nanos(1_000_001)), ms(2));
    assert_eq!(clamped(ms(100)), ms(100));
    assert_eq!(clamped(Duration::MAX), DAYS_49);
}
