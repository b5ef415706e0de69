//! What a driver does next: deadlines, verdicts and beats.

use core::time::Duration;

use super::dialogue::Dialogue;
use super::{Connection, Stage, Transmit};
use crate::frame;
use crate::liveness::{Cause, Verdict};
use crate::order::{Found, Next, Outbound, Over, ReadFirst};
use crate::pause::Pause;
use crate::policy::{Bound, Millis};
use crate::resume::Ledger;
use crate::time::Instant;

impl Connection {
    /// What to do next, at `now`, with `outbound` waiting to be written. A driver asks whenever it
    /// wakes, after it has handed over what arrived, and again after it has queued what it was told
    /// to write, until it is told to sleep. See [`order`](crate::order).
    ///
    /// Early and repeated calls do no harm.
    pub fn poll(&mut self, now: Instant, outbound: Outbound) -> Next {
        let until = self.poll_timeout();
        let is_early = until.is_none_or(|until| now < until);
        if is_early && outbound == Outbound::Clear && !self.has_to_write() {
            return Next::SleepUntil(until);
        }
        if self.is_over(now) || self.tells_silence(now, outbound) {
            return Next::ReadFirst(ReadFirst { now, outbound });
        }
        self.write(now, outbound)
    }

    /// Continues after the read that [`Next::ReadFirst`] demands: gives the verdict if it is still
    /// due. `found` is the result of that read, `pause` the last pause of this process: a driver
    /// may pass the same one each time, because pauses before the peer's last byte change nothing.
    /// The time is that of [`poll`](Self::poll).
    pub fn judge(&mut self, read: ReadFirst, found: Found, pause: Option<Pause>) -> Next {
        match found {
            Found::NoRoom(at) => self.handle_backpressure(at),
            // Only the silence: what the bytes say is known when they are read.
            Found::Unread(at) => self.clocks.handle_heard(at),
            Found::All | Found::More => {}
        }
        if let Some(pause) = pause {
            self.handle_pause(pause);
        }
        let ReadFirst { now, outbound } = read;
        let has_to_read = match found {
            Found::All | Found::NoRoom(_) => false,
            Found::More => self.is_over(now),
            // With a full socket there is no next beat, at which it would look again.
            Found::Unread(_) => {
                outbound == Outbound::Blocked
                    || self.is_over(now)
                    || self.has_to_read_before_next_beat(now)
            }
        };
        if has_to_read {
            return Next::ReadFirst(read);
        }
        match self.verdict(now) {
            Some(over) => Next::Over(over),
            None => self.write(now, outbound),
        }
    }

    /// Whether a beat of v1 is to be written now, which tells the peer how long it has been silent.
    /// Bytes in the socket may make that shorter.
    fn tells_silence(&self, now: Instant, outbound: Outbound) -> bool {
        let is_due = (self.beat_due() && outbound != Outbound::Blocked)
            || self.clocks.is_beat_time(&self.pace(), now);
        is_due && self.stage.dialogue().is_some() && now.millis_since(self.clocks.last_heard()) > 0
    }

    /// The beats and answers that are due and can be written; then sleep.
    fn write(&mut self, now: Instant, outbound: Outbound) -> Next {
        self.clocks.handle_beat_time(&self.pace(), now);
        if outbound != Outbound::Clear {
            self.handle_sent(now);
        }
        let writes = !self.has_ended()
            && match outbound {
                Outbound::Clear => self.stage.take_answer() || self.beat_due(),
                Outbound::Waiting => self.beat_due(),
                Outbound::Blocked => false,
            };
        if writes {
            return Next::Write(self.beat(now, outbound));
        }
        if self.ack_due() && outbound != Outbound::Blocked {
            if let Some(ledger) = self.ledger_mut() {
                return Next::Write(Transmit::ack(ledger.tell()));
            }
        }
        Next::SleepUntil(self.poll_timeout())
    }

    /// The verdict or violation that ends this connection, if it is due.
    fn verdict(&mut self, now: Instant) -> Option<Over> {
        if self.has_ended() {
            return None;
        }
        let is_slow =
            self.stage.deadline(&self.rules.limits).is_some_and(|deadline| now >= deadline);
        if let Some(violation) = self.stage.too_slow(now).filter(|_| is_slow) {
            self.clocks.end();
            return Some(Over::Broken(violation));
        }
        let tick = Duration::from_millis(u64::from(self.rules.tick_ms));
        let verdict = self.clocks.verdict(&self.policy(), now, tick);
        verdict.or_else(|| self.call_unheard(now, tick)).map(Over::Dead)
    }

    /// Something other than the bytes from [`poll`](Self::poll) was written at `at`. It replaces a
    /// beat if this end has a timeout and the peer was heard, or sent a beat, within the beat
    /// interval. Otherwise it does not: a peer may only answer beats, and the peer of an end
    /// without a timeout may count only beats.
    ///
    /// On v1 it changes nothing: data does not carry what beats do, so it does not replace them.
    pub fn handle_sent(&mut self, at: Instant) {
        if self.stage.dialogue().is_none() {
            self.clocks.handle_sent(&self.policy(), at);
        }
    }

    /// A beat from a [`poll`](Self::poll) with [`Outbound::Waiting`] was written at `at`. What it
    /// promises on v1 is in force from then on: the peer could not know of it before. Do not call
    /// this for a beat that a later one replaced.
    pub fn handle_beat_written(&mut self, beat: &Transmit, at: Instant) {
        if let Some((dialogue, beat)) = self.stage.dialogue_mut().zip(beat.as_beat()) {
            dialogue.handle_written(&beat, at);
        }
    }

