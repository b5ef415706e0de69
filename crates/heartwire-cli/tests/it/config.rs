//! The configuration file: checked, printed, and read again.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::thread;

use heartwire_testkit::{Lines, Peer, Process, ms};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Client, Server, heartwire, run};
use crate::tls::certificate;

const TOKEN: &str = "GRZmXBAWuWwFk3TtVYoX";
const OTHER_TOKEN: &str = "5Jx2gLq0vD9sPz8nHc7y";

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, stdout: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(text(&output.stdout), stdout, "{output:?}");
}

#[test]
fn a_server_starts_as_its_file_says() {
    let folder = Folder::new();
    let file = "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\njson = true\ntimeout = 40\n";
    let file = folder.write("serve.toml", &format!("{file}max-sessions = 5\ndrain = \"7s\""));
    let mut command = heartwire(&["serve", "--config", &file, "--drain", "8s"]);
    command.env("HEARTWIRE_MAX_SESSIONS", "6");
    let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let listening = Lines::of(process.0.stdout.take().unwrap()).event("listening");
    assert_eq!(listening["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(listening["policy"]["timeout_ms"], 40_000.0);
    assert_eq!((&listening["max_sessions"], &listening["drain_ms"]), (&6.into(), &8000.0.into()));
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_check_says_that_all_is_well_or_what_is_wrong() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", TOKEN);
    let file = folder.write("serve.toml", &format!("tokens = {tokens:?}\nmax-sessions = 5"));
    let check = ["serve", "--config", &file, "--check-config"];
    expect(&run(&check), 0, "OK\n");
    let output = run(&[&check[..], &["--json"]].concat());
    let checked: Value = serde_json::from_str(text(&output.stdout)).unwrap();
    assert_eq!((&checked["event"], &checked["file"]), (&"checked".into(), &file.as_str().into()));
    assert_eq!(checked["options"], serde_json::json!(["json", "max-sessions", "tokens"]));

    // What the file names is checked too.
    folder.write("tokens", "short");
    let output = run(&check);
    expect(&output, 2, "");
    assert!(text(&output.stderr).contains("too short"), "{output:?}");
    // And whether settings contradict each other.
    folder.write("tokens", TOKEN);
    folder.write("serve.toml", &format!("tokens = {tokens:?}\nprotocol = \"v0\""));
    let output = run(&[&check[..], &["--json"]].concat());
    expect(&output, 2, "");
    let said: Vec<Value> =
        text(&output.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said[0]["message"], "protocol v0 has no tokens: --tokens needs v1");
    assert_eq!(said[1]["message"], format!("{file} sets tokens (line 1), protocol (line 2)"));

    folder.write("serve.toml", "max-sesions = 5\nmax-queue = 5\njson = true");
    let output = run(&check);
    expect(&output, 2, "");
    let messages: Vec<String> = text(&output.stderr)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].to_string())
        .collect();
    assert!(messages[0].contains(&format!("{file}:1: max-sesions: there is no such option")));
    assert!(messages[1].contains(&format!("'{file}:2: max-queue'")), "{messages:?}");
}

#[test]
fn other_commands_are_checked_too() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", "short");
    for (args, file, error) in [
        (&["connect", "localhost"][..], "tls = true\ntls-ca = \"/nowhere/ca.pem\"", "/nowhere/"),
        (&["tunnel", "serve"], "service = \"a=127.0.0.1:7\"\nlisten = \":29003\"", "--tls-cert"),
        (&["tunnel", "connect", "gate", "a"], "listen = \"0.0.0.0:1\"", "--listen-anywhere"),
        (&["serve"], &format!("http = \"127.0.0.1:0\"\nhttp-token = {tokens:?}"), "tokens"),
    ] {
        let file = folder.write("file.toml", file);
        let output = run(&[args, &["--config", &file, "--check-config"]].concat());
        expect(&output, 2, "");
        assert!(text(&output.stderr).contains(error), "{output:?}");
    }
    let file = folder.write("file.toml", "tls = true\nstay = true");
    expect(&run(&["connect", "localhost", "--config", &file, "--check-config"]), 0, "OK\n");
}

