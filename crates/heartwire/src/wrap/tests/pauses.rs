//! Pauses: time without a poll does not count against the peer.

use crate::wrap::Heartbeat;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::{Instant, advance};

use super::rig::{
    Message, Plain, assert_in_bound, assert_waits, both, connect, judge, ms, pipe, secs, verdict_of,
};

#[tokio::test(start_paused = true)]
async fn a_peer_gets_a_whole_timeout_after_a_pause() {
    let (mut near, _far) = connect(Plain, judge());
    let start = Instant::now();
    assert_waits(near.next(), secs(4)).await;
    advance(secs(30)).await;
    let resumed_at = Instant::now();
    assert!(near.next().now_or_never().is_none());
    let verdict = verdict_of(near.next().await);
    assert_in_bound(resumed_at, secs(10));
    assert_eq!(verdict.paused, resumed_at - start);
    assert_eq!(verdict.silence, start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_short_delay_is_no_pause() {
    let (mut near, _far) = connect(Plain, judge());
    let start = Instant::now();
    assert_waits(near.next(), secs(9)).await;
    advance(ms(1_200)).await;
    // Late, and with a second look, but in the bound that counts from when it could look. What is
    // beyond the tick was no time of the peer's.
    let verdict = verdict_of(near.next().await);
    assert!(verdict.late > crate::TICK, "{verdict}");
    assert_eq!(verdict.paused, verdict.late - crate::TICK);
    // upper bound: the clock is paused.
    assert!(start.elapsed() <= ms(10_300), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_application_that_is_busy_with_an_item_pauses() {
    let (mut near, far) = connect(Plain, judge());
    far.send(Message::Data(1));
    near.next().await.unwrap().unwrap();
    advance(secs(60)).await;
    let resumed_at = Instant::now();
    let verdict = verdict_of(near.next().await);
    assert_in_bound(resumed_at, secs(10));
    assert_eq!(verdict.paused, secs(60));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_during_a_pause_are_read_and_end_the_silence() {
    let (mut near, far) = connect(Plain, judge());
    assert_waits(near.next(), secs(4)).await;
    advance(secs(30)).await;
    far.send(Message::Data(1));
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    let verdict = verdict_of(near.next().await);
    assert_eq!(verdict.paused, ms(0));
}

#[tokio::test(start_paused = true)]
async fn a_silence_gets_three_more_chances_and_no_fourth() {
    let (mut near, _far) = connect(Plain, judge());
    let mut pauses = 0;
    while near.next().now_or_never().is_none() {
        // Past any deadline by more than the time that makes a pause.
        advance(secs(20)).await;
        pauses += 1;
        assert!(pauses < 10, "never dead");
    }
    // The last one, and the second look after it.
    assert_eq!(pauses, 5);
    assert!(near.verdict().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pause_between_the_two_looks_before_a_verdict_is_one() {
    let (mut near, _far) = connect(Plain, judge());
    assert_waits(near.next(), ms(10_002)).await;
    advance(secs(30)).await;
    let resumed_at = Instant::now();
    verdict_of(near.next().await);
    assert_in_bound(resumed_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_not_polled_pauses_too() {
    let (near, _far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, both());
    near.feed(Message::Data(0)).await.unwrap();
    assert_waits(near.send(Message::Data(1)), secs(4)).await;
    advance(secs(30)).await;
    let resumed_at = Instant::now();
    assert!(near.send(Message::Data(1)).await.is_err());
    assert_in_bound(resumed_at, secs(10));
}
