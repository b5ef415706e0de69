//! The events of a client.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use futures_core::Stream;
use heartwire_core::Pause;
use heartwire_core::internal::Typed;
use heartwire_core::v1::{ByeCode, Health, RetryHint, Welcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::dial::{ConnectError, Detail};
use super::receipts::Receipt;
use crate::kernel::KernelReport;
use crate::{Reason, Replayed, Undelivered};

/// Maximum number of waiting events, [`Event::Data`] included: enough for a burst of small frames,
/// and at most 64 MiB with the default maximum frame of 64 KiB.
pub(super) const MAX_EVENTS: usize = 1024;

/// An event of a client. Events come in the order in which they happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins: the name is looked up, then each address is tried.
    Connecting {
        /// Its number, from 1; a connection resets the count.
        attempt: u32,
    },
    /// The client is connected and accepts messages. On protocol v1 the server program has
    /// answered. On v0 it may *not* be running: the kernel of a hung server accepts connections
    /// too. The server's first beat, if it sends any, shows that it runs.
    Online {
        /// The address that answered.
        peer: SocketAddr,
        /// The kernel options in force.
        kernel: KernelReport,
        /// The server's WELCOME with the negotiated settings, on protocol v1.
        welcome: Option<Box<Welcome>>,
    },
    /// The server's health changed (protocol v1).
    Health(Health),
    /// The server warns that this client sends far more beats than agreed, and will disconnect it
    /// if that goes on (protocol v1).
    TooFast,
    /// A message from the server; on a [raw](super::ClientConfig::raw) connection the bytes of
    /// one read.
    Data(Vec<u8>),
    /// The server sends no more data in this session, which can be
    /// [resumed](super::ClientConfig::resume). Messages can still be sent.
    Ended,
    /// This process was paused and could neither send nor receive. The server's timeout was
    /// restarted; the server may have declared this client dead meanwhile. Pauses in a row are
    /// added up until the application takes this event.
    Paused(Pause),
    /// The connection ended.
    #[non_exhaustive]
    Offline {
        /// The server's address.
        peer: SocketAddr,
        /// Why it ended. A dead server is [`Reason::Dead`] with the verdict. A client that its
        /// application closes ends with [`Reason::Shutdown`] if the server's kernel has
        /// acknowledged everything, and otherwise with [`Reason::Unacknowledged`] or the socket's
        /// error. It ends as well after [`Reason::Done`].
        reason: Reason,
        /// Accepted messages that were not written completely and are lost. With
        /// [`offline_queue`](super::ClientConfig::offline_queue) only the message that was partly
        /// written is lost, if any, and those that were accepted before the connection and are
        /// longer than its server accepts. Messages that were written may not have arrived; see
        /// `unacknowledged`.
        unsent: usize,
        /// Accepted messages that are lost, `unsent` ones included, and that the server's
        /// application is not known to have taken over, in a session that could be
        /// [resumed](super::ClientConfig::resume). Of other sessions that is not known, and this is
        /// [`NOTHING`](Undelivered::NOTHING).
        undelivered: Undelivered,
        /// Bytes that were written and not acknowledged by the server's kernel, including headers,
        /// beats and TLS overhead. 0 where the system cannot tell (only Linux can). The server
        /// program need not have read what its kernel acknowledged.
        unacknowledged: usize,
        /// Beats received from the server on this connection.
        beats: u64,
        /// The server's BYE, on protocol v1. It can be present with another reason than
        /// [`Reason::Bye`], if this end had ended the connection before it read the BYE.
        bye: Option<Box<Bye>>,
    },
    /// The connection was lost, and the session goes on without one: the client connects again,
    /// and accepts messages meanwhile. Followed by `Back`, or by `Offline` if that takes too long
    /// or the server does not have the session any more; in between come `Waiting`, `Connecting`
    /// and `Failed` as without a session. See
    /// [`ClientConfig::resume`](super::ClientConfig::resume).
    #[non_exhaustive]
    Away {
        /// The server's address.
        peer: SocketAddr,
        /// Why the connection was lost.
        reason: Reason,
        /// How long the session is held: for as long again from the end of a pause of this
        /// process.
        within: Duration,
    },
    /// The session goes on over a new connection, with the intervals and timeouts of its contract.
    #[non_exhaustive]
    Back {
        /// The address that answered.
        peer: SocketAddr,
        /// How long the session was away.
        after: Duration,
        /// What is sent again, because the server had not received it.
        replayed: Replayed,
        /// The server's WELCOME.
        welcome: Box<Welcome>,
    },
    /// The client waits before its next attempt.
    Waiting {
        /// How long it waits.
        wait: Duration,
        /// The number of the attempt that follows.
        attempt: u32,
    },
    /// An attempt failed. If the error is not [retryable](ConnectError::is_retryable), the client
    /// ends, unless the server rejected it and
    /// [`Reconnect::even_if_rejected`](super::Reconnect::even_if_rejected) is set.
    Failed {
        /// What failed.
        error: ConnectError,
    },
    /// Events were dropped at this place, because the application did not take them in time. See
    /// [`Events`].
    Lagged {
        /// How many, not counting merged ones.
        count: u64,
    },
    /// The client has ended. This is the last event, and messages are refused.
    Closed,
}

