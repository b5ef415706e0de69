use core::time::Duration;

use super::*;
use crate::policy::{Policy, Preset, Side};
use crate::resume::Position;
use crate::v1::{ResumeTerms, Resumed, Secret, Terms};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn usual(side: Side) -> Policy {
    Preset::Default.policy(side)
}

#[test]
fn a_welcome_to_something_else_than_was_offered_is_refused() {
    let client = Offer::new(&usual(Side::Client)).max_timeout(s(60));
    let awaiting = Awaiting::new(client, Resume::default(), Instant::from_nanos(0));
    let check = |offer: &Offer, server: Policy| {
        let contract = Terms::new(Offer::new(&server)).agree(offer).unwrap();
        awaiting.check(&Welcome::new(1, 0, contract))
    };
    assert_eq!(check(&client, usual(Side::Server)), Ok(()));
    // It calls the server dead sooner than it meant to, never, or later than it agrees to.
    let strict = Offer::new(&Preset::Fast.policy(Side::Client));
    assert_eq!(check(&strict, usual(Side::Server)), Err(Violation::BadWelcome));
    let reference = Offer::new(&Preset::Tutorial.policy(Side::Client));
    assert_eq!(check(&reference, usual(Side::Server)), Err(Violation::BadWelcome));
    let late = Offer::new(&Policy::builder().timeout(s(61)).build().unwrap());
    assert_eq!(check(&late, usual(Side::Server)), Err(Violation::BadWelcome));
    // It would have to beat more often than it can.
    let eager = Offer::new(&Policy::builder().interval(ms(10)).timeout(s(30)).build().unwrap());
    let hasty = Policy::builder().interval(ms(10)).timeout(ms(40)).build().unwrap();
    assert_eq!(check(&eager, hasty), Err(Violation::BadWelcome));
    // Its server could promise it to be silent for longer than it agrees to.
    let patient = Offer::new(&usual(Side::Client)).max_timeout(s(61));
    assert_eq!(check(&patient, usual(Side::Server)), Err(Violation::BadWelcome));
    // Nothing that could wake the server would fit into a frame.
    let contract = Terms::new(Offer::new(&usual(Side::Server))).wake_bytes(100_000).agree(&client);
    let welcome = Welcome::new(1, 0, contract.unwrap());
    assert_eq!(awaiting.check(&welcome), Err(Violation::BadWelcome));
}

#[test]
fn a_client_without_a_timeout_refuses_a_max_timeout_above_its_own_too() {
    let silent = Policy::builder().build().unwrap();
    let client = Offer::new(&silent).max_timeout(s(60));
    let awaiting = Awaiting::new(client, Resume::default(), Instant::from_nanos(0));
    for (max_timeout, checked) in [(s(60), Ok(())), (ms(60_001), Err(Violation::BadWelcome))] {
        let terms = Terms::new(Offer::new(&silent));
        let contract = terms.agree(&client.max_timeout(max_timeout)).unwrap();
        assert_eq!(awaiting.check(&Welcome::new(1, 0, contract)), checked, "{max_timeout:?}");
    }
}

#[test]
fn a_welcome_with_a_timeout_of_the_server_above_its_max_timeout_is_refused() {
    let client = Offer::new(&usual(Side::Client));
    let awaiting = Awaiting::new(client, Resume::default(), Instant::from_nanos(0));
    let contract = Terms::new(Offer::new(&usual(Side::Server))).agree(&client).unwrap();
    let frame = Welcome::new(1, 0, contract).encode();
    // Key 5, an hour at first; the timeout is 30 s.
    let at = frame.windows(6).position(|bytes| bytes == [5, 0x1a, 0, 0x36, 0xee, 0x80]).unwrap();
    for (max_timeout_ms, checked) in [(30_000_u32, Ok(())), (29_999, Err(Violation::BadWelcome))] {
        let mut frame = frame.clone();
        frame[at + 2..at + 6].copy_from_slice(&max_timeout_ms.to_be_bytes());
        let welcome = Welcome::decode(&frame[crate::frame::HEADER_LEN..]).unwrap();
        assert_eq!(awaiting.check(&welcome), checked, "{max_timeout_ms}");
    }
}

#[test]
fn a_welcome_that_does_not_answer_to_what_was_said_of_a_resume_is_refused() {
    const OFFER: ResumeOffer = ResumeOffer { to_server: 1000, to_client: 1000, grace: s(60) };
    let client = Offer::new(&usual(Side::Client));
    let contract = Terms::new(Offer::new(&usual(Side::Server))).agree(&client).unwrap();
    let plain = Welcome::new(7, 0, contract);
    let granted =
        |agreed| plain.resume(Some(ResumeTerms { server: 1, key: Secret([0; 32]), agreed }));
    let resumed = |welcome: Welcome| {
        welcome.resumed(Resumed { received: Position::default(), proof: Secret([0; 32]) })
    };
    let lost = Some(Position::default());
    let other = Welcome { session: 8, ..plain };
    let [nothing, offers, resumes, only] = [
        Resume::default(),
        Resume { offer: Some(OFFER), session: None },
        Resume { offer: Some(OFFER), session: Some((7, false)) },
        Resume { offer: Some(OFFER), session: Some((7, true)) },
    ];
    for (said, welcome, fits) in [
        (nothing, plain, true),
        (nothing, granted(OFFER), false),
        (offers, plain, true),
        (offers, granted(OFFER), true),
        (offers, granted(ResumeOffer { to_server: 1001, ..OFFER }), false),
        (offers, granted(ResumeOffer { to_client: 1001, ..OFFER }), false),
        (offers, granted(ResumeOffer { grace: s(61), ..OFFER }), false),
        (offers, resumed(plain), false),
        (offers, plain.lost(lost), false),
        (resumes, resumed(plain), true),
        (resumes, resumed(other), false),
        (resumes, resumed(granted(OFFER)), false),
        (resumes, resumed(plain).lost(lost), false),
        (resumes, granted(OFFER).lost(lost), true),
        (resumes, other, true),
        (only, resumed(plain), true),
        (only, granted(OFFER), false),
    ] {
        let awaiting = Awaiting::new(client, said, Instant::from_nanos(0));
        assert_eq!(awaiting.check(&welcome).is_ok(), fits, "{said:?} {welcome:?}");
    }
}
