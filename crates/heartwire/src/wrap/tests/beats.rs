//! When a beat is sent, and when none is.

use core::future::poll_fn;
use core::pin::Pin;
use std::sync::{Arc, Mutex};

use crate::wrap::{Error, Heartbeat};
use futures_util::{FutureExt as _, Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use tokio::time::{Instant, advance, sleep};

use super::rig::{
    Asking, Far, Fault, Message, Plain, assert_in_bound, assert_waits, beat, both, connect, judge,
    ms, pipe, script, secs, verdict_of,
};

#[tokio::test(start_paused = true)]
async fn a_beat_is_sent_when_nothing_else_was() {
    let (mut near, far) = connect(Plain, beat());
    let start = Instant::now();
    assert_waits(near.next(), secs(10)).await;
    let beats = [3, 6, 9].map(|at| (start + secs(at), Message::Beat));
    assert_eq!(far.take(), beats);
}

#[tokio::test(start_paused = true)]
async fn data_suppresses_beats_while_the_peer_is_heard() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    for n in 0..5 {
        near.send(Message::Data(n)).await.unwrap();
        far.send(Message::Data(n));
        near.next().await.unwrap().unwrap();
        assert_waits(near.next(), secs(2)).await;
    }
    assert!(far.take_messages().iter().all(|message| *message != Message::Beat));
    assert_waits(near.next(), ms(1_001)).await;
    assert_eq!(far.take(), [(start + secs(11), Message::Beat)]);
}

#[tokio::test(start_paused = true)]
async fn data_suppresses_no_beats_where_the_peer_alone_judges() {
    let (mut near, far) = connect(Plain, beat());
    let start = Instant::now();
    for n in 0..5 {
        near.send(Message::Data(n)).await.unwrap();
        far.send(Message::Data(n));
        near.next().await.unwrap().unwrap();
        assert_waits(near.next(), secs(2)).await;
    }
    let mut beats = far.take();
    beats.retain(|(_, message)| *message == Message::Beat);
    assert_eq!(beats, [3, 6, 9].map(|at| (start + secs(at), Message::Beat)));
}

/// It answers each question 10 ms later, and says nothing else.
async fn answer(far: Far) {
    loop {
        sleep(ms(10)).await;
        for message in far.take_messages() {
            far.make_room(1);
            if let Message::Ask(nonce) = message {
                far.send(Message::Answer(nonce));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_answers_lives_while_data_is_sent() {
    for between in [1, 500, 1_500, 2_999, 3_000, 3_001, 7_500, 9_000].map(ms) {
        let (mut near, far) = connect(Asking, both());
        let peer = tokio::spawn(answer(far));
        let start = Instant::now();
        while start.elapsed() < secs(60) {
            near.send(Message::Data(1)).await.unwrap();
            assert_waits(near.next(), between).await;
        }
        assert_eq!(near.rtt().map(|rtt| rtt <= ms(11)), Some(true), "data each {between:?}");
        peer.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_answers_is_asked_once_in_an_interval() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    for n in 0..9 {
        near.send(Message::Data(n)).await.unwrap();
        assert_waits(near.next(), secs(1)).await;
    }
    let mut beats = far.take();
    beats.retain(|(_, message)| *message == Message::Beat);
    assert_eq!(beats, [3, 6, 9].map(|at| (start + secs(at), Message::Beat)));
}

#[tokio::test(start_paused = true)]
async fn a_question_joins_what_waits_and_no_other_joins_it() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, both());
    near.feed(Message::Data(1)).await.unwrap();
    assert_waits(near.next(), ms(9_900)).await;
    assert_eq!(far.take_messages(), []);
    far.make_room(100);
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Data(1), Message::Beat]);
}

#[tokio::test(start_paused = true)]
async fn items_of_the_peer_suppress_no_beats() {
    let (mut near, far) = connect(Plain, both());
    script(&far, (1..100).map(|n| (ms(100) * n, Message::Data(n))).collect());
    let start = Instant::now();
    while start.elapsed() < secs(9) {
        near.next().await.unwrap().unwrap();
    }
    let sent: Vec<_> = far.take().into_iter().map(|(at, _)| at - start).collect();
    assert_eq!(sent, [secs(3), secs(6), secs(9)]);
}

#[tokio::test(start_paused = true)]
async fn beats_go_out_while_items_come_without_a_pause() {
    for policy in [beat(), both()] {
        let (mut near, far) = connect(Plain, policy);
        for n in 0..140 {
            far.send(Message::Data(n));
            far.send(Message::Data(n));
            // There is always another item, so the stream never waits.
            near.next().now_or_never().unwrap().unwrap().unwrap();
            advance(ms(100)).await;
        }
        assert_eq!(far.take_messages(), [Message::Beat; 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_fed_is_flushed_instead_of_a_beat() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    near.feed(Message::Data(1)).await.unwrap();
    assert_waits(near.next(), secs(1)).await;
    far.send(Message::Data(2));
    near.next().await.unwrap().unwrap();
    assert_waits(near.next(), ms(2_500)).await;
    assert_eq!(far.take(), [(start + secs(3), Message::Data(1))]);
    // The peer has been silent for as long as a beat takes.
    assert_waits(near.next(), ms(1_001)).await;
    assert_eq!(far.take(), [(start + secs(4), Message::Beat)]);
}

#[tokio::test(start_paused = true)]
async fn no_beats_pile_up_behind_a_peer_that_does_not_read() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, beat());
    assert_waits(near.next(), secs(1_000)).await;
    assert_eq!(far.take_messages(), []);
    far.make_room(100);
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Beat]);
    let start = Instant::now();
    assert_waits(near.next(), secs(4)).await;
    assert_eq!(far.take(), [(start - ms(1) + secs(3), Message::Beat)]);
}