impl Event {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Online { .. } => "online",
            Self::Health(_) => "health",
            Self::TooFast => "too_fast",
            Self::Data(_) => "data",
            Self::Ended => "ended",
            Self::Paused(_) => "paused",
            Self::Offline { .. } => "offline",
            Self::Away { .. } => "away",
            Self::Back { .. } => "back",
            Self::Waiting { .. } => "waiting",
            Self::Failed { .. } => "failed",
            Self::Lagged { .. } => "lagged",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { attempt } => write!(f, "connecting, attempt {attempt}"),
            Self::Online { peer, kernel, welcome } => {
                write!(f, "online with {peer} ({kernel})")?;
                match welcome {
                    Some(welcome) => write!(f, "; {}", welcome.contract),
                    None => Ok(()),
                }
            }
            Self::Health(health) => write!(f, "the server reports health {}", health.name()),
            Self::TooFast => f.write_str("the server warns: too many beats"),
            Self::Data(data) => write!(f, "{} B of data", data.len()),
            Self::Ended => f.write_str("the server sends no more data"),
            Self::Paused(pause) => {
                write!(f, "this process was paused for {:.3} s", pause.gap.as_secs_f64())
            }
            Self::Offline { peer, reason, unsent, undelivered, beats, bye, .. } => {
                write!(f, "offline from {peer}: {reason}")?;
                if let Some(bye) = bye {
                    write!(f, "{}", Detail(&bye.detail))?;
                }
                write!(f, " ({} received", Counted(*beats, "beat"))?;
                if *unsent > 0 {
                    let unsent = u64::try_from(*unsent).unwrap_or(u64::MAX);
                    write!(f, ", {} not sent", Counted(unsent, "message"))?;
                }
                if undelivered.frames > 0 {
                    write!(f, ", {undelivered}")?;
                }
                f.write_str(")")
            }
            Self::Away { peer, reason, within } => {
                write!(f, "away from {peer}: {reason}; held for {}", Typed(*within))
            }
            Self::Back { peer, after, replayed, welcome } => {
                let after = after.as_secs_f64();
                let Replayed { frames, bytes } = replayed;
                let messages = Counted(*frames, "message");
                write!(f, "back with {peer} after {after:.3} s; ")?;
                write!(f, "{messages} ({bytes} B) sent again; ")?;
                welcome.contract.fmt(f)
            }
            Self::Waiting { wait, attempt } => {
                write!(f, "waiting {:.3} s before attempt {attempt}", wait.as_secs_f64())
            }
            Self::Failed { error } => write!(f, "not connected: {error}"),
            Self::Lagged { count } => {
                write!(f, "{} dropped: not read in time", Counted(*count, "event"))
            }
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// A number of things: `1 beat`, `2 beats`.
struct Counted(u64, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        write!(f, "{number} {thing}{}", if *number == 1 { "" } else { "s" })
    }
}

/// The contents of a server's BYE.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub struct Bye {
    /// Why it disconnects.
    pub code: ByeCode,
    /// Whether to reconnect, and when. The client follows it: it ends (but see
    /// [`Reconnect::even_if_rejected`](super::Reconnect::even_if_rejected)), or reconnects at a
    /// random time in that window instead of after its backoff delay.
    pub retry: RetryHint,
    /// The server's explanation, at most 256 bytes; empty if there is none. Escape it before you
    /// show it: the peer chose the text.
    pub detail: String,
}

