//! An end of a session over many links, with what its applications send and get.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use heartwire_core::order::{Found, Next, Outbound};
use heartwire_core::resume::{Ledger, Position, Undelivered};
use heartwire_core::v1::{
    Bye, ByeCode, Hello, Offer, Resumed, Resuming, RetryHint, Terms, Welcome,
};
use heartwire_core::{Boxed, Connection, Event, Pad, Protocol, Violation};

use crate::books::Books;
use crate::knobs::at;
use crate::links::{Links, PROOF, SESSION, Way};
use crate::place::Place;

pub(crate) struct Party {
    connection: Option<Connection>,
    /// The positions, while no link has them.
    away: Option<Boxed<Ledger>>,
    books: Books,
    unread: Vec<u8>,
    /// All messages, and the frames that are not acknowledged.
    sent: Vec<Vec<u8>>,
    log: VecDeque<Vec<u8>>,
    /// Bytes of these that were written on this link.
    written: usize,
    /// How many messages came, and how many were taken over.
    messages: usize,
    messages_taken: usize,
    nonce: u64,
}

impl Party {
    pub(crate) fn new(window: u32, receive_window: u32) -> Self {
        Self {
            connection: None,
            away: Some(Boxed::new(Ledger::new(window, receive_window))),
            books: Books::new(window, receive_window),
            unread: Vec::new(),
            sent: Vec::new(),
            log: VecDeque::new(),
            written: 0,
            messages: 0,
            messages_taken: 0,
            nonce: 0,
        }
    }

    // Links.

    pub(crate) fn dial(&mut self, links: &mut Links, now: u64) -> Vec<u8> {
        links.number += 1;
        let mut hello = Hello::new(Offer::new(&links.policy));
        hello.resume = Some(links.offered);
        let mut settings = links.settings(Protocol::V1).resume(hello.resume);
        if links.number > 1 {
            hello.resuming = Some(Resuming {
                server: links.terms().server,
                session: SESSION,
                link: links.number,
                received: self.ledger().received(),
                proof: PROOF,
                only: links.number.is_multiple_of(2),
            });
            settings = settings.resuming(SESSION, links.number.is_multiple_of(2));
        }
        self.connection = Some(Connection::new(settings, at(now)));
        hello.encode()
    }

    /// Returns the WELCOME.
    pub(crate) fn accept(&mut self, links: &Links, now: u64, hello: &[u8]) -> Vec<u8> {
        let mut connection = Connection::new(links.settings(Protocol::V1Only), at(now));
        let hello = match connection.handle_received(at(now), &mut &*hello) {
            Ok(Some(Event::Hello(hello))) => hello,
            other => panic!("{other:?} of a HELLO"),
        };
        assert_eq!(hello.resume, Some(links.offered));
        let terms = Terms::new(Offer::new(&links.policy)).wake_bytes(links.wake_bytes.into());
        let contract = terms.agree(&hello.offer).expect("neither end has a timeout");
        let mut welcome = Welcome::new(SESSION, 1, contract);
        match hello.resuming {
            None => welcome = welcome.resume(Some(links.terms())),
            Some(resuming) => {
                assert_eq!((resuming.link, resuming.proof), (links.number, PROOF));
                self.resume_from(resuming.received);
                let received = self.ledger().received();
                welcome = welcome.resumed(Resumed { received, proof: PROOF });
            }
        }
        connection.welcome(at(now), SESSION, contract);
        connection.attach(self.away.take().expect("it has no link"));
        self.connection = Some(connection);
        self.nonce = 0;
        welcome.encode()
    }

    fn resume_from(&mut self, received: Position) {
        let count = self.ledger().resume_at(received, self.log.iter().map(Vec::len));
        let count = count.expect("an honest end has received what was written");
        self.written = self.log.iter().take(count).map(Vec::len).sum();
    }

    pub(crate) fn cut(&mut self) {
        if let Some(ledger) = self.connection.take().and_then(|mut link| link.detach()) {
            self.away = Some(ledger);
        }
        self.unread.clear();
        self.written = 0;
    }

    pub(crate) const fn has_link(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether a link has the session.
    pub(crate) fn has_session(&self) -> bool {
        self.connection.as_ref().is_some_and(|link| link.ledger().is_some() && !link.has_ended())
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::has_ended)
    }

    fn ledger(&self) -> &Ledger {
        let attached = self.connection.as_ref().and_then(Connection::ledger);
        attached.or(self.away.as_deref()).expect("it is here or there")
    }

    fn books(&mut self) -> (&mut Books, &mut Ledger) {
        let ledger = match &mut self.away {
            Some(ledger) => ledger,
            None => self.connection.as_mut().and_then(Connection::ledger_mut).expect("or there"),
        };
        (&mut self.books, ledger)
    }

    // Outward.

