//! What a wrapped stream does whenever it is polled.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;

use futures_core::stream::TryStream;
use futures_sink::Sink;
use heartwire_core::{Instant, Policy, Verdict};

use super::Items;
use crate::wrap::beat::{Answer, Beat};
use crate::wrap::error::{Dead, Error};
use crate::wrap::fanout::Fanout;
use crate::wrap::last_byte::LastByte;
use crate::wrap::pulse::Pulse;

mod write;

/// Beats taken in one poll, so that a flood of them lets other tasks run.
const BEATS_PER_POLL_MAX: usize = 32;

/// Answers that can wait to be written. An answer proves life and carries nothing, so what a flood
/// asks beyond this is answered by the ones before it.
const ANSWERS_OWED_MAX: usize = 64;

/// Everything about a wrapped stream but the stream.
pub(super) struct State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok>,
{
    pulse: Pulse,
    last_byte: Option<LastByte>,
    reading: Reading,
    ahead: Items<T>,
    ahead_max: usize,
    writing: Writing<T::Error>,
    /// The application was told that there is room, and has not used it yet.
    reserved: bool,
    /// Something was handed over that may not be on its way yet.
    unflushed: bool,
    /// It is on us to flush it: the application may never do.
    flushing: bool,
    /// What may not be on its way yet has a beat in it.
    beat_unflushed: bool,
    beat: B,
    owed: VecDeque<B::Out>,
    /// Of the latest beat.
    nonce: u64,
    asked_at: Option<Instant>,
    rtt: Option<Duration>,
}

/// `told`: whether the application has heard of it from the stream.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Open,
    /// The stream has ended. Nobody is judged, and only the application may poll it again.
    Ended {
        told: bool,
    },
    Dead {
        verdict: Verdict,
        told: bool,
    },
}

enum Writing<E> {
    Open,
    /// A beat could not be written. The stream says so if it has nothing better to say by then.
    Failed {
        error: E,
        report_at: Instant,
    },
    /// Nothing more of ours is written.
    Closed,
}

/// What the wrapped stream yields.
type Item<T> = Result<<T as TryStream>::Ok, Error<<T as TryStream>::Error>>;

/// What came of one attempt to read.
enum Read<T: TryStream> {
    Item(Result<T::Ok, T::Error>),
    End,
    /// There is nothing more to read now.
    Nothing,
    /// There were so many beats that others should run first.
    Paused,
}

impl<T, B> State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok>,
{
    pub(super) fn new(beat: B, policy: Policy, ahead_max: usize) -> Self {
        Self {
            pulse: Pulse::new(policy),
            last_byte: None,
            reading: Reading::Open,
            ahead: VecDeque::new(),
            ahead_max,
            writing: Writing::Open,
            reserved: false,
            unflushed: false,
            flushing: false,
            beat_unflushed: false,
            beat,
            owed: VecDeque::new(),
            nonce: 0,
            asked_at: None,
            rtt: None,
        }
    }

    pub(super) fn set_ahead_max(&mut self, items: usize) {
        self.ahead_max = items;
    }

    pub(super) fn set_last_byte(&mut self, last_byte: LastByte) {
        self.last_byte = Some(last_byte);
    }

    pub(super) const fn policy(&self) -> Policy {
        self.pulse.policy()
    }

