//! What an application says of itself through standard input.

use crate::program::{Client, Server};

#[test]
fn a_client_without_input_is_degraded_until_the_next_line() {
    let server = Server::start_plain(&[]);
    // Long enough that a client which runs late on a busy machine says "ok" before the next is
    // over.
    let mut client =
        Client::start_plain(server.addr, &["--watchdog", "3s", "--commands", "--stay"]);
    for (line, number) in [("data\n", 1), ("/feed\n", 2)] {
        let degraded = server.events.first_events("health", 2 * number - 1).pop().unwrap();
        assert_eq!(degraded["health"], "degraded");
        client.type_in(line);
        let ok = server.events.first_events("health", 2 * number).pop().unwrap();
        assert_eq!(ok["health"], "ok");
    }
    // The end of the input is no check-in.
    client.end_input();
    let degraded = server.events.first_events("health", 5).pop().unwrap();
    assert_eq!(degraded["health"], "degraded");
    // A command is no data.
    assert_eq!(server.events.events_so_far("data").len(), 1);
}

#[test]
fn commands_promise_and_anything_else_is_data() {
    let server = Server::start_plain(&[]);
    let mut client = Client::start_plain(server.addr, &["--commands", "--promise", "1m"]);
    assert_eq!(client.event("promising")["interval_ms"], 60_000.0);
    let promise = server.event("promise");
    assert_eq!(
        (promise.number("interval_ms"), promise.number("timeout_ms")),
        (60_000.0, 120_000.0)
    );
    client.type_in("/promise agreed\n");
    assert!(client.events.first_events("promising", 2)[1]["interval_ms"].is_null());
    assert_eq!(server.events.first_events("promise", 2)[1]["interval_ms"], 10_000.0);
    client.type_in("/promise soon\n");
    client.events.line("/promise soon: write seconds");
    // Neither what begins with two slashes nor the middle of a long line is a command.
    client.type_in("//etc\n");
    client.type_in(&format!("{}/promise 2m\n", "a".repeat(64 * 1024)));
    let data = server.events.first_events("data", 3);
    assert_eq!(data[0]["preview"], "\"/etc\"");
    assert_eq!(
        (data[1].count("bytes"), &data[2]["preview"]),
        (64 * 1024, &"\"/promise 2m\"".into())
    );
    assert_eq!(client.events.events_so_far("promising").len(), 2);

    // Without the option, a slash is a slash.
    let mut other = Client::start_plain(server.addr, &[]);
    other.type_in("/promise 1m\n");
    assert_eq!(server.events.first_events("data", 4)[3]["preview"], "\"/promise 1m\"");
}
