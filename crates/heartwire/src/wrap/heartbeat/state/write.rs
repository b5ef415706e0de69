//! What a wrapped stream writes of its own accord.

use core::pin::Pin;
use core::task::Context;

use futures_core::stream::TryStream;
use futures_sink::Sink;
use heartwire_core::Instant;
use tracing::debug;

use super::{State, Writing};
use crate::wrap::beat::Beat;

impl<T, B> State<T, B>
where
    T: TryStream + Sink<B::Out, Error = <T as TryStream>::Error>,
    B: Beat<T::Ok>,
{
    /// Beats and answers go out while items keep coming and this end never has to wait, too.
    pub(super) fn write_what_is_due(&mut self, inner: Pin<&mut T>, cx: &mut Context<'_>) {
        if self.pulse.beat_due() || self.flushing || !self.owed.is_empty() {
            self.transmit_or_fail(inner, cx);
            // The next beat may be due before the timer fires, and a failure is looked at soon.
            self.pulse.rearm(cx);
        }
    }

    fn transmit_or_fail(&mut self, inner: Pin<&mut T>, cx: &mut Context<'_>) {
        if !matches!(self.writing, Writing::Open) {
            return;
        }
        if let Err(error) = self.transmit(inner, cx) {
            debug!("a beat could not be written");
            self.close();
            let report_at = self.pulse.look_again(self.pulse.now());
            self.writing = Writing::Failed { error, report_at };
        }
    }

    /// Writes the answers and beats that are due, as far as there is room.
    fn transmit(
        &mut self,
        mut inner: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Result<(), <T as TryStream>::Error> {
        let now = self.pulse.now();
        if self.pulse.beat_due() {
            // What waits may be as good as another beat: then it is written instead.
            self.note_what_is_on_its_way(now);
            self.flushing |= self.unflushed;
        }
        loop {
            let beat_due = self.pulse.beat_due();
            if self.reserved || (self.owed.is_empty() && !beat_due) {
                break;
            }
            if Sink::<B::Out>::poll_ready(inner.as_mut(), cx)?.is_pending() {
                break;
            }
            self.start_send_next(inner.as_mut(), now)?;
            self.unflushed = true;
            self.flushing = true;
        }
        if self.flushing && Sink::<B::Out>::poll_flush(inner, cx)?.is_ready() {
            self.handle_flushed();
        }
        Ok(())
    }

    /// Hands over an answer, or else a beat.
    fn start_send_next(
        &mut self,
        inner: Pin<&mut T>,
        now: Instant,
    ) -> Result<(), <T as TryStream>::Error> {
        if let Some(answer) = self.owed.pop_front() {
            inner.start_send(answer)?;
            self.pulse.handle_sent(now);
        } else {
            self.asked_at = Some(now);
            inner.start_send(self.next_beat())?;
            self.pulse.handle_beat_sent(now);
            self.beat_unflushed = true;
        }
        Ok(())
    }
}
