use std::thread;

use super::*;

mod model;

const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// No timeouts but those that a test sets.
fn limits() -> Admission {
    Admission::default().accept_rate_per_address(None).accept_rate(None).max_addresses(1000)
}

fn most(sessions: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(sessions)
}

fn accept_rate_per_address(retry_after: u64) -> Result<Entered, AddressRefusal> {
    Err(AddressRefusal::AcceptRatePerAddress { retry_after: Duration::from_nanos(retry_after) })
}

fn accept_rate(retry_after: u64) -> Result<Entered, AddressRefusal> {
    Err(AddressRefusal::AcceptRate { retry_after: Duration::from_nanos(retry_after) })
}

const COUNTED: Result<Entered, AddressRefusal> = Ok(Entered { counted: true });
const UNCOUNTED: Result<Entered, AddressRefusal> = Ok(Entered { counted: false });

impl AddressCounts {
    /// The number of addresses that are counted.
    fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// How many wait to be forgotten.
    fn left(&self) -> usize {
        self.lock().left.len()
    }
}

#[test]
fn an_address_has_so_many_sessions_and_no_more() {
    let counts = AddressCounts::new(limits().max_per_address(most(2)));
    let (a, b) = (ip("192.0.2.1"), ip("192.0.2.2"));
    let first = counts.enter(a, at(0)).unwrap();
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    assert_eq!(counts.enter(a, at(0)), Err(AddressRefusal::Sessions));
    assert_eq!(counts.enter(b, at(0)), COUNTED);
    // Time alone makes no room, but a client that leaves does.
    assert_eq!(counts.enter(a, at(3600 * SECOND)), Err(AddressRefusal::Sessions));
    counts.leave(a, first, at(0));
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    assert_eq!(counts.enter(a, at(0)), Err(AddressRefusal::Sessions));
}

#[test]
fn clients_come_in_bursts_and_at_a_rate() {
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(10, 3))));
    let a = ip("192.0.2.1");
    let tenth = SECOND / 10;
    for _ in 0..3 {
        assert_eq!(counts.enter(a, at(SECOND)), COUNTED);
    }
    assert_eq!(counts.enter(a, at(SECOND)), accept_rate_per_address(tenth));
    assert_eq!(counts.enter(a, at(SECOND + tenth - 1)), accept_rate_per_address(1));
    assert_eq!(counts.enter(a, at(SECOND + tenth)), COUNTED);
    assert_eq!(counts.enter(a, at(SECOND + tenth)), accept_rate_per_address(tenth));
    // After a rest there is a burst again, however long it was.
    for _ in 0..3 {
        assert_eq!(counts.enter(a, at(99 * SECOND)), COUNTED);
    }
    assert_eq!(counts.enter(a, at(99 * SECOND)), accept_rate_per_address(tenth));
    assert_eq!(counts.enter(ip("192.0.2.2"), at(99 * SECOND)), COUNTED);
}

#[test]
fn refused_attempts_do_not_extend_the_wait() {
    let counts = AddressCounts::new(
        limits().accept_rate_per_address(Some(Rate::of(1, 1))).max_per_address(most(2)),
    );
    let a = ip("192.0.2.1");
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    for n in 0..10 {
        assert_eq!(counts.enter(a, at(n)), accept_rate_per_address(SECOND - n));
    }
    assert_eq!(counts.enter(a, at(SECOND)), COUNTED);
    // Refused for the sessions, it takes nothing from the bucket.
    for n in 2..10 {
        assert_eq!(counts.enter(a, at(n * SECOND)), Err(AddressRefusal::Sessions));
    }
    counts.leave(a, Entered { counted: true }, at(10 * SECOND));
    assert_eq!(counts.enter(a, at(10 * SECOND)), COUNTED);
}

#[test]
fn leaving_does_not_fill_the_bucket() {
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(1, 2))));
    let a = ip("192.0.2.1");
    for _ in 0..2 {
        let entered = counts.enter(a, at(0)).unwrap();
        counts.leave(a, entered, at(0));
    }
    assert_eq!(counts.enter(a, at(0)), accept_rate_per_address(SECOND));
    // Nor does the last one who leaves: its address is not forgotten before the bucket is full.
    assert_eq!(counts.enter(a, at(SECOND)), COUNTED);
    assert_eq!(counts.enter(a, at(SECOND)), accept_rate_per_address(SECOND));
}

