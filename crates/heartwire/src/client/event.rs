//! What a client tells its application.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

use futures_core::Stream;
use heartwire_core::Pause;
use heartwire_core::v1::{ByeCode, Health, RetryHint, Welcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::dial::{ConnectError, Detail};
use crate::Reason;
use crate::kernel::KernelReport;

/// Events that may wait to be taken, [`Event::Data`] included: enough for a burst of small frames,
/// and with the default of 64 KiB for the longest frame never more than 64 MiB.
pub(super) const MAX_EVENTS: usize = 1024;

/// Something that happened to a client. They come in the order in which they happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt begins: the name is looked up, then each address is tried.
    Connecting {
        /// Its number, from 1; a connection starts the count anew.
        attempt: u32,
    },
    /// The connection is made, and messages are accepted. On protocol v1 the server has answered. On v0 it does
    /// *not* mean that the server program runs: the kernel of a hung server makes connections too. The first
    /// beat of a server that sends any, or its silence, will tell.
    Online {
        /// The address that answered.
        peer: SocketAddr,
        /// The kernel options in force.
        kernel: KernelReport,
        /// What was agreed, on protocol v1.
        welcome: Option<Box<Welcome>>,
    },
    /// The server says that it is otherwise than it said before (protocol v1).
    Health(Health),
    /// The server says that this client beats far more often than was agreed, and will be sent away if it
    /// goes on (protocol v1).
    TooFast,
    /// A message from the server; on [`Protocol::Raw`](crate::client::Protocol::Raw) the bytes of one read.
    Data(Vec<u8>),
    /// This process stood still and could neither beat nor listen. The server got another chance;
    /// it may itself have given up on this client. Pauses that follow each other before the
    /// application takes this event are added up.
    Paused(Pause),
    /// The connection ended.
    #[non_exhaustive]
    Offline {
        /// The address it was made to.
        peer: SocketAddr,
        /// Why it ended. A dead server is [`Reason::Dead`] with the verdict; the end of a client
        /// by its application is [`Reason::Shutdown`] if the server's system has acknowledged everything, and
        /// [`Reason::Unacknowledged`] or what the socket said if it has not.
        reason: Reason,
        /// Messages that were accepted, were not written whole, and never will be. While
        /// [`offline_queue`](super::ClientConfig::offline_queue) is chosen, it is the one whose writing had
        /// begun, if any. What was written is not known to have arrived; see `unacknowledged`.
        unsent: usize,
        /// Bytes that were written and that the server's system had not acknowledged. All that was written
        /// counts: headers, beats, and what TLS adds. 0 where the system cannot tell (only Linux can). What was
        /// acknowledged need not have been read by the server program.
        unacknowledged: usize,
        /// Beats that came from the server on this connection.
        beats: u64,
        /// What the server said in taking its leave, on protocol v1. It can be there with another reason than
        /// [`Reason::Bye`] too, if this end had given up on the connection before it read that.
        bye: Option<Box<Bye>>,
    },
    /// The next attempt begins after a wait.
    Waiting {
        /// How long.
        wait: Duration,
        /// The number of the attempt that follows.
        attempt: u32,
    },
    /// An attempt failed. If the error [cannot be retried](ConnectError::is_retryable), the client
    /// ends, unless the server said so and
    /// [`ClientConfig::retry_rejected`](super::ClientConfig::retry_rejected) is set.
    Failed {
        /// What was tried, and what came of it.
        error: ConnectError,
    },
    /// The application took no events for so long that some were dropped, all of which belong here.
    /// See [`Events`].
    Lagged {
        /// How many, without those that were merged.
        count: u64,
    },
    /// The client has ended. Nothing follows, and messages are refused.
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
            Self::Paused(_) => "paused",
            Self::Offline { .. } => "offline",
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
            Self::Health(health) => write!(f, "the server says that it is {}", health.name()),
            Self::TooFast => f.write_str("the server says that this client beats far too often"),
            Self::Data(data) => write!(f, "{} bytes of data", data.len()),
            Self::Paused(pause) => {
                write!(f, "this process stood still for {:.3} s", pause.gap.as_secs_f64())
            }
            Self::Offline { peer, reason, unsent, beats, bye, .. } => {
                write!(f, "offline from {peer}: {reason}")?;
                if let Some(bye) = bye {
                    write!(f, "{}", Detail(&bye.detail))?;
                }
                write!(f, " ({beats} beats received")?;
                if *unsent > 0 {
                    write!(f, ", {unsent} messages not sent")?;
                }
                f.write_str(")")
            }
            Self::Waiting { wait, attempt } => {
                write!(f, "waiting {:.3} s before attempt {attempt}", wait.as_secs_f64())
            }
            Self::Failed { error } => write!(f, "not connected: {error}"),
            Self::Lagged { count } => {
                write!(f, "{count} events were dropped, because they were not taken")
            }
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// What a server says in taking its leave: the contents of its BYE.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bye {
    /// Why it leaves.
    pub code: ByeCode,
    /// Whether to come back, and when. The client acts on it by itself: it ends (but see
    /// [`ClientConfig::retry_rejected`](super::ClientConfig::retry_rejected)), or waits for a moment in
    /// that window instead of what its backoff would have drawn.
    pub retry: RetryHint,
    /// The server's explanation, at most 256 bytes; empty if there is none. It is somebody else's text:
    /// escape it before it is shown.
    pub detail: String,
}

