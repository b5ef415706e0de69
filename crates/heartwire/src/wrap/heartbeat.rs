//! Heartbeats and timeouts for a stream of items.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;

use futures_core::stream::{Stream, TryStream};
use futures_sink::Sink;
use heartwire_core::{Bound, Policy, Verdict};
use pin_project_lite::pin_project;

use self::state::State;
use super::beat::Beat;
use super::error::Error;
use super::fanout::Fanout;
use super::last_byte::LastByte;
use crate::TICK;

mod outbox;
mod state;

/// Items as the inner stream yields them.
type Items<T> = VecDeque<Result<<T as TryStream>::Ok, <T as TryStream>::Error>>;

pin_project! {
    /// Adds heartbeats and a timeout to a stream of items of any protocol.
    ///
    /// `T` is any `Stream<Item = Result<In, E>> + Sink<Out, Error = E>`: a `Framed` of tokio-util,
    /// a WebSocket, a pair of channels. `B` defines what a beat looks like in it. The wrapper is a
    /// `Stream` of the same items without the beats, and a `Sink` of what `T` takes; both end with
    /// [`Error::Dead`] when nothing has come from the peer for the policy's timeout.
    ///
    /// # What has to be polled
    ///
    /// Either half: the wrapper has no task of its own. A half that is polled and has to wait also
    /// reads, sends beats and checks the timeout: `next()` while it waits for an item, `send()`
    /// while it waits for room. So a peer that does not read delays no verdict. While nothing is
    /// polled, nothing happens: no beats, and no verdict. That time is a pause of this end, after
    /// which the peer has a full timeout again (at most three times in one silence).
    ///
    /// So wait on a connection in one task,
    ///
    /// ```
    /// # use futures_util::{SinkExt as _, StreamExt as _};
    /// # use heartwire::wrap::{Heartbeat, Lines};
    /// # use tokio::{net::TcpStream, sync::mpsc};
    /// # use tokio_util::codec::{Framed, LinesCodec};
    /// # type Lined = Heartbeat<Framed<TcpStream, LinesCodec>, Lines>;
    /// # async fn run(
    /// #     mut connection: Lined,
    /// #     mut outgoing: mpsc::Receiver<String>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// loop {
    ///     tokio::select! {
    ///         line = connection.next() => match line {
    ///             // An error of the connection, or the verdict.
    ///             Some(line) => println!("{}", line?),
    ///             None => break,
    ///         },
    ///         Some(line) = outgoing.recv() => connection.send(line).await?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// or split it into halves in two. An application that only sends now and then should poll
    /// `next()` in between: for the beats, and to get the verdict in time.
    ///
    /// # Halves
    ///
    /// `StreamExt::split` of futures-util works, in one task or two; neither half takes the other's
    /// wake-ups. After the *sink* half is dropped, the stream half goes on as before, beats
    /// included. After the *stream* half is dropped, beats and the timeout work only while the sink
    /// half waits: so keep the stream half as long as the connection should live, and drop both to
    /// close it.
    ///
    /// # While a send waits
    ///
    /// Items that come from the peer in that time are read ahead, up to
    /// [`read_ahead`](Self::read_ahead) items, and returned by the next polls of the stream. Beyond
    /// that, reading stops as it would without the wrapper, and the peer cannot be declared dead:
    /// backpressure is not death.
    ///
    /// # Beats
    ///
    /// A beat is sent when nothing else was sent for the policy's interval. An item that was fed
    /// and not flushed is flushed instead, and no beat is added while something waits to be
    /// written.
    ///
    /// Items do not replace beats when nothing has come from the peer for the policy's interval:
    /// the peer may only answer. They do not either if the policy has no timeout: then only the
    /// peer has one, and it may count only beats. Such a beat is added to what waits, unless a beat
    /// waits already.
    ///
    /// At most 64 answers wait to be written; further beats of the peer are not answered
    /// separately. No beat is sent at the start, because protocols begin with their own messages.
    /// After `poll_ready` has returned ready, the next item is the application's, and no beat comes
    /// in between: so do not wait there (`send`, `feed`, `send_all`, `forward` and `split` do not;
    /// `with` and `fanout` of futures-util can). After `poll_close` no beat is sent.
    ///
    /// Closing closes the sending half. A socket that is dropped right after that answers the
    /// peer's next beat with a reset, which discards what the peer has not read yet: poll the
    /// stream until it ends, for at least a second, and then drop it.
    ///
    /// If a beat cannot be written, the stream yields the sink's error 5 ms later, unless it has
    /// items, its end or its own error: the peer's last items come first.
    ///
    /// # Time
    ///
    /// The clock is tokio's, which a test may pause. A verdict comes between timeout and timeout +
    /// [`TICK`](crate::TICK) after the last item; before it, 5 ms after the timeout, the stream is
    /// read once more. On Linux tokio's clock stops while the machine is suspended; before a
    /// verdict the wrapper compares it with a clock that does not, and treats a suspend as a pause.
    /// There is one timer, on the heap; an item stores a timestamp and touches neither the timer
    /// nor the allocator.
    ///
    /// # Cancelling
    ///
    /// Everything is as cancel-safe as in `T`: a dropped `next()` loses no item, and an item that a
    /// dropped `send()` has passed on is sent, or flushed by the next beat.
    ///
    /// # Panics
    ///
    /// The first poll of either half panics outside of a tokio runtime with time enabled.
    pub struct Heartbeat<T, B>
    where
        T: TryStream,
        B: Beat<T::Ok>,
    {
        #[pin]
        inner: T,
        fanout: Fanout,
        state: State<T, B>,
    }
}

