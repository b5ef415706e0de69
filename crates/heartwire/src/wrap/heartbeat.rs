//! Liveness for a stream of items.

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
    /// Adds liveness to a stream of items that speaks somebody else's protocol.
    ///
    /// `T` is any `Stream<Item = Result<In, E>> + Sink<Out, Error = E>`: a `Framed` of tokio-util, a
    /// WebSocket, a pair of channels. `B` says how a beat looks in it. The wrapper is a `Stream` of
    /// the same items, less the beats, and a `Sink` of whatever `T` takes; both end with
    /// [`Error::Dead`] when nothing came from the peer for the policy's timeout.
    ///
    /// # What has to be polled
    ///
    /// Either half; it has no task of its own. Whichever half is polled, and waits, also reads,
    /// judges and beats: `next()` does while it waits for an item, and `send()` while it waits for
    /// room, so a peer that does not read holds up no verdict. While nothing is polled, nothing
    /// happens: no beats, and no verdict. That time is a pause of this end and is not held against
    /// the peer, which gets a whole timeout again (three times in one silence at most).
    ///
    /// So a connection is to be waited on in one task,
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
    /// or split into halves in two. Whoever only sends, and now and then, should poll `next()` in
    /// between: for the beats, and to hear of the verdict when it comes.
    ///
    /// # Halves
    ///
    /// `StreamExt::split` of futures-util works, in one task or two; neither takes the other's
    /// wake-ups. After the *sink* half is dropped the stream half goes on as before, beats included.
    /// After the *stream* half is dropped there is liveness only while the sink half waits: so keep
    /// the stream half for as long as the connection is to live, and drop both to close it.
    ///
    /// # While a send waits
    ///
    /// What comes from the peer in that time is read ahead, up to
    /// [`read_ahead`](Self::read_ahead) items, and handed out by the next polls of the stream.
    /// Behind that, reading pauses as it would without the wrapper, and a peer that is not read from
    /// cannot be judged: backpressure is not death.
    ///
    /// # Beats
    ///
    /// A beat is sent when nothing else was for the policy's beat. An item that was fed and not
    /// flushed is flushed instead, and while something waits to be written no beat joins it.
    ///
    /// While nothing comes from the peer for the policy's beat, items do not stand in for beats: the peer
    /// may be one that only answers. Nor do they where the policy has no timeout: the peer alone judges, and
    /// may count nothing but beats. Such a beat joins what waits, unless a beat does already.
    ///
    /// At most 64 answers wait to be written; what
    /// the peer asks beyond that they answer, too. There
    /// is no beat at the start: protocols begin with words of their own. After `poll_ready` has said
    /// yes, what is sent next is the application's item, and no beat comes in between: so do not wait
    /// there (`send`, `feed`, `send_all`, `forward` and `split` do not; `with` and `fanout` of
    /// futures-util can). After `poll_close` no beat is sent.
    ///
    /// Closing is closing the sending half. A socket that is dropped right after that answers the peer's
    /// next beat with a reset, which takes along what the peer has not read: go on polling the stream until
    /// it ends, for a second or more, and then drop it.
    ///
    /// If a beat cannot be written, the stream yields the sink's error 5 ms later, unless it has
    /// items, its end or an error of its own: what a peer said last outranks that it went.
    ///
    /// # Time
    ///
    /// Times are those of tokio's clock, which a test may pause. A verdict comes from timeout to timeout +
    /// [`TICK`](crate::TICK) after the last item; before it the stream is read once more, 5 ms after
    /// the timeout. On Linux tokio's clock stops while the machine is suspended; the wrapper compares it
    /// with one that does not before it judges, and a suspend is a pause. There is one timer, on the
    /// heap; an item stores a timestamp and touches neither the timer nor the allocator.
    ///
    /// # Cancelling
    ///
    /// Everything is cancel-safe in the way it is for `T`: a dropped `next()` loses no item, and what
    /// a dropped `send()` has handed over is sent, or flushed by the next beat.
    ///
    /// # Panics
    ///
    /// The first poll of either half needs a tokio runtime with time enabled, and panics without.
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
    /// Default for [`read_ahead`](Self::read_ahead): 16 items, chosen so that a peer can have a few
    /// requests under way and still be judged while it is sent to.
    pub const READ_AHEAD: usize = 16;

    /// Wraps a connection. The first silence begins here, and so does the first beat interval.
    ///
    /// Both ends of the connection need a policy, each its own; see [`Policy`]. Without a timeout there
    /// are no verdicts, without a beat nothing is sent.
    #[must_use]
    pub fn new(inner: T, beat: B, policy: Policy) -> Self {
        let state = State::new(beat, policy, Self::READ_AHEAD);
        Self { inner, fanout: Fanout::new(), state }
    }

    /// How many items may be read ahead while a send waits. Default [`READ_AHEAD`](Self::READ_AHEAD).
    ///
    /// They take as much memory as items do. With 0 a peer is judged only while the stream is polled.
    #[must_use]
    pub fn read_ahead(mut self, items: usize) -> Self {
        self.state.set_max_ahead(items);
        self
    }

    /// Counts every byte as life, not only whole items. Default: only whole items are heard.
    #[must_use]
    pub fn last_byte(mut self, last_byte: LastByte) -> Self {
        self.state.set_last_byte(last_byte);
        self
    }

    /// Sends and expects heartbeats only once the peer has sent one. Until then there is no verdict, and
    /// the connection is as it would be without the wrapper. The first silence begins with that beat, and
    /// the first beat of this end follows at once.
    ///
    /// This is for rolling heartbeats out to clients that do not all know them yet: servers first, with
    /// this, then clients, without it. Two ends that both wait would wait forever. A client that is gone
    /// before its first beat is not found, so keep what found it before (the kernel's timers, say) until
    /// no old client is left.
    #[must_use]
    pub fn after_first_beat(mut self) -> Self {
        self.state.wait_for_beat();
        self
    }

    /// The policy that the peer is judged by.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.state.policy()
    }

    /// When the verdict comes, counted from the peer's last item (or byte, with
    /// [`last_byte`](Self::last_byte)). `None` without a timeout.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        self.policy().bound(TICK)
    }

    /// How long nothing has come from the peer, as far as it was read.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.state.silence()
    }

    /// From a beat to its answer, the last time that one came back with its [`nonce`](Beat::nonce).
    /// Counted to when the answer was read, so a connection that is polled late seems slow. `None`
    /// before that, and in protocols without nonces.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.state.rtt()
    }

    /// The verdict, if it was given.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        self.state.verdict()
    }

    /// What is wrapped.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What is wrapped, to change its settings. Items that are read from it here are not heard.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// What was wrapped, and the items that were read ahead and not handed out yet.
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
        // Any of the items to come may be a beat.
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
    /// Lets `poll` write, and does what is to be done meanwhile. `handle_written` says whether a
    /// deadline has passed.
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
