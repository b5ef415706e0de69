use core::net::SocketAddr;

use heartwire_core::Instant;

use super::{Failures, MAX_ADDRESSES, MAX_FAILURES, REMEMBERED_FOR};

fn parse(address: &&str) -> SocketAddr {
    address.parse().unwrap()
}

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

fn order_of(failures: &mut Failures, addresses: &[&str], now: Instant) -> Vec<String> {
    let ordered = failures.in_order(addresses.iter().map(parse), now);
    ordered.iter().map(SocketAddr::to_string).collect()
}

fn order(addresses: &[&str]) -> Vec<String> {
    order_of(&mut Failures::default(), addresses, at(0))
}

#[test]
fn families_take_turns_and_the_resolvers_first_begins() {
    assert_eq!(
        order(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1", "[::2]:1"]),
        ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "[::2]:1", "3.3.3.3:1"]
    );
    assert_eq!(order(&["[::1]:1", "[::2]:1", "1.1.1.1:1"]), ["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
    assert_eq!(order(&["1.1.1.1:1"]), ["1.1.1.1:1"]);
    assert!(order(&[]).is_empty());
}

#[test]
fn repeated_addresses_are_tried_once_and_eight_at_most() {
    assert_eq!(
        order(&["1.1.1.1:1", "1.1.1.1:1", "[::1]:1", "1.1.1.1:1"]),
        ["1.1.1.1:1", "[::1]:1"]
    );
    let many: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(order(&many), many[..MAX_ADDRESSES]);
}

#[test]
fn failed_addresses_come_last_and_the_latest_failure_at_the_end() {
    let mut failures = Failures::default();
    let all = ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"];
    failures.insert(parse(&"[::1]:1"), at(0));
    assert_eq!(order_of(&mut failures, &all, at(1)), ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]);
    failures.insert(parse(&"1.1.1.1:1"), at(1));
    assert_eq!(order_of(&mut failures, &all, at(2)), ["2.2.2.2:1", "[::1]:1", "1.1.1.1:1"]);
    failures.insert(parse(&"[::1]:1"), at(2));
    assert_eq!(order_of(&mut failures, &all, at(3)), ["2.2.2.2:1", "1.1.1.1:1", "[::1]:1"]);
    failures.remove(parse(&"[::1]:1"));
    assert_eq!(order_of(&mut failures, &all, at(4)), ["[::1]:1", "2.2.2.2:1", "1.1.1.1:1"]);
}

#[test]
fn a_failure_is_forgotten_after_some_time() {
    let mut failures = Failures::default();
    let all = ["1.1.1.1:1", "2.2.2.2:1"];
    failures.insert(parse(&"1.1.1.1:1"), at(5));
    let until = REMEMBERED_FOR.as_secs() + 5;
    assert_eq!(order_of(&mut failures, &all, at(until - 1)), ["2.2.2.2:1", "1.1.1.1:1"]);
    assert_eq!(order_of(&mut failures, &all, at(until)), all);
}

#[test]
fn every_one_of_many_addresses_has_its_turn_and_the_memory_is_bounded() {
    let mut failures = Failures::default();
    let many: Vec<SocketAddr> = (1..=50).map(|n| SocketAddr::from(([10, 0, 0, n], 1))).collect();
    let mut tried = Vec::new();
    for attempt in 0..7 {
        for address in failures.in_order(many.clone(), at(attempt)) {
            failures.insert(address, at(attempt));
            tried.push(address);
        }
    }
    assert_eq!(tried[..50], many);
    for n in 0..200 {
        failures.insert(SocketAddr::from(([10, 0, 1, n], 1)), at(9));
        assert!(failures.failed.len() <= MAX_FAILURES);
    }
}
