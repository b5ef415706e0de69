//! The task that serves one connection, between its session and the service.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering, Ordering::Relaxed};
use core::time::Duration;
use std::sync::{Arc, OnceLock, Weak};

use heartwire::Reason;
use heartwire::server::{CommandError, Handle, Receipt, Sender, SessionId};
use heartwire::v1::RetryHint;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::output::{Millis, print_event};
use crate::tunnel::carry::{Carried, count};
use crate::tunnel::line::{Connection, How, Line};
use crate::tunnel::local::Local;
use crate::tunnel::open;
use crate::tunnel::service::Service;

/// How long a service may take to accept a connection: less than the near end waits for it, so that
/// it can be told.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);

/// How soon a command is posted again for which a shard had no room.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The task that serves a connection, as its shard sees it.
pub(super) struct Task {
    pub(super) input: mpsc::UnboundedSender<Input>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) end: oneshot::Sender<Reason>,
}

/// What the shard knows of the inputs of a task, and of its connection to the service.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many inputs the task has not done with.
    inputs: AtomicUsize,
    /// Set when there is one. The task alone decides when it is closed.
    local: OnceLock<Weak<Local>>,
}

impl Task {
    /// Passes on what came from the near end. The shard writes it to the service itself, as far as
    /// that takes it at once: that costs no copy, and wakes no other thread.
    pub(super) fn pass_on(&self, data: &[u8], receipt: Option<Receipt>, carried: &Carried) {
        let is_idle = self.waiting.inputs.load(Ordering::Acquire) == 0;
        let local = self.waiting.local.get().filter(|_| is_idle).and_then(Weak::upgrade);
        let (written, rest) = data.split_at(local.map_or(0, |local| local.write_now(data)));
        count(&carried.to_service, written);
        if !rest.is_empty() {
            self.put(Some(rest.to_vec()), receipt);
        }
    }

    pub(super) fn put(&self, data: Option<Vec<u8>>, receipt: Option<Receipt>) {
        self.waiting.inputs.fetch_add(1, Relaxed);
        // A task that has ended has ended the session, too.
        let _ = self.input.send(Input { data, _receipt: receipt });
    }
}

/// What comes from the near end. At most a window of it waits.
pub(super) struct Input {
    /// `None`: it sends no more.
    data: Option<Vec<u8>>,
    /// Acknowledges it when it is dropped.
    _receipt: Option<Receipt>,
}

/// Serves one connection.
pub(super) struct Serving {
    pub(super) id: SessionId,
    pub(super) of: Connection,
    pub(super) peer: SocketAddr,
    pub(super) service: Service,
    pub(super) grace: Duration,
    pub(super) carried: Arc<Carried>,
    pub(super) handle: Handle,
    pub(super) sender: Sender,
    pub(super) waiting: Arc<Waiting>,
    pub(super) _runs: mpsc::Sender<()>,
}

impl Serving {
    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::UnboundedReceiver<Input>,
        mut ended: oneshot::Receiver<Reason>,
    ) {
        let connected = tokio::select! {
            connected = timeout(CONNECT_WITHIN, self.service.connect(self.peer)) => connected,
            _ = &mut ended => return,
        };
        let local = match connected {
            Ok(Ok(local)) => Arc::new(local),
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    Ok(Ok(_)) | Err(_) => format!("no answer within {CONNECT_WITHIN:?}"),
                };
                // The address is not for the client.
                let detail = format!("{} cannot be reached: {why}", self.service.name);
                let said = format!("cannot reach {}: {why}", self.service.to);
                print_event(&Line::Refused { of: self.of, detail: said });
                return end_session(&self.handle, self.id, &detail).await;
            }
        };
        let answer = open::answer(self.grace);
        if self.sender.send(answer).await.is_err() {
            return;
        }
        let after_ms = Millis(self.carried.lasted());
        print_event(&Line::Opened { of: self.of.clone(), after_ms, grace_ms: Millis(self.grace) });
        let Self { id, of, carried, handle, mut sender, waiting, _runs, .. } = self;
        // It is set only here.
        let _ = waiting.local.set(Arc::downgrade(&local));
        let mut input = None;
        let to_service = pass_on(&mut inputs, &mut input, &waiting, &local, &carried);
        let from_service = async {
            loop {
                let bytes = local.read().await?;
                if bytes.is_empty() {
                    // If the session has ended, `ended` says how.
                    let _ = sender.end().await;
                    return core::future::pending::<std::io::Result<()>>().await;
                }
                count(&carried.from_service, &bytes);
                if sender.send(bytes).await.is_err() {
                    return core::future::pending().await;
                }
            }
        };
        let (how, detail) = tokio::select! {
            reason = &mut ended => match reason {
                Ok(reason) => how(reason),
                Err(_) => (How::Stopped, None),
            },
            failed = to_service => (How::ResetHere, failed.err().map(|error| error.to_string())),
            failed = from_service => (How::ResetHere, failed.err().map(|error| error.to_string())),
            () = local.failed() => (How::ResetHere, None),
        };
        if how == How::Done {
            local.finish();
        }
        if how == How::ResetHere {
            end_session(&handle, id, "reset by the service").await;
            // What was not written is acknowledged when it is dropped, and that must not end the
            // session as one that is done.
            let _ = ended.await;
        }
        drop((local, input, inputs));
        print_event(&carried.closed(of, how, detail));
    }
}

