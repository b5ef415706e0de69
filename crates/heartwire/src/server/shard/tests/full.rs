//! A full server: which clients it tells so, and what that takes.

use core::net::Ipv4Addr;
use core::num::NonZeroU32;

use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_testkit::{BEAT, Got, data, frame, hello, hello_as, ms};

use super::{v0, v1};
use crate::server::limits::{Admission, Rate, Refusal};
use crate::server::rig::Rig;
use crate::server::{Event, Protocols, ServerConfig};
use crate::toy::Toy;

/// How many clients a shard tells in a second.
const HANDFUL: usize = 16;

fn full(detail: &str) -> [Got; 1] {
    [Got::Bye(ByeCode::Full, RetryHint::AtWill, detail.to_owned())]
}

fn no_place() -> [Got; 1] {
    full("maximum number of sessions reached")
}

/// A server with the maximum of sessions, which is one.
fn full_server(config: ServerConfig) -> (Rig, Toy) {
    let mut rig = Rig::start(config.admission(Admission::default().max_sessions(1)));
    let (client, _) = rig.welcomed(&hello());
    (rig, client)
}

/// A client that the server has not closed.
#[track_caller]
fn kept(rig: &mut Rig) -> Toy {
    let client = rig.door.connect();
    rig.run();
    assert!(!client.is_dropped());
    client
}

/// Whether the server has closed this client without a byte to it.
fn is_closed_silently(client: &Toy) -> bool {
    client.is_dropped() && client.state().written.is_empty()
}

#[test]
fn a_client_of_v1_is_told_that_there_is_no_place_and_counts_as_refused_once() {
    let (mut rig, _inside) = full_server(v1());
    let client = kept(&mut rig);
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    // Its name is not looked at: one that is in use would be taken over.
    client.send(&hello_as("anybody", Some(b"no valid token")));
    rig.run();
    assert_eq!(client.got(), no_place());
    assert!(client.state().is_shutdown && !client.is_dropped(), "the BYE may be on its way");
    client.close();
    rig.run();
    assert!(client.is_dropped());
    rig.expect_nothing();
    assert!(rig.inbox().rejected.is_empty());
    let once = ["refused", "accepted", "hellos", "welcomed"].map(|name| rig.count(name));
    let ended = ["rejected", "rejected_full", "closed_by_peer", "cut_off"];
    assert_eq!((once, ended.map(|name| rig.count(name))), ([1; 4], [0; 4]));
    assert_eq!(rig.handle.count(), 1);
}

#[test]
fn a_client_of_v0_is_closed_with_its_first_bytes_and_sent_nothing() {
    let (mut rig, _inside) = full_server(v1());
    let beating = kept(&mut rig);
    // The server's own interval is shorter.
    rig.pass(ms(500));
    beating.beat();
    let talking = kept(&mut rig);
    talking.data(b"hi");
    let babbling = kept(&mut rig);
    babbling.send(b"GET / HTTP/1.1\r\n\r\n");
    rig.run();
    assert!([beating, talking, babbling].iter().all(is_closed_silently));
    assert_eq!(rig.count("protocol_error"), 0);
}

#[test]
fn a_client_that_is_told_has_a_second_for_everything() {
    let (mut rig, _inside) = full_server(v1());
    let silent = kept(&mut rig);
    let slow = kept(&mut rig);
    let (all, hello) = (hello(), hello());
    slow.send(&all[..20]);
    let late = kept(&mut rig);
    rig.pass(ms(999));
    late.send(&hello);
    rig.run();
    assert_eq!(late.got(), no_place());
    assert!([&silent, &slow, &late].iter().all(|client| !client.is_dropped()));
    rig.pass(ms(6));
    assert!(is_closed_silently(&silent) && is_closed_silently(&slow));
    assert!(late.is_dropped());
    assert_eq!(rig.count("cut_off"), 0);
}

