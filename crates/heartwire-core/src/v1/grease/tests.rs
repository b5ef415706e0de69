use std::collections::HashSet;
use std::vec::Vec;

use super::super::handshake::MAX_TOKEN_LEN;
use super::super::{
    Bye, ByeCode, Hello, MAX_AGENT_LEN, MAX_BYE_LEN, MAX_DETAIL_LEN, MAX_HELLO_LEN, MAX_NAME_LEN,
    Offer, RetryHint, Terms, Welcome,
};
use crate::frame::HEADER_LEN;
use crate::policy::{Preset, Side};

const SEEDS: u64 = 4_000;

/// Those of the greased frames that differ from the plain one, which are about half of them.
fn greased(plain: &[u8], greased: impl Fn(u64) -> Vec<u8>, max_len: u32) -> Vec<Vec<u8>> {
    let all: Vec<_> = (0..SEEDS).map(&greased).collect();
    assert_eq!(all, (0..SEEDS).map(greased).collect::<Vec<_>>(), "a seed decides");
    assert!(all.iter().all(|frame| frame.len() <= HEADER_LEN + usize::try_from(max_len).unwrap()));
    let greased: Vec<_> = all.into_iter().filter(|frame| frame != plain).collect();
    assert!((45..=55).contains(&(greased.len() * 100 / 4_000)), "{}", greased.len());
    greased
}

#[test]
fn about_half_of_the_frames_have_an_entry_that_is_skipped() {
    let offer = Offer::new(&Preset::Default.policy(Side::Client));
    let (name, agent) = ("n".repeat(MAX_NAME_LEN), "a".repeat(MAX_AGENT_LEN));
    let longest = Hello {
        name: Some(&name),
        token: Some(&[7; MAX_TOKEN_LEN]),
        agent: Some(&agent),
        ..Hello::new(offer)
    };
    let contract = Terms::new(offer).agree(&offer).unwrap();
    let welcome = Welcome::new(u64::MAX, u64::MAX, contract);
    let detail = "d".repeat(MAX_DETAIL_LEN);
    let bye = Bye::new(ByeCode::Other(u32::MAX), RetryHint::Never).detail(&detail);
    for hello in [Hello::new(offer), longest] {
        let frames = greased(&hello.encode(), |seed| hello.encode_greased(seed), MAX_HELLO_LEN);
        let too_long = Hello { name: Some(&"n".repeat(1_020)), ..hello };
        greased(&too_long.encode(), |seed| too_long.encode_greased(seed), MAX_HELLO_LEN);
        for frame in frames {
            assert_eq!(Hello::decode(&frame[HEADER_LEN..]), Ok(hello), "{frame:x?}");
        }
    }
    for frame in greased(&welcome.encode(), |seed| welcome.encode_greased(seed), MAX_HELLO_LEN) {
        assert_eq!(Welcome::decode(&frame[HEADER_LEN..]), Ok(welcome), "{frame:x?}");
    }
    for frame in greased(&bye.encode(), |seed| bye.encode_greased(seed), MAX_BYE_LEN) {
        assert_eq!(Bye::decode(&frame[HEADER_LEN..]), Ok(bye), "{frame:x?}");
    }
}

/// Every major type of CBOR but tags, many keys, and not the same in the WELCOME and the BYE of one
/// session.
#[test]
fn grease_is_not_always_the_same() {
    let offer = Offer::new(&Preset::Default.policy(Side::Client));
    let hello = Hello::new(offer);
    let plain = hello.encode();
    let frames = greased(&plain, |seed| hello.encode_greased(seed), MAX_HELLO_LEN);
    let entries = || frames.iter().map(|frame| frame.get(plain.len()..).unwrap());
    let keys: HashSet<_> = entries().map(|entry| &entry[1..3]).collect();
    assert!(keys.len() > 500, "{}", keys.len());
    for key in keys {
        assert!((1_000..2_000).contains(&u16::from_be_bytes([key[0], key[1]])));
    }
    let types: HashSet<_> = entries().map(|entry| entry[3] >> 5).collect();
    assert_eq!(types, HashSet::from([0, 1, 2, 3, 4, 5, 7]));
    let bye = Bye::new(ByeCode::Done, RetryHint::AtWill);
    let alike = |seed: &u64| {
        (hello.encode_greased(*seed) == plain) == (bye.encode_greased(*seed) == bye.encode())
    };
    let alike = (0..SEEDS).filter(alike).count();
    assert!((45..=55).contains(&(alike * 100 / 4_000)), "{alike}");
}
