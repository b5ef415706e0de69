//! Protocol v1 over any stream, in the program's own loop.
//!
//! ```text
//! cargo run --example own_loop
//! ```
//!
//! The core decides what to do next; the loop reads, writes and sleeps. Client and server run the
//! same loop here, over a pipe in memory. The client sends hello, and hangs after the answer.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use core::error::Error;
use core::time::Duration;

use bytes::BytesMut;
use heartwire::v1::{Hello, Offer, Terms, Welcome};
use heartwire::{Pause, Policy, TICK};
use heartwire_core::order::{Found, Next, Outbound};
use heartwire_core::{Connection, Event, Instant, PauseWatch};
use heartwire_core::{Protocol, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::time::{Instant as Clock, sleep_until, timeout};

/// A runtime's knowledge of a stream is as old as its last turn. This is time for another one.
const TURN: Duration = Duration::from_millis(5);

struct Link {
    connection: Connection,
    offer: Offer,
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    unread: BytesMut,
    unwritten: BytesMut,
    start: Clock,
    watch: PauseWatch,
    pause: Option<Pause>,
    greeted: bool,
}

impl Link {
    fn new(protocol: Protocol, stream: DuplexStream, policy: Policy) -> Self {
        let (offer, start) = (Offer::new(&policy), Instant::from_nanos(0));
        let settings = Settings::new(policy).protocol(protocol).offer(offer).tick(TICK);
        let (reader, writer) = tokio::io::split(stream);
        Self {
            connection: Connection::new(settings, start),
            offer,
            reader,
            writer,
            unread: BytesMut::new(),
            unwritten: BytesMut::new(),
            start: Clock::now(),
            // This clock does not report suspends.
            watch: PauseWatch::new(start, Duration::ZERO),
            pause: None,
            greeted: false,
        }
    }

    fn now(&self) -> Instant {
        let nanos = self.start.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn say(&self, text: &str) {
        println!("{:5.1} s  {text}", self.start.elapsed().as_secs_f64());
    }

    /// Runs until the connection is over, which is an error, or until the peer's greeting.
    async fn run(&mut self) -> Result<(), Box<dyn Error>> {
        while !self.greeted {
            let wake_at = self.turn().await?;
            self.watch.handle_sleep(wake_at);
            let alarm = wake_at.map(|at| self.start + Duration::from_nanos(at.as_nanos()));
            let unwritten = self.outbound() != Outbound::Clear;
            tokio::select! {
                read = self.reader.read_buf(&mut self.unread) => self.receive(read?)?,
                written = self.writer.write_buf(&mut self.unwritten), if unwritten => {
                    written?;
                }
                () = sleep_until(alarm.unwrap_or(self.start)), if alarm.is_some() => {}
            }
        }
        Ok(())
    }

    /// Does everything that is due now. Returns when more is due.
    async fn turn(&mut self) -> Result<Option<Instant>, Box<dyn Error>> {
        let now = self.now();
        self.pause = self.watch.handle_wake(now, Duration::ZERO).or(self.pause);
        let mut next = self.connection.poll(now, self.outbound());
        loop {
            next = match next {
                Next::ReadFirst(read) => {
                    let found = match timeout(TURN, self.reader.read_buf(&mut self.unread)).await {
                        Ok(read) => {
                            self.receive(read?)?;
                            Found::More
                        }
                        Err(_) => Found::All,
                    };
                    self.connection.judge(read, found, self.pause)
                }
                Next::Write(bytes) => {
                    self.unwritten.extend_from_slice(bytes.as_ref());
                    self.connection.poll(now, self.outbound())
                }
                Next::SleepUntil(at) => return Ok(at),
                Next::Over(over) => return Err(over.to_string().into()),
            };
        }
    }

    fn outbound(&self) -> Outbound {
        // The waiting bytes may begin in the middle of a frame.
        if self.unwritten.is_empty() { Outbound::Clear } else { Outbound::Blocked }
    }

    /// Handles `len` bytes that were read.
    fn receive(&mut self, len: usize) -> Result<(), Box<dyn Error>> {
        if len == 0 {
            return Err("closed by the peer".into());
        }
        let now = self.now();
        self.connection.handle_heard(now);
        let read = self.unread.split().freeze();
        let mut rest = &*read;
        while let Some(event) = self.connection.handle_received(now, &mut rest)? {
            match event {
                Event::Hello(hello) => {
                    let contract = Terms::new(self.offer).agree(&hello.offer)?;
                    let held = self.connection.welcome(now, 1, contract);
                    self.unwritten.extend(Welcome::new(1, 1, contract).held(held).encode());
                }
                Event::Welcome(welcome) => {
                    self.say(&format!("client: {}", welcome.contract));
                    self.send(b"hello")?;
                }
                Event::Data(b"hello") => {
                    self.say("server: hello");
                    self.send(b"welcome")?;
                }
                Event::Data(_) => {
                    self.say("client: hangs from now on");
                    self.greeted = true;
                }
                Event::Beat | Event::Promise(_) | Event::End | Event::Bye(_) => {}
            }
        }
        // An incomplete frame stays in front of the next bytes.
        self.unread.extend_from_slice(rest);
        Ok(())
    }

    fn send(&mut self, body: &[u8]) -> Result<(), Box<dyn Error>> {
        let header = self.connection.data_header(body.len()).ok_or("too long for a frame")?;
        self.unwritten.extend_from_slice(header.as_ref());
        self.unwritten.extend_from_slice(body);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let policy = Policy::builder()
        .interval(Duration::from_millis(500))
        .timeout(Duration::from_secs(2))
        .build()?;
    let (near, far) = tokio::io::duplex(1024);
    let mut client = Link::new(Protocol::V1, near, policy);
    client.unwritten.extend(Hello::new(client.offer).encode());
    let mut server = Link::new(Protocol::V1Only, far, policy);
    let (served, talked) = tokio::join!(server.run(), client.run());
    talked?;
    if let Err(over) = served {
        server.say(&format!("server: {over}"));
    }
    Ok(())
}
