//! Beats that are answered, and answers that are not.

use crate::wrap::{Beat, Heartbeat, Lines};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::duplex;
use tokio::time::{Instant, advance};
use tokio_util::codec::{Framed, LinesCodec};

use super::rig::{
    Asking, Far, Message, Plain, assert_waits, beat, both, connect, echo, judge, ms, pipe, secs,
    verdict_of,
};

#[tokio::test(start_paused = true)]
async fn an_echo_answers_each_beat_once() {
    let (mut near, far) = connect(Plain, echo());
    far.send(Message::Beat);
    far.send(Message::Beat);
    far.send(Message::Data(1));
    near.next().await.unwrap().unwrap();
    assert_eq!(far.take_messages(), [Message::Beat, Message::Beat]);
    assert_waits(near.next(), secs(9)).await;
    assert_eq!(far.take_messages(), []);
}

#[tokio::test(start_paused = true)]
async fn without_echo_a_plain_beat_is_not_answered() {
    let (mut near, far) = connect(Plain, judge());
    far.send(Message::Beat);
    verdict_of(near.next().await);
    assert_eq!(far.take_messages(), []);
}

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_whatever_the_policy_says() {
    let (mut near, far) = connect(Asking, judge());
    far.send(Message::Ask(7));
    far.send(Message::Answer(8));
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(far.take_messages(), [Message::Answer(7)]);
    assert!(near.rtt().is_none(), "no beat had nonce 8");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_never_answered_even_with_echo() {
    let (mut near, far) = connect(Asking, echo());
    far.send(Message::Answer(1));
    verdict_of(near.next().await);
    assert_eq!(far.take_messages(), []);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_the_latest_beat_tells_the_round_trip() {
    let (mut near, far) = connect(Asking, both());
    assert_waits(near.next(), ms(3_040)).await;
    let [Message::Ask(first)] = far.take_messages()[..] else { panic!("one beat") };
    assert_eq!(near.rtt(), None);
    far.send(Message::Answer(first));
    assert_waits(near.next(), secs(3)).await;
    assert_eq!(near.rtt(), Some(ms(40)));
    // The answer to the one before tells nothing of the latest, nor does a second one.
    let [Message::Ask(second)] = far.take_messages()[..] else { panic!("one beat") };
    assert_ne!(first, second);
    far.send(Message::Answer(first));
    assert_waits(near.next(), ms(100)).await;
    assert_eq!(near.rtt(), Some(ms(40)));
    far.send(Message::Answer(second));
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(near.rtt(), Some(ms(140)));
    far.send(Message::Answer(second));
    assert_waits(near.next(), ms(1)).await;
    assert_eq!(near.rtt(), Some(ms(140)));
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_room_and_only_so_many() {
    let (near, far) = pipe(0);
    let mut near = Heartbeat::new(near, Asking, judge());
    for n in 0..1_000 {
        far.send(Message::Ask(n));
    }
    assert_waits(near.next(), secs(1)).await;
    assert_eq!(far.unread(), 0);
    far.make_room(1_000);
    assert_waits(near.next(), ms(1)).await;
    // 64 waited, and one was on its way to the wire.
    let answers: Vec<_> = (0..65).map(Message::Answer).collect();
    assert_eq!(far.take_messages(), answers);
}

#[tokio::test(start_paused = true)]
async fn answers_go_out_while_items_come_without_a_pause() {
    let (mut near, far) = connect(Asking, judge());
    for n in 0..10 {
        far.send(Message::Ask(n));
        far.send(Message::Data(0));
    }
    near.next().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(far.take_messages(), [Message::Answer(0)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_as_good_as_a_beat() {
    let (mut near, far) = connect(Asking, both());
    let start = Instant::now();
    assert_waits(near.next(), secs(2)).await;
    far.send(Message::Ask(7));
    assert_waits(near.next(), secs(4)).await;
    let sent: Vec<_> = far.take().into_iter().map(|(at, _)| at - start).collect();
    assert_eq!(sent, [secs(2), secs(5)]);
    // One that falls due together with a beat stands in for it.
    far.take();
    advance(secs(3)).await;
    far.send(Message::Ask(8));
    assert!(near.next().now_or_never().is_none());
    assert_eq!(far.take_messages(), [Message::Answer(8)]);
}

/// Runs two wrapped ends against each other for a minute, and counts what each has sent.
async fn minute<B>(one: (B, crate::Policy), other: (B, crate::Policy)) -> (usize, usize)
where
    B: Beat<Message, Out = Message> + Send + 'static,
{
    let ((mut one, to_one), (mut other, to_other)) =
        (connect(one.0, one.1), connect(other.0, other.1));
    let (mut from_one, mut from_other) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < secs(60) {
        // Each end is polled, and what it has sent is carried to the other one.
        assert_waits(futures_util::future::join(one.next(), other.next()), ms(1)).await;
        let carry = |from: &Far, to: &Far| {
            let messages = from.take_messages();
            messages.iter().for_each(|message| to.send(*message));
            messages.len()
        };
        from_one += carry(&to_one, &to_other);
        from_other += carry(&to_other, &to_one);
        assert!(from_one + from_other < 1_000, "they do not stop");
    }
    (from_one, from_other)
}

#[tokio::test(start_paused = true)]
async fn beat_and_echo_do_not_loop() {
    let (asked, answered) = minute((Plain, both()), (Plain, echo())).await;
    assert!(asked - answered <= 1, "{asked} beats, {answered} answers");
    assert!((19..=20).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_ask_do_not_loop() {
    // What one answers counts as sent, so it asks a little later: there are no more than two each.
    let (one, other) = minute((Asking, both()), (Asking, both())).await;
    assert!((19..=40).contains(&one), "{one}");
    assert!((19..=40).contains(&other), "{other}");
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_only_beat_do_not_loop() {
    let (one, other) = minute((Plain, beat()), (Plain, beat())).await;
    assert!((19..=20).contains(&one), "{one}");
    assert!((19..=20).contains(&other), "{other}");
}

#[tokio::test(start_paused = true)]
async fn lines_ask_and_answer() {
    let (near, far) = duplex(1024);
    let mut near = Heartbeat::new(Framed::new(near, LinesCodec::new()), Lines::default(), both());
    let mut far = Framed::new(far, LinesCodec::new());
    for line in ["PING", "PONG", "PINGS", "ping", ""] {
        far.send(line).await.unwrap();
    }
    for line in ["PINGS", "ping", ""] {
        assert_eq!(near.next().await.unwrap().unwrap(), line);
    }
    near.send("hello").await.unwrap();
    assert_waits(near.next(), ms(3_001)).await;
    let mut lines = vec![];
    while let Some(line) = far.next().now_or_never() {
        lines.push(line.unwrap().unwrap());
    }
    assert_eq!(lines, ["PONG", "hello", "PING"]);
}

#[test]
fn lines_that_are_the_same_answer_nothing_by_themselves() {
    assert_eq!(Lines::new("PING", "PING").answer(&"PING"), crate::wrap::Answer::Echo);
    assert_eq!(Lines::same("").answer(&""), crate::wrap::Answer::Echo);
}
