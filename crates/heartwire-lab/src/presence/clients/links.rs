//! Connections of light clients, on one epoll.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use heartwire::v1::{Bye, ByeCode};
use heartwire_core::frame::{HEADER_LEN, Kind};
use heartwire_core::internal::codec;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections from one source address, as many as there are ports for.
const PER_SOURCE: u32 = 5_000;

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The node has accepted the client.
    Welcome,
    /// It ended, perhaps with a BYE.
    End(Option<ByeCode>),
}

/// All connections of this process.
#[derive(Debug)]
pub(super) struct Links {
    poll: OwnedFd,
    links: HashMap<u64, Link>,
    last: u64,
}

#[derive(Debug)]
struct Link {
    client: usize,
    stream: TcpStream,
    /// What is to be sent as soon as it is connected.
    hello: Option<Vec<u8>>,
    is_online: bool,
    began: Instant,
    /// Read, and not a whole frame yet.
    unread: Vec<u8>,
}

impl Links {
    pub(super) fn new() -> anyhow::Result<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { poll, links: HashMap::new(), last: 0 })
    }

    /// Begins a connection; `None` if it cannot be made.
    pub(super) fn open(
        &mut self,
        client: usize,
        number: u32,
        address: SocketAddr,
        hello: Vec<u8>,
    ) -> Option<u64> {
        let stream = connect(number, address).ok()?;
        self.last += 1;
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.poll, &stream, EventData::new_u64(self.last), interest).ok()?;
        let (hello, unread) = (Some(hello), Vec::new());
        let link = Link { client, stream, hello, is_online: false, began: Instant::now(), unread };
        self.links.insert(self.last, link);
        Some(self.last)
    }

    pub(super) fn close(&mut self, id: u64) {
        self.links.remove(&id);
    }

    pub(super) fn close_all_of(&mut self, client: usize) {
        self.links.retain(|_, link| link.client != client);
    }

    pub(super) fn client_of(&self, id: u64) -> Option<usize> {
        self.links.get(&id).map(|link| link.client)
    }

    pub(super) fn is_online(&self, id: u64) -> bool {
        self.links.get(&id).is_some_and(|link| link.is_online)
    }

    /// Those that wait for their WELCOME since before that time.
    pub(super) fn waiting_since_before(&self, time: Option<Instant>) -> Vec<u64> {
        let Some(time) = time else { return Vec::new() };
        let late = self.links.iter().filter(|(_, link)| !link.is_online && link.began < time);
        late.map(|(&id, _)| id).collect()
    }

    pub(super) fn online(&self) -> usize {
        self.links.values().filter(|link| link.is_online).count()
    }

    /// Sends a beat, if the client is online.
    pub(super) fn send(&mut self, id: u64, beat: &[u8]) {
        if let Some(link) = self.links.get_mut(&id).filter(|link| link.is_online) {
            // One that has ended is found when it is read.
            let _ = link.stream.write_all(beat);
        }
    }

    /// What has happened, within this time.
    pub(super) fn wait(&mut self, within: Duration) -> anyhow::Result<Vec<(usize, u64, Found)>> {
        let mut events = Vec::with_capacity(1024);
        let within = Timespec::try_from(within)?;
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&within)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut found = Vec::new();
        for event in &events {
            let id = event.data.u64();
            let Some(link) = self.links.get_mut(&id) else { continue };
            let client = link.client;
            found.extend(link.look().into_iter().map(|what| (client, id, what)));
        }
        Ok(found)
    }
}

impl Link {
    fn look(&mut self) -> Option<Found> {
        if let Some(hello) = self.hello.take() {
            match self.stream.write(&hello) {
                // It fits into a new socket.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.hello = Some(hello),
                Err(_) => return Some(Found::End(None)),
            }
        }
        let mut buffer = [0; 4096];
        let mut welcome = None;
        loop {
            let end = match self.stream.read(&mut buffer) {
                Ok(len @ 1..) => {
                    self.unread.extend_from_slice(buffer.get(..len).unwrap_or_default());
                    false
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => false,
                Err(error) if error.kind() == ErrorKind::NotConnected => return None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return welcome,
                Ok(0) | Err(_) => true,
            };
            while let Some((kind, body)) = take_frame(&mut self.unread) {
                if kind == Kind::Welcome {
                    self.is_online = true;
                    welcome = Some(Found::Welcome);
                } else if kind == Kind::Bye {
                    return Some(Found::End(Bye::decode(&body).ok().map(|bye| bye.code)));
                }
            }
            if end {
                return Some(Found::End(None));
            }
        }
    }
}

/// The first frame of these bytes.
fn take_frame(bytes: &mut Vec<u8>) -> Option<(Kind, Vec<u8>)> {
    let header = codec::read_header(*bytes.first_chunk::<HEADER_LEN>()?).ok()?;
    let end = HEADER_LEN + usize::try_from(header.body_len).ok()?;
    let body = bytes.get(HEADER_LEN..end)?.to_vec();
    bytes.drain(..end);
    Some((header.kind, body))
}

fn connect(number: u32, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip().is_loopback() {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number / PER_SOURCE);
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    // Closing resets, so that no port stays in TIME_WAIT.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}
