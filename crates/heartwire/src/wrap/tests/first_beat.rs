//! `after_first_beat`: heartbeats are expected only once the peer has sent one.

use crate::wrap::{Error, Heartbeat};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::Instant;

use super::rig::{
    Asking, Message, Plain, assert_in_bound, assert_waits, both, connect, judge, ms, pipe, secs,
    verdict_of,
};

#[tokio::test(start_paused = true)]
async fn an_old_peer_gets_no_heartbeats_and_has_no_timeout() {
    let (near, far) = connect(Plain, both());
    let mut near = near.after_first_beat();
    assert_waits(near.next(), secs(100)).await;
    far.send(Message::Data(1));
    assert_eq!(near.next().await, Some(Ok(Message::Data(1))));
    near.send(Message::Data(2)).await.unwrap();
    assert_waits(near.next(), secs(100)).await;
    assert_eq!(far.take_messages(), [Message::Data(2)]);
    assert_eq!(near.bound(), both().bound(crate::TICK));
}

#[tokio::test(start_paused = true)]
async fn with_the_first_heartbeat_of_the_peer_the_policy_is_in_force() {
    let (near, far) = connect(Plain, both());
    let mut near = near.after_first_beat();
    assert_waits(near.next(), secs(100)).await;
    far.send(Message::Beat);
    let start = Instant::now();
    assert_waits(near.next(), ms(9_999)).await;
    assert_eq!(far.take(), [0, 3, 6, 9].map(|at| (start + secs(at), Message::Beat)));
    verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
}

#[tokio::test(start_paused = true)]
async fn later_heartbeats_are_as_usual() {
    let (near, far) = connect(Plain, both());
    let mut near = near.after_first_beat();
    far.send(Message::Beat);
    assert_waits(near.next(), secs(9)).await;
    far.send(Message::Beat);
    let heard_at = Instant::now();
    assert_waits(near.next(), secs(9)).await;
    verdict_of(near.next().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_first_heartbeat_does_for_one() {
    let (near, far) = connect(Asking, both());
    let mut near = near.after_first_beat();
    far.send(Message::Ask(7));
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Answer(7)]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_sends_no_heartbeats_does_not_send_a_first_one() {
    let (near, far) = connect(Plain, judge());
    let mut near = near.after_first_beat();
    far.send(Message::Beat);
    let start = Instant::now();
    verdict_of(near.next().await);
    assert_in_bound(start, secs(10));
    assert_eq!(far.take_messages(), []);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_finds_the_first_heartbeat_too() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Plain, both()).after_first_beat();
    assert_waits(near.send(Message::Data(1)), secs(100)).await;
    far.send(Message::Beat);
    let start = Instant::now();
    let error = near.send(Message::Data(2)).await.unwrap_err();
    assert!(matches!(error, Error::Dead(_)), "{error:?}");
    assert_in_bound(start, secs(10));
}
