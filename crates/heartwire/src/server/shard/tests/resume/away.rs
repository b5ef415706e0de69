//! How long a session is away, and how that ends without its client.

use std::io;

use heartwire_core::Policy;
use heartwire_core::resume::Position;
use heartwire_core::v1::{ByeCode, Health, Offer, RetryHint};
use heartwire_testkit::{hello_as, ms, timeout};

use super::{Client, GRACE, WINDOW, after, resumable, welcome_of};
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::server::{CommandError, Event, Resume};
use crate::{Reason, Undelivered};

#[test]
fn a_session_waits_for_its_grace_and_not_longer() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    rig.handle.send(id, b"written").unwrap();
    rig.run();
    client.lose(&mut rig, id);
    rig.handle.send(id, b"never written").unwrap();
    rig.pass(ms(29_999));
    rig.expect_nothing();
    rig.pass(ms(5));
    let undelivered = Undelivered { frames: 2, bytes: 20, exact: false };
    assert_eq!(rig.gone(id), (Reason::NotBack, undelivered));
    rig.expect_nothing();
    assert_eq!((rig.handle.away(), rig.count("not_back")), (0, 1));
    assert_eq!(rig.handle.send(id, b"late"), Ok(()));
    rig.expect_nothing();
}

#[test]
fn a_client_may_want_a_shorter_grace() {
    let mut rig = Rig::start(resumable());
    let toy = rig.door.connect();
    let mut hello = Client::hello(None, None);
    hello.resume = hello.resume.map(|offer| super::ResumeOffer { grace: ms(2_000), ..offer });
    toy.send(&hello.encode());
    rig.run();
    let (id, agreed) = rig.told_online();
    assert_eq!(agreed.unwrap().grace, Some(ms(2_000)));
    assert_eq!(welcome_of(&toy).resume.unwrap().agreed.grace, ms(2_000));
    toy.beat_with(|_| {});
    rig.run();
    toy.reset();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { within, .. } if within == ms(2_000)));
    rig.pass(ms(1_999));
    rig.expect_nothing();
    rig.pass(ms(5));
    assert_eq!(rig.gone(id).0, Reason::NotBack);
}

/// Only then the client surely has the key.
#[test]
fn a_session_is_not_kept_before_the_first_beat_of_its_client() {
    let mut rig = Rig::start(resumable());
    let toy = rig.door.connect();
    toy.send(&Client::hello(None, None).encode());
    rig.run();
    let (id, _) = rig.told_online();
    toy.data(b"no beat");
    toy.reset();
    rig.run();
    rig.expect_data(id, b"no beat");
    assert_eq!(rig.gone(id).0, Reason::Reset);
    assert_eq!(rig.handle.away(), 0);
}

#[test]
fn each_loss_of_a_link_is_one_and_each_goodbye_is_none() {
    for (with, reason) in [
        (io::ErrorKind::UnexpectedEof, Reason::ClosedByPeer),
        (io::ErrorKind::ConnectionReset, Reason::Reset),
        (io::ErrorKind::Other, Reason::Failed(io::ErrorKind::Other)),
    ] {
        let mut rig = Rig::start(resumable());
        let (mut client, id) = Client::online(&mut rig);
        client.toy.end(with);
        rig.run();
        let Event::Away { reason: why, .. } = rig.next() else { panic!("not away") };
        assert_eq!(why, reason);
        client.resume(&mut rig, Position::default());
        rig.back(id, ms(0));
    }
    // A verdict: it is told, and then the session is away.
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.pass(ms(60_010));
    let Event::Verdict { verdict, .. } = rig.next() else { panic!("no verdict") };
    let Event::Away { reason, .. } = rig.next() else { panic!("not away") };
    assert_eq!(reason, Reason::Dead(verdict));
    assert!(client.toy.state().resets);
    client.resume(&mut rig, Position::default());
    assert!(matches!(rig.next(), Event::Back { .. }));
    // A BYE ends the session, and says what was taken over.
    rig.handle.send(id, b"a").unwrap();
    rig.handle.send(id, b"b").unwrap();
    rig.run();
    let bye = heartwire_core::v1::Bye::new(ByeCode::Done, RetryHint::AtWill);
    client.toy.send(&bye.taken(Some(after(&[b"a"]))).encode());
    rig.run();
    let undelivered = Undelivered { frames: 1, bytes: 1, exact: true };
    assert_eq!(rig.gone(id), (Reason::Bye(ByeCode::Done), undelivered));
}

