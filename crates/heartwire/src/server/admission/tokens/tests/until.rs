//! Tokens that end: at a time, or because they are removed.

use super::*;

/// 2026-12-31T00:00:00Z.
const NEW_YEARS_EVE: u64 = 1_798_675_200;

fn admit(tokens: &Tokens, name: Option<&str>, token: &str, wall: u64) -> Option<Admitted> {
    tokens.check(name, Some(token.as_bytes()), wall).ok()
}

#[track_caller]
fn id(tokens: &Tokens, name: Option<&str>, token: &str) -> TokenId {
    admit(tokens, name, token, 0).expect("it is valid").token
}

#[test]
fn a_token_ends_at_its_time() {
    for line in [
        format!("alice {ALL} until=2026-12-31T00:00:00Z"),
        format!("alice {ALL}\t until=2026-12-31T00:00:00.999Z  "),
    ] {
        let tokens = tokens(&line);
        let admitted = admit(&tokens, Some("alice"), ALL, NEW_YEARS_EVE - 1).unwrap();
        assert_eq!(admitted.until, Until::at(NEW_YEARS_EVE));
        let again = |wall| tokens.check_again(admitted.token, Some("alice"), wall);
        assert_eq!(again(NEW_YEARS_EVE - 1), Ok(admitted.until));
        assert_eq!(again(NEW_YEARS_EVE), Err(Ended::Expired));
        assert_eq!(admit(&tokens, Some("alice"), ALL, NEW_YEARS_EVE), None);
        // The clock is set back.
        assert_eq!(admit(&tokens, Some("alice"), ALL, 0), None);
        assert_eq!(again(0), Err(Ended::Expired));
        // It is set to nonsense, and the file is read again once it is right.
        assert_eq!(again(u64::MAX), Err(Ended::Expired));
        tokens.replace(&super::tokens(&line));
        assert!(admit(&tokens, Some("alice"), ALL, NEW_YEARS_EVE - 1).is_some());
    }
}

#[test]
fn a_token_without_a_time_does_not_end() {
    for line in [ALL.to_owned(), format!("{ALL} until=2200-01-01T00:00:00Z")] {
        let tokens = tokens(&line);
        assert_eq!(admit(&tokens, None, ALL, u64::MAX).unwrap().until, Until::NEVER, "{line}");
    }
}

#[test]
fn a_token_that_stands_twice_ends_with_the_later_line() {
    let (early, late) = ("until=2026-12-30T00:00:00Z", "until=2026-12-31T00:00:00Z");
    for lines in [[early, late], [late, early]] {
        let tokens = tokens(&lines.map(|until| format!("{ALL} {until}\n")).concat());
        assert_eq!(admit(&tokens, None, ALL, 0).unwrap().until, Until::at(NEW_YEARS_EVE));
    }
    let tokens = tokens(&format!("{ALL}\n{ALL} {early}"));
    assert_eq!(admit(&tokens, None, ALL, 0).unwrap().until, Until::NEVER);
}

#[test]
fn a_line_with_no_time_after_until_is_named() {
    for time in ["", "tomorrow", "2026-12-31", "2026-12-31T00:00:00+01:00", "1969-12-31T00:00:00Z"]
    {
        let error = Tokens::parse(&format!("# x\nalice {ALL} until={time}")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("line 2 of the tokens: the time after until="), "{error}");
    }
    for line in ["until=2026-12-31T00:00:00Z", "alice until=2026-12-31T00:00:00Z"] {
        let error = Tokens::parse(line).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of the tokens: "), "{error}");
    }
}

#[test]
fn ids_stay_when_the_file_is_read_again_and_are_given_once() {
    let shared = tokens(&format!("{ALL}\nalice {OF_ALICE}\nbob {OF_BOB}"));
    let of_alice = id(&shared, Some("alice"), OF_ALICE);
    let (for_all, of_bob) = (id(&shared, None, ALL), id(&shared, Some("bob"), OF_BOB));
    let again = |token, name| shared.check_again(token, Some(name), 0);

    shared.replace(&tokens(&format!("{OTHER}\nalice {OF_ALICE}\nalice {OTHER}\n{ALL}")));
    assert_eq!(id(&shared, Some("alice"), OF_ALICE), of_alice);
    assert_eq!(id(&shared, None, ALL), for_all);
    assert_eq!(again(of_alice, "alice"), Ok(Until::NEVER));
    assert_eq!(again(of_bob, "bob"), Err(Ended::Revoked));
    // It is there again, and those that had it before have ended.
    shared.replace(&tokens(&format!("bob {OF_BOB}")));
    let ids = [of_alice, for_all, of_bob];
    assert!(!ids.contains(&id(&shared, Some("bob"), OF_BOB)));
    assert_eq!(again(of_bob, "bob"), Err(Ended::Revoked));
}

#[test]
fn a_token_for_all_is_not_valid_any_more_for_a_name_that_gets_its_own() {
    let shared = tokens(ALL);
    let token = id(&shared, Some("alice"), ALL);
    shared.replace(&tokens(&format!("{ALL}\nalice {OF_ALICE}")));
    assert_eq!(shared.check_again(token, Some("alice"), 0), Err(Ended::Revoked));
    for name in [Some("bob"), None] {
        assert_eq!(shared.check_again(token, name, 0), Ok(Until::NEVER));
    }
}

#[test]
fn a_later_time_prolongs_a_token() {
    let line = |day| format!("{ALL} until=2026-12-{day}T00:00:00Z");
    let shared = tokens(&line(30));
    let token = id(&shared, None, ALL);
    shared.replace(&tokens(&line(31)));
    let again = |wall| shared.check_again(token, None, wall);
    assert_eq!(again(NEW_YEARS_EVE - 1), Ok(Until::at(NEW_YEARS_EVE)));
    assert_eq!(again(NEW_YEARS_EVE), Err(Ended::Expired));
}
