//! Sessions that outlive their links. The test is the server.

mod aborting;
mod closing;
mod done;
mod ends;
mod random;
mod suspicion;
mod windows;

use core::iter;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Position;
use heartwire_core::v1::{ResumeOffer, ResumeTerms, Resumed, Resuming, Secret};
use heartwire_core::{Event as FromPeer, Protocol, Settings, Violation};

use super::*;
use crate::Undelivered;
use crate::client::Resume;
use crate::proof::{Claim, Key, Role};

const GRACE: Duration = Duration::from_secs(60);
const WINDOW: u32 = 1000;
const SERVER_ID: u64 = 99;
const SESSION: u64 = 7;
/// The first wait after a link is lost is no longer.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// A beat in a session that can be resumed.
const BEAT_FRAME: usize = HEADER_LEN + 48;

fn key() -> Key {
    Key::new([7; 32]).of_session(SESSION)
}

const fn position(frames: u64, bytes: u64) -> Position {
    Position { frames, bytes }
}

/// The position after so many messages of one byte.
const fn after(messages: u64) -> Position {
    position(messages, 9 * messages)
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, u8::try_from(body.len()).unwrap(), 0, 0, 0], body].concat()
}

fn ack(position: Position) -> Vec<u8> {
    frame(6, &[position.frames.to_le_bytes(), position.bytes.to_le_bytes()].concat())
}

/// The frames of messages with these bytes.
fn messages(bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    bytes.into_iter().flat_map(|byte| frame(1, &[byte])).collect()
}

/// A client that has just connected, with a session that can be resumed.
fn resumable(change: impl FnOnce(ClientConfig) -> ClientConfig) -> Rig {
    let resume = Resume::default().window(WINDOW).grace(GRACE);
    let mut rig = Rig::new(|config| {
        change(config.v1(V1::default()).policy(Policy::default()).resume(resume))
    });
    rig.connects();
    assert_eq!(rig.hello(), None);
    rig.is_welcomed(None);
    assert_eq!(rig.told(), ["connecting, attempt 1", "online"]);
    rig.toy.take_written();
    rig
}

fn accepted() -> Welcome {
    let offer = Offer::new(&Policy::default());
    Welcome::new(SESSION, 0, Terms::new(offer).agree(&offer).unwrap())
}

impl Rig {
    /// The session that the HELLO goes on with that was just written.
    fn hello(&self) -> Option<Resuming> {
        let now = self.toy.now();
        let settings = Settings::new(Policy::default()).protocol(Protocol::V1Only);
        let mut server = Connection::new(settings, now);
        let written = self.toy.take_written();
        let said = server.handle_received(now, &mut written.as_slice());
        let Ok(Some(FromPeer::Hello(hello))) = said else { panic!("{said:?}") };
        assert!(hello.resume.is_some());
        hello.resuming
    }

    /// The server accepts the client with a new session.
    fn is_welcomed(&mut self, lost: Option<Position>) {
        self.is_granted(WINDOW, lost);
    }

    /// The same, with this window towards the server.
    fn is_granted(&mut self, to_server: u32, lost: Option<Position>) {
        let agreed = ResumeOffer { to_server, to_client: WINDOW, grace: GRACE };
        let key = Secret(*key().as_bytes());
        let terms = ResumeTerms { server: SERVER_ID, key, agreed };
        self.toy.send(&accepted().resume(Some(terms)).lost(lost).encode());
        self.wait();
        self.wait();
    }

    /// The server goes on with the session, whose link has this number, from here.
    fn is_resumed(&mut self, link: u32, received: Position) {
        self.is_resumed_with(link, received, &[]);
    }

    /// The same, with these frames right behind the WELCOME.
    fn is_resumed_with(&mut self, link: u32, received: Position, frames: &[u8]) {
        let welcome = Self::resumed(link, received).encode();
        self.toy.send(&[&welcome, frames].concat());
        self.wait();
        self.wait();
    }

    fn resumed(link: u32, received: Position) -> Welcome {
        let Position { frames: count, bytes } = received;
        let (server, session) = (SERVER_ID, SESSION);
        let claim = Claim { role: Role::Server, server, session, link, frames: count, bytes };
        let proof = Secret(key().prove(claim));
        accepted().resumed(Resumed { received, proof })
    }

