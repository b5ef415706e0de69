use super::*;

#[test]
fn a_command_is_a_promise_or_feeds_the_watchdog_and_anything_else_is_explained() {
    let minute = Duration::from_secs(60);
    assert_eq!(command("feed"), Ok(Command::Feed));
    assert_eq!(command("promise agreed"), Ok(Command::Promise(None)));
    assert_eq!(command(" promise  1m "), Ok(Command::Promise(Some(minute))));
    for (line, says) in [
        ("", "/ is no command; use /promise TIME"),
        ("promise", "/promise is no command"),
        ("promise soon", "/promise soon: write seconds"),
        ("pr\u{1b}[31m", "/pr\\u{1b}[31m is no command"),
    ] {
        let error = command(line).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}
