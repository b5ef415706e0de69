use proptest::prelude::*;

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn a_zone_is_the_name_or_the_number_of_an_interface() {
    let by_number: SocketAddr = "[fe80::1%1]:7".parse().unwrap();
    for text in ["[fe80::1%1]:7", "[fe80::1%lo]:7"] {
        assert_eq!(address(text).unwrap(), by_number);
        assert_eq!(target(text).unwrap(), text);
    }
    assert!(target("[fe80::1%lo]").is_ok() && target("[fe80::1%nosuch0]").is_err());
    for text in ["[fe80::1%nosuch0]:7", "[fe80::1%]:7", "[host%lo]:7", "[fe80::1%lo]:x"] {
        assert!(address(text).is_err(), "{text}");
        assert!(target(text).is_err(), "{text}");
    }
}

#[test]
fn a_target_that_can_never_work_is_refused_with_what_to_write() {
    for (text, says) in [
        ("http://gateway.example/", "write gateway.example without http://"),
        ("tcp://gateway.example:7", "write gateway.example:7 without tcp://"),
        ("gateway.example:99999", "use a number from 1 to 65535"),
        ("gateway.example:0", "use a number from 1 to 65535"),
        ("gateway.example:", "use a number from 1 to 65535"),
        ("[::1]:x", "use a number from 1 to 65535"),
        ("::1", "in brackets: [::1]"),
        ("fe80::1%lo:7", "in brackets"),
        (":7", "there is no host in it"),
        ("[]:7", "there is no host in it"),
        ("", "there is no host in it"),
    ] {
        let error = target(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn targets_without_a_zone_are_left_to_the_client() {
    for text in ["gateway.example:7", "[::1]:7", "127.0.0.1:7", "gateway"] {
        assert_eq!(target(text).unwrap(), text);
    }
}

#[test]
fn a_time_without_a_unit_is_in_seconds() {
    assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
    assert_eq!(time_or_off("0"), Ok(TimeOrOff(Some(Duration::ZERO))));
    assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1_500)));
    for text in ["", "-1", "30x", "99999999999999999999"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(matches!(retry("5"), Ok(Retry::Backoff(_))) && retry("usual").is_err());
}

#[test]
fn a_server_listens_on_a_port_a_host_or_everywhere() {
    for (text, listens) in
        [("7", "127.0.0.1:7"), (":7", "0.0.0.0:7"), ("127.0.0.1:7", "127.0.0.1:7")]
    {
        assert_eq!(address(text), Ok(listens.parse().unwrap()), "{text}");
    }
    assert!(address("localhost:7").is_ok_and(|found| found.ip().is_loopback()));
    for text in ["", "nowhere", "localhost:", "localhost:70000", "70000", "no-such-host.invalid:7"]
    {
        assert!(address(text).is_err(), "{text}");
    }
}

#[test]
fn a_time_is_shown_as_people_type_it() {
    for (millis, text) in [
        (0, "0s"),
        (2_500, "2.5s"),
        (90_000, "90s"),
        (300_000, "5m"),
        (3_600_000, "1h"),
        (5_400_000, "1h30m"),
        (86_400_000, "24h"),
        (1_500, "1.5s"),
        (3_601_000, "3601s"),
    ] {
        let time = Duration::from_millis(millis);
        assert_eq!(typed(time), text);
        assert_eq!(duration(text), Ok(time));
    }
}

/// Durations as people and programs choose them: rarely to the nanosecond.
fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..400_u64).prop_map(Duration::from_secs),
        (0..1_000_u64).prop_map(|minutes| Duration::from_secs(60 * minutes)),
        (0..10_000_u64).prop_map(|hours| Duration::from_secs(3600 * hours)),
        (0..100_000_000_u64).prop_map(Duration::from_millis),
        (0..u64::MAX / 2).prop_map(Duration::from_nanos),
    ]
}

proptest! {
    /// What a message says can be typed, whichever crate it comes from: all use the same `Typed`.
    #[test]
    fn every_time_that_is_printed_is_read_as_the_same_time(time in times()) {
        for text in [typed(time), format!("{time:?}")] {
            prop_assert_eq!(duration(&text), Ok(time), "{}", text);
        }
    }
}

#[test]
fn bytes_are_typed_with_or_without_a_unit() {
    let parse = bytes::<u32>(16..=1 << 30);
    for (text, bytes) in [("16", 16), ("256KiB", 262_144), ("3MiB", 3 << 20), ("1GiB", 1 << 30)] {
        assert_eq!(parse(text), Ok(bytes), "{text}");
    }
    for text in ["15", "2GiB", "0KiB", "KiB", "1kB", "-1", "99999999999999999999", "1.5MiB", ""] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            error, "write a number from 16 to 1073741824, or with KiB, MiB or GiB",
            "{text}"
        );
    }
    let told = [0, 1000, 1024, 1536 << 10, 256 << 20, 1 << 40].map(typed_bytes);
    assert_eq!(told, ["0 B", "1000 B", "1 KiB", "1536 KiB", "256 MiB", "1024 GiB"]);
}
