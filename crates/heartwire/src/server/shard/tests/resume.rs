//! Sessions that outlive their connections.

mod away;
mod link;
mod many;
mod random;
mod refused;
mod sender;
mod window;

use core::time::Duration;

use heartwire_core::resume::Position;
use heartwire_core::v1::{
    Bye, ByeCode, Hello, Offer, ResumeOffer, ResumeTerms, Resuming, Secret, Welcome,
};
use heartwire_testkit::{Got, ms, patient};

use super::v1;
use crate::proof::{Claim, Key, Role};
use crate::server::rig::Rig;
use crate::server::{Event, Resume, ServerConfig, SessionId};
use crate::toy::Toy;
use crate::{Reason, Replayed, Undelivered};

const WINDOW: u32 = 1_000;
const GRACE: Duration = ms(30_000);

/// One shard with clients whose sessions can be resumed.
fn resumable() -> ServerConfig {
    v1().resume(Resume::new().window(WINDOW).grace(GRACE))
}

/// The position after these frames without a body, or with one.
pub(super) fn after(bodies: &[&[u8]]) -> Position {
    let bytes = bodies.iter().map(|body| 8 + u64::try_from(body.len()).unwrap()).sum();
    Position { frames: u64::try_from(bodies.len()).unwrap(), bytes }
}

/// A client that comes back. A clone is the same client before.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) toy: Toy,
    name: Option<&'static str>,
    token: Option<&'static [u8]>,
    session: u64,
    terms: ResumeTerms,
    link: u32,
    only: bool,
}

impl Client {
    fn hello(name: Option<&'static str>, token: Option<&'static [u8]>) -> Hello<'static> {
        let mut hello = Hello::new(Offer::new(&patient()));
        (hello.name, hello.token) = (name, token);
        hello.resume =
            Some(ResumeOffer { to_server: u32::MAX, to_client: u32::MAX, grace: ms(3_600_000) });
        hello
    }

    /// One that was welcomed, and has sent its first beat.
    #[track_caller]
    pub(super) fn online(rig: &mut Rig) -> (Self, SessionId) {
        Self::online_as(rig, None, None)
    }

    #[track_caller]
    fn online_as(
        rig: &mut Rig,
        name: Option<&'static str>,
        token: Option<&'static [u8]>,
    ) -> (Self, SessionId) {
        let toy = rig.door.connect();
        toy.send(&Self::hello(name, token).encode());
        rig.run();
        let (id, _) = rig.told_online();
        let welcome = welcome_of(&toy);
        let terms = welcome.resume.expect("the session can be resumed");
        toy.beat_with(|_| {});
        rig.run();
        toy.got();
        (Self { toy, name, token, session: id.as_u64(), terms, link: 1, only: false }, id)
    }

    /// Its HELLO that goes on with the session, having received all up to there.
    fn resuming(&mut self, received: Position) -> Hello<'static> {
        self.link += 1;
        let (server, session, link) = (self.terms.server, self.session, self.link);
        let Position { frames, bytes } = received;
        let claim = Claim { role: Role::Client, server, session, link, frames, bytes };
        let proof = Secret(Key::new(self.terms.key.0).prove(claim));
        let mut hello = Self::hello(self.name, self.token);
        hello.resuming = Some(Resuming { server, session, link, received, proof, only: self.only });
        hello
    }

    /// Comes back on another connection, having received all up to there.
    #[track_caller]
    pub(super) fn come_back(&mut self, rig: &mut Rig, received: Position) {
        let hello = self.resuming(received);
        self.connect_with(rig, &hello);
    }

    #[track_caller]
    fn connect_with(&mut self, rig: &mut Rig, hello: &Hello<'_>) {
        self.toy = rig.door.connect();
        self.toy.send(&hello.encode());
        rig.run();
    }

    /// The same, and its session goes on. Returns what the server has received, and what it sends
    /// after the WELCOME and the first beat.
    #[track_caller]
    pub(super) fn resume(&mut self, rig: &mut Rig, received: Position) -> (Position, Vec<Got>) {
        self.come_back(rig, received);
        let mut got = self.toy.got();
        assert!(matches!(got[..], [Got::Welcome(_), Got::Beat(_), ..]), "{got:?}");
        let Got::Welcome(welcome) = got.remove(0) else { unreachable!() };
        assert_eq!((welcome.session, welcome.resume), (self.session, None));
        let resumed = welcome.resumed.expect("the session goes on");
        let (server, session, link) = (self.terms.server, self.session, self.link);
        let Position { frames, bytes } = resumed.received;
        let claim = Claim { role: Role::Server, server, session, link, frames, bytes };
        assert!(Key::new(self.terms.key.0).is_proven(claim, &resumed.proof.0));
        (resumed.received, got.split_off(1))
    }

    /// The BYE that it gets, and nothing else: its code, and what was taken over.
    #[track_caller]
    fn bye(&self) -> (ByeCode, Option<Position>) {
        let written = self.toy.take_written();
        let (header, body) = written.split_first_chunk::<8>().expect("a header");
        assert_eq!(header[..4], [4, 0, 0, 0], "not a BYE");
        let bye = Bye::decode(body).expect("a BYE");
        (bye.code, bye.taken)
    }

    /// Loses the connection without a word.
    #[track_caller]
    pub(super) fn lose(&self, rig: &mut Rig, id: SessionId) {
        self.toy.reset();
        rig.run();
        let Event::Away { id: away, reason, within, .. } = rig.next() else { panic!("not away") };
        assert_eq!((away, reason, within), (id, Reason::Reset, GRACE));
    }

    /// Says that it has taken over everything up to there.
    pub(super) fn acknowledge(&self, taken: Position) {
        let body = [taken.frames.to_le_bytes(), taken.bytes.to_le_bytes()].concat();
        self.toy.send(&heartwire_testkit::frame(heartwire_testkit::ACK, &body));
    }
}

/// The WELCOME at the front of these bytes.
#[track_caller]
fn welcome_in(written: &[u8]) -> Welcome {
    let (header, rest) = written.split_first_chunk::<8>().expect("a header");
    let len = usize::try_from(i32::from_le_bytes(header[4..].try_into().unwrap())).unwrap();
    let got = Got::of_frame(*header, &rest[..len]);
    let Got::Welcome(welcome) = got else { panic!("not welcome: {got:?}") };
    welcome
}

#[track_caller]
fn welcome_of(toy: &Toy) -> Welcome {
    match toy.got_but_beats().into_iter().next() {
        Some(Got::Welcome(welcome)) => welcome,
        other => panic!("not welcome: {other:?}"),
    }
}

fn data(body: &[u8]) -> Got {
    Got::Data(body.to_vec())
}

impl Rig {
    /// The client is back, after this time. Returns what is sent again.
    #[track_caller]
    fn back(&mut self, of: SessionId, after: Duration) -> Replayed {
        let event = self.next();
        let Event::Back { id, away, replayed, .. } = event else { panic!("not back: {event:?}") };
        assert_eq!((id, away), (of, after));
        replayed
    }

    /// The end of a session, and what was not delivered.
    #[track_caller]
    fn gone(&mut self, of: SessionId) -> (Reason, Undelivered) {
        let event = self.next();
        let Event::Offline { id, reason, undelivered, .. } = event else {
            panic!("not offline: {event:?}")
        };
        assert_eq!(id, of);
        (reason, undelivered)
    }
}
