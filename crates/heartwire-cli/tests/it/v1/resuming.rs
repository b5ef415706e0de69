//! Sessions that outlive their connections, between our programs and the second implementation.

use core::net::SocketAddr;
use std::thread;
use std::time::Instant;

use heartwire_testkit::{LineEvent as Event, Lines, PATIENCE, ms};

use crate::program::{Client, Server};
use crate::side_by_side;

use super::second::{QUICK, QUICK_MS, Second, python_is_missing};

/// Windows of 64 KiB, and a grace of 1 min.
const RESUME: [&str; 4] = ["--resume", "65536", "65536", "60000"];
/// An ACK of 9 frames of 99 bytes, which were not sent.
const BAD_ACK: &str = "raw 060000001000000009000000000000006300000000000000";

/// A server that answers with capitals.
#[track_caller]
fn server(args: &[&str]) -> Server {
    Server::start_plain(&[&QUICK[..], &["--on-data", "upper"], args].concat())
}

#[track_caller]
fn client_of(server: SocketAddr) -> Second {
    let second = Second::client(server, &[&["--name", "bob"], &RESUME[..], &QUICK_MS].concat());
    second.event("welcome");
    second
}

/// Waits for so many messages, and returns their texts.
fn texts(events: &Lines, count: usize) -> Vec<String> {
    events.first_events("data", count).iter().map(|data| data.text("text").to_owned()).collect()
}

/// Has it do this again and again, until its answer is so.
#[track_caller]
fn ask_until(second: &mut Second, command: &str, is_so: fn(&Event) -> bool) {
    let (begun, before) = (Instant::now(), second.events.events_so_far(command).len());
    for number in before + 1.. {
        second.obey(command);
        if is_so(&second.events.first_events(command, number)[number - 1]) {
            return;
        }
        // upper bound: it is not so, however long one waits.
        assert!(begun.elapsed() < PATIENCE, "{command} never says so");
        thread::sleep(ms(20));
    }
}

#[test]
fn its_client_goes_on_with_a_session_of_our_server() {
    if python_is_missing() {
        return;
    }
    let server = server(&[]);
    let mut second = client_of(server.addr);
    let online = server.event("online");
    second.obey("data one");
    second.event("data");
    // What is answered here waits unread when the link is cut.
    second.obey("pause");
    second.event("pause");
    second.obey("data two");
    ask_until(&mut second, "peek", |peek| peek["data"] == 1);
    second.obey("cut");
    second.event("back");
    second.obey("data three");
    assert_eq!(texts(&second.events, 3), ["ONE", "TWO", "THREE"]);
    let (away, back) = (server.event("away"), server.event("back"));
    assert_eq!((&away["session"], &away["reason"]), (&online["session"], &"reset".into()));
    assert_eq!((&back["session"], &back["replayed"]), (&online["session"], &1.into()));

    // The newest link wins, and the older one is reset. What was written to it has arrived.
    second.obey("data four");
    second.obey("cut {\"keep\": true}");
    assert_eq!(second.event("older")["answer"], "ConnectionResetError");
    assert_eq!(second.events.first_events("back", 2)[1]["link"], 3);
    assert_eq!(texts(&second.events, 4)[3], "FOUR");
    assert_eq!(server.events.first_events("back", 2)[1]["session"], online["session"]);

    second.obey("end");
    server.event("ended");
    second.obey("bye 0 1");
    let over = second.event("over");
    assert_eq!((&over["exact"], &over["undelivered"]["frames"]), (&true.into(), &0.into()));
    let offline = server.event("offline");
    assert_eq!((&offline["reason"], &offline["undelivered"]), (&"bye".into(), &0.into()));
    assert_eq!(server.events.events_so_far("online").len(), 1);
    assert_eq!(server.events.events_so_far("away").len(), 1);
}

