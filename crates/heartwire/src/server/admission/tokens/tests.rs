mod until;

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs::{self, File};

use proptest::prelude::*;

use super::list::MAX_FILE_LEN;
use super::*;

const ALL: &str = "GRZmXBAWuWwFk3TtVYoX";
const OTHER: &str = "tZ7pLw0cVb2mQx8rKd4s";
const OF_ALICE: &str = "5Jx2gLq0vD9sPz8nHc7y";
const OF_BOB: &str = "mB4eTn1wRk6uYf3aQi0o";

fn tokens(text: &str) -> Tokens {
    Tokens::parse(text).unwrap()
}

fn check(tokens: &Tokens, name: Option<&str>, token: &str) -> Result<Principal, Denied> {
    tokens.check(name, Some(token.as_bytes()), 0).map(|admitted| admitted.principal)
}

#[test]
fn a_token_for_all_is_good_for_any_name_and_for_none() {
    let tokens = tokens(ALL);
    let principal = check(&tokens, None, ALL).unwrap();
    assert_eq!(check(&tokens, Some("alice"), ALL), Ok(principal));
    assert_eq!(check(&tokens, Some("bob"), ALL), Ok(principal));
}

#[test]
fn a_token_for_one_is_good_for_that_name_alone() {
    let tokens = tokens(&format!("alice {OF_ALICE}\nbob {OF_BOB}"));
    assert!(check(&tokens, Some("alice"), OF_ALICE).is_ok());
    assert_eq!(check(&tokens, Some("bob"), OF_ALICE), Err(Denied));
    assert_eq!(check(&tokens, Some("carol"), OF_ALICE), Err(Denied));
    assert_eq!(check(&tokens, Some("Alice"), OF_ALICE), Err(Denied));
    assert_eq!(check(&tokens, None, OF_ALICE), Err(Denied));
    assert_eq!(check(&tokens, Some(""), OF_ALICE), Err(Denied));
}

#[test]
fn each_token_of_a_name_is_good_and_makes_the_same_principal() {
    let tokens = tokens(&format!("alice {OF_ALICE}\nalice {OTHER}"));
    let principal = check(&tokens, Some("alice"), OF_ALICE).unwrap();
    assert_eq!(check(&tokens, Some("alice"), OTHER), Ok(principal));
}

#[test]
fn a_name_with_tokens_of_its_own_does_not_open_to_those_for_all() {
    let tokens = tokens(&format!("{ALL}\nalice {OF_ALICE}"));
    assert_eq!(check(&tokens, Some("alice"), ALL), Err(Denied));
    assert!(check(&tokens, Some("bob"), ALL).is_ok());
    assert!(check(&tokens, Some("alice"), OF_ALICE).is_ok());
}

#[test]
fn a_token_listed_for_all_and_for_a_name_lets_that_name_in_as_itself() {
    let tokens = tokens(&format!("{ALL}\nalice {ALL}\nalice {OTHER}"));
    let principal = check(&tokens, Some("alice"), OTHER);
    assert_eq!(check(&tokens, Some("alice"), ALL), principal);
    assert_ne!(check(&tokens, Some("bob"), ALL), principal);
}

#[test]
fn no_token_or_another_token_is_denied() {
    let tokens = tokens(&format!("{ALL}\nalice {OF_ALICE}"));
    for name in [None, Some("alice"), Some("bob")] {
        assert_eq!(tokens.check(name, None, 0), Err(Denied));
        for token in ["", OTHER, &ALL[1..], &ALL[..19], &format!("{ALL}x"), &"x".repeat(1 << 16)] {
            assert_eq!(check(&tokens, name, token), Err(Denied), "{name:?} {token}");
        }
        assert_eq!(tokens.check(name, Some(&[0xff, 0, b'\n']), 0), Err(Denied));
    }
    // What stands in the file for a name is no token.
    assert_eq!(check(&tokens, None, "alice"), Err(Denied));
}

