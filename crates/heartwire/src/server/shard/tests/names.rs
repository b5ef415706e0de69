//! Those that wait for a name whose older session does not end: its shard stands still.

use heartwire_core::Caps;
use heartwire_core::v1::{ByeCode, Retry};
use heartwire_testkit::{Got, hello, hello_as, ms};

use super::v1;
use crate::Reason;
use crate::server::rig::Rig;
use crate::server::{ServerConfig, SessionId};
use crate::toy::Toy;

/// Clients come in turn to the first and to the second shard, which stands still. One of its
/// clients has a name, and one that is returned waits for that, on the shard that runs.
#[track_caller]
fn waits(config: ServerConfig) -> (Rig, SessionId, Toy) {
    let mut rig = Rig::start(config.shards(2));
    rig.welcomed(&hello());
    let (_, holder) = rig.welcomed(&hello_as("a", None));
    rig.stand_still(1, true);
    let waiting = rig.door.connect();
    waiting.send(&hello_as("a", None));
    rig.expect_nothing();
    assert_eq!(waiting.got_but_beats(), []);
    (rig, holder, waiting)
}

#[test]
fn who_waits_for_a_name_makes_room_for_those_that_come_later_and_is_told() {
    // One for each shard.
    let (mut rig, holder, waiting) = waits(v1().pending_max(2));
    // This one is handed to the shard that stands still, the next one is not.
    let (_handed_over, next) = (rig.door.connect(), rig.door.connect());
    rig.run();
    let got = waiting.got();
    assert!(matches!(got[..], [Got::Bye(ByeCode::Full, Retry::AtWill, _)]), "{got:?}");
    next.send(&hello());
    rig.run();
    rig.told_online();
    assert_eq!(rig.handle.stats().turned_away_full, 1);
    // The name is not lost: the older session ends all the same, and then it is free.
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
    rig.welcomed(&hello_as("a", None));
}

#[test]
fn who_waits_for_a_name_at_the_end_of_the_server_is_told() {
    let (mut rig, _, waiting) = waits(v1().drain(ms(1_700)));
    rig.handle.shut_down();
    rig.run();
    let got = waiting.got();
    let [Got::Bye(ByeCode::Draining, retry, _)] = got[..] else { panic!("{got:?}") };
    assert_eq!(retry, Retry::Within { earliest: ms(0), latest: ms(1_700) });
}

#[test]
fn who_waits_too_long_for_a_name_is_told_and_may_come_again() {
    let caps = Caps::default().first_frame(Some(ms(1_500)));
    let (mut rig, holder, waiting) = waits(v1().caps(caps));
    rig.pass(ms(1_499));
    assert_eq!(waiting.got(), []);
    rig.pass(ms(5));
    let got = waiting.got();
    let [Got::Bye(ByeCode::NameInUse, Retry::AtWill, detail)] = &got[..] else { panic!("{got:?}") };
    assert!(detail.contains("older session"), "{detail}");
    // The holder ends after all.
    rig.stand_still(1, false);
    rig.run();
    assert_eq!(rig.offline(holder).0, Reason::TakenOver);
}
