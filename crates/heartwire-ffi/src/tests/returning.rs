use super::rig::{Calls, Rig, Told};
use crate::abi::{Protocol, Status, Step};

#[test]
fn the_first_attempt_waits_for_nothing_and_the_waits_grow() {
    let mut rig = Rig::new(Protocol::V1, |config| {
        (config.first_wait_ms, config.max_wait_ms) = (100, 6_400);
    });
    assert_eq!(rig.retry_ms(), 0);
    let mut most = vec![];
    for _ in 0..200 {
        let mut longest = vec![];
        for _ in 0..8 {
            rig.disconnect();
            longest.push(rig.retry_ms());
        }
        most.push(longest);
        rig = Rig::new(Protocol::V1, |config| {
            (config.first_wait_ms, config.max_wait_ms) = (100, 6_400);
            config.seed = u64::try_from(most.len()).unwrap() << 7;
        });
    }
    for (attempt, limit) in [100, 200, 400, 800, 1_600, 3_200, 6_400, 6_400].into_iter().enumerate()
    {
        let longest = most.iter().map(|waits| waits[attempt]).max().unwrap();
        assert!((limit * 9 / 10..=limit).contains(&longest), "{attempt}: {longest} {limit}");
        let shortest = most.iter().map(|waits| waits[attempt]).min().unwrap();
        assert!(shortest <= limit / 10, "{attempt}: {shortest}");
    }
}

#[test]
fn a_wait_is_drawn_once_for_each_attempt() {
    let mut rig = Rig::new(Protocol::V0, |config| config.first_wait_ms = 60_000);
    rig.connected();
    rig.disconnect();
    let wait = rig.retry_ms();
    assert!(wait > 10);
    rig.now += 10;
    assert_eq!(rig.retry_ms(), wait - 10);
    rig.now += wait;
    assert_eq!(rig.retry_ms(), 0);
    rig.connected();
    assert_eq!(rig.retry_ms(), 0);
}

#[test]
fn a_connection_that_has_lasted_starts_the_waits_anew() {
    let mut rig = Rig::new(Protocol::V0, |config| config.timeout_ms = 0);
    for _ in 0..10 {
        rig.disconnect();
    }
    rig.connected();
    rig.feed_all(&[0; 8]);
    rig.events();
    rig.run_to(rig.now + 30_000);
    rig.disconnect();
    assert!(rig.retry_ms() <= 500);
}

#[test]
fn the_next_hello_says_how_the_last_connection_ended() {
    let mut rig = Rig::welcomed(1, |_| {});
    assert_eq!(rig.run_to(rig.now + 5_000), Step::Close);
    rig.disconnect();
    // An attempt that fails changes nothing.
    rig.disconnect();
    rig.now += 700;
    assert_eq!(rig.connected(), Status::OK);
    rig.written.clear();
    rig.write_all();
    rig.with_hello(|hello| {
        let last = hello.last.unwrap();
        assert_eq!((last.reason, last.session), ("dead", Some(99)));
        assert!((700..3_000).contains(&last.ago.as_millis()));
    });
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    assert!(rig.events().contains(&Told::Welcome { session: 99, resumed: false, lost: false }));
    rig.disconnect();
    rig.connected();
    rig.written.clear();
    rig.write_all();
    rig.with_hello(|hello| assert_eq!(hello.last.unwrap().reason, "disconnected"));
}
