//! The commands in the book do what the book says.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CHAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/src");
const PROGRAM: &str = env!("CARGO_BIN_EXE_heartwire");

/// `TRYCMD=overwrite cargo test` writes anew what the program says; read the difference.
#[test]
fn commands_with_their_output_say_what_the_book_says() {
    trycmd::TestCases::new()
        .register_bin("heartwire", PathBuf::from(PROGRAM))
        .case(Path::new(CHAPTERS).join("*.md"));
}

/// Servers and clients run until they are stopped, so the book's are not run. Behind options that the
/// program does not know, it would complain of those instead of printing help.
#[test]
fn commands_that_do_not_end_have_options_that_exist() {
    let mut commands = 0;
    for chapter in fs::read_dir(CHAPTERS).unwrap() {
        let chapter = chapter.unwrap().path();
        if chapter.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&chapter).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("$ heartwire ")) {
            let output =
                Command::new(PROGRAM).args(line.split(' ')).arg("--help").output().unwrap();
            assert!(output.status.success(), "{}: {line}: {output:?}", chapter.display());
            commands += 1;
        }
    }
    assert!(commands > 5, "{commands} commands");
}

/// The system's own figures are another matter: times, ports, how many files may be open.
#[cfg(target_os = "linux")]
#[test]
fn the_first_lines_of_a_server_are_those_in_the_book() {
    let chapter = fs::read_to_string(Path::new(CHAPTERS).join("operating.md")).unwrap();
    let server = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn();
    let mut server = server.unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let lines = lines.map(Result::unwrap).skip(1);
    let said: Vec<_> = lines.take_while(|line| !line.starts_with("  bounds:")).collect();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(said.len() > 2, "{said:?}");
    let said = said.join("\n");
    assert!(chapter.contains(&said), "{said}");
}
