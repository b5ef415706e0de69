//! Futures that are dropped half-way.

use crate::wrap::Heartbeat;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::time::{Instant, advance, timeout};

use super::rig::{
    Message, Plain, assert_in_bound, assert_waits, beat, both, connect, judge, ms, pipe, script,
    secs, verdict_of,
};

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_no_item() {
    let (mut near, far) = connect(Plain, both());
    script(&far, (0..100).map(|n| (ms(77) * n, Message::Data(n))).collect());
    let mut received = vec![];
    while received.len() < 100 {
        if let Ok(item) = timeout(ms(10), near.next()).await {
            received.push(item.unwrap().unwrap());
        }
    }
    assert_eq!(received, (0..100).map(Message::Data).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_puts_off_no_verdict_and_no_beat() {
    let (mut near, far) = connect(Plain, both());
    let start = Instant::now();
    let verdict = loop {
        if let Ok(item) = timeout(ms(7), near.next()).await {
            break verdict_of(item);
        }
    };
    assert_in_bound(start, secs(10));
    assert_eq!(verdict.paused, ms(0));
    let sent: Vec<_> = far.take().into_iter().map(|(at, _)| at - start).collect();
    assert_eq!(sent, [secs(3), secs(6), secs(9)]);
}

#[tokio::test(start_paused = true)]
async fn items_of_a_dropped_send_are_flushed_by_the_next_beat() {
    let (near, far) = pipe(1);
    let mut near = Heartbeat::new(near, Plain, beat());
    near.send(Message::Data(1)).await.unwrap();
    assert!(near.send(Message::Data(2)).now_or_never().is_none());
    assert_eq!(far.take_messages(), [Message::Data(1)]);
    far.make_room(10);
    let start = Instant::now();
    assert_waits(near.next(), secs(4)).await;
    let written = [Message::Data(2), Message::Beat].map(|message| (start + secs(3), message));
    assert_eq!(far.take(), written);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_was_dropped_before_there_was_room_sends_nothing() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, judge());
    assert!(near.send(Message::Data(1)).now_or_never().is_none());
    // The wire holds one message, and this is another one.
    assert!(near.send(Message::Data(2)).now_or_never().is_none());
    far.make_room(10);
    near.flush().await.unwrap();
    assert_eq!(far.take_messages(), [Message::Data(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_select_over_both_halves_works_as_documented() {
    let (mut near, far) = connect(Plain, both());
    let (outgoing, mut queue) = tokio::sync::mpsc::channel(10);
    script(&far, (1..=9).map(|n| (secs(2) * n, Message::Data(n))).collect());
    tokio::spawn(async move {
        for n in 0..10 {
            tokio::time::sleep(ms(700)).await;
            outgoing.send(Message::Data(n)).await.unwrap();
        }
    });
    let mut items = 0;
    let verdict = loop {
        tokio::select! {
            item = near.next() => match item {
                Some(Ok(_)) => items += 1,
                item => break verdict_of(item),
            },
            Some(item) = queue.recv() => near.send(item).await.unwrap(),
        }
    };
    assert_eq!(items, 9);
    assert!(verdict.silence >= secs(10));
    let data = far.take_messages().into_iter().filter(|message| *message != Message::Beat);
    assert_eq!(data.count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_is_not_polled_for_goes_out_at_the_next_poll() {
    let (mut near, far) = connect(Plain, beat());
    assert!(near.next().now_or_never().is_none());
    advance(secs(100)).await;
    assert!(near.next().now_or_never().is_none());
    assert_eq!(far.take_messages(), [Message::Beat]);
}
