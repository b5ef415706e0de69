//! `heartwire top` in a real terminal, against a real server.

use core::net::SocketAddr;
use std::fs;
use std::path::Path;

use heartwire_testkit::{Tmux, lasting_address, skip, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Client, PROGRAM, Server, run};
use crate::side_by_side;

#[test]
fn top_works_in_a_real_terminal() {
    if !Tmux::is_installed() {
        skip("tmux is not installed, which is the terminal");
        return;
    }
    side_by_side(&[
        ("it shows a server, finds and ends a session, and quits", watching),
        ("SIGTERM and Ctrl-C give the terminal back", stopping),
        ("Ctrl-Z gives the terminal back until it goes on", suspending),
        ("a server may go away and come back", outliving),
        ("NO_COLOR has it use none", colorless),
    ]);
}

/// Prints how a program left, and whether it left line editing on.
const THEN: &str = "echo left with $?; stty -a | grep -ow -- '-*icanon'";

fn top(at: &str, args: &str) -> String {
    format!("{PROGRAM} top {at} --delay 100ms {args}; {THEN}")
}

struct Web {
    server: Server,
    http: String,
}

impl Web {
    fn start(args: &[&str]) -> Self {
        let server = Server::start_plain(&[&["--http", "127.0.0.1:0"], args].concat());
        let http = server.event("listening").text("http").to_owned();
        Self { server, http }
    }
}

#[track_caller]
fn expect_left(terminal: &Tmux) {
    let screen = terminal.wait_for("icanon");
    assert!(screen.contains("left with 0\nicanon"), "{screen}");
    assert!(!terminal.is_taken(), "the screen of the shell is back:\n{screen}");
}

fn watching() {
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a-token-of-the-tests\n").unwrap();
    let token = token.to_str().unwrap();
    let web = Web::start(&["--http-token", token]);
    let client = |name| Client::start_plain(web.server.addr, &["--name", name, "--retry", "never"]);
    let (mut alice, _bob) = (client("alice"), client("bob"));

    let terminal = Tmux::start(100, 30, &top(&web.http, &format!("--http-token {token}")));
    let screen = terminal.wait_for("the 2 sessions nearest");
    assert!(screen.contains("READY") && screen.contains("alice"), "{screen}");
    terminal.press(&["2"]);
    terminal.wait_for("2 sessions nearest to their verdict");
    terminal.press(&["F6", "Right", "Enter"]);
    terminal.wait_for("2 sessions with the longest silence");
    terminal.press(&["/"]);
    terminal.type_text("ali");
    let screen = terminal.wait_for("1 session ");
    assert!(screen.contains("alice") && !screen.contains("bob"), "{screen}");
    terminal.press(&["Enter", "h"]);
    terminal.wait_for("any key goes back");
    terminal.press(&["x"]);
    terminal.wait_for("1 session ");
    terminal.resize(40, 12);
    terminal.wait_for("READY heartwire");
    // A key that comes together with a new size is not lost.
    terminal.resize(100, 30);
    terminal.press(&["k"]);
    terminal.wait_for("(alice)? y: and it stays away");
    terminal.press(&["y"]);
    let bye = &alice.event("offline")["bye"];
    assert_eq!((&bye["code"], &bye["detail"]), (&"kicked".into(), &"ended by an operator".into()));
    assert_eq!(bye["retry"], "never");
    assert_eq!(alice.process.exit_code(), Some(4));
    terminal.wait_for("0 sessions");
    terminal.press(&["Escape"]);
    terminal.wait_for("bob");
    terminal.press(&["q"]);
    expect_left(&terminal);
    // It came before the screen of the program, and not over it.
    assert!(terminal.screen().contains("every user of this machine can read the token"));
}

fn stopping() {
    let web = Web::start(&[]);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let line = top(&web.http, "").replacen(
        PROGRAM,
        &format!("sh -c 'echo $$ >{0}; exec \"$0\" \"$@\"' {PROGRAM}", file.display()),
        1,
    );
    let terminal = Tmux::start(80, 24, &line);
    terminal.wait_for("READY");
    assert!(terminal.is_taken());
    kill_process(read_pid(&file), Signal::TERM).unwrap();
    expect_left(&terminal);

    let terminal = Tmux::start(80, 24, &top(&web.http, ""));
    terminal.wait_for("READY");
    terminal.press(&["C-c"]);
    expect_left(&terminal);
}

fn read_pid(file: &Path) -> Pid {
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

fn suspending() {
    let web = Web::start(&[]);
    let line = format!("set -m; {PROGRAM} top {}; {THEN}; read x; fg; {THEN}", web.http);
    let terminal = Tmux::start(80, 24, &line);
    terminal.wait_for("READY");
    terminal.press(&["C-z"]);
    let screen = terminal.wait_for("icanon");
    assert!(screen.contains("left with 1") && !screen.contains("-icanon"), "{screen}");
    assert!(!terminal.is_taken());
    terminal.press(&["Enter"]);
    terminal.wait_for("READY");
    terminal.press(&["q"]);
    terminal.wait_for("left with 0");
    assert!(!terminal.is_taken());
}

fn outliving() {
    let http = lasting_address();
    let server = |http: SocketAddr| Server::start_plain(&["--http", &http.to_string()]);
    let first = server(http);
    let terminal = Tmux::start(110, 24, &top(&http.to_string(), ""));
    terminal.wait_for("READY");
    first.stop();
    terminal.wait_for("NO ANSWER");
    terminal.wait_for("s old: cannot connect to http://");
    let second = server(http);
    terminal.wait_for("READY");
    let client = Client::start_plain(second.addr, &["--name", "carol"]);
    terminal.wait_for("carol");
    client.stop();
    terminal.press(&["q"]);
    expect_left(&terminal);
}

fn colorless() {
    let web = Web::start(&[]);
    let has_colors = |variables: &str| {
        let line = format!("{variables} {}", top(&web.http, ""));
        let terminal = Tmux::start(80, 24, &line);
        terminal.wait_for("READY");
        let screen = terminal.colored_screen();
        assert!(screen.contains("\u{1b}["), "there is bold text: {screen:?}");
        ["[3", ";3"].iter().any(|part| {
            screen.match_indices(part).any(|(at, _)| {
                screen[at + part.len()..].starts_with(|char| ('0'..='8').contains(&char))
            })
        })
    };
    assert!(has_colors("NO_COLOR="));
    assert!(!has_colors("NO_COLOR=1"));
}

#[test]
fn top_prints_one_screen_or_objects_for_programs() {
    let web = Web::start(&[]);
    let client = Client::start_plain(web.server.addr, &["--name", "dave"]);
    client.event("online");
    let output = run(&["top", "--once", &web.http]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(screen.starts_with("heartwire ") && screen.contains("READY\n"), "{screen}");
    assert!(
        screen.contains("dave") && screen.contains("the 1 session with the slowest"),
        "{screen}"
    );
    assert!(!screen.contains('\u{1b}'), "{screen}");

    let output = run(&["top", "--once", "--json", "--view=sessions", &web.http]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["stats"]["now"]["sessions"], 1);
    assert_eq!(object["pages"][0]["sessions"][0]["name"], "dave");

    let output = run(&["top", &web.http]);
    assert_eq!(output.status.code(), Some(2), "without a terminal: {output:?}");
    web.server.stop();
    wait_until("the port is closed", || {
        run(&["top", "--once", &web.http]).status.code() == Some(4)
    });
}
