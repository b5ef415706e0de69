//! What a shutdown waits for, and for how long.

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, hello, ms};

use super::{v0, v1};
use crate::Reason;
use crate::server::rig::Rig;

/// Of broadcasts a shard carries out one in a turn.
#[test]
fn messages_from_before_the_shutdown_are_sent() {
    let mut rig = Rig::start(v0());
    let (client, id) = rig.online();
    rig.handle.send(id, b"goodbye").unwrap();
    rig.handle.broadcast(b"to all").unwrap();
    rig.handle.broadcast(b"for good").unwrap();
    rig.handle.shutdown();
    rig.run();
    let said = [&b"goodbye"[..], b"to all", b"for good"];
    assert_eq!(client.got(), said.map(|body| Got::Data(body.to_vec())));
}

/// Whether the queue holds what its client has not taken, or the kernel.
#[test]
fn a_client_that_never_reads_holds_it_up_for_the_drain_and_no_longer() {
    for is_queued in [true, false] {
        let mut rig = Rig::start(v0().drain(ms(1_400)));
        let (idle, idle_id) = rig.online();
        let (stuck, stuck_id) = rig.online();
        if is_queued {
            stuck.state().room = 0;
        } else {
            // One byte, and the end.
            stuck.state().unacknowledged = Some(2);
        }
        rig.handle.send(stuck_id, b"news").unwrap();
        rig.run();
        rig.handle.shutdown();
        // Two clients that cannot be told when to come back, one after the other.
        rig.pass(ms(700));
        // The others do not wait for it.
        assert!(idle.state().is_shutdown);
        idle.close();
        rig.run();
        assert_eq!(rig.offline(idle_id).0, Reason::Shutdown);
        rig.pass(ms(699));
        rig.expect_nothing();
        rig.pass(ms(5));
        assert_eq!(rig.offline(stuck_id).0, Reason::Unacknowledged);
        assert!(stuck.state().is_closed);
        assert_eq!((rig.count("shutdown"), rig.count("unacknowledged")), (1, 1));
    }
}

/// The BYE says the same, and a later call changes nothing.
#[test]
fn a_shutdown_can_be_given_another_time_than_the_configured_one() {
    let mut rig = Rig::start(v1().drain(ms(60_000)));
    let (client, id) = rig.welcomed(&hello());
    client.state().unacknowledged = Some(2);
    rig.handle.shutdown_within(ms(2_000));
    rig.handle.shutdown_within(ms(0));
    rig.handle.shutdown();
    rig.run();
    let retry = RetryHint::Within { earliest: ms(0), latest: ms(2_000) };
    let bye = Got::Bye(ByeCode::Draining, retry, String::new());
    assert_eq!(client.got_but_beats(), [bye]);
    rig.pass(ms(1_999));
    rig.expect_nothing();
    rig.pass(ms(5));
    assert_eq!(rig.offline(id).0, Reason::Unacknowledged);
}

/// A client that was ended shortly before, and does not close, has no more time than the others.
#[test]
fn one_that_has_ended_and_does_not_close_holds_it_up_for_the_drain_and_no_longer() {
    let mut rig = Rig::start(v0().drain(ms(0)));
    let (stays, id) = rig.online();
    rig.handle.kick(id).unwrap();
    rig.run();
    assert_eq!(rig.offline(id).0, Reason::Kicked);
    let before = rig.turns(0);
    rig.handle.shutdown();
    rig.pass(ms(5));
    assert!(stays.state().is_closed);
    let turns = rig.turns(0) - before;
    assert!(turns < 10, "{turns} turns");
}

#[test]
fn clients_that_cannot_be_told_when_to_come_back_are_closed_one_by_one() {
    let mut rig = Rig::start(v0().drain(ms(3_000)));
    let clients: Vec<_> = (0..5).map(|_| rig.online()).collect();
    rig.handle.shutdown();
    for (client, id) in clients {
        rig.run();
        assert!(client.state().is_shutdown);
        client.close();
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::Shutdown);
        // The next one is closed no sooner than a fifth of all but the last second.
        rig.pass(ms(399));
        rig.expect_nothing();
        rig.pass(ms(1));
    }
}
