//! The other end of a connection: a plain socket, and heads written by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use socket2::{Domain, SockRef, Socket, Type};

use crate::{PATIENCE, ms};

/// The tutorial's empty packet: type 0, length 0.
pub(crate) const HEART: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0];

/// The tutorial's data packet: type 1, the length, the body.
pub(crate) fn other(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).unwrap();
    [&[1, 0, 0, 0], length.to_le_bytes().as_slice(), body].concat()
}

/// What came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Heart,
    Other(Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&addr, PATIENCE).unwrap())
    }

    /// A peer whose kernel takes in little before its program reads.
    #[track_caller]
    pub(crate) fn connect_narrow(addr: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect_timeout(&addr.into(), PATIENCE).unwrap();
        Self::of(socket.into())
    }

    #[track_caller]
    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Waits for somebody to connect to `listener`.
    #[track_caller]
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        listener.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return Self::of(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody connected");
                    thread::sleep(ms(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn receive(&mut self) -> Frame {
        let mut head = [0; 8];
        self.0.read_exact(&mut head).expect("a frame comes");
        if head == HEART {
            return Frame::Heart;
        }
        assert_eq!(head[..4], [1, 0, 0, 0], "the type of a frame");
        let length = i32::from_le_bytes(head[4..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut body).expect("the body comes");
        Frame::Other(body)
    }

    /// A frame of any type, by its number.
    #[track_caller]
    pub(crate) fn receive_any(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 8];
        self.0.read_exact(&mut head).expect("a frame comes");
        let length = i32::from_le_bytes(head[4..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut body).expect("the body comes");
        (head[0], body)
    }

    /// The next data; beats before it are skipped.
    #[track_caller]
    pub(crate) fn receive_data(&mut self) -> Vec<u8> {
        loop {
            if let Frame::Other(body) = self.receive() {
                return body;
            }
        }
    }

    /// What an echoing server must send back, comes back.
    #[track_caller]
    pub(crate) fn expect_echo(&mut self, body: &[u8]) {
        self.send(&other(body));
        assert_eq!(self.receive_data(), body);
    }

    /// Everything that comes until the other end closes, or resets, the connection.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Writes `bytes` again and again until the other end has taken none for a while.
    pub(crate) fn write_until_stuck(&mut self, bytes: &[u8]) {
        self.0.set_write_timeout(Some(ms(300))).unwrap();
        // A part of a write that was cut short does not matter any more.
        while self.0.write_all(bytes).is_ok() {}
    }

    /// Beats every `interval` on a thread of its own, as the tutorial's client does, and reads
    /// nothing.
    pub(crate) fn beat_every(mut self, interval: Duration) -> Beating {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            self.send(&HEART);
            let mut beats = 1;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                self.send(&HEART);
                beats += 1;
            }
            (self, beats)
        });
        Beating { stop, thread }
    }
}

/// A peer that beats.
#[derive(Debug)]
pub(crate) struct Beating {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<(Peer, u64)>,
}

impl Beating {
    /// Ends the beats, not the connection, and says how many there were.
    #[track_caller]
    pub(crate) fn stop(self) -> (Peer, u64) {
        drop(self.stop);
        self.thread.join().expect("the connection was healthy")
    }
}