/// The end of a link that is found by the read before a verdict is the loss, and no verdict.
#[test]
fn a_link_is_lost_once_however_many_signs_there_are() {
    // It sends no beats, which would find it before.
    let mut rig = Rig::start(resumable().policy(timeout(60_000)));
    let toy = rig.door.connect();
    let mut hello = Client::hello(None, None);
    hello.offer = Offer::new(&Policy::builder().interval(ms(100)).build().unwrap());
    toy.send(&hello.encode());
    rig.run();
    rig.told_online();
    toy.beat_with(|_| {});
    rig.pass(ms(50_000));
    toy.reset();
    toy.state().has_news = false;
    rig.pass(ms(10_010));
    let Event::Away { reason, .. } = rig.next() else { panic!("not away") };
    assert_eq!(reason, Reason::Reset);
    rig.expect_nothing();
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    // A write fails, and what was read before it shows the same.
    client.toy.reset();
    client.toy.state().has_news = false;
    rig.handle.send(id, b"a").unwrap();
    rig.run();
    assert!(matches!(rig.next(), Event::Away { reason: Reason::Reset, .. }));
    rig.expect_nothing();
}

#[test]
fn the_health_of_a_client_is_that_of_its_link() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.toy.beat_with(|beat| beat.health = Health::Degraded);
    rig.run();
    assert_eq!(rig.next(), Event::Health { id, health: Health::Degraded });
    client.lose(&mut rig, id);
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(0));
    assert_eq!(rig.next(), Event::Health { id, health: Health::Ok });
    client.toy.beat_with(|beat| beat.health = Health::Degraded);
    rig.run();
    assert_eq!(rig.next(), Event::Health { id, health: Health::Degraded });
}

#[test]
fn a_loss_that_shows_twice_in_a_turn_is_one() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    rig.pass(ms(59_990));
    rig.toy.pass(ms(20));
    rig.handle.send(id, b"meanwhile").unwrap();
    rig.run();
    assert!(matches!(rig.next(), Event::Verdict { .. }));
    assert!(matches!(rig.next(), Event::Away { .. }));
    client.resume(&mut rig, Position::default());
    assert!(matches!(rig.next(), Event::Back { .. }));
}

#[test]
fn a_frame_that_is_never_whole_is_a_loss_and_no_breach() {
    let limits = Limits::default().frame_timeout(Some(ms(5_000)));
    let mut rig = Rig::start(resumable().limits(limits));
    let (mut client, id) = Client::online(&mut rig);
    client.toy.send(&heartwire_testkit::frame(heartwire_testkit::DATA, b"cut off")[..12]);
    rig.run();
    rig.pass(ms(5_100));
    let Event::Away { reason, .. } = rig.next() else { panic!("not away") };
    assert!(
        matches!(reason, Reason::Protocol(heartwire_core::Violation::SlowFrame { .. })),
        "{reason}"
    );
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(100));
}

