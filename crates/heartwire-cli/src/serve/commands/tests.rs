use heartwire::server::{Control, Event, Handler, Server, ServerConfig};
use heartwire::v1::ByeCode;
use heartwire_testkit::{BEAT, Peer, hello_as, wait_until};
use serde_json::Value;

use super::*;
use crate::output::{Target, start_stdout};
use crate::serve::args::EventKind;
use crate::values::Format;

#[test]
fn a_line_is_a_command_and_what_follows_a_name_is_sent_as_it_is() {
    let send = |to, text| Ok(Command::Send { to, text });
    let kick = |whom, reason| Ok(Command::Kick { whom, reason });
    for (line, asks_for) in [
        ("/who", Ok(Command::Who)),
        (" /help \r", Ok(Command::Help)),
        ("/all  a  b ", Ok(Command::All("a  b "))),
        ("/send bob a \"b\" c", send("bob", "a \"b\" c")),
        ("/send \"door 3\" open\r", send("door 3", "open")),
        ("/send \"\"#\\\" \" \"", send("\"#\\", "\" \"")),
        ("/kick 0-17-3", kick("0-17-3", "")),
        ("/kick \"door 3\" not today ", kick("door 3", "not today")),
    ] {
        assert_eq!(command(line), asks_for, "{line}");
    }
}

#[test]
fn anything_else_is_answered_with_a_sentence() {
    for (line, says) in [
        ("", "\"\" is no command; use /who, /send NAME TEXT,"),
        ("hello", "\"hello\" is no command"),
        ("/who else", "\"/who else\" is no command"),
        ("/k\u{1b}[31m", "\"/k\\u{1b}[31m\" is no command"),
        ("/all ", "/all needs a TEXT"),
        ("/send bob ", "/send needs a NAME and a TEXT"),
        ("/send \"\" text", "/send needs a NAME and a TEXT"),
        ("/send \"door 3 text", "the quotation mark after the NAME is missing"),
        ("/kick", "/kick needs a NAME"),
    ] {
        let error = command(line).unwrap_err();
        assert!(error.starts_with(says) && !error.contains('\n'), "{error}");
    }
}

/// A server that does nothing with its events.
struct Quiet;

impl Handler for Quiet {
    fn handle(&mut self, _: Event<&[u8]>, _: &mut Control<'_>) {}
}

struct Rig {
    server: Server,
    commands: Commands,
}

impl Rig {
    fn start() -> Self {
        let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(2);
        let server = Server::start(config, |_| Quiet).unwrap();
        let feed = Feed::new(Format::Text, vec![EventKind::Online], false);
        let output = start_stdout(Target::Stdout, feed).unwrap();
        // Among the lines of the tests nothing is printed. Commands are obeyed all the same.
        output.abandon();
        let commands = Commands::new(server.handle().clone(), output);
        Self { server, commands }
    }

    fn named(&self, name: &str) -> Peer {
        Peer::welcomed(self.server.local_addrs()[0], &hello_as(name, None)).0
    }

    fn wait_for(&self, sessions: usize) {
        wait_until("all are there", || self.server.handle().blocking_list().len() == sessions);
    }

    fn ask(&self, line: &str) -> Vec<Line> {
        self.commands.obey(line.as_bytes())
    }

    /// The list of `/who`, as JSON.
    fn who(&self) -> Vec<Value> {
        let lines = self.ask("/who");
        lines.iter().map(|line| serde_json::to_value(line).unwrap()).collect()
    }

