//! What a tunnel refuses: one line at each end, a reset for the program, and nothing held.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;

use heartwire_testkit::{Process, ms, wait_until};
use socket2::{Domain, Socket, Type};

use super::{Sidecar, Tunnel, accept, connect, expect_bytes, expect_reset, fill, listen, patient};
use crate::program::heartwire;
use crate::side_by_side;
use crate::tls::certificate;

/// A connection of a program to this near end is refused there with this, and reset.
#[track_caller]
fn expect_refused(near: &Sidecar, part: &str) {
    let before = near.log.events_so_far("refused").len();
    let held = near.descriptors();
    let program = connect(near.addr());
    expect_reset(&program);
    let refused = &near.log.first_events("refused", before + 1)[before];
    assert!(refused.text("detail").contains(part), "{refused:?}");
    assert_eq!(refused["service"], "s");
    drop(program);
    wait_until("the near end holds nothing", || near.descriptors() <= held);
    assert_eq!(near.log.events_so_far("refused").len(), before + 1, "one line");
    assert_eq!(near.log.events_so_far("closed").len(), near.log.events_so_far("opened").len());
}

/// The far end has said this in its last line of refusals, and holds no more than before.
#[track_caller]
fn expect_said(far: &Sidecar, refusals: usize, part: &str, held: usize) {
    let refused = &far.log.first_events("refused", refusals)[refusals - 1];
    assert!(refused.text("detail").contains(part), "{refused:?}");
    wait_until("the far end holds nothing", || far.descriptors() <= held);
    assert_eq!(far.log.events_so_far("refused").len(), refusals, "one line");
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn tunnel_refuses_clients_that_may_not_use_the_service() {
    let service = listen();
    let to = service.local_addr().unwrap();
    let (_tokens, tokens) = file(
        "tokens",
        "ann aaaaaaaaaaaaaaaaaaaa s\nbob bbbbbbbbbbbbbbbbbbbb t\ncarl cccccccccccccccccccc\n",
    );
    let services = format!("s={to};t={to}");
    let far = Sidecar::far(&services, &["--tokens", &tokens]);
    let held = far.descriptors();
    let near = |name: &str, letter: &str, service: &str| {
        let (directory, path) = file("token", &letter.repeat(20));
        let near = Sidecar::near(far.addr(), service, &["--name", name, "--token-file", &path]);
        (near, directory)
    };
    let (ann, _ann) = near("ann", "a", "s");
    let program = connect(ann.addr());
    let at_service = accept(&service);
    drop((program, at_service));
    far.log.event("closed");
    let unlisted = "there is no such service for this client";
    let (wrong, _wrong) = near("ann", "b", "s");
    expect_refused(&wrong, "invalid or missing token for this name");
    expect_said(&far, 1, "unauthorized", held);
    let (bob, _bob) = near("bob", "b", "s");
    expect_refused(&bob, unlisted);
    expect_said(&far, 2, unlisted, held);
    let nameless = Sidecar::near(far.addr(), "s", &[]);
    expect_refused(&nameless, "invalid or missing token for this name");
    expect_said(&far, 3, "unauthorized", held);
    let (carl, _carl) = near("carl", "c", "no-such");
    let program = connect(carl.addr());
    expect_reset(&program);
    assert_eq!(carl.log.event("refused").text("detail"), unlisted);
    expect_said(&far, 4, unlisted, held);
    assert_eq!(far.log.events_so_far("opened").len(), 1);
}

#[test]
fn tunnel_refuses_when_its_service_cannot_be_reached() {
    side_by_side(&[
        ("it refuses", || {
            let to = heartwire_testkit::lasting_address();
            let far = Sidecar::far(&format!("s={to}"), &[]);
            let held = far.descriptors();
            let near = Sidecar::near(far.addr(), "s", &[]);
            expect_refused(&near, "s cannot be reached: Connection refused");
            // The address is not for the client.
            expect_said(&far, 1, &format!("cannot reach {to}: Connection refused"), held);
        }),
        ("its name has no address", || {
            let far = Sidecar::far("s=no.such.name.invalid:1", &[]);
            let held = far.descriptors();
            let near = Sidecar::near(far.addr(), "s", &[]);
            expect_refused(&near, "s cannot be reached: ");
            expect_said(&far, 1, "cannot reach no.such.name.invalid:1: ", held);
        }),
        ("its Unix socket is not there", || {
            let far = Sidecar::far("s=/no/such/socket", &[]);
            let near = Sidecar::near(far.addr(), "s", &[]);
            expect_refused(&near, "s cannot be reached: No such file");
        }),
        ("it never answers", || {
            let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let any = core::net::SocketAddr::from(([127, 0, 0, 1], 0));
            silent.bind(&any.into()).unwrap();
            silent.listen(0).unwrap();
            let to = silent.local_addr().unwrap().as_socket().unwrap();
            let mut queued = Vec::new();
            while let Ok(stream) = TcpStream::connect_timeout(&to, ms(500)) {
                queued.push(stream);
            }
            let far = Sidecar::far(&format!("s={to}"), &[]);
            let held = far.descriptors();
            let near = Sidecar::near(far.addr(), "s", &[]);
            expect_refused(&near, "s cannot be reached: no answer within 4s");
            expect_said(&far, 1, "no answer within 4s", held);
        }),
        ("the far end is not there", || {
            let to = heartwire_testkit::lasting_address();
            let near = Sidecar::near(to, "s", &[]);
            expect_refused(&near, "connection refused");
        }),
        ("the far end never answers", || {
            // The kernel accepts, and nothing reads.
            let silent = listen();
            let near = Sidecar::near(silent.local_addr().unwrap(), "s", &[]);
            expect_refused(&near, "within 5s");
        }),
        ("the far end is a server of another kind", || {
            let http = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = http.local_addr().unwrap();
            thread::spawn(move || {
                for stream in http.incoming() {
                    let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                }
            });
            let near = Sidecar::near(addr, "s", &[]);
            expect_refused(&near, "");
        }),
        ("the far end is `heartwire serve`", || {
            let server = crate::program::Server::start_plain(&["--on-data", "echo"]);
            let near = Sidecar::near(server.addr, "s", &[]);
            expect_refused(&near, "as no far end of a tunnel does");
        }),
    ]);
}

#[test]
fn tunnel_whose_service_never_reads_slows_its_program_down_and_holds_no_other() {
    let tunnel = Tunnel::start(&[]);
    let slow = tunnel.open();
    let taken = fill(&slow.program);
    // At each end a window, and the kernels' buffers.
    assert!(taken < 24 << 20, "{taken}");
    let mut other = tunnel.open();
    other.program.write_all(b"hello").unwrap();
    expect_bytes(&other.service, b"hello");
    // It goes on.
    let mut all = vec![0; taken];
    (&slow.service).read_exact(&mut all).unwrap();
}

#[test]
fn tunnel_tells_tls_from_none() {
    let service = listen();
    let named = format!("s={}", service.local_addr().unwrap());
    let (cert, key) = certificate("tunnel");
    let with_tls = ["--tls-cert", &cert, "--tls-key", &key];
    let trusting = ["--tls", "--tls-server-name", "localhost", "--tls-ca", &cert];
    let far = Sidecar::far(&named, &with_tls);
    let near = Sidecar::near(far.addr(), "s", &trusting);
    assert!([&far, &near].iter().all(|end| end.listening["tls"] == true));
    let mut program = connect(near.addr());
    let at_service = accept(&service);
    program.write_all(b"hello").unwrap();
    expect_bytes(&at_service, b"hello");
    let held = far.descriptors();
    let plain = Sidecar::near(far.addr(), "s", &["--no-tls"]);
    expect_refused(&plain, "TLS");
    let (other, _) = certificate("tunnel-other");
    let distrusting = ["--tls", "--tls-server-name", "localhost", "--tls-ca", &other];
    let distrusting = Sidecar::near(far.addr(), "s", &distrusting);
    expect_refused(&distrusting, "not signed by the trusted CA");
    wait_until("the far end holds nothing", || far.descriptors() <= held);
    let plain_far = Sidecar::far(&named, &[]);
    let near = Sidecar::near(plain_far.addr(), "s", &trusting);
    expect_refused(&near, "TLS");
}

#[test]
fn tunnel_far_end_refuses_what_is_no_near_end() {
    let tunnel = Tunnel::start(&["--timeout", "6s"]);
    let far = &tunnel.far;
    let held = far.descriptors();
    let client_hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 502]].concat();
    for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &client_hello, &[0xff; 4096]] {
        let mut stranger = patient(TcpStream::connect(far.addr()).unwrap());
        stranger.write_all(garbage).unwrap();
        let mut answer = Vec::new();
        // An end or a reset, and no byte of the service.
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 200, "{answer:?}");
    }
    // A client that speaks the protocol, and names no service.
    let mut client = heartwire(&["connect", &far.addr().to_string(), "--retry", "never"]);
    client.args(["--format", "json", "--grace", "1m"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut client = Process::spawn(client.stdout(Stdio::null()));
    client.0.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    let refused = far.log.event_where("refused", |event| !event["session"].is_null());
    assert!(refused.text("detail").contains("this is a far end of a tunnel"), "{refused:?}");
    assert_ne!(client.exit_code(), Some(0));
    // One that says nothing.
    drop(connect(far.addr()));
    wait_until("the far end holds nothing", || far.descriptors() <= held);
    assert_eq!(far.log.events_so_far("opened").len(), 0);
    tunnel.open();
}

#[test]
fn tunnel_exit_codes_of_what_cannot_begin() {
    let service = listen();
    let far = Sidecar::far(&format!("s={}", service.local_addr().unwrap()), &[]);
    let stdio = |far: String, service: &str| {
        let near = heartwire(&["tunnel", "connect", &far, service, "--stdio"]).output().unwrap();
        (near.status.code(), String::from_utf8(near.stderr).unwrap())
    };
    let (code, said) = stdio(far.addr().to_string(), "other");
    assert_eq!(code, Some(4));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("there is no such service for this client"), "{said}");
    let (code, said) = stdio(heartwire_testkit::lasting_address().to_string(), "s");
    assert_eq!(code, Some(4));
    assert_eq!(said.lines().count(), 1, "{said}");
    let taken = far.addr().to_string();
    let far_addr = far.addr().to_string();
    for args in [
        &["serve", "--service", "s=127.0.0.1:1", "--listen", &taken][..],
        &["connect", &far_addr, "s", "--listen", &taken],
        &["connect", &far_addr, "s", "--listen", "/no/such/directory/x.sock"],
    ] {
        let output = heartwire(&[&["tunnel"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot listen on"), "{said}");
    }
}

#[test]
fn tunnel_warns_of_tokens_that_every_user_can_read() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "ann 0123456789abcdefgh").unwrap();
    for (mode, warns) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(&tokens, Permissions::from_mode(mode)).unwrap();
        let far = Sidecar::far("s=127.0.0.1:1", &["--tokens", tokens.to_str().unwrap()]);
        let log = far.log.so_far();
        assert_eq!(log.iter().any(|line| line.text.contains("every user")), warns, "{log:?}");
        far.stop();
    }
}