    fn sends(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            self.client.try_send(vec![byte]).unwrap();
        }
        self.wait();
    }

    /// The link is lost.
    fn loses(&mut self) -> Wait {
        let Step::Wait(wait) = self.is_left(&[]) else { panic!("it comes back") };
        wait
    }

    /// The next link begins. Returns what its HELLO says.
    fn comes_back(&mut self, wait: Wait) -> Resuming {
        self.pass_until(wait);
        self.connects();
        self.hello().expect("it goes on with its session")
    }

    /// The attempt that is under way succeeds.
    fn connects_to_dialled(&mut self) {
        self.toy.state().end = None;
        self.toy.take_written();
        self.life.connected(self.toy.clone(), SERVER);
        self.wait();
    }

    /// What was written after the first beat.
    #[track_caller]
    fn assert_beat_and(&self, written: &[u8]) {
        let all = self.toy.take_written();
        assert_eq!(all[..HEADER_LEN], [0, 0, 0, 0, 48, 0, 0, 0], "a beat first: {all:?}");
        assert_eq!(all[BEAT_FRAME..], *written);
    }

    fn events(&mut self) -> Vec<Event> {
        iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    fn names(&mut self) -> Vec<&'static str> {
        self.events().iter().map(Event::name).collect()
    }

    /// How the session ended, of the events that were not taken.
    #[track_caller]
    fn end(&mut self) -> (Reason, usize, Undelivered) {
        let events = self.events();
        let mut ends = events.iter().filter_map(|event| {
            let Event::Offline { reason, unsent, undelivered, .. } = event else { return None };
            Some((*reason, *unsent, *undelivered))
        });
        let end = ends.next().unwrap_or_else(|| panic!("no end in {events:?}"));
        assert_eq!(ends.next(), None);
        end
    }
}

const fn undelivered(frames: u64, bytes: u64, exact: bool) -> Undelivered {
    let mut undelivered = Undelivered::NOTHING;
    (undelivered.frames, undelivered.bytes, undelivered.exact) = (frames, bytes, exact);
    undelivered
}

#[test]
fn resume_sends_again_what_the_server_has_not_received_and_then_what_was_sent_meanwhile() {
    let mut rig = resumable(|config| config);
    rig.sends(1..=4);
    assert_eq!(rig.toy.take_written(), messages(1..=4));
    rig.toy.send(&ack(after(1)));
    rig.wait();
    rig.toy.state().room = 5;
    rig.sends([5]);
    let wait = rig.loses();
    assert!(rig.left(wait) <= FIRST_WAIT, "{wait:?}");
    let told = rig.events();
    let [Event::Away { reason: Reason::ClosedByPeer, within: GRACE, .. }, Event::Waiting { .. }] =
        told[..]
    else {
        panic!("{told:?}")
    };
    rig.client.try_send(vec![6]).unwrap();
    rig.toy.state().room = usize::MAX;
    let Resuming { server, session, link, received, proof, only } = rig.comes_back(wait);
    assert_eq!((server, session, link, received), (SERVER_ID, SESSION, 2, after(0)));
    let claim = Claim { role: Role::Client, server, session, link, frames: 0, bytes: 0 };
    assert!(key().is_proven(claim, &proof.0) && !only);
    rig.client.try_send(vec![7]).unwrap();
    rig.wait();
    assert_eq!(rig.toy.take_written(), [0; 0], "nothing is sent before the server has answered");
    rig.toy.pass(SECOND);
    // It has received the second whole, and not taken it over.
    rig.is_resumed(2, after(2));
    rig.assert_beat_and(&messages(3..=7));
    let told = rig.events();
    let [Event::Connecting { attempt: 1 }, Event::Back { after: away, replayed, .. }] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert!(*away > SECOND && *away <= SECOND + FIRST_WAIT);
    assert_eq!((replayed.frames, replayed.bytes), (2, 2), "the fifth had only begun");
    // What was taken over is forgotten, and so is what was received on the second link.
    rig.toy.send(&ack(after(6)));
    rig.wait();
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.is_resumed(3, after(6));
    rig.assert_beat_and(&messages([7]));
}

/// Frames that the kernel took before it reported the end were written, and may have arrived.
#[test]
fn messages_that_were_written_right_before_an_error_may_have_been_received() {
    let mut rig = resumable(|config| config);
    rig.toy.state().room = 18;
    rig.toy.state().error_when_full = io::ErrorKind::ConnectionReset;
    for byte in 1..=3 {
        rig.client.try_send(vec![byte]).unwrap();
    }
    let wait = rig.wait();
    assert_eq!(rig.toy.take_written(), messages(1..=2));
    rig.toy.state().room = usize::MAX;
    rig.comes_back(wait);
    rig.is_resumed(2, after(2));
    rig.assert_beat_and(&messages([3]));
}

#[test]
fn resume_tells_what_was_received_and_beats_what_was_taken_over() {
    let mut rig = resumable(|config| config);
    rig.toy.send(&messages(1..=3));
    rig.toy.send(&messages([4])[..5]);
    rig.wait();
    let wait = rig.loses();
    assert_eq!(rig.comes_back(wait).received, after(3), "not what was cut off");
    let taken = rig.told();
    assert_eq!(taken[..4], ["data", "data", "data", "away"]);
    rig.is_resumed(2, after(0));
    let beat = rig.toy.take_written();
    assert_eq!(beat.len(), BEAT_FRAME);
    assert_eq!(beat[BEAT_FRAME - 16..], ack(after(3))[HEADER_LEN..]);
    rig.toy.send(&messages([4]));
    rig.wait();
    assert_eq!(rig.told(), ["back", "data"]);
    let wait = rig.loses();
    assert_eq!(rig.comes_back(wait).received, after(4));
}

