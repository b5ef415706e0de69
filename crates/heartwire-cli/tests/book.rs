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

/// Times, ports, and the ids of nodes are other ones each time, and so are leases.
#[test]
fn three_nodes_do_what_the_book_shows() {
    if Command::new("redis-server").arg("--version").output().is_err() {
        return skip("redis-server is not installed");
    }
    let script = Path::new(CHAPTERS).join("../../three-nodes");
    let mut command = Command::new(script);
    // The settings of this environment are not the script's.
    let settings = std::env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"HEARTWIRE_")) {
        command.env_remove(name);
    }
    let output = command.env("HEARTWIRE", PROGRAM).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let chapter = fs::read_to_string(Path::new(CHAPTERS).join("presence.md")).unwrap();
    let said: Vec<_> = printed.trim().lines().map(lasting).collect();
    let chapter: Vec<_> = chapter.lines().map(lasting).collect();
    assert!(said.len() > 20, "{said:#?}");
    assert!(chapter.join("\n").contains(&said.join("\n")), "{said:#?}");
}

/// What is the same in each run: no digits, no ids of nodes, and of a row the name only.
fn lasting(line: &str) -> String {
    let id = |word: &str| {
        let (name, draw) = word.split_once('.')?;
        let is_id = draw.len() == 8 && draw.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| name.to_owned())
    };
    let word = |word: &str| id(word.trim_end_matches(':')).unwrap_or_else(|| word.to_owned());
    let mut words = line.split_whitespace().map(word);
    let words: Vec<_> = if line.starts_with("eu-") || line.starts_with("us-") {
        words.by_ref().take(2).collect()
    } else {
        words.collect()
    };
    let is_digit = |char: char| char.is_ascii_digit();
    words.iter().map(|word| word.replace(is_digit, "")).collect::<Vec<_>>().join(" ")
}

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");

/// `systemd-analyze` with these words, about a copy of the units that start this program.
#[track_caller]
fn analyze(words: &[&str]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    for unit in fs::read_dir(UNITS).unwrap() {
        let unit = unit.unwrap();
        let name = unit.file_name().into_string().unwrap().replace("@.", "@db.");
        let text = fs::read_to_string(unit.path()).unwrap();
        fs::write(directory.path().join(name), text.replace("/usr/bin/heartwire", PROGRAM))
            .unwrap();
    }
    let analyzed = Command::new("systemd-analyze").args(words).current_dir(&directory).output();
    let analyzed = match analyzed {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("systemd-analyze is not installed");
            return None;
        }
        analyzed => analyzed.unwrap(),
    };
    let said = String::from_utf8([analyzed.stdout, analyzed.stderr].concat()).unwrap();
    assert!(analyzed.status.success(), "{said}");
    Some(said)
}

/// What systemd does not know, it says, and goes on.
#[test]
fn systemd_understands_the_units() {
    let units = ["./heartwire.service", "./heartwire.socket", "./heartwire-tunnel@db.service"];
    // The man pages are not installed here.
    let said = analyze(&[&["--man=no", "verify"], &units[..]].concat());
    assert_eq!(said.unwrap_or_default(), "");
}

/// 1.4 of 10 on systemd 252; what is left is that they use the network.
#[test]
fn systemd_finds_the_units_confined() {
    for unit in ["./heartwire.service", "./heartwire-tunnel@db.service"] {
        analyze(&["security", "--offline=true", "--threshold=15", "--no-pager", unit]);
    }
}

#[test]
fn units_start_the_program_with_options_that_it_has() {
    for unit in ["heartwire.service", "heartwire-tunnel@.service"] {
        let text = fs::read_to_string(Path::new(UNITS).join(unit)).unwrap();
        let (_, start) = text.split_once("ExecStart=/usr/bin/heartwire ").unwrap();
        let start = start.replace("${FAR}", "gate.example").replace("${SERVICE}", "db");
        let options = start.lines().next().unwrap().split_whitespace();
        let help = Command::new(PROGRAM).args(options).arg("--help").output().unwrap();
        assert!(help.status.success(), "{unit}: {help:?}");
    }
    let example = Path::new(UNITS).join("../serve.toml");
    let check = ["serve", "--check-config", "--config", example.to_str().unwrap()];
    assert!(Command::new(PROGRAM).args(check).status().unwrap().success());
    // With every example in force but those that name files.
    let text = fs::read_to_string(&example).unwrap();
    let (keys, all): (Vec<_>, Vec<_>) = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .filter(|line| !line.contains("/etc/"))
        .map(|line| (line.split_once(" = ").unwrap().0, line))
        .unzip();
    assert!(keys.contains(&"listen") && keys.contains(&"http"), "{keys:?}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("serve.toml");
    fs::write(&file, all.join("\n")).unwrap();
    let check = ["serve", "--check-config", "--config", file.to_str().unwrap()];
    assert!(Command::new(PROGRAM).args(check).status().unwrap().success(), "{all:?}");
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
