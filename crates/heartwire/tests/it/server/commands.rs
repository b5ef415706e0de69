//! What an application can do, from outside and from within a handler.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use heartwire::Reason;
use heartwire::server::limits::Limits;
use heartwire::server::{CommandError, Control, Event, Server, SessionId};
use heartwire_testkit::{End, HEART, Peer, ServerRig, data, header, ms, timeout, wait_until};

use super::config;

#[test]
fn a_message_reaches_its_session_alone_and_a_broadcast_all_sessions() {
    let mut rig = ServerRig::start(config().threads(3).reuse_port(false));
    let mut clients: Vec<(Peer, SessionId)> = (0..9).map(|_| rig.connect()).collect();
    clients.iter().for_each(|(_, id)| rig.handle().send(*id, id.to_string().as_bytes()).unwrap());
    rig.handle().broadcast(b"to all").unwrap();
    rig.handle().broadcast(b"").unwrap();
    rig.handle().shutdown();
    for (peer, id) in &mut clients {
        for body in [id.to_string().as_bytes(), b"to all", b""] {
            peer.expect_data(body);
        }
        assert_eq!(peer.expect_end(), End::Closed);
    }
    rig.finish();
}

/// A shard answers by itself, and passes on what the application wants to know.
#[test]
fn an_application_gets_what_its_shards_make_of_the_events() {
    let (server, mut events) = Server::start_mapped(config(), |shard| {
        move |event: Event<&[u8]>, control: &mut Control<'_>| match event {
            Event::Data { id, data } => {
                control.send(id, data).unwrap();
                None
            }
            Event::Offline { reason, .. } => Some((shard, reason)),
            _ => None,
        }
    })
    .unwrap();
    let mut peer = Peer::connect(server.local_addrs()[0]);
    peer.data(b"and back");
    peer.expect_data(b"and back");
    drop(peer);
    assert_eq!(events.blocking_recv(), Some((0, Reason::ClosedByPeer)));
    server.handle().shutdown();
    assert_eq!(events.blocking_recv(), None);
    server.join().unwrap();
}

#[test]
fn a_kick_ends_its_session_and_no_other() {
    let mut rig = ServerRig::echo(config());
    let (mut kicked, kicked_id) = rig.connect();
    let (mut other, other_id) = rig.connect();
    rig.handle().kick(kicked_id).unwrap();
    assert_eq!(rig.offline(kicked_id), Reason::Kicked);
    assert_eq!(kicked.expect_end(), End::Closed);
    rig.expect_echo(&mut other, other_id);
    assert_eq!(rig.count("kicked"), 1);
    // Its place is free when it has closed its side.
    drop(kicked);
    wait_until("its place is free", || rig.handle().count() == 1);
    drop(other);
    assert_eq!(rig.offline(other_id), Reason::ClosedByPeer);
    rig.finish();
}

#[test]
fn a_handle_outlives_its_server_and_knows_no_shard_of_another_one() {
    let mut rig = ServerRig::start(config().threads(2).reuse_port(false));
    let (_first, _) = rig.connect();
    let (_second, id) = rig.connect();
    let other = ServerRig::start(config());
    assert_eq!(other.handle().send(id, b""), Err(CommandError::Gone));
    assert_eq!(other.handle().kick(id), Err(CommandError::Gone));
    other.finish();
    let handle = rig.handle().clone();
    rig.finish();
    assert_eq!(handle.send(id, b""), Err(CommandError::Gone));
    assert_eq!(handle.kick(id), Err(CommandError::Gone));
    assert_eq!(handle.broadcast(b""), Ok(()));
    assert_eq!((handle.count(), handle.blocking_list()), (0, Vec::new()));
    let stats = handle.stats();
    assert_eq!((stats.get("accepted"), stats.get("shutdown")), (Some(2), Some(2)));
    handle.shutdown();
}

#[test]
fn a_message_longer_than_a_queue_is_refused_and_ends_no_session() {
    let results = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&results);
    let mut rig = ServerRig::acting(
        config().limits(Limits::default().max_queue(100)),
        move |event, control| {
            if let Event::Data { id, .. } = event {
                let mut send = |len: usize| control.send(*id, &vec![7; len]);
                seen.lock().unwrap().extend([send(93), send(92)]);
            }
        },
    );
    let (mut peer, id) = rig.connect();
    peer.data(b"");
    rig.expect_data(id, b"");
    peer.expect_data(&[7; 92]);
    assert_eq!(*results.lock().unwrap(), [Err(CommandError::TooLong), Ok(())]);
    // A handle returns the error too: the shard could not report it.
    assert_eq!(rig.handle().send(id, &[8; 93]), Err(CommandError::TooLong));
    assert_eq!(rig.handle().broadcast(&[8; 93]), Err(CommandError::TooLong));
    rig.handle().send(id, &[9; 92]).unwrap();
    peer.expect_data(&[9; 92]);
    rig.finish();
}

