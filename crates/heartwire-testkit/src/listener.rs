//! A server that a test plays by hand.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};

use heartwire::client::ClientConfig;
use socket2::SockRef;

use crate::{PATIENCE, Peer, fixed, idle, ms};

/// The listener of a server that a test plays by hand, on a free port of the IPv4 loopback.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Default for Listener {
    fn default() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Accepting honours it too, on Linux.
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
        Self(listener)
    }
}

impl Listener {
    /// Starts to listen.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A v0 client for it without interval and timeout, which reconnects after 10 ms.
    pub fn config(&self) -> ClientConfig {
        ClientConfig::new(self.addr().to_string()).v0().policy(idle()).reconnect(fixed(ms(10)))
    }

    /// The next client.
    #[track_caller]
    pub fn accept(&self) -> Peer {
        Peer::of(self.0.accept().expect("a client comes").0)
    }
}

/// An address to listen on again and again, for a test that must know it beforehand. Its port is
/// below the range for outgoing connections, so that none of them takes it meanwhile.
///
/// Nothing is bound to find out whether it is free: a process that another test starts in that
/// moment would hold the socket for a while, and the port with it.
pub fn lasting_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 12_000 + offset + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(addr).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            return addr;
        }
    }
}
