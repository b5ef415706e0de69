//! What programs of the day on which the protocol was frozen said to each other: today's ends have
//! to take the same from it.
//!
//! Each file in `recorded` has the bytes of both ends as they were on the wire between two real
//! programs, a line for each piece, and below it what the other end takes from it. The files never
//! change. A new one may come with a new feature.

#![cfg(test)]

use core::fmt::Write as _;
use core::time::Duration;
use std::fs;
use std::path::Path;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::order::{Next, Outbound};
use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{Hello, Offer, ResumeOffer, RetryHint, Terms, Welcome};
use heartwire_core::{Boxed, Connection, Event, Instant, Policy, Preset, Protocol, Settings, Side};

/// An end that reads what the other one has said. What it says itself is in the file.
struct End {
    connection: Connection,
    unread: Vec<u8>,
    /// Lengths of the frames that the file has it write, and that the other end has not
    /// acknowledged.
    log: Vec<usize>,
}

impl End {
    fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings, START), unread: Vec::new(), log: Vec::new() }
    }

    /// Makes it send a beat, late, so that the other end may echo the nonces of that day's.
    fn beat(&mut self) {
        self.connection.handle_heard(LATER);
        let next = self.connection.poll(LATER, Outbound::Clear);
        assert!(matches!(next, Next::Write(_)), "{next:?}");
    }

    fn receive<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Event<'a>> {
        // Its nonces count from the WELCOME.
        let now = if self.connection.contract().is_none() { START } else { LATER };
        self.connection.handle_received(now, bytes).unwrap()
    }

    /// The file has it write a frame that a session counts.
    fn count(&mut self, len: usize, is_end: bool) {
        let Some(ledger) = self.connection.ledger_mut() else { return };
        let len_u32 = u32::try_from(len).unwrap();
        assert!(if is_end { ledger.queue_end() } else { ledger.queue(len_u32) });
        self.log.push(len);
        ledger.handle_written(self.log.iter().sum());
    }

    /// Removes from the log what the other end has acknowledged. Returns how many frames.
    fn settle(&mut self) -> usize {
        let Some(ledger) = self.connection.ledger_mut() else { return 0 };
        let count = ledger.settle(self.log.iter().copied()).unwrap();
        self.log.drain(..count);
        count
    }

    fn take(&mut self, len: usize) {
        if let Some(ledger) = self.connection.ledger_mut() {
            ledger.take(len);
        }
    }
}

const START: Instant = Instant::from_nanos(0);
const LATER: Instant = Instant::from_nanos(24 * 3_600 * 1_000_000_000);

fn server() -> End {
    let settings = Settings::new(Policy::builder().timeout(LIMIT).build().unwrap());
    End::new(settings.protocol(Protocol::Any))
}

const LIMIT: Duration = Duration::from_secs(30);

/// Both ends of a connection, and the positions that the session of the last one had.
struct Ends {
    server: End,
    client: Option<End>,
    ledgers: [Option<(Boxed<Ledger>, Vec<usize>)>; 2],
}

impl Ends {
    fn new() -> Self {
        Self { server: server(), client: None, ledgers: [None, None] }
    }

    /// The connection is lost, and another one begins.
    fn link(&mut self) {
        let detach =
            |end: &mut End| Some((end.connection.detach()?, core::mem::take(&mut end.log)));
        self.ledgers = [detach(&mut self.server), self.client.as_mut().and_then(detach)];
        (self.server, self.client) = (server(), None);
    }

    /// The client has said this. Returns what the server takes from it.
    fn client_says(&mut self, bytes: &[u8], told: &mut String) {
        self.server.unread.extend(bytes);
        let unread = core::mem::take(&mut self.server.unread);
        let mut bytes = unread.as_slice();
        self.server.connection.handle_heard(LATER);
        while let Some(event) = self.server.receive(&mut bytes) {
            if let Event::Hello(hello) = &event {
                self.handle_hello(hello);
            } else if self.client.is_none() {
                // The first frame of v0: a client that expects what the server does.
                self.client = Some(End::new(Settings::new(Policy::default())));
            }
            Self::exchange(&mut self.server, self.client.as_mut().unwrap(), &event);
            tell(&event, told);
        }
        self.server.unread = bytes.to_vec();
        tell_settled(&mut self.server, told);
    }

    fn handle_hello(&mut self, hello: &Hello<'_>) {
        let mut settings = Settings::new(Policy::default())
            .protocol(Protocol::V1)
            .offer(hello.offer)
            .resume(hello.resume);
        if let Some(resuming) = hello.resuming {
            settings = settings.resuming(resuming.session, resuming.only);
        }
        self.client = Some(End::new(settings));
        let own = Offer::new(&Preset::Default.policy(Side::Server));
        if let Ok(contract) = Terms::new(own).agree(&hello.offer) {
            let _ = self.server.connection.welcome(START, 1, contract);
            self.server.beat();
        }
    }

    /// The server has said this. Returns what the client takes from it.
    fn server_says(&mut self, bytes: &[u8], told: &mut String) {
        // A server that begins.
        let silent = || End::new(Settings::new(Policy::default()));
        let mut client = self.client.take().unwrap_or_else(silent);
        client.unread.extend(bytes);
        let unread = core::mem::take(&mut client.unread);
        let mut bytes = unread.as_slice();
        client.connection.handle_heard(LATER);
        while let Some(event) = client.receive(&mut bytes) {
            if let Event::Welcome(welcome) = &event {
                self.handle_welcome(&mut client, welcome);
            }
            Self::exchange(&mut client, &mut self.server, &event);
            tell(&event, told);
        }
        client.unread = bytes.to_vec();
        tell_settled(&mut client, told);
        self.client = Some(client);
    }