#[test]
fn the_rate_for_all_counts_accepted_clients() {
    let counts = AddressCounts::new(
        limits().accept_rate(Some(Rate::of(1, 3))).accept_rate_per_address(Some(Rate::of(1, 1))),
    );
    let [a, b, c, d] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.4"].map(ip);
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    // One address alone cannot use up what is for all.
    for _ in 0..10 {
        assert_eq!(counts.enter(a, at(0)), accept_rate_per_address(SECOND));
    }
    assert_eq!(counts.enter(b, at(0)), COUNTED);
    assert_eq!(counts.enter(c, at(0)), COUNTED);
    assert_eq!(counts.enter(d, at(0)), accept_rate(SECOND));
    // Those whom all the others kept out are as if they had not come.
    assert_eq!(counts.len(), 3);
    assert_eq!(counts.enter(d, at(SECOND)), COUNTED);
    assert_eq!(counts.enter(a, at(SECOND)), accept_rate(SECOND));
    assert_eq!(counts.enter(a, at(2 * SECOND)), COUNTED);
}

#[test]
fn the_rate_for_all_holds_without_limits_for_one() {
    let counts = AddressCounts::new(limits().accept_rate(Some(Rate::of(1, 2))));
    let a = ip("192.0.2.1");
    assert_eq!(counts.enter(a, at(0)), UNCOUNTED);
    assert_eq!(counts.enter(a, at(0)), UNCOUNTED);
    assert_eq!(counts.enter(a, at(0)), accept_rate(SECOND));
    counts.leave(a, Entered { counted: false }, at(0));
    assert_eq!((counts.len(), counts.left()), (0, 0));
}

#[test]
fn without_limits_every_client_is_accepted() {
    let counts = AddressCounts::new(limits());
    for _ in 0..1000 {
        assert_eq!(counts.enter(ip("192.0.2.1"), at(0)), UNCOUNTED);
    }
}

#[test]
fn an_ipv6_address_is_its_first_64_bits_and_a_mapped_one_is_ipv4() {
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ("2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", false),
        ("2001:db8:1:2::1", "2001:db9:1:2::1", false),
        ("2001:db8:1:2::1", "2002:db8:1:2::1", false),
        // The same numbers in another family.
        ("0.0.0.1", "0:0:0:1::", false),
        ("0.0.0.0", "::", false),
        ("127.0.0.1", "::1", false),
    ] {
        let counts = AddressCounts::new(limits().max_per_address(most(1)));
        assert_eq!(counts.enter(ip(one), at(0)), COUNTED);
        let expected = if same { Err(AddressRefusal::Sessions) } else { COUNTED };
        assert_eq!(counts.enter(ip(other), at(0)), expected, "{one} {other}");
        counts.leave(ip(other), Entered { counted: true }, at(0));
        assert_eq!(counts.len(), usize::from(!same));
    }
}

/// Loopback is an address like any other.
#[test]
fn many_from_one_address_are_a_question_of_configuration() {
    let one = ip("127.0.0.1");
    let all_in = |limits, addr: fn(u8) -> IpAddr, count: usize| {
        let counts = AddressCounts::new(limits);
        let addrs = (0..=7).cycle().map(addr).take(count);
        addrs.filter(|&addr| counts.enter(addr, at(0)).is_ok()).count()
    };
    let several = |n| IpAddr::from([127, 0, 0, n]);
    let same = |_| IpAddr::from([127, 0, 0, 1]);
    assert_eq!(all_in(Admission::default(), several, 15_000), 15_000);
    assert_eq!(all_in(Admission::default(), same, 20_000), 20_000);
    let counts = AddressCounts::new(Admission::default().max_per_address(most(3)));
    assert_eq!((0..9).filter(|_| counts.enter(one, at(0)).is_ok()).count(), 3);
}

