//! A runtime whose thread is kept busy: the tests have to get at it, so they are the tokio client's alone.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::Event;
use tokio::runtime::Builder;

use super::rig::{BEAT, Rig, Server, data_frame, limit, ms, pass};
use super::subject::start_on;
use super::verdicts::verdict_of;

/// The runtime's thread is kept busy between its last look at the sockets and the client's turn,
/// and just then a byte arrives. It is late, but it is there before the verdict.
#[test]
fn bytes_in_the_socket_outrank_a_deadline_even_if_the_runtime_has_not_seen_them() {
    let silence = ms(1_000);
    let server = Server::new();
    // Two tasks run between two looks at sockets and timers: the busy one, and then the client.
    let mut rig = Rig::of(start_on(
        Builder::new_current_thread().enable_all().event_interval(2),
        server.config().policy(limit(silence)),
    ));
    rig.expect_connecting(1);
    let mut peer = server.accept();
    rig.expect_online();
    peer.expect_beat();

    let late_bytes = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut stream = peer.stream.try_clone().unwrap();
    let (counter, stopped) = (Arc::clone(&late_bytes), Arc::clone(&stop));
    let last_byte_at = Instant::now();
    stream.write_all(&BEAT).unwrap();
    busy(
        rig.ground.handle.clone(),
        move |last_byte_at| {
            // If the limit has passed, so the timer may have fired, it is the peer's turn to beat.
            let due = last_byte_at.elapsed() >= silence;
            pass(ms(40));
            if stopped.load(Ordering::SeqCst) {
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
    while late_bytes.load(Ordering::SeqCst) < 8 {
        pass(ms(20));
    }
    stop.store(true, Ordering::SeqCst);
    drop(peer);
    let offline = rig.expect_offline();
    assert_eq!(offline.reason, Reason::ClosedByPeer, "{}", offline.reason);
    assert!(offline.beats > 8);
}

/// A stall of that length at least; a busy machine may have made shorter ones before it.
#[track_caller]
fn expect_stall(rig: &mut Rig, gap: Duration) {
    loop {
        match rig.next() {
            Event::Stalled(stall) if stall.gap >= gap => return,
            Event::Stalled(_) => {}
            other => panic!("expected a stall: {other}"),
        }
    }
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
    let silence = ms(2_000);
    let (mut rig, _server, _peer) = Rig::online(|config| config.policy(limit(silence)));
    let stopped_at = Instant::now();
    rig.ground.block(ms(4_500));
    // 2,000 ms of the 4,500 would have been slept through anyway.
    expect_stall(&mut rig, ms(2_500));
    let verdict = verdict_of(rig.expect_offline().reason);
    assert!(stopped_at.elapsed() >= ms(4_500) + silence);
    assert!(verdict.stalled >= ms(4_500), "{verdict}");
    assert_eq!(verdict.silence, verdict.stalled + silence + verdict.late.min(heartwire::TICK));
}

#[test]
fn a_server_that_beat_during_our_stall_is_not_judged() {
    let silence = ms(2_000);
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(limit(silence)));
    peer.write(&BEAT);
    rig.ground.block(ms(4_500));
    expect_stall(&mut rig, ms(2_500));
    peer.write(&data_frame(b"alive"));
    assert_eq!(rig.expect_data(), b"alive");
}
