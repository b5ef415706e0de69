//! Target `decode`: headers, v0 frames and v1 bodies, one at a time.

use core::time::Duration;

use heartwire_core::frame::{self, Kind};
use heartwire_core::internal::codec::{self, Decoded, Frame};
use heartwire_core::internal::v1::{BEAT_LEN, Beat, MAX_BEAT_LEN, MAX_HELLO_LEN};
use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{Hello, MAX_DETAIL_LEN, Offer, ResumeOffer, RetryHint, Terms};
use heartwire_core::{
    Boxed, Connection, Event, FrameLimits, Policy, Protocol, Settings, Violation,
};

use crate::books::Books;
use crate::knobs::{START, at};
use crate::resumable::SESSION;

/// First bytes from here on select frames of a session that can be resumed.
const SESSION_FROM: u8 = 250;

/// The first byte selects the kind of the others.
pub fn run(bytes: &[u8]) {
    let Some((&what, bytes)) = bytes.split_first() else { return };
    match what % 5 {
        // Apart from the others, so that the kept inputs mean what they meant.
        _ if what >= SESSION_FROM => of_a_session(bytes),
        0 => v0(bytes, u32::from(what)),
        1 => hello(bytes),
        2 => welcome(bytes, what & 0x80 != 0),
        3 => bye(bytes),
        _ => beat(bytes),
    }
}

fn policy() -> Policy {
    Policy::builder().build().expect("every knob is off")
}

fn v0(bytes: &[u8], max_frame: u32) {
    if let Some(header) = bytes.first_chunk() {
        match codec::read_header(*header) {
            Ok(read) => {
                let len = usize::try_from(read.body_len).expect("this is no small machine");
                assert_eq!(codec::header(read.kind, len), Some(*header));
            }
            Err(Violation::UnknownType { header: refused }) => assert_eq!(refused, *header),
            Err(Violation::NegativeLength { length }) => assert!(length < 0),
            Err(violation) => panic!("a header alone cannot be {violation}"),
        }
    }
    let decoded = codec::decode(bytes, max_frame);
    let limits = FrameLimits::default().max_frame(max_frame);
    let mut connection = Connection::new(Settings::new(policy()).limits(limits), at(START));
    let mut rest = bytes;
    let received = connection.handle_received(at(START), &mut rest);
    match decoded {
        Ok(Decoded::Whole { frame, len }) => {
            let (header, body) = bytes.split_at(frame::HEADER_LEN);
            assert_eq!(rest, &bytes[len..]);
            match frame {
                Frame::Beat => {
                    assert_eq!((header, len), (frame::BEAT.as_slice(), frame::HEADER_LEN));
                    assert_eq!(received, Ok(Some(Event::Beat)));
                }
                Frame::Data(data) => {
                    assert_eq!(
                        codec::data_header(data.len()).as_ref().map(<[u8; 8]>::as_slice),
                        Some(header)
                    );
                    assert_eq!(data, &body[..len - frame::HEADER_LEN]);
                    assert_eq!(received, Ok(Some(Event::Data(data))));
                }
            }
        }
        Ok(Decoded::Partial { body_len }) => {
            assert_eq!(body_len.is_some(), bytes.len() >= frame::HEADER_LEN);
            assert!(body_len.is_none_or(|len| len <= max_frame));
            assert_eq!((received, rest), (Ok(None), bytes));
        }
        Err(violation) => {
            assert_eq!(received, Err(violation));
            // The header alone shows it.
            let header = &bytes[..frame::HEADER_LEN];
            assert_eq!(codec::decode(header, max_frame), Err(violation));
        }
    }
}

/// Hands a whole frame to a new connection, which may hold a little for it and no more.
fn receive<'a, T>(
    settings: Settings,
    kind: Kind,
    body: &'a [u8],
    frame: &'a mut Vec<u8>,
    take: impl FnOnce(Event<'a>) -> Option<T>,
) -> Option<T> {
    frame.clear();
    frame.extend(codec::header(kind, body.len())?);
    frame.extend_from_slice(body);
    let mut connection = Connection::new(settings, at(START));
    let mut rest = frame.as_slice();
    let mut received = Ok(None);
    let used = allocation_counter::measure(|| {
        received = connection.handle_received(at(START), &mut rest);
    });
    let most = 2 * frame.len() + 8 * 1024;
    assert!(used.bytes_max <= most as u64, "{used:?} for {} bytes", frame.len());
    match received {
        Ok(Some(event)) => {
            assert!(rest.is_empty(), "a whole frame was taken");
            take(event)
        }
        Ok(None) => panic!("a whole frame was neither taken nor refused"),
        Err(violation) => {
            assert!(connection.has_ended(), "after {violation}");
            None
        }
    }
}

