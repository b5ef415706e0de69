use super::*;
use crate::net::detector::Detector;
use crate::net::fault::NAT_LIFETIME;

fn expected(fault: Fault, detector: Detector, side: Side) -> Expected {
    let nat = (fault == Fault::NatExpiry).then_some(NAT_LIFETIME);
    Expected::of(&detector.plan(Duration::ZERO, nat).unwrap(), fault, Client::Connect, side)
}

#[track_caller]
fn promised(fault: Fault, detector: Detector, side: Side) -> Promise {
    expected(fault, detector, side).promise().expect("it is found").clone()
}

#[test]
fn a_hung_process_is_found_by_beats_and_by_no_kernel_option() {
    let at_client = |detector| expected(Fault::ServerFrozen, detector, Side::Client);
    for detector in [
        Detector::None,
        Detector::KeepaliveDefault,
        Detector::KeepaliveTuned,
        Detector::UserTimeout,
        Detector::OneWay,
    ] {
        assert_eq!(at_client(detector), Expected::Never, "{detector:?}");
    }
    for detector in [Detector::Asking, Detector::BothWays, Detector::Everything] {
        let Expected::Found(promise) = at_client(detector) else { panic!("{detector:?}") };
        assert_eq!(promise.by, [Mechanism::Silence]);
    }
    assert_eq!(expected(Fault::ServerFrozen, Detector::BothWays, Side::Server), Expected::NotAsked);
}

#[test]
fn a_router_that_forgets_idle_connections_keeps_those_that_beat() {
    for side in [Side::Client, Side::Server] {
        for detector in [Detector::OneWay, Detector::BothWays, Detector::KeepaliveTuned] {
            assert_eq!(expected(Fault::NatExpiry, detector, side), Expected::Kept, "{detector:?}");
        }
    }
    let line = promised(Fault::NatExpiry, Detector::UserTimeout, Side::Client);
    assert_eq!(line.by, [Mechanism::UserTimeout]);
    assert_eq!(expected(Fault::NatExpiry, Detector::None, Side::Server), Expected::Never);
}

#[test]
fn a_short_blackout_is_outlived_and_a_long_one_is_a_fault() {
    for side in [Side::Client, Side::Server] {
        for detector in Detector::ALL {
            assert_eq!(expected(Fault::BlackoutShort, detector, side), Expected::Kept);
        }
        assert_eq!(expected(Fault::BlackoutLong, Detector::None, side), Expected::Kept);
        let silence = promised(Fault::BlackoutLong, Detector::BothWays, side);
        assert_eq!(silence.by, [Mechanism::Silence]);
    }
    // Its server has given up meanwhile, and says so when the path is back.
    let reset = promised(Fault::BlackoutLong, Detector::OneWay, Side::Client);
    assert_eq!(reset.by, [Mechanism::Reset]);
    assert_eq!(reset.earliest, Duration::from_secs(8));
}

#[test]
fn a_paused_end_may_have_been_given_up_meanwhile() {
    let paused = |detector, side| expected(Fault::ServerPaused, detector, side);
    assert_eq!(paused(Detector::None, Side::Server), Expected::Kept);
    let one_way = promised(Fault::ServerPaused, Detector::OneWay, Side::Server);
    assert_eq!(one_way.by, [Mechanism::PauseWatch]);
    let both_ways = promised(Fault::ServerPaused, Detector::BothWays, Side::Server);
    assert_eq!(both_ways.by, [Mechanism::PauseWatch, Mechanism::Reset]);
    assert_eq!(paused(Detector::OneWay, Side::Client), Expected::Never);
}

#[test]
fn the_end_that_sends_first_decides_where_a_new_nat_entry_can_be_made() {
    let loose = expected(Fault::NatFlushLoose, Detector::BothWays, Side::Client);
    assert!(matches!(loose, Expected::FoundOrKept(_)), "{loose:?}");
    // Here it is always the client.
    for side in [Side::Client, Side::Server] {
        assert_eq!(expected(Fault::NatFlushLoose, Detector::OneWay, side), Expected::Kept);
    }
    let dropped = expected(Fault::NatFlushDrop, Detector::BothWays, Side::Client);
    assert!(matches!(dropped, Expected::Found(_)), "{dropped:?}");
}

#[test]
fn beats_stuck_behind_a_long_packet_are_missed_and_probes_are_not() {
    let hole = |detector, side| expected(Fault::MtuHole, detector, side);
    let cut = |detector, side| expected(Fault::CutToServer, detector, side);
    for side in [Side::Client, Side::Server] {
        assert_eq!(hole(Detector::BothWays, side), cut(Detector::BothWays, side));
    }
    assert_eq!(hole(Detector::KeepaliveTuned, Side::Server), Expected::Never);
    let retransmitted = promised(Fault::MtuHole, Detector::KeepaliveTuned, Side::Client);
    assert_eq!(retransmitted.by, [Mechanism::Retransmissions]);
}

#[test]
fn only_a_client_that_watches_its_network_notices_that_it_changed() {
    let plan = Detector::OneWay.plan(Duration::ZERO, None).unwrap();
    let at = |fault, client| Expected::of(&plan, fault, client, Side::Client).promise().cloned();
    for fault in [Fault::ClientLinkDown, Fault::AddressChanged] {
        assert_eq!(at(fault, Client::Connect).unwrap().latest, Duration::from_millis(7100));
        assert_eq!(at(fault, Client::C), at(Fault::ServerLinkDown, Client::Connect));
    }
    let silent = Detector::KeepaliveDefault.plan(Duration::ZERO, None).unwrap();
    let sends_nothing = Expected::of(&silent, Fault::AddressChanged, Client::Connect, Side::Client);
    assert!(sends_nothing.promise().unwrap().latest > Duration::from_secs(3600));
}
