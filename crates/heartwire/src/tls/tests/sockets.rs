//! Over the loopback.

use core::net::SocketAddr;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use crate::client::{Client, ClientConfig, Event};
use crate::tls::session::{MIN_READ_LEN, Received, TlsSession};
use crate::tls::{TlsFailure, TlsFault};

use super::certificates::{Authority, Serve as _, Trust as _};

/// How a connection went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) heard: Vec<u8>,
    pub(super) end: Result<Received, TlsFailure>,
}

impl Outcome {
    #[track_caller]
    pub(super) fn expect_closed(&self) {
        assert!(matches!(self.end, Ok(Received::Closed)), "{self:?}");
    }

    #[track_caller]
    pub(super) fn fault(&self) -> TlsFault {
        match &self.end {
            Err(error) => error.fault().unwrap_or_else(|| panic!("{error:?}")),
            Ok(_) => panic!("{self:?}"),
        }
    }
}

/// A TLS server for one connection, which says back what it hears, and goodbye at the end.
pub(super) fn serve(mut session: TlsSession) -> (SocketAddr, JoinHandle<Outcome>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut stream = heartwire_testkit::Peer::of(listener.accept().unwrap().0).stream;
        let mut heard = Vec::new();
        let mut buffer = vec![0; MIN_READ_LEN];
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
pub(super) fn talk(mut session: TlsSession, addr: SocketAddr, words: &[u8]) -> Outcome {
    let mut stream = heartwire_testkit::Peer::of(TcpStream::connect(addr).unwrap()).stream;
    let mut heard = Vec::new();
    let mut buffer = vec![0; MIN_READ_LEN];
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

/// So that the log of the server tells the cause.
#[test]
fn a_client_that_refuses_a_certificate_says_so_before_it_leaves() {
    let server = Authority::new().issue(&["localhost"]).server().load().unwrap();
    let (addr, server) = serve(TlsSession::server(&server).unwrap());
    let tls = Authority::new().client().load().unwrap();
    let config = ClientConfig::new(format!("localhost:{}", addr.port())).tls(tls);
    let (_client, mut events) = Client::start_on_thread(config).unwrap();
    let is_final = loop {
        match events.blocking_recv().unwrap() {
            Event::Failed { error } => break !error.is_retryable(),
            Event::Connecting { .. } => {}
            other => panic!("{other}"),
        }
    };
    assert!(is_final, "a certificate is not another one for being asked for again");
    assert_eq!(server.join().unwrap().fault(), TlsFault::Refused { alert: 48 });
    assert!(matches!(events.blocking_recv(), Some(Event::Closed)));
}
