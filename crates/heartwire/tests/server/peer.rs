//! A client made of a plain socket and hand-written heads.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use socket2::{Domain, SockRef, Socket, Type};

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const HEART: i32 = 0;
pub(crate) const OTHER: i32 = 1;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets time pass that a test is about.
pub(crate) fn pass(time: Duration) {
    thread::sleep(time);
}

/// The head of a frame, as the tutorial writes it.
pub(crate) fn head(kind: i32, length: i32) -> Vec<u8> {
    [kind.to_le_bytes(), length.to_le_bytes()].concat()
}

pub(crate) fn data(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).unwrap();
    [head(OTHER, length), body.to_vec()].concat()
}

/// How a connection ended, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// The other end of a session. It reads nothing and answers nothing unless it is told to.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

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

    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn beat(&mut self) {
        self.send(&head(HEART, 0));
    }

    #[track_caller]
    pub(crate) fn data(&mut self, body: &[u8]) {
        self.send(&data(body));
    }

    /// The next frame that comes, as its type and its body.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> (i32, Vec<u8>) {
        let mut word = || {
            let mut word = [0; 4];
            self.stream.read_exact(&mut word).expect("a frame comes");
            i32::from_le_bytes(word)
        };
        let (kind, length) = (word(), word());
        let mut body = vec![0; usize::try_from(length).expect("a length is not negative")];
        self.stream.read_exact(&mut body).expect("the body comes");
        (kind, body)
    }

    #[track_caller]
    pub(crate) fn expect_beat(&mut self) {
        assert_eq!(self.receive(), (HEART, Vec::new()));
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, body: &[u8]) {
        assert_eq!(self.receive(), (OTHER, body.to_vec()));
    }

    /// The next data frame; beats before it are skipped.
    #[track_caller]
    pub(crate) fn receive_data(&mut self) -> Vec<u8> {
        loop {
            let (kind, body) = self.receive();
            if kind == OTHER {
                return body;
            }
        }
    }

    /// The end comes, and nothing before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> End {
        let (bytes, end) = self.read_to_end();
        assert!(bytes.is_empty(), "{} bytes came before the end", bytes.len());
        end
    }

    /// Everything up to the end.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => (bytes, End::Closed),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (bytes, End::Reset),
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    /// Closes the sending half only.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Writes until the kernel at both ends takes no more; returns how much that was.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let mut len = 0;
        // A while without progress: the other end may just be about to read.
        let mut last_progress = Instant::now();
        while last_progress.elapsed() < ms(200) {
            match self.stream.write(bytes.get(len % bytes.len()..).unwrap()) {
                Ok(written) => {
                    len += written;
                    last_progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) => panic!("could not write: {error}"),
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        len
    }

    /// Writes a byte every `interval` on a thread, as long as the other end takes them.
    pub(crate) fn trickle(mut self, bytes: Vec<u8>, interval: Duration) -> JoinHandle<Self> {
        thread::spawn(move || {
            for byte in bytes.chunks(1) {
                if self.stream.write_all(byte).is_err() {
                    break;
                }
                thread::park_timeout(interval);
            }
            self
        })
    }

    /// Beats every `interval` on a thread, until it is stopped.
    pub(crate) fn beat_every(mut self, interval: Duration) -> Beating {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            self.beat();
            while stopped.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
                self.beat();
            }
            self
        });
        Beating { stop, thread }
    }
}

/// A peer that beats on a thread.
#[derive(Debug)]
pub(crate) struct Beating {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Peer>,
}

impl Beating {
    /// The peer again, which beats no more.
    pub(crate) fn stop(self) -> Peer {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}
