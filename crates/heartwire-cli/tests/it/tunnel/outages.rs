//! Outages, and the signals that stop an end or change who may use it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use heartwire_testkit::{Proxy, ms, pass, wait_until};
use rustix::process::Signal;

use super::{
    Sidecar, Tunnel, accept, connect, expect_bytes, expect_end, expect_reset, listen, pattern,
};

/// Both ends with a path between them that a test can cut.
struct Cut {
    tunnel: Tunnel,
    path: Proxy,
}

impl Cut {
    #[track_caller]
    fn start(service_options: &str, far: &[&str], near: &[&str]) -> Self {
        let service = listen();
        let named = format!("s={}{service_options}", service.local_addr().unwrap());
        let far = Sidecar::far(&named, far);
        let path = Proxy::plain(far.addr());
        let near = Sidecar::near(path.addr, "s", near);
        Self { tunnel: Tunnel { far, near, service }, path }
    }

    /// Nothing leads to the far end any more.
    fn lose(&self) {
        self.path.hang_up_and_lead_to(heartwire_testkit::lasting_address());
    }
}

#[test]
fn tunnel_carries_every_byte_once_over_outages() {
    const LEN: usize = 24 << 20;
    let Cut { tunnel, path } = Cut::start("", &[], &[]);
    let opened = tunnel.open();
    let sends = |stream: &TcpStream| {
        let stream = stream.try_clone().unwrap();
        thread::spawn(move || {
            (&stream).write_all(&pattern(LEN)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    let receives = |stream: &TcpStream| {
        let stream = stream.try_clone().unwrap();
        thread::spawn(move || assert!(expect_end(&stream) == pattern(LEN), "other bytes"))
    };
    let both = [&opened.program, &opened.service];
    let all = both.map(|stream| [sends(stream), receives(stream)]);
    let came = |bytes: usize| wait_until("more has come", || path.came() > bytes);
    for part in 1..=3 {
        came(part * LEN / 4);
        let count = tunnel.near.log.events_so_far("back").len();
        if part == 2 {
            // Without a word: it is suspected, and another path is found.
            path.silence();
        } else {
            path.hang_up();
        }
        tunnel.near.log.first_events("back", count + 1);
    }
    let _ = all.map(|both| both.map(|thread| thread.join().unwrap()));
    for end in [&tunnel.near, &tunnel.far] {
        assert_eq!(end.how(opened.session), "done");
        let closed = end.event_of("closed", opened.session);
        let len = u64::try_from(LEN).unwrap();
        assert_eq!([closed.count("to_service"), closed.count("from_service")], [len, len]);
        let (away, back) = (end.log.events_so_far("away"), end.log.events_so_far("back"));
        assert!(back.len() >= 2, "{back:?}");
        assert!(away.len() <= back.len(), "a spare connection may come before");
        assert_eq!(usize::try_from(closed.count("outages")).unwrap(), back.len());
    }
}

#[test]
fn tunnel_half_closes_and_resets_in_an_outage_are_not_lost() {
    let cut = Cut::start("", &[], &[]);
    let to = cut.tunnel.far.addr();
    let all = [(); 4].map(|()| cut.tunnel.open());
    cut.lose();
    for opened in &all {
        cut.tunnel.near.event_of("away", opened.session);
        cut.tunnel.far.event_of("away", opened.session);
    }
    let [half, half_of_service, reset, reset_of_service] = all;
    (&half.program).write_all(b"last").unwrap();
    half.program.shutdown(std::net::Shutdown::Write).unwrap();
    (&half_of_service.service).write_all(b"last").unwrap();
    half_of_service.service.shutdown(std::net::Shutdown::Write).unwrap();
    super::reset(reset.program);
    super::reset(reset_of_service.service);
    // This end says so before the other end knows.
    assert_eq!(cut.tunnel.near.how(reset.session), "reset_here");
    assert_eq!(cut.tunnel.far.how(reset_of_service.session), "reset_here");
    cut.path.hang_up_and_lead_to(to);
    assert_eq!(expect_end(&half.service), b"last");
    assert_eq!(expect_end(&half_of_service.program), b"last");
    expect_reset(&reset.service);
    expect_reset(&reset_of_service.program);
}

#[test]
fn tunnel_resets_both_programs_when_an_outage_is_too_long() {
    // Of the service's grace, which is shorter than those of both ends, and of the near end's.
    for (service, near) in [(",grace=1s", "2m"), ("", "1s")] {
        let cut = Cut::start(service, &[], &["--grace", near]);
        let opened = cut.tunnel.open();
        for end in [&cut.tunnel.near, &cut.tunnel.far] {
            let opened = end.log.event("opened");
            if !service.is_empty() {
                assert_eq!(opened["grace_ms"], 1_000.0);
            }
        }
        cut.lose();
        expect_reset(&opened.program);
        expect_reset(&opened.service);
        for end in [&cut.tunnel.near, &cut.tunnel.far] {
            assert_eq!(end.event_of("away", opened.session)["within_ms"], 1_000.0);
            assert_eq!(end.how(opened.session), "lost");
        }
    }
}

#[test]
fn tunnel_that_is_told_to_stop_lets_connections_end_and_takes_no_more() {
    for is_far in [true, false] {
        let mut tunnel = Tunnel::start(&["--drain", "1m"]);
        let opened = tunnel.open();
        let end = if is_far { &mut tunnel.far } else { &mut tunnel.near };
        end.process.signal(Signal::TERM);
        end.log.line("told to stop: waits up to 1m for 1 connection");
        if is_far {
            expect_reset(&connect(tunnel.near.addr()));
            let refused = tunnel.near.log.event("refused");
            assert_eq!(refused["detail"], "the far end is being stopped");
        } else {
            TcpStream::connect(tunnel.near.addr()).unwrap_err();
        }
        (&opened.program).write_all(&pattern(100_000)).unwrap();
        expect_bytes(&opened.service, &pattern(100_000));
        drop(opened.service);
        assert_eq!(expect_end(&opened.program), b"");
        drop(opened.program);
        let end = if is_far { &mut tunnel.far } else { &mut tunnel.near };
        assert_eq!(end.process.exit_code(), Some(0));
        assert_eq!(end.how(opened.session), "done");
        assert_eq!(end.log.event("stopped")["connections"], 0);
    }
}

#[test]
fn tunnel_that_has_to_stop_resets_what_is_left() {
    for is_far in [true, false] {
        for is_told_twice in [true, false] {
            let mut tunnel =
                Tunnel::start(&["--drain", if is_told_twice { "1m" } else { "100ms" }]);
            let opened = tunnel.open();
            let end = if is_far { &mut tunnel.far } else { &mut tunnel.near };
            end.process.signal(Signal::TERM);
            if is_told_twice {
                // Two within a quarter of a second count as one.
                pass(ms(300));
                end.process.signal(Signal::TERM);
            }
            assert_eq!(end.process.exit_code(), Some(0));
            assert_eq!(end.log.event("stopped")["connections"], 1);
            assert_eq!(end.log.event("closed")["how"], "stopped");
            expect_reset(&opened.program);
            expect_reset(&opened.service);
        }
    }
}

#[test]
fn tunnel_reads_tokens_again_and_ends_the_connections_of_one_that_is_gone() {
    const ANN: &str = "ann aaaaaaaaaaaaaaaaaaaa\n";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("tokens"), ANN).unwrap();
    std::fs::write(path("ann"), "aaaaaaaaaaaaaaaaaaaa").unwrap();
    std::fs::write(path("bob"), "bbbbbbbbbbbbbbbbbbbb").unwrap();
    let ann = ["--name", "ann", "--token-file", &path("ann")];
    let cut = Cut::start("", &["--tokens", &path("tokens")], &ann);
    let opened = cut.tunnel.open();
    let far = &cut.tunnel.far;
    let bob = ["--name", "bob", "--token-file", &path("bob")];
    let bob = Sidecar::near(far.addr(), "s", &bob);
    expect_reset(&connect(bob.addr()));

    let reload = |text: &str, says: &str| {
        std::fs::write(path("tokens"), text).unwrap();
        far.process.signal(Signal::HUP);
        far.log.line(says);
    };
    reload("no tokens", "cannot reload, and nothing has changed");
    reload("bob bbbbbbbbbbbbbbbbbbbb\n", "again");
    let program = connect(bob.addr());
    drop((program, accept(&cut.tunnel.service)));
    expect_reset(&opened.program);
    let closed = cut.tunnel.near.event_of("closed", opened.session);
    assert_eq!(closed["how"], "reset_there");
    assert_eq!(closed["detail"], "its token is not accepted any more");
}

#[test]
fn tunnel_end_that_is_frozen_is_an_outage_as_any_other() {
    for is_far in [true, false] {
        let tunnel = Tunnel::start(&["--interval", "300ms", "--timeout", "900ms"]);
        let mut opened = tunnel.open();
        let (frozen, other) =
            if is_far { (&tunnel.far, &tunnel.near) } else { (&tunnel.near, &tunnel.far) };
        frozen.process.freeze();
        other.event_of("away", opened.session);
        opened.program.write_all(b"meanwhile").unwrap();
        opened.service.write_all(b"as well").unwrap();
        frozen.process.thaw();
        other.event_of("back", opened.session);
        expect_bytes(&opened.service, b"meanwhile");
        let mut bytes = [0; 7];
        opened.program.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"as well");
    }
}
