//! What a server says when it starts is what is in force.
#![cfg(target_os = "linux")]

use heartwire_testkit::{Lines, Process};
use std::process::Stdio;

use crate::program::{Server, heartwire};
use crate::tls::certificate;

/// What it says about `tls`, `receive_mark`, and the shortest writes that wake it.
#[track_caller]
fn in_force(args: &[&str]) -> (bool, u64, Option<u64>, Option<u64>) {
    let server = Server::start_plain(args);
    let listening = server.event("listening");
    let of = |field: &str| listening[field].as_u64();
    (
        listening["tls"].as_bool().unwrap(),
        listening.count("receive_mark"),
        of("wake_bytes_v0"),
        of("wake_bytes_v1"),
    )
}

#[test]
fn what_wakes_a_server_is_told_for_each_wire_that_it_speaks() {
    assert_eq!(in_force(&[]), (false, 9, Some(9), Some(161)));
    assert_eq!(in_force(&["--coalesce", "5"]), (false, 41, Some(41), Some(201)));
    assert_eq!(in_force(&["--coalesce", "0"]), (false, 1, Some(1), Some(1)));
    assert_eq!(in_force(&["--no-limit"]), (false, 1, Some(1), Some(1)));
    assert_eq!(in_force(&["--require", "v0"]), (false, 9, Some(9), None));
    assert_eq!(in_force(&["--require", "v1"]), (false, 9, None, Some(161)));
    // A record of TLS is 22 bytes longer than what is in it.
    let (cert, key) = certificate("listening");
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--coalesce", "2"];
    assert_eq!(in_force(&tls), (true, 1, Some(1), Some(2 * 62 + 1 - 22)));
}

#[test]
fn people_are_told_which_data_can_wait() {
    for (args, says) in [
        (
            &[][..],
            &[
                "beats: up to 1 of a client on v0 wait in the kernel, and a data frame without a body can wait",
                "up to 4 of a client on v1 wait in the kernel, and no data: what is short is padded to 161 B",
            ][..],
        ),
        (
            &["--require", "v0", "--coalesce", "5"],
            &["beats: up to 5 of a client wait in the kernel, and a data frame of less than 41 B"],
        ),
        (&["--require", "v1"], &["beats: up to 4 of a client wait in the kernel, and no data"]),
        (&["--coalesce", "0"], &["beats: each is read as it comes: --coalesce is 0"]),
        (&["--no-limit"], &["beats: each is read as it comes: no deadline would look for them"]),
    ] {
        let command = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut server = Process::spawn(heartwire(&command).stdout(Stdio::piped()));
        let output = Lines::of(server.0.stdout.take().unwrap());
        for part in says {
            output.line(part);
        }
        output.line("bounds:");
        // On v0 nobody has a name.
        let names = usize::from(!args.contains(&"v0"));
        if names > 0 {
            output.line(
                "names: there are no tokens, so a client that knows a name can end its session",
            );
        }
        assert_eq!(output.so_far().len(), 4 + names + says.len(), "{args:?}");
    }
}
