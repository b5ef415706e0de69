//! A connection of messages, whose other end is the test.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::wrap::{Answer, Beat, Error, Heartbeat};
use crate::{Policy, TICK, Verdict};
use futures_util::{Sink, Stream};
pub(crate) use heartwire_testkit::ms;
use tokio::time::{Instant, timeout};

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Calls 10 s of silence death, and sends nothing.
pub(crate) fn judge() -> Policy {
    Policy::builder().timeout(secs(10)).build().unwrap()
}

/// A beat every 3 s, and no timeout.
pub(crate) fn beat() -> Policy {
    Policy::builder().interval(secs(3)).build().unwrap()
}

/// Beats every 3 s, and calls 10 s of silence death.
pub(crate) fn both() -> Policy {
    Policy::builder().interval(secs(3)).timeout(secs(10)).build().unwrap()
}

/// Answers beats, and calls 10 s of silence death.
pub(crate) fn echo() -> Policy {
    Policy::builder().echo(true).timeout(secs(10)).build().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Both ends send it.
    Beat,
    Ask(u64),
    Answer(u64),
    Data(u32),
}

/// A beat that asks nothing.
#[derive(Debug)]
pub(crate) struct Plain;

impl Beat<Message> for Plain {
    type Out = Message;

    fn is_beat(&mut self, item: &Message) -> bool {
        *item == Message::Beat
    }

    fn beat(&mut self, _nonce: u64) -> Message {
        Message::Beat
    }
}

/// A question with a nonce, and its answer.
#[derive(Debug)]
pub(crate) struct Asking;

impl Beat<Message> for Asking {
    type Out = Message;

    fn is_beat(&mut self, item: &Message) -> bool {
        !matches!(item, Message::Data(_))
    }

    fn beat(&mut self, nonce: u64) -> Message {
        Message::Ask(nonce)
    }

    fn answer(&mut self, beat: &Message) -> Answer<Message> {
        match beat {
            Message::Ask(nonce) => Answer::Owed(Message::Answer(*nonce)),
            _ => Answer::Never,
        }
    }