#[test]
fn options_are_printed_as_a_file() {
    let output = run(&["serve", "--print-config", "--timeout", "40", "-l", ":1", "--nagle", "-vv"]);
    let printed = "# For `heartwire serve --config FILE`.\n\
                   listen = [\":1\"]\ntimeout = 40\nnagle = true\nverbose = 2\n";
    expect(&output, 0, printed);
    let output = run(&["serve", "--print-config=all", "--timeout", "40s"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("\ntimeout = \"40s\"\n"), "{printed}");
    assert!(printed.contains("\n#events = [\"online\", \"data\", "), "{printed}");
}

#[test]
fn a_file_is_read_again_when_told() {
    let folder = Folder::new();
    let (tokens, other) = (folder.write("tokens", TOKEN), folder.write("other", OTHER_TOKEN));
    let own = folder.write("own", TOKEN);
    let options = format!("tokens = {tokens:?}\nmax-queue = \"128KiB\"\n");
    let file = folder.write("serve.toml", &format!("{options}max-sessions = 1\n"));
    let server = Server::start_plain(&["--config", &file]);
    let (own, with_other) = (["--token-file", &own], ["--token-file", &other]);
    let first = Client::start_plain(server.addr, &own);
    first.event("online");
    let full = Client::start_plain(server.addr, &[&own[..], &["--retry", "never"]].concat());
    full.event("failed");

    folder.write("serve.toml", &format!("{options}max-sessions = 2\nlog-level = \"debug\""));
    server.process.signal(Signal::HUP);
    server.log.line(&format!("read {file} again"));
    server.log.line("log-level is now \\\"debug\\\", was as by default");
    server.log.line("max-sessions is now 2, was 1");
    Client::start_plain(server.addr, &own).event("online");
    assert!(first.events.events_so_far("offline").is_empty());

    // What cannot change is told each time, and the rest is taken.
    let options = format!("tokens = {other:?}\nmax-queue = \"64KiB\"\n");
    folder.write("serve.toml", &format!("{options}max-sessions = 3\n"));
    server.process.signal(Signal::HUP);
    let left = server.log.line("only after a restart");
    let left: Value = serde_json::from_str(&left.text).unwrap();
    assert_eq!(left["message"], "max-queue can be \"64KiB\" only after a restart");
    let fields = serde_json::json!(
        {"option": "max-queue", "value": "64KiB", "was": "128KiB", "taken": false}
    );
    assert_eq!(left["fields"], fields);
    server.log.line("max-sessions is now 3, was 2");
    server.log.line("log-level is now as by default, was \\\"debug\\\"");
    assert_eq!(first.event("offline")["bye"]["code"], "unauthorized");
    Client::start_plain(server.addr, &with_other).event("online");
    server.stop();
}

#[test]
fn a_server_without_tokens_takes_none_before_a_restart() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", TOKEN);
    let file = folder.write("serve.toml", "protocol = \"v1\"");
    let server = Server::start_plain(&["--config", &file]);
    folder.write("serve.toml", &format!("protocol = \"v1\"\ntokens = {tokens:?}"));
    server.process.signal(Signal::HUP);
    server.log.line("only after a restart");
    Client::start_plain(server.addr, &[]).event("online");
    // With others it is as it was started.
    folder.write("serve.toml", "protocol = \"v1\"\nmax-per-address = 5");
    server.process.signal(Signal::HUP);
    server.log.line("max-per-address is now 5, was as by default");
    assert!(server.log.so_far().iter().all(|line| !line.text.contains("tokens is now")));
    server.stop();
}

#[test]
fn certificates_of_other_files_are_taken() {
    let folder = Folder::new();
    let [(old, old_key), (new, new_key)] = ["config-old", "config-new"].map(certificate);
    let file = |cert: &str, key: &str| {
        let text = format!("protocol = \"v1\"\ntls-cert = {cert:?}\ntls-key = {key:?}\n");
        folder.write("serve.toml", &text)
    };
    let server = Server::start_plain(&["--config", &file(&old, &old_key)]);
    let trusts = |cert: &str| {
        let args = ["--tls", "--tls-server-name", "localhost", "--tls-ca", cert];
        Client::start_plain(server.addr, &args)
    };
    trusts(&old).event("online");
    file(&new, &new_key);
    server.process.signal(Signal::HUP);
    server.log.line("tls-key is now");
    trusts(&new).event("online");
}