#[test]
fn an_address_without_sessions_is_forgotten_when_its_bucket_is_full() {
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(1, 5))));
    let addr = |n: u32| IpAddr::from(n.to_be_bytes());
    for n in 0..100 {
        let entered = counts.enter(addr(n), at(0)).unwrap();
        counts.leave(addr(n), entered, at(0));
    }
    assert_eq!((counts.len(), counts.left()), (100, 100));
    // The buckets of those who came once were full after a second. One that had come five times
    // would need five, so that they are looked at then: two with each client that comes or goes.
    let later = ip("192.0.2.1");
    let entered = counts.enter(later, at(5 * SECOND - 1)).unwrap();
    assert_eq!((counts.len(), counts.left()), (101, 100));
    counts.leave(later, entered, at(5 * SECOND));
    assert_eq!((counts.len(), counts.left()), (99, 99));
    (0..49).for_each(|_| counts.lock().forget_idle(at(5 * SECOND)));
    assert_eq!((counts.len(), counts.left()), (1, 1));
    counts.lock().forget_idle(at(10 * SECOND));
    assert_eq!((counts.len(), counts.left()), (0, 0));
}

#[test]
fn without_a_rate_an_address_is_forgotten_with_its_last_session() {
    let counts = AddressCounts::new(limits().max_per_address(most(2)));
    let a = ip("192.0.2.1");
    let [first, second] = [(); 2].map(|()| counts.enter(a, at(0)).unwrap());
    counts.leave(a, first, at(0));
    assert_eq!(counts.len(), 1);
    counts.leave(a, second, at(0));
    assert_eq!((counts.len(), counts.left()), (0, 0));
}

/// Coming and going must not make it wait to be forgotten more than once.
#[test]
fn the_queue_to_forget_is_never_longer_than_the_table() {
    let counts =
        AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(1_000_000, 1000))));
    let a = ip("192.0.2.1");
    for n in 0..10_000 {
        let entered = counts.enter(a, at(n * 1000)).unwrap();
        counts.leave(a, entered, at(n * 1000 + 10));
        assert!(counts.left() <= counts.len());
    }
}

#[test]
fn when_there_are_too_many_addresses_only_the_limits_for_all_hold() {
    let limits =
        limits().max_per_address(most(1)).accept_rate(Some(Rate::of(1, 5))).max_addresses(2);
    let counts = AddressCounts::new(limits);
    let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip);
    let entered = counts.enter(a, at(0)).unwrap();
    assert_eq!(counts.enter(b, at(0)), COUNTED);
    assert_eq!(counts.enter(c, at(0)), UNCOUNTED);
    assert_eq!(counts.enter(c, at(0)), UNCOUNTED);
    assert_eq!(counts.len(), 2);
    // Those who are known keep their timeouts.
    assert_eq!(counts.enter(a, at(0)), Err(AddressRefusal::Sessions));
    // A client that was not counted is not when it leaves, even if the address is known by then.
    counts.leave(a, entered, at(0));
    assert_eq!(counts.enter(c, at(0)), COUNTED);
    counts.leave(c, Entered { counted: false }, at(0));
    counts.leave(c, Entered { counted: false }, at(0));
    assert_eq!(counts.enter(c, at(0)), Err(AddressRefusal::Sessions));
    assert_eq!(counts.enter(a, at(0)), accept_rate(SECOND));
}

#[test]
fn a_client_from_a_new_address_makes_room_for_itself_if_others_are_to_be_forgotten() {
    let counts =
        AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(1, 2))).max_addresses(2));
    for addr in ["192.0.2.1", "192.0.2.2"].map(ip) {
        let entered = counts.enter(addr, at(0)).unwrap();
        counts.leave(addr, entered, at(0));
    }
    assert_eq!(counts.enter(ip("192.0.2.3"), at(2 * SECOND - 1)), UNCOUNTED);
    assert_eq!(counts.enter(ip("192.0.2.3"), at(2 * SECOND)), COUNTED);
    assert_eq!(counts.len(), 1);
}

#[test]
fn too_many_addresses_are_logged_again_only_after_half_have_gone() {
    let counts = AddressCounts::new(limits().max_per_address(most(1)).max_addresses(4));
    let addr = |n: u8| IpAddr::from([192, 0, 2, n]);
    let is_full = || counts.lock().is_full;
    (0..4).for_each(|n| assert_eq!(counts.enter(addr(n), at(0)), COUNTED));
    assert!(!is_full());
    assert_eq!(counts.enter(addr(4), at(0)), UNCOUNTED);
    assert!(is_full());
    counts.leave(addr(0), Entered { counted: true }, at(0));
    assert_eq!(counts.enter(addr(0), at(0)), COUNTED);
    assert!(is_full());
    (0..2).for_each(|n| counts.leave(addr(n), Entered { counted: true }, at(0)));
    assert_eq!(counts.enter(addr(0), at(0)), COUNTED);
    assert!(!is_full());
}

