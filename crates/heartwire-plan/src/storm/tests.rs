use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Clients of lost nodes that others take at once.
fn storm(clients: u64, handshakes_per_s: u64) -> Storm {
    Storm {
        clients,
        servers: 10,
        handshakes_per_s,
        accept_rate: 10_000,
        outage: Duration::ZERO,
        waits: Waits::RESUMING,
        rtt: ms(10),
    }
}

#[test]
fn few_clients_are_back_after_their_first_wait() {
    // All find a place: 1 s of handshakes, 0.1 s of waits, and 30 ms.
    assert_eq!(storm(1_000, 1_000).back(), ms(1_000 + 100 + 30));
    // Fast servers have no queue to speak of.
    assert_eq!(storm(1_000, 100_000).work(), ms(10));
    assert_eq!(storm(1_000, 100_000).back(), ms(10 + 100 + 30));
}

#[test]
fn work_is_that_of_what_is_slower() {
    assert_eq!(storm(120_000, 100_000).work(), secs(10), "20,000 of them may come at once");
    assert_eq!(storm(120_000, 5_000).work(), secs(24));
    // A place takes 4.2 s to be served, so clients are rejected: a tenth of the time goes there.
    let slow = storm(100_000, 1_000).work();
    assert!(secs(111) < slow && slow < secs(112), "{slow:?}");
    assert_eq!(storm(2_000, 1_000).work(), secs(2), "no client waits that long");
}

#[test]
fn dropped_clients_come_again_with_their_syns() {
    // 4,224 + 200 find a place at once, and 1,800 of the others 1 s later.
    let (fits, again) = (storm(4_424, 2_000).back(), storm(6_300, 2_000).back());
    assert!(again > secs(3), "{again:?}");
    let queue = ms(4_224_000 / 2_000);
    assert_eq!(fits, ms(2_212).max(ms(100) + queue) + ms(100 + 30));
}

#[test]
fn a_longer_outage_makes_waits_longer_up_to_their_end() {
    let lost_for = |outage| Storm { outage, ..storm(2_000, 10_000) }.back();
    let [short, longer, long] = [ms(100), ms(500), secs(60)].map(lost_for);
    assert!(short < longer && longer < long, "{short:?}, {longer:?}, {long:?}");
    assert_eq!(long, ms(200) + Waits::RESUMING.longest + ms(30));
}

#[test]
fn the_luckiest_of_a_crowd_draws_the_shortest_waits() {
    let waits = Waits::DEFAULT;
    assert_eq!(waits.grown(1_000_000, Duration::ZERO), waits.first);
    // Of 1,000 clients all have had a first wait within half a second; a second wait would end in
    // it for a quarter of them, a third for 21, a fourth for 0.65, and a fifth for 0.01.
    assert_eq!(waits.grown(1_000, waits.first), secs(8));
    // 651 of a million have had the fourth by then, and 8 the fifth; 0.04 the sixth.
    assert_eq!(waits.grown(1_000_000, waits.first), secs(16));
    assert_eq!(waits.grown(1_000_000, secs(60)), waits.longest);
}

#[test]
fn more_clients_or_slower_servers_are_never_back_sooner() {
    let mut before = Duration::ZERO;
    for thousands in 1..200 {
        let back = Storm { outage: secs(10), ..storm(thousands * 1_000, 3_000) }.back();
        assert!(back >= before, "{thousands}: {back:?} after {before:?}");
        before = back;
    }
    let slow = Storm { outage: secs(10), ..storm(50_000, 1_000) }.back();
    assert!(slow > Storm { outage: secs(10), ..storm(50_000, 2_000) }.back());
}

#[test]
fn a_storm_of_any_size_has_a_time() {
    for clients in [0, 1, u64::MAX] {
        for handshakes in [0, 1, u64::MAX] {
            for outage in [Duration::ZERO, Duration::MAX] {
                let storm = Storm { outage, accept_rate: 0, ..storm(clients, handshakes) };
                assert!(storm.back() >= storm.work());
            }
        }
    }
}

#[test]
fn clients_that_do_not_wait_have_a_time_too() {
    let waits = Waits { first: Duration::ZERO, longest: secs(30) };
    for (clients, handshakes) in [(1_000, 1_000), (100_000, 20_000), (100_000, 100)] {
        for outage in [Duration::ZERO, secs(10)] {
            let storm = Storm { waits, outage, ..storm(clients, handshakes) };
            assert!(storm.back() >= storm.work());
        }
    }
}
