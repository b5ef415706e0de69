//! How connections end: each case in each direction.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use heartwire_testkit::ms;
use rustix::process::Signal;

use super::{
    Tunnel, accept, connect, expect_bytes, expect_end, expect_reset, fill, is_reset, pattern,
    reset, write_meanwhile,
};

/// More than the windows and the kernel's buffers on the way.
const LONG: usize = 24 << 20;

/// What both ends say of a connection that ended so.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Done,
    /// By the end that the case calls `here`, or by the other one.
    ResetByHere,
    ResetByThere,
}

/// A story between two ends of a connection.
type Story = fn(here: TcpStream, there: TcpStream) -> Ends;

/// Tells it with the program as `here`, and with the service as that.
#[track_caller]
fn both_ways(tunnel: &Tunnel, name: &str, story: Story) {
    for is_program_here in [true, false] {
        let opened = tunnel.open();
        let ends = if is_program_here {
            story(opened.program, opened.service)
        } else {
            story(opened.service, opened.program)
        };
        let how = [&tunnel.near, &tunnel.far].map(|end| end.how(opened.session));
        let expected = match (ends, is_program_here) {
            (Ends::Done, _) => ["done", "done"],
            (Ends::ResetByHere, true) | (Ends::ResetByThere, false) => {
                ["reset_here", "reset_there"]
            }
            (Ends::ResetByHere, false) | (Ends::ResetByThere, true) => {
                ["reset_there", "reset_here"]
            }
        };
        assert_eq!(how, expected, "{name}, program here: {is_program_here}");
    }
}