/// Writes what the near end sends to the service. `input` keeps what is being written: it is
/// acknowledged when it is dropped.
async fn pass_on(
    inputs: &mut mpsc::UnboundedReceiver<Input>,
    input: &mut Option<Input>,
    waiting: &Waiting,
    local: &Local,
    carried: &Carried,
) -> std::io::Result<()> {
    while let Some(next) = inputs.recv().await {
        match &input.insert(next).data {
            Some(bytes) => {
                local.write_all(core::slice::from_ref(bytes)).await?;
                count(&carried.to_service, bytes);
            }
            None => local.end_writing().await?,
        }
        *input = None;
        // Only now: the receipts of later data follow this one.
        waiting.inputs.fetch_sub(1, Ordering::Release);
    }
    core::future::pending().await
}

/// Ends a session, so that the near end resets its connection.
pub(super) async fn end_session(handle: &Handle, id: SessionId, detail: &str) {
    while let Err(CommandError::Busy) = handle.kick_with(id, RetryHint::Never, detail) {
        sleep(RETRY_AFTER).await;
    }
}

fn how(reason: Reason) -> (How, Option<String>) {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no clean end")]
    match reason {
        Reason::Done => (How::Done, None),
        Reason::Bye(_) => (How::ResetThere, None),
        Reason::Shutdown => (How::Stopped, None),
        reason => (How::Lost, Some(reason.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn the_shard_writes_to_the_service_only_while_nothing_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, mut service) = UnixStream::pair().unwrap();
            let local = Arc::new(Local::Unix(stream));
            let (input, mut inputs) = mpsc::unbounded_channel();
            let task = Task { input, waiting: Arc::default(), end: oneshot::channel().0 };
            let carried = Carried::new();
            // The service is not connected yet.
            task.pass_on(b"one", None, &carried);
            task.waiting.local.set(Arc::downgrade(&local)).unwrap();
            task.pass_on(b"two", None, &carried);
            let mut got = [0; 6];
            let mut input = None;
            tokio::select! {
                _ = pass_on(&mut inputs, &mut input, &task.waiting, &local, &carried) => {}
                read = service.read_exact(&mut got) => drop(read.unwrap()),
            }
            assert_eq!(&got, b"onetwo");

            task.pass_on(b"three", None, &carried);
            assert!(inputs.try_recv().is_err());
            service.read_exact(&mut got[..5]).await.unwrap();
            assert_eq!(&got[..5], b"three");
            assert_eq!(carried.to_service.load(Relaxed), 11);

            // More than the socket takes, and what comes behind it.
            task.pass_on(&vec![7; 4 << 20], None, &carried);
            task.pass_on(b"four", None, &carried);
            let lens: Vec<_> = core::iter::from_fn(|| inputs.try_recv().ok())
                .map(|input| input.data.unwrap().len())
                .collect();
            let written = usize::try_from(carried.to_service.load(Relaxed)).unwrap() - 11;
            assert!(written > 0);
            assert_eq!(lens, [(4 << 20) - written, 4]);
        });
    }
}
