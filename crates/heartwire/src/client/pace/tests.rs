use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn a_few_may_go_at_once_and_then_one_each_interval() {
    let mut pace = Pace::new(at(0));
    for n in 0..MAX_CREDIT {
        assert!(pace.take(SECOND, at(0)), "number {n}");
    }
    assert!(!pace.take(SECOND, at(0)));
    assert_eq!(pace.next_at(SECOND), at(1000));
    assert!(!pace.take(SECOND, at(999)));
    assert!(pace.take(SECOND, at(1000)));
    assert!(!pace.take(SECOND, at(1001)));
    // What was begun of an interval is not lost.
    assert!(pace.take(SECOND, at(2000)));
}

#[test]
fn a_pause_gives_back_no_more_than_there_was() {
    let mut pace = Pace::new(at(0));
    let taken = (0..1000).filter(|_| pace.take(SECOND, at(1_000_000))).count();
    assert_eq!(i64::try_from(taken), Ok(MAX_CREDIT));
}

#[test]
fn an_interval_of_nothing_is_a_millisecond() {
    let mut pace = Pace::new(at(0));
    while pace.take(Duration::ZERO, at(0)) {}
    assert_eq!(pace.next_at(Duration::ZERO), at(1));
    assert!(pace.take(Duration::ZERO, at(1)));
}