#[test]
fn welcome_that_is_lost_is_asked_for_again_with_a_higher_number() {
    let mut rig = resumable(|config| config);
    rig.sends([1]);
    let mut wait = rig.loses();
    for link in 2..5 {
        assert_eq!(rig.comes_back(wait).link, link);
        wait = rig.loses();
        assert!(rig.told().contains(&"failed".to_owned()));
    }
    rig.comes_back(wait);
    rig.is_resumed(5, after(0));
    rig.assert_beat_and(&messages([1]));
}

#[test]
fn waits_of_a_session_grow_until_a_link_has_lasted_or_carried_anything() {
    let ways: [fn(&mut Rig); 3] = [
        |rig| rig.toy.pass(SECOND * 10),
        |rig| {
            rig.toy.send(&messages([1]));
            rig.wait();
        },
        |rig| {
            rig.sends([1]);
            rig.toy.send(&ack(after(1)));
            rig.wait();
        },
    ];
    for way in ways {
        let mut rig = resumable(|config| config);
        let mut longest = Duration::ZERO;
        let mut link = 1;
        let mut wait = rig.loses();
        for _ in 0..20 {
            longest = longest.max(rig.left(wait));
            assert!(rig.left(wait) <= SECOND * 10);
            rig.comes_back(wait);
            link += 1;
            rig.is_resumed(link, after(0));
            wait = rig.loses();
        }
        assert!(longest > SECOND, "{longest:?}");
        rig.comes_back(wait);
        rig.is_resumed(link + 1, after(0));
        way(&mut rig);
        let wait = rig.loses();
        assert!(rig.left(wait) <= FIRST_WAIT);
    }
}

#[test]
fn servers_window_for_coming_back_is_obeyed_while_away() {
    let mut rig = resumable(|config| config);
    let wait = rig.loses();
    rig.comes_back(wait);
    let (earliest, latest) = (SECOND * 20, SECOND * 30);
    let bye = Bye::new(ByeCode::Fighting, RetryHint::Within { earliest, latest });
    let Step::Wait(wait) = rig.is_left(&bye.encode()) else { panic!("it comes back") };
    assert!((earliest..=latest).contains(&rig.left(wait)), "{wait:?}");
    assert_eq!(rig.names(), ["away", "waiting", "connecting", "failed", "waiting"]);
    rig.comes_back(wait);
    rig.is_resumed(3, after(0));
    assert!(rig.told().contains(&"back".to_owned()));
}

#[test]
fn server_that_cannot_prove_is_not_sent_anything_and_the_session_stays() {
    let mut rig = resumable(|config| config);
    rig.sends([1]);
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.told();
    // The proof is for another link.
    rig.is_resumed(9, after(0));
    assert!(rig.toy.take_written().is_empty(), "a BYE would end the session");
    let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
    assert_eq!(rig.told()[0], "failed");
    assert_eq!(rig.comes_back(wait).link, 3);
    rig.is_resumed(3, after(0));
    rig.assert_beat_and(&messages([1]));
}

/// What the session has accepted would not go through.
#[test]
fn server_that_accepts_shorter_messages_than_before_is_not_sent_anything_and_the_session_stays() {
    let mut rig = resumable(|config| config);
    rig.client.try_send(vec![1; 10]).unwrap();
    rig.wait();
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.told();
    rig.toy.send(&Rig::resumed(2, after(0)).max_frame(9).encode());
    rig.wait();
    assert!(rig.toy.take_written().is_empty());
    let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
    assert_eq!(rig.told()[0], "failed");
    rig.comes_back(wait);
    rig.is_resumed(3, after(0));
    rig.assert_beat_and(&frame(1, &[1; 10]));
}

#[test]
fn frame_that_stops_in_the_middle_ends_the_link_only_and_is_no_breach() {
    let mut rig = resumable(|config| config);
    rig.toy.send(&messages([1])[..3]);
    let mut wait = rig.wait();
    let mut beats = 0;
    while rig.life.connection().is_some() {
        rig.pass_until(wait);
        // The beats go on, and so do those of the server, elsewhere.
        wait = rig.wait();
        beats += 1;
        assert!(beats < 100);
    }
    let told = rig.events();
    let Event::Away { reason, .. } = told[0] else { panic!("{told:?}") };
    assert!(matches!(reason, Reason::Protocol(Violation::SlowFrame { .. })), "{reason:?}");
    let written = rig.toy.take_written();
    assert!(written.chunks(BEAT_FRAME).all(|frame| frame[0] == 0), "no BYE: {written:?}");
}
