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