    pub(super) fn silence(&self) -> Duration {
        self.pulse.silence()
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(super) const fn verdict(&self) -> Option<Verdict> {
        match self.reading {
            Reading::Dead { verdict, .. } => Some(verdict),
            Reading::Open | Reading::Ended { .. } => None,
        }
    }

    pub(super) fn ahead_len(&self) -> usize {
        self.ahead.len()
    }

    pub(super) fn into_ahead(self) -> Items<T> {
        self.ahead
    }

    /// Fails after the verdict.
    pub(super) fn check(&self) -> Result<(), Error<T::Error>> {
        self.verdict().map_or(Ok(()), |verdict| Err(Dead { verdict }.into()))
    }

    /// The application may send an item now.
    pub(super) const fn handle_ready(&mut self) {
        self.reserved = true;
    }

    /// The application sends an item.
    pub(super) fn handle_start_send(&mut self, fanout: &Fanout) {
        self.reserved = false;
        self.unflushed = true;
        if self.pulse.beat_due() {
            // A beat had to wait for this item, which may have been fed and never flushed.
            fanout.wake_reader();
        }
    }

    /// Everything is written. Returns whether a deadline has passed.
    pub(super) fn handle_flushed(&mut self) -> bool {
        let now = self.pulse.now();
        self.note_what_is_on_its_way(now);
        self.unflushed = false;
        self.beat_unflushed = false;
        self.flushing = false;
        self.pulse.is_overdue(now)
    }

    /// What was handed over, and is being written at `now`, may be a beat, or as good as one.
    fn note_what_is_on_its_way(&mut self, now: Instant) {
        if self.beat_unflushed {
            self.pulse.handle_beat_sent(now);
        } else if self.unflushed {
            self.pulse.handle_sent(now);
        }
    }

    /// The application closes the sink.
    pub(super) fn handle_close(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.writing = Writing::Closed;
        self.owed.clear();
        self.flushing = false;
    }

    /// Notes what an item means, and keeps it if it is a beat.
    fn receive(&mut self, item: T::Ok) -> Option<T::Ok> {
        let now = self.pulse.now();
        self.pulse.handle_heard(now);
        if !self.beat.is_beat(&item) {
            return Some(item);
        }
        if self.beat.nonce(&item).is_some_and(|nonce| nonce == self.nonce) {
            let away = self.asked_at.take().map(|at| now.saturating_since(at));
            self.rtt = away.or(self.rtt);
        }
        if self.owed.len() < ANSWERS_OWED_MAX && matches!(self.writing, Writing::Open) {
            self.owe(&item);
        }
        None
    }

    fn owe(&mut self, beat: &T::Ok) {
        match self.beat.answer(beat) {
            Answer::Owed(answer) => self.owed.push_back(answer),
            Answer::Echo if self.pulse.policy().echo() => {
                let answer = self.next_beat();
                self.owed.push_back(answer);
            }
            Answer::Echo | Answer::Never => {}
        }
    }

    fn next_beat(&mut self) -> B::Out {
        self.nonce = self.nonce.wrapping_add(1);
        self.beat.beat(self.nonce)
    }

    fn read(&mut self, mut inner: Pin<&mut T>, cx: &mut Context<'_>) -> Read<T> {
        for _ in 0..BEATS_PER_POLL_MAX {
            match inner.as_mut().try_poll_next(cx) {
                Poll::Ready(Some(Ok(item))) => {
                    if let Some(item) = self.receive(item) {
                        return Read::Item(Ok(item));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Read::Item(Err(error)),
                Poll::Ready(None) => return Read::End,
                Poll::Pending => return Read::Nothing,
            }
        }
        cx.waker().wake_by_ref();
        Read::Paused
    }
}

impl<T, B> State<T, B>
where
    T: TryStream + Sink<B::Out, Error = <T as TryStream>::Error>,
    B: Beat<T::Ok>,
{
    /// A poll of the stream half.
    pub(super) fn poll_next(
        &mut self,
        mut inner: Pin<&mut T>,
        fanout: &Fanout,
    ) -> Poll<Option<Item<T>>> {
        if let Some(item) = self.ahead.pop_front() {
            return Poll::Ready(Some(item.map_err(Error::Inner)));
        }
        match self.reading {
            Reading::Dead { verdict, told } => {
                self.reading = Reading::Dead { verdict, told: true };
                return Poll::Ready((!told).then(|| Err(Dead { verdict }.into())));
            }
            Reading::Ended { told: false } => {
                self.reading = Reading::Ended { told: true };
                return Poll::Ready(None);
            }
            // Some streams go on after their end; whoever polls this one should know.
            Reading::Open | Reading::Ended { told: true } => self.reading = Reading::Open,
        }
        let cx = &mut fanout.context();
        match self.read(inner.as_mut(), cx) {
            Read::Item(item) => {
                self.write_what_is_due(inner, cx);
                Poll::Ready(Some(item.map_err(Error::Inner)))
            }
            Read::End => {
                self.reading = Reading::Ended { told: true };
                Poll::Ready(None)
            }
            Read::Nothing => self.poll_end(inner, fanout).map(|error| {
                // Told here, if it is the verdict.
                if let Reading::Dead { told, .. } = &mut self.reading {
                    *told = true;
                }
                Some(Err(error))
            }),
            Read::Paused => {
                self.write_what_is_due(inner, cx);
                Poll::Pending
            }
        }
    }

    /// With nothing to read: the end of the stream, if it is to end now.
    fn poll_end(
        &mut self,
        inner: Pin<&mut T>,
        fanout: &Fanout,
    ) -> Poll<Error<<T as TryStream>::Error>> {
        if let Err(error) = self.settle(inner, fanout) {
            return Poll::Ready(error);
        }
        match &self.writing {
            Writing::Failed { report_at, .. } if self.pulse.now() >= *report_at => {}
            Writing::Open | Writing::Failed { .. } | Writing::Closed => return Poll::Pending,
        }
        match core::mem::replace(&mut self.writing, Writing::Closed) {
            Writing::Failed { error, .. } => Poll::Ready(Error::Inner(error)),
            Writing::Open | Writing::Closed => Poll::Pending,
        }
    }

    /// A poll of the sink half that has to wait, or comes after a deadline.
    ///
    /// # Errors
    ///
    /// The verdict.
    pub(super) fn drive(
        &mut self,
        mut inner: Pin<&mut T>,
        fanout: &Fanout,
    ) -> Result<(), Error<<T as TryStream>::Error>> {
        if matches!(self.reading, Reading::Ended { .. }) {
            return Ok(());
        }
        let cx = &mut fanout.context();
        while self.ahead.len() < self.ahead_max {
            match self.read(inner.as_mut(), cx) {
                Read::Item(item) => {
                    self.ahead.push_back(item);
                    fanout.wake_reader();
                }
                Read::End => {
                    self.reading = Reading::Ended { told: false };
                    fanout.wake_reader();
                    return Ok(());
                }
                Read::Nothing => return self.settle(inner, fanout),
                Read::Paused => return Ok(()),
            }
        }
        self.pulse.handle_backpressure(self.pulse.now());
        self.settle(inner, fanout)
    }

    /// With everything read: the verdict, else whatever is to be written.
    fn settle(
        &mut self,
        inner: Pin<&mut T>,
        fanout: &Fanout,
    ) -> Result<(), Error<<T as TryStream>::Error>> {
        if let Some(last_byte) = &self.last_byte {
            self.pulse.handle_byte(last_byte.at());
        }
        let cx = &mut fanout.context();
        if let Some(verdict) = self.pulse.poll(cx) {
            self.reading = Reading::Dead { verdict, told: false };
            // The timer that led here has woken both halves.
            self.close();
            return Err(Dead { verdict }.into());
        }
        self.write_what_is_due(inner, cx);
        Ok(())
    }
}

impl<T, B> fmt::Debug for State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok> + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("beat", &self.beat)
            .field("pulse", &self.pulse)
            .field("reading", &self.reading)
            .field("ahead_len", &self.ahead.len())
            .field("owed_len", &self.owed.len())
            .finish_non_exhaustive()
    }
}
