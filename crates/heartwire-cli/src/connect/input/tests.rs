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
        ("promise soon", "/promise soon: expected number at 0"),
        ("pr\u{1b}[31m", "/pr\\u{1b}[31m is no command"),
    ] {
        let error = command(line).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}

/// Each line that a client sends of this, and whether the line ends there.
fn lines(input: &[u8]) -> Vec<(usize, bool)> {
    let mut input = input;
    let next = || next_line(&mut input).unwrap();
    core::iter::from_fn(next).map(|(line, ended)| (line.len(), ended)).collect()
}

#[test]
fn a_line_that_is_too_long_for_a_frame_goes_in_two() {
    let max = usize::try_from(MAX_LINE).unwrap();
    let line = |len: usize| [vec![b'x'; len], b"\n".to_vec()].concat();
    assert_eq!(lines(&line(max - 1)), [(max - 1, true)]);
    assert_eq!(lines(&line(max)), [(max, true)]);
    assert_eq!(lines(&line(max + 1)), [(max, false), (1, true)]);
    assert_eq!(lines(b"one\n\nlast words"), [(3, true), (0, true), (10, false)]);
}
