//! Load shedding: clients that have left, or have waited too long, are not served.

use core::time::Duration;

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{Got, hello, hello_as, ms, timeout};

use super::{v0, v1};
use crate::Reason;
use crate::server::ServerConfig;
use crate::server::limits::{Admission, Limits};
use crate::server::rig::Rig;
use crate::toy::Toy;

/// Longer than a HELLO may have waited.
const LONG: Duration = ms(2_400);

fn soon() -> ServerConfig {
    v1().admission(Admission::default().stale_after(ms(2_000)))
}

#[test]
fn a_client_that_has_said_hello_and_left_is_not_told_of_and_claims_no_name() {
    let mut rig = Rig::start(soon());
    let mut epoch = |name| {
        let client = rig.door.connect();
        client.send(&hello_as(name, None));
        rig.run();
        rig.told_online().1.unwrap().epoch
    };
    let before = epoch("first");
    let ends: [fn(&Toy); 2] = [Toy::close, Toy::reset];
    for end in ends {
        let client = rig.door.connect();
        client.send(&hello_as("gone", None));
        end(&client);
        rig.run();
    }
    rig.expect_nothing();
    let counts = ["closed_by_peer", "reset", "rejected"].map(|name| rig.count(name));
    assert_eq!(counts, [1, 1, 0]);
    let client = rig.door.connect();
    client.send(&hello_as("gone", None));
    rig.run();
    assert_eq!(rig.told_online().1.unwrap().epoch, before + 1);
}

/// The poller tells of an end, so the socket is not asked for each HELLO.
#[test]
fn a_client_that_leaves_after_the_poller_told_of_its_hello_comes_online_and_goes() {
    let mut rig = Rig::start(soon());
    let (talker, talks) = rig.welcomed(&hello());
    let client = rig.door.connect();
    rig.run();
    talker.data(b"before the HELLO is read");
    client.send(&hello_as("gone", None));
    rig.meanwhile(move || client.close());
    rig.run();
    rig.expect_data(talks, b"before the HELLO is read");
    let (id, agreed) = rig.told_online();
    assert_eq!(agreed.unwrap().name.as_deref(), Some("gone"));
    assert_eq!(rig.offline(id).0, Reason::ClosedByPeer);
}

#[test]
fn a_hello_that_has_waited_too_long_is_rejected_and_a_fresh_one_is_not() {
    /// More of them than are accepted in a turn.
    const CROWD: u64 = 300;
    let mut rig = Rig::start(soon());
    // One that was accepted before, and those that the kernel has.
    let mut old = vec![rig.door.connect()];
    rig.run();
    old.extend((1..CROWD).map(|_| rig.door.connect()));
    old.iter().for_each(|client| client.send(&hello()));
    rig.toy.pass(LONG);
    let fresh = rig.door.connect();
    fresh.send(&hello_as("fresh", None));
    rig.run();
    for client in old {
        let got = client.got_but_beats();
        let [Got::Bye(ByeCode::Full, RetryHint::AtWill, detail)] = &got[..] else {
            panic!("{got:?}")
        };
        assert!(detail.contains("too late"), "{detail}");
    }
    assert_eq!(rig.told_online().1.unwrap().name.as_deref(), Some("fresh"));
    rig.expect_nothing();
    assert_eq!(rig.count("rejected"), CROWD);
}

#[test]
fn a_client_of_v0_is_accepted_however_long_it_has_waited() {
    let mut rig = Rig::start(soon());
    let client = rig.door.connect();
    client.beat();
    rig.toy.pass(LONG);
    rig.run();
    assert!(rig.told_online().1.is_none());
    assert_eq!(rig.count("rejected"), 0);
}

/// What counts is how long the HELLO has been here, not how long it took.
#[test]
fn a_client_whose_hello_came_slowly_is_served() {
    let mut rig = Rig::start(soon().limits(Limits::default().handshake_timeout(Some(ms(60_000)))));
    let (silent, slow) = (rig.door.connect(), rig.door.connect());
    let hello = hello();
    slow.send(&hello[..20]);
    rig.run();
    rig.toy.pass(LONG);
    // The server is behind, but these have just come.
    silent.send(&hello);
    slow.send(&hello[20..]);
    rig.run();
    rig.told_online();
    rig.told_online();
    assert_eq!(rig.count("rejected"), 0);
}

#[test]
fn without_stale_after_all_clients_are_served() {
    let mut rig = Rig::start(v1().admission(Admission::default().stale_after(Duration::MAX)));
    let late = rig.door.connect();
    late.send(&hello());
    rig.toy.pass(LONG);
    rig.run();
    assert!(matches!(late.got()[..], [Got::Welcome(_), ..]));
}

/// The shard waits for no deadline meanwhile, so that nothing tells it that it was held up.
#[test]
fn bytes_that_came_while_the_shard_was_held_up_count_from_their_arrival() {
    let mut rig = Rig::start(v0().policy(timeout(60_000)));
    let ((first, first_id), (second, second_id)) = (rig.online(), rig.online());
    first.data(b"hold");
    let toy = rig.toy.clone();
    rig.meanwhile(move || {
        second.beat();
        toy.pass(ms(300));
    });
    rig.run();
    rig.expect_data(first_id, b"hold");
    assert!(rig.inbox().pauses.is_empty());
    let silence = rig.silence(second_id);
    // The kernel tells it in jiffies: three.
    assert!(silence >= ms(300 - 3 * 4) && silence <= ms(300), "{silence:?}");
}
