use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn arrivals_are_known_to_a_jiffy_and_a_millisecond_and_may_be_another_jiffy_later() {
    assert_eq!(of_found(at(1_000), ms(300), ms(4)), (at(695), at(709)));
}

#[test]
fn arrivals_are_never_after_the_read() {
    assert_eq!(of_found(at(1_000), ms(3), ms(4)), (at(992), at(1_000)));
}

#[test]
fn new_bytes_have_just_come_unless_the_kernel_says_otherwise() {
    assert_eq!(of_news(at(1_000), ms(9), ms(4)), (at(1_000), at(1_000)));
    assert_eq!(of_news(at(1_000), ms(10), ms(4)), (at(985), at(999)));
    assert_eq!(of_news(at(1_000), ms(200), ms(4)), of_found(at(1_000), ms(200), ms(4)));
}