    /// Whether a command was obeyed, and what was answered.
    #[track_caller]
    fn say(&self, line: &str) -> (bool, String) {
        let [Line::Answer { ok, text }] = <[Line; 1]>::try_from(self.ask(line)).unwrap() else {
            panic!("{line} has no answer");
        };
        (ok, text)
    }
}

#[test]
fn a_name_or_an_id_reaches_one_session_and_all_reaches_each() {
    let rig = Rig::start();
    let (mut bob, mut door) = (rig.named("bob"), rig.named("door 3"));
    rig.wait_for(2);
    let (ok, said) = rig.say("/send bob hello");
    assert!(ok && said.starts_with("5 B queued for ") && said.ends_with(" \"bob\""), "{said}");
    assert!(rig.say("/send \"door 3\" open").0);
    let (ok, said) = rig.say("/all now");
    assert_eq!((ok, said.as_str()), (true, "3 B queued for every session, 2 now"));
    let list = rig.who();
    let of_bob = list.iter().find(|line| line["name"] == "bob").unwrap();
    assert!(rig.say(&format!("/send {} by id", of_bob["session"].as_str().unwrap())).0);
    for body in [&b"hello"[..], b"now", b"by id"] {
        assert_eq!(bob.receive_data(), body);
    }
    for body in [&b"open"[..], b"now"] {
        assert_eq!(door.receive_data(), body);
    }
    for line in ["/send alice hello", "/kick alice", "/send 9-9-9 hello"] {
        let (ok, said) = rig.say(line);
        assert!(!ok && said.starts_with("there is no session "), "{said}");
    }
}

#[test]
fn an_id_goes_before_a_name_that_looks_like_it() {
    let rig = Rig::start();
    let mut first = rig.named("first");
    rig.wait_for(1);
    let id = rig.who()[0]["session"].as_str().unwrap().to_owned();
    let _thief = rig.named(&id);
    rig.wait_for(2);
    assert!(rig.say(&format!("/send {id} secret")).0);
    assert_eq!(first.receive_data(), b"secret");
}

#[test]
fn after_a_takeover_a_name_reaches_the_newer_client() {
    let rig = Rig::start();
    let mut older = rig.named("bob");
    rig.wait_for(1);
    assert!(rig.say("/send bob for the older").0);
    let mut newer = rig.named("bob");
    assert!(rig.say("/send bob for the newer").0);
    assert_eq!(newer.receive_data(), b"for the newer");
    assert_eq!(older.receive_data(), b"for the older");
    assert_eq!(older.expect_bye().0, ByeCode::TakenOver);
}

#[test]
fn a_kick_tells_the_client_why_and_not_to_come_back() {
    let rig = Rig::start();
    let mut bob = rig.named("bob");
    let mut old = Peer::connect(rig.server.local_addrs()[0]);
    old.send(&BEAT);
    rig.wait_for(2);
    let reason = "r".repeat(MAX_DETAIL_LEN);
    let (ok, said) = rig.say(&format!("/kick bob {reason}r"));
    assert_eq!((ok, said.as_str()), (false, "a reason has at most 256 bytes"));
    let (ok, said) = rig.say(&format!("/kick bob {reason}"));
    assert!(ok && said.ends_with(" \"bob\"; its client is told not to reconnect"), "{said}");
    let (_, retry, detail) = bob.expect_bye();
    assert_eq!((retry, detail), (RetryHint::Never, reason));
    rig.wait_for(1);
    let id = rig.who()[0]["session"].as_str().unwrap().to_owned();
    let (ok, said) = rig.say(&format!("/kick {id}"));
    assert!(ok && said.ends_with("because it speaks v0"), "{said}");
    rig.wait_for(0);
}

#[test]
fn sessions_are_listed_in_order_and_then_counted() {
    let rig = Rig::start();
    assert_eq!(rig.ask("/who")[0].to_string(), "who       0 sessions");
    let peers = ["a", "b", "c"].map(|name| rig.named(name));
    rig.wait_for(3);
    let (lines, list) = (rig.ask("/who"), rig.who());
    let events: Vec<_> = list.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["session", "session", "session", "who"]);
    assert_eq!(list[3]["sessions"], 3);
    for (peer, name) in peers.iter().zip(["a", "b", "c"]) {
        let at = list.iter().position(|line| line["name"] == name).unwrap();
        assert_eq!(list[at]["peer"], peer.addr().to_string());
        assert!(list[at]["epoch"].as_u64() > Some(0), "{}", list[at]);
        assert!(list[at]["silence_ms"].is_number() && list[at]["rtt_ms"].is_null());
        let says = format!(" {name:?} {}: silent for ", peer.addr());
        assert!(lines[at].to_string().contains(&says), "{}", lines[at]);
    }
}

#[test]
fn a_line_that_is_too_long_is_not_obeyed_and_the_last_needs_no_end() {
    let rig = Rig::start();
    let mut bob = rig.named("bob");
    rig.wait_for(1);
    let long = "x".repeat(64 * 1024);
    let input = [b"/send bob ", long.as_bytes(), b"\n/send bob \xff\n/send bob yes"].concat();
    rig.commands.obey_all(&mut input.as_slice()).unwrap();
    assert_eq!(bob.receive_data(), b"yes");
}
