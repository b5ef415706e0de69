//! All clients, on one thread: they connect, send beats on time, and record what they see.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use heartwire::Policy;
use heartwire::v1::{Hello, Offer};
use heartwire_core::frame::{self, ACK_LEN, Kind};
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use heartwire_core::v1::ResumeOffer;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::lateness::{Note, histogram, nanos};
use super::schedule::Schedule;
use super::tls::{Found, Identity, Session};

/// Connections from one source address. Linux has 28,232 ports for them by default, and finds a
/// free one more slowly when few are left, so most stay unused.
const PER_SOURCE: u32 = 5_000;

/// How often the connections are checked while beats are sent.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a client offers whose session can be resumed: what the library's clients do.
const RESUME: ResumeOffer =
    ResumeOffer { to_server: 256 * 1024, to_client: 256 * 1024, grace: Duration::from_secs(120) };

/// The clients.
#[derive(Debug)]
pub(crate) struct Load {
    target: SocketAddr,
    speech: Speech,
    identity: Option<Identity>,
    clients: Vec<Client>,
    poll: OwnedFd,
    open: usize,
    received: u64,
    /// They say nothing more, whatever they are asked.
    frozen: bool,
}

#[derive(Debug)]
struct Client {
    /// `None` once the server has closed it.
    stream: Option<TcpStream>,
    session: Option<Session>,
    /// The server has said something.
    is_greeted: bool,
    note: Note,
}

/// Results of the beats.
#[derive(Clone, Debug)]
pub(crate) struct Beats {
    pub(crate) sent: u64,
    /// Beats without room in the socket: the server does not read.
    pub(crate) stuck: u64,
    /// How late beats were sent, in µs.
    pub(crate) late: Histogram<u64>,
}

impl Beats {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { sent: 0, stuck: 0, late: histogram()? })
    }
}

/// The frames that a client sends.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    /// After it has connected.
    pub(super) hello: Vec<u8>,
    /// Whether the server says something then, which ends the handshake.
    pub(super) is_greeted: bool,
    /// A beat.
    pub(super) beat: Vec<u8>,
    /// How long an answer to it is, or a beat of the server.
    pub(super) answer_len: usize,
    /// What the server asks by itself.
    pub(super) question: Option<Question>,
}

/// Bytes that the server sends at once, and the reply to them.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) asked: Vec<u8>,
    pub(super) reply: Vec<u8>,
}

impl Speech {
    /// The tutorial's: a HEART without a body.
    pub(crate) fn v0() -> Self {
        Self::new(Vec::new(), frame::BEAT.to_vec())
    }

    /// A HELLO, and beats that echo nothing. If it has a timeout, the server sends beats as often.
    /// With `resume`, the session can be resumed: beats have the position of what was taken over,
    /// which is nothing.
    pub(crate) fn v1(
        interval: Duration,
        judges: Option<Duration>,
        resume: bool,
    ) -> anyhow::Result<Self> {
        let mut policy = Policy::builder().interval(interval);
        if let Some(timeout) = judges {
            policy = policy.timeout(timeout);
        }
        let mut hello = Hello::new(Offer::new(&policy.build()?));
        hello.resume = resume.then_some(RESUME);
        let promise_ms = u32::try_from(interval.as_millis())?;
        let beat = Beat { nonce: 1, promise_ms, ..Beat::decode(&[0; BEAT_LEN]) }.encode();
        let position: &[u8] = if resume { &[0; ACK_LEN] } else { &[] };
        let body = [beat.as_slice(), position].concat();
        let header = codec::header(Kind::Heart, body.len()).context("a beat is short")?;
        Ok(Self::new(hello.encode(), [header.as_slice(), &body].concat()))
    }

    /// Our servers send beats as long as their clients'.
    fn new(hello: Vec<u8>, beat: Vec<u8>) -> Self {
        Self { hello, is_greeted: false, answer_len: beat.len(), beat, question: None }
    }
}