#[tokio::test(start_paused = true)]
async fn no_beat_comes_between_asking_for_room_and_using_it() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    poll_fn(|cx| Pin::new(&mut near).poll_ready(cx)).await.unwrap();
    assert_waits(near.next(), secs(5)).await;
    assert_eq!(far.take_messages(), []);
    Pin::new(&mut near).start_send(Message::Data(1)).unwrap();
    // The beat was due: it does not wait for another item, and this one not for another beat.
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Data(1), Message::Beat]);
    // A verdict does not wait for anything.
    poll_fn(|cx| Pin::new(&mut near).poll_ready(cx)).await.unwrap();
    verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_a_beat_had_to_wait_for_is_flushed_at_once() {
    let (near, far) = connect(Plain, beat());
    let near = Arc::new(Mutex::new(near));
    let reader = Arc::clone(&near);
    tokio::spawn(poll_fn(move |cx| Pin::new(&mut *reader.lock().unwrap()).poll_next(cx)));
    poll_fn(|cx| Pin::new(&mut *near.lock().unwrap()).poll_ready(cx)).await.unwrap();
    sleep(secs(5)).await;
    assert_eq!(far.take_messages(), []);
    // None flushes it but the reader.
    Pin::new(&mut *near.lock().unwrap()).start_send(Message::Data(1)).unwrap();
    sleep(ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Data(1), Message::Beat]);
}

#[tokio::test(start_paused = true)]
async fn after_close_no_beat_is_sent() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    assert_waits(near.next(), secs(4)).await;
    near.close().await.unwrap();
    // The wire would break on another message. Judging goes on.
    verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
    assert_eq!(far.take_messages(), [Message::Beat]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_a_beat_sends_none() {
    let (mut near, far) = connect(Plain, judge());
    far.send(Message::Beat);
    verdict_of(near.next().await);
    assert_eq!(far.take_messages(), []);
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_cannot_be_written_is_told_after_what_the_peer_said_last() {
    let (mut near, far) = connect(Plain, both());
    far.fail_writes();
    script(&far, vec![(ms(3_003), Message::Data(1)), (ms(3_004), Message::Data(2))]);
    let start = Instant::now();
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    assert_eq!(near.next().await, Some(Ok(Message::Data(2))));
    assert_eq!(near.next().await, Some(Err(Error::Inner(Fault))));
    assert_eq!(start.elapsed(), ms(3_005));
    // It is told once. What the peer can still say is passed on, and it is still judged.
    far.send(Message::Data(3));
    assert_eq!(near.next().await, Some(Ok(Message::Data(3))));
    verdict_of(near.next().await);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_outranks_a_beat_that_cannot_be_written() {
    let (mut near, far) = connect(Plain, both());
    far.fail_writes();
    let closer = far.clone();
    tokio::spawn(async move {
        sleep(ms(3_004)).await;
        closer.close();
    });
    assert_eq!(near.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_though_beats_keep_coming() {
    let (mut near, far) = connect(Plain, both());
    far.fail_writes();
    script(&far, (1..1_000).map(|n| (ms(10) * n, Message::Beat)).collect());
    let start = Instant::now();
    assert_eq!(near.next().await, Some(Err(Error::Inner(Fault))));
    // upper bound: the clock is paused.
    assert!(start.elapsed() < ms(3_050), "{:?}", start.elapsed());
}
