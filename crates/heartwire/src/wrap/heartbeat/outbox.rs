//! What a wrapped stream writes of its own accord.

use core::pin::Pin;
use core::task::Context;
use std::collections::VecDeque;

use futures_core::stream::TryStream;
use futures_sink::Sink;
use heartwire_core::Instant;

use super::state::Beats;
use crate::wrap::beat::Beat;
use crate::wrap::pulse::Pulse;

/// Answers that can wait to be written. An answer proves life and carries nothing, so what a flood
/// asks beyond this is answered by the ones before it.
const MAX_ANSWERS_OWED: usize = 64;

/// What is to be written, and what was handed over and may not be on its way yet.
pub(super) struct Outbox<Out> {
    /// The application was told that there is room, and has not used it yet.
    reserved: bool,
    unflushed: Unflushed,
    /// Answers.
    owed: VecDeque<Out>,
}

/// What may not be on its way yet. Each one has what is above it in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unflushed {
    Nothing,
    /// Items, which the application will flush.
    Items,
    /// It is on us to flush them: the application may never do.
    OnUs,
    /// A beat is among it.
    Beat,
}

impl<Out> Default for Outbox<Out> {
    fn default() -> Self {
        Self { reserved: false, unflushed: Unflushed::Nothing, owed: VecDeque::new() }
    }
}

impl<Out> Outbox<Out> {
    /// The application may send an item now.
    pub(super) const fn handle_ready(&mut self) {
        self.reserved = true;
    }

    /// The application has sent an item.
    pub(super) fn handle_item(&mut self) {
        self.reserved = false;
        self.unflushed = self.unflushed.max(Unflushed::Items);
    }

    /// Everything is written, at `now`.
    pub(super) fn handle_flushed(&mut self, pulse: &mut Pulse, now: Instant) {
        self.note_what_is_on_its_way(pulse, now);
        self.unflushed = Unflushed::Nothing;
    }

    /// What was handed over, and is being written at `now`, may be a beat, or as good as one.
    fn note_what_is_on_its_way(&self, pulse: &mut Pulse, now: Instant) {
        match self.unflushed {
            Unflushed::Nothing => {}
            Unflushed::Items | Unflushed::OnUs => pulse.handle_sent(now),
            Unflushed::Beat => pulse.handle_beat_sent(now),
        }
    }

    /// Owes the peer an `answer`, unless too many wait already.
    pub(super) fn owe(&mut self, answer: impl FnOnce() -> Option<Out>) {
        if self.owed.len() < MAX_ANSWERS_OWED {
            self.owed.extend(answer());
        }
    }

    /// Whether something waits that this end has to write.
    pub(super) fn has_work(&self) -> bool {
        self.unflushed >= Unflushed::OnUs || !self.owed.is_empty()
    }

    /// Writes the answers and beats that are due, as far as there is room.
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
            // What waits may be as good as another beat: then it is written instead.
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
