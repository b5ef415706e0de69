//! The state of a wrapped stream, and its polling.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::VecDeque;

use futures_core::stream::TryStream;
use futures_sink::Sink;
use heartwire_core::order::Found;
use heartwire_core::{Instant, Policy, Verdict};
use tracing::debug;

use super::Items;
use super::outbox::Outbox;
use crate::wrap::beat::{Answer, Beat};
use crate::wrap::error::Error;
use crate::wrap::fanout::Fanout;
use crate::wrap::last_byte::LastByte;
use crate::wrap::pulse::Pulse;

/// Maximum number of beats read in one poll, so that a flood of them does not starve other tasks.
const MAX_BEATS_PER_POLL: usize = 32;

/// The state of a wrapped stream, without the stream.
pub(super) struct State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok>,
{
    pulse: Pulse,
    last_byte: Option<LastByte>,
    reading: Reading,
    ahead: Items<T>,
    max_ahead: usize,
    writing: Writing<T::Error, B::Out>,
    beats: Beats<B>,
}

/// `told`: whether the stream has reported it to the application.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Open,
    /// The stream has ended. The timeout is off, and only the application may poll it again.
    Ended {
        told: bool,
    },
    Dead {
        verdict: Verdict,
        told: bool,
    },
}

enum Writing<E, Out> {
    Open(Outbox<Out>),
    /// A beat could not be written. The stream reports it at `report_at`, unless it has something
    /// else to yield.
    Failed {
        error: E,
        report_at: Instant,
    },
    /// The wrapper writes nothing more.
    Closed,
}

/// The items of the wrapped stream.
type Item<T> = Result<<T as TryStream>::Ok, Error<<T as TryStream>::Error>>;

/// The result of one attempt to read.
enum Read<T: TryStream> {
    Item(Result<T::Ok, T::Error>),
    End,
    /// Nothing more can be read now.
    Nothing,
    /// There were so many beats that other tasks should run first.
    Paused,
}

impl<T, B> State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok>,
{
    pub(super) fn new(beat: B, policy: Policy, max_ahead: usize) -> Self {
        Self {
            pulse: Pulse::new(policy),
            last_byte: None,
            reading: Reading::Open,
            ahead: VecDeque::new(),
            max_ahead,
            writing: Writing::Open(Outbox::default()),
            beats: Beats::new(beat),
        }
    }

    pub(super) fn set_max_ahead(&mut self, items: usize) {
        self.max_ahead = items;
    }

    pub(super) fn wait_for_beat(&mut self) {
        self.pulse.wait_for_beat();
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
        self.beats.rtt
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
        self.verdict().map_or(Ok(()), |verdict| Err(Error::Dead(verdict)))
    }

    /// The application may send an item now: `poll_ready` has returned ready.
    pub(super) const fn handle_ready(&mut self) {
        if let Writing::Open(outbox) = &mut self.writing {
            outbox.handle_ready();
        }
    }

    /// The application sends an item.
    pub(super) fn handle_start_send(&mut self, fanout: &Fanout) {
        let Writing::Open(outbox) = &mut self.writing else { return };
        outbox.handle_item();
        if self.pulse.beat_due() {
            // A beat had to wait for this item, which may never be flushed.
            fanout.wake_reader();
        }
    }

    /// Everything was flushed. Returns whether a deadline has passed.
    pub(super) fn handle_flushed(&mut self) -> bool {
        let now = self.pulse.now();
        if let Writing::Open(outbox) = &mut self.writing {
            outbox.handle_flushed(&mut self.pulse, now);
        }
        self.pulse.is_overdue(now)
    }

    /// Stops beats and answers: the application closes the sink, or the peer is dead.
    pub(super) fn close(&mut self) {
        self.writing = Writing::Closed;
    }

    /// Handles an item. Returns it unless it is a beat.
    fn receive(&mut self, item: T::Ok) -> Option<T::Ok> {
        let now = self.pulse.now();
        self.pulse.handle_heard(now);
        if !self.beats.look.is_beat(&item) {
            return Some(item);
        }
        self.pulse.handle_beat(now);
        self.beats.handle_nonce(self.beats.look.nonce(&item), now);
        if let Writing::Open(outbox) = &mut self.writing {
            outbox.owe(|| match self.beats.look.answer(&item) {
                Answer::Owed(answer) => Some(answer),
                Answer::Echo if self.pulse.policy().echo() => Some(self.beats.next()),
                Answer::Echo | Answer::Never => None,
            });
        }
        None
    }

