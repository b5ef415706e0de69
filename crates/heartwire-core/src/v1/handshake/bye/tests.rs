use super::super::tests::body;
use super::*;

#[test]
fn a_long_explanation_is_cut_between_characters() {
    let detail = "ä".repeat(200);
    let frame = Bye::new(ByeCode::Protocol, RetryHint::Never).detail(&detail).encode();
    let bye = Bye::decode(body(&frame)).unwrap();
    assert_eq!(bye.detail, "ä".repeat(128));
    assert!(frame.len() <= usize::try_from(MAX_BYE_LEN).unwrap());
}

#[test]
fn codes_and_their_names_are_not_mixed_up() {
    for (code, number, name) in ByeCode::ALL {
        assert_eq!((code.number(), code.name()), (number, name));
        assert_eq!(ByeCode::of_number(number), code);
    }
    assert_eq!(ByeCode::of_number(1234), ByeCode::Other(1234));
    assert_eq!(ByeCode::Other(1234).name(), "other");
}

#[test]
fn a_window_is_one_or_the_bye_is_refused() {
    let with = |retry: u8, window: &[u8]| {
        let entries = 2 + u8::try_from(window.len() / 2).unwrap();
        let mut body = std::vec![0xa0 + entries, 0, 1, 1, retry];
        body.extend(window);
        Bye::decode(&body).map(|bye| bye.retry)
    };
    assert_eq!(with(0, &[]), Ok(RetryHint::Never));
    assert_eq!(with(1, &[]), Ok(RetryHint::AtWill));
    // A later version's way to come back.
    assert_eq!(with(9, &[]), Ok(RetryHint::AtWill));
    assert_eq!(with(2, &[]), Err(Violation::BadBye));
    assert_eq!(with(2, &[2, 9, 3, 5]), Err(Violation::BadBye));
    let window =
        RetryHint::Within { earliest: Duration::from_millis(5), latest: Duration::from_millis(9) };
    assert_eq!(with(2, &[2, 5, 3, 9]), Ok(window));
}