    fn handle_welcome(&mut self, client: &mut End, welcome: &Welcome) {
        let windows = welcome.resume.map(|terms| terms.agreed);
        if let Some(agreed) = windows {
            let ledger = Ledger::new(agreed.to_client, agreed.to_server);
            self.server.connection.attach(Boxed::new(ledger));
            let ledger = Ledger::new(agreed.to_server, agreed.to_client);
            client.connection.attach(Boxed::new(ledger));
        } else if let Some(resumed) = welcome.resumed {
            let [server, own] = core::mem::take(&mut self.ledgers);
            for (end, kept) in [(&mut self.server, server), (&mut *client, own)] {
                let (ledger, log) = kept.unwrap();
                end.connection.attach(ledger);
                end.log = log;
            }
            // What follows is written again from there.
            let ledger = client.connection.ledger().unwrap();
            assert!(ledger.resume_at(resumed.received, client.log.iter().copied()).is_ok());
        }
        client.connection.beat_now();
        client.beat();
    }

    /// Counts a frame that went from one end to the other.
    fn exchange(reader: &mut End, writer: &mut End, event: &Event<'_>) {
        let (len, is_end) = match event {
            Event::Data(body) => (HEADER_LEN + body.len(), false),
            Event::End => (HEADER_LEN, true),
            Event::Beat
            | Event::Promise(_)
            | Event::Hello(_)
            | Event::Welcome(_)
            | Event::Bye(_) => return,
        };
        // One that was cut off is written again, and was counted when it was written first.
        let is_new = reader.connection.ledger().zip(writer.connection.ledger());
        if is_new.is_some() {
            writer.count(len, is_end);
        }
        reader.take(len);
    }
}

const fn pair(position: Position) -> (u64, u64) {
    (position.frames, position.bytes)
}

const fn numbers(offer: ResumeOffer) -> (u32, u32, u128) {
    (offer.to_server, offer.to_client, offer.grace.as_millis())
}

/// Adds what an end takes from a frame.
fn tell(event: &Event<'_>, told: &mut String) {
    told.push_str("  ");
    let ms = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_millis());
    let done = match event {
        Event::Beat => write!(told, "beat"),
        Event::Promise(interval) => write!(told, "promise {}", interval.as_millis()),
        Event::Data(body) => write!(told, "data {}", String::from_utf8_lossy(body)),
        Event::End => write!(told, "end"),
        Event::Hello(hello) => {
            let Hello {
                name,
                token,
                offer,
                agent,
                instance,
                max_frame,
                last,
                resume,
                resuming,
                ..
            } = **hello;
            write!(
                told,
                "hello {:?} {name:?} {token:?} {}/{}/{}/{}/{} {agent:?} {instance:?} {max_frame:?} \
                 {:?} {:?} {:?}",
                hello.versions,
                ms(offer.interval()),
                ms(offer.shortest_interval()),
                ms(offer.want()),
                ms(offer.timeout()),
                ms(Some(offer.longest_timeout())),
                last.map(|last| (last.reason, last.ago.as_millis(), last.session)),
                resume.map(numbers),
                resuming.map(|it| (it.server, it.session, it.link, pair(it.received), it.only)),
            )
        }
        Event::Welcome(welcome) => {
            let Welcome { session, epoch, contract, max_frame, resume, resumed, lost, .. } =
                **welcome;
            let (to_server, to_client) = (contract.to_server, contract.to_client);
            write!(
                told,
                "welcome {session} {epoch} {}/{}/{} {}/{}/{} {} {} {max_frame:?} {:?} {:?} {:?}",
                ms(to_server.interval()),
                ms(to_server.timeout()),
                ms(Some(to_server.max_timeout())),
                ms(to_client.interval()),
                ms(to_client.timeout()),
                ms(Some(to_client.max_timeout())),
                ms(Some(contract.min_interval())),
                contract.wake_bytes,
                resume.map(|terms| (terms.server, numbers(terms.agreed))),
                resumed.map(|resumed| pair(resumed.received)),
                lost.map(pair),
            )
        }
        Event::Bye(bye) => {
            let retry = match bye.retry {
                RetryHint::Never => "never".to_owned(),
                RetryHint::AtWill => "at will".to_owned(),
                RetryHint::Within { earliest, latest } => {
                    format!("within {} to {}", earliest.as_millis(), latest.as_millis())
                }
            };
            let taken = bye.taken.map(pair);
            write!(told, "bye {} {retry} {:?} {taken:?}", bye.code.number(), bye.detail)
        }
    };
    done.unwrap();
    told.push('\n');
}

fn tell_settled(end: &mut End, told: &mut String) {
    let count = end.settle();
    if count > 0 {
        writeln!(told, "  {count} acknowledged").unwrap();
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The recording again, with what the ends of today take from it.
fn replay(recorded: &str) -> String {
    let mut ends = Ends::new();
    let mut told = String::new();
    for line in recorded.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(told, "{line}").unwrap();
        match line.split_once(' ') {
            Some(("client", hex)) => ends.client_says(&bytes(hex), &mut told),
            Some(("server", hex)) => ends.server_says(&bytes(hex), &mut told),
            Some(("#", _)) => {}
            _ => {
                assert_eq!(line, "link", "a line of another kind");
                ends.link();
            }
        }
    }
    told
}

#[test]
fn recorded_dialogues_are_understood_as_on_the_day_they_were_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/recorded");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let recorded = fs::read_to_string(&path).unwrap();
        let told = replay(&recorded);
        assert!(told == recorded, "{} is understood otherwise:\n{told}", path.display());
        count += 1;
    }
    assert!(count >= 5, "{count}");
}