/// An event, and the name of its connection in a supervisor.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) by: Option<Arc<str>>,
    pub(crate) event: Event,
    /// Its place in the queue, free again when the application has taken it.
    #[expect(dead_code, reason = "it is dropped with the event")]
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// Tells the client's task that the application has taken it.
    #[expect(dead_code, reason = "it is dropped with the event")]
    pub(crate) receipt: Option<Receipt>,
}

/// Where a client's events go.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    /// In boxes, because the channel has room for 32 at once.
    pub(crate) sender: mpsc::UnboundedSender<Box<Delivery>>,
    /// One permit for each event that may wait. The channel itself is unbounded, so that a client's
    /// last events need no permit.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) by: Option<Arc<str>>,
}

impl Reports {
    /// A queue in which `max_events` events may wait.
    pub(super) fn new(max_events: usize) -> (Self, mpsc::UnboundedReceiver<Box<Delivery>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(max_events)), by: None }, receiver)
    }
}

/// The [`Stream`] of a client's events.
///
/// Take them promptly. When 1,024 events wait, the client stops reading, and what the server sends
/// waits in the kernel. The client still sends beats and messages, and does not declare a server
/// dead whose bytes it has not read. It can reconnect and be closed even if no event is taken at
/// all. Meanwhile it keeps up to 4,096 more events: of several failed attempts in a row only the
/// last one's; beyond that the oldest are dropped, and an [`Event::Lagged`] in their place counts
/// them. After a connection is lost, the client goes on reading what had arrived on it while the
/// application takes at least one event per second.
///
/// In a session that can be [resumed](super::ClientConfig::resume) the client reads on, and keeps
/// what the server sends, at most a [window](super::Resume::window), and drops none of it.
///
/// After this is dropped, the client goes on, and reads and discards what the server sends.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Box<Delivery>>,
}

impl Events {
    pub(super) const fn new(receiver: mpsc::UnboundedReceiver<Box<Delivery>>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` after [`Event::Closed`], or when the runtime is gone.
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        self.receiver.recv().await.map(|told| told.event)
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none yet, [`TryRecvError::Disconnected`] where
    /// [`recv`](Self::recv) would return `None`.
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        self.receiver.try_recv().map(|told| told.event).map_err(|error| match error {
            mpsc::error::TryRecvError::Empty => TryRecvError::Empty,
            mpsc::error::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(context).map(|told| told.map(|told| told.event))
    }
}

/// Why a message was not accepted. The message is given back and will not be sent.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection, and [`offline_queue`](super::ClientConfig::offline_queue) is off.
    #[error("not connected")]
    NotConnected(Vec<u8>),
    /// The message can never fit into
    /// [`ClientConfig::max_queue`](super::ClientConfig::max_queue), or into half of the
    /// [window](super::Resume::window), or is longer than the server says it accepts (protocol v1).
    /// An empty one where the server accepts none.
    #[error("a message of {} bytes is longer than the {max} bytes that can be sent", data.len())]
    TooLong {
        /// The message.
        data: Vec<u8>,
        /// The longest message that fits, in bytes.
        max: usize,
    },
    /// There is no room at the moment. Only from [`Client::try_send`](super::Client::try_send).
    #[error("too many bytes are waiting to be sent")]
    Full(Vec<u8>),
    /// [`Client::end`](super::Client::end) was called in this session.
    #[error("this end of the session has ended")]
    Ended(Vec<u8>),
    /// The client has ended, or was asked to.
    #[error("the client is closed")]
    Closed(Vec<u8>),
}

impl SendError {
    /// The message.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        match self {
            Self::NotConnected(data)
            | Self::TooLong { data, .. }
            | Self::Full(data)
            | Self::Ended(data)
            | Self::Closed(data) => data,
        }
    }

    /// Whether the same message may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Full(_) => true,
            Self::TooLong { .. } | Self::Ended(_) | Self::Closed(_) => false,
        }
    }
}

/// Omits the message, which may be long or confidential.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, data) = match self {
            Self::NotConnected(data) => ("NotConnected", data),
            Self::TooLong { data, .. } => ("TooLong", data),
            Self::Full(data) => ("Full", data),
            Self::Ended(data) => ("Ended", data),
            Self::Closed(data) => ("Closed", data),
        };
        write!(f, "{name}({} bytes)", data.len())
    }
}

#[cfg(test)]
mod tests;