#[test]
fn principals_differ_by_name_and_by_token_for_all() {
    let tokens = tokens(&format!("{ALL}\n{OTHER}\nalice {OF_ALICE}\nbob {OF_BOB}"));
    let mut principals = vec![
        Principal::ANYBODY,
        check(&tokens, None, ALL).unwrap(),
        check(&tokens, None, OTHER).unwrap(),
        check(&tokens, Some("alice"), OF_ALICE).unwrap(),
        check(&tokens, Some("bob"), OF_BOB).unwrap(),
    ];
    principals.sort_by_key(|principal| principal.0);
    principals.dedup();
    assert_eq!(principals.len(), 5);
}

#[test]
fn a_principal_stays_the_same_when_the_file_is_read_again() {
    let before = tokens(&format!("{ALL}\nalice {OF_ALICE}"));
    let after = tokens(&format!("alice {OTHER}\nbob {OF_BOB}\n{OF_ALICE}\n{ALL}"));
    assert_eq!(check(&before, None, ALL), check(&after, None, ALL));
    assert_eq!(check(&before, Some("alice"), OF_ALICE), check(&after, Some("alice"), OTHER));
}

#[test]
fn comments_empty_lines_tabs_and_line_ends_of_other_systems_are_understood() {
    let text = format!("# alice {OTHER}\r\n\r\n \t# x\n  alice\t {OF_ALICE} \r\n\n\t{ALL}\n");
    let tokens = tokens(&text);
    assert_eq!(tokens.count(), 2);
    assert!(check(&tokens, Some("alice"), OF_ALICE).is_ok());
    assert!(check(&tokens, Some("bob"), ALL).is_ok());
    assert_eq!(check(&tokens, Some("alice"), OTHER), Err(Denied));
    // Only at the beginning of a line is it a comment.
    let tokens = Tokens::parse("0123456789abcd#e").unwrap();
    assert!(check(&tokens, None, "0123456789abcd#e").is_ok());
}

#[test]
fn a_name_may_stand_in_quotation_marks() {
    for (written, name) in [
        ("\"door 3\"", "door 3"),
        ("\"alice\"", "alice"),
        ("\"#1\"", "#1"),
        ("\"\"quoted\"\"", "\"quoted\""),
        ("\"a\" b\"", "a\" b"),
        ("\"back\\slash\"", "back\\slash"),
        ("网关-1", "网关-1"),
        ("a\"b", "a\"b"),
    ] {
        for gap in [" ", "\t  "] {
            let tokens = tokens(&format!("{written}{gap}{OF_ALICE}"));
            assert!(check(&tokens, Some(name), OF_ALICE).is_ok(), "{written}");
            assert_eq!(check(&tokens, None, OF_ALICE), Err(Denied), "{written}");
        }
    }
    // A token for all may begin with one.
    assert!(check(&tokens(&format!("\"{ALL}")), None, &format!("\"{ALL}")).is_ok());
}

#[test]
fn tokens_have_16_to_256_printable_ascii_characters() {
    for (token, fault) in [
        ("x".repeat(15), Some("too short")),
        ("x".repeat(16), None),
        ("x".repeat(256), None),
        ("x".repeat(257), Some("too long")),
        ("!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~#".into(), None),
        (format!("{ALL}\u{e9}"), Some("not printable ASCII")),
        (format!("{ALL}\u{a0}{ALL}"), Some("not printable ASCII")),
        (format!("{ALL}\u{7f}"), Some("not printable ASCII")),
        (format!("\u{0}{ALL}"), Some("not printable ASCII")),
        (format!("\u{feff}{ALL}"), Some("not printable ASCII")),
    ] {
        for line in [token.clone(), format!("alice {token}")] {
            match (Tokens::parse(&line), fault) {
                (Ok(_), None) => {}
                (Err(TokensError::Line { line: 1, reason }), Some(fault)) => {
                    assert!(reason.contains(fault), "{reason}");
                }
                (result, _) => panic!("{line}: {result:?}"),
            }
        }
    }
}