    /// This process was paused, and may not have heard what the peer sent. The silence restarts
    /// (three times at most), and so does the frame timeout.
    pub(super) fn handle_pause(&mut self, pause: Pause) {
        self.clocks.handle_pause(pause);
        self.stage.restart(pause.resumed_at);
        if let Some(dialogue) = self.stage.dialogue_mut() {
            dialogue.handle_pause(pause.resumed_at);
        }
    }

    /// Bytes of the peer wait that this end has no room for, because its application is slow.
    /// Backpressure is not death: they count as life, and the frame timeout restarts.
    pub(super) fn handle_backpressure(&mut self, now: Instant) {
        self.clocks.handle_heard(now);
        self.stage.restart(now);
        if let Some(dialogue) = self.stage.dialogue_mut() {
            // Its newer beats are among those bytes.
            dialogue.handle_pause(now);
        }
    }

    /// When to [`poll`](Self::poll) next, if nothing comes; `None` if there is no deadline.
    ///
    /// It moves later as bytes come and go, so a driver may leave its timer alone and ask again
    /// when it fires. It can move *earlier* only: after [`handle_received`](Self::handle_received)
    /// left bytes over, took what had been left, or returned
    /// [`Event::Promise`](crate::Event::Promise) or [`Event::Welcome`](crate::Event::Welcome);
    /// after [`welcome`](Self::welcome) and [`promise`](Self::promise); after
    /// [`handle_sent`](Self::handle_sent) replaced a beat that waited; and after `poll` and
    /// [`judge`](Self::judge), which return the new time. A beat that waits to be written is no
    /// deadline any more: the one after it is.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_ended() {
            return None;
        }
        [
            self.clocks.poll_timeout(&self.pace()),
            self.stage.deadline(&self.rules.limits),
            self.unheard_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the verdict is due, if nothing more comes from the peer.
    #[must_use]
    #[doc(hidden)]
    pub fn verdict_at(&self) -> Option<Instant> {
        self.clocks.verdict_at(&self.policy()).into_iter().chain(self.unheard_at()).min()
    }

    fn unheard_at(&self) -> Option<Instant> {
        self.stage.dialogue()?.unheard_at()
    }

    /// Whether an unread beat of the peer may say that it does not hear this end, so that the
    /// verdict is due before this end looks again.
    fn has_to_read_before_next_beat(&self, now: Instant) -> bool {
        let next = now.plus_millis(self.policy().interval.map_or(0, Millis::get));
        let dialogue = self.stage.dialogue();
        dialogue.and_then(Dialogue::unheard_by).is_some_and(|at| next >= at)
    }

    /// Whether a verdict is due, as far as is known before a read.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        !self.has_ended()
            && (passed(self.clocks.verdict_at(&self.policy()))
                || passed(self.stage.deadline(&self.rules.limits))
                || passed(self.unheard_at()))
    }

    /// The verdict that the path to the peer is cut, if it is due.
    fn call_unheard(&mut self, now: Instant, tick: Duration) -> Option<Verdict> {
        let dialogue = self.stage.dialogue()?;
        let deadline = self.unheard_at().filter(|&deadline| now >= deadline)?;
        let heard_at = dialogue.heard_by_peer_at();
        let timeout = deadline.saturating_since(heard_at);
        self.clocks.end();
        let late = now.saturating_since(deadline);
        Some(Verdict {
            cause: Cause::Unheard,
            silence: now.saturating_since(heard_at),
            bound: Some(Bound { earliest: timeout, latest: timeout.saturating_add(tick) }),
            paused: Verdict::beyond(late, tick),
            late,
        })
    }

    /// Makes a beat due at once. A client calls it at the start, so that its server knows early.
    /// Does nothing on an end that echoes: if the other end echoed too, they would answer each
    /// other forever.
    pub fn beat_now(&mut self) {
        if self.policy().echo() {
            return;
        }
        match self.stage {
            Stage::V0 { .. } | Stage::V1(_) | Stage::Opening { v0: true, .. } => {
                self.clocks.beat_now();
            }
            Stage::Raw
            | Stage::Opening { v0: false, .. }
            | Stage::Deciding { .. }
            | Stage::Awaiting(_)
            | Stage::V1Rest(_) => {}
        }
    }

    /// Whether an answer is owed, or a beat waits to be written, which
    /// [`poll_timeout`](Self::poll_timeout) does not include. Cheaper than [`poll`](Self::poll),
    /// for a driver that has only read.
    #[must_use]
    #[doc(hidden)]
    pub fn has_to_write(&self) -> bool {
        self.stage.owes_answer() || self.beat_due() || self.ack_due()
    }

    fn beat_due(&self) -> bool {
        self.clocks.beat_due() && !matches!(self.stage, Stage::Deciding { .. })
    }

    fn ack_due(&self) -> bool {
        self.stage.dialogue().is_some_and(Dialogue::ack_due) && !self.has_ended()
    }

    /// A beat, which counts as sent. Its promise is in force if nothing is in front of it.
    fn beat(&mut self, now: Instant, outbound: Outbound) -> Transmit {
        let due_at = self.clocks.beat_due_at(&self.policy());
        self.clocks.handle_beat_sent(now);
        let Some(dialogue) = self.stage.dialogue_mut() else {
            return Transmit::header(frame::BEAT);
        };
        let (beat, is_news) = dialogue.beat(&self.clocks, due_at, now);
        if outbound == Outbound::Clear {
            dialogue.handle_written(&beat, now);
        }
        let taken = dialogue.ledger.as_deref_mut().map(Ledger::tell);
        Transmit::beat(&beat, taken, is_news)
    }
}
