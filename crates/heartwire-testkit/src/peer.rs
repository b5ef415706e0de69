//! An end of a connection that a test plays by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use heartwire::v1::{Bye, ByeCode, RetryHint, Terms, Welcome};
use heartwire_core::Protocol;
use heartwire_core::internal::v1::Beat;
use heartwire_core::resume::Position;
use heartwire_core::{Connection, Event, Instant as CoreInstant, Settings};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    ACK, BEAT, BYE, DATA, END, HEART, HELLO, PATIENCE, WELCOME, beat_of, data, frame, ms, patient,
};

/// A frame or end that arrived.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    /// A beat of v0.
    Heart,
    /// A beat of v1.
    Beat(Beat),
    /// The body of a data frame.
    Data(Vec<u8>),
    /// What the other end has taken over, in a frame of its own.
    Ack(Position),
    /// The other end sends no more data.
    End,
    /// A server's answer to a HELLO.
    Welcome(Welcome),
    /// A BYE.
    Bye(ByeCode, RetryHint, String),
    /// A frame of another type.
    Other(i32),
    /// The other end has closed.
    Closed,
    /// The other end has reset the connection.
    Reset,
}

impl Got {
    /// A frame with this header and body.
    #[track_caller]
    #[must_use]
    pub fn of_frame(header: [u8; 8], body: &[u8]) -> Self {
        match i32::from_le_bytes(header[..4].try_into().unwrap()) {
            HEART if body.is_empty() => Self::Heart,
            HEART => {
                assert!([32, 48].contains(&body.len()), "a beat of {} bytes", body.len());
                Self::Beat(Beat::decode(body.first_chunk().unwrap()))
            }
            ACK => {
                let [frames, bytes] =
                    [0, 8].map(|at| u64::from_le_bytes(body[at..at + 8].try_into().unwrap()));
                Self::Ack(Position { frames, bytes })
            }
            END => Self::End,
            DATA => Self::Data(body.to_vec()),
            kind @ (WELCOME | BYE) => decode(kind, body),
            other => Self::Other(other),
        }
    }
}

/// How a connection ended, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Closed,
    /// With a RST.
    Reset,
}

/// The other end of a connection that is tested: a plain socket. It reads and answers nothing by
/// itself. It speaks v0 until it has sent or received a WELCOME.
#[derive(Debug)]
pub struct Peer {
    /// Reads and writes wait for [`PATIENCE`].
    pub stream: TcpStream,
    is_v1: bool,
    nonce: u64,
}