#[test]
fn our_client_goes_on_with_a_session_of_its_server() {
    if python_is_missing() {
        return;
    }
    let (mut second, addr) = Second::server(&[&RESUME[..], &QUICK_MS].concat());
    let mut client = Client::start_plain(addr, &[&QUICK[..], &["--name", "bob"]].concat());
    let online = client.event("online");
    assert_eq!((&online["grace_ms"], &online["window"]), (&60_000.0.into(), &65_536.into()));
    client.type_in("one\n");
    second.event("data");
    // What its application has not taken over survives the link there.
    second.obey("hold");
    second.event("hold");
    second.obey("data eins");
    client.output.line("eins");
    client.type_in("two\n");
    second.obey("cut");
    client.event("away");
    client.type_in("three\n");
    let back = client.event("back");
    assert_eq!(back["session"], online["session"]);
    second.obey("data zwei");
    client.output.line("zwei");
    second.obey("take");
    assert_eq!(texts(&second.events, 3), ["one", "two", "three"]);

    // A verdict ends a link as well.
    second.obey("mute");
    client.type_in("four\n");
    let away = &client.events.first_events("away", 2)[1];
    assert_eq!(away["reason"], "dead");
    client.events.first_events("back", 2);
    assert_eq!(texts(&second.events, 4)[3], "four");

    // A server that cannot prove itself is another one: the session waits for its own.
    second.obey("cut {\"proof\": true}");
    let failed = client.event("failed");
    assert_eq!(failed["violation"], "bad_welcome", "{failed:?}");
    client.events.first_events("back", 3);

    let events = client.stop();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("online").len(), 1);
    let offline = of("offline")[0];
    assert_eq!((&offline["undelivered"], &offline["undelivered_exact"]), (&0.into(), &true.into()));
    second.event("bye");
}

#[test]
fn everything_arrives_once_and_in_order_through_many_cuts() {
    if python_is_missing() {
        return;
    }
    let lines: Vec<String> = (0..400).map(|number| format!("LINE {number}")).collect();
    let (to_server, to_client) = (lines.clone(), lines.clone());
    let as_server = thread::spawn(move || {
        let server = server(&[]);
        let mut second = client_of(server.addr);
        for (number, line) in to_server.iter().enumerate() {
            second.obey(&format!("data {line}"));
            if number % 50 == 49 {
                second.obey("cut");
            }
        }
        assert_eq!(texts(&second.events, to_server.len()), to_server);
        server.events.first_events("back", 8);
        // It prints later than it answers.
        server.events.first_events("data", to_server.len());
        assert_eq!(server.events.events_so_far("data").len(), to_server.len());
        assert!(server.events.events_so_far("offline").is_empty());
    });
    let (mut second, addr) = Second::server(&[&RESUME[..], &QUICK_MS].concat());
    let mut client = Client::start_plain(addr, &[&QUICK[..], &["--name", "bob"]].concat());
    client.event("online");
    second.obey("echo");
    second.event("echo");
    for (number, lines) in to_client.chunks(50).enumerate() {
        client.type_in(&format!("{}\n", lines.join("\n")));
        second.events.first_events("data", 50 * number + 25);
        second.obey("cut");
        client.events.first_events("back", number + 1);
    }
    assert_eq!(texts(&second.events, to_client.len()), to_client);
    let echoed: Vec<_> =
        client.output.first(to_client.len()).into_iter().map(|line| line.text).collect();
    assert_eq!(echoed, to_client);
    assert!(client.events.events_so_far("offline").is_empty());
    as_server.join().expect("as a server as well");
}

#[test]
fn our_client_keeps_to_the_window_of_a_slow_application_through_a_cut() {
    if python_is_missing() {
        return;
    }
    let (mut second, addr) = Second::server(&[&RESUME[..], &QUICK_MS].concat());
    let mut client = Client::start_plain(addr, &[&QUICK[..], &["--name", "bob"]].concat());
    client.event("online");
    second.obey("hold");
    second.event("hold");
    // Three windows; the second implementation closes if more than one comes.
    let lines: Vec<String> = (0..400).map(|number| format!("{number:0492}")).collect();
    client.type_in(&format!("{}\n", lines.join("\n")));
    ask_until(&mut second, "hold", |held| held["received"][1].as_u64() > Some(65_536 - 500));
    second.obey("cut");
    second.event("back");
    second.obey("take");
    let taken: Vec<String> = lines.iter().map(|line| line[..100].to_owned()).collect();
    assert_eq!(texts(&second.events, lines.len()), taken);
}

