use super::*;

#[test]
fn a_licence_is_allowed_when_one_side_of_an_or_is_and_both_of_an_and() {
    let allowed = allowed("[licenses]\nallow = ['MIT', 'Apache-2.0 WITH LLVM-exception']").unwrap();
    let holds = |licence| {
        let expression = Expression::parse_mode(licence, ParseMode::LAX).unwrap();
        expression.evaluate(|req| allowed.contains(req))
    };
    assert!(holds("MIT") && holds("MIT/Apache-2.0") && holds("GPL-3.0 OR MIT"));
    assert!(holds("Apache-2.0 WITH LLVM-exception"));
    assert!(!holds("MIT AND ISC") && !holds("Apache-2.0"));
}