#[test]
fn an_error_says_which_line_and_what_is_wrong_but_not_what_is_there() {
    for (line, what) in [
        (format!("alice {OF_ALICE} bob"), "expected TOKEN, or NAME TOKEN"),
        (format!("{OF_ALICE} # mine"), "a comment on a line of its own"),
        ("short-secret".into(), "too short: use at least 16"),
        ("alice short-secret".into(), "too short"),
        (OF_ALICE.repeat(13), "too long: use at most 256"),
        (format!("alice {OF_ALICE}\u{1}"), "not printable ASCII"),
        // The two words the wrong way round.
        (format!("{} alice", OF_ALICE.repeat(4)), "the token is too short"),
        (format!("{} alice", OF_ALICE.repeat(13)), "is invalid: a name has at most 255 bytes"),
        (format!("{OF_ALICE}\u{ad} {ALL}"), "is invalid: a name may not contain"),
        (format!("{OF_ALICE} # the token of sensor-number-3"), "stands in quotation marks"),
        (format!("door 3 {OF_ALICE}"), "stands in quotation marks"),
        (format!("\"door 3 {OF_ALICE}"), "stands in quotation marks"),
        (format!("\"door\" 3 {OF_ALICE}"), "stands in quotation marks"),
        (format!("\" {OF_ALICE}"), "stands in quotation marks"),
        (format!("\"\" {OF_ALICE}"), "at least 1 character"),
        (format!("\" door\" {OF_ALICE}"), "is invalid: a name may not begin or end with a space"),
    ] {
        let text = format!("# first\n\n{ALL}\n{line}\nalso wrong\n");
        let error = Tokens::parse(&text).unwrap_err();
        for said in [error.to_string(), format!("{error:?}")] {
            assert!(!said.contains("5Jx2") && !said.contains("secret"), "{said}");
        }
        let said = error.to_string();
        assert!(said.starts_with("line 4 of the tokens: ") && said.contains(what), "{said}");
    }
}

#[test]
fn a_file_without_tokens_is_an_error() {
    for text in ["", "\n\n", "# none yet\n"] {
        let error = Tokens::parse(text).unwrap_err();
        assert!(matches!(error, TokensError::Empty), "{error}");
    }
}

#[test]
fn there_are_not_more_tokens_than_can_be_looked_at() {
    let mut text = String::new();
    (0..MAX_TOKENS).for_each(|n| text += &format!("{n:016}\n"));
    assert_eq!(tokens(&text).count(), MAX_TOKENS);
    text += &format!("alice {OF_ALICE}\n");
    assert!(matches!(Tokens::parse(&text).unwrap_err(), TokensError::TooMany));
}

#[test]
fn tokens_are_never_printed() {
    let tokens = tokens(&format!("{ALL}\nalice {OF_ALICE}"));
    assert_eq!(format!("{tokens:?}"), "Tokens { for_all: 1, for_one: 1 }");
    let principal = check(&tokens, None, ALL).unwrap();
    assert_eq!(format!("{principal:?}"), "Principal(..)");
    assert_eq!(format!("{:?}", Principal::ANYBODY), "Principal(anybody)");
}

/// A file that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(content: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("heartwire-tokens-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn tokens_are_read_from_a_file() {
    let file = Scratch::new(format!("{ALL}\nalice {OF_ALICE}\n").as_bytes());
    let tokens = Tokens::from_file(&file.0).unwrap();
    assert_eq!(tokens.count(), 2);
    assert!(check(&tokens, Some("alice"), OF_ALICE).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Tokens::from_file("/nowhere/tokens").unwrap_err();
    assert!(matches!(error, TokensError::Unreadable { .. }));
    assert!(
        error.to_string().starts_with("cannot read the tokens in /nowhere/tokens: "),
        "{error}"
    );
    let error = Tokens::from_file(std::env::temp_dir()).unwrap_err();
    assert!(matches!(error, TokensError::Unreadable { .. }), "{error}");
}

#[test]
fn the_line_that_is_not_text_is_named() {
    let file = Scratch::new(&[ALL.as_bytes(), b"\n# caf\xc3\xa9\n\xff\xfe\n"].concat());
    let error = Tokens::from_file(&file.0).unwrap_err();
    assert_eq!(error.to_string(), "line 3 of the tokens: it is not text");
}

