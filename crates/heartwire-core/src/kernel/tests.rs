use std::string::ToString;

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_user_timeout_that_cuts_the_keepalive_short_is_refused() {
    let keepalive = Keepalive::new(secs(5), secs(5), 9).unwrap();
    let error = KernelTimers::new(Some(keepalive), Some(secs(7))).unwrap_err();
    assert!(matches!(error, KernelError::UserTimeout { least, .. } if least == secs(50)));
    assert_eq!(
        error.to_string(),
        "a user timeout of 7s is shorter than the keepalive's idle + interval × count. Use 50s or \
         more: with less, one lost probe would kill a healthy connection"
    );
    let error = KernelTimers::new(None, Some(secs(3_000_000))).unwrap_err();
    assert!(error.to_string().ends_with("must be 1ms to 24 days"), "{error}");
    let timers = KernelTimers::new(Some(keepalive), Some(secs(50))).unwrap();
    assert_eq!((timers.keepalive(), timers.user_timeout()), (Some(keepalive), Some(secs(50))));
}

#[test]
fn a_user_timeout_outside_the_kernels_range_is_refused() {
    let alone = |user_timeout| KernelTimers::new(None, Some(user_timeout)).is_ok();
    let most = Duration::from_millis(2_147_483_647);
    let edges = [Duration::ZERO, Duration::from_millis(1), most, most + Duration::from_millis(1)];
    assert_eq!(edges.map(alone), [false, true, true, false]);
}

#[test]
fn keepalive_numbers_outside_the_kernels_range_are_refused() {
    assert!(Keepalive::new(Duration::from_millis(1500), secs(1), 1).is_err());
    assert!(Keepalive::new(secs(0), secs(1), 1).is_err());
    assert!(Keepalive::new(secs(1), secs(40_000), 1).is_err());
    assert!(Keepalive::new(secs(1), secs(1), 128).is_err());
    let refusal = Keepalive::new(secs(1), secs(1), 0).unwrap_err().to_string();
    assert!(refusal.starts_with("keepalive 1s,1s,0: both times must be whole seconds"));
}

#[test]
fn keepalive_gives_up_after_idle_and_every_probe() {
    let default = Keepalive::new(secs(7200), secs(75), 9).unwrap();
    assert_eq!(default.bound(), secs(7875));
    assert_eq!((default.idle(), default.interval(), default.count()), (secs(7200), secs(75), 9));
}

#[test]
fn timers_say_what_they_are() {
    assert_eq!(KernelTimers::default().to_string(), "keepalive off, user timeout off");
    let keepalive = Keepalive::new(secs(3), secs(3), 3).unwrap();
    let timers = KernelTimers::new(Some(keepalive), Some(secs(12))).unwrap();
    let text = "keepalive after 3s, every 3s, 3 times (12s in all), user timeout 12s";
    assert_eq!(timers.to_string(), text);
}
