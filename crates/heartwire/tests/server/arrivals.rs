//! How fast clients may come, and that those who are not taken in leave no trace.

use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroU32;
use std::sync::mpsc;
use std::time::Instant;

use heartwire::server::{Acceptor, AddressCaps, Control, Event, Rate, Refusal, Server};
use socket2::{Domain, Socket, Type};

use crate::peer::{End, PATIENCE, Peer, ms};
use crate::rig::{Rig, config};

/// A client with an address of its own.
fn from(addr: Ipv4Addr, to: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((addr, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Peer::of(socket.into())
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate::new(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_comes_faster_than_all_together_may_is_reset_wherever_it_comes_from() {
    let caps = AddressCaps::default().arrivals(None).all_arrivals(Some(rate(1, 3)));
    let own = |last| Ipv4Addr::new(127, 0, 0, last);
    let first_try = Instant::now();
    // Again where a busy machine takes longer than the second after which a fourth may come.
    let (mut rig, mut inside) = loop {
        let mut rig = Rig::echo(config().addresses(caps));
        let addr = rig.addr();
        let started = Instant::now();
        let inside: Vec<_> = (1..=3)
            .map(|last| {
                let peer = from(own(last), addr);
                (rig.expect_online(&peer), peer)
            })
            .collect();
        let ends: Vec<End> = (4..=6).map(|last| from(own(last), addr).expect_end()).collect();
        if started.elapsed() < ms(1_000) {
            assert_eq!(ends, [End::Reset; 3]);
            break (rig, inside);
        }
        assert!(first_try.elapsed() < PATIENCE, "six clients never come within a second");
    };
    let addr = rig.addr();
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::ArrivalRate });
    rig.expect_quiet(ms(1_100));
    assert_eq!(rig.stats().refused, 3);
    // The second is over, and those who were refused have not used it up.
    let later = from(own(4), addr);
    assert_eq!(rig.next(), Event::Accepting { refused: 3 });
    rig.expect_online(&later);
    for (id, peer) in &mut inside {
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
    let (release, released) = mpsc::channel();
    let mut released = Some(released);
    let server = Server::start(config, move |shard| {
        let standing = standing.clone();
        let released = if shard == 1 { released.take() } else { None };
        move |event: Event<&[u8]>, _: &mut Control<'_>| {
            if let (Event::Online { .. }, Some(released)) = (event, &released) {
                standing.send(()).unwrap();
                let () = released.recv_timeout(PATIENCE).unwrap();
                // Without the message of a panic, which would look like a failure of the test.
                std::panic::resume_unwind(Box::new("as asked"));
            }
        }
    })
    .unwrap();
    let addr = server.local_addrs()[0];
    let clients: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(addr)).collect();
    stands.recv_timeout(PATIENCE).unwrap();
    let until = Instant::now() + PATIENCE;
    let count_is = |sessions| {
        while server.handle().count() != sessions {
            assert!(Instant::now() < until, "{} instead of {sessions}", server.handle().count());
        }
    };
    count_is(CLIENTS);
    release.send(()).unwrap();
    count_is(CLIENTS / 2);
    drop(clients);
    count_is(0);
    // The places of their address are free too. (Half of these are handed to the shard that is gone.)
    let again: Vec<Peer> = (0..2 * CLIENTS - 2).map(|_| Peer::connect(addr)).collect();
    count_is(CLIENTS - 1);
    drop(again);
    server.handle().shut_down();
    server.join().unwrap_err();
}
