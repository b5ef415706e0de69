//! The page at `/` of `serve --http`, in a real Chromium that a script drives.

use core::net::SocketAddr;
use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heartwire_testkit::{Lines, Process, lasting_address, skip};
use tempfile::TempDir;

use crate::program::{Client, Server};

const TOKEN: &str = "a-token-of-the-page";

/// Where `.ci/run` installs `playwright-core`, unless `NODE_PATH` says otherwise.
const NODE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/node_modules");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/page.mjs");

/// The timeout of servers and clients, in milliseconds.
const TIMEOUT: f64 = 6_000.0;
const TIMES: [&str; 4] = ["--interval", "300ms", "--timeout", "6s"];

/// A server with HTTP, and what it needs.
struct Web {
    server: Server,
    http: SocketAddr,
    _directory: TempDir,
}

impl Web {
    #[track_caller]
    fn start() -> Self {
        Self::start_at("127.0.0.1:0", lasting_address())
    }

    #[track_caller]
    fn start_at(listen: &str, http: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let token = directory.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        let at = http.to_string();
        let options = ["--http", &at, "--http-token", token.to_str().unwrap()];
        let server = Server::start_plain_on(listen, &[&options[..], &TIMES].concat());
        Self { server, http, _directory: directory }
    }

    /// A client of that name, which is online.
    #[track_caller]
    fn client(&self, name: &str) -> Client {
        let args = ["--name", name, "--stay", "--retry", "100ms"];
        let client = Client::start_plain(self.server.addr, &[&args[..], &TIMES].concat());
        client.event("online");
        client
    }
}

/// The script in a browser. What it has to complain of is on its standard error, which is the
/// test's.
struct Browser {
    process: Process,
    stdin: ChildStdin,
    printed: Lines,
    _alone: MutexGuard<'static, ()>,
}

/// One browser at a time: each keeps a processor busy.
static ALONE: Mutex<()> = Mutex::new(());

impl Browser {
    /// `None`: something that it needs is not installed.
    #[track_caller]
    fn start(story: &str, web: &Web) -> Option<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("node");
        command.arg(SCRIPT).arg(story).arg(format!("http://{}/", web.http)).arg(TOKEN);
        if env::var_os("NODE_PATH").is_none() {
            command.env("NODE_PATH", NODE_PATH);
        }
        let mut process = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(child) => Process(child),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip("node is not installed");
                return None;
            }
            Err(error) => panic!("cannot run node: {error}"),
        };
        let stdin = process.0.stdin.take().unwrap();
        let printed = Lines::of(process.0.stdout.take().unwrap());
        match printed.first(1)[0].text.strip_prefix("skipped: ") {
            Some(why) => {
                skip(why);
                None
            }
            None => Some(Self { process, stdin, printed, _alone: alone }),
        }
    }

    /// Waits until the script asks for this.
    #[track_caller]
    fn asks(&self, what: &str) {
        self.printed.line(what);
    }

    /// Tells it that it is done.
    #[track_caller]
    fn tell(&mut self) {
        self.stdin.write_all(b"done\n").unwrap();
    }

    /// Waits until it has seen all that it looks for.
    #[track_caller]
    fn done(mut self) {
        self.printed.line("done");
        assert_eq!(self.process.exit_code(), Some(0));
    }
}

#[test]
fn page_shows_who_is_silent_and_who_is_dead() {
    let web = Web::start();
    let Some(mut browser) = Browser::start("silence", &web) else { return };
    let hostile = "<img src=x onerror=\"document.title='owned'\">";
    let mut clients = ["frozen", "beating", hostile].map(|name| web.client(name));
    browser.tell();

    browser.asks("freeze");
    clients[2].type_in("<script>document.title = 'owned'</script>\n");
    clients[0].process.freeze();
    browser.tell();
    let shown = browser.printed.line("verdict ").text;
    let verdict = web.server.event("verdict");
    verdict.expect_silence_of(TIMEOUT);
    let shown: f64 = shown.strip_prefix("verdict ").unwrap().parse().unwrap();
    assert!((shown * 1000.0 - verdict.number("silence_ms")).abs() < 51.0, "{shown}: {verdict:?}");

    browser.asks("thaw");
    clients[0].process.thaw();
    browser.tell();
    browser.done();
}

#[test]
fn page_obeys_the_keys_alone_and_ends_a_session_with_the_token_only() {
    let web = Web::start();
    let Some(mut browser) = Browser::start("keys", &web) else { return };
    let _clients = ["one", "a victim", "two"].map(|name| web.client(name));
    browser.tell();
    let offline = web.server.event("offline");
    assert_eq!((&offline["name"], &offline["reason"]), (&"a victim".into(), &"kicked".into()));
    browser.done();
}

#[test]
fn page_is_readable_everywhere_and_runs_nothing_but_its_own_script() {
    let web = Web::start();
    let Some(mut browser) = Browser::start("looks", &web) else { return };
    let _clients = ["one", "two", "three"].map(|name| web.client(name));
    browser.tell();
    browser.done();
}

#[test]
fn page_says_that_the_server_is_gone_and_finds_the_next_one() {
    let web = Web::start();
    let Some(mut browser) = Browser::start("restart", &web) else { return };
    let clients = ["one", "two", "three"].map(|name| web.client(name));
    browser.tell();

    browser.asks("stop");
    let http = web.http;
    drop(web);
    drop(clients);
    browser.tell();
    browser.asks("start");
    let web = Web::start_at("127.0.0.1:0", http);
    let clients = ["four", "five"].map(|name| web.client(name));
    browser.tell();
    browser.asks("freeze");
    clients[0].process.freeze();
    browser.tell();
    browser.done();
}
