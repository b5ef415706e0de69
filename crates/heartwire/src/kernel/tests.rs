use core::time::Duration;
use std::net::{TcpListener, TcpStream};

use socket2::SockRef;

use super::{Keepalive, KernelError, KernelOptions};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn options_are_read_back_as_they_were_set() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let keepalive = Keepalive::new(secs(3), secs(4), 5).unwrap();
    let options = KernelOptions::new(Some(keepalive), Some(secs(23)), true).unwrap();
    let report = options.apply(&SockRef::from(&stream)).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(report.in_force, options);
        assert!(report.missing.is_empty());
    }
}

#[test]
fn the_default_leaves_the_kernels_timers_off() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let report = KernelOptions::default().apply(&SockRef::from(&listener)).unwrap();
    assert_eq!(report.to_string(), "keepalive off, user timeout off, nodelay on");
}

#[test]
fn a_user_timeout_that_cuts_the_keepalive_short_is_refused() {
    let keepalive = Keepalive::new(secs(5), secs(5), 9).unwrap();
    let error = KernelOptions::new(Some(keepalive), Some(secs(7)), true).unwrap_err();
    assert!(matches!(error, KernelError::UserTimeout { least, .. } if least == secs(50)));
    assert!(KernelOptions::new(Some(keepalive), Some(secs(50)), true).is_ok());
}

#[test]
fn keepalive_numbers_outside_the_kernels_range_are_refused() {
    assert!(Keepalive::new(Duration::from_millis(1500), secs(1), 1).is_err());
    assert!(Keepalive::new(secs(0), secs(1), 1).is_err());
    assert!(Keepalive::new(secs(1), secs(40_000), 1).is_err());
    assert!(Keepalive::new(secs(1), secs(1), 128).is_err());
}