impl Load {
    /// With `identity`, they use TLS.
    pub(crate) fn new(
        target: SocketAddr,
        speech: Speech,
        identity: Option<Identity>,
    ) -> anyhow::Result<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let clients = Vec::new();
        Ok(Self { target, speech, identity, clients, poll, open: 0, received: 0, frozen: false })
    }

    /// How many are still connected.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// How many bytes the server has sent, to all of them.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How long an answer is, or a beat of the server.
    pub(super) fn answer_len(&self) -> u64 {
        u64::try_from(self.speech.answer_len).unwrap_or(u64::MAX)
    }

    /// From now on no client says anything.
    pub(super) fn freeze(&mut self) {
        self.frozen = true;
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        self.clients.iter().map(|client| client.note).collect()
    }

    /// Connects one more client.
    pub(crate) fn connect(&mut self) -> anyhow::Result<()> {
        self.connect_from(source(self.target, u32::try_from(self.clients.len())?))
    }

    /// The same from a given address. With port 0 the kernel chooses one.
    pub(crate) fn connect_from(&mut self, source: Option<SocketAddr>) -> anyhow::Result<()> {
        let number = u32::try_from(self.clients.len())?;
        let socket =
            Socket::new(Domain::for_address(self.target), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(source) = source {
            // No safe crate offers IP_BIND_ADDRESS_NO_PORT, so the kernel would choose the port
            // here and not for the target; there are enough of them.
            socket.bind(&source.into()).with_context(|| format!("cannot use {source}"))?;
        }
        socket
            .connect(&self.target.into())
            .with_context(|| format!("connection {number} to {}", self.target))?;
        socket.set_tcp_nodelay(true)?;
        // Closing resets, so that no port stays in TIME_WAIT and the next run can use all of them.
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from(socket);
        let mut session = self.identity.as_ref().map(Identity::connect).transpose()?;
        // These few bytes fit into a new socket.
        match &mut session {
            None => stream.write_all(&self.speech.hello)?,
            Some(session) => session.send(&mut stream, &self.speech.hello)?,
        }
        let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.poll, &stream, EventData::new_u64(u64::from(number)), interest)?;
        let local = stream.local_addr()?;
        let note = Note { local, last_sent_ns: nanos(SystemTime::now()), closed_ns: None };
        let is_greeted = !self.speech.is_greeted;
        self.clients.push(Client { stream: Some(stream), session, is_greeted, note });
        self.open += 1;
        Ok(())
    }

    /// Waits until the newest clients have done their handshakes.
    pub(super) fn finish_handshakes(
        &mut self,
        newest: u32,
        within: Duration,
    ) -> anyhow::Result<()> {
        let newest = usize::try_from(newest)?;
        let began = Instant::now();
        while self.clients.iter().rev().take(newest).any(Client::is_handshaking) {
            ensure!(began.elapsed() < within, "the server does not finish its handshakes");
            self.look(LOOK_EVERY)?;
        }
        Ok(())
    }

    /// Sends every beat that is due before `end`, counted from `start`.
    pub(crate) fn send_beats(
        &mut self,
        schedule: &mut Schedule,
        start: Instant,
        end: Duration,
        mut tick: impl FnMut(Duration),
    ) -> anyhow::Result<Beats> {
        let mut beats = Beats::new()?;
        let mut look_at = Duration::ZERO;
        loop {
            let (due, index) = schedule.peek();
            let mut now = start.elapsed();
            if now >= look_at {
                self.look(Duration::ZERO)?;
                tick(now);
                look_at = now.saturating_add(LOOK_EVERY);
                now = start.elapsed();
            }
            if due >= end {
                thread::sleep(end.saturating_sub(now).min(look_at.saturating_sub(now)));
                if start.elapsed() >= end {
                    return Ok(beats);
                }
                continue;
            }
            if now < due {
                thread::sleep(due.saturating_sub(now).min(look_at.saturating_sub(now)));
                continue;
            }
            schedule.advance();
            self.beat(index, now.saturating_sub(due), &mut beats);
        }
    }

    /// Sends a beat that is so late.
    pub(crate) fn beat(&mut self, index: usize, late: Duration, beats: &mut Beats) {
        beats.late.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        if let Some(client) = self.clients.get_mut(index) {
            client.send(&self.speech.beat, beats);
        }
    }

    /// Records which connections the server has closed, for up to `wait` if there is none at first.
    pub(crate) fn look(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1024);
        let mut wait = Timespec::try_from(wait)?;
        loop {
            events.clear();
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&wait))
            {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if events.is_empty() {
                return Ok(());
            }
            let now_ns = nanos(SystemTime::now());
            let question = self.speech.question.as_ref().filter(|_| !self.frozen);
            for event in &events {
                let client = self.clients.get_mut(usize::try_from(event.data.u64())?);
                let Some(client) = client else { continue };
                if client.drain(now_ns, question, &mut self.received) {
                    self.open = self.open.saturating_sub(1);
                }
            }
            wait = Timespec::default();
        }
    }
}