impl Peer {
    /// A peer on a socket that is connected.
    #[track_caller]
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, is_v1: false, nonce: 0 }
    }

    /// A client.
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&addr, PATIENCE).unwrap())
    }

    /// A client of a server that may reject it.
    pub fn try_connect(addr: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream, is_v1: false, nonce: 0 })
    }

    /// A client with a small receive buffer.
    #[track_caller]
    pub fn connect_narrow(addr: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect_timeout(&addr.into(), PATIENCE).unwrap();
        Self::of(socket.into())
    }

    /// A v1 client that was accepted.
    #[track_caller]
    pub fn welcomed(addr: SocketAddr, hello: &[u8]) -> (Self, Welcome) {
        let mut peer = Self::connect(addr);
        peer.send(hello);
        match peer.next() {
            Got::Welcome(welcome) => (peer, welcome),
            other => panic!("not welcome: {other:?}"),
        }
    }

    /// Its own address.
    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Writes all of this.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As `send`, to an end that may have closed.
    ///
    /// # Errors
    ///
    /// The other end has closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a data frame.
    #[track_caller]
    pub fn data(&mut self, body: &[u8]) {
        self.send(&data(body));
    }

    /// Sends a beat of the protocol that it speaks.
    #[track_caller]
    pub fn beat(&mut self) {
        if self.is_v1 {
            self.beat_with(|_| {});
        } else {
            self.send(&BEAT);
        }
    }

    /// Sends this beat of v1.
    #[track_caller]
    pub fn beat_with(&mut self, change: impl FnOnce(&mut Beat)) {
        self.nonce += 1;
        let mut beat = beat_of(self.nonce);
        change(&mut beat);
        self.send(&frame(HEART, &beat.encode()));
    }

    /// The next frame, or the end.
    #[track_caller]
    pub fn next(&mut self) -> Got {
        let mut header = [0; 8];
        match self.stream.read(&mut header[..1]) {
            Ok(0) => return Got::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Got::Reset,
            // By a signal, such as that of a child process that has ended.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.next(),
            Err(error) => panic!("nothing comes: {error}"),
        }
        self.stream.read_exact(&mut header[1..]).expect("a whole header");
        let len = i32::from_le_bytes(header[4..].try_into().unwrap());
        let got = Got::of_frame(header, &self.read(usize::try_from(len).expect("not negative")));
        self.is_v1 |= matches!(got, Got::Welcome(_));
        got
    }

    /// The next `len` bytes.
    #[track_caller]
    pub fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("more bytes come");
        bytes
    }

    /// The next frame that is not a beat, or the end.
    #[track_caller]
    pub fn next_but_beats(&mut self) -> Got {
        loop {
            match self.next() {
                Got::Beat(_) | Got::Heart => {}
                other => return other,
            }
        }
    }

    /// The next frame is a beat of v0.
    #[track_caller]
    pub fn expect_heart(&mut self) {
        assert_eq!(self.next(), Got::Heart);
    }

    /// The next frame is a beat of v1.
    #[track_caller]
    pub fn expect_beat(&mut self) -> Beat {
        match self.next() {
            Got::Beat(beat) => beat,
            other => panic!("not a beat: {other:?}"),
        }
    }

    /// The next frame is this.
    #[track_caller]
    pub fn expect_data(&mut self, body: &[u8]) {
        match self.next() {
            // Without printing what may be megabytes.
            Got::Data(data) => assert!(data == body, "{} other bytes", data.len()),
            other => panic!("not {} bytes of data: {other:?}", body.len()),
        }
    }

    /// The next data; beats before it are skipped.
    #[track_caller]
    pub fn receive_data(&mut self) -> Vec<u8> {
        match self.next_but_beats() {
            Got::Data(body) => body,
            other => panic!("no data: {other:?}"),
        }
    }

    /// The welcome; beats of v0 before it are skipped.
    #[track_caller]
    pub fn expect_welcome(&mut self) -> Welcome {
        match self.next_but_beats() {
            Got::Welcome(welcome) => welcome,
            other => panic!("not welcome: {other:?}"),
        }
    }

    /// A BYE, and the end after it; beats before them are skipped.
    #[track_caller]
    pub fn expect_bye(&mut self) -> (ByeCode, RetryHint, String) {
        let bye = match self.next_but_beats() {
            Got::Bye(code, retry, detail) => (code, retry, detail),
            other => panic!("no BYE: {other:?}"),
        };
        self.expect_end();
        bye
    }

    /// The end; beats before it are skipped.
    #[track_caller]
    pub fn expect_end(&mut self) -> End {
        match self.next_but_beats() {
            Got::Closed => End::Closed,
            Got::Reset => End::Reset,
            other => panic!("not the end: {other:?}"),
        }
    }

    /// Everything up to the end.
    #[track_caller]
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => (bytes, End::Closed),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (bytes, End::Reset),
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    /// Checks that an echoing end sends this back.
    #[track_caller]
    pub fn expect_echo(&mut self, body: &[u8]) {
        self.data(body);
        assert_eq!(self.receive_data(), body);
    }

    /// Closes the sending half only.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Writes these bytes again and again, until the other end has accepted none for a while, or
    /// has closed. Returns how many were accepted.
    ///
    /// # Panics
    ///
    /// The other end reads more than all buffers on the way can hold.
    #[track_caller]
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        const MOST: usize = 1 << 29;
        self.stream.set_nonblocking(true).unwrap();
        let mut len = 0;
        // The other end may just be about to read.
        let mut last_progress = Instant::now();
        while last_progress.elapsed() < ms(300) {
            match self.stream.write(&bytes[len % bytes.len()..]) {
                Ok(written) => {
                    len += written;
                    assert!(len < MOST, "it reads on, after {len} bytes");
                    last_progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(ms(1)),
                Err(_) => break,
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        len
    }

    /// Sends a beat every `interval` from a thread, until it is stopped or the other end closes.
    pub fn beat_every(mut self, interval: Duration) -> Beating {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            self.beat();
            let mut beats = 1;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                self.beat();
                beats += 1;
            }
            (self, beats)
        });
        Beating { stop, thread }
    }

    #[track_caller]
    fn read_hello(&mut self) -> Vec<u8> {
        let header = self.read(8);
        assert_eq!(header[..4], HELLO.to_le_bytes());
        let body = self.read(usize::from(u16::from_le_bytes([header[4], header[5]])));
        [header, body].concat()
    }

    /// Reads a HELLO, and returns the token in it.
    #[track_caller]
    pub fn token(&mut self) -> Vec<u8> {
        let bytes = self.read_hello();
        match server().handle_received(CoreInstant::from_nanos(0), &mut bytes.as_slice()) {
            Ok(Some(Event::Hello(hello))) => hello.token.expect("a token").to_vec(),
            other => panic!("not a HELLO: {other:?}"),
        }
    }

    /// Reads a HELLO and negotiates with `terms`.
    #[track_caller]
    pub fn welcome_by(&mut self, terms: &Terms) -> Welcome {
        let bytes = self.read_hello();
        let contract = match server().handle_received(CoreInstant::from_nanos(0), &mut &*bytes) {
            Ok(Some(Event::Hello(hello))) => terms.agree(&hello.offer).unwrap(),
            other => panic!("not a HELLO: {other:?}"),
        };
        let welcome = Welcome::new(7, 0, contract);
        self.send(&welcome.encode());
        self.is_v1 = true;
        welcome
    }
}

/// A peer that sends beats from a thread.
#[derive(Debug)]
pub struct Beating {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<(Peer, u64)>,
}

impl Beating {
    /// Stops the beats and returns the peer.
    #[track_caller]
    pub fn stop(self) -> Peer {
        self.stop_counted().0
    }

    /// Stops the beats; returns the peer and how many beats it sent.
    #[track_caller]
    pub fn stop_counted(self) -> (Peer, u64) {
        drop(self.stop);
        self.thread.join().expect("the connection was healthy")
    }
}

/// A connection that reads a HELLO.
fn server() -> Connection {
    Connection::new(Settings::new(patient()).protocol(Protocol::V1Only), CoreInstant::from_nanos(0))
}

/// A WELCOME or a BYE, as a client that expects one reads it.
#[track_caller]
fn decode(kind: i32, body: &[u8]) -> Got {
    if kind == WELCOME {
        return Got::Welcome(Welcome::decode(body).expect("a WELCOME"));
    }
    let bye = Bye::decode(body).expect("a BYE");
    Got::Bye(bye.code, bye.retry, bye.detail.into())
}