    pub(crate) fn send(&mut self, len: usize) {
        let number = self.sent.len();
        let body: Vec<u8> = (0..len).map(|at| (number.wrapping_mul(31) + at) as u8).collect();
        let (books, ledger) = self.books();
        if books.queue(ledger, Some(len)) {
            self.log.push_back(framed(1, &body));
            self.sent.push(body);
        }
    }

    pub(crate) fn send_end(&mut self) {
        let (books, ledger) = self.books();
        if books.queue(ledger, None) {
            self.log.push_back(framed(7, &[]));
        }
    }

    pub(crate) fn is_between_frames(&self) -> bool {
        let mut end = 0;
        self.written == 0
            || self.log.iter().any(|frame| {
                end += frame.len();
                end == self.written
            })
    }

    pub(crate) fn write(&mut self, way: &mut Way, len: usize) {
        if !self.has_session() {
            return;
        }
        let waits: Vec<u8> = self.log.iter().flatten().skip(self.written).copied().collect();
        let bytes = &waits[..len.min(waits.len())];
        way.send(bytes);
        self.written += bytes.len();
        let written = self.written;
        let (books, ledger) = self.books();
        books.handle_written(ledger, written);
        if self.is_between_frames() && !bytes.is_empty() {
            let pad = self.connection.as_ref().and_then(|link| link.pad(bytes.len()));
            way.send(&pad.into_iter().flat_map(Pad::bytes).collect::<Vec<_>>());
        }
    }

    /// Writes what the connection has to say.
    pub(crate) fn turn(&mut self, way: &mut Way, now: u64) {
        let outbound = if self.written == self.books.queued() {
            Outbound::Clear
        } else if self.is_between_frames() {
            Outbound::Waiting
        } else {
            Outbound::Blocked
        };
        if self.connection.is_none() {
            return;
        }
        loop {
            let Some(connection) = &mut self.connection else { return };
            let mut next = connection.poll(at(now), outbound);
            if let Next::ReadFirst(read) = next {
                next = connection.judge(read, Found::All, None);
            }
            match next {
                Next::Write(transmit) => {
                    connection.handle_beat_written(&transmit, at(now));
                    self.say(transmit.as_ref());
                    way.send(transmit.as_ref());
                }
                Next::SleepUntil(_) => break,
                next => panic!("{next:?} between honest ends without a timeout"),
            }
        }
        if self.has_session() && outbound != Outbound::Blocked {
            assert!(!self.books.owes_ack(), "{:?}", self.books);
        }
    }

    /// Checks what is written besides the log.
    fn say(&mut self, frame: &[u8]) {
        match frame {
            [0, 0, 0, 0, 48, 0, 0, 0, body @ ..] => {
                let nonce = body.first_chunk().map_or(0, |nonce| u64::from_le_bytes(*nonce));
                assert!(nonce > 0 && nonce >= self.nonce, "nonces grow");
                self.nonce = nonce;
                self.books.tell(&body[32..]);
            }
            [6, 0, 0, 0, 16, 0, 0, 0, position @ ..] => {
                assert!(self.books.owes_ack(), "an ACK for no reason");
                self.books.tell(position);
            }
            frame => panic!("{frame:?} in a session"),
        }
    }

