//! How fast clients may come, and that those who are not taken in leave no trace.

use core::net::Ipv4Addr;
use core::num::NonZeroU32;
use std::sync::mpsc;
use std::time::Instant;

use heartwire::server::{Acceptor, AddressCaps, Control, Event, Rate, Refusal, Server};
use heartwire_testkit::{Gate, PATIENCE, Peer, ServerRig, wait_until};

use super::config;

#[cfg(target_os = "linux")]
#[test]
fn whoever_comes_faster_than_all_together_may_is_reset_wherever_it_comes_from() {
    let once = NonZeroU32::new(1).unwrap();
    let rate = Rate::new(once, NonZeroU32::new(3).unwrap());
    let caps = AddressCaps::default().arrivals(None).all_arrivals(Some(rate));
    let mut rig = ServerRig::echo(config().addresses(caps));
    let started = Instant::now();
    let (mut inside, mut came) = (Vec::new(), 0);
    // Until one is refused. Three may come at once, and one more with each second.
    let refusing = loop {
        came += 1;
        // It may be refused before it has done anything.
        let peer = Peer::try_connect_from(Ipv4Addr::new(127, 0, 0, came), rig.addr());
        match rig.next() {
            Event::Online { id, .. } => inside.push((peer.unwrap(), id)),
            event => break event,
        }
    };
    let most = 3 + started.elapsed().as_secs() + 1;
    assert!((3..=most).contains(&inside.len().try_into().unwrap()), "{} came in", inside.len());
    assert_eq!(refusing, Event::Refusing { cause: Refusal::ArrivalRate });
    assert_eq!(rig.stats().refused, 1);
    for (peer, id) in &mut inside {
        rig.expect_echo(peer, *id);
    }
    rig.finish();
}

/// Half of the clients are handed to a shard that stands still, and ends.
#[test]
fn clients_that_were_handed_to_a_shard_which_ends_leave_their_places() {
    const CLIENTS: usize = 20;
    let sessions = NonZeroU32::new(u32::try_from(CLIENTS).unwrap());
    let caps = AddressCaps::default().sessions(sessions);
    let config = config().shards(2).acceptor(Acceptor::HandOver).addresses(caps);
    let (standing, stands) = mpsc::channel();
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(config, move |shard| {
        let (standing, gate) = (standing.clone(), held.clone());
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if shard == 1 && matches!(event, Event::Online { .. }) {
                standing.send(()).unwrap();
                gate.pass();
                // Without the message of a panic, which would look like a failure of the test.
                std::panic::resume_unwind(Box::new("as asked"));
            }
        }
    })
    .unwrap();
    let addr = server.local_addrs()[0];
    let clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(addr)).collect();
    stands.recv_timeout(PATIENCE).unwrap();
    let count_is = |sessions| {
        wait_until(&format!("{sessions} sessions"), || server.handle().count() == sessions);
    };
    count_is(CLIENTS);
    gate.open();
    count_is(CLIENTS / 2);
    drop(clients);
    count_is(0);
    // The places of their address are free too. (Half of these are handed to the shard that is
    // gone.)
    let again: Vec<Peer> = (0..2 * CLIENTS - 2).map(|_| Peer::connect(addr)).collect();
    count_is(CLIENTS - 1);
    drop(again);
    server.handle().shut_down();
    server.join().unwrap_err();
}
