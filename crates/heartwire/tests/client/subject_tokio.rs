//! The client for async programs, as a program without async would use it: on a runtime with one thread,
//! which the test does not run on.

use core::future::Future;
use core::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;

use heartwire::client::{self, ClientConfig, Event, SendError};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::rig::{GIVE_UP, pass};

#[derive(Clone)]
pub(crate) struct Client {
    inner: client::Client,
    handle: Handle,
}

pub(crate) struct Events {
    inner: client::Events,
    handle: Handle,
}

/// The runtime.
pub(crate) struct Ground {
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn start(config: ClientConfig) -> (Client, Events, Ground) {
    start_on(Builder::new_current_thread().enable_all(), config)
}

pub(crate) fn start_on(builder: &mut Builder, config: ClientConfig) -> (Client, Events, Ground) {
    let runtime = builder.build().unwrap();
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ = runtime.block_on(stopped);
    });
    let (client, events) = {
        let _inside = handle.enter();
        client::Client::start(config)
    };
    let ground = Ground { handle: handle.clone(), stop: Some(stop), thread: Some(thread) };
    (Client { inner: client, handle: handle.clone() }, Events { inner: events, handle }, ground)
}

/// Waits for a future that comes to something within `time`.
fn within<T>(handle: &Handle, time: Duration, future: impl Future<Output = T>) -> Option<T> {
    handle.block_on(async { tokio::time::timeout(time, future).await }).ok()
}

impl Client {
    pub(crate) fn send(&self, data: Vec<u8>) -> Result<(), SendError> {
        within(&self.handle, GIVE_UP, self.inner.send(data)).expect("took too long")
    }

    /// The message is lost if it is not accepted in time.
    pub(crate) fn send_timeout(&self, data: Vec<u8>, timeout: Duration) -> Result<(), SendError> {
        within(&self.handle, timeout, self.inner.send(data))
            .unwrap_or_else(|| Err(SendError::Full(Vec::new())))
    }

    pub(crate) fn try_send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.inner.try_send(data)
    }

    pub(crate) fn flush(&self) {
        within(&self.handle, GIVE_UP, self.inner.flush()).expect("took too long");
    }

    pub(crate) fn look_now(&self) {
        self.inner.look_now();
    }

    pub(crate) fn close(&self) {
        self.inner.close();
    }
}

impl Events {
    pub(crate) fn recv_timeout(&mut self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        match within(&self.handle, timeout, self.inner.recv()) {
            Some(Some(event)) => Ok(event),
            Some(None) => Err(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
    }
}

impl Ground {
    /// Keeps the runtime's only thread busy for `time`. Returns when it is free again.
    pub(crate) fn block(&self, time: Duration) {
        let (done, finished) = mpsc::channel();
        self.handle.spawn(async move {
            pass(time);
            done.send(()).unwrap();
        });
        finished.recv().unwrap();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}
