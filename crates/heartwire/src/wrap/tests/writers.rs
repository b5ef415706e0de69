//! A writer that has to wait delays nothing.

use crate::Policy;
use crate::wrap::Heartbeat;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::{Instant, advance, sleep, timeout};

use super::rig::{
    Far, Message, Near, Plain, assert_in_bound, assert_waits, both, judge, ms, pipe, script, secs,
    verdict_of,
};

/// A connection whose writer waits: the wire is full.
async fn full() -> (Heartbeat<Near, Plain>, Far) {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, both());
    near.feed(Message::Data(0)).await.unwrap();
    (near, far)
}

#[tokio::test(start_paused = true)]
async fn a_blocked_send_ends_with_the_verdict() {
    let (mut near, _far) = full().await;
    let start = Instant::now();
    let error = near.send(Message::Data(1)).await.unwrap_err();
    assert_in_bound(start, secs(10));
    assert_eq!(error.verdict(), near.verdict());
    // The stream has not told it yet.
    verdict_of(near.next().now_or_never().unwrap());
    assert_eq!(near.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_flush_and_a_blocked_close_end_with_the_verdict() {
    let (mut near, _far) = full().await;
    let start = Instant::now();
    assert!(near.flush().await.unwrap_err().verdict().is_some());
    assert_in_bound(start, secs(10));

    let (mut near, _far) = full().await;
    let start = Instant::now();
    assert!(near.close().await.unwrap_err().verdict().is_some());
    assert_in_bound(start, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_send_in_another_task_delays_no_verdict() {
    let (near, _far) = full().await;
    let (mut sink, mut stream) = near.split();
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        let error = sink.send(Message::Data(1)).await.unwrap_err();
        (Instant::now(), error.verdict())
    });
    let verdict = verdict_of(stream.next().await);
    assert_in_bound(start, secs(10));
    assert_eq!(sending.await.unwrap(), (Instant::now(), Some(verdict)));
}

#[tokio::test(start_paused = true)]
async fn beats_of_the_peer_are_life_while_a_send_waits() {
    let (mut near, far) = full().await;
    script(&far, (1..=20).map(|n| (secs(9) * n, Message::Beat)).collect());
    let start = Instant::now();
    assert!(near.send(Message::Data(1)).await.is_err());
    assert_in_bound(start + secs(9) * 20, secs(10));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrive_between_two_looks_of_a_writer_are_read_before_the_second() {
    let (mut near, far) = full().await;
    assert_waits(near.send(Message::Data(1)), ms(10_002)).await;
    far.send(Message::Beat);
    advance(ms(10)).await;
    let heard_at = Instant::now();
    assert!(near.send(Message::Data(1)).await.is_err());
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn items_that_come_while_a_send_waits_are_handed_out_later_in_order() {
    let (mut near, far) = full().await;
    script(&far, (1..=5).map(|n| (secs(9) * n, Message::Data(n))).collect());
    let start = Instant::now();
    assert!(near.send(Message::Data(1)).await.is_err());
    assert_in_bound(start + secs(9) * 5, secs(10));
    for n in 1..=5 {
        assert_eq!(near.next().await, Some(Ok(Message::Data(n))));
    }
    verdict_of(near.next().await);
    assert_eq!(near.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn so_are_the_end_and_an_error() {
    let (mut near, far) = full().await;
    far.send(Message::Data(1));
    far.fail();
    far.close();
    // The timeout is off after the end, so the send waits.
    assert_waits(near.send(Message::Data(1)), secs(100)).await;
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    assert!(near.next().await.unwrap().is_err());
    // The stream itself was asked once; it would break on another time.
    assert_eq!(near.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_deadlines_reads_nothing_ahead_of_a_send_that_does_not_wait() {
    let (near, far) = pipe(100);
    let mut near = Heartbeat::new(near, Plain, Policy::builder().build().unwrap());
    far.send(Message::Data(1));
    for _ in 0..3 {
        near.send(Message::Data(1)).await.unwrap();
    }
    assert_eq!(far.unread(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_ahead_than_there_is_room_for() {
    let (mut near, far) = full().await;
    for n in 0..20 {
        far.send(Message::Data(n));
    }
    // A peer that is not read from is not declared dead.
    assert_waits(near.send(Message::Data(1)), secs(1_000)).await;
    assert_eq!(far.unread(), 4);
    for n in 0..20 {
        assert_eq!(near.next().await, Some(Ok(Message::Data(n))));
    }
    let heard_at = Instant::now();
    verdict_of(near.next().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn with_no_room_to_read_ahead_only_the_stream_judges() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, judge()).read_ahead(0);
    far.send(Message::Data(1));
    near.feed(Message::Data(0)).await.unwrap();
    assert_waits(near.send(Message::Data(1)), secs(1_000)).await;
    assert_eq!(far.unread(), 1);
    near.next().await.unwrap().unwrap();
    verdict_of(near.next().await);
}

#[tokio::test(start_paused = true)]
async fn bytes_read_ahead_are_not_lost_with_the_wrapper() {
    let (mut near, far) = full().await;
    far.send(Message::Data(7));
    assert_waits(near.send(Message::Data(1)), secs(1)).await;
    let (_, ahead) = near.into_parts();
    assert_eq!(ahead, [Ok(Message::Data(7))]);
}

#[tokio::test(start_paused = true)]
async fn the_reader_is_woken_for_what_the_writer_has_read() {
    for item in [Some(Ok(Message::Data(7))), None] {
        let (near, far) = full().await;
        let (mut sink, mut stream) = near.split();
        let reading = tokio::spawn(async move { (stream.next().await, Instant::now()) });
        let start = Instant::now();
        assert_waits(sink.send(Message::Data(1)), secs(1)).await;
        // Only the writer is polled, for a reason of its own.
        match item {
            Some(_) => far.place(Message::Data(7)),
            None => far.close_quietly(),
        }
        assert_waits(sink.flush(), ms(10)).await;
        let read = timeout(ms(10), reading).await.expect("woken").unwrap();
        assert_eq!(read, (item, start + secs(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_writer_is_woken_though_the_reader_has_tried_to_beat_meanwhile() {
    let (near, far) = full().await;
    let (mut sink, mut stream) = near.split();
    let sending = tokio::spawn(async move {
        sink.send(Message::Data(1)).await.unwrap();
        Instant::now()
    });
    tokio::spawn(async move { while stream.next().await.is_some() {} });
    let start = Instant::now();
    // Beats fall due at 3 s and 6 s; the reader asks the wire for room then.
    sleep(secs(8)).await;
    far.make_room(10);
    assert_eq!(sending.await.unwrap(), start + secs(8));
    let mut messages = far.take_messages();
    messages.retain(|message| *message != Message::Beat);
    assert_eq!(messages, [Message::Data(0), Message::Data(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_never_reads_gets_the_verdict_at_the_next_send() {
    let (near, far) = pipe(10_000);
    let mut near = Heartbeat::new(near, Plain, judge());
    let start = Instant::now();
    while near.send(Message::Data(1)).await.is_ok() {
        // upper bound: the clock is paused.
        assert!(start.elapsed() < secs(60), "never dead");
        sleep(ms(50)).await;
    }
    let silence = near.verdict().unwrap().silence;
    assert_eq!(silence, start.elapsed());
    assert!((secs(10)..=ms(10_100)).contains(&silence), "{silence:?}");
    assert!(far.take().len() > 190);
}
