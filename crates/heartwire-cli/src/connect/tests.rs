use clap::Parser;

use super::*;
use crate::args::{Cli, Command};
use crate::options::ResumeArgs;

/// The policy of `connect` with these arguments.
fn policy_of(args: &[&str]) -> Policy {
    let words = ["heartwire", "connect", "localhost:29002"].iter().chain(args);
    let Command::Connect(args) = Cli::parse_from(words).command else { panic!("{args:?}") };
    policy(&args).unwrap()
}

#[test]
fn sessions_outlive_connections_that_are_encrypted_or_within_this_machine() {
    let outages = |words: &[&str]| {
        let words = ["heartwire", "connect"].iter().chain(words);
        let Command::Connect(args) = Cli::parse_from(words).command else { panic!("no command") };
        resume(&args).map_err(|Usage(error)| error)
    };
    let kept = Ok(Ok((ResumeArgs::GRACE, 2 * 1024 * 1024)));
    for here in ["localhost", "LOCALHOST:7", "127.0.0.1", "127.9.9.9:7", "[::1]", "[::1]:7"] {
        assert_eq!(outages(&[here]), kept, "{here}");
    }
    for elsewhere in ["192.0.2.1", "192.0.2.1:7", "[2001:db8::1]:7", "localhost.example:7"] {
        let why = outages(&[elsewhere]).unwrap().unwrap_err();
        assert!(why.contains("--resume-in-the-clear"), "{elsewhere}: {why}");
        assert_eq!(outages(&[elsewhere, "--tls"]), kept);
        assert_eq!(outages(&[elsewhere, "--resume-in-the-clear"]), kept);
    }
    let chosen = outages(&["localhost", "--grace", "10m", "--window", "1MiB"]);
    assert_eq!(chosen, Ok(Ok((Duration::from_secs(600), 1 << 20))));
    let given = outages(&["localhost", "--retry", "never", "--grace", "2m"]);
    assert_eq!(given, kept);
    for without in
        [&["--grace", "off"][..], &["--protocol", "v0"], &["--raw"], &["--retry", "never"]]
    {
        let words: Vec<_> = ["localhost"].iter().chain(without).copied().collect();
        assert!(outages(&words).unwrap().is_err(), "{without:?}");
    }
    for wrong in [["--protocol=v0", "--grace=1m"], ["--raw", "--resume-in-the-clear"]] {
        let words: Vec<_> = ["localhost"].iter().chain(&wrong).copied().collect();
        assert!(outages(&words).unwrap_err().contains("need v1"), "{wrong:?}");
    }
}

#[test]
fn raw_has_no_beats_and_only_the_timeout_that_was_typed() {
    for preset in ["default", "tutorial", "fast"] {
        let raw = policy_of(&["--raw", "--preset", preset]);
        assert_eq!(raw, Policy::builder().build().unwrap(), "{preset}");
    }
    let second = Duration::from_secs(1);
    let raw = policy_of(&["--raw", "--timeout", "1s", "--peer-interval", "300ms"]);
    assert_eq!((raw.interval(), raw.timeout()), (None, Some(second)));
    assert_eq!(raw.peer_interval(), Some(second * 3 / 10));
    // Less than twice the preset's interval, which does not count here.
    assert_eq!(policy_of(&["--raw", "--timeout", "1s"]).timeout(), Some(second));
    assert_eq!(policy_of(&[]), Policy::default());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_holds_one_token_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        read_token(&path).map_err(|Usage(error)| error)
    };
    assert_eq!(read(" a-token-of-20-letters\n").as_deref(), Ok("a-token-of-20-letters"));
    let long = "x".repeat(MAX_TOKEN_LEN + 1);
    for (text, says) in [
        ("", "token is empty: it must hold the token of this client"),
        ("a-token\nanother\n", "token holds more than one word"),
        (&long, "is longer than"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(says) && !error.contains("a-token"), "{error}");
    }
}