impl Client {
    fn send(&mut self, beat: &[u8], beats: &mut Beats) {
        let Some(stream) = &mut self.stream else { return };
        let now_ns = nanos(SystemTime::now());
        // The kernel accepts so few bytes completely or not at all.
        let sent = match &mut self.session {
            None => stream.write_all(beat),
            Some(session) => session.send(stream, beat),
        };
        match sent {
            Ok(()) => {
                self.note.last_sent_ns = now_ns;
                beats.sent += 1;
            }
            // A connection that has ended is found by `look`, with its time.
            Err(error) => beats.stuck += u64::from(error.kind() == ErrorKind::WouldBlock),
        }
    }

    /// Reads what the server sent, counts its bytes, and replies to a question; true if that was
    /// the end.
    fn drain(&mut self, now_ns: u64, question: Option<&Question>, received: &mut u64) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let before = *received;
        let mut is_asked = false;
        let found = match &mut self.session {
            None => drain(stream, received, |bytes| {
                is_asked |= question.is_some_and(|question| question.is_in(bytes));
            }),
            Some(session) => session.drain(stream, received),
        };
        self.is_greeted |= *received > before;
        // A reply without room is lost, as one that the network loses.
        if is_asked
            && let Some(question) = question
            && stream.write_all(&question.reply).is_ok()
        {
            self.note.last_sent_ns = now_ns;
        }
        if found == Found::End {
            self.note.closed_ns = Some(now_ns);
            self.stream = None;
            self.session = None;
        }
        found == Found::End
    }

    fn is_handshaking(&self) -> bool {
        let is_open = self.stream.is_some();
        is_open && !self.is_greeted || self.session.as_ref().is_some_and(Session::is_handshaking)
    }
}

impl Question {
    fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.asked.len()).any(|part| part == self.asked)
    }
}

/// Reads everything in the socket, counts it, and shows it.
fn drain(stream: &mut TcpStream, received: &mut u64, mut show: impl FnMut(&[u8])) -> Found {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(len @ 1..) => {
                *received += u64::try_from(len).unwrap_or(u64::MAX);
                show(buffer.get(..len).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Found::All,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Found::End,
        }
    }
}

/// Where a client connects from: 127.0.0.1, 127.0.0.2 and so on. IPv6 has one loopback address
/// only.
fn source(target: SocketAddr, number: u32) -> Option<SocketAddr> {
    let first = u32::from(Ipv4Addr::LOCALHOST);
    target.is_ipv4().then(|| (Ipv4Addr::from(first + number / PER_SOURCE), 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_changed_before_their_ports_run_out() {
        let target = "127.0.0.1:29002".parse().unwrap();
        let ip = |number| source(target, number).unwrap().ip().to_string();
        assert_eq!(ip(0), "127.0.0.1");
        assert_eq!(ip(PER_SOURCE - 1), "127.0.0.1");
        assert_eq!(ip(PER_SOURCE), "127.0.0.2");
        assert_eq!(ip(999_999), "127.0.0.200");
        assert_eq!(source("[::1]:29002".parse().unwrap(), 5), None);
    }
}
