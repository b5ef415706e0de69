//! A client's session over paths that end again and again. What may be lost, and when the client
//! gives up, unit tests and the simulator hold.

use heartwire::client::{Event, Resume};
use heartwire::server::{self, Control};
use heartwire::{Reason, Undelivered};
use heartwire_testkit::{ClientRig, Proxy, ServerRig, client_config};

use super::config;

const ROUNDS: u32 = 10;
/// Messages in a round: all rounds together fit into the window, because an echo cannot wait.
const MESSAGES: u32 = 50;

fn message(number: u32) -> Vec<u8> {
    let mut message = vec![0; 100];
    message[..4].copy_from_slice(&number.to_le_bytes());
    message
}

#[test]
fn messages_and_their_echoes_come_once_and_in_order_over_links_that_end() {
    let mut rig = ServerRig::echo(config().resume(server::Resume::new()));
    let proxy = Proxy::plain(rig.addr());
    let client = ClientRig::start(client_config(proxy.addr).resume(Resume::default()));
    assert!(client.online().resume.is_some());
    let (mut echoed, mut times_back) = (0, 0);
    let mut take = |client: &ClientRig, until: u32| {
        while echoed < until {
            match client.next() {
                Event::Data(data) => {
                    assert_eq!(data, message(echoed));
                    echoed += 1;
                }
                Event::Back { .. } => times_back += 1,
                Event::Away { .. }
                | Event::Waiting { .. }
                | Event::Connecting { .. }
                | Event::Failed { .. } => {}
                other => panic!("{other}"),
            }
        }
        times_back
    };
    for round in 0..ROUNDS {
        for number in 0..MESSAGES {
            client.send(&message(round * MESSAGES + number));
        }
        // Some are on their way, in both directions.
        take(&client, round * MESSAGES + MESSAGES / 2);
        proxy.hang_up();
    }
    assert!(take(&client, ROUNDS * MESSAGES) > 0);
    client.client().close();
    let end = loop {
        match client.next() {
            Event::Offline { reason, undelivered, .. } => break (reason, undelivered),
            Event::Away { .. } | Event::Waiting { .. } => {}
            Event::Connecting { .. } | Event::Failed { .. } | Event::Back { .. } => {}
            other => panic!("{other}"),
        }
    };
    assert_eq!(end, (Reason::Shutdown, Undelivered::NOTHING));
    client.closed();
    let sessions = core::iter::from_fn(|| Some(rig.next()))
        .take_while(|event| !matches!(event, server::Event::Offline { .. }))
        .filter(|event| matches!(event, server::Event::Online { .. }))
        .count();
    assert_eq!(sessions, 1);
}

#[test]
fn half_closed_session_ends_when_both_ends_have_everything() {
    let mut server = ServerRig::acting(
        config().resume(server::Resume::new()),
        |event: &server::Event<&[u8]>, control: &mut Control<'_>| match event {
            server::Event::Data { id, data } => control.send(*id, data).unwrap(),
            server::Event::Ended { id } => control.end(*id).unwrap(),
            _ => {}
        },
    );
    // It would reconnect after any other end.
    let client = ClientRig::start(client_config(server.addr()).resume(Resume::default()));
    client.online();
    client.send(&message(1));
    assert!(client.client().end());
    client.expect_data(&message(1));
    assert!(matches!(client.next(), Event::Ended));
    let Event::Offline { reason, undelivered, .. } = client.next() else {
        panic!("it does not end")
    };
    assert_eq!((reason, undelivered), (Reason::Done, Undelivered::NOTHING));
    client.closed();
    let offline = loop {
        if let server::Event::Offline { reason, undelivered, .. } = server.next() {
            break (reason, undelivered);
        }
    };
    assert_eq!(offline, (Reason::Done, Undelivered::NOTHING));
}

#[test]
fn silent_path_is_left_for_a_spare_connection_before_any_verdict() {
    let server = ServerRig::echo(config().resume(server::Resume::new()));
    let proxy = Proxy::plain(server.addr());
    let resume = Resume::default().suspect(true);
    let client = ClientRig::start(client_config(proxy.addr).resume(resume));
    client.online();
    client.send(&message(1));
    let until_data = |expected: u32| loop {
        match client.next() {
            Event::Data(data) => {
                assert_eq!(data, message(expected));
                return;
            }
            // A busy machine may be silent, too.
            Event::Away { reason, .. } => assert_eq!(reason, Reason::Suspected),
            Event::Back { .. } => {}
            other => panic!("{other}"),
        }
    };
    until_data(1);
    proxy.silence();
    client.send(&message(2));
    until_data(2);
    client.close();
}
