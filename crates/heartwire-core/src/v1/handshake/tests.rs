use core::num::NonZero;
use core::time::Duration;

use super::*;
use crate::frame;
use crate::policy::{Preset, Side};
use crate::v1::{Offer, Terms};
use crate::violation::Violation;

pub(super) fn offer() -> Offer {
    Offer::new(&Preset::Default.policy(Side::Client))
}

pub(super) fn body(frame: &[u8]) -> &[u8] {
    frame.get(frame::HEADER_LEN..).unwrap()
}

/// The golden frames of `PROTOCOL.md`.
const HELLO: &[u8] = &[
    2, 0, 0, 0, 77, 0, 0, 0,    // HELLO, 77 bytes
    0xac, // a map of 12
    0, 0x82, 1, 1, // versions 1 to 1
    1, 0x63, b'b', b'o', b'b', // name
    2, 0x44, 1, 2, 3, 4, // token
    3, 0x19, 0x27, 0x10, // beat 10,000 ms
    4, 0x19, 0x03, 0xe8, // minimum interval 1,000 ms
    5, 0x19, 0x27, 0x10, // want 10,000 ms
    6, 0x19, 0x75, 0x30, // timeout 30,000 ms
    7, 0x1a, 0x00, 0x36, 0xee, 0x80, // maximum timeout 3,600,000 ms
    8, 0x65, b'd', b'o', b'c', b's', b'1', // agent
    9, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8, // instance
    10, 0x1a, 0, 1, 0, 0, // maximum frame 65,536 bytes
    11, 0xa3, // last connection:
    0, 0x65, b'r', b'e', b's', b'e', b't', // reason
    1, 0x19, 0x09, 0xc4, // 2,500 ms ago
    2, 0x18, 98, // session
];
const WELCOME: &[u8] = &[
    3, 0, 0, 0, 53, 0, 0, 0,    // WELCOME, 53 bytes
    0xad, // a map of 13
    0, 1, // version
    1, 0x18, 99, // session
    2, 7, // epoch
    3, 0x19, 0x27, 0x10, // to the server: beat,
    4, 0x19, 0x75, 0x30, // timeout,
    5, 0x1a, 0x00, 0x36, 0xee, 0x80, // maximum timeout
    6, 0x19, 0x27, 0x10, // to the client: beat,
    7, 0x19, 0x75, 0x30, // timeout,
    8, 0x1a, 0x00, 0x36, 0xee, 0x80, // maximum timeout
    9, 0x19, 0x03, 0xe8, // minimum interval
    10, 0x18, 161, // wake bytes
    11, 0x19, 0x01, 0x2c, // held 300 µs
    12, 0x1a, 0, 1, 0, 0, // maximum frame 65,536 bytes
];
const BYE: &[u8] = &[
    4, 0, 0, 0, 17, 0, 0, 0,    // BYE, 17 bytes
    0xa5, // a map of 5
    0, 1, // draining
    1, 2, // come back
    2, 0, // after 0 ms at the earliest
    3, 0x19, 0x13, 0x88, // and 5,000 ms at the latest
    4, 0x64, b'n', b'i', b'g', b'h', // detail
];

const GREASED_BYE: &[u8] = &[
    4, 0, 0, 0, 12, 0, 0, 0, // BYE, 12 bytes
    0xa3, 0, 0, 1, 1, 0x19, 0x04, 0xd2, 0x82, 7, 0x81, 0x60, // 1,234: [7, [""]]
];

pub(super) fn hello() -> Hello<'static> {
    Hello {
        name: Some("bob"),
        token: Some(&[1, 2, 3, 4]),
        agent: Some("docs1"),
        instance: NonZero::new(0x0102_0304_0506_0708),
        max_frame: Some(65_536),
        last: Some(LastConnection::new("reset", Duration::from_millis(2_500), Some(98))),
        ..Hello::new(offer())
    }
}

fn welcome() -> Welcome {
    let server = Offer::new(&Preset::Default.policy(Side::Server));
    let contract = Terms::new(server).wake_bytes(161).agree(&offer()).unwrap();
    Welcome::new(99, 7, contract).held(Duration::from_micros(300)).max_frame(65_536)
}

fn bye() -> Bye<'static> {
    let retry = RetryHint::Within { earliest: Duration::ZERO, latest: Duration::from_secs(5) };
    Bye::new(ByeCode::Draining, retry).detail("nigh")
}

#[test]
fn frames_lie_on_the_protocol_as_specified() {
    assert_eq!(hello().encode(), HELLO);
    assert_eq!(Hello::decode(body(HELLO)), Ok(hello()));
    assert_eq!(welcome().encode(), WELCOME);
    assert_eq!(Welcome::decode(body(WELCOME)), Ok(welcome()));
    assert_eq!(bye().encode(), BYE);
    assert_eq!(Bye::decode(body(BYE)), Ok(bye()));
    let done = Bye::new(ByeCode::Done, RetryHint::AtWill);
    assert_eq!(Bye::decode(body(GREASED_BYE)), Ok(done));
}

