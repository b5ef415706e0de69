use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use super::{LookUp, Resolver, parse};
use crate::client::{ClientConfig, ConnectError};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_target_is_a_host_and_a_port_and_a_zone_stays_with_its_address() {
    for (target, host) in [
        ("gateway:1", "gateway"),
        ("192.0.2.7:1", "192.0.2.7"),
        ("[fe80::1%eth0]:1", "fe80::1%eth0"),
        ("[fe80::1%7]:1", "fe80::1%7"),
        ("fe80::1%eth0:1", "fe80::1%eth0"),
        ("fe80::1:1", "fe80::1"),
    ] {
        assert_eq!(parse(target).unwrap(), (host, 1), "{target}");
    }
    for target in [
        "gateway",
        "",
        "gateway:",
        "gateway:99999",
        "[gateway]:1",
        "[fe80::1%]:1",
        "[%eth0]:1",
        "[fe80::1%eth0:1",
        "[192.0.2.7]:1",
        "[fe80::1%eth0]",
        ":1",
        "::1",
        "http://gateway:1",
    ] {
        assert_eq!(parse(target).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{target}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_understood_cannot_be_retried() {
    for target in ["gateway", "gateway:99999", "[gateway]:1", "[fe80::1%]:1"] {
        let error = LookUp::default().run(&ClientConfig::new(target)).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadTarget { .. }), "{target:?}: {error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_may_exist_later() {
    let config = ClientConfig::new("missing.invalid:1").connect_timeout(Duration::from_millis(300));
    let error = LookUp::default().run(&config).await.unwrap_err();
    assert!(matches!(error, ConnectError::LookUp { .. }) && error.is_retryable(), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_zone_is_found_by_its_name_as_by_its_number() {
    let look_up = async |target: &str| {
        let found = LookUp::default().run(&ClientConfig::new(target)).await;
        found.map(|found| found.addresses[0].to_string())
    };
    let by_number = look_up("[fe80::1%1]:7").await.unwrap();
    assert_eq!(by_number, "[fe80::1%1]:7");
    assert_eq!(look_up("[fe80::1%lo]:7").await.unwrap(), by_number);
    // The interface may come later.
    assert!(look_up("[fe80::1%nosuch0]:7").await.unwrap_err().is_retryable());
}

#[test]
fn a_resolver_that_does_not_answer_is_asked_once_and_does_not_hold_up_the_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let (answer, answers) = mpsc::channel();
    let answers = Mutex::new(answers);
    let counted = Arc::clone(&asked);
    let resolver = Resolver::of(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        answers.lock().unwrap().recv().map_err(io::Error::other)?
    });
    let mut config = ClientConfig::new("gateway:1");
    config.resolver = resolver;
    let mut looking_up = LookUp::default();
    let mut look_up = |within| {
        config.connect_timeout = within;
        runtime.block_on(looking_up.run(&config)).map(|found| found.addresses)
    };
    for _ in 0..3 {
        let error = look_up(Duration::from_millis(20)).unwrap_err();
        assert!(error.is_retryable());
        let ConnectError::LookUp { error, .. } = error else { panic!("{error}") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    answer.send(Ok(vec!["192.0.2.7:1".parse().unwrap()])).unwrap();
    assert_eq!(look_up(SOON).unwrap(), ["192.0.2.7:1".parse().unwrap()]);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(look_up(Duration::from_millis(20)).is_err());
    // A busy machine begins it late.
    while asked.load(Ordering::Relaxed) < 2 {
        thread::sleep(Duration::from_millis(1));
    }
    // The last look-up still runs, and ends when the sender is gone: this returns before.
    drop(runtime);
    drop(answer);
}