impl<T, B> Heartbeat<T, B>
where
    T: TryStream,
    B: Beat<T::Ok>,
{
    /// Default for [`read_ahead`](Self::read_ahead): 16 items, so that a peer can have a few
    /// requests in flight and still be declared dead while a send waits.
    pub const READ_AHEAD: usize = 16;

    /// Wraps a connection. The timeout and the first interval start here.
    ///
    /// Each end of the connection needs its own policy; see [`Policy`]. Without a timeout there are
    /// no verdicts, without an interval no beats.
    #[must_use]
    pub fn new(inner: T, beat: B, policy: Policy) -> Self {
        let state = State::new(beat, policy, Self::READ_AHEAD);
        Self { inner, fanout: Fanout::new(), state }
    }

    /// Maximum number of items to read ahead while a send waits. Default
    /// [`READ_AHEAD`](Self::READ_AHEAD).
    ///
    /// With 0 a verdict is possible only while the stream is polled.
    #[must_use]
    pub fn read_ahead(mut self, items: usize) -> Self {
        self.state.set_max_ahead(items);
        self
    }

    /// Counts every byte as a sign of life. Default: only complete items count.
    #[must_use]
    pub fn last_byte(mut self, last_byte: LastByte) -> Self {
        self.state.set_last_byte(last_byte);
        self
    }

    /// Sends and expects heartbeats only once the peer has sent one. Until then there is no
    /// verdict, and the connection behaves as without the wrapper. The timeout starts with that
    /// beat, and this end sends its first beat at once.
    ///
    /// Use this to roll heartbeats out while some clients do not know them yet: first servers, with
    /// this, then clients, without it. Two ends that both wait would wait forever. A client that
    /// dies before its first beat is not detected, so keep what detected it before, such as the
    /// kernel's timers, until no old client is left.
    #[must_use]
    pub fn after_first_beat(mut self) -> Self {
        self.state.wait_for_beat();
        self
    }

    /// When the verdict comes, counted from the peer's last item (or byte, with
    /// [`last_byte`](Self::last_byte)). `None` without a timeout.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        self.state.policy().bound(TICK)
    }

    /// Time since the last item (or byte) that was read from the peer.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.state.silence()
    }

    /// The last round-trip time, from a beat to the answer with its [`nonce`](Beat::nonce). It
    /// counts to when the answer was read, so a connection that is polled late seems slow. `None`
    /// before the first answer, and in protocols without nonces.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.state.rtt()
    }

    /// The verdict, if the peer is dead.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        self.state.verdict()
    }

    /// The inner stream.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The inner stream, to change its settings. Items read from it directly do not count as signs
    /// of life.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The inner stream, and the items that were read ahead and not returned yet.
    pub fn into_parts(self) -> (T, Items<T>) {
        (self.inner, self.state.into_ahead())
    }
}

impl<T, B> Stream for Heartbeat<T, B>
where
    T: TryStream + Sink<B::Out, Error = <T as TryStream>::Error>,
    B: Beat<T::Ok>,
{
    type Item = Result<T::Ok, Error<<T as TryStream>::Error>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        this.fanout.set_reader(cx.waker());
        this.state.poll_next(this.inner, this.fanout)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Any further item may be a beat.
        let ahead = self.state.ahead_len();
        let (_, most) = self.inner.size_hint();
        // One more, for the verdict.
        (ahead, most.and_then(|most| most.checked_add(ahead)?.checked_add(1)))
    }
}

impl<T, B> Heartbeat<T, B>
where
    T: TryStream + Sink<B::Out, Error = <T as TryStream>::Error>,
    B: Beat<T::Ok>,
{
    /// Calls `poll` to write. If it has to wait, or `handle_written` says that a deadline has
    /// passed, reads, sends beats and checks the timeout.
    fn poll_writing(
        self: Pin<&mut Self>,
        cx: &Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<Result<(), <T as TryStream>::Error>>,
        handle_written: impl FnOnce(&mut State<T, B>, &mut Fanout) -> bool,
    ) -> Poll<Result<(), Error<<T as TryStream>::Error>>> {
        let mut this = self.project();
        this.state.check()?;
        this.fanout.set_writer(cx.waker());
        let written = poll(this.inner.as_mut(), &mut this.fanout.context());
        let written = written.map_err(Error::Inner)?;
        if written.is_pending() || handle_written(this.state, this.fanout) {
            this.state.drive(this.inner, this.fanout)?;
        }
        written.map(Ok)
    }
}

impl<T, B, Item> Sink<Item> for Heartbeat<T, B>
where
    T: TryStream
        + Sink<Item, Error = <T as TryStream>::Error>
        + Sink<B::Out, Error = <T as TryStream>::Error>,
    B: Beat<T::Ok>,
{
    type Error = Error<<T as TryStream>::Error>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_writing(cx, Sink::<Item>::poll_ready, |state, _| {
            state.handle_ready();
            false
        })
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), Self::Error> {
        let this = self.project();
        this.state.check()?;
        this.state.handle_start_send(this.fanout);
        this.inner.start_send(item).map_err(Error::Inner)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_writing(cx, Sink::<Item>::poll_flush, |state, fanout| {
            fanout.forget_writer();
            state.handle_flushed()
        })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.as_mut().project().state.close();
        self.poll_writing(cx, Sink::<Item>::poll_close, |_, _| false)
    }
}

impl<T, B> fmt::Debug for Heartbeat<T, B>
where
    T: TryStream + fmt::Debug,
    B: Beat<T::Ok> + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat")
            .field("inner", &self.inner)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