fn server() -> Settings {
    Settings::new(policy()).protocol(Protocol::V1Only)
}

fn hello(body: &[u8]) {
    // If a HELLO begins with its versions, only they decide whether there is a common one.
    if let [0xa1..=0xb7, 0, 0x82, lowest @ 0..24, highest @ 0..24, ..] = *body {
        let is_later = lowest <= highest && !(lowest..=highest).contains(&1);
        let is_short = body.len() <= MAX_HELLO_LEN as usize;
        assert_eq!(refused_for_its_versions(body), is_later && is_short);
    }
    let (mut frame, mut again, mut third) = (Vec::new(), Vec::new(), Vec::new());
    let of = |event| if let Event::Hello(hello) = event { Some(hello) } else { None };
    let Some(hello) = receive(server(), Kind::Hello, body, &mut frame, of) else { return };
    assert!(hello.resuming.is_none() || hello.resume.is_some(), "{hello:?}");
    let encoded = hello.encode();
    let back = receive(server(), Kind::Hello, &encoded[frame::HEADER_LEN..], &mut again, of);
    assert_eq!(back.as_ref(), Some(&hello), "what was written is read");
    assert_eq!(back.map(|hello| hello.encode()), Some(encoded.clone()), "and written alike");
    let greased = hello.encode_greased(encoded.len() as u64);
    let back = receive(server(), Kind::Hello, &greased[frame::HEADER_LEN..], &mut third, of);
    assert_eq!(back.as_ref(), Some(&hello), "grease is skipped");
}

fn refused_for_its_versions(body: &[u8]) -> bool {
    let Some(header) = codec::header(Kind::Hello, body.len()) else { return false };
    let frame = [&header, body].concat();
    let mut connection = Connection::new(server(), at(START));
    let received = connection.handle_received(at(START), &mut frame.as_slice());
    matches!(received, Err(Violation::NoCommonVersion { .. }))
}

/// A client that accepts every valid contract.
fn client(judges: bool) -> Settings {
    let least = Duration::from_millis(1);
    let mut policy = Policy::builder().interval(least);
    if judges {
        policy = policy.timeout(least * 2);
    }
    let policy = policy.build().expect("two beats fit in");
    let offer = Offer::new(&policy).max_timeout(Duration::MAX);
    let resume = ResumeOffer { to_server: u32::MAX, to_client: u32::MAX, grace: Duration::MAX };
    let settings = Settings::new(policy).protocol(Protocol::V1).offer(offer);
    settings.resume(Some(resume)).resuming(SESSION, false)
}

fn welcome(body: &[u8], judges: bool) {
    let (mut frame, mut again, mut third) = (Vec::new(), Vec::new(), Vec::new());
    let of = |event| match event {
        Event::Welcome(welcome) => Some(welcome),
        event => panic!("{event:?} of a WELCOME"),
    };
    let Some(welcome) = receive(client(judges), Kind::Welcome, body, &mut frame, of) else {
        return;
    };
    let encoded = welcome.encode();
    let body = &encoded[frame::HEADER_LEN..];
    let back = receive(client(judges), Kind::Welcome, body, &mut again, of);
    assert_eq!(back.as_ref(), Some(&welcome), "what was written is read");
    assert_eq!(back.map(|welcome| welcome.encode()), Some(encoded.clone()), "and written alike");
    let greased = welcome.encode_greased(encoded.len() as u64);
    let back =
        receive(client(judges), Kind::Welcome, &greased[frame::HEADER_LEN..], &mut third, of);
    assert_eq!(back.as_ref(), Some(&welcome), "grease is skipped");
}

fn bye(body: &[u8]) {
    let (mut frame, mut again, mut third) = (Vec::new(), Vec::new(), Vec::new());
    let of = |event| match event {
        Event::Bye(bye) => Some(bye),
        event => panic!("{event:?} of a BYE"),
    };
    let Some(bye) = receive(client(false), Kind::Bye, body, &mut frame, of) else { return };
    if let RetryHint::Within { earliest, latest } = bye.retry {
        assert!(earliest <= latest, "{bye:?}");
    }
    assert!(bye.detail.len() <= MAX_DETAIL_LEN);
    let encoded = bye.encode();
    let body = &encoded[frame::HEADER_LEN..];
    let back = receive(client(false), Kind::Bye, body, &mut again, of);
    assert_eq!(back.as_ref(), Some(&bye), "what was written is read");
    assert_eq!(back.map(|bye| bye.encode()), Some(encoded.clone()), "and written alike");
    let greased = bye.encode_greased(encoded.len() as u64);
    let back = receive(client(false), Kind::Bye, &greased[frame::HEADER_LEN..], &mut third, of);
    assert_eq!(back.as_ref(), Some(&bye), "grease is skipped");
}