    fn nonce(&self, beat: &Message) -> Option<u64> {
        match beat {
            Message::Answer(nonce) => Some(*nonce),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault;

/// This end's half, which is wrapped. It breaks when it is not used as the traits demand.
#[derive(Debug)]
pub(crate) struct Near(Arc<Mutex<Pipe>>);

/// The other end.
#[derive(Clone, Debug)]
pub(crate) struct Far(Arc<Mutex<Pipe>>);

#[derive(Debug, Default)]
struct Pipe {
    to_near: VecDeque<Result<Message, Fault>>,
    ended: bool,
    told_end: bool,
    reader: Option<Waker>,
    /// Handed over, and not flushed.
    pending: Vec<Message>,
    /// Number of messages that the pipe still takes before the other end has to read.
    room: usize,
    writer: Option<Waker>,
    ready: bool,
    to_far: Vec<(Instant, Message)>,
    write_fault: bool,
    closed: bool,
}

/// A protocol that takes `room` messages before the far end takes some off it.
pub(crate) fn pipe(room: usize) -> (Near, Far) {
    let pipe = Arc::new(Mutex::new(Pipe { room, ..Pipe::default() }));
    (Near(Arc::clone(&pipe)), Far(pipe))
}

/// A wrapped connection, and its other end.
pub(crate) fn connect<B: Beat<Message>>(beat: B, policy: Policy) -> (Heartbeat<Near, B>, Far) {
    let (near, far) = pipe(100);
    (Heartbeat::new(near, beat, policy), far)
}

impl Near {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }
}

impl Stream for Near {
    type Item = Result<Message, Fault>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut pipe = self.lock();
        assert!(!pipe.told_end, "polled after its end");
        if let Some(item) = pipe.to_near.pop_front() {
            return Poll::Ready(Some(item));
        }
        if pipe.ended {
            pipe.told_end = true;
            return Poll::Ready(None);
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Pipe {
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.write_fault {
            return Poll::Ready(Err(Fault));
        }
        let len = self.pending.len().min(self.room);
        self.room -= len;
        let now = Instant::now();
        self.to_far.extend(self.pending.drain(..len).map(|message| (now, message)));
        if self.pending.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink<Message> for Near {
    type Error = Fault;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut pipe = self.lock();
        if pipe.write_fault {
            return Poll::Ready(Err(Fault));
        }
        // It holds one message that is not written yet.
        if !pipe.pending.is_empty() && pipe.poll_write(cx)?.is_pending() {
            return Poll::Pending;
        }
        pipe.ready = true;
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: Message) -> Result<(), Fault> {
        let mut pipe = self.lock();
        assert!(pipe.ready, "{item:?} was sent without asking for room");
        assert!(!pipe.closed, "{item:?} was sent after closing");
        pipe.ready = false;
        pipe.pending.push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.lock().poll_write(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut pipe = self.lock();
        pipe.closed = true;
        pipe.poll_write(cx)
    }
}

impl Far {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    fn wake_reader(&self) {
        let reader = self.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn wake_writer(&self) {
        let writer = self.lock().writer.take();
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    pub(crate) fn send(&self, message: Message) {
        self.lock().to_near.push_back(Ok(message));
        self.wake_reader();
    }

    /// Sends without waking any task: the next poll finds it.
    pub(crate) fn place(&self, message: Message) {
        self.lock().to_near.push_back(Ok(message));
    }

    /// Closes without waking any task.
    pub(crate) fn close_quietly(&self) {
        self.lock().ended = true;
    }

    pub(crate) fn fail(&self) {
        self.lock().to_near.push_back(Err(Fault));
        self.wake_reader();
    }

    pub(crate) fn close(&self) {
        self.lock().ended = true;
        self.wake_reader();
    }

    /// Whatever is written from now on fails.
    pub(crate) fn fail_writes(&self) {
        self.lock().write_fault = true;
        self.wake_writer();
    }

    /// Takes this many messages off the wire, in time.
    pub(crate) fn make_room(&self, messages: usize) {
        self.lock().room += messages;
        self.wake_writer();
    }

    /// What has arrived since this was called last, and when.
    pub(crate) fn take(&self) -> Vec<(Instant, Message)> {
        core::mem::take(&mut self.lock().to_far)
    }

    /// What has arrived since this was called last.
    pub(crate) fn take_messages(&self) -> Vec<Message> {
        self.take().into_iter().map(|(_, message)| message).collect()
    }

    /// How many messages have not been read.
    pub(crate) fn unread(&self) -> usize {
        self.lock().to_near.len()
    }
}

/// Sends each message at its time, in the background.
pub(crate) fn script(far: &Far, messages: Vec<(Duration, Message)>) {
    let far = far.clone();
    let start = Instant::now();
    tokio::spawn(async move {
        for (at, message) in messages {
            tokio::time::sleep_until(start + at).await;
            far.send(message);
        }
    });
}

#[track_caller]
pub(crate) fn verdict_of<T: core::fmt::Debug>(item: Option<Result<T, Error<Fault>>>) -> Verdict {
    match item {
        Some(Err(Error::Dead(verdict))) => verdict,
        other => panic!("expected a verdict: {other:?}"),
    }
}

/// A verdict came at a time that its bound allows, if the last sign of life came at `heard_at`.
#[track_caller]
pub(crate) fn assert_in_bound(heard_at: Instant, timeout: Duration) {
    let silence = heard_at.elapsed();
    assert!(silence >= timeout, "{:?} early", timeout - silence);
    assert!(silence <= timeout + TICK, "{:?} late", silence - timeout - TICK);
}

/// Nothing comes of `future` within `time`.
pub(crate) async fn assert_waits<F: Future>(future: F, time: Duration)
where
    F::Output: core::fmt::Debug,
{
    if let Ok(output) = timeout(time, future).await {
        panic!("expected nothing for {time:?}: {output:?}");
    }
}
