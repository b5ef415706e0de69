//! Connections that want too much.

use core::iter;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use heartwire_testkit::{BEAT, PATIENCE, Peer, ms};

use super::{Answer, TOKEN, Web, get, http_at, read_all};
use crate::program::Server;
use crate::side_by_side;

#[test]
fn a_head_that_is_too_long_is_refused() {
    let web = Web::start(&[]);
    let long =
        get("/livez").replace("Connection", &format!("X: {}\r\nConnection", "x".repeat(17_000)));
    assert!(web.raw(&long).starts_with("HTTP/1.1 431 "));
    let many =
        get("/livez").replace("Connection", &format!("{}Connection", "X: y\r\n".repeat(100)));
    assert!(web.raw(&many).starts_with("HTTP/1.1 431 "));
    assert!(web.raw("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    web.get("/livez").expect(200);
}

#[test]
fn pipelined_requests_are_answered_one_by_one() {
    let web = Web::start(&[]);
    let one = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let all = one.repeat(2000) + &get("/livez");
    let mut stream = web.connect();
    let mut reader = stream.try_clone().unwrap();
    let answers = thread::spawn(move || read_all(&mut reader));
    stream.write_all(all.as_bytes()).unwrap();
    assert_eq!(answers.join().unwrap().matches("HTTP/1.1 200 OK").count(), 2001);
}

#[test]
fn idle_connections_make_room_for_those_that_ask() {
    let web = Web::start(&[]);
    // Many more than there may be, each with the beginning of a request.
    let mut idle: Vec<_> = (0..400).map(|_| web.connect()).collect();
    for stream in &mut idle {
        // It may be closed already.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: lo");
    }
    web.get("/livez").expect(200);
    web.get("/v1/stats").expect(200);
    // The oldest had to go, with an end or a reset.
    let end = idle[0].read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let mut last = idle.pop().unwrap();
    last.write_all(b"calhost\r\nConnection: close\r\n\r\n").unwrap();
    assert!(read_all(&mut last).starts_with("HTTP/1.1 200 "), "the newest stayed");
}

#[test]
fn slow_requests_end() {
    side_by_side(&[
        ("a head that comes byte by byte", || {
            let web = Web::start(&[]);
            let start = Instant::now();
            let mut stream = web.connect();
            stream.set_read_timeout(Some(ms(100))).unwrap();
            let mut bytes = get("/livez").into_bytes().into_iter().cycle();
            // It never ends, as far as the client is concerned.
            let ended = loop {
                let byte = bytes.next().filter(|&byte| byte != b'\r' && byte != b'\n');
                if stream.write_all(&[byte.unwrap_or(b'x')]).is_err() {
                    break true;
                }
                match stream.read(&mut [0; 64]) {
                    Ok(0) => break true,
                    Ok(_) => break false,
                    Err(_) if start.elapsed() > PATIENCE => break false,
                    Err(_) => {}
                }
            };
            assert!(ended, "it was neither answered nor kept");
            assert!(start.elapsed() >= ms(10_000), "too soon: {:?}", start.elapsed());
        }),
        ("a body that does not come", || {
            let web = Web::start(&[]);
            let start = Instant::now();
            let answer = web.ask(&format!(
                "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
                 Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
            ));
            assert!(start.elapsed() >= ms(5000), "too soon: {:?}", start.elapsed());
            answer.expect_refusal(408, "slow_body");
        }),
    ]);
}

#[test]
fn thousands_at_once_are_answered_or_closed_and_no_session_suffers() {
    const THREADS: usize = 20;
    const EACH: usize = 100;
    let web = Web::start(&["--protocol", "v0", "--interval", "1s", "--timeout", "30s"]);
    let mut peer = Peer::connect(web.server.addr);
    peer.send(&BEAT);
    web.server.event("online");
    let (answered, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                peer.send(&BEAT);
                thread::sleep(ms(200));
            }
        });
        let askers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    // All of a thread's are open before the first is asked.
                    let mut all: Vec<TcpStream> = (0..EACH).map(|_| web.connect()).collect();
                    for stream in &mut all {
                        let _ = stream.write_all(get("/v1/stats").as_bytes());
                        let answer = read_all(stream);
                        if answer.starts_with("HTTP/1.1 200 ") {
                            answered.fetch_add(1, Relaxed);
                        } else {
                            assert_eq!(answer, "");
                            closed.fetch_add(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        // However the test ends, so does the peer's beating.
        let _over = SetOnDrop(&is_over);
        // This one may be the oldest of too many connections and be closed, but not each time.
        let start = Instant::now();
        let livez = iter::repeat_with(|| web.try_raw(get("/livez")))
            .find(|answer| answer.starts_with("HTTP/1.1 200 ") || start.elapsed() > PATIENCE);
        assert!(livez.is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
        for asker in askers {
            asker.join().unwrap();
        }
    });
    let (answered, closed) = (answered.into_inner(), closed.into_inner());
    assert_eq!(answered + closed, THREADS * EACH);
    assert!(answered >= THREADS, "{answered} of {}", THREADS * EACH);
    web.get("/livez").expect(200);
    assert_eq!(web.get("/v1/stats").expect(200)["now"]["sessions"], 1);
    assert!(web.server.events.events_so_far("verdict").is_empty());
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_server_whose_clients_took_all_descriptors_still_says_so() {
    let server =
        Server::start_with_files("127.0.0.1:0", 64, &["--http", "127.0.0.1:0", "--timeout", "1h"]);
    let at = http_at(&server.event("listening"));
    let peers: Vec<Peer> = (0..100).map(|_| Peer::connect(server.addr)).collect();
    assert_eq!(server.event("refusing")["cause"], "descriptors");
    let ask = |path| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(get(path).as_bytes()).unwrap();
        Answer::of(&read_all(&mut stream))
    };
    for _ in 0..30 {
        ask("/livez").expect(200);
    }
    assert_eq!(ask("/readyz").expect(503)["reasons"][0], "refusing_descriptors");
    drop(peers);
}
