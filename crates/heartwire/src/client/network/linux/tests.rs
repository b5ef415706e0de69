use super::{IFLA_WIRELESS, listen, tells_change};

/// A message of rtnetlink, with this after its head.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap();
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.resize(16, 0);
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// Of an interface, with these attributes of 5 bytes each.
fn link(attributes: &[u16]) -> Vec<u8> {
    let mut body = vec![0; 16];
    for kind in attributes {
        body.extend(9_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend([7; 8]);
    }
    message(16, &body)
}

#[test]
fn addresses_and_interfaces_are_changes_and_the_news_of_a_radio_are_not() {
    assert!(tells_change(&message(20, &[0; 8])));
    assert!(tells_change(&message(21, &[0; 8])));
    assert!(tells_change(&link(&[])));
    assert!(tells_change(&link(&[3, 4])));
    assert!(!tells_change(&link(&[3, IFLA_WIRELESS])));
    // Routes, neighbours, and the end of a list.
    for kind in [24, 28, 3] {
        assert!(!tells_change(&message(kind, &[0; 12])), "{kind}");
    }
    assert!(tells_change(&[message(24, &[0; 3]), message(20, &[])].concat()));
}

#[test]
fn messages_that_make_no_sense_are_none() {
    assert!(!tells_change(&[]));
    assert!(!tells_change(&[0; 64]));
    assert!(!tells_change(&[0xff; 3]));
    assert!(!tells_change(&[0xff; 64]));
    assert!(!tells_change(&message(16, &[0; 16])[..5]));
}

#[tokio::test]
async fn the_system_takes_such_a_socket() {
    // A sandbox may forbid it.
    if let Err(error) = listen() {
        println!("skipped: {error}");
    }
}