#[test]
fn a_file_that_goes_on_forever_is_given_up() {
    let file = Scratch::new(ALL.as_bytes());
    let len = u64::try_from(MAX_FILE_LEN).unwrap() + 1;
    File::options().write(true).open(&file.0).unwrap().set_len(len).unwrap();
    assert!(matches!(Tokens::from_file(&file.0).unwrap_err(), TokensError::TooMany));
    // It says that its length is 0.
    #[cfg(target_os = "linux")]
    assert!(matches!(Tokens::from_file("/dev/zero").unwrap_err(), TokensError::TooMany));
}

#[cfg(unix)]
#[test]
fn token_files_that_every_user_can_read_are_reported() {
    use std::os::unix::fs::PermissionsExt;
    let file = Scratch::new(ALL.as_bytes());
    for (mode, readable) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
        fs::set_permissions(&file.0, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_world_readable(&file.0).unwrap(), readable, "{mode:o}");
    }
    assert!(is_world_readable(Path::new("/nowhere/tokens")).is_err());
}

#[test]
fn reloading_replaces_the_tokens_of_all_clones() {
    let file = Scratch::new(OTHER.as_bytes());
    let shared = tokens(ALL);
    let clone = shared.clone();
    shared.reload(&file.0).unwrap();
    assert!(check(&clone, None, OTHER).is_ok());
    assert_eq!(check(&clone, None, ALL), Err(Denied));
    shared.replace(&tokens(ALL));
    assert!(check(&clone, None, ALL).is_ok());
    assert_eq!(check(&clone, None, OTHER), Err(Denied));
}

#[test]
fn a_reload_that_fails_keeps_the_tokens() {
    let shared = tokens(ALL);
    for content in ["", "short", "alice bob carol"] {
        let file = Scratch::new(content.as_bytes());
        assert!(shared.reload(&file.0).is_err(), "{content}");
        assert!(check(&shared, None, ALL).is_ok());
    }
    assert!(shared.reload("/nowhere/tokens").is_err());
    assert!(check(&shared, None, ALL).is_ok());
}

/// Few names and tokens, so that most lines have to do with each other.
fn name() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, Some("alice"), Some("bob"), Some("alic")])
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![ALL, OTHER, OF_ALICE, OF_BOB])
}

proptest! {
    #[test]
    fn tokens_admit_the_names_of_their_lines(
        lines in prop::collection::vec((name(), token()), 1..8),
        clients in prop::collection::vec((name(), token()), 2),
    ) {
        let text = lines.iter().map(|(name, token)| format!("{} {token}\n", name.unwrap_or("")));
        let tokens = tokens(&text.collect::<String>());
        let answers: Vec<_> =
            clients.iter().map(|&(name, token)| check(&tokens, name, token)).collect();
        let mut whose = Vec::new();
        for (&(name, token), answer) in clients.iter().zip(&answers) {
            let listed = name.is_some() && lines.iter().any(|line| line.0 == name);
            let good = lines.contains(&(if listed { name } else { None }, token));
            prop_assert_eq!(answer.is_ok(), good);
            whose.push((good, if listed { (name, "") } else { (None, token) }));
        }
        let same = whose[0].1 == whose[1].1;
        if whose[0].0 && whose[1].0 {
            prop_assert_eq!(answers[0] == answers[1], same);
        }
    }
}

/// It does not grow with the file: among a hundred thousand it takes no longer than among a
/// hundred, but for the caches. (Looking at all of them took a thousand times as long.)
#[test]
fn a_check_among_many_tokens_takes_no_longer() {
    let token = |n: usize| format!("{n:020}");
    let many = |count: usize| tokens(&(0..count).map(|n| token(n) + "\n").collect::<String>());
    let cost = |tokens: &Tokens| {
        let once = |n: usize| {
            let started = std::time::Instant::now();
            assert_eq!(check(tokens, Some("mallory"), &format!("guess-{n:020}")), Err(Denied));
            started.elapsed()
        };
        (0..300).map(once).min().unwrap()
    };
    let (few, all) = (cost(&many(100)), cost(&many(MAX_TOKENS)));
    assert!(all < few * 50, "{all:?} among {MAX_TOKENS}, {few:?} among 100");
}
