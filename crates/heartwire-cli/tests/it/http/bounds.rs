//! Connections that want too much.

use std::io::{Read, Write};

use super::{Web, get};

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
    let answers = std::thread::spawn(move || super::read_all(&mut reader));
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
    assert!(super::read_all(&mut last).starts_with("HTTP/1.1 200 "), "the newest stayed");
}
