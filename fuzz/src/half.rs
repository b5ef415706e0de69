//! One of the two connections of the target `connection`.

use heartwire_core::resume::Ledger;
use heartwire_core::v1::Offer;
use heartwire_core::{Boxed, Connection, Event, Protocol, Violation};

use crate::books::Books;
use crate::judge::Judge;
use crate::knobs::{at, nanos};

/// One of the two connections.
pub(crate) struct Half {
    pub(crate) connection: Connection,
    pub(crate) judge: Judge,
    pub(crate) unread: Vec<u8>,
    /// Everything that its bytes led to, put together.
    pub(crate) told: u64,
    /// The windows of its session, if it can be resumed, and its positions.
    pub(crate) windows: Option<[u16; 2]>,
    pub(crate) books: Option<Books>,
}

/// Makes the connection a link of a new session.
pub(crate) fn attach(connection: &mut Connection, windows: Option<[u16; 2]>) -> Option<Books> {
    let [send, receive] = windows?.map(u32::from);
    connection.attach(Boxed::new(Ledger::new(send, receive)));
    Some(Books::new(send, receive))
}

impl Half {
    pub(crate) fn new(
        connection: Connection,
        protocol: Protocol,
        windows: Option<[u16; 2]>,
    ) -> Self {
        let (judge, unread) = (Judge::new(protocol), Vec::new());
        Self { connection, judge, unread, told: 0, windows, books: None }
    }

    pub(crate) fn session(&mut self) -> Option<(&mut Books, &mut Ledger)> {
        self.books.as_mut().zip(self.connection.ledger_mut())
    }

    /// Hands over what has arrived. Returns how many beats there were, and the offer of a HELLO.
    pub(crate) fn receive(&mut self, now: u64, bytes: &[u8], told: &mut Told) {
        self.unread.extend_from_slice(bytes);
        let mut rest = self.unread.as_slice();
        loop {
            let before = rest.len();
            match self.connection.handle_received(at(now), &mut rest) {
                Ok(Some(event)) => {
                    assert!(rest.len() < before, "{event:?} of nothing");
                    self.judge.event(&event);
                    match (&event, &mut self.books) {
                        (Event::Welcome(_), _) => {
                            self.books = attach(&mut self.connection, self.windows);
                        }
                        (Event::Data(body), Some(books)) => books.get(body.len(), false),
                        (Event::End, Some(books)) => books.get(0, true),
                        (Event::End, None) => panic!("an END without a session"),
                        _ => {}
                    }
                    self.told = event_hash(self.told, &event);
                    told.take(&event);
                }
                Ok(None) => break,
                Err(violation) => {
                    assert!(
                        !matches!(
                            violation,
                            Violation::NoFirstFrame { .. } | Violation::SlowFrame { .. }
                        ),
                        "{violation} cannot come of bytes"
                    );
                    self.judge.end();
                    self.told = mix(self.told, 77);
                    told.violation = Some(violation);
                }
            }
        }
        let left = rest.len();
        let taken = self.unread.len() - left;
        self.unread.drain(..taken);
    }
}

/// Events that are needed later.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) beats: u64,
    pub(crate) offer: Option<Offer>,
    pub(crate) welcomed: bool,
    pub(crate) violation: Option<Violation>,
}

impl Told {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Beat | Event::Promise(_) => self.beats += 1,
            Event::Hello(hello) => self.offer = Some(hello.offer),
            Event::Welcome(_) => self.welcomed = true,
            Event::Data(_) | Event::End | Event::Bye(_) => {}
        }
    }
}

const fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn bytes_hash(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| mix(hash, u64::from(byte)))
}

fn event_hash(hash: u64, event: &Event<'_>) -> u64 {
    match event {
        Event::Beat => mix(hash, 1),
        Event::Promise(promise) => mix(mix(hash, 2), nanos(*promise)),
        // Raw data has no boundaries.
        Event::Data(data) => bytes_hash(hash, data),
        Event::Hello(hello) => bytes_hash(mix(hash, 3), &hello.encode()),
        Event::Welcome(welcome) => bytes_hash(mix(hash, 4), &welcome.encode()),
        Event::End => mix(hash, 6),
        Event::Bye(bye) => bytes_hash(mix(hash, 5), &bye.encode()),
    }
}
