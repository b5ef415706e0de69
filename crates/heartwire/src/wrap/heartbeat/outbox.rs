//! Beats and answers that a wrapped stream writes.

use core::pin::Pin;
use core::task::Context;
use std::collections::VecDeque;

use futures_core::stream::TryStream;
use futures_sink::Sink;
use heartwire_core::Instant;

use super::state::Beats;
use crate::wrap::beat::Beat;
use crate::wrap::pulse::Pulse;

/// Maximum number of answers that wait to be written. An answer only proves life, so a flood of
/// pings gets no more answers than this.
const MAX_ANSWERS_OWED: usize = 64;

/// Answers to write, and the state of items that may not be flushed yet.
pub(super) struct Outbox<Out> {
    /// `poll_ready` has returned ready, and the application has not sent its item yet.
    reserved: bool,
    unflushed: Unflushed,
    /// Answers to write.
    owed: VecDeque<Out>,
}

/// What may not be flushed yet. Each variant includes those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unflushed {
    Nothing,
    /// Items that the application will flush.
    Items,
    /// Items that the wrapper has to flush, because the application may never do so.
    OnUs,
    /// A beat is among them.
    Beat,
}

impl<Out> Default for Outbox<Out> {
    fn default() -> Self {
        Self { reserved: false, unflushed: Unflushed::Nothing, owed: VecDeque::new() }
    }
}

impl<Out> Outbox<Out> {
    /// The application may send an item now: `poll_ready` has returned ready.
    pub(super) const fn handle_ready(&mut self) {
        self.reserved = true;
    }

    /// The application sent an item.
    pub(super) fn handle_item(&mut self) {
        self.reserved = false;
        self.unflushed = self.unflushed.max(Unflushed::Items);
    }

    /// Everything was flushed at `now`.
    pub(super) fn handle_flushed(&mut self, pulse: &mut Pulse, now: Instant) {
        self.note_what_is_on_its_way(pulse, now);
        self.unflushed = Unflushed::Nothing;
    }

    /// Counts what is being written at `now` as data or as a beat.
    fn note_what_is_on_its_way(&self, pulse: &mut Pulse, now: Instant) {
        match self.unflushed {
            Unflushed::Nothing => {}
            Unflushed::Items | Unflushed::OnUs => pulse.handle_sent(now),
            Unflushed::Beat => pulse.handle_beat_sent(now),
        }
    }

    /// Queues an `answer`, unless too many wait already.
    pub(super) fn owe(&mut self, answer: impl FnOnce() -> Option<Out>) {
        if self.owed.len() < MAX_ANSWERS_OWED {
            self.owed.extend(answer());
        }
    }

    /// Whether the wrapper itself has something to write or flush.
    pub(super) fn has_work(&self) -> bool {
        self.unflushed >= Unflushed::OnUs || !self.owed.is_empty()
    }

    /// Writes due answers and beats while there is room.
    pub(super) fn transmit<T, B>(
        &mut self,
        mut inner: Pin<&mut T>,
        pulse: &mut Pulse,
        beats: &mut Beats<B>,
        cx: &mut Context<'_>,
    ) -> Result<(), <T as TryStream>::Error>
    where
        T: TryStream + Sink<Out, Error = <T as TryStream>::Error>,
        B: Beat<T::Ok, Out = Out>,
    {
        let now = pulse.now();
        if pulse.beat_due() && self.unflushed > Unflushed::Nothing {
            // Waiting items may replace the beat: then they are flushed instead.
            self.note_what_is_on_its_way(pulse, now);
            self.unflushed = self.unflushed.max(Unflushed::OnUs);
        }
        while !self.reserved && (pulse.beat_due() || !self.owed.is_empty()) {
            if inner.as_mut().poll_ready(cx)?.is_pending() {
                break;
            }
            if let Some(answer) = self.owed.pop_front() {
                inner.as_mut().start_send(answer)?;
                pulse.handle_sent(now);
                self.unflushed = self.unflushed.max(Unflushed::OnUs);
            } else {
                inner.as_mut().start_send(beats.ask(now))?;
                pulse.handle_beat_sent(now);
                self.unflushed = Unflushed::Beat;
            }
        }
        if self.unflushed >= Unflushed::OnUs && inner.poll_flush(cx)?.is_ready() {
            self.handle_flushed(pulse, pulse.now());
        }
        Ok(())
    }
}