#[test]
fn no_more_than_a_handful_are_told_in_a_second_and_the_others_are_closed_at_once() {
    let (mut rig, _inside) = full_server(v1());
    for _ in 0..3 {
        // They go at once, and free no place for others.
        for _ in 0..HANDFUL {
            let client = kept(&mut rig);
            client.send(&hello());
            client.close();
            rig.pass(ms(50));
            assert!(client.is_dropped());
        }
        let client = rig.door.connect();
        client.send(&hello());
        rig.pass(ms(50));
        assert!(is_closed_silently(&client));
        rig.pass(ms(150));
    }
    assert_eq!(rig.count("refused"), 3 * (1 + u64::try_from(HANDFUL).unwrap()));
}

#[test]
fn a_place_that_becomes_free_is_for_the_next_client_and_not_for_those_that_are_told() {
    let (mut rig, inside) = full_server(v1());
    let told = kept(&mut rig);
    inside.close();
    rig.run();
    assert_eq!(rig.handle.count(), 0);
    rig.inbox().events.clear();
    let (_newcomer, _) = rig.welcomed(&hello());
    told.send(&hello());
    rig.run();
    assert_eq!((told.got(), rig.handle.count()), (no_place().to_vec(), 1));
}

/// The server closes a client that has said nothing for a second, and not those that have no place.
#[test]
fn a_client_that_is_told_and_gone_leaves_no_room() {
    let mut rig = Rig::start(v1().admission(Admission::default().max_sessions(1)));
    let silent = kept(&mut rig);
    rig.pass(ms(500));
    let told = kept(&mut rig);
    rig.pass(ms(500));
    rig.inbox().events.clear();
    told.reset();
    rig.welcomed(&hello());
    assert!(silent.is_dropped());
}

#[test]
fn a_descriptor_is_taken_from_a_client_that_is_told() {
    let (mut rig, inside) = full_server(v1());
    let [told, answered] = [kept(&mut rig), kept(&mut rig)];
    answered.send(&hello());
    inside.close();
    rig.run();
    rig.inbox().events.clear();
    for client in [told, answered] {
        rig.door.run_out_of_descriptors();
        let (newcomer, _) = rig.welcomed(&hello());
        assert!(client.is_dropped());
        newcomer.close();
        rig.run();
        rig.inbox().events.clear();
    }
    assert_eq!(rig.count("refused"), 2);
}

#[test]
fn a_client_of_an_address_with_its_maximum_is_told_and_one_that_comes_too_fast_is_reset() {
    let one = NonZeroU32::MIN;
    let limits = Admission::default().max_per_address(Some(one));
    let limits = limits.accept_rate(Some(Rate::of(1, 2)));
    let mut rig = Rig::start(v1().admission(limits));
    rig.welcomed(&hello());
    let client = kept(&mut rig);
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::AddressSessions });
    client.send(&hello());
    rig.run();
    assert_eq!(client.got(), full("too many sessions from this address"));
    // Those that were refused do not count for the rate.
    let from = |last| Ipv4Addr::new(127, 0, 0, last).into();
    let others = [2, 3].map(|last| rig.door.connect_from(from(last)));
    rig.run();
    assert_eq!(others.map(|client| client.state().resets), [false, true]);
    // Without a place among those that are told, it is reset too.
    (1..HANDFUL).for_each(|_| drop(kept(&mut rig)));
    let client = rig.door.connect();
    rig.run();
    assert!(client.state().resets && is_closed_silently(&client));
    assert_eq!(rig.handle.count(), 2);
}

#[test]
fn a_server_that_speaks_v0_only_closes_at_once() {
    let mut rig = Rig::start(v0().admission(Admission::default().max_sessions(1)));
    rig.online();
    let client = rig.door.connect();
    rig.run();
    assert!(is_closed_silently(&client));
}

#[test]
fn an_invalid_hello_is_told_what_is_wrong_with_it_first() {
    let (mut rig, _inside) = full_server(v1());
    let client = kept(&mut rig);
    client.send(&frame(2, &[0xff; 8]));
    rig.run();
    assert!(matches!(client.got()[..], [Got::Bye(ByeCode::Protocol, RetryHint::Never, _)]));
    assert_eq!(rig.count("bad_hello"), 0);
}

