//! A client as a `Sink` of messages, and as a `Stream` and `Sink` in one.

use core::fmt::{self, Debug};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::{Client, ClientConfig, Event, Events, SendError};

type Room = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync>>;

/// See [`Client::sink`].
pub(super) struct MessageSink {
    client: Client,
    /// An item that is not accepted yet.
    waiting: Option<(Vec<u8>, Room)>,
    flushing: Option<Room>,
}

impl Client {
    /// A [`Sink`] of this client's messages.
    ///
    /// - *Ready* when the last item was accepted, as by [`send`](Self::send). One item can wait
    ///   here for room, without bound if the server does not read, or while there is no connection,
    ///   with [`offline_queue`](ClientConfig::offline_queue) or in a session that can be
    ///   [resumed](ClientConfig::resume). An item that is too long, or that the client refuses
    ///   because it is offline or has ended, comes back at once as a [`SendError`]; an item that is
    ///   refused while it waits comes back from the next call.
    /// - *Flushed* when everything accepted was written to a connection or dropped with one, as by
    ///   [`flush`](Self::flush); so `SinkExt::send` waits for the connection, and `feed` does not.
    /// - *Closed* when the last item was accepted: it then calls [`close`](Self::close), which
    ///   writes what was accepted. The events tell when the client has ended. To end only this half
    ///   of a session, and still receive, call [`end`](Self::end).
    ///
    /// After an error the sink can still be used: later items may be accepted. `forward` and
    /// `send_all` end at the first error; without [`offline_queue`](ClientConfig::offline_queue)
    /// that is the first outage that a session does not outlive.
    ///
    /// Dropping the sink drops an item that still waits here, and nothing that was accepted. A
    /// `send` or `feed` that is dropped before it is ready may or may not have queued its item; use
    /// [`Client::send`] to be sure. While a flush waits, messages from other handles wait behind
    /// it: poll the flush, or drop the sink.
    pub fn sink(
        &self,
    ) -> impl Sink<Vec<u8>, Error = SendError> + Debug + Send + Sync + Unpin + use<> {
        MessageSink::new(self.clone())
    }
}

impl MessageSink {
    const fn new(client: Client) -> Self {
        Self { client, waiting: None, flushing: None }
    }

    fn poll_accepted(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some((_, room)) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let room = ready!(room.as_mut().poll(context));
        let data = self.waiting.take().map(|(data, _)| data).unwrap_or_default();
        Poll::Ready(match room {
            Ok(room) => self.client.accept(data, room),
            Err(_) => Err(SendError::Closed(data)),
        })
    }
}

impl Sink<Vec<u8>> for MessageSink {
    type Error = SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.poll_accepted(context)
    }

    fn start_send(mut self: Pin<&mut Self>, data: Vec<u8>) -> Result<(), SendError> {
        if self.waiting.is_some() {
            // The caller did not wait for `poll_ready`.
            return Err(SendError::Full(data));
        }
        // An unfinished flush would block this item, and may never be polled again.
        self.flushing = None;
        match self.client.try_send(data) {
            Err(SendError::Full(data)) => {
                let (data, cost) = self.client.check(data)?;
                self.waiting = Some((data, Box::pin(self.client.room(cost))));
                Ok(())
            }
            sent => sent,
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_accepted(context))?;
        let Self { client, flushing, .. } = &mut *self;
        let all = flushing.get_or_insert_with(|| Box::pin(client.room(client.shared.max_room)));
        // An error means that the client has ended: nothing waits any more.
        let _ = ready!(all.as_mut().poll(context));
        self.flushing = None;
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        self.flushing = None;
        let accepted = ready!(self.poll_accepted(context));
        self.client.close();
        Poll::Ready(accepted)
    }
}

impl Debug for MessageSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSink")
            .field("client", &self.client)
            .field("is_waiting", &self.waiting.is_some())
            .finish_non_exhaustive()
    }
}

/// A client as one value: a [`Stream`] of its [events](Event) and a [`Sink`] of messages. The
/// stream ends after [`Event::Closed`]; [`Client::sink`] describes the sink.
///
/// No event is lost if `next()` is dropped before it is ready. Stream and sink survive
/// reconnections; [`offline_queue`] says whether messages wait meanwhile, and in a session that can
/// be [resumed](ClientConfig::resume) they do. Dropping it drops the client and its events: the
/// client writes what was accepted, and ends.
///
/// ```
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use heartwire::client::{ClientConfig, Duplex, Event};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use heartwire::server::{Server, ServerConfig};
/// # let (server, _) = Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse()?))?;
/// # let address = server.local_addrs()[0];
/// let config = ClientConfig::new(address.to_string()).offline_queue(true);
/// let mut client = Duplex::start(config);
/// client.send(b"written when there is a connection".to_vec()).await?;
/// client.close().await?;
/// while let Some(event) = client.next().await {
///     println!("{event}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`offline_queue`]: super::ClientConfig::offline_queue
#[derive(Debug)]
pub struct Duplex {
    sink: MessageSink,
    events: Events,
}

impl Duplex {
    /// Starts a client on the current runtime, as [`Client::start`] does.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, or in one without its I/O and time drivers.
    #[must_use]
    pub fn start(config: ClientConfig) -> Self {
        let (client, events) = Client::start(config);
        Self::new(client, events)
    }

    /// Joins a client and its events.
    #[must_use]
    pub fn new(client: Client, events: Events) -> Self {
        Self { sink: MessageSink::new(client), events }
    }

    /// The client, for everything but sending and receiving.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.sink.client
    }
}

impl Stream for Duplex {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.events).poll_next(context)
    }
}

impl Sink<Vec<u8>> for Duplex {
    type Error = SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.sink).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, data: Vec<u8>) -> Result<(), SendError> {
        Pin::new(&mut self.sink).start_send(data)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.sink).poll_flush(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.sink).poll_close(context)
    }
}

#[cfg(test)]
mod tests;
