//! The commands in the book do what the book says, and its listings are what they seem.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a listing that is not there fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use heartwire_testkit::skip;

const CHAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/src");
const PROGRAM: &str = env!("CARGO_BIN_EXE_heartwire");
/// Pages beside the book, seen from its chapters.
const PAGES: [&str; 2] = ["../../../README.md", "../../tutorial.md"];

/// `TRYCMD=overwrite cargo test` writes anew what the program says; read the difference.
#[test]
fn commands_with_their_output_say_what_is_written() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("heartwire", PathBuf::from(PROGRAM)).case(Path::new(CHAPTERS).join("*.md"));
    for page in PAGES {
        cases.case(Path::new(CHAPTERS).join(page));
    }
}

/// Servers and clients run until they are stopped, so they are not run. Behind options that the
/// program does not know, it would complain of those instead of printing help.
#[test]
fn commands_that_do_not_end_have_options_that_exist() {
    let chapters = fs::read_dir(CHAPTERS).unwrap().map(|chapter| chapter.unwrap().path());
    let pages = PAGES.map(|page| Path::new(CHAPTERS).join(page));
    let mut commands = 0;
    for chapter in chapters.chain(pages) {
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
    let lines = lines.map(|line| without_time(&line.unwrap()).to_owned()).skip(1);
    let said: Vec<_> = lines.take_while(|line| !line.starts_with("  bounds:")).collect();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(said.len() > 2, "{said:?}");
    let chapter: Vec<_> = chapter.lines().map(without_time).collect();
    assert!(chapter.join("\n").contains(&said.join("\n")), "{said:#?}");
}

/// A line of output without its time, of which only the length is known.
fn without_time(line: &str) -> &str {
    let rest = line.split_once("Z ").filter(|(time, _)| time.starts_with("20"));
    rest.map_or(line, |(_, rest)| rest)
}

/// The first listing of a chapter in this language.
fn listing(chapter: &str, language: &str) -> String {
    let text = fs::read_to_string(Path::new(CHAPTERS).join(chapter)).unwrap();
    let (_, listing) = text.split_once(&format!("```{language}\n")).unwrap();
    listing.split_once("```").unwrap().0.to_owned()
}

/// What systemd does not know, it says, and goes on.
#[test]
fn systemd_understands_the_unit() {
    let unit = listing("operating.md", "ini").replace("/usr/local/bin/heartwire", PROGRAM);
    let (_, start) = unit.split_once("ExecStart=").unwrap();
    let start = start.replace("\\\n", " ");
    let options = start.lines().next().unwrap().split_whitespace().skip(1);
    let help = Command::new(PROGRAM).args(options).arg("--help").output().unwrap();
    assert!(help.status.success(), "{help:?}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("heartwire.service");
    fs::write(&path, &unit).unwrap();
    let verified = match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return skip("systemd-analyze is not installed");
        }
        verified => verified.unwrap(),
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

/// The names in quotation marks, of a text or of the first column of a table.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_operators_tables_have_every_event_of_a_server_and_every_reason() {
    let events = fs::read_to_string(Path::new(CHAPTERS).join("../../events.md")).unwrap();
    let (_, serve) = events.split_once("## `serve`").unwrap();
    let (serve, _) = serve.split_once("## `connect`").unwrap();
    let kinds = serve.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let kinds: Vec<_> = kinds.filter(|kind| *kind != "event").collect();
    let (_, reasons) = serve.split_once("`reason` is one of").unwrap();
    let (reasons, _) = reasons.split_once("`violation` is one of").unwrap();
    let reasons: Vec<_> =
        names(reasons).into_iter().filter(|name| !name.starts_with('-')).collect();
    assert!(kinds.len() > 12 && reasons.len() > 12, "{kinds:?} {reasons:?}");

    let chapter = fs::read_to_string(Path::new(CHAPTERS).join("operating.md")).unwrap();
    let (_, tables) = chapter.split_once("three in the morning").unwrap();
    let (of_kinds, of_reasons) = tables.split_once("| `reason` of").unwrap();
    let first_column = |table: &str| -> String {
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect()
    };
    for (table, wanted) in [(of_kinds, kinds), (of_reasons, reasons)] {
        let rows = first_column(table);
        let rows = names(&rows);
        let missing: Vec<_> = wanted.iter().filter(|name| !rows.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?} are in no row");
    }
}
