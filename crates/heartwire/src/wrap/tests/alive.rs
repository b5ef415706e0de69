//! Tests of [`Alive`](crate::wrap::Alive).

use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use crate::Policy;
use crate::wrap::{Alive, verdict_in};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::io::{DuplexStream, duplex, split};
use tokio::time::{Instant, advance, sleep, timeout};
use tokio_util::codec::{Framed, LinesCodec};

use super::rig::{assert_in_bound, assert_waits, both, judge, ms, secs};

fn connect() -> (Alive<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(64);
    (Alive::new(near, judge()), far)
}

#[track_caller]
fn assert_dead<T: core::fmt::Debug>(result: io::Result<T>) -> crate::Verdict {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    verdict_in(&error).expect("a verdict")
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dead_after_the_timeout() {
    let (mut near, _far) = connect();
    let start = Instant::now();
    let verdict = assert_dead(near.read_u8().await);
    assert_in_bound(start, secs(10));
    assert_eq!(verdict.silence, start.elapsed());
    assert_eq!(near.verdict(), Some(verdict));
    assert_eq!(verdict.bound, near.bound());
    // And so it stays.
    assert_eq!(assert_dead(near.read_u8().await), verdict);
    assert_eq!(assert_dead(near.write_all(b"hello").await), verdict);
    assert_eq!(assert_dead(near.flush().await), verdict);
    assert_eq!(assert_dead(near.shutdown().await), verdict);
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_life() {
    let (mut near, mut far) = connect();
    let start = Instant::now();
    tokio::spawn(async move {
        for n in 0..5 {
            sleep(ms(9_999)).await;
            far.write_u8(n).await.unwrap();
        }
        core::future::pending::<()>().await;
    });
    let mut bytes = vec![];
    assert_dead(near.read_to_end(&mut bytes).await);
    assert_in_bound(start + ms(9_999) * 5, secs(10));
    assert_eq!(bytes, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_have_arrived_are_read_before_a_verdict() {
    let (mut near, mut far) = connect();
    assert_waits(near.read_u8(), secs(9)).await;
    far.write_u8(7).await.unwrap();
    advance(ms(1_100)).await;
    assert_eq!(near.read_u8().await.unwrap(), 7);
    let heard_at = Instant::now();
    assert_dead(near.read_u8().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_write_ends_with_the_verdict() {
    for blocked in 0..3 {
        let (mut near, _far) = connect();
        near.write_all(&[0; 64]).await.unwrap();
        let start = Instant::now();
        match blocked {
            0 => assert_dead(near.write_all(&[0; 64]).await),
            1 => assert_dead(near.write_vectored(&[io::IoSlice::new(&[0; 64])]).await),
            _ => {
                let (mut reader, mut writer) = split(near);
                let writing = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
                let verdict = assert_dead(reader.read_u8().await);
                assert_eq!(assert_dead(writing.await.unwrap()), verdict);
                verdict
            }
        };
        assert_in_bound(start, secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_while_a_write_waits_are_life_and_handed_out_later() {
    let (mut near, mut far) = connect();
    let start = Instant::now();
    tokio::spawn(async move {
        for n in 0..5 {
            sleep(secs(9)).await;
            far.write_u8(n).await.unwrap();
        }
        core::future::pending::<()>().await;
    });
    assert_dead(near.write_all(&[0; 65]).await);
    assert_in_bound(start + secs(45), secs(10));
    let mut bytes = vec![];
    assert_dead(near.read_to_end(&mut bytes).await);
    assert_eq!(bytes, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_read_from_is_not_judged() {
    let (near, far) = duplex(10_000);
    let (mut near, mut far) = (Alive::new(near, judge()), far);
    far.write_all(&[1; 9_000]).await.unwrap();
    near.write_all(&[0; 10_000]).await.unwrap();
    assert_waits(near.write_all(&[0; 1]), secs(1_000)).await;
    let mut bytes = [0; 9_000];
    near.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [1; 9_000]);
    let heard_at = Instant::now();
    assert_dead(near.read_u8().await);
    assert_in_bound(heard_at, secs(10));
}

#[tokio::test(start_paused = true)]
async fn no_verdict_comes_after_the_end() {
    for reading in [true, false] {
        let (mut near, mut far) = connect();
        far.write_all(b"bye").await.unwrap();
        far.shutdown().await.unwrap();
        if reading {
            let mut bytes = vec![];
            near.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, b"bye");
        }
        near.write_all(&[0; 64]).await.unwrap();
        assert_waits(near.write_all(&[0; 64]), secs(100)).await;
        sleep(secs(100)).await;
        let mut bytes = vec![];
        near.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, if reading { &b""[..] } else { b"bye" });
        assert_eq!(near.verdict(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn reading_into_nothing_is_not_the_end() {
    let (mut near, mut far) = connect();
    far.write_all(b"x").await.unwrap();
    let start = Instant::now();
    assert_eq!(near.read(&mut []).await.unwrap(), 0);
    near.write_all(&[0; 64]).await.unwrap();
    assert_dead(near.write_all(&[0; 64]).await);
    assert_in_bound(start, secs(10));
}

/// A stream that takes no byte, yields the bytes that it has, and wakes no task.
#[derive(Clone, Default)]
struct Still(Arc<Mutex<VecDeque<io::Result<u8>>>>);

impl Still {
    fn place(&self, read: io::Result<u8>) {
        self.0.lock().unwrap().push_back(read);
    }
}

impl AsyncRead for Still {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(read) = self.0.lock().unwrap().pop_front() else { return Poll::Pending };
        buf.put_slice(&[read?]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Still {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_came_while_a_write_waited_is_the_readers() {
    let still = Still::default();
    let mut near = Alive::new(still.clone(), judge());
    still.place(Ok(7));
    still.place(Err(ErrorKind::ConnectionReset.into()));
    assert_waits(near.write_all(b"x"), secs(100)).await;
    assert_eq!(near.read_u8().await.unwrap(), 7);
    let told = near.read_u8().now_or_never().expect("at once");
    assert_eq!(told.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // It was the end, after which no verdict comes.
    assert_waits(near.read_u8(), secs(100)).await;
}

#[tokio::test(start_paused = true)]
async fn the_reader_is_woken_for_what_the_writer_has_read() {
    let still = Still::default();
    let (mut reader, mut writer) = split(Alive::new(still.clone(), judge()));
    let reading = tokio::spawn(async move { reader.read_u8().await });
    assert_waits(writer.write_all(b"x"), secs(1)).await;
    still.place(Ok(7));
    // Only the writer is polled, for a reason of its own.
    assert_waits(writer.write_all(b"x"), ms(10)).await;
    assert_eq!(timeout(ms(10), reading).await.expect("woken").unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn of_the_policy_only_the_timeout_counts() {
    let (near, mut far) = duplex(64);
    let mut near = Alive::new(near, both());
    assert_eq!(near.bound(), both().bound(crate::TICK));
    assert_dead(near.read_u8().await);
    drop(near);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_held_against_the_peer() {
    let (mut near, _far) = connect();
    assert!(near.read_u8().now_or_never().is_none());
    advance(secs(100)).await;
    let resumed_at = Instant::now();
    let verdict = assert_dead(near.read_u8().await);
    assert_in_bound(resumed_at, secs(10));
    assert_eq!(verdict.paused, secs(100));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_never_reads_gets_the_verdict_at_the_next_write() {
    let (near, mut far) = duplex(1024);
    let mut near = Alive::new(near, judge());
    let sink = tokio::spawn(async move {
        let mut bytes = vec![];
        // It reads, and says nothing.
        far.read_to_end(&mut bytes).await.unwrap();
        bytes.len()
    });
    let start = Instant::now();
    while near.write_all(b"x").await.is_ok() {
        // upper bound: the clock is paused.
        assert!(start.elapsed() < secs(60), "never dead");
        sleep(ms(50)).await;
    }
    assert!(near.verdict().is_some());
    // upper bound: the clock is paused.
    assert!(start.elapsed() >= secs(10) && start.elapsed() <= ms(10_100));
    drop(near);
    assert_eq!(sink.await.unwrap(), 202);
}

#[tokio::test(start_paused = true)]
async fn a_codec_passes_the_verdict_on() {
    let (near, mut far) = connect();
    far.write_all(b"hello\n").await.unwrap();
    let mut lines = Framed::new(near, LinesCodec::new());
    assert_eq!(lines.next().await.unwrap().unwrap(), "hello");
    let tokio_util::codec::LinesCodecError::Io(error) = lines.next().await.unwrap().unwrap_err()
    else {
        panic!("the line was not too long");
    };
    assert!(verdict_in(&error).is_some());
    assert_eq!(verdict_in(&ErrorKind::TimedOut.into()), None);
}

#[tokio::test(start_paused = true)]
async fn no_timeout_no_verdict() {
    let (near, _far) = duplex(64);
    let mut near = Alive::new(near, Policy::builder().build().unwrap());
    assert_waits(near.read_u8(), secs(10_000)).await;
    assert_eq!(near.bound(), None);
    assert_eq!(near.silence(), secs(10_000));
}

#[tokio::test(start_paused = true)]
async fn bytes_read_ahead_are_not_lost_with_the_wrapper() {
    let (mut near, mut far) = connect();
    near.write_all(&[0; 64]).await.unwrap();
    far.write_all(b"hello").await.unwrap();
    assert!(near.write_all(&[0; 64]).now_or_never().is_none());
    let mut two = [0; 2];
    near.read_exact(&mut two).await.unwrap();
    let (_, ahead) = near.into_parts();
    assert_eq!((&two, &ahead[..]), (b"he", &b"llo"[..]));
}