/// ACKs and longer beats, as a server reads them that has written three messages: a byte with the
/// kind and the length of each, then its body.
fn of_a_session(mut bytes: &[u8]) {
    let now = at(START);
    let (mut connection, mut books) = (welcomed(), Books::new(1 << 20, 0));
    connection.attach(Boxed::new(Ledger::new(1 << 20, 0)));
    let ledger = connection.ledger_mut().expect("it is attached");
    for len in [0, 284, 65_536] {
        assert!(books.queue(ledger, Some(len)));
    }
    books.handle_written(ledger, usize::MAX);
    while let Some((&first, rest)) = bytes.split_first() {
        let Some((body, rest)) = rest.split_at_checked(usize::from(first & 0x7f)) else { return };
        bytes = rest;
        let (kind, from) = if first & 0x80 != 0 { (Kind::Heart, BEAT_LEN) } else { (Kind::Ack, 0) };
        let frame = [&codec::header(kind, body.len()).expect("it is short"), body].concat();
        let received = connection.handle_received(now, &mut frame.as_slice());
        if kind == Kind::Ack && body.len() != frame::ACK_LEN {
            return assert_eq!(received, Err(Violation::BadAck));
        }
        let position = body.get(from..).and_then(<[u8]>::first_chunk).map(|chunk: &[u8; 16]| {
            let [frames, bytes] = [0, 1].map(|at| chunk.as_chunks().0[at]).map(u64::from_le_bytes);
            Position { frames, bytes }
        });
        let is_allowed = position.is_none_or(|position| books.allow(&[position]));
        let settled = match received {
            Ok(_) => {
                let ledger = connection.ledger_mut().expect("it is attached");
                books.settle(ledger).map(drop)
            }
            Err(violation @ Violation::BadPosition { .. }) => Err(violation),
            Err(violation) => return assert_eq!(kind, Kind::Heart, "{violation} of an ACK"),
        };
        assert_eq!(settled.is_ok(), is_allowed, "{position:?}");
        if settled.is_err() {
            return;
        }
        assert_eq!(books.acked, position.unwrap_or(books.acked));
    }
}

/// A server on v1.
fn welcomed() -> Connection {
    let now = at(START);
    let (offer, terms) = (Offer::new(&policy()), Terms::new(Offer::new(&policy())));
    let mut connection = Connection::new(server(), now);
    let hello = Hello::new(offer).encode();
    let received = connection.handle_received(now, &mut hello.as_slice());
    assert!(matches!(received, Ok(Some(Event::Hello(_)))), "{received:?}");
    let contract = terms.agree(&offer).expect("neither end wants anything");
    connection.welcome(now, SESSION, contract);
    connection
}

/// The longest tail of a beat, which is skipped.
const MAX_TAIL: usize = MAX_BEAT_LEN - BEAT_LEN;

/// Beats, one after the other, as a server reads them.
fn beat(bytes: &[u8]) {
    let now = at(START);
    let mut connection = welcomed();
    for (body, tail) in bytes.as_chunks::<BEAT_LEN>().0.iter().zip((0..=MAX_TAIL).cycle()) {
        let beat = Beat::decode(body);
        assert_eq!(Beat::decode(&beat.encode()), beat, "what was written is read");
        let [.., health, notices] = body;
        if *health <= 2 && *notices <= 1 {
            assert_eq!(beat.encode(), *body, "and written alike");
        }
        let header = codec::header(Kind::Heart, BEAT_LEN + tail).expect("it is short");
        let frame = [&header[..], body, &[0x99; MAX_TAIL][..tail]].concat();
        let received = connection.handle_received(now, &mut frame.as_slice());
        match received {
            Ok(Some(Event::Beat | Event::Promise(_))) => {}
            Ok(None) => assert!(connection.has_ended()),
            // Nothing was sent yet that could come back.
            Err(Violation::UnknownNonce) => assert_ne!(beat.echo, 0),
            Err(Violation::PromiseTooLong { promise, max }) => {
                assert_eq!(beat.promise(), Some(promise));
                assert!(promise > max);
            }
            received => panic!("{received:?} of {beat:?}"),
        }
    }
}
