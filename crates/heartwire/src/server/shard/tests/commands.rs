//! Commands of the application to sessions.

use core::pin::pin;

use futures_util::FutureExt as _;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, hello, hello_as, ms};

use super::v1;
use crate::Reason;
use crate::server::rig::Rig;
use crate::server::{CommandError, Event, SessionInfo};

#[test]
fn a_client_that_is_kicked_is_told_not_to_come_back() {
    let mut rig = Rig::start(v1());
    let (client, id) = rig.welcomed(&hello());
    rig.handle.kick(id).unwrap();
    rig.run();
    assert_eq!(rig.offline(id).0, Reason::Kicked);
    let bye = Got::Bye(ByeCode::Kicked, RetryHint::Never, String::new());
    assert_eq!(client.got_but_beats(), [bye]);
}

#[test]
fn a_handler_that_kicks_keeps_the_client_out_too() {
    let mut rig = Rig::acting(v1(), |event, control| {
        if let Event::Online { id, .. } = event {
            control.kick(*id).unwrap();
        }
    });
    let client = rig.door.connect();
    client.send(&hello());
    rig.run();
    let got = client.got_but_beats();
    assert!(
        matches!(&got[..], [Got::Welcome(_), Got::Bye(ByeCode::Kicked, RetryHint::Never, _)]),
        "{got:?}"
    );
}

#[test]
fn a_client_that_is_kicked_for_a_while_is_told_why_and_for_how_long() {
    let retry = RetryHint::Within { earliest: ms(300), latest: ms(400) };
    let mut rig = Rig::acting(v1(), move |event, control| {
        if let Event::Online { id, .. } = event {
            control.kick_with(*id, retry, "too loud").unwrap();
        }
    });
    let client = rig.door.connect();
    client.send(&hello());
    rig.run();
    let bye = Got::Bye(ByeCode::Kicked, retry, "too loud".into());
    assert_eq!(client.got_but_beats().pop(), Some(bye));
}

/// An application that still hears of the last clients has no need to know that they were the last.
#[test]
fn a_server_that_has_shutdown_has_no_one_to_broadcast_to() {
    let mut rig = Rig::start(v1());
    let (_client, id) = rig.welcomed(&hello());
    let handle = rig.handle.clone();
    handle.shutdown();
    drop(rig);
    assert_eq!(handle.send(id, b"bye"), Err(CommandError::Gone));
    assert_eq!(handle.broadcast(b"bye"), Ok(()));
}

/// A client takes it for no BYE at all.
#[test]
fn a_window_that_ends_before_it_begins_is_not_said() {
    let mut rig = Rig::start(v1());
    let (client, id) = rig.welcomed(&hello());
    let retry = RetryHint::Within { earliest: ms(300), latest: ms(200) };
    rig.handle.kick_with(id, retry, "").unwrap();
    rig.run();
    let retry = RetryHint::Within { earliest: ms(300), latest: ms(300) };
    let bye = Got::Bye(ByeCode::Kicked, retry, String::new());
    assert_eq!(client.got_but_beats(), [bye]);
}

#[test]
fn a_task_that_lists_sessions_waits_for_every_shard_and_blocks_no_thread() {
    let mut rig = Rig::start(v1().threads(2));
    let (_client, id) = rig.welcomed(&hello());
    let handle = rig.handle.clone();
    let mut list = pin!(handle.list());
    assert_eq!(list.as_mut().now_or_never(), None);
    rig.stand_still(1, true);
    rig.run();
    assert_eq!(list.as_mut().now_or_never(), None);
    rig.stand_still(1, false);
    rig.run();
    let ids = |list: Vec<SessionInfo>| list.iter().map(|info| info.id).collect::<Vec<_>>();
    assert_eq!(list.now_or_never().map(ids), Some(vec![id]));

    // A shard that ends first is not waited for.
    let mut list = pin!(handle.list());
    assert_eq!(list.as_mut().now_or_never(), None);
    rig.end_last_shard();
    rig.run();
    assert_eq!(list.now_or_never().map(ids), Some(vec![id]));
}

#[test]
fn a_broadcast_can_reach_a_client_before_the_application_knows_of_it() {
    let mut rig = Rig::start(v1());
    let client = rig.door.connect();
    client.send(&hello());
    rig.run();
    rig.handle.broadcast(b"all").unwrap();
    rig.run();
    assert_eq!(client.got_but_beats().pop(), Some(Got::Data(b"all".to_vec())));
    rig.told_online();
}

#[test]
fn messages_that_a_handler_sends_after_a_broadcast_arrive_before_it() {
    let mut rig = Rig::acting(v1(), |event, control| {
        if let Event::Online { id, .. } = event {
            control.broadcast(b"all").unwrap();
            control.send(*id, b"one").unwrap();
        }
    });
    let client = rig.door.connect();
    client.send(&hello());
    rig.run();
    let data = [b"one", b"all"].map(|data| Got::Data(data.to_vec()));
    assert_eq!(client.got_but_beats()[1..], data);
}

#[test]
fn client_with_a_newer_session_elsewhere_may_come_back_only_if_that_is_its_own() {
    let soon = RetryHint::Within { earliest: ms(0), latest: ms(1_000) };
    for (same_client, retry) in [(false, RetryHint::Never), (true, soon)] {
        let mut rig = Rig::start(v1());
        let (client, id) = rig.welcomed(&hello_as("a", None));
        rig.handle.take_over(id, same_client).unwrap();
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::TakenOver);
        let got = client.got_but_beats();
        let [Got::Bye(ByeCode::TakenOver, told, _)] = got[..] else { panic!("{got:?}") };
        assert_eq!(told, retry);
        // The name is free, and a command that comes late ends nothing.
        rig.handle.take_over(id, same_client).unwrap();
        rig.welcomed(&hello_as("a", None));
        rig.expect_nothing();
    }
}
