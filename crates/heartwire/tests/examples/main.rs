//! The examples print what their README shows, figures aside, and end in time.
//!
//! `cargo test` builds the programs beside this one. With `--test examples` alone it does not:
//! `cargo build --examples` before.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod program;

use std::collections::BTreeSet;
use std::fs;

use program::Program;

const README: &str = include_str!("../../examples/README.md");

/// The examples that need no other program.
const ALONE: [&str; 6] = ["game", "background", "keepalive", "own_loop", "framed", "websocket"];

/// The part of the README about one example.
#[track_caller]
fn section(name: &str) -> &'static str {
    let heading = format!("### `{name}`\n");
    let (_, rest) = README.split_once(&heading).expect("it has a heading of its own");
    rest.split_once("\n### ").map_or(rest, |(section, _)| section)
}

/// The lines that a section shows, in its blocks one after the other.
fn shown(section: &'static str) -> Vec<Vec<&'static str>> {
    let blocks = section.split("```text\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("it ends").0.lines().collect()).collect()
}

/// The line with each figure, and its unit if that follows at once, replaced: they differ from run
/// to run. So does whether the machine held the program up.
fn without_figures(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim_start();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, figure) = rest.split_at(at);
        out.push_str(before);
        out.push('#');
        rest = figure.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        for unit in ["ns", "µs", "ms", "s"] {
            let after = rest.strip_prefix(unit);
            if let Some(after) = after.filter(|after| !after.starts_with(char::is_alphanumeric)) {
                rest = after;
                break;
            }
        }
    }
    out.push_str(rest);
    out.replace(", # s not counted: this process was paused", "")
}

#[track_caller]
fn assert_shows(output: &[String], lines: &[&str]) {
    assert!(!lines.is_empty(), "the README shows nothing");
    let printed: BTreeSet<_> = output.iter().map(|line| without_figures(line)).collect();
    for line in lines {
        let is_there = printed.contains(&without_figures(line));
        assert!(is_there, "nothing like {line:?} in\n{}", output.join("\n"));
    }
}

#[test]
fn those_that_play_both_ends_print_what_the_readme_shows() {
    // They wait for most of their time, so they can do it side by side.
    let running = ALONE.map(|name| (name, Program::start(name, &[])));
    for (name, program) in running {
        let output = program.output();
        println!("{name}:\n{}", output.join("\n"));
        let [lines] = &shown(section(name))[..] else { panic!("{name} shows one thing") };
        assert_shows(&output, lines);
    }
}

/// The address at which a chat's server listens.
fn listening(server: &Program) -> String {
    server.wait_for("listening on ").rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_chat_shows_clients_that_come_and_leave_and_are_lost() {
    let [servers, bobs] = &shown(section("chat"))[..] else { panic!("two things") };
    let server = Program::start("chat", &["server", "127.0.0.1:0"]);
    let address = listening(&server);
    let mut ann = Program::start("chat", &["client", "ann", &address]);
    server.wait_for("* ann is here");
    let mut bob = Program::start("chat", &["client", "bob", &address]);
    server.wait_for("* bob is here; now: ann, bob");
    ann.wait_for("* bob is here");

    ann.say("hi all");
    bob.wait_for("ann: hi all");
    bob.process.freeze();
    ann.wait_for("* bob was lost: dead: silent for 3.");
    ann.input = None;
    server.wait_for("* ann has left");
    assert_shows(&server.so_far(), servers);
    ann.output();

    bob.process.thaw();
    server.wait_for("* bob is here; now: bob");
    bob.wait_for("* bob is here; now: bob");
    assert_shows(&bob.so_far(), bobs);
    bob.input = None;
    bob.output();
}

#[test]
fn a_second_client_of_a_name_takes_the_place_of_the_first() {
    let server = Program::start("chat", &["server", "127.0.0.1:0"]);
    let address = listening(&server);
    let first = Program::start("chat", &["client", "ann", &address]);
    first.wait_for("* ann is here");
    let second = Program::start("chat", &["client", "ann", &address]);
    second.wait_for("* ann is here; now: ann");
    // It does not come back, and so ends.
    let output = first.output();
    assert_shows(&output, &["* out of the room: the peer disconnected: taken_over"]);
}

#[test]
fn the_readme_says_what_to_type_for_each_example() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name != "README" {
            let row = format!("| `cargo run --example {name}");
            let told = README.lines().filter_map(|line| line.strip_prefix(&row));
            assert_eq!(told.filter(|rest| rest.starts_with([' ', '`'])).count(), 1, "{name}");
        }
    }
}

#[test]
fn figures_and_nothing_else_may_differ() {
    let same = |one, other| without_figures(one) == without_figures(other);
    assert!(same("  0.0 s  a: 500ms of 1 thing", " 12.5 s  a: 1.5s of 20 thing"));
    assert!(same("took 76.4µs)", "took 1ms)"));
    assert!(same("3 ms late)", "9 ms late, 0.481 s not counted: this process was paused)"));
    assert!(!same("in 3 s", "in 3 steps"));
    assert!(!same("bound 3.0 to 3.1 s", "bound 3.0 to 3.1 s, on time"));
}