#[test]
fn a_server_that_shuts_down_waits_for_none_that_it_tells() {
    let (mut rig, inside) = full_server(v1());
    let [silent, answered] = [kept(&mut rig), kept(&mut rig)];
    answered.send(&hello());
    rig.run();
    rig.inbox().events.clear();
    inside.close();
    rig.run();
    rig.handle.shutdown();
    rig.pass(ms(1_100));
    assert!(silent.is_dropped() && answered.is_dropped());
    assert_eq!((rig.handle.count(), rig.turn()), (0, false));
}

#[test]
fn those_that_are_told_are_not_among_the_clients_that_wait_to_be_accepted() {
    let mut rig = Rig::start(v1().admission(Admission::default().max_sessions(3).max_pending(3)));
    let (inside, _) = rig.welcomed(&hello());
    let [longest, other] = [kept(&mut rig), kept(&mut rig)];
    for _ in 0..2 {
        kept(&mut rig).close();
        rig.run();
    }
    assert_eq!(rig.count("refused"), 2);
    inside.close();
    rig.run();
    let _newcomer = kept(&mut rig);
    assert_eq!(rig.count("accepted"), 4);
    assert!(!longest.is_dropped() && !other.is_dropped());
}

#[test]
fn a_maximum_that_is_raised_or_lowered_holds_for_clients_that_come_later() {
    let (mut rig, inside) = full_server(v1());
    kept(&mut rig).close();
    assert_eq!(rig.next(), Event::Refusing { cause: Refusal::SessionLimit });
    rig.handle.set_admission(Admission::default().max_sessions(2));
    let (second, second_id) = rig.welcomed(&hello());
    rig.handle.set_admission(Admission::default().max_sessions(1));
    rig.run();
    assert!(!inside.is_dropped() && !second.is_dropped());
    let refused = rig.count("refused");
    kept(&mut rig).close();
    rig.run();
    assert_eq!(rig.count("refused"), refused + 1);
    second.close();
    rig.run();
    rig.offline(second_id);
    kept(&mut rig).close();
    rig.run();
    assert_eq!((rig.count("refused"), rig.handle.count()), (refused + 2, 1));
}

#[test]
fn a_shard_looks_for_clients_when_more_may_be_pending() {
    let mut rig = Rig::start(v1().admission(Admission::default().max_pending(1)));
    let silent = rig.door.connect();
    rig.run();
    let waiting = rig.door.connect();
    waiting.send(&hello());
    rig.run();
    assert_eq!(rig.count("accepted"), 1, "the other waits in the kernel");
    rig.handle.set_admission(Admission::default().max_pending(2));
    rig.run();
    rig.told_online();
    assert!(!silent.is_dropped() && !waiting.is_dropped());
}

#[test]
fn a_shard_that_ends_gives_back_the_places_of_its_sessions_alone() {
    let (mut rig, _inside) = full_server(v1());
    kept(&mut rig);
    rig.end_last_shard();
    assert_eq!(rig.handle.count(), 0);
}

#[test]
fn a_client_of_v0_on_a_server_of_v1_alone_is_reported_as_rejected() {
    let mut rig = Rig::start(v1().protocols(Protocols::V1));
    for first in [&BEAT[..], &data(b"hi")] {
        let client = rig.door.connect();
        client.send(first);
        rig.run();
        assert!(client.is_dropped() && client.got().is_empty());
        let rejected = rig.inbox().rejected.pop();
        let Some(Event::Rejected { name: None, code, .. }) = rejected else {
            panic!("{rejected:?}");
        };
        assert_eq!(code, ByeCode::Version);
    }
    assert_eq!((rig.count("unexpected"), rig.count("rejected")), (2, 0));
    rig.expect_nothing();
}
