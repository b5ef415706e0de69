use core::time::Duration;
use std::vec::Vec;

use super::super::tests::{body, offer};
use super::*;
use crate::v1::{Bye, ByeCode, Hello, RetryHint, Terms, Welcome};
use crate::violation::Violation;

const OFFER: ResumeOffer =
    ResumeOffer { to_server: 262_144, to_client: 65_536, grace: Duration::from_secs(120) };

fn secret() -> Secret {
    Secret(core::array::from_fn(|n| u8::try_from(n).unwrap()))
}

fn resuming() -> Resuming {
    Resuming {
        server: 0x0102_0304_0506_0708,
        session: 99,
        link: 4,
        received: Position { frames: 812, bytes: 901_224 },
        proof: secret(),
        only: true,
    }
}

fn welcome() -> Welcome {
    let contract = Terms::new(offer()).agree(&offer()).unwrap();
    Welcome::new(99, 7, contract)
}

/// Whether the golden bytes of `PROTOCOL.md` end this frame.
fn ends_with(frame: &[u8], parts: &[&[u8]]) -> bool {
    frame.ends_with(&parts.concat())
}

#[test]
fn the_entries_of_a_resume_lie_on_the_protocol_as_specified() {
    let offered: &[u8] = &[
        12, 0xa3, // a map of 3
        0, 0x1a, 0, 4, 0, 0, // window to the server 262,144 bytes
        1, 0x1a, 0, 1, 0, 0, // window to the client 65,536 bytes
        2, 0x1a, 0, 1, 0xd4, 0xc0, // grace 120,000 ms
    ];
    let mut hello = Hello::new(offer());
    hello.resume = Some(OFFER);
    assert!(ends_with(&hello.encode(), &[offered]));
    hello.resuming = Some(resuming());
    let demanded: &[u8] = &[
        13, 0xa6, // a map of 6
        0, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, // server
        1, 0x18, 99, // session
        2, 4, // link
        3, 0x82, 0x19, 3, 0x2c, 0x1a, 0, 0x0d, 0xc0, 0x68, // 812 frames, 901,224 bytes
        4, 0x58, 32, // proof, 32 bytes
    ];
    let frame = hello.encode();
    assert!(ends_with(&frame, &[offered, demanded, &secret().0, &[5, 0xf5]]));
    assert_eq!(Hello::decode(body(&frame)), Ok(hello));

    let granted: &[u8] = &[
        13, 0xa5, // a map of 5
        0, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, // server
        1, 0x58, 32, // key, 32 bytes
    ];
    let server = resuming().server;
    let terms = ResumeTerms { server, key: secret(), agreed: OFFER };
    let first = welcome().resume(Some(terms));
    let frame = first.encode();
    // The windows and the grace have the keys 2 to 4 here.
    let rest: &[u8] = &[2, 0x1a, 0, 4, 0, 0, 3, 0x1a, 0, 1, 0, 0, 4, 0x1a, 0, 1, 0xd4, 0xc0];
    assert!(ends_with(&frame, &[granted, &secret().0, rest]));
    assert_eq!(Welcome::decode(body(&frame)), Ok(first));

    let received = Position { frames: 640, bytes: 77_310 };
    let again = welcome().resumed(Resumed { received, proof: secret() });
    let frame = again.encode();
    let position: &[u8] = &[0x82, 0x19, 2, 0x80, 0x1a, 0, 1, 0x2d, 0xfe];
    assert!(ends_with(&frame, &[&[14, 0xa2, 0], position, &[1, 0x58, 32], &secret().0]));
    assert_eq!(Welcome::decode(body(&frame)), Ok(again));

    let other = welcome().lost(Some(received));
    let frame = other.encode();
    assert!(ends_with(&frame, &[&[15], position]));
    assert_eq!(Welcome::decode(body(&frame)), Ok(other));

    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill).taken(Some(received));
    let frame = bye.encode();
    assert!(ends_with(&frame, &[&[5], position]));
    assert_eq!(Bye::decode(body(&frame)), Ok(bye));
}

#[test]
fn the_longest_hello_stays_far_below_its_limit() {
    let most = Position { frames: u64::MAX, bytes: u64::MAX };
    let mut hello = Hello::new(offer());
    hello.resume = Some(ResumeOffer {
        to_server: u32::MAX,
        to_client: u32::MAX,
        grace: Duration::from_millis(u64::from(u32::MAX)),
    });
    hello.resuming = Some(Resuming {
        server: u64::MAX,
        session: u64::MAX,
        link: u32::MAX,
        received: most,
        ..resuming()
    });
    let frame = hello.encode();
    assert!(frame.len() < 200, "{}", frame.len());
    assert_eq!(Hello::decode(body(&frame)), Ok(hello));
}

#[test]
fn entries_that_are_not_as_specified_are_refused() {
    let mut hello = Hello::new(offer());
    hello.resume = Some(OFFER);
    hello.resuming = Some(resuming());
    let frame = hello.encode();
    let good = body(&frame).to_vec();
    let broken = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|bytes| bytes == from).unwrap();
        let mut body: Vec<u8> = good.clone();
        body.splice(at..at + from.len(), to.iter().copied());
        Hello::decode(&body).map(drop)
    };
    let refused = Err(Violation::BadHello);
    assert_eq!(broken(&[13, 0xa6], &[13, 0xa6]), Ok(()));
    // Another entry in an inner map is skipped.
    assert_eq!(broken(&[12, 0xa3], &[12, 0xa4, 9, 0x81, 0xf6]), Ok(()));
    let position: &[u8] = &[3, 0x82, 0x19, 3, 0x2c, 0x1a, 0, 0x0d, 0xc0, 0x68];
    for (from, to) in [
        (&[2, 0x1a, 0, 1, 0xd4, 0xc0][..], &[2, 0][..]), // a grace of 0
        (&[12, 0xa3], &[12, 0xa4, 0, 1]),                // a key twice
        (&[12, 0xa3, 0], &[12, 0xa3, 7]),                // no window
        (&[12, 0xa3], &[11, 0xa3]),                      // a resume without an offer
        (position, &[3, 0x81, 0x19, 3, 0x2c]),           // half a position
        (position, &[3, 0x83, 1, 2, 3]),
        (position, &[3, 0x82, 0x20, 1]), // less than nothing
        (&[4, 0x58, 32], &[4, 0x58, 31]),
        (&[5, 0xf5], &[5, 1]),
    ] {
        assert_eq!(broken(from, to), refused, "{to:x?}");
    }
}

#[test]
fn a_server_grants_the_smaller_of_each() {
    let own = ResumeOffer { to_server: 100, to_client: 100_000, grace: Duration::from_secs(300) };
    let agreed = OFFER.agree(own);
    assert_eq!((agreed.to_server, agreed.to_client), (100, 65_536));
    assert_eq!(agreed.grace, OFFER.grace);
    assert!(agreed.is_within(&OFFER) && !OFFER.is_within(&agreed));
    // Less than two frames is nothing.
    assert_eq!(OFFER.agree(ResumeOffer { to_server: MIN_WINDOW - 1, ..own }).to_server, 0);
}

#[test]
fn keys_and_proofs_are_not_printed() {
    let printed = std::format!("{:?} {:?}", resuming(), welcome());
    assert!(printed.contains("not shown") && !printed.contains("[0, 1, 2"), "{printed}");
}
