use core::time::Duration;

use super::super::last::MAX_REASON_LEN;
use super::super::tests::{body, hello, offer};
use super::*;

#[test]
fn a_token_is_not_printed() {
    let printed = std::format!("{:?}", hello());
    assert!(printed.contains("bob") && !printed.contains("[1, 2, 3, 4]"), "{printed}");
}

#[test]
fn the_versions_come_before_all_else() {
    let of_later_versions: [&[u8]; 9] = [
        &[0xa2, 0, 0x82, 2, 2, 7, 1],
        &[0xa1, 0, 0x82, 2, 2],                          // no maximum timeout
        &[0xa2, 0, 0x82, 2, 2, 7, 0x61, b'x'],           // a maximum timeout of text
        &[0xa2, 7, 0x61, b'x', 0, 0x82, 2, 2],           // the same, before the versions
        &[0xa2, 0, 0x82, 2, 2, 1, 0x44, 1, 2, 3, 4],     // a name of bytes
        &[0xa2, 0x61, b'x', 0xf6, 0, 0x82, 2, 2],        // a key of text
        &[0xa3, 0, 0x82, 2, 2, 7, 1, 7, 2],              // a key twice
        &[0xa3, 0, 0x82, 2, 2],                          // entries missing
        &[0xa2, 0, 0x82, 2, 2, 20, 0x9f, 0xff, 1, 2, 3], // an array of no definite length, and more
    ];
    for body in of_later_versions {
        let none = Err(Violation::NoCommonVersion { lowest: 2, highest: 2 });
        assert_eq!(Hello::decode(body), none, "{body:x?}");
    }
    // One that speaks this version too is held to it.
    let both = [0xa1, 0, 0x82, 1, 2];
    assert_eq!(Hello::decode(&both), Err(Violation::BadHello));
    assert_eq!(Hello::decode(&[0xa2, 0, 0x82, 1, 2, 7, 1]).unwrap().versions, (1, 2));
}

#[test]
fn texts_have_a_longest_length() {
    let name = "n".repeat(MAX_NAME_LEN + 1);
    let mut body = std::vec![0xa3, 0, 0x82, 1, 1, 7, 1, 1, 0x79, 1, 0];
    body.extend(name.bytes());
    assert_eq!(Hello::decode(&body), Err(Violation::BadHello));
    let longest = "ä".repeat(127) + "!";
    assert_eq!(longest.len(), MAX_NAME_LEN);
    let token = [7; MAX_TOKEN_LEN];
    let agent = "a".repeat(MAX_AGENT_LEN);
    let reason = "r".repeat(MAX_REASON_LEN);
    let longest_ago = Duration::from_millis(u32::MAX.into());
    let hello = Hello {
        name: Some(&longest),
        token: Some(&token),
        agent: Some(&agent),
        instance: NonZero::new(u64::MAX),
        max_frame: Some(u32::MAX),
        last: Some(LastConnection::new(&reason, longest_ago, Some(u64::MAX))),
        ..Hello::new(offer())
    };
    let frame = hello.encode();
    assert_eq!(Hello::decode(self::body(&frame)), Ok(hello));
    assert!(2 * frame.len() < usize::try_from(MAX_HELLO_LEN).unwrap());
    // Ours is refused as well, however long it is.
    for len in [MAX_NAME_LEN + 1, 100_000] {
        let name = "n".repeat(len);
        let frame = Hello { name: Some(&name), ..self::hello() }.encode();
        assert_eq!(Hello::decode(self::body(&frame)), Err(Violation::BadHello));
        assert!(frame.len() <= usize::try_from(MAX_HELLO_LEN).unwrap());
    }
}
