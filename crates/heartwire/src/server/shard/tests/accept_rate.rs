//! The accept rate: clients that connect and are not accepted.

use core::net::Ipv4Addr;
use core::num::NonZeroU32;

use heartwire_testkit::ms;

use super::v0;
use crate::server::Event;
use crate::server::limits::{Admission, Rate, Refusal};
use crate::server::rig::Rig;
use crate::toy::Toy;

#[test]
fn clients_that_come_faster_than_all_together_may_are_reset_wherever_they_come_from() {
    let rate = Rate::of(1, 3);
    let limits = Admission::default().accept_rate_per_address(None).accept_rate(Some(rate));
    let mut rig = Rig::start(v0().admission(limits));
    let come = |rig: &mut Rig, from| {
        let client = rig.door.connect_from(Ipv4Addr::new(127, 0, 0, from).into());
        rig.run();
        !client.state().resets
    };
    // Three may come at once, and one more with each second.
    assert_eq!([1, 2, 3, 4, 5].map(|from| come(&mut rig, from)), [true, true, true, false, false]);
    assert_eq!([6, 7].map(|from| (rig.pass(ms(500)), come(&mut rig, from)).1), [false, true]);
    let told: Vec<_> = rig.inbox().events.drain(..).collect();
    let refusing =
        |event: &&Event<_>| matches!(event, Event::Refusing { cause: Refusal::ArrivalRate });
    assert_eq!((told.len(), told.iter().filter(refusing).count()), (5, 1));
    assert_eq!(rig.count("refused"), 3);
}

/// Half of the clients are handed to a shard that stands still, and ends.
#[test]
fn clients_that_were_handed_to_a_shard_which_ends_leave_their_places() {
    const CLIENTS: usize = 20;
    let sessions = NonZeroU32::new(u32::try_from(CLIENTS).unwrap());
    let limits = Admission::default().max_per_address(sessions);
    let mut rig = Rig::start(v0().threads(2).admission(limits));
    rig.stand_still(1, true);
    let clients: Vec<Toy> = (0..CLIENTS).map(|_| rig.door.connect()).collect();
    rig.run();
    assert_eq!(rig.handle.count(), CLIENTS);
    rig.end_last_shard();
    assert_eq!(rig.handle.count(), CLIENTS / 2);
    clients.iter().for_each(Toy::close);
    rig.run();
    assert_eq!(rig.handle.count(), 0);
    // The places of their address are free too. Half of these are for the shard that is gone.
    (0..2 * CLIENTS - 2).for_each(|_| drop(rig.door.connect()));
    rig.run();
    assert_eq!(rig.handle.count(), CLIENTS - 1);
}