    fn read(&mut self, mut inner: Pin<&mut T>, cx: &mut Context<'_>) -> Read<T> {
        for _ in 0..MAX_BEATS_PER_POLL {
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
    /// Polls the stream half.
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
                return Poll::Ready((!told).then(|| Err(Error::Dead(verdict))));
            }
            Reading::Ended { told: false } => {
                self.reading = Reading::Ended { told: true };
                return Poll::Ready(None);
            }
            // Some streams go on after their end, so a caller may poll again.
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
                // If it is the verdict, it is reported here.
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

    /// Returns the error that ends the stream now, if any. There is nothing to read.
    fn poll_end(
        &mut self,
        inner: Pin<&mut T>,
        fanout: &Fanout,
    ) -> Poll<Error<<T as TryStream>::Error>> {
        if let Err(error) = self.settle(inner, fanout, Found::All) {
            return Poll::Ready(error);
        }
        let Writing::Failed { report_at, .. } = self.writing else { return Poll::Pending };
        if self.pulse.now() < report_at {
            return Poll::Pending;
        }
        match core::mem::replace(&mut self.writing, Writing::Closed) {
            Writing::Failed { error, .. } => Poll::Ready(Error::Inner(error)),
            Writing::Open(_) | Writing::Closed => Poll::Pending,
        }
    }

    /// Reads ahead, writes what is due and checks the timeout. For a poll of the sink half that has
    /// to wait or comes after a deadline.
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
        while self.ahead.len() < self.max_ahead {
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
                Read::Nothing => return self.settle(inner, fanout, Found::All),
                Read::Paused => return Ok(()),
            }
        }
        self.settle(inner, fanout, Found::NoRoom(self.pulse.now()))
    }

    /// Checks the timeout after a read with the result `found`, and writes what is due.
    fn settle(
        &mut self,
        inner: Pin<&mut T>,
        fanout: &Fanout,
        found: Found,
    ) -> Result<(), Error<<T as TryStream>::Error>> {
        if let Some(last_byte) = &self.last_byte {
            self.pulse.handle_byte(last_byte.at());
        }
        let cx = &mut fanout.context();
        if let Some(verdict) = self.pulse.poll(cx, found) {
            self.reading = Reading::Dead { verdict, told: false };
            // The timer has woken both halves.
            self.close();
            return Err(Error::Dead(verdict));
        }
        self.write_what_is_due(inner, cx);
        Ok(())
    }

    /// Writes due beats and answers, also while items keep coming and this end never has to wait.
    fn write_what_is_due(&mut self, inner: Pin<&mut T>, cx: &mut Context<'_>) {
        let Writing::Open(outbox) = &mut self.writing else { return };
        if !self.pulse.beat_due() && !outbox.has_work() {
            return;
        }
        if let Err(error) = outbox.transmit(inner, &mut self.pulse, &mut self.beats, cx) {
            debug!("a beat could not be written");
            let report_at = self.pulse.look_again(self.pulse.now());
            self.writing = Writing::Failed { error, report_at };
        }
        // The next beat may be due before the timer fires, and a failure is reported soon.
        self.pulse.rearm(cx);
    }
}

/// The beats of this end.
#[derive(Debug)]
pub(super) struct Beats<B> {
    /// Defines what they look like.
    look: B,
    /// Nonce of the latest beat.
    nonce: u64,
    asked_at: Option<Instant>,
    rtt: Option<Duration>,
}

impl<B> Beats<B> {
    const fn new(look: B) -> Self {
        Self { look, nonce: 0, asked_at: None, rtt: None }
    }

    /// Makes the next beat.
    fn next<In>(&mut self) -> B::Out
    where
        B: Beat<In>,
    {
        self.nonce = self.nonce.wrapping_add(1);
        self.look.beat(self.nonce)
    }

    /// Makes a beat that is sent `now`, and starts measuring its round trip.
    pub(super) fn ask<In>(&mut self, now: Instant) -> B::Out
    where
        B: Beat<In>,
    {
        self.asked_at = Some(now);
        self.next()
    }

    /// Handles the nonce that an answer returned.
    fn handle_nonce(&mut self, nonce: Option<u64>, now: Instant) {
        if nonce == Some(self.nonce) {
            let away = self.asked_at.take().map(|at| now.saturating_since(at));
            self.rtt = away.or(self.rtt);
        }
    }
}

impl<T, B> fmt::Debug for State<T, B>
where
    T: TryStream,
    B: Beat<T::Ok> + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("beats", &self.beats)
            .field("pulse", &self.pulse)
            .field("reading", &self.reading)
            .field("ahead_len", &self.ahead.len())
            .finish_non_exhaustive()
    }
}
