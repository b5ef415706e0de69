//! What a tunnel can connect: Unix sockets, and standard input and output.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{ChildStdin, ChildStdout, Stdio};

use heartwire_testkit::{PATIENCE, wait_until};
use rustix::process::Signal;

use super::{
    Sidecar, accept, connect, expect_bytes, expect_end, expect_reset, listen, pattern, reset,
};
use crate::program::heartwire;

/// A sidecar whose standard input and output are a connection.
struct Piped {
    sidecar: Sidecar,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Piped {
    #[track_caller]
    pub(super) fn start(args: &[&str]) -> Self {
        let mut command = heartwire(&["tunnel"]);
        command.args(args).args(["--format", "json"]);
        let mut sidecar = Sidecar::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let process = &mut sidecar.process.0;
        let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
        Self { sidecar, input, output }
    }

    #[track_caller]
    fn near(far: &Sidecar, args: &[&str]) -> Self {
        let program = ["connect", &far.addr().to_string(), "s", "--stdio"];
        Self::start(&[&program[..], args].concat())
    }

    #[track_caller]
    fn type_in(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    #[track_caller]
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        rest
    }
}

#[test]
fn tunnel_joins_unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let service = UnixListener::bind(path("service")).unwrap();
    let far = Sidecar::far(&format!("s={}", path("service")), &[]);
    // It is left from a program that was killed.
    drop(UnixListener::bind(path("near")).unwrap());
    let near = ["connect", &far.addr().to_string(), "s", "--listen", &path("near")];
    let near = Sidecar::start(&near);
    let open = || {
        let (program, service) = (UnixStream::connect(path("near")), service.accept());
        [program.unwrap(), service.unwrap().0].map(|it| {
            it.set_read_timeout(Some(PATIENCE)).unwrap();
            it
        })
    };
    for is_program_here in [true, false] {
        let [mut here, mut there] = open();
        if !is_program_here {
            core::mem::swap(&mut here, &mut there);
        }
        here.write_all(&pattern(100_000)).unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        expect_bytes(&there, &pattern(100_000));
        assert_eq!(there.read(&mut [0]).unwrap(), 0);
        there.write_all(b"long after").unwrap();
        expect_bytes(&here, b"long after");
        drop(there);
        assert_eq!(here.read(&mut [0]).unwrap(), 0);
    }
    // One that goes without having read all is noticed though nothing is written to it, and one
    // that has read all when something is.
    for is_program_here in [true, false] {
        for has_unread in [true, false] {
            let [mut here, mut there] = open();
            if !is_program_here {
                core::mem::swap(&mut here, &mut there);
            }
            there.write_all(b"1").unwrap();
            expect_bytes(&here, b"1");
            if has_unread {
                there.write_all(&pattern(1_000)).unwrap();
                here.write_all(b"2").unwrap();
                expect_bytes(&there, b"2");
                let mut one = [0];
                here.read_exact(&mut one).unwrap();
            }
            drop(here);
            while there.write_all(&[0; 64 * 1024]).is_ok() {}
        }
    }
    let how: Vec<_> = near.log.first_events("closed", 6);
    let how: Vec<_> = how.iter().map(|event| event.text("how").to_owned()).collect();
    assert_eq!(how[..2], ["done", "done"]);
    assert_eq!(how[2..4], ["reset_here", "reset_here"]);
    assert_eq!(how[4..], ["reset_there", "reset_there"]);
    // Nothing is left of the path.
    near.stop();
    assert!(!directory.path().join("near").exists());
}

#[test]
fn tunnel_joins_standard_input_and_output_with_those_of_its_other_end() {
    let program = ["serve", "--listen", "127.0.0.1:0", "--service", "s=-"];
    let mut far = Piped::start(&program);
    let mut near = Piped::near(&far.sidecar, &[]);
    near.type_in(&pattern(1_000_000));
    near.input = None;
    assert_eq!(far.rest(), pattern(1_000_000));
    far.type_in(b"and back");
    far.input = None;
    assert_eq!(near.rest(), b"and back");
    assert_eq!(near.sidecar.process.exit_code(), Some(0));
    far.sidecar.log.event("closed");
    // Once.
    let mut late = Piped::near(&far.sidecar, &[]);
    assert!(late.sidecar.log.event("refused").text("detail").contains("in use"));
    assert_eq!(late.sidecar.process.exit_code(), Some(4));
}

#[test]
fn tunnel_exit_code_tells_how_the_one_connection_ended() {
    let service = listen();
    let far = Sidecar::far(&format!("s={}", service.local_addr().unwrap()), &["--grace", "1s"]);
    let open = |args: &[&str]| {
        let near = Piped::near(&far, args);
        let at_service: TcpStream = accept(&service);
        near.sidecar.log.event("opened");
        (near, at_service)
    };
    // The service ends first, and the program has not ended its input: it is asked no more.
    let (mut near, at_service) = open(&[]);
    near.type_in(b"request");
    near.input = None;
    assert_eq!(expect_end(&at_service), b"request");
    drop(at_service);
    assert_eq!((near.rest().len(), near.sidecar.process.exit_code()), (0, Some(0)));

    let (mut near, at_service) = open(&[]);
    reset(at_service);
    assert_eq!(near.sidecar.process.exit_code(), Some(8));
    assert_eq!(near.sidecar.log.event("closed")["how"], "reset_there");

    let (mut near, at_service) = open(&["--drain", "0s"]);
    near.sidecar.process.signal(Signal::TERM);
    assert_eq!(near.sidecar.process.exit_code(), Some(8));
    expect_reset(&at_service);

    // The program that reads is gone.
    let (near, mut at_service) = open(&[]);
    let Piped { mut sidecar, output, .. } = near;
    drop(output);
    // More than once: a process that another test starts just now has the pipe's end for a moment.
    wait_until("the service is reset", || at_service.write_all(b"to a closed pipe").is_err());
    assert_eq!(sidecar.process.exit_code(), Some(8));

    let (mut near, _at_service) = open(&[]);
    drop(far);
    assert_eq!(near.sidecar.process.exit_code(), Some(8));
    assert_eq!(near.sidecar.log.event("closed")["how"], "lost");
}

#[test]
fn tunnel_tells_a_service_the_address_of_its_client() {
    let service = listen();
    let far = Sidecar::far(&format!("s={},proxy=v2", service.local_addr().unwrap()), &[]);
    let near = Sidecar::near(far.addr(), "s", &[]);
    let mut program = connect(near.addr());
    program.write_all(b"after it").unwrap();
    let at_service = accept(&service);
    let mut header = [0; 28];
    (&at_service).read_exact(&mut header).unwrap();
    assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    let opened = far.log.event("opened");
    let peer: core::net::SocketAddr = opened.text("peer").parse().unwrap();
    assert_eq!(header[16..20], [127, 0, 0, 1]);
    assert_eq!(header[24..26], peer.port().to_be_bytes());
    expect_bytes(&at_service, b"after it");
}

/// ssh sends one to its ProxyCommand when it ends.
#[test]
fn tunnel_on_standard_input_stops_at_a_hangup() {
    let service = listen();
    let far = Sidecar::far(&format!("s={}", service.local_addr().unwrap()), &[]);
    let mut near = Piped::near(&far, &["--drain", "0s"]);
    let at_service = accept(&service);
    near.sidecar.log.event("opened");
    near.sidecar.process.signal(Signal::HUP);
    assert_eq!(near.sidecar.process.exit_code(), Some(8));
    expect_reset(&at_service);
}