#[test]
fn a_frame_is_written_to_a_slice_that_has_room_for_it() {
    let fits = |frame: &[u8], write: &dyn Fn(&mut [u8]) -> Option<usize>| {
        let mut out = [0xee; 512];
        assert_eq!(write(&mut out), Some(frame.len()));
        let (written, rest) = out.split_at_mut(frame.len());
        assert_eq!(written, frame);
        assert!(rest.iter().all(|&byte| byte == 0xee), "and nothing behind it");
        for room in 0..frame.len() {
            assert_eq!(write(&mut written[..room]), None, "in {room} bytes");
        }
    };
    fits(HELLO, &|out| hello().encode_to(out));
    fits(WELCOME, &|out| welcome().encode_to(out));
    fits(BYE, &|out| bye().encode_to(out));
    for seed in 0..100 {
        fits(&hello().encode_greased(seed), &|out| hello().encode_greased_to(seed, out));
        fits(&welcome().encode_greased(seed), &|out| welcome().encode_greased_to(seed, out));
        fits(&bye().encode_greased(seed), &|out| bye().encode_greased_to(seed, out));
    }
}

#[cfg(not(feature = "resume"))]
#[test]
fn a_client_that_resumes_nothing_refuses_a_server_that_says_so() {
    use crate::resume::Position;

    let frame = welcome().lost(Some(Position::default())).encode();
    assert_eq!(Welcome::decode(body(&frame)), Err(Violation::BadWelcome));
}

#[test]
fn keys_that_are_not_known_are_skipped() {
    // {0: [1, 1], 7: 1000, 99: {"nested": [1, 2]}}
    let mut body = std::vec![0xa3, 0, 0x82, 1, 1, 7, 0x19, 0x03, 0xe8, 0x18, 99, 0xa1, 0x66];
    body.extend(b"nested");
    body.extend([0x82, 1, 2]);
    let hello = Hello::decode(&body).unwrap();
    assert_eq!(hello.offer.longest_timeout(), Duration::from_secs(1));
    assert_eq!((hello.name, hello.token, hello.offer.interval()), (None, None, None));
}

#[test]
fn values_that_are_not_known_may_be_anything() {
    // A tagged number, an array in a map in an array, a float, bytes, null, nothing in an array,
    // simple values, a map with a key twice, a length longer than need be, and 800 arrays.
    let deep = [&[0x81; 800][..], &[0]].concat();
    let values: [&[u8]; 11] = [
        &[0xc1, 0x1a, 0, 0, 0, 1],
        &[0x81, 0xa1, 0x82, 1, 2, 0x81, 0x80],
        &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x43, 0x9f, 0x9f, 0x9f],
        &[0xf6],
        &[0x80],
        &[0xe0],
        &[0xf8, 32],
        &[0xa2, 1, 1, 1, 1],
        &[0x7a, 0, 0, 0, 1, b'x'],
        &deep,
    ];
    for value in values {
        let body = [&[0xa3, 20], value, &[0, 0x82, 1, 1, 7, 1]].concat();
        assert!(Hello::decode(&body).is_ok(), "{value:x?}");
    }
}

#[test]
fn malformed_hellos_and_welcomes_are_refused() {
    let bad: [&[u8]; 23] = [
        &[],
        &[0x80],                                                 // not a map
        &[0xa0],                                                 // nothing in it
        &[0xbf, 0, 0x82, 1, 1, 7, 1, 0xff],                      // a map of no definite length
        &[0xa2, 0, 0x82, 1, 1, 7, 0],                            // a maximum timeout of nothing
        &[0xa2, 0, 0x82, 2, 1, 7, 1],                            // versions from 2 to 1
        &[0xa2, 0, 0x83, 1, 1, 1, 7, 1],                         // three versions
        &[0xa2, 0, 0x82, 1, 1, 7, 1, 0],                         // a byte too many
        &[0xa3, 0, 0x82, 1, 1, 7, 1],                            // an entry missing
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 7, 2],                      // a key twice
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 9, 0],                      // an instance of 0
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 1, 0x62, 0xff, 0xfe],       // a name that is not UTF-8
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 1, 0x44, 1, 2, 3, 4],       // a name of bytes
        &[0xa2, 0, 0x82, 1, 1, 7, 0x1b, 1, 0, 0, 0, 0, 0, 0, 0], // a maximum timeout too long
        &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // more entries than bytes
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0x9f, 0xff],            // an array of no definite length
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0x81, 0x7f, 0xff],      // a text of no definite length
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0x82, 0],               // an array that is not whole
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0xff],                  // an end of nothing
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0xf8, 0],               // a simple value in two bytes
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0xf8, 31],              // the same
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0x61, 0xff],            // a text that is not UTF-8
        &[0xa3, 0, 0x82, 1, 1, 7, 1, 20, 0xa1, 0x61, 0xff, 0],   // the same, within
    ];
    for body in bad {
        assert_eq!(Hello::decode(body), Err(Violation::BadHello), "{body:x?}");
        assert_eq!(Welcome::decode(body), Err(Violation::BadWelcome), "{body:x?}");
    }
}
