//! Who may come in.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::SystemTime;

use heartwire_testkit::{BEAT, Lines, Peer, Process, ms, wait_until};
use rustix::process::Signal;
use serde_json::json;

use crate::program::{Client, Server, heartwire};
use crate::tls::certificate;

pub(crate) const TOKEN: &str = "GRZmXBAWuWwFk3TtVYoX";
pub(crate) const OTHER_TOKEN: &str = "5Jx2gLq0vD9sPz8nHc7y";
const ALICE: &str = "mB4eTn1wRk6uYf3aQi0o";

/// A file for the user alone, whose name says what it is for.
pub(crate) fn file(name: &str, text: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tokens");
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    // A pipe that another run has left would never take the text.
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn refused(server: &Server, args: &[&str]) {
    let mut client = Client::start_plain(server.addr, args);
    assert_eq!(client.process.exit_code(), Some(4), "{args:?}");
    let failed = client.event("failed");
    let error = failed.text("error");
    assert!(error.contains("rejected this client: unauthorized"), "{error}");
    assert!(error.contains("invalid or missing token for this name"), "{error}");
    assert_eq!(failed["retryable"], false);
}

#[test]
fn only_those_with_a_token_come_in() {
    let tokens = file("server", &format!("# all but alice\n{TOKEN}\n\nalice {ALICE}\n"));
    let (good, alice) = (file("good", TOKEN), file("alice", ALICE));
    let wrong = file("wrong", OTHER_TOKEN);
    let server = Server::start_plain(&["--tokens", &tokens, "--log-level", "trace"]);
    let clients = [
        &["--token-file", &good][..],
        &["--token-file", &good, "--name", "bob"],
        &["--token-file", &alice, "--name", "alice", "--log-level", "trace"],
    ]
    .map(|args| {
        let client = Client::start_plain(server.addr, args);
        client.event("online");
        client
    });
    refused(&server, &[]);
    refused(&server, &["--name", "bob"]);
    refused(&server, &["--token-file", &wrong]);
    refused(&server, &["--token-file", &wrong, "--name", "alice"]);
    // Not with the token for all names, and no other name with her token.
    refused(&server, &["--token-file", &good, "--name", "alice"]);
    refused(&server, &["--token-file", &alice, "--name", "bob"]);
    refused(&server, &["--token-file", &alice]);
    // Protocol v0 has no tokens.
    let mut tutorials = Peer::connect(server.addr);
    tutorials.send(&BEAT);
    assert_eq!(tutorials.read_to_end().0, b"");

    // No token on anything that others can read.
    let processes = [&server.process, &clients[0].process, &clients[2].process];
    let command_lines = processes
        .map(|process| fs::read_to_string(format!("/proc/{}/cmdline", process.0.id())).unwrap());
    let clients_lines = clients.map(|client| {
        let lines = client.events.clone();
        client.stop();
        lines
    });
    let (log, events) = (server.log.clone(), server.events.clone());
    let stopped = server.stop().pop().unwrap();
    assert_eq!((&stopped["rejected"], &stopped["rejected_unauthorized"]), (&json!(7), &json!(7)));
    assert_eq!((stopped.count("hellos"), stopped.count("welcomed")), (10, 3));
    assert_eq!(stopped["protocol_error"], 1);
    let all = |lines: &Lines| lines.all().into_iter().map(|line| line.text).collect::<String>();
    let mut said = command_lines.concat() + &all(&log) + &all(&events);
    said.extend(clients_lines.iter().map(all));
    assert!(said.contains("rejected a client"), "the log says too little to prove anything");
    for token in [TOKEN, OTHER_TOKEN, ALICE] {
        // As text, as a list of bytes, or in hexadecimal.
        let bytes = format!("{:?}", token.as_bytes());
        let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
        for shown in [token, bytes.trim_matches(['[', ']']), &hex] {
            assert!(!said.contains(shown), "{token} was shown");
        }
    }
}

#[test]
fn tokens_are_read_again_when_told_and_broken_ones_are_not_taken() {
    let tokens = file("reloaded", TOKEN);
    let (one, two) = (file("before", TOKEN), file("after", OTHER_TOKEN));
    let server = Server::start_plain(&["--tokens", &tokens]);
    let old = Client::start_plain(server.addr, &["--token-file", &one]);
    old.event("online");

    for broken in ["", "short\n", "b\u{e4}d name and more words\n"] {
        fs::write(&tokens, broken).unwrap();
        let before = said_no(&server).len();
        server.process.signal(Signal::HUP);
        while said_no(&server).len() == before {
            server.log.line("cannot reload, and nothing has changed");
        }
    }
    let lines = said_no(&server);
    assert!(lines[1].contains("line 1") && lines[1].contains("too short"), "{lines:?}");
    assert!(!lines.concat().contains("short\n"), "{lines:?}");
    let client = Client::start_plain(server.addr, &["--token-file", &one]);
    client.event("online");
    refused(&server, &["--token-file", &two]);

    fs::write(&tokens, OTHER_TOKEN).unwrap();
    server.process.signal(Signal::HUP);
    // What was said of the broken ones has their name in it too.
    server.log.line(&format!("read {tokens} again"));
    let client = Client::start_plain(server.addr, &["--token-file", &two]);
    client.event("online");
    // The session ends, and its client is rejected for good when it comes back.
    assert_eq!(old.event("offline")["bye"]["code"], "unauthorized");
    assert_eq!(server.event("offline")["reason"], "revoked");
    assert_eq!(old.event("failed")["retryable"], false);
    // Others stay: also those whose token has other lines around it now.
    let has_read = || {
        let read = format!("read {tokens} again");
        server.log.so_far().iter().filter(|line| line.text.contains(&read)).count()
    };
    let before = has_read();
    fs::write(&tokens, format!("# more\n{TOKEN}\n{OTHER_TOKEN}")).unwrap();
    server.process.signal(Signal::HUP);
    wait_until("the tokens are read", || has_read() > before);
    let again = Client::start_plain(server.addr, &["--token-file", &one]);
    again.event("online");
    assert!(client.events.events_so_far("offline").is_empty());
}

#[test]
fn a_session_ends_when_the_time_of_its_token_is_over() {
    let until = humantime::format_rfc3339_seconds(SystemTime::now() + ms(3_000));
    let tokens = file("until", &format!("{TOKEN} until={until}\n{OTHER_TOKEN}"));
    let (one, two) = (file("until-one", TOKEN), file("until-two", OTHER_TOKEN));
    let server = Server::start_plain(&["--tokens", &tokens]);
    let stays = Client::start_plain(server.addr, &["--token-file", &two]);
    stays.event("online");
    let ends = Client::start_plain(server.addr, &["--token-file", &one]);
    ends.event("online");
    assert_eq!(ends.event("offline")["bye"]["code"], "unauthorized");
    assert_eq!(server.event("offline")["reason"], "expired");
    assert_eq!(ends.event("failed")["retryable"], false);
    assert!(stays.events.events_so_far("offline").is_empty());
    assert_eq!(server.stop().pop().unwrap()["expired"], 1);
}

#[test]
fn a_client_that_goes_on_shows_the_token_that_its_file_has_now() {
    let tokens = file("renewed-server", TOKEN);
    let own = file("renewed-client", OTHER_TOKEN);
    let server = Server::start_plain(&["--tokens", &tokens]);
    let args = ["--token-file", &own, "--retry", "10ms", "--retry-rejected", "1s"];
    let client = Client::start_plain(server.addr, &args);
    assert_eq!(client.event("failed")["retryable"], false);
    assert!(client.event("waiting").number("wait_ms") >= 1000.0);
    client.process.signal(Signal::HUP);
    client.events.line(&format!("read {own} again"));
    fs::write(&own, "").unwrap();
    client.process.signal(Signal::HUP);
    client.events.line("must hold the token of this client and nothing else");
    file("renewed-client", TOKEN);
    client.event("online");
    client.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_reading_never_ends_holds_up_no_signal() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let tokens = file("hung-server", TOKEN);
    let own = file("hung-client", TOKEN);
    let server = Server::start_plain(&["--tokens", &tokens]);
    let client = Client::start_plain(server.addr, &["--token-file", &own]);
    client.event("online");
    for path in [&tokens, &own] {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path.as_str(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    }
    client.process.signal(Signal::HUP);
    server.process.signal(Signal::HUP);
    thread::sleep(ms(300));
    client.stop();
    server.stop();
}

#[cfg(unix)]
#[test]
fn a_token_that_can_be_read_only_once_is_kept() {
    let server = Server::start_plain(&["--tokens", &file("once-server", TOKEN)]);
    let mut command = heartwire(&["connect", "--token-file", "/dev/stdin", "--no-input"]);
    let command = command.arg(server.addr.to_string()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = Process::spawn(command.stderr(Stdio::null()));
    client.0.stdin.take().unwrap().write_all(TOKEN.as_bytes()).unwrap();
    server.event("online");
    client.signal(Signal::TERM);
    assert_eq!(client.exit_code(), Some(0));
}

fn said_no(server: &Server) -> Vec<String> {
    let lines = server.log.so_far().into_iter().map(|line| line.text);
    lines.filter(|text| text.contains("cannot reload, and nothing has changed")).collect()
}

#[test]
fn a_file_that_every_user_can_read_is_no_secret_at_the_start_or_on_sighup() {
    const OPEN_TOKENS: &str = "every user of this machine can read the tokens";
    const OPEN_TOKEN: &str = "every user of this machine can read the token";
    const OPEN_KEY: &str = "every user of this machine can read the private key of the certificate";
    let tokens = file("for-all-eyes", TOKEN);
    let (cert, key) = certificate("for-all-eyes");
    let set = |mode| {
        for path in [&tokens, &key] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let roots = ["--tls", "--tls-ca", &cert, "--tls-server-name", "localhost"];
    let serve = [&["--tokens", &tokens], &tls[..]].concat();
    let connect = [&roots[..], &["--token-file", &tokens], &tls].concat();

    let server = Server::start_plain(&serve);
    let client = Client::start_plain(server.addr, &connect);
    client.event("online");
    for lines in [server.log.so_far(), client.events.so_far()] {
        assert!(lines.iter().all(|line| !line.text.contains("every user")), "{lines:?}");
    }
    set(0o644);
    server.process.signal(Signal::HUP);
    client.process.signal(Signal::HUP);
    server.log.line(OPEN_TOKENS);
    server.log.line(OPEN_KEY);
    client.events.line(OPEN_TOKEN);
    client.events.line(OPEN_KEY);

    let server = Server::start_plain(&serve);
    server.log.line(OPEN_TOKENS);
    server.log.line(OPEN_KEY);
    let client = Client::start_plain(server.addr, &connect);
    client.events.line(OPEN_KEY);
    client.events.line(OPEN_TOKEN);
}
