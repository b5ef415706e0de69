use super::*;

#[test]
fn the_output_of_a_command_is_returned() {
    assert_eq!(run(Command::new("echo").arg("hello")).unwrap(), "hello\n");
    assert_eq!(feed(&mut Command::new("cat"), "some\nlines\n").unwrap(), "some\nlines\n");
}

#[test]
fn a_command_that_fails_says_which_it_was_and_why() {
    let error = feed(Command::new("sh").args(["-c", "echo no >&2; exit 3"]), "input").unwrap_err();
    assert_eq!(error.to_string(), "sh -c echo no >&2; exit 3 <<< input: exit status: 3: no");
    let error = run(&mut Command::new("/no/such/program")).unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/such/program");
}

#[test]
fn programs_are_looked_for_where_the_system_keeps_them() {
    assert!(is_installed("sh"));
    assert!(!is_installed("no-such-program"));
}