#[test]
fn a_file_with_a_fault_changes_nothing() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", TOKEN);
    let own = folder.write("own", TOKEN);
    let options = format!("tokens = {tokens:?}\n");
    let file = folder.write("serve.toml", &options);
    let server = Server::start_plain(&["--config", &file]);
    // These tokens are right, and the other files are not.
    folder.write("tokens", OTHER_TOKEN);
    for (fault, error) in [
        ("max-sesions = 5", "serve.toml:2: max-sesions: there is no such option"),
        ("drain = \"soon\"", "serve.toml:2: drain"),
        ("log-level = \"a=b=c\"", "--log-level cannot be"),
        ("protocol = \"v0\"", "protocol v0 has no tokens"),
        ("tls-cert = \"/nowhere/cert\"\ntls-key = \"/nowhere/key\"", "/nowhere/"),
        ("http = \"127.0.0.1:0\"\nhttp-token = \"/nowhere/token\"", "/nowhere/token"),
    ] {
        folder.write("serve.toml", &format!("{options}{fault}\nmax-sessions = 1\n"));
        server.process.signal(Signal::HUP);
        let said = server.log.line(error).text;
        assert!(said.contains("cannot reload, and nothing has changed: "), "{said}");
    }
    let clients = [(); 2].map(|()| Client::start_plain(server.addr, &["--token-file", &own]));
    clients.iter().for_each(|client| drop(client.event("online")));
    server.stop();
}

#[test]
fn a_fault_in_one_file_keeps_a_tunnel_from_taking_the_others() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", &format!("ann {TOKEN}"));
    let (cert, key) = certificate("tunnel-reload");
    let file =
        format!("service = \"a=127.0.0.1:7\"\nlisten = \"127.0.0.1:0\"\ntokens = {tokens:?}\n");
    let file = format!("{file}tls-cert = {cert:?}\ntls-key = {key:?}\n");
    let file = folder.write("tunnel.toml", &file);
    let mut command = heartwire(&["tunnel", "serve", "--config", &file]);
    let mut process = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    let log = Lines::of(process.0.stderr.take().unwrap());
    log.line("listening");
    let right = fs::read(&cert).unwrap();
    fs::write(&cert, "no certificate").unwrap();
    process.signal(Signal::HUP);
    log.line("cannot reload, and nothing has changed");
    assert!(log.so_far().iter().all(|line| !line.text.contains("again")));
    fs::write(&cert, right).unwrap();
    let longer = fs::read_to_string(&file).unwrap() + "max-connections = 9\nwindow = \"64KiB\"\n";
    fs::write(&file, longer).unwrap();
    process.signal(Signal::HUP);
    log.line(&format!("read {tokens} again"));
    log.line("read the certificates again");
    log.line("max-connections is now 9, was as by default");
    log.line("window can be \"64KiB\" only after a restart");
}

#[test]
fn a_drain_that_was_changed_is_that_of_the_stop() {
    let folder = Folder::new();
    let file = folder.write("serve.toml", "drain = \"1m\"");
    let mut server = Server::start_plain(&["--config", &file]);
    let client = Client::start_plain(server.addr, &[]);
    client.event("online");
    folder.write("serve.toml", "drain = \"20m\"");
    server.process.signal(Signal::HUP);
    server.log.line("drain is now");
    server.process.signal(Signal::TERM);
    // Clients come back at random moments of it.
    assert_eq!(client.event("offline")["bye"]["latest_ms"], 1_200_000.0);
    assert_eq!(server.process.exit_code(), Some(0));
}

#[test]
fn a_server_that_stops_reads_nothing_again() {
    let folder = Folder::new();
    let file = folder.write("serve.toml", "drain = \"5m\"\nprotocol = \"v0\"\n");
    let mut server = Server::start_plain(&["--config", &file]);
    // It closes them one by one.
    let _clients = [(); 20].map(|()| Peer::connect(server.addr));
    server.events.first_events("online", 20);
    server.process.signal(Signal::TERM);
    server.event("offline");
    server.process.signal(Signal::HUP);
    server.log.line("SIGHUP is ignored while the server stops");
    // Within 250 ms it would count as the same.
    thread::sleep(ms(300));
    server.process.signal(Signal::TERM);
    // At once, and not when the drain is over. It says so if the machine lets it within a second.
    assert_eq!(server.process.exit_code(), Some(0));
}