#[test]
fn a_kick_a_breach_and_a_newer_session_end_one_that_is_away_or_not() {
    for is_away in [false, true] {
        let mut rig = Rig::start(resumable());
        let (mut client, id) = Client::online(&mut rig);
        client.toy.data(b"taken");
        rig.run();
        rig.expect_data(id, b"taken");
        if is_away {
            client.lose(&mut rig, id);
        }
        rig.handle.kick(id).unwrap();
        rig.run();
        assert_eq!(rig.gone(id).0, Reason::Kicked);
        // It need not have got the BYE.
        client.come_back(&mut rig, Position::default());
        assert_eq!(client.bye(), (ByeCode::Kicked, Some(after(&[b"taken"]))));
        rig.expect_nothing();
        let mut rig = Rig::start(resumable());
        let (mut client, id) = Client::online_as(&mut rig, Some("a"), None);
        client.toy.data(b"taken");
        rig.run();
        rig.expect_data(id, b"taken");
        if is_away {
            client.lose(&mut rig, id);
        }
        // Another program that does not go on with the session.
        let newer = rig.door.connect();
        newer.send(&hello_as("a", None));
        rig.run();
        assert_eq!(rig.gone(id).0, Reason::TakenOver);
        rig.told_online();
        assert_eq!(rig.handle.away(), 0);
        // The older client does not take the name back.
        client.come_back(&mut rig, Position::default());
        assert_eq!(client.bye(), (ByeCode::TakenOver, Some(after(&[b"taken"]))));
        rig.expect_nothing();
    }
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online(&mut rig);
    client.toy.send(&[9; 8]);
    rig.run();
    assert!(matches!(rig.gone(id).0, Reason::Protocol(_)));
}

#[test]
fn client_with_a_newer_session_elsewhere_does_not_go_on_with_one_that_was_away_or_not() {
    for (is_away, same_client) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut rig = Rig::start(resumable());
        let (mut client, id) = Client::online_as(&mut rig, Some("a"), None);
        client.toy.data(b"taken");
        rig.run();
        rig.expect_data(id, b"taken");
        if is_away {
            client.lose(&mut rig, id);
        }
        rig.handle.take_over(id, same_client).unwrap();
        rig.run();
        assert_eq!(rig.gone(id).0, Reason::TakenOver);
        assert_eq!(rig.handle.away(), 0);
        // It need not have got the BYE.
        client.come_back(&mut rig, Position::default());
        let taken = Some(after(&[b"taken"]));
        if same_client {
            assert_eq!(welcome_of(&client.toy).lost, taken);
            rig.told_online();
        } else {
            assert_eq!(client.bye(), (ByeCode::TakenOver, taken));
        }
        rig.expect_nothing();
    }
}

/// The newer session waits for the end of the older one, which does not know it yet.
#[test]
fn a_client_that_comes_back_while_its_name_is_taken_over_is_told_what_was_taken() {
    for is_away in [false, true] {
        let mut rig = Rig::start(resumable().threads(2));
        let (mut client, id) = Client::online_as(&mut rig, Some("a"), None);
        client.toy.data(b"taken");
        rig.run();
        rig.expect_data(id, b"taken");
        // For the other shard, and this one.
        let [newer, again] = [rig.door.connect(), rig.door.connect()];
        rig.run();
        if is_away {
            client.lose(&mut rig, id);
        }
        rig.stand_still(0, true);
        newer.send(&hello_as("a", None));
        rig.run();
        again.send(&client.resuming(Position::default()).encode());
        client.toy = again;
        rig.stand_still(0, false);
        rig.run();
        assert_eq!(rig.gone(id).0, Reason::TakenOver);
        rig.told_online();
        rig.expect_nothing();
        assert_eq!(client.bye(), (ByeCode::TakenOver, Some(after(&[b"taken"]))));
    }
}

#[test]
fn a_shutdown_ends_sessions_that_are_away_at_once() {
    let mut rig = Rig::start(resumable().drain(ms(5_000)));
    let (away, away_id) = Client::online(&mut rig);
    let (lost, lost_id) = Client::online(&mut rig);
    away.lose(&mut rig, away_id);
    rig.handle.send(away_id, b"never written").unwrap();
    rig.run();
    rig.handle.shutdown();
    lost.toy.reset();
    rig.run();
    let mut gone = [rig.next(), rig.next()].map(|event| {
        let Event::Offline { id, reason, undelivered, .. } = event else { panic!("{event:?}") };
        (id, reason, undelivered)
    });
    gone.sort_by_key(|&(id, ..)| id);
    let undelivered = Undelivered { frames: 1, bytes: 13, exact: true };
    assert_eq!(gone[0], (away_id, Reason::Shutdown, undelivered));
    assert_eq!((gone[1].0, gone[1].2), (lost_id, Undelivered::NOTHING));
    assert_eq!(rig.handle.away(), 0);
}

