//! The first thing that a newcomer runs.

use heartwire_testkit::{Lines, Process};
use std::process::Stdio;

use crate::program::heartwire;

/// What `heartwire demo > docs/demo.txt` wrote; a picture is drawn from it.
const RECORDED: &str = include_str!("../../../../docs/demo.txt");

fn without_figures(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "#")
}

#[test]
fn the_demo_finds_the_frozen_client_draws_it_and_has_it_back_without_loss() {
    let mut command = heartwire(&["demo", "--clients", "2"]);
    // Its clients do not heed this: with one name, each would take it over from the other.
    command.env("HEARTWIRE_NAME", "bob");
    let mut demo = Process::spawn(command.stdout(Stdio::piped()));
    let lines = Lines::of(demo.0.stdout.take().unwrap());
    assert_eq!(demo.exit_code(), Some(0), "{:#?}", lines.all());

    let text: Vec<_> = lines.all().into_iter().map(|line| line.text).collect();
    let row = |client: &str| {
        let row = text.iter().find_map(|line| line.strip_prefix(&format!("  {client}   ")));
        row.unwrap_or_else(|| panic!("no picture of {client} in {text:#?}"))
    };
    let (healthy, frozen) = (row("client 1"), row("client 2"));
    assert!(healthy.len() > 20 && healthy.chars().all(|cell| "|-".contains(cell)), "{text:#?}");
    // One beat is four cells; a busy machine may draw many of them at once.
    assert!(healthy.contains('|'), "{text:#?}");
    let (alive, after) = frozen.split_once('.').unwrap();
    assert!(alive.chars().all(|cell| "|-".contains(cell)), "{text:#?}");
    let (frozen, back) = after.split_once('x').unwrap();
    assert!(frozen.chars().all(|cell| cell == '.'), "{text:#?}");
    assert!(back.chars().all(|cell| " |-".contains(cell)), "{text:#?}");
    let text = text.join("\n");
    assert!(text.contains("client 2 frozen"), "{text}");
    assert!(text.contains("client 2 declared dead: silent for "), "{text}");
    assert!(text.contains("client 2 away: ") && text.contains("client 2 back after "), "{text}");
    assert!(text.contains("from the freeze to the verdict: "), "{text}");
    assert!(text.contains("verdicts on healthy clients: 0"), "{text}");
    assert!(text.contains("3 messages, lost: nothing"), "{text}");

    let (_, key_and_figures) = text.split_once("\n  | ").unwrap();
    assert!(
        without_figures(RECORDED).contains(&without_figures(key_and_figures.trim_end())),
        "docs/demo.txt is not what the demo prints now: run `heartwire demo > docs/demo.txt`, and \
         `cargo run -p heartwire-lab --example pictures`"
    );
}
