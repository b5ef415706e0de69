//! A session whose links are cut at any byte: each message comes once, and in order.

use heartwire_core::resume::Position;
use heartwire_core::v1::{Hello, ResumeTerms, Resumed, Resuming, Secret, Welcome};
use heartwire_core::{Connection, Event, Instant, Policy, Protocol, Settings};
use heartwire_ffi::abi::*;
use hmac::{Hmac, Mac as _};
use proptest::prelude::*;
use sha2::Sha256;

use crate::rig::*;

const KEY: [u8; 32] = [9; 32];
const SERVER: u64 = 5;
const SESSION: u64 = 7;

fn prove(role: u8, link: u32, Position { frames, bytes }: Position) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.chain_update(b"heartwire resume")
        .chain_update([role])
        .chain_update(SERVER.to_le_bytes())
        .chain_update(SESSION.to_le_bytes())
        .chain_update(link.to_le_bytes())
        .chain_update(frames.to_le_bytes())
        .chain_update(bytes.to_le_bytes())
        .finalize()
        .into_bytes()
        .into()
}

/// Has the core decode a HELLO.
fn with_hello<T>(mut bytes: &[u8], then: impl FnOnce(&Hello<'_>) -> T) -> T {
    let policy = Policy::builder().build().unwrap();
    let settings = Settings::new(policy).protocol(Protocol::V1Only);
    let mut connection = Connection::new(settings, Instant::from_nanos(0));
    match connection.handle_received(Instant::from_nanos(0), &mut bytes) {
        Ok(Some(Event::Hello(hello))) => then(&hello),
        other => panic!("{other:?}"),
    }
}

/// What the server remembers of the session.
struct Log {
    bodies: Vec<Vec<u8>>,
    /// The position behind each message, and before the first.
    positions: Vec<Position>,
    /// How many of them the client says to have taken over.
    told: usize,
    window: u64,
    link: u32,
}

impl Log {
    fn at(&self, position: Position) -> usize {
        self.positions.iter().position(|&other| other == position).unwrap()
    }

    /// Everything that may be sent behind this many messages.
    fn rest(&self, from: usize) -> Vec<u8> {
        let until = self.positions[self.told].bytes + self.window;
        let fits = self.positions.iter().take_while(|position| position.bytes <= until).count() - 1;
        self.bodies[from..fits.max(from)].iter().flat_map(|body| frame(DATA, body)).collect()
    }

    fn handle_told(&mut self, bytes: &[u8]) {
        for (kind, body) in frames(bytes) {
            let position = match kind {
                HEART => &body[32..],
                ACK => &body[..],
                _ => continue,
            };
            let [frames, bytes] = [&position[..8], &position[8..]]
                .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            let told = self.at(Position { frames, bytes });
            assert!(told >= self.told, "it goes forward only");
            self.told = told;
        }
    }
}

const ACK: i32 = 6;

#[derive(Clone, Debug)]
struct Link {
    /// How many bytes come in all, and in how large parts.
    bytes: usize,
    part: usize,
    /// How many events are taken after each part, and after the end.
    events: usize,
    events_after: usize,
    /// The server falls silent instead of closing.
    is_dead: bool,
    /// The WELCOME of another server comes first.
    is_forged: bool,
}

fn link() -> impl Strategy<Value = Link> {
    let events = || prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..3];
    (0_usize..4_000, 1_usize..700, events(), events(), any::<bool>(), 0..8).prop_map(
        |(bytes, part, events, events_after, is_dead, forged)| {
            let is_forged = forged == 0;
            Link { bytes, part, events, events_after, is_dead, is_forged }
        },
    )
}

fn take(rig: &mut Rig, most: usize, got: &mut Vec<Vec<u8>>) {
    for _ in 0..most {
        match rig.event() {
            Some(Got::Data(body)) => got.push(body),
            Some(_) => {}
            None => return,
        }
    }
}

fn live(lens: &[usize], links: &[Link]) {
    let rx = HW_MIN_RX;
    let mut rig = Rig::sized(Sizes { rx, tx: 512 }, |config| config.grace_ms = 600_000);
    let mut log = Log { bodies: Vec::new(), positions: Vec::new(), told: 0, window: 0, link: 0 };
    log.positions.push(Position::default());
    for (number, &len) in lens.iter().enumerate() {
        let Position { frames, bytes } = log.positions[number];
        let len_whole = u64::try_from(len + 8).unwrap();
        log.positions.push(Position { frames: frames + 1, bytes: bytes + len_whole });
        log.bodies.push(vec![u8::try_from(number % 251).unwrap(); len]);
    }
    let mut got = Vec::new();
    let all = Link {
        bytes: usize::MAX,
        part: 100,
        events: usize::MAX,
        events_after: usize::MAX,
        is_dead: false,
        is_forged: false,
    };
    for link in links.iter().chain([&all]) {
        assert_eq!(rig.connected(), Status::OK);
        let hello = rig.turn().0;
        let (offer, resuming) = with_hello(&hello, |hello| (hello.resume.unwrap(), hello.resuming));
        let mut welcome = Welcome::new(SESSION, 0, contract(1));
        let mut from = 0;
        if let Some(Resuming { server, session, link: number, received, proof, only }) = resuming {
            assert_eq!((server, session, only), (SERVER, SESSION, false));
            assert!(number > log.link);
            assert_eq!(proof.0, prove(0, number, received));
            log.link = number;
            from = log.at(received);
            assert!(from >= log.told);
            let taken = Position::default();
            let proof = if link.is_forged { [0; 32] } else { prove(1, number, taken) };
            welcome = welcome.resumed(Resumed { received: taken, proof: Secret(proof) });
        } else {
            assert_eq!(log.link, 0, "it goes on with its session");
            log.link = 1;
            log.window = offer.to_client.into();
            let terms = ResumeTerms { server: SERVER, key: Secret(KEY), agreed: offer };
            welcome = welcome.resume(Some(terms));
        }
        let is_forged = link.is_forged && resuming.is_some();
        // The client is welcomed at all on its first link, so that there is a session.
        assert_eq!(rig.feed(&welcome.encode()), welcome.encode().len());
        let said = rig.event();
        if is_forged {
            assert_eq!(said, Some(Got::Broken(ViolationCode::BAD_WELCOME)));
        } else {
            assert_eq!(said, Some(Got::Welcome));
            log.handle_told(&rig.turn().0);
            let mut left = link.bytes;
            let mut sent = 0;
            while left > 0 {
                let coming = log.rest(from);
                let len = link.part.min(left).min(coming.len() - sent);
                let taken = rig.feed(&coming[sent..sent + len]);
                take(&mut rig, link.events, &mut got);
                let (written, step) = rig.turn();
                log.handle_told(&written);
                if step == Step::Close || (taken == 0 && sent == coming.len()) {
                    break;
                }
                if taken == 0 && link.events < 2 {
                    break;
                }
                (left, sent) = (left - taken, sent + taken);
            }
            if link.is_dead {
                rig.now += 100;
                rig.pass(4_000);
                take(&mut rig, link.events_after, &mut got);
            }
        }
        rig.disconnect();
        take(&mut rig, link.events_after, &mut got);
        rig.now += rig.retry_ms();
        assert!(log.bodies.starts_with(&got), "each message once, in order");
    }
    assert_eq!(got.len(), log.bodies.len(), "all of them");
}

proptest! {
    #[test]
    fn each_message_comes_once_wherever_links_are_cut(
        lens in prop::collection::vec(0..=HW_MIN_RX - 8, 0..40),
        links in prop::collection::vec(link(), 0..6),
    ) {
        live(&lens, &links);
    }
}
