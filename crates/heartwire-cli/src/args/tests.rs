use super::*;

fn serve(args: &[&str]) -> ServeArgs {
    let words = ["heartwire", "serve"].iter().chain(args);
    let Command::Serve(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    args
}

fn connect(args: &[&str]) -> ConnectArgs {
    let words = ["heartwire", "connect"].iter().chain(args);
    let Command::Connect(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    args
}

#[test]
fn a_server_listens_on_our_port_and_with_the_tutorials_preset_on_the_tutorials() {
    let listens = |args: &[&str]| serve(args).listen();
    assert_eq!(listens(&[]), ["127.0.0.1:29002".parse().unwrap()]);
    assert_eq!(listens(&["--preset=strict"]), ["127.0.0.1:29002".parse().unwrap()]);
    assert_eq!(listens(&["--preset=reference"]), ["127.0.0.1:39002".parse().unwrap()]);
    let named = ["--preset=reference", "--listen=[::1]:7", "--listen=0.0.0.0:0"];
    assert_eq!(listens(&named), ["[::1]:7".parse().unwrap(), "0.0.0.0:0".parse().unwrap()]);
}

#[test]
fn a_client_goes_to_our_port_and_with_the_tutorials_preset_to_the_tutorials() {
    let target = |args: &[&str]| connect(args).target();
    assert_eq!(target(&["gateway.example"]), "gateway.example:29002");
    assert_eq!(target(&["[::1]"]), "[::1]:29002");
    assert_eq!(target(&["192.0.2.7", "--preset=reference"]), "192.0.2.7:39002");
    assert_eq!(target(&["[::1]:7", "--preset=reference"]), "[::1]:7");
    assert_eq!(target(&["localhost:7"]), "localhost:7");
}

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
