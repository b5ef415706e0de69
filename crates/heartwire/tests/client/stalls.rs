//! A runtime whose thread is kept busy.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::{Client, Event};
use heartwire_testkit::{BEAT, ClientRig, Listener, PATIENCE, limit, ms, pass, verdict_of};
use tokio::runtime::Builder;

/// The runtime's thread is kept busy between its last look at the sockets and the client's turn,
/// and just then a byte arrives. It is late, but it is there before the verdict.
#[test]
fn bytes_in_the_socket_outrank_a_deadline_even_if_the_runtime_has_not_seen_them() {
    let silence = ms(1_000);
    let server = Listener::new();
    // Two tasks run between two looks at sockets and timers: the busy one, and then the client.
    let runtime = Builder::new_current_thread().enable_all().event_interval(2).build().unwrap();
    let handle = runtime.handle().clone();
    let (client, mut events) = {
        let _inside = handle.enter();
        Client::start(server.config().policy(limit(1_000)))
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = std::thread::spawn(move || drop(runtime.block_on(stopped)));
    let mut peer = server.accept();
    peer.expect_heart();

    let late_bytes = Arc::new(AtomicU32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut stream = peer.stream.try_clone().unwrap();
    let (counter, is_over) = (Arc::clone(&late_bytes), Arc::clone(&over));
    let last_byte_at = Instant::now();
    stream.write_all(&BEAT).unwrap();
    busy(
        handle.clone(),
        move |last_byte_at| {
            // If the limit has passed, so the timer may have fired, it is the peer's turn to beat.
            let due = last_byte_at.elapsed() >= silence;
            pass(ms(40));
            if is_over.load(Ordering::SeqCst) {
                return None;
            }
            if !due {
                return Some(last_byte_at);
            }
            let at = Instant::now();
            // Were the connection ended, this would fail, and the events show it.
            let _ = stream.write_all(&BEAT);
            counter.fetch_add(1, Ordering::SeqCst);
            Some(at)
        },
        last_byte_at,
    );
    let started = Instant::now();
    while late_bytes.load(Ordering::SeqCst) < 4 {
        assert!(started.elapsed() < PATIENCE, "the client does not get its turn");
        pass(ms(20));
    }
    over.store(true, Ordering::SeqCst);
    drop(peer);
    let (reason, beats) = loop {
        let next = async { tokio::time::timeout(PATIENCE, events.recv()).await };
        match handle.block_on(next).expect("an event comes").expect("it runs") {
            Event::Offline { reason, beats, .. } => break (reason, beats),
            Event::Connecting { .. } | Event::Online { .. } | Event::Stalled(_) => {}
            other => panic!("{other}"),
        }
    };
    assert_eq!(reason, Reason::ClosedByPeer, "{reason}");
    assert!(beats > 4);
    drop((client, stop));
    running.join().unwrap();
}

/// Runs `turn` as a task that is followed by another one at once, for as long as it returns
/// something.
fn busy(
    handle: tokio::runtime::Handle,
    mut turn: impl FnMut(Instant) -> Option<Instant> + Send + 'static,
    at: Instant,
) {
    handle.clone().spawn(async move {
        if let Some(at) = turn(at) {
            busy(handle, turn, at);
        }
    });
}

#[test]
fn a_stall_of_our_own_is_reported_and_gives_the_server_another_limit() {
    let (rig, _server, _peer) = ClientRig::online_with(|config| config.policy(limit(2_000)));
    let stopped_at = Instant::now();
    rig.stand_still(ms(4_500));
    let verdict = verdict_of(rig.offline());
    assert!(stopped_at.elapsed() >= ms(4_500 + 2_000));
    // 2,000 ms of the 4,500 would have been slept through anyway.
    let stalls = rig.stalls.borrow();
    assert!(stalls.iter().any(|&gap| gap >= ms(2_500)), "{stalls:?}");
    assert!(verdict.stalled >= ms(4_500), "{verdict}");
}
