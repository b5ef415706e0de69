//! What a wrapper adds to the bare stream: time for each item, and memory for each connection.
//!
//! Nearly all of it is looks at the clocks: two for each item that is received, one for each that
//! is sent.

#![expect(clippy::print_stdout, reason = "criterion does not measure memory")]

use core::convert::Infallible;
use core::hint::black_box;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::time::Instant;

use allocation_counter::measure;
use bytes::{BufMut as _, Bytes, BytesMut};
use criterion::Criterion;
use futures_util::task::noop_waker_ref;
use futures_util::{FutureExt as _, Sink, Stream, StreamExt as _};
use heartwire::Policy;
use heartwire::wrap::{Alive, Beat, EmptyFrame, Heartbeat, LastByte};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// For the memory: enough to make what is not theirs vanish.
const CONNECTIONS: usize = 10_000;

/// Yields a number whenever it is polled, or every second time, and swallows numbers.
struct Numbers {
    every_second: bool,
    polled: u64,
}

impl Stream for Numbers {
    type Item = Result<u64, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.polled += 1;
        if self.every_second && self.polled & 1 == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(self.polled)))
    }
}

impl Sink<u64> for Numbers {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: u64) -> Result<(), Infallible> {
        black_box(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

struct Zero;

impl Beat<u64> for Zero {
    type Out = u64;

    fn is_beat(&mut self, item: &u64) -> bool {
        *item == 0
    }

    fn beat(&mut self, _nonce: u64) -> u64 {
        0
    }
}

/// Reads frames of 64 bytes forever, 16 at once, and discards what is written.
struct Frames {
    bytes: Bytes,
    at: usize,
}

impl Frames {
    fn new() -> Self {
        let mut bytes = BytesMut::new();
        for _ in 0..16 {
            bytes.put_u32(64);
            bytes.put_bytes(b'x', 64);
        }
        Self { bytes: bytes.freeze(), at: 0 }
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let len = left.len().min(buf.remaining());
        buf.put_slice(left.get(..len).unwrap_or_default());
        self.at = (self.at + len) % self.bytes.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nothing ever comes of it.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// 10 s and 30 s, the usual ones.
fn policy() -> Policy {
    Policy::default()
}

fn numbers(every_second: bool) -> Numbers {
    Numbers { every_second, polled: 0 }
}

/// Measures `work`. Of each sample only the fastest twentieth counts: on a busy machine the rest
/// measures other programs.
fn bench<R>(criterion: &mut Criterion, name: &str, mut work: impl FnMut() -> R) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let part_len = iterations.div_ceil(20);
            let part = || {
                let start = Instant::now();
                for _ in 0..part_len {
                    black_box(work());
                }
                start.elapsed()
            };
            let fastest = core::iter::repeat_with(part).take(20).min().unwrap_or_default();
            // What was run is a little more than what was asked for.
            fastest.mul_f64(ratio(iterations, part_len))
        });
    });
}

fn ratio(whole: u64, part: u64) -> f64 {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    u32::try_from(whole).map_or(1.0, |whole| f64::from(whole) / f64::from(part))
}

fn receive<S: Stream + Unpin>(criterion: &mut Criterion, name: &str, mut stream: S) {
    let mut cx = Context::from_waker(noop_waker_ref());
    bench(criterion, name, || stream.poll_next_unpin(&mut cx).is_ready());
}

/// An item, and then waiting for the next one.
fn receive_and_wait<S: Stream + Unpin>(criterion: &mut Criterion, name: &str, mut stream: S) {
    let mut cx = Context::from_waker(noop_waker_ref());
    bench(criterion, name, || {
        let item = stream.poll_next_unpin(&mut cx).is_ready();
        (item, stream.poll_next_unpin(&mut cx).is_ready())
    });
}

fn send<S: Sink<u64> + Unpin>(criterion: &mut Criterion, name: &str, mut sink: S) {
    let mut cx = Context::from_waker(noop_waker_ref());
    bench(criterion, name, || {
        let mut sink = Pin::new(&mut sink);
        let ready = sink.as_mut().poll_ready(&mut cx).is_ready();
        let sent = sink.as_mut().start_send(black_box(1)).is_ok();
        (ready, sent, sink.poll_flush(&mut cx).is_ready())
    });
}

fn read<R: AsyncRead + Unpin>(criterion: &mut Criterion, name: &str, mut io: R) {
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut bytes = [0; 68];
    bench(criterion, name, || {
        let mut buf = ReadBuf::new(&mut bytes);
        Pin::new(&mut io).poll_read(&mut cx, &mut buf).is_ready()
    });
}

/// What `connect` makes of a connection that costs nothing itself, timer included.
fn memory<S>(name: &str, bare_len: usize, connect: impl Fn() -> S, waits: impl Fn(&mut S) -> bool) {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let info = measure(|| {
        for _ in 0..CONNECTIONS {
            let mut connection = connect();
            assert!(waits(&mut connection), "nothing comes, so it has to set its timer");
            connections.push(connection);
        }
    });
    let count = u64::try_from(CONNECTIONS).unwrap_or(1);
    let heap = u64::try_from(info.bytes_current).unwrap_or(0) / count;
    let blocks = info.count_current / i64::try_from(count).unwrap_or(1);
    let own = size_of::<S>() - bare_len;
    println!("{name}: {own} bytes in place, {heap} bytes on the heap in {blocks} blocks");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    // The timers of tokio need one; nothing runs on it.
    let _entered = runtime.enter();
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let criterion = &mut criterion;

    receive(criterion, "wrap/items in a row, bare", numbers(false));
    let wrapped = Heartbeat::new(numbers(false), Zero, policy());
    receive(criterion, "wrap/items in a row, wrapped", wrapped);

    receive_and_wait(criterion, "wrap/item and wait, bare", numbers(true));
    let wrapped = Heartbeat::new(numbers(true), Zero, policy());
    receive_and_wait(criterion, "wrap/item and wait, wrapped", wrapped);

    send(criterion, "wrap/send, bare", numbers(true));
    send(criterion, "wrap/send, wrapped", Heartbeat::new(numbers(true), Zero, policy()));

    let framed = |io| Framed::new(io, LengthDelimitedCodec::new());
    receive(criterion, "wrap/frames, bare", framed(Frames::new()));
    let wrapped = Heartbeat::new(framed(Frames::new()), EmptyFrame, policy());
    receive(criterion, "wrap/frames, wrapped", wrapped);
    let (io, last_byte) = LastByte::watch(Frames::new());
    let framed = Framed::new(io, LengthDelimitedCodec::new());
    let wrapped = Heartbeat::new(framed, EmptyFrame, policy()).last_byte(last_byte);
    receive(criterion, "wrap/frames, wrapped, every byte heard", wrapped);

    read(criterion, "wrap/read, bare", Frames::new());
    read(criterion, "wrap/read, wrapped", Alive::new(Frames::new(), policy()));

    println!("memory for each connection, next to what is wrapped:");
    memory(
        "Heartbeat",
        size_of::<Numbers>(),
        || Heartbeat::new(Numbers { every_second: true, polled: 1 }, Zero, policy()),
        |wrapped| wrapped.next().now_or_never().is_none(),
    );
    memory(
        "Alive",
        size_of::<Silent>(),
        || Alive::new(Silent, policy()),
        |wrapped| tokio::io::AsyncReadExt::read_u8(wrapped).now_or_never().is_none(),
    );
    criterion.final_summary();
}
