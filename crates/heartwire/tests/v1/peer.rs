//! An end of a connection that a test plays by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use heartwire::v1::{BEAT_LEN, Beat, ByeCode, Hello, Offer, Retry, Terms, Welcome};
use heartwire::{Settings, Wire};
use heartwire_core::{Connection, Event, Instant};
use socket2::SockRef;

use crate::rig::{PATIENCE, patient};

pub(crate) const HEART: i32 = 0;
pub(crate) const DATA: i32 = 1;
pub(crate) const HELLO: i32 = 2;
pub(crate) const WELCOME: i32 = 3;
pub(crate) const BYE: i32 = 4;
pub(crate) const PAD: i32 = 5;

pub(crate) fn frame(kind: i32, body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(body.len()).unwrap();
    [&kind.to_le_bytes(), &len.to_le_bytes(), body].concat()
}

/// A client that works by [`patient`].
pub(crate) fn hello() -> Vec<u8> {
    Hello::new(Offer::new(&patient())).encode()
}

pub(crate) fn hello_as(name: &str, token: Option<&[u8]>) -> Vec<u8> {
    let mut hello = Hello::new(Offer::new(&patient()));
    hello.name = Some(name);
    hello.token = token;
    hello.encode()
}

/// A beat that says nothing but that it is one.
pub(crate) fn beat_of(nonce: u64) -> Beat {
    Beat { nonce, promise_ms: 100, ..Beat::decode(&[0; BEAT_LEN]) }
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Welcome(Welcome),
    Beat(Beat),
    V0Beat,
    Data(Vec<u8>),
    Bye(ByeCode, Retry, String),
    Other(i32),
    Closed,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    nonce: u64,
}

impl Peer {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&addr, PATIENCE).unwrap())
    }

    /// As `connect`, at somebody who may refuse.
    pub(crate) fn try_connect(addr: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream, nonce: 0 })
    }

    /// A client that was taken in.
    #[track_caller]
    pub(crate) fn welcomed(addr: SocketAddr, hello: &[u8]) -> (Self, Welcome) {
        let mut peer = Self::connect(addr);
        peer.send(hello);
        match peer.next() {
            Got::Welcome(welcome) => (peer, welcome),
            other => panic!("not welcome: {other:?}"),
        }
    }

    /// The next client of a listener.
    #[track_caller]
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        Self::of(listener.accept().unwrap().0)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, nonce: 0 }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As `send`, to somebody who may have gone.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    #[track_caller]
    pub(crate) fn data(&mut self, body: &[u8]) {
        self.send(&frame(DATA, body));
    }

    #[track_caller]
    pub(crate) fn beat(&mut self) {
        self.nonce += 1;
        let beat = beat_of(self.nonce);
        self.send(&frame(HEART, &beat.encode()));
    }

    #[track_caller]
    pub(crate) fn beat_with(&mut self, change: impl FnOnce(&mut Beat)) {
        self.nonce += 1;
        let mut beat = beat_of(self.nonce);
        change(&mut beat);
        self.send(&frame(HEART, &beat.encode()));
    }

    /// The next frame, or the end.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Got {
        let mut head = [0; 8];
        match self.stream.read(&mut head[..1]) {
            Ok(0) => return Got::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Got::Reset,
            Err(error) => panic!("nothing comes: {error}"),
        }
        self.stream.read_exact(&mut head[1..]).expect("a whole head");
        let kind = i32::from_le_bytes(head[..4].try_into().unwrap());
        let len = u32::from_le_bytes(head[4..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut body).expect("a whole body");
        match kind {
            HEART if body.is_empty() => Got::V0Beat,
            HEART => Got::Beat(Beat::decode(&body.try_into().expect("a beat's length"))),
            DATA => Got::Data(body),
            WELCOME | BYE => decode(&[&head[..], &body].concat()),
            other => Got::Other(other),
        }
    }

    /// The next frame that is not a beat, or the end.
    #[track_caller]
    pub(crate) fn next_but_beats(&mut self) -> Got {
        loop {
            match self.next() {
                Got::Beat(_) | Got::V0Beat => {}
                other => return other,
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_welcome(&mut self) -> Welcome {
        match self.next_but_beats() {
            Got::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        }
    }

    /// A BYE, and the end after it.
    #[track_caller]
    pub(crate) fn expect_bye(&mut self) -> (ByeCode, Retry, String) {
        let bye = match self.next_but_beats() {
            Got::Bye(code, retry, detail) => (code, retry, detail),
            other => panic!("no farewell: {other:?}"),
        };
        self.expect_end();
        bye
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        match self.next_but_beats() {
            Got::Closed | Got::Reset => {}
            other => panic!("not the end: {other:?}"),
        }
    }

    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    #[track_caller]
    fn read_hello(&mut self) -> Vec<u8> {
        let mut head = [0; 8];
        self.stream.read_exact(&mut head).unwrap();
        assert_eq!(i32::from_le_bytes(head[..4].try_into().unwrap()), HELLO);
        let mut bytes = head.to_vec();
        bytes.resize(8 + usize::from(u16::from_le_bytes([head[4], head[5]])), 0);
        self.stream.read_exact(&mut bytes[8..]).unwrap();
        bytes
    }

    /// Reads a HELLO, and returns the token in it.
    #[track_caller]
    pub(crate) fn token(&mut self) -> Vec<u8> {
        let bytes = self.read_hello();
        match server().handle_received(Instant::from_nanos(0), &mut bytes.as_slice()) {
            Ok(Some(Event::Hello(hello))) => hello.token.expect("a token").to_vec(),
            other => panic!("not a HELLO: {other:?}"),
        }
    }

    /// Reads a HELLO and answers it with what `terms` make of it.
    #[track_caller]
    pub(crate) fn welcome_by(&mut self, terms: &Terms) -> Welcome {
        let bytes = self.read_hello();
        let contract = match server().handle_received(Instant::from_nanos(0), &mut &*bytes) {
            Ok(Some(Event::Hello(hello))) => terms.agree(&hello.offer).unwrap(),
            other => panic!("not a HELLO: {other:?}"),
        };
        let welcome = Welcome::new(7, 0, contract);
        self.send(&welcome.encode());
        welcome
    }
}

/// What reads a HELLO.
fn server() -> Connection {
    Connection::new(Settings::new(patient()).wire(Wire::V1Only), Instant::from_nanos(0))
}

/// A WELCOME or a BYE, as a client that expects one reads it.
#[track_caller]
fn decode(bytes: &[u8]) -> Got {
    let now = Instant::from_nanos(0);
    let everything = heartwire::Policy::builder().build().unwrap();
    // A welcome is held against the offer, so it is decoded under several.
    for policy in [crate::rig::policy(1, 2), everything] {
        let mut client = Connection::new(Settings::new(policy).wire(Wire::V1), now);
        match client.handle_received(now, &mut &*bytes) {
            Ok(Some(Event::Welcome(welcome))) => return Got::Welcome(welcome),
            Ok(Some(Event::Bye(bye))) => return Got::Bye(bye.code, bye.retry, bye.detail.into()),
            _ => {}
        }
    }
    panic!("neither WELCOME nor BYE: {bytes:?}")
}