/// Written before the sessions were away, or since.
#[test]
fn all_that_is_kept_for_sessions_that_are_away_is_bounded() {
    for is_written in [false, true] {
        // A shard's share is two full windows at least.
        let resume = Resume::new().window(64 * 1024).grace(GRACE).max_replay(0);
        let limits = Limits::default().max_queue(64);
        let mut rig = Rig::start(resumable().resume(resume).limits(limits));
        let clients: Vec<_> = (0..4).map(|_| Client::online(&mut rig)).collect();
        let send = |rig: &mut Rig, id| {
            rig.handle.send(id, &[7; 30_000]).unwrap();
            rig.handle.send(id, &[7; 30_000]).unwrap();
            rig.run();
        };
        let mut expected = vec![0, 1];
        for (client, id) in &clients {
            if is_written && *id != clients[0].1 {
                send(&mut rig, *id);
            }
            client.toy.reset();
            rig.run();
            rig.pass(ms(1));
        }
        if !is_written {
            clients[1..].iter().for_each(|(_, id)| send(&mut rig, *id));
        }
        // The one that has been away longest, though it keeps nothing, and then the next.
        for event in rig.inbox().events.drain(..) {
            let Event::Offline { id, reason, undelivered, .. } = event else { continue };
            let index = expected.remove(0);
            assert_eq!((id, reason), (clients[index].1, Reason::ReplayFull));
            assert_eq!(undelivered.frames, if index == 0 { 0 } else { 2 });
            assert_eq!(undelivered.exact, index == 0 || !is_written);
        }
        assert_eq!((expected, rig.handle.away()), (vec![], 2));
    }
}

/// Its client would find no server to come back to.
#[test]
fn a_link_that_is_lost_during_a_shutdown_ends_its_session() {
    let mut rig = Rig::start(resumable().drain(ms(5_000)));
    let (client, id) = Client::online(&mut rig);
    client.toy.state().room = 0;
    rig.handle.send(id, b"not written").unwrap();
    rig.handle.shutdown();
    rig.run();
    rig.expect_nothing();
    client.toy.reset();
    rig.run();
    let undelivered = Undelivered { frames: 1, bytes: 11, exact: false };
    assert_eq!(rig.gone(id), (Reason::Reset, undelivered));
}

#[test]
fn a_list_has_sessions_that_are_away_and_their_data_waits() {
    let mut rig = Rig::start(resumable());
    let (client, id) = Client::online_as(&mut rig, Some("a"), None);
    client.lose(&mut rig, id);
    rig.handle.send(id, b"12").unwrap();
    rig.pass(ms(10_000));
    let handle = rig.handle.clone();
    let list = std::thread::spawn(move || handle.blocking_list());
    while !list.is_finished() {
        rig.run();
        std::thread::yield_now();
    }
    let list = list.join().unwrap();
    let [info] = &list[..] else { panic!("{list:?}") };
    assert_eq!((info.id, info.name.as_deref(), info.queued), (id, Some("a"), 10));
    assert_eq!(info.away_within, Some(ms(20_000)));
    assert_eq!(rig.handle.send(id, &vec![0; usize::try_from(WINDOW).unwrap()]), Ok(()));
    assert_eq!(rig.handle.send(id, &vec![0; 1 << 20]), Err(CommandError::TooLong));
}

/// The machine was suspended for longer than the grace, so the client could not come back.
#[test]
fn a_pause_of_the_server_is_no_absence_of_the_client() {
    let mut rig = Rig::start(resumable());
    let (mut client, id) = Client::online(&mut rig);
    client.lose(&mut rig, id);
    rig.pass(ms(10_000));
    rig.toy.suspend(GRACE * 2);
    rig.pass(ms(1_000));
    rig.expect_nothing();
    client.resume(&mut rig, Position::default());
    rig.back(id, ms(11_000) + GRACE * 2);
    // And no longer than the grace after it.
    client.lose(&mut rig, id);
    rig.toy.suspend(GRACE * 2);
    rig.pass(ms(29_999));
    rig.expect_nothing();
    rig.pass(ms(5));
    assert_eq!(rig.gone(id).0, Reason::NotBack);
}
