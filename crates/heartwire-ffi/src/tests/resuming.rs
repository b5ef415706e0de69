use core::time::Duration;

use heartwire_core::frame::Kind;
use heartwire_core::resume::Position;
use heartwire_core::v1::{
    Bye, ByeCode, ResumeOffer, ResumeTerms, Resumed, Resuming, RetryHint, Secret,
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::rig::{Calls, Rig, Told, data, frame};
use crate::abi::{Protocol, Status, Step, ViolationCode};

const KEY: [u8; 32] = [9; 32];
const SERVER: u64 = 5;
const AGREED: ResumeOffer =
    ResumeOffer { to_server: 0, to_client: 1_000, grace: Duration::from_secs(60) };

/// The proof of a server that has received nothing.
fn proof(link: u32) -> Secret {
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    for part in [
        &b"heartwire resume"[..],
        &[1],
        &SERVER.to_le_bytes(),
        &99_u64.to_le_bytes(),
        &link.to_le_bytes(),
        &[0; 16],
    ] {
        mac.update(part);
    }
    Secret(mac.finalize().into_bytes().into())
}

/// A client in a session that can be resumed.
fn welcomed() -> Rig {
    let mut rig = Rig::new(Protocol::V1, |config| {
        (config.grace_ms, config.tx_len) = (60_000, 700);
    });
    rig.connected();
    rig.write_all();
    rig.with_hello(|hello| {
        let offer = ResumeOffer { to_server: 0, to_client: 2_400, grace: AGREED.grace };
        assert_eq!((hello.resume, hello.resuming), (Some(offer), None));
    });
    let terms = ResumeTerms { server: SERVER, key: Secret(KEY), agreed: AGREED };
    let welcome = rig.welcome(1, |welcome| welcome.resume(Some(terms)));
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Welcome { session: 99, resumed: false, lost: false }]);
    rig.written.clear();
    rig
}

/// Loses the connection, and connects again. Returns what the HELLO says.
fn comes_back(rig: &mut Rig) -> Option<Resuming> {
    rig.disconnect();
    rig.events();
    assert_eq!(rig.connected(), Status::OK);
    rig.written.clear();
    rig.write_all();
    rig.with_hello(|hello| hello.resuming)
}

fn is_welcomed(rig: &mut Rig, link: u32) -> Vec<Told> {
    let resumed = Resumed { received: Position::default(), proof: proof(link) };
    let welcome = rig.welcome(1, |welcome| welcome.resumed(resumed));
    rig.written.clear();
    rig.feed_all(&welcome);
    rig.events()
}

fn position(frames: u64, bytes: u64) -> Vec<u8> {
    [frames.to_le_bytes(), bytes.to_le_bytes()].concat()
}

#[test]
fn a_session_goes_on_where_it_was() {
    let mut rig = welcomed();
    rig.feed_all(&[data(b"one"), data(b"two"), data(b"three")[..9].to_vec()].concat());
    assert_eq!(rig.events(), [Told::Data(b"one".to_vec()), Told::Data(b"two".to_vec())]);
    let resuming = comes_back(&mut rig).unwrap();
    assert_eq!((resuming.server, resuming.session, resuming.link), (SERVER, 99, 2));
    assert_eq!(resuming.received, Position { frames: 2, bytes: 22 });
    let told = is_welcomed(&mut rig, 2);
    assert_eq!(told, [Told::Welcome { session: 99, resumed: true, lost: false }]);
    rig.write_all();
    // The first beat says what was taken over.
    assert_eq!(rig.frames()[0].1[32..], position(2, 22));
    rig.feed_all(&data(b"three"));
    assert_eq!(rig.events(), [Told::Data(b"three".to_vec())]);
    let resuming = comes_back(&mut rig).unwrap();
    assert_eq!((resuming.link, resuming.received), (3, Position { frames: 3, bytes: 35 }));
}

#[test]
fn a_message_counts_as_taken_over_when_the_next_event_is_asked_for() {
    let mut rig = welcomed();
    rig.settle();
    rig.written.clear();
    // More than a quarter of the window.
    rig.feed_all(&data(&[1; 300]));
    assert_eq!(rig.event(), Some(Told::Data(vec![1; 300])));
    rig.settle();
    assert_eq!(rig.frames(), []);
    assert_eq!(rig.event(), None);
    rig.settle();
    assert_eq!(rig.frames(), [(Kind::Ack, position(1, 308))]);
}