#[test]
fn rates_at_both_ends_of_what_can_be_asked_for() {
    let max = u32::MAX;
    let a = ip("192.0.2.1");
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(1, max))));
    for nanos in [0, 0, u64::MAX, u64::MAX] {
        assert_eq!(counts.enter(a, at(nanos)), COUNTED);
    }
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(max, 1))));
    assert_eq!(counts.enter(a, at(5)), COUNTED);
    assert_eq!(counts.enter(a, at(5)), accept_rate_per_address(1));
    assert_eq!(counts.enter(a, at(6)), COUNTED);
    // A clock that stepped back.
    assert_eq!(counts.enter(a, at(2)), accept_rate_per_address(5));
}

#[test]
fn a_rate_is_never_more_than_was_asked_for() {
    // A third of a second is not a whole number of nanoseconds.
    let counts = AddressCounts::new(limits().accept_rate_per_address(Some(Rate::of(3, 1))));
    let a = ip("192.0.2.1");
    let mut count = 0;
    let mut now = 0;
    while now < 1000 * SECOND && count <= 3000 {
        match counts.enter(a, at(now)) {
            Ok(_) => count += 1,
            Err(AddressRefusal::AcceptRatePerAddress { retry_after }) => {
                now += u64::try_from(retry_after.as_nanos()).unwrap();
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!(count, 3000);
}

#[test]
fn limits_that_change_hold_for_clients_that_come_later() {
    let counts = AddressCounts::new(limits().max_per_address(most(1)));
    let a = ip("192.0.2.1");
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    assert_eq!(counts.enter(a, at(0)), Err(AddressRefusal::Sessions));
    counts.set(limits().max_per_address(most(3)));
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    counts.set(limits().max_per_address(most(1)));
    assert_eq!(counts.enter(a, at(0)), Err(AddressRefusal::Sessions));
}

#[test]
fn a_rate_that_is_raised_frees_those_that_have_used_up_the_lower_one() {
    let slow = Some(Rate::of(1, 1000));
    let counts = AddressCounts::new(limits().accept_rate_per_address(slow));
    let (a, faster) = (ip("192.0.2.1"), Some(Rate::of(1000, 1)));
    for _ in 0..1000 {
        assert_eq!(counts.enter(a, at(0)), COUNTED);
    }
    assert_eq!(counts.enter(a, at(0)), accept_rate_per_address(SECOND));
    counts.set(limits().accept_rate_per_address(faster));
    assert_eq!(counts.enter(a, at(0)), COUNTED);
    assert_eq!(counts.enter(a, at(0)), accept_rate_per_address(SECOND / 1000));
    // What has not changed is as it was.
    counts.set(limits().accept_rate_per_address(faster).accept_rate(slow));
    assert_eq!(counts.enter(a, at(0)), accept_rate_per_address(SECOND / 1000));
    for n in 1..=1000 {
        assert_eq!(counts.enter(a, at(n * SECOND / 1000)), COUNTED);
    }
    let retry_after = counts.enter(a, at(1001 * SECOND / 1000));
    assert!(retry_after.is_ok(), "the rate of all is refilled too");
    counts.set(limits().accept_rate(faster));
    assert_eq!(counts.enter(a, at(2 * SECOND)), UNCOUNTED);
}

#[test]
fn shards_that_share_the_limits_do_not_exceed_them() {
    let limits = limits().max_per_address(most(7)).accept_rate_per_address(Some(Rate::of(1, 2000)));
    let counts = AddressCounts::new(limits.accept_rate(Some(Rate::of(1, 3000))));
    let addrs = ["192.0.2.1", "192.0.2.2"].map(ip);
    let entered: usize = thread::scope(|scope| {
        let shard = || {
            let mut count = 0;
            for n in 0..4000 {
                let addr = addrs[n % 2];
                if let Ok(entered) = counts.enter(addr, at(0)) {
                    count += 1;
                    counts.leave(addr, entered, at(0));
                }
            }
            count
        };
        let shards = [(); 4].map(|()| scope.spawn(shard));
        shards.into_iter().map(|shard| shard.join().unwrap()).sum()
    });
    assert_eq!(entered, 3000);
    assert!(counts.lock().entries.values().all(|entry| entry.sessions == 0));
}