    pub(crate) fn bye(&self) -> Vec<u8> {
        Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(self.ledger().taken())).encode()
    }

    // Inward.

    /// Reads bytes. `peer` says what the frames have to be.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        bytes: &[u8],
        peer: Option<&Self>,
    ) -> Result<(), Violation> {
        let mut connection = self.connection.take().expect("it has a link");
        let mut unread = core::mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let mut rest = unread.as_slice();
        connection.handle_heard(at(now));
        let mut received = Ok(());
        loop {
            match connection.handle_received(at(now), &mut rest) {
                Ok(Some(Event::Welcome(welcome))) => self.go_on(&mut connection, &welcome),
                Ok(Some(event)) => self.get(&event, peer),
                Ok(None) => break,
                Err(violation) => {
                    received = Err(violation);
                    break;
                }
            }
        }
        self.unread = rest.to_vec();
        self.connection = Some(connection);
        received?;
        self.settle()
    }

    fn go_on(&mut self, connection: &mut Connection, welcome: &Welcome) {
        assert_eq!(welcome.session, SESSION);
        assert_eq!(welcome.resume.is_none(), welcome.resumed.is_some());
        if let Some(resumed) = welcome.resumed {
            assert_eq!(resumed.proof, PROOF);
            self.resume_from(resumed.received);
        }
        connection.attach(self.away.take().expect("it has no link"));
        self.nonce = 0;
    }

    fn get(&mut self, event: &Event<'_>, peer: Option<&Self>) {
        match event {
            Event::Data(body) => {
                let sent = peer.map(|peer| peer.sent.get(self.messages).map(Vec::as_slice));
                assert!(sent.is_none_or(|sent| sent == Some(*body)), "{body:?}");
                self.messages += 1;
                self.books.get(body.len(), false);
            }
            Event::End => {
                assert!(peer.is_none_or(|peer| peer.sent.len() == self.messages));
                self.books.get(0, true);
            }
            Event::Beat | Event::Bye(_) => {}
            event => panic!("{event:?} in a session"),
        }
    }

    /// Removes what the peer has taken over, as a driver does after each read.
    fn settle(&mut self) -> Result<(), Violation> {
        if self.away.is_some() {
            return Ok(());
        }
        let (books, ledger) = self.books();
        let count = books.settle(ledger)?;
        for frame in self.log.drain(..count) {
            // What was written on an earlier link only can be acknowledged as well.
            self.written = self.written.saturating_sub(frame.len());
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, count: usize) {
        let (books, ledger) = self.books();
        let taken = core::iter::from_fn(|| books.take(ledger)).take(count);
        self.messages_taken += taken.map(usize::from).sum::<usize>();
    }

    // What must hold.

    pub(crate) fn check(&self) {
        self.books.check(self.ledger());
    }

    /// Positions agree: what arrived is a beginning of what was sent, and nothing is acknowledged
    /// that was not taken over.
    pub(crate) fn check_against(&self, peer: &Self) {
        let (own, theirs) = (&self.books, &peer.books);
        assert!(theirs.ends.has(own.received) && theirs.ends.has(own.taken));
        assert!(theirs.acked <= own.taken, "it was not taken over");
        assert!(own.received.bytes <= theirs.high);
    }

    pub(crate) fn check_all_arrived(&self, peer: &Self) {
        assert_eq!(self.books.taken, peer.books.ends.last());
        assert_eq!(self.messages_taken, peer.sent.len());
        assert_eq!(self.books.peer_has_ended, peer.books.has_ended);
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.books.is_quiet()
    }

    /// After a BYE of the peer.
    pub(crate) fn check_left(&self, peer: &Self) {
        assert!(self.has_ended());
        assert_eq!(self.books.acked, peer.books.taken);
        let lost = &self.sent[peer.messages_taken..];
        let bytes = lost.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(self.ledger().undelivered(), Undelivered { frames: lost.len() as u64, bytes });
    }

    // Lies.

    pub(crate) fn check_resume(&self, place: Place) {
        let books = &self.books;
        let position = place.of(&books.ends);
        let count = self.ledger().resume_at(position, books.lens());
        let frames = position.frames.wrapping_sub(books.acked.frames) as usize;
        let allowed = books.allow(&[position]).then_some(frames);
        assert_eq!(count, allowed.ok_or(Violation::BadPosition { position }));
    }

    /// The name of what this end should say to a lie of the peer, if it refuses it.
    pub(crate) fn refusal(&self, lie: &Lie) -> Option<&'static str> {
        let bad = |places: &[Place]| {
            let told: Vec<Position> =
                places.iter().map(|place| place.of(&self.books.ends)).collect();
            (!self.books.allow(&told)).then_some("bad_position")
        };
        let body_len = match lie {
            Lie::Ack(place) | Lie::Beat(place) | Lie::Bye(place) => return bad(&[*place]),
            Lie::Acks(first, second) => return bad(&[*first, *second]),
            Lie::Data { .. } | Lie::End if self.books.peer_has_ended => return Some("unexpected"),
            Lie::Data { over } => self.books.body_up_to_window(*over),
            Lie::End => return None,
        };
        self.books.is_over_window(body_len).then_some("window")
    }

    /// The bytes of a lie, which this end is told.
    pub(crate) fn forge(&self, lie: &Lie) -> Vec<u8> {
        let position = |place: &Place| place.of(&self.books.ends);
        let encoded = |place: &Place| {
            let Position { frames, bytes } = position(place);
            [frames.to_le_bytes(), bytes.to_le_bytes()].concat()
        };
        match lie {
            Lie::Ack(place) => framed(6, &encoded(place)),
            Lie::Acks(first, second) => {
                [framed(6, &encoded(first)), framed(6, &encoded(second))].concat()
            }
            Lie::Beat(place) => framed(0, &[&[1; 8], &[0; 24][..], &encoded(place)].concat()),
            Lie::Bye(place) => {
                let bye = Bye::new(ByeCode::Kicked, RetryHint::Never);
                bye.taken(Some(position(place))).encode()
            }
            Lie::Data { over } => framed(1, &vec![0; self.books.body_up_to_window(*over)]),
            Lie::End => framed(7, &[]),
        }
    }
}

fn framed(kind: i32, body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(body.len()).expect("frames in here are short");
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), body].concat()
}

/// What breaks the protocol, or what a peer might as well say.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Lie {
    Ack(Place),
    /// In one read.
    Acks(Place, Place),
    Beat(Place),
    Bye(Place),
    /// A message that fills the window, and so many bytes more or fewer.
    Data {
        over: i8,
    },
    End,
}
