//! When a peer is declared dead, and when it must not be.

use crate::Cause;
use crate::wrap::{EmptyFrame, Error, Heartbeat};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::{Instant, advance, sleep};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::rig::{
    Fault, Message, Plain, assert_in_bound, assert_waits, beat, both, connect, judge, ms, script,
    secs, verdict_of,
};

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_anything_is_dead_after_the_timeout() {
    let (mut near, _far) = connect(Plain, judge());
    let start = Instant::now();
    let verdict = verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
    assert_eq!(verdict.cause, Cause::Silence);
    assert_eq!(verdict.silence, start.elapsed());
    assert_eq!(verdict.bound, near.bound());
    assert_eq!(verdict.bound.unwrap().to_string(), "10.0 to 10.1 s");
    assert_eq!(verdict.paused, ms(0));
    assert_eq!(near.verdict(), Some(verdict));
}

#[tokio::test(start_paused = true)]
async fn any_item_is_life() {
    for message in [Message::Beat, Message::Data(1)] {
        let (mut near, far) = connect(Plain, judge());
        script(&far, (1..=5).map(|n| (ms(9_999) * n, message)).collect());
        let start = Instant::now();
        let mut items = 0;
        while near.next().await.unwrap().is_ok() {
            items += 1;
        }
        assert_in_bound(start + ms(9_999) * 5, secs(10));
        assert_eq!(items, if message == Message::Beat { 0 } else { 5 });
    }
}

#[tokio::test(start_paused = true)]
async fn writing_is_no_sign_of_life() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    near.send(Message::Data(1)).await.unwrap();
    assert_waits(near.next(), secs(5)).await;
    near.send(Message::Data(2)).await.unwrap();
    verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
    assert!(far.take().len() > 3);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_the_last_event() {
    let (mut near, far) = connect(Plain, both());
    let verdict = verdict_of(near.next().await);
    far.send(Message::Data(1));
    far.take();
    assert_eq!(near.next().await, None);
    assert_eq!(near.next().await, None);
    let error = near.send(Message::Data(2)).await.unwrap_err();
    assert_eq!(error.verdict(), Some(verdict));
    let error = near.close().await.unwrap_err();
    assert_eq!(error.verdict(), Some(verdict));
    sleep(secs(60)).await;
    assert_eq!(far.take_messages(), []);
    assert_eq!(far.unread(), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_have_arrived_are_read_before_a_verdict() {
    let (mut near, far) = connect(Plain, judge());
    assert_waits(near.next(), secs(9)).await;
    far.send(Message::Data(1));
    // Too short for a pause, and past the timeout, and past a second look.
    advance(ms(1_100)).await;
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    let heard_at = Instant::now();
    verdict_of(near.next().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_has_arrived_is_read_before_a_verdict() {
    let (mut near, far) = connect(Plain, judge());
    assert_waits(near.next(), secs(9)).await;
    far.send(Message::Beat);
    advance(ms(1_100)).await;
    let heard_at = Instant::now();
    verdict_of(near.next().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrive_between_two_looks_are_read_before_the_second() {
    for message in [Message::Data(1), Message::Beat] {
        let (mut near, far) = connect(Plain, judge());
        assert_waits(near.next(), ms(10_002)).await;
        far.send(message);
        // None polls it when it is woken, but only when the second look is overdue.
        advance(ms(10)).await;
        let heard_at = Instant::now();
        let item = near.next().now_or_never().flatten();
        assert_eq!(item, (message == Message::Data(1)).then_some(Ok(message)));
        verdict_of(near.next().await);
        assert_in_bound(heard_at, secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_runtime_gets_a_turn_to_find_bytes_before_a_verdict() {
    // What it knows of a socket is as old as its last turn.
    let (mut near, far) = connect(Plain, judge());
    script(&far, vec![(ms(10_004), Message::Data(1))]);
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
}

#[tokio::test(start_paused = true)]
async fn a_task_without_budget_gives_no_verdict() {
    // It is told that nothing is ready, whatever lies there.
    let (near, far) = tokio::io::duplex(64);
    let near = Framed::new(near, LengthDelimitedCodec::new());
    let mut near = Heartbeat::new(near, EmptyFrame, judge());
    let mut far = Framed::new(far, LengthDelimitedCodec::new());
    assert!(near.next().now_or_never().is_none());
    advance(ms(9_999)).await;
    far.send(Bytes::from_static(b"here")).await.unwrap();
    let spend_budget = async || {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
    };
    // The first look, and the second.
    for wait in [ms(1), ms(10)] {
        tokio::task::yield_now().await;
        advance(wait).await;
        spend_budget().await;
        assert_eq!(near.next().now_or_never().map(|item| item.is_some()), None);
    }
    tokio::task::yield_now().await;
    assert_eq!(near.next().await.unwrap().unwrap(), &b"here"[..]);
}

#[tokio::test(start_paused = true)]
async fn no_timeout_no_verdict() {
    let (mut near, _far) = connect(Plain, beat());
    assert_waits(near.next(), secs(10_000)).await;
    assert_eq!(near.bound(), None);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_is_passed_on() {
    let (mut near, far) = connect(Plain, judge());
    far.send(Message::Beat);
    far.send(Message::Data(1));
    far.close();
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    assert_eq!(near.next().await, None);
    assert_eq!(near.verdict(), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_stream_is_passed_on_and_what_follows_it() {
    let (mut near, far) = connect(Plain, judge());
    far.fail();
    far.send(Message::Data(1));
    assert_eq!(near.next().await, Some(Err(Error::Inner(Fault))));
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
}

#[tokio::test(start_paused = true)]
async fn silence_is_told() {
    let (mut near, far) = connect(Plain, judge());
    assert_waits(near.next(), secs(4)).await;
    assert_eq!(near.silence(), secs(4));
    far.send(Message::Beat);
    assert_waits(near.next(), secs(1)).await;
    assert_eq!(near.silence(), secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_beats_lets_other_tasks_run() {
    let (mut near, far) = connect(Plain, judge());
    for _ in 0..1_000 {
        far.send(Message::Beat);
    }
    assert!(near.next().now_or_never().is_none());
    assert!(far.unread() > 900);
    far.send(Message::Data(1));
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
}
