use std::vec::Vec;

use super::super::tests::{body, hello};
use super::super::{Hello, MAX_HELLO_LEN};
use super::*;
use crate::violation::Violation;

/// A HELLO with this under key 11.
fn hello_with(last: &[u8]) -> Vec<u8> {
    [&[0xa3, 0, 0x82, 1, 1, 7, 1, 11], last].concat()
}

fn last(ago: Duration) -> LastConnection<'static> {
    LastConnection::new("dead", ago, None)
}

#[test]
fn the_end_of_a_connection_is_read_in_any_order_and_later_keys_are_skipped() {
    let plain = last(Duration::from_millis(7));
    let of_session = LastConnection { session: Some(9), ..plain };
    let known: [(&[u8], _); 5] = [
        (&[0xa2, 0, 0x64, b'd', b'e', b'a', b'd', 1, 7], plain),
        (&[0xa3, 2, 9, 1, 7, 0, 0x64, b'd', b'e', b'a', b'd'], of_session),
        // {3: null, 99: {0: "", 0: ""}}, and a length that is longer than need be.
        (
            &[0xa4, 3, 0xf6, 0x18, 99, 0xa2, 0, 0x60, 0, 0x60, 0, 0x64, 100, 101, 97, 100, 1, 7],
            plain,
        ),
        (&[0xb8, 2, 0, 0x78, 4, b'd', b'e', b'a', b'd', 0x18, 1, 0x1a, 0, 0, 0, 7], plain),
        (&[0xa2, 0, 0x60, 1, 0], LastConnection::new("", Duration::ZERO, None)),
    ];
    for (bytes, expected) in known {
        let body = hello_with(bytes);
        let read = Hello::decode(&body).map(|hello| hello.last);
        assert_eq!(read, Ok(Some(expected)), "{bytes:x?}");
    }
}

#[test]
fn ends_of_a_connection_that_are_not_as_specified_are_refused() {
    let long = [&[0xa2, 1, 7, 0, 0x78, 33][..], &[b'a'; 33]].concat();
    let bad: [&[u8]; 17] = [
        &[7],                                              // not a map
        &[0x64, b'd', b'e', b'a', b'd'],                   // a text
        &[0xf6],                                           // null
        &[0xa0],                                           // nothing in it
        &[0xa1, 0, 0x60],                                  // no time
        &[0xa1, 1, 7],                                     // no reason
        &[0xa2, 0, 0x40, 1, 7],                            // a reason of bytes
        &[0xa2, 0, 0x61, 0xff, 1, 7],                      // a reason that is not UTF-8
        &[0xa2, 0, 0x60, 1, 0x20],                         // a time below 0
        &[0xa2, 0, 0x60, 1, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0], // a time too long
        &[0xa3, 0, 0x60, 1, 7, 2, 0x61, b'9'],             // a session of text
        &[0xa3, 0, 0x60, 1, 7, 1, 7],                      // a key twice
        &[0xa4, 0, 0x60, 1, 7, 3, 0, 3, 0],                // a later key twice
        &[0xa3, 0, 0x60, 1, 7, 0x61, b'x', 0],             // a key of text
        &[0xa3, 0, 0x60, 1, 7],                            // an entry missing
        &[0xbf, 0, 0x60, 1, 7, 0xff],                      // a map of no definite length
        &long,                                             // a reason too long
    ];
    for bytes in bad {
        let body = hello_with(bytes);
        assert_eq!(Hello::decode(&body), Err(Violation::BadHello), "{bytes:x?}");
    }
    let mut twice = hello_with(&[0xa2, 0, 0x60, 1, 7, 11, 0xa2, 0, 0x60, 1, 7]);
    twice[0] = 0xa4;
    assert_eq!(Hello::decode(&twice), Err(Violation::BadHello));
}

#[test]
fn a_reason_is_cut_between_characters_and_a_time_to_49_days() {
    let longest = Duration::from_millis(u32::MAX.into());
    for (reason, kept) in [("ä".repeat(17), "ä".repeat(16)), ("b".repeat(33), "b".repeat(32))] {
        let last = LastConnection::new(&reason, Duration::MAX, Some(u64::MAX));
        let frame = Hello { last: Some(last), ..hello() }.encode();
        let read = Hello::decode(body(&frame)).unwrap().last;
        assert_eq!(read, Some(LastConnection::new(&kept, longest, Some(u64::MAX))));
        assert!(frame.len() < usize::try_from(MAX_HELLO_LEN).unwrap());
    }
}

proptest::proptest! {
    #[test]
    fn an_end_of_a_connection_is_read_as_it_was_written(
        // No longer than what is kept of it: 32 bytes, of which a character takes up to three.
        reason in "[a-z_ä\u{202e}\n\"]{0,10}",
        ms: u32,
        session: Option<u64>,
        seed: u64,
    ) {
        let last = LastConnection::new(&reason, Duration::from_millis(ms.into()), session);
        let hello = Hello { last: Some(last), ..hello() };
        for frame in [hello.encode(), hello.encode_greased(seed)] {
            proptest::prop_assert_eq!(Hello::decode(body(&frame)), Ok(hello));
        }
    }
}
