//! Split halves: dropping one of them, and using both in separate tasks.

use core::time::Duration;

use crate::Policy;
use crate::wrap::{EmptyFrame, Heartbeat};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::duplex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::rig::{
    Message, Plain, assert_in_bound, assert_waits, both, connect, ms, pipe, secs, verdict_of,
};

#[tokio::test(start_paused = true)]
async fn without_its_sink_half_a_stream_beats_and_judges_as_before() {
    let (near, far) = connect(Plain, both());
    let (sink, mut stream) = near.split();
    let start = Instant::now();
    drop(sink);
    assert_waits(stream.next(), secs(7)).await;
    assert_eq!(far.take_messages(), [Message::Beat, Message::Beat]);
    verdict_of(stream.next().await);
    assert_in_bound(start, secs(10));
}

#[tokio::test(start_paused = true)]
async fn without_its_stream_half_a_sink_judges_while_it_waits() {
    let (near, far) = pipe(0);
    let (mut sink, stream) = Heartbeat::new(near, Plain, both()).split();
    drop(stream);
    sink.feed(Message::Data(0)).await.unwrap();
    let start = Instant::now();
    sleep(secs(5)).await;
    far.send(Message::Data(1));
    let error = sink.send(Message::Data(2)).await.unwrap_err();
    assert!(error.verdict().is_some());
    assert_in_bound(start + secs(5), secs(10));
}

#[tokio::test(start_paused = true)]
async fn without_its_stream_half_a_sink_that_does_not_wait_sends_no_beats() {
    let (near, far) = connect(Plain, both());
    let (mut sink, stream) = near.split();
    drop(stream);
    sink.send(Message::Data(0)).await.unwrap();
    sleep(secs(100)).await;
    assert_eq!(far.take_messages(), [Message::Data(0)]);
    // There was no poll, so this is a pause and no verdict.
    sink.send(Message::Data(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn both_halves_dropped_close_the_connection() {
    let (near, far) = duplex(64);
    let framed = Framed::new(near, LengthDelimitedCodec::new());
    let (sink, stream) =
        Heartbeat::<_, EmptyFrame>::new(framed, EmptyFrame, both()).split::<Bytes>();
    let mut far = Framed::new(far, LengthDelimitedCodec::new());
    drop(sink);
    assert_waits(far.next(), secs(1)).await;
    drop(stream);
    assert!(far.next().await.is_none());
}

/// Both ends echo each other's items over a narrow pipe, each half in a task of its own, on several
/// threads, with beats in between at every turn. If a wake-up is lost, it stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_half_takes_the_wakeups_of_the_other() {
    const ITEMS: u32 = 20_000;
    let policy =
        Policy::builder().interval(ms(1)).timeout(Duration::from_secs(600)).build().unwrap();
    let (near, far) = duplex(40);
    let mut tasks = tokio::task::JoinSet::new();
    for io in [near, far] {
        let framed = Framed::new(io, LengthDelimitedCodec::new());
        let (mut sink, mut stream) = Heartbeat::new(framed, EmptyFrame, policy).split::<Bytes>();
        tasks.spawn(async move {
            for n in 0..ITEMS {
                sink.send(Bytes::copy_from_slice(&n.to_be_bytes())).await.unwrap();
            }
            // Its beats are over only when the other end has everything.
            core::future::pending::<()>().await;
        });
        tasks.spawn(async move {
            for n in 0..ITEMS {
                let item: BytesMut = stream.next().await.unwrap().unwrap();
                assert_eq!(item[..], n.to_be_bytes());
            }
        });
    }
    let readers = async {
        for _ in 0..2 {
            tasks.join_next().await.unwrap().unwrap();
        }
    };
    timeout(Duration::from_secs(60), readers).await.expect("a wake-up was lost");
}
