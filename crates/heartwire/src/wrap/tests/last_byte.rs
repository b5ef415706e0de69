//! `LastByte`: bytes of incomplete items.

use crate::wrap::{EmptyFrame, Heartbeat, LastByte};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::time::{Instant, sleep};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::rig::{assert_in_bound, judge, ms, secs};

/// A frame of 20 bytes, one every 3 s.
async fn dribble(mut far: tokio::io::DuplexStream) {
    for byte in [0, 0, 0, 16].into_iter().chain([b'x'; 16]) {
        sleep(secs(3)).await;
        // The other end may have given up.
        let _ = far.write_all(&[byte]).await;
    }
    core::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_frame_is_life_where_bytes_are_heard() {
    let (near, far) = duplex(64);
    tokio::spawn(dribble(far));
    let (near, last_byte) = LastByte::watch(near);
    let framed = Framed::new(near, LengthDelimitedCodec::new());
    let mut near = Heartbeat::new(framed, EmptyFrame, judge()).last_byte(last_byte.clone());
    let start = Instant::now();
    assert_eq!(near.next().await.unwrap().unwrap(), "x".repeat(16));
    assert_eq!(start.elapsed(), secs(60));
    assert_eq!(last_byte.elapsed(), ms(0));
    // And then nothing more.
    assert!(near.next().await.unwrap().unwrap_err().verdict().is_some());
    assert_in_bound(start + secs(60), secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_stops_half_way_is_silence_from_its_last_byte() {
    let (near, mut far) = duplex(64);
    far.write_all(&[0, 0, 0, 16, b'x']).await.unwrap();
    let (near, last_byte) = LastByte::watch(near);
    let framed = Framed::new(near, LengthDelimitedCodec::new());
    let mut near = Heartbeat::new(framed, EmptyFrame, judge()).last_byte(last_byte);
    let start = Instant::now();
    let verdict = near.next().await.unwrap().unwrap_err().verdict().unwrap();
    assert_in_bound(start, secs(10));
    assert_eq!(verdict.silence, start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn elsewhere_a_frame_has_to_be_whole_within_the_timeout() {
    let (near, far) = duplex(64);
    tokio::spawn(dribble(far));
    let framed = Framed::new(near, LengthDelimitedCodec::new());
    let mut near = Heartbeat::new(framed, EmptyFrame, judge());
    let start = Instant::now();
    assert!(near.next().await.unwrap().unwrap_err().verdict().is_some());
    assert_in_bound(start, secs(10));
}

#[tokio::test(start_paused = true)]
async fn written_bytes_are_passed_on_and_are_no_sign_of_life() {
    let (near, far) = duplex(64);
    let (near, last_byte) = LastByte::watch(near);
    let mut near = Framed::new(near, LengthDelimitedCodec::new());
    let mut far = Framed::new(far, LengthDelimitedCodec::new());
    sleep(secs(1)).await;
    near.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap(), "hello");
    assert_eq!(last_byte.elapsed(), secs(1));
    SinkExt::<Bytes>::close(&mut near).await.unwrap();
    assert!(far.next().await.is_none());
}