#[test]
fn the_list_says_how_long_each_client_is_silent() {
    let mut rig = ServerRig::start(config().threads(2).reuse_port(false));
    let (_silent, silent_id) = rig.connect();
    let (speaking, speaking_id) = rig.connect();
    let beating = speaking.beat_every(ms(20));
    rig.expect_quiet(ms(300));
    while rig.handle().blocking_list().iter().all(|info| info.beats == 0) {
        rig.expect_quiet(ms(10));
    }
    let list = rig.handle().blocking_list();
    let of = |id| list.iter().find(|info| info.id == id).unwrap();
    assert_eq!(list.len(), 2);
    assert!(of(silent_id).silence >= ms(300));
    assert!(of(speaking_id).silence < of(silent_id).silence);
    assert!(of(speaking_id).beats > 0);
    let _peer = beating.stop();
    rig.finish();
}

#[test]
fn a_handler_that_kicks_a_session_hears_no_more_of_it_but_its_end() {
    let mut came = 0;
    let mut rig = ServerRig::acting(config(), move |event, control| {
        came += u32::from(matches!(event, Event::Online { .. }));
        match event {
            Event::Data { id, data: b"kick me" } => {
                assert_eq!(control.kick(*id), Ok(()));
                assert_eq!(control.kick(*id), Err(CommandError::Gone));
                assert_eq!(control.send(*id, b"too late"), Err(CommandError::Gone));
            }
            // Before it says anything.
            Event::Online { id, .. } if came == 2 => control.kick(*id).unwrap(),
            _ => {}
        }
    });
    let (mut peer, id) = rig.connect();
    // All in one read, and a breach of the protocol behind it.
    peer.send(&[data(b"one"), data(b"kick me"), data(b"three"), header(HEART, 9)].concat());
    rig.expect_data(id, b"one");
    rig.expect_data(id, b"kick me");
    assert_eq!(rig.offline(id), Reason::Kicked);
    peer.expect_end();
    let (mut second, id) = rig.connect();
    assert_eq!(rig.offline(id), Reason::Kicked);
    assert_eq!(second.expect_end(), End::Closed);
    rig.finish();
}

#[test]
fn a_handler_that_kicks_a_dead_client_changes_nothing_about_its_end() {
    let mut rig = ServerRig::acting(config().policy(timeout(100)), |event, control| {
        if let Event::Verdict { id, .. } = event {
            assert_eq!(control.kick(*id), Err(CommandError::Gone));
            assert_eq!(control.send(*id, b"anyone?"), Err(CommandError::Gone));
        }
    });
    let (mut peer, id) = rig.connect();
    rig.verdict(id);
    assert_eq!(peer.expect_end(), End::Reset);
    assert_eq!((rig.count("dead"), rig.count("kicked")), (1, 0));
    rig.finish();
}

#[test]
fn messages_that_a_handler_sends_on_offline_go_out_at_once() {
    let others = Arc::new(Mutex::new(Vec::new()));
    let mut rig = ServerRig::acting(config(), move |event, control| match event {
        Event::Online { id, .. } => others.lock().unwrap().push(*id),
        Event::Offline { id, .. } => {
            let mut others = others.lock().unwrap();
            others.retain(|other| other != id);
            for other in others.iter() {
                control.send(*other, format!("{id} left").as_bytes()).unwrap();
            }
        }
        _ => {}
    });
    let (mut staying, _) = rig.connect();
    for _ in 0..3 {
        let (leaving, id) = rig.connect();
        drop(leaving);
        rig.expect_offline(id);
        // Nothing else happens that would wake the shard.
        staying.expect_data(format!("{id} left").as_bytes());
    }
    rig.finish();
}

#[test]
fn a_greeting_longer_than_a_socket_takes_arrives_whole() {
    const PARTS: usize = 280;
    // A little less than all of it, so that the queue is written early, when the session is so new
    // that nothing has been read from it yet.
    const QUEUE: usize = 16 << 20;
    let mut rig =
        ServerRig::acting(config().limits(Limits::default().max_queue(QUEUE)), |event, control| {
            if let Event::Online { id, .. } = event {
                (0..PARTS).for_each(|_| control.send(*id, &[5; 60_000]).unwrap());
            }
        });
    const { assert!(PARTS * 60_008 > QUEUE) };
    let (mut peer, _) = rig.connect();
    (0..PARTS).for_each(|_| peer.expect_data(&[5; 60_000]));
    rig.finish();
}

#[test]
fn a_flood_of_commands_does_not_keep_a_shard_from_its_sessions() {
    let mut rig = ServerRig::echo(config().limits(Limits::default().max_queue(1 << 30)));
    let (mut peer, id) = rig.connect();
    // So many that a command takes longer to carry out than to give.
    let _others: Vec<_> = (0..100).map(|_| rig.connect()).collect();
    let flooding = Arc::new(AtomicBool::new(true));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let (handle, flooding) = (rig.handle().clone(), Arc::clone(&flooding));
            thread::spawn(move || {
                while flooding.load(Ordering::Relaxed) {
                    // Busy, most of the time.
                    let _ = handle.broadcast(b"");
                }
            })
        })
        .collect();
    for _ in 0..3 {
        peer.data(b"still there?");
        rig.expect_data(id, b"still there?");
        while peer.receive_data().is_empty() {}
    }
    flooding.store(false, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    // Those that read nothing may have been sent more than they take.
    rig.handle().shutdown();
    rig.join();
}