#[track_caller]
fn shut(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

#[test]
fn tunnel_passes_half_closes_on_by_themselves() {
    let tunnel = Tunnel::start(&[]);
    both_ways(&tunnel, "the other direction goes on for long", |mut here, mut there| {
        here.write_all(b"request").unwrap();
        shut(&here);
        assert_eq!(expect_end(&there), b"request");
        let answer = pattern(LONG / 4);
        for part in answer.chunks(answer.len() / 8) {
            there.write_all(part).unwrap();
            expect_bytes(&here, part);
            thread::sleep(ms(20));
        }
        shut(&there);
        assert_eq!(expect_end(&here), b"");
        Ends::Done
    });
    both_ways(&tunnel, "both at once", |here, there| {
        let both = [&here, &there].map(|end| write_meanwhile(end, pattern(100_000)));
        let _ = both.map(|writing| writing.join().unwrap().unwrap());
        shut(&here);
        shut(&there);
        assert_eq!(expect_end(&there), pattern(100_000));
        assert_eq!(expect_end(&here), pattern(100_000));
        Ends::Done
    });
    both_ways(&tunnel, "with bytes that are still queued", |mut here, there| {
        let writing = {
            let here = here.try_clone().unwrap();
            thread::spawn(move || {
                (&here).write_all(&pattern(LONG)).unwrap();
                shut(&here);
            })
        };
        thread::sleep(ms(300));
        assert!(!writing.is_finished(), "it waits for a reader");
        expect_bytes(&there, &pattern(LONG));
        writing.join().unwrap();
        assert_eq!(expect_end(&there), b"");
        (&there).write_all(b"thanks").unwrap();
        drop(there);
        assert_eq!(expect_end(&here), b"thanks");
        here.flush().unwrap();
        Ends::Done
    });
    both_ways(&tunnel, "without a byte", |here, there| {
        shut(&here);
        assert_eq!(expect_end(&there), b"");
        shut(&there);
        assert_eq!(expect_end(&here), b"");
        Ends::Done
    });
}

#[test]
fn tunnel_passes_resets_on_at_once() {
    let tunnel = Tunnel::start(&[]);
    both_ways(&tunnel, "while it is idle", |here, there| {
        reset(here);
        assert_eq!(expect_reset(&there), 0);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "while data flows from there", |here, there| {
        let writing = write_meanwhile(&there, pattern(LONG));
        expect_bytes(&here, &pattern(LONG / 8));
        reset(here);
        expect_failed(writing);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "while data flows from here", |mut here, there| {
        let reading = thread::spawn(move || expect_reset(&there));
        here.write_all(&pattern(LONG)).unwrap();
        reset(here);
        reading.join().unwrap();
        Ends::ResetByHere
    });
    both_ways(&tunnel, "while the other does not read", |here, there| {
        fill(&here);
        reset(here);
        expect_reset(&there);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "while it does not read itself", |here, there| {
        fill(&there);
        reset(here);
        expect_reset(&there);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "while neither reads", |here, there| {
        fill(&here);
        fill(&there);
        reset(here);
        expect_reset(&there);
        Ends::ResetByHere
    });
}

#[test]
fn tunnel_tells_a_reset_from_a_half_close() {
    let tunnel = Tunnel::start(&[]);
    both_ways(&tunnel, "a reset behind a half-close of the same end", |here, there| {
        (&here).write_all(b"some").unwrap();
        shut(&here);
        assert_eq!(expect_end(&there), b"some");
        reset(here);
        // It learns of it when it writes, at the latest.
        while (&there).write_all(&[0; 64 * 1024]).is_ok() {}
        Ends::ResetByHere
    });
    both_ways(&tunnel, "a reset behind a half-close of the other", |here, there| {
        shut(&there);
        assert_eq!(expect_end(&here), b"");
        (&here).write_all(b"some").unwrap();
        expect_bytes(&there, b"some");
        reset(here);
        assert_eq!(expect_reset(&there), 0);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "a reset behind a half-close whose bytes wait", |here, there| {
        fill(&here);
        shut(&here);
        thread::sleep(ms(100));
        reset(here);
        expect_reset(&there);
        Ends::ResetByHere
    });
    both_ways(&tunnel, "a full close while the other sends", |here, there| {
        shut(&there);
        drop(there);
        assert_eq!(expect_end(&here), b"");
        while (&here).write_all(&[0; 64 * 1024]).is_ok() {}
        Ends::ResetByThere
    });
    both_ways(&tunnel, "a close with bytes that were not read", |here, there| {
        fill(&here);
        drop(there);
        while (&here).write_all(&[0; 64 * 1024]).is_ok() {}
        Ends::ResetByThere
    });
}

/// Both ends have ended, and one of them has not read all.
#[test]
fn tunnel_that_is_reset_before_all_is_read_is_not_done() {
    // With room for all of it at the end that resets, more than its kernel takes.
    let tunnel = Tunnel::start(&["--window", "48MiB"]);
    both_ways(&tunnel, "a reset before all is read", |here, there| {
        shut(&here);
        assert_eq!(expect_end(&there), b"");
        (&there).write_all(&pattern(LONG)).unwrap();
        shut(&there);
        thread::sleep(ms(500));
        reset(here);
        Ends::ResetByHere
    });
}

/// What is being written is not taken to its end.
#[track_caller]
fn expect_failed(writing: thread::JoinHandle<io::Result<()>>) {
    let error = writing.join().unwrap().unwrap_err();
    assert!(is_reset(error.kind()), "{error}");
}

/// The kernel still has bytes for a program that reads late.
#[test]
fn tunnel_that_is_done_has_everything_delivered() {
    const LEN: usize = 600_000;
    let tunnel = Tunnel::start(&[]);
    for is_program_late in [true, false] {
        let opened = tunnel.open();
        let (late, mut other) = if is_program_late {
            (&opened.program, &opened.service)
        } else {
            (&opened.service, &opened.program)
        };
        shut(late);
        other.write_all(&pattern(LEN)).unwrap();
        shut(other);
        assert_eq!(tunnel.near.how(opened.session), "done");
        assert_eq!(tunnel.far.how(opened.session), "done");
        assert!(expect_end(late) == pattern(LEN), "other bytes");
    }
}

#[test]
fn tunnel_whose_end_is_killed_resets_what_it_carried() {
    // The killed end's kernel resets its own sockets, and the other end waits for it in vain.
    for is_far_killed in [true, false] {
        let mut tunnel = Tunnel::start(&["--grace", "1s"]);
        let all = [tunnel.open(), tunnel.open(), tunnel.open()];
        let [idle, sending, receiving] = &all;
        let writing =
            [&sending.program, &receiving.service].map(|it| write_meanwhile(it, pattern(LONG)));
        expect_bytes(&receiving.program, &pattern(LONG / 8));
        expect_bytes(&sending.service, &pattern(LONG / 8));
        let (killed, left) = if is_far_killed {
            (&mut tunnel.far, &tunnel.near)
        } else {
            (&mut tunnel.near, &tunnel.far)
        };
        killed.process.signal(Signal::KILL);
        killed.process.0.wait().unwrap();
        expect_reset(&idle.program);
        expect_reset(&idle.service);
        // A killed end's kernel may have sent everything that it had.
        expect_reset(&receiving.program);
        expect_reset(&sending.service);
        let _ = writing.map(expect_failed);
        left.event_of("away", idle.session);
        for opened in &all {
            assert_eq!(left.how(opened.session), "lost");
        }
    }
}

#[test]
fn tunnel_whose_far_end_is_restarted_resets_what_it_carried() {
    let service = super::listen();
    let named = format!("s={}", service.local_addr().unwrap());
    let addr = heartwire_testkit::lasting_address().to_string();
    let far = ["serve", "--listen", &addr, "--service", &named];
    let mut old = super::Sidecar::start(&far);
    let near = super::Sidecar::near(old.addr(), "s", &[]);
    let program = connect(near.addr());
    let at_service = accept(&service);
    near.log.event("opened");
    old.process.signal(Signal::KILL);
    old.process.0.wait().unwrap();
    expect_reset(&at_service);
    near.log.event("away");
    let _new = super::Sidecar::start(&far);
    expect_reset(&program);
    let closed = near.log.event("closed");
    assert_eq!(closed["how"], "lost");
    // New connections go to the new one.
    let program = connect(near.addr());
    let mut at_service = accept(&service);
    at_service.write_all(b"hello").unwrap();
    expect_bytes(&program, b"hello");
}
