//! Over the loopback.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use heartwire::internal::tls::{READ_LEN_MIN, Received, TlsSession};
use heartwire::tls::{TlsError, TlsFault};

use crate::certificates::Authority;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How a connection went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) heard: Vec<u8>,
    pub(crate) end: Result<Received, TlsError>,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn expect_closed(&self) {
        assert!(matches!(self.end, Ok(Received::Closed)), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn fault(&self) -> TlsFault {
        match &self.end {
            Err(error) => error.fault().unwrap_or_else(|| panic!("{error:?}")),
            Ok(_) => panic!("{self:?}"),
        }
    }
}

pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A TLS server for one connection, which says back what it hears, and goodbye at the end.
pub(crate) fn serve(mut session: TlsSession) -> (SocketAddr, JoinHandle<Outcome>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = patient(listener.accept().unwrap().0);
        let mut heard = Vec::new();
        let mut buffer = vec![0; READ_LEN_MIN];
        let end = loop {
            let read = session.read(&mut stream, &mut buffer);
            match read {
                Ok(Received::Bytes(len)) => {
                    heard.extend_from_slice(&buffer[..len]);
                    session.flush(&mut stream).unwrap();
                    write_all(&mut session, &mut stream, &buffer[..len]);
                }
                end => break end,
            }
        };
        session.close();
        // The other end may be gone.
        let _ = session.flush(&mut stream);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
        Outcome { heard, end }
    });
    (addr, server)
}

/// Says something to a server, hears as much from it, says goodbye, and hears that too.
pub(crate) fn talk(mut session: TlsSession, addr: SocketAddr, words: &[u8]) -> Outcome {
    let mut stream = patient(TcpStream::connect(addr).unwrap());
    let mut heard = Vec::new();
    let mut buffer = vec![0; READ_LEN_MIN];
    let mut said = false;
    let end = loop {
        session.flush(&mut stream).unwrap();
        if !session.is_handshaking() && !said {
            write_all(&mut session, &mut stream, words);
            said = true;
        }
        match session.read(&mut stream, &mut buffer) {
            Ok(Received::Bytes(len)) => heard.extend_from_slice(&buffer[..len]),
            end => break end,
        }
        if heard.len() >= words.len() && said {
            session.close();
        }
    };
    Outcome { heard, end }
}

fn write_all(session: &mut TlsSession, stream: &mut TcpStream, bytes: &[u8]) {
    let mut written = 0;
    while written < bytes.len() {
        written += session.write(stream, &bytes[written..]).unwrap();
    }
}

#[test]
fn both_ends_talk_and_say_goodbye() {
    let authority = Authority::new();
    let server = authority.issue(&["localhost"]).server().load().unwrap();
    let (addr, server) = serve(TlsSession::server(&server).unwrap());
    let client = TlsSession::client(&authority.client().load().unwrap(), "localhost").unwrap();
    let words = vec![7; 100_000];
    let client = talk(client, addr, &words);
    client.expect_closed();
    assert_eq!(client.heard, words);
    let server = server.join().unwrap();
    server.expect_closed();
    assert_eq!(server.heard, words);
}

#[test]
fn a_client_with_tls_learns_that_a_server_has_none() {
    // It reads nothing before it closes, so that its system resets the connection; or it reads all.
    for reads in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let mut stream = patient(listener.accept().unwrap().0);
            if reads {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 100);
            } else {
                assert!(stream.peek(&mut [0; 1]).unwrap() > 0);
            }
        });
        let client =
            TlsSession::client(&Authority::new().client().load().unwrap(), "localhost").unwrap();
        assert_eq!(talk(client, addr, b"hello").fault(), TlsFault::Unfinished);
        server.join().unwrap();
    }
}

#[test]
fn a_client_with_tls_knows_a_heartwire_server_without_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = patient(listener.accept().unwrap().0);
        stream.write_all(&[0; 8]).unwrap();
        // Until the client has gone: else its system may drop the beat.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let client =
        TlsSession::client(&Authority::new().client().load().unwrap(), "localhost").unwrap();
    let looks_like = Some("a Heartwire frame without TLS");
    assert_eq!(talk(client, addr, b"hello").fault(), TlsFault::NotTls { looks_like });
    server.join().unwrap();
}

#[test]
fn a_server_with_tls_knows_a_heartwire_client_without_it() {
    let server = Authority::new().issue(&["localhost"]).server().load().unwrap();
    let (addr, server) = serve(TlsSession::server(&server).unwrap());
    let mut client = patient(TcpStream::connect(addr).unwrap());
    client.write_all(&[0; 8]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..2], [0x15, 3], "an alert of TLS");
    let looks_like = Some("a Heartwire frame without TLS");
    assert_eq!(server.join().unwrap().fault(), TlsFault::NotTls { looks_like });
}