/// An event, and which of a supervisor's connections it is about.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) by: Option<Arc<str>>,
    pub(crate) event: Event,
    /// Its place in the queue, free again when the application has taken it.
    #[expect(dead_code, reason = "it is dropped with the event")]
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Where a client's events go.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    pub(crate) sender: mpsc::UnboundedSender<Delivery>,
    /// One permit for each event that may wait. The channel itself has no bound, so that a client's last
    /// events go through without room.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) by: Option<Arc<str>>,
}

impl Reports {
    /// A queue in which so many events may wait.
    pub(super) fn new(max_events: usize) -> (Self, mpsc::UnboundedReceiver<Delivery>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(max_events)), by: None }, receiver)
    }
}

/// The [`Stream`] of a client's events.
///
/// Take them promptly. When 1,024 events wait, the client stops reading, and what the server sends
/// waits in the kernel; beats and messages go on, and unread bytes are not held against the
/// server. The client comes back and can be closed even if no event is taken at all. It keeps up to
/// 4,096 more events meanwhile: of attempts that fail one after another only the last one's, and when
/// there are more than that, the oldest are dropped and counted by an [`Event::Lagged`] in their place.
/// Of data that came before a connection was lost, the client reads on for as long as the application
/// takes an event each second.
///
/// Dropping this means that the application wants no news: the client goes on, and what the server
/// sends is read and discarded.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Delivery>,
}

impl Events {
    pub(super) const fn new(receiver: mpsc::UnboundedReceiver<Delivery>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` after [`Event::Closed`], or when the runtime is gone.
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv(&mut self) -> Option<Event> {
        self.receiver.recv().await.map(|told| told.event)
    }

    /// The next event, for code that is not async; `None` as in [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// Within an async task, where it would block the runtime.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.receiver.blocking_recv().map(|told| told.event)
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

/// Why a message was not accepted. It was not sent, will not be, and is given back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection, and [`offline_queue`](super::ClientConfig::offline_queue) is chosen.
    #[error("not connected")]
    NotConnected(Vec<u8>),
    /// The message can never fit into
    /// [`ClientConfig::max_queue`](super::ClientConfig::max_queue).
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
            | Self::Closed(data) => data,
        }
    }

    /// Whether the same message may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::Full(_) => true,
            Self::TooLong { .. } | Self::Closed(_) => false,
        }
    }
}

/// Without the message, which may be long and nobody else's business.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, data) = match self {
            Self::NotConnected(data) => ("NotConnected", data),
            Self::TooLong { data, .. } => ("TooLong", data),
            Self::Full(data) => ("Full", data),
            Self::Closed(data) => ("Closed", data),
        };
        write!(f, "{name}({} bytes)", data.len())
    }
}
