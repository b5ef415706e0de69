//! When a client is declared dead, also by a shard that was paused.

use heartwire_core::Cause;
use heartwire_testkit::{Got, ms, policy, timeout};

use super::v0;
use crate::server::rig::Rig;
use crate::toy::Toy;

#[test]
fn a_client_that_never_speaks_is_declared_dead_within_its_bound_whatever_it_is_sent() {
    let mut rig = Rig::start(v0().policy(policy(40, 200)));
    let (client, id) = rig.online();
    rig.pass(ms(199));
    rig.expect_nothing();
    rig.pass(ms(5));
    let verdict = rig.verdict(id);
    assert_eq!(verdict.cause, Cause::Silence);
    assert!(verdict.late <= super::super::WHEEL_TICK, "{verdict}");
    let got = client.got();
    assert!(got.len() >= 4 && got.iter().all(|got| *got == Got::Heart), "{got:?}");
    assert!(client.state().resets && client.state().is_closed);
    assert_eq!(rig.count("dead"), 1);
}

/// Several timeouts: the deadline has to be set again each time. The beats wait in the kernel.
#[test]
fn a_client_that_falls_silent_is_declared_dead_within_its_bound_of_its_last_byte() {
    let mut rig = Rig::start(v0().policy(timeout(2_000)).coalesce(1_000));
    let (client, id) = rig.online();
    rig.pass_beating(ms(4_550), &[&client]);
    client.beat();
    rig.pass(ms(1_999));
    rig.expect_nothing();
    rig.pass(ms(101));
    let verdict = rig.verdict(id);
    assert!(verdict.silence >= ms(2_000 - 12) && verdict.late <= ms(20), "{verdict}");
}

/// Its answers are so short that they wait in the server's kernel until the next one comes.
#[test]
fn a_client_that_only_answers_stays_while_it_is_sent_data() {
    let mut rig = Rig::start(v0().policy(policy(500, 2_000)).coalesce(1));
    let (client, id) = rig.online();
    let mut answers = 0;
    for _ in 0..100 {
        rig.handle.send(id, b"news").unwrap();
        rig.pass(ms(50));
        if client.got().contains(&Got::Heart) {
            client.beat();
            answers += 1;
        }
    }
    assert!(answers >= 8, "{answers}");
    rig.expect_nothing();
}

/// The shard is busy over a client's deadline, but not for so long that it is a pause, and the
/// client's beat comes meanwhile.
#[test]
fn bytes_that_are_in_the_socket_outrank_a_deadline() {
    let mut rig = Rig::start(v0().policy(timeout(2_000)));
    let ((other, other_id), (holder, holder_id)) = (rig.online(), rig.online());
    rig.pass(ms(1_900));
    holder.data(b"hold");
    let toy = rig.toy.clone();
    rig.meanwhile(move || {
        toy.pass(ms(150));
        other.beat();
    });
    rig.run();
    rig.expect_data(holder_id, b"hold");
    rig.expect_nothing();
    assert!(rig.inbox().pauses.is_empty());
    rig.pass_beating(ms(1_999), &[&holder]);
    rig.expect_nothing();
    rig.pass_beating(ms(101), &[&holder]);
    rig.verdict(other_id);
    rig.expect_nothing();
}

#[test]
fn a_shard_that_was_held_up_says_so_and_calls_no_beating_client_dead() {
    let mut rig = Rig::start(v0().policy(timeout(2_000)));
    let beating: Vec<Toy> = (0..20).map(|_| rig.online().0).collect();
    let (_silent, silent_id) = rig.online();
    let beating: Vec<&Toy> = beating.iter().collect();
    // More than two timeouts, in which the shard does not run.
    for _ in 0..45 {
        beating.iter().for_each(|client| client.beat());
        rig.toy.pass(ms(100));
    }
    rig.pass_beating(ms(1_999), &beating);
    rig.expect_nothing();
    // The one that is silent still is dead, a full timeout after the pause.
    rig.pass_beating(ms(101), &beating);
    let verdict = rig.verdict(silent_id);
    assert!(verdict.paused >= ms(4_400), "{verdict}");
    assert!(rig.inbox().pauses.iter().any(|pause| pause.gap >= ms(2_000)));
    rig.pass_beating(ms(3_000), &beating);
    rig.expect_nothing();
}

/// Bytes that are read because one client's deadline has passed hold the shard up: the time at
/// which it began to look is then no longer the time at which it judges the second.
#[test]
fn a_hold_up_between_two_verdicts_is_not_held_against_the_second_client() {
    let mut rig = Rig::start(v0().policy(timeout(2_500)).coalesce(1_000));
    let ((first, first_id), (second, second_id)) = (rig.online(), rig.online());
    [&first, &second].iter().for_each(|client| client.beat());
    rig.run();
    rig.pass(ms(2_450));
    // Both lie in the kernel.
    first.data(b"hold");
    second.beat();
    let toy = rig.toy.clone();
    rig.meanwhile(move || toy.pass(ms(2_700)));
    rig.pass(ms(60));
    rig.expect_data(first_id, b"hold");
    rig.expect_nothing();
    rig.pass_beating(ms(2_400), &[&first]);
    rig.expect_nothing();
    rig.pass_beating(ms(201), &[&first]);
    assert!(rig.verdict(second_id).paused > ms(2_000));
}

/// A client reads at last what the server had queued for it, while a handler holds the shard up:
/// that it is looked at for that does not make the pause go unnoticed.
#[test]
fn a_pause_is_noticed_although_a_blocked_socket_took_bytes_in_the_same_turn() {
    let mut rig = Rig::start(v0().policy(timeout(1_500)));
    let ((holder, holder_id), (slow, slow_id)) = (rig.online(), rig.online());
    slow.state().room = 0;
    rig.handle.send(slow_id, b"news").unwrap();
    rig.run();
    assert!(rig.session(slow_id).is_blocked);
    // The next turn finds both: first what holds it up, then the socket that takes bytes again.
    holder.data(b"hold");
    slow.state().room = 100;
    let toy = rig.toy.clone();
    rig.meanwhile(move || toy.pass(ms(2_000)));
    rig.run();
    rig.expect_data(holder_id, b"hold");
    assert_eq!(slow.got(), [Got::Data(b"news".to_vec())]);
    rig.pass(ms(1_499));
    rig.expect_nothing();
    rig.pass(ms(101));
    assert_eq!(rig.inbox().events.len(), 4, "two verdicts and two ends");
}

/// The kernel's answer is as old as the look at the clock is late.
#[test]
fn a_shard_held_up_after_the_kernel_told_when_bytes_came_asks_again() {
    let mut rig = Rig::start(v0().policy(timeout(30_000)));
    let (client, id) = rig.online();
    rig.pass(ms(1_000));
    client.beat();
    // The shard wakes late, so that it has to ask.
    client.pass(ms(50));
    client.state().held_up_answered = ms(200);
    rig.run();
    assert_eq!(client.state().held_up_answered, ms(0), "it has not asked");
    let silence = rig.silence(id);
    assert!(silence >= ms(240), "{silence:?}");
}
