//! What a wrapped connection allocates.

use core::task::Context;

use crate::wrap::{Alive, Heartbeat};
use allocation_counter::measure;
use futures_util::task::noop_waker_ref;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf, duplex};

use super::rig::{Asking, Message, Plain, both, connect, judge, pipe};

#[tokio::test(start_paused = true)]
async fn an_item_allocates_nothing() {
    let (mut near, far) = connect(Plain, both());
    let mut round = |n| {
        far.send(Message::Data(n));
        far.send(Message::Beat);
        near.next().now_or_never().unwrap().unwrap().unwrap();
        // Now it waits, and sees the beat.
        assert!(near.next().now_or_never().is_none());
    };
    round(0);
    let info = measure(|| (0..1_000).for_each(&mut round));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn sending_and_answering_allocate_nothing_that_stays() {
    let (mut near, far) = connect(Asking, both());
    let mut round = |n| {
        far.send(Message::Ask(n));
        assert!(near.next().now_or_never().is_none());
        near.send(Message::Data(1)).now_or_never().unwrap().unwrap();
        far.make_room(2);
        far.take();
    };
    round(0);
    // Each `take` lets go of the wire's own buffer, and the next message allocates it again.
    let info = measure(|| (0..1_000).for_each(&mut round));
    assert_eq!(info.count_total, 1_000, "{info:?}");
    assert_eq!(info.bytes_current, 0, "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_allocate_nothing() {
    let (near, mut far) = duplex(64);
    let mut near = Alive::new(near, judge());
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut round = || {
        far.write_all(b"hello").now_or_never().unwrap().unwrap();
        let mut bytes = [0; 16];
        let mut buf = ReadBuf::new(&mut bytes);
        assert!(core::pin::Pin::new(&mut near).poll_read(&mut cx, &mut buf).is_ready());
        assert_eq!(buf.filled(), b"hello");
        buf.clear();
        assert!(core::pin::Pin::new(&mut near).poll_read(&mut cx, &mut buf).is_pending());
    };
    round();
    let info = measure(|| (0..10).for_each(|_| round()));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_allocates_its_timer_and_its_waker() {
    let (near, _far) = pipe(0);
    let mut near = Some(near);
    let mut wrapped = None;
    let info = measure(|| {
        let mut connection = Heartbeat::new(near.take().unwrap(), Plain, both());
        assert!(connection.next().now_or_never().is_none());
        wrapped = Some(connection);
    });
    assert_eq!(info.count_total, 2, "{info:?}");
    assert!(info.bytes_current < 512, "{info:?}");
    let own = size_of_val(&wrapped) - size_of_val(&near);
    assert!(own <= 640, "{own} bytes");
}
