use clap::Parser;
use heartwire::server::{Control, Event};
#[cfg(target_os = "linux")]
use heartwire_testkit::Authority;

use super::*;
use crate::args::{Cli, Command};
use crate::serve::{config, load_tls};

/// What a server with these options listens on.
#[track_caller]
fn listening(args: &[&str]) -> Listening {
    let words = ["heartwire", "serve", "--listen", "127.0.0.1:0"].iter().chain(args);
    let Command::Serve(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    let mut config = config(&args, None, Vec::new()).unwrap();
    if let Some(tls) = load_tls(&args.tls).unwrap() {
        config = config.tls(tls);
    }
    let server = Server::start(config, |_| |_: Event<&[u8]>, _: &mut Control<'_>| {}).unwrap();
    Listening::new(&args, &server, Some(1024), None).unwrap()
}

pub(in crate::serve) fn example() -> Listening {
    listening(&[])
}

/// Its fields `tls`, `receive_mark`, and the shortest writes that wake it.
#[cfg(target_os = "linux")]
#[track_caller]
fn in_force(args: &[&str]) -> (bool, u32, Option<u32>, Option<u32>) {
    let listening = listening(args);
    (listening.tls, listening.receive_mark, listening.wake_bytes_v0, listening.wake_bytes_v1)
}

#[cfg(target_os = "linux")]
#[test]
fn wake_bytes_are_printed_for_each_protocol() {
    assert_eq!(in_force(&[]), (false, 9, Some(9), Some(161)));
    assert_eq!(in_force(&["--coalesce", "5"]), (false, 41, Some(41), Some(201)));
    assert_eq!(in_force(&["--coalesce", "0"]), (false, 1, Some(1), Some(1)));
    assert_eq!(in_force(&["--timeout=off"]), (false, 1, Some(1), Some(1)));
    assert_eq!(in_force(&["--protocol", "v0"]), (false, 9, Some(9), None));
    assert_eq!(in_force(&["--protocol", "v1"]), (false, 9, None, Some(161)));
    // A record of TLS is 22 bytes longer than what is in it.
    let authority = Authority::new();
    let own = authority.own();
    let [cert, key] = [&own.certificate, &own.key].map(|path| path.to_str().unwrap());
    let tls = ["--tls-cert", cert, "--tls-key", key, "--coalesce", "2"];
    assert_eq!(in_force(&tls), (true, 1, Some(1), Some(2 * 62 + 1 - 22)));
}

#[cfg(target_os = "linux")]
#[test]
fn people_are_told_which_data_can_wait() {
    for (args, says) in [
        (
            &[][..],
            &[
                "beats: up to 1 of a client on v0 wait in the kernel, and a data frame without a \
                 body can wait",
                "up to 4 of a client on v1 wait in the kernel, and no data: short frames are \
                 padded to 161 B",
            ][..],
        ),
        (
            &["--protocol", "v0", "--coalesce", "5"],
            &["beats: up to 5 of a client wait in the kernel, and a data frame of less than 41 B"],
        ),
        (&["--protocol", "v1"], &["beats: up to 4 of a client wait in the kernel, and no data"]),
        (&["--coalesce", "0"], &["beats: each is read as it comes: --coalesce is 0"]),
        (
            &["--timeout=off"],
            &["beats: each is read as it comes: without a timeout no deadline reads them"],
        ),
    ] {
        let text = listening(args).to_string();
        let lines: Vec<_> = text.lines().collect();
        // On v0 no client has a name.
        let names = if args.contains(&"v0") {
            None
        } else {
            Some("  names: there are no tokens, so a client that")
        };
        let others = ["  outages: ", "  cost: a million such clients on v", "  bounds: "];
        for part in says.iter().chain(&names).chain(&others) {
            assert!(lines.iter().any(|line| line.contains(part)), "{part}: {text}");
        }
        assert_eq!(lines.len(), 6 + names.iter().len() + says.len(), "{text}");
    }
}

#[test]
fn which_of_ipv4_and_ipv6_is_served_is_told() {
    for (listen, told) in [
        (&["[::]:1"][..], "[::]:1 (IPv4 and IPv6)"),
        (&["[::]:1", "127.0.0.1:2"], "[::]:1 (IPv4 and IPv6)"),
        (&["[::]:1", "127.0.0.1:1"], "[::]:1 (IPv6 only)"),
        (&["[::1]:1"], "[::1]:1"),
        (&["0.0.0.0:1"], "0.0.0.0:1"),
    ] {
        let all: Vec<SocketAddr> = listen.iter().map(|addr| addr.parse().unwrap()).collect();
        assert_eq!(describe_address(all[0], !accepts_ipv4(all[0], &all)), told);
    }
    let families = |listening: Listening| (listening.ipv4, listening.ipv6);
    assert_eq!(families(listening(&[])), (true, false));
    assert_eq!(families(listening(&["--listen", "[::]:0"])), (true, true));
    // A socket that was passed has been told so by another.
    let passed = |is_ipv6_only: bool| {
        let listening = listening(&["--listen", "[::]:0"]);
        let addr = listening.addresses[1];
        let listening = listening.passed(&[(addr, is_ipv6_only)]);
        (listening.describe_address(addr), listening.passed.len())
    };
    assert!(passed(false).0.ends_with(" (IPv4 and IPv6) (a socket that was passed)"));
    assert!(passed(true).0.ends_with(" (IPv6 only) (a socket that was passed)"));
    assert_eq!(passed(true).1, 1);
}

#[test]
fn which_sessions_outlive_their_connections_is_told() {
    let told = |args: &[&str]| {
        let listening = listening(args);
        (listening.resumable, listening.outages)
    };
    let kept = "outlives its connection by 2m, with up to 2 MiB under way each way (256 MiB kept \
                in all)";
    assert_eq!(told(&[]), ("all", format!("a session {kept}")));
    let (resumable, outages) = told(&["--listen", "0.0.0.0:0"]);
    assert_eq!(resumable, "loopback");
    assert!(outages.contains(kept) && outages.contains("nothing is encrypted"), "{outages}");
    let (resumable, _) = told(&["--listen", "0.0.0.0:0", "--resume-in-the-clear"]);
    assert_eq!(resumable, "all");
    let (_, outages) = told(&["--grace", "10m", "--window", "1000", "--max-replay", "1GiB"]);
    assert!(outages.contains("by 10m, with up to 1000 B under way each way (1 GiB kept"));
    for (args, why) in [(["--grace", "off"], "--grace off"), (["--protocol", "v0"], "v0")] {
        let (resumable, outages) = told(&args);
        assert_eq!(resumable, "none");
        assert!(outages.contains(why), "{outages}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn price_is_that_of_the_plan_for_the_clients_that_are_expected() {
    let price = |args: &[&str]| {
        let fields = serde_json::to_value(listening(args)).unwrap();
        fields["million"].as_object().unwrap().clone()
    };
    let packets = |args: &[&str]| price(args)["packets_a_day"].as_u64().unwrap() / 1_000_000;
    // A client of v0 beats every 10 s, and so does the server; each beat is acknowledged.
    assert_eq!(packets(&["--protocol", "v0"]), 8_640 * 4);
    // On v1 both do after 8.75 s on average.
    assert_eq!(packets(&[]), 86_400_u64.div_ceil(10) * 8 / 7 * 4 + 4);
    let quiet = ["--protocol", "v0", "--interval=off", "--timeout", "150s"];
    assert_eq!(packets(&[&quiet[..], &["--peer-interval", "1m"]].concat()), 1_440 * 2);
    let processors = |args: &[&str]| price(args)["processors"].as_f64().unwrap();
    let with = |beats: &str| {
        let quiet = ["--protocol", "v0", "--interval=off", "--peer-interval=10s", "--coalesce"];
        processors(&[&quiet[..], &[beats]].concat())
    };
    assert!(with("0") > 1.5 * with("5"), "{} and {}", with("0"), with("5"));
}