#[test]
fn nothing_is_sent_in_such_a_session() {
    let mut rig = welcomed();
    assert_eq!(rig.send(b"x"), Status::ERR_PROTOCOL);
    assert_eq!(rig.send_room(), 0);
}

#[test]
fn a_client_that_leaves_says_what_it_has_taken_over() {
    let mut rig = welcomed();
    rig.feed_all(&[data(b"one"), frame(Kind::End, &[])].concat());
    assert_eq!(rig.events(), [Told::Data(b"one".to_vec()), Told::End]);
    assert_eq!(rig.close(), Status::OK);
    rig.write_all();
    let (kind, body) = rig.frames().pop().unwrap();
    assert_eq!(kind, Kind::Bye);
    // Key 5: frames and bytes.
    assert!(body.ends_with(&[0x05, 0x82, 0x02, 0x13]), "{body:x?}");
    assert_eq!(comes_back(&mut rig), None, "the session has ended");
}

#[test]
fn a_server_with_another_key_is_refused_and_the_session_stays() {
    let mut rig = welcomed();
    assert_eq!(comes_back(&mut rig).unwrap().link, 2);
    let told = is_welcomed(&mut rig, 7);
    assert_eq!(told, [Told::Broken(ViolationCode::BAD_WELCOME)]);
    assert_eq!(rig.poll(), Step::Close);
    assert_eq!(rig.output(), []);
    assert_eq!(comes_back(&mut rig).unwrap().link, 3);
    let told = is_welcomed(&mut rig, 3);
    assert_eq!(told, [Told::Welcome { session: 99, resumed: true, lost: false }]);
}

#[test]
fn a_session_that_the_server_has_no_more_is_lost() {
    let mut rig = welcomed();
    assert!(comes_back(&mut rig).is_some());
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Welcome { session: 99, resumed: false, lost: true }]);
    assert_eq!(comes_back(&mut rig), None);
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Welcome { session: 99, resumed: false, lost: false }]);
}

#[test]
fn a_session_ends_when_its_grace_is_over() {
    let mut rig = welcomed();
    rig.disconnect();
    rig.now += 59_999;
    assert!(comes_back(&mut rig).is_some());
    rig.now += 1;
    assert_eq!(comes_back(&mut rig), None);
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Welcome { session: 99, resumed: false, lost: true }]);
}

#[test]
fn a_bye_ends_the_session_and_a_verdict_does_not() {
    let mut rig = welcomed();
    assert_eq!(rig.run_to(rig.now + 5_000), Step::Close);
    assert!(comes_back(&mut rig).is_some());
    is_welcomed(&mut rig, 2);
    rig.feed_all(&Bye::new(ByeCode::Kicked, RetryHint::AtWill).encode());
    assert!(matches!(rig.events()[..], [Told::Bye { code: 12, .. }]));
    assert_eq!(comes_back(&mut rig), None);
}

#[test]
fn more_than_the_window_is_a_breach() {
    let mut rig = welcomed();
    let many = data(&[1; 300]);
    rig.feed_all(&many);
    assert_eq!(rig.event(), Some(Told::Data(vec![1; 300])));
    for _ in 0..2 {
        rig.feed_all(&many);
        assert_eq!(rig.event(), Some(Told::Data(vec![1; 300])));
    }
    // Nothing was acknowledged, as nothing was written.
    rig.feed_all(&many);
    assert_eq!(rig.event(), Some(Told::Broken(ViolationCode::WINDOW)));
    assert_eq!(comes_back(&mut rig), None);
}

#[test]
fn a_bye_that_rejects_a_resume_may_leave_the_session() {
    for (code, retry, stays) in [
        (ByeCode::Full, RetryHint::AtWill, true),
        (ByeCode::NotResumable, RetryHint::AtWill, false),
        (ByeCode::Unauthorized, RetryHint::Never, false),
    ] {
        let mut rig = welcomed();
        assert!(comes_back(&mut rig).is_some());
        rig.feed_all(&Bye::new(code, retry).encode());
        assert_eq!(comes_back(&mut rig).is_some(), stays, "{code:?}");
    }
}

#[test]
fn a_message_that_was_handed_over_before_the_end_is_taken_over_on_the_next_connection() {
    let mut rig = welcomed();
    rig.feed_all(&data(b"one"));
    assert_eq!(rig.event(), Some(Told::Data(b"one".to_vec())));
    rig.disconnect();
    assert_eq!(rig.connected(), Status::OK);
    rig.written.clear();
    rig.write_all();
    is_welcomed(&mut rig, 2);
    rig.write_all();
    assert_eq!(rig.frames()[0].1[32..], position(1, 11));
}