#[test]
fn our_server_answers_a_client_that_resumes_in_the_order_of_the_page() {
    if python_is_missing() {
        return;
    }
    side_by_side(&[
        ("a wrong proof, and a link that is not higher", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey("cut {\"proof\": true, \"link\": 0, \"again\": true}");
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (4, 0));
            second.event("back");
            second.obey("cut {\"link\": 1, \"received\": [9, 9], \"again\": true}");
            let bye = &second.events.first_events("bye", 2)[1];
            assert_eq!((bye.count("code"), bye.count("retry")), (4, 1));
            second.events.first_events("back", 2);
            second.obey("data hey");
            second.event("data");
            assert!(server.events.events_so_far("offline").is_empty());
        }),
        ("a position where no frame ends", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey("cut {\"received\": [9, 9]}");
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (9, 1));
            assert_eq!(server.event("offline")["violation"], "bad_position");
        }),
        ("a WELCOME that does not arrive", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey("cut {\"before_welcome\": true}");
            assert_eq!(second.event("back")["link"], 3);
            second.obey("data hey");
            second.event("data");
            assert!(server.events.events_so_far("offline").is_empty());
        }),
        ("a session that it never had", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey("cut {\"server\": 12345, \"only\": true}");
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (13, 1));
            assert_eq!(second.event("lost")["exact"], false);
            let mut second = client_of(server.addr);
            second.obey("cut {\"server\": 12345}");
            assert_eq!(second.event("lost")["exact"], false);
            assert!(second.events.first_events("welcome", 2)[1]["resume"].is_object());
            // A proof for it would be wrong.
            second.obey("cut {\"session\": 12345}");
            assert_eq!(second.event("bye").count("code"), 4);
        }),
        ("a session that it has given up", || {
            let server = server(&["--grace", "5s"]);
            let mut second = client_of(server.addr);
            server.event("online");
            second.obey("data hey");
            second.event("data");
            second.obey("cut {\"waits\": true}");
            let offline = server.event("offline");
            assert_eq!(offline["reason"], "not_back");
            second.obey("go");
            let lost = second.event("lost");
            assert_eq!(lost["exact"], true);
            assert_eq!(lost["undelivered"]["frames"], 0);
            server.events.first_events("online", 2);
        }),
        ("an acknowledgement of what was not sent", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey(BAD_ACK);
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (9, 1));
            assert!(bye["taken"].is_array(), "{bye:?}");
            assert_eq!(server.event("offline")["violation"], "bad_position");
        }),
        ("a message after the END", || {
            let server = server(&[]);
            let mut second = client_of(server.addr);
            second.obey("end");
            second.obey("raw 0100000000000000");
            assert_eq!(second.event("bye").count("code"), 9);
            assert_eq!(server.event("offline")["violation"], "unexpected");
        }),
    ]);
}

/// Its server, with our client, of which a message was taken over.
#[track_caller]
fn heard_of() -> (Second, Client) {
    let (second, addr) = Second::server(&[&RESUME[..], &QUICK_MS].concat());
    let args = [&QUICK[..], &["--name", "bob", "--retry", "100ms"]].concat();
    let mut client = Client::start_plain(addr, &args);
    client.type_in("hey\n");
    second.event("data");
    (second, client)
}

#[test]
fn our_client_judges_a_server_that_it_comes_back_to() {
    if python_is_missing() {
        return;
    }
    side_by_side(&[
        ("that has restarted", || {
            let (mut second, mut client) = heard_of();
            second.obey("hold");
            second.event("hold");
            client.type_in("you\n");
            ask_until(&mut second, "hold", |held| held["received"][0] == 2);
            second.obey("forget");
            let offline = client.event("offline");
            assert_eq!(offline["reason"], "not_resumed");
            assert_eq!(offline["undelivered_exact"], false);
            let online = &client.events.first_events("online", 2)[1];
            assert_eq!(online["epoch"], 2);
        }),
        ("that has ended the session, and says what it took over", || {
            let (mut second, client) = heard_of();
            second.obey("cut {\"over\": true}");
            let offline = client.event("offline");
            assert_eq!(offline["reason"], "not_resumed");
            assert_eq!(
                (&offline["undelivered"], &offline["undelivered_exact"]),
                (&0.into(), &true.into())
            );
            client.events.first_events("online", 2);
        }),
        ("that has received what was not sent", || {
            let (mut second, client) = heard_of();
            second.obey("cut {\"received\": [9, 9]}");
            assert_eq!(client.event("offline")["violation"], "bad_position");
        }),
        ("that acknowledges what was not sent", || {
            let (mut second, client) = heard_of();
            second.obey(BAD_ACK);
            assert_eq!(client.event("offline")["violation"], "bad_position");
            assert_eq!(second.event("bye").count("code"), 9);
        }),
    ]);
}
