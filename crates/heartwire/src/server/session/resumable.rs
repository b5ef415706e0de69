//! What a session that can be resumed has besides: positions, kept data, and its time away.

use core::net::IpAddr;
use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::frame::END;
use heartwire_core::internal::Gcra;
use heartwire_core::resume::{self, Ledger, Position};
use heartwire_core::v1::ResumeOffer;
use heartwire_core::{Boxed, Instant, Violation};

use super::{Extra, Phase, Session, Standing};
use crate::server::admission::addresses::Entered;
use crate::server::inbox::{Inbox, Kept};
use crate::server::link::{Cut, Link};
use crate::server::outbound::Outbound;
use crate::server::sender::Room;
use crate::undelivered::{Replayed, Undelivered};
use crate::world::Socket;

/// Fields that are all empty while such a session is idle.
#[derive(Debug, Default)]
pub(super) struct Resumable {
    away: Option<Box<Away>>,
    /// Data that waits for room in the application.
    pub(super) inbox: Inbox,
    /// Data of a [`Sender`](crate::server::Sender) that waits for room in the window.
    waiting: Waiting,
    /// In milliseconds, if it is shorter than the server's.
    grace_ms: Option<NonZeroU32>,
    /// The application waits for room.
    wants_room: bool,
    /// The application has disconnected the client, which must not come back.
    is_banned: bool,
    /// The client has said up to where it has taken over everything, as its last word.
    has_final_word: bool,
    /// Since it was resumed, until that matters no more.
    resumes: Option<Resumes>,
}

/// The recent resumes of a session.
#[derive(Clone, Copy, Debug)]
struct Resumes {
    /// When their bucket is full.
    full_at: Instant,
    /// How many frames had been taken over at the last one.
    carried: u64,
}

impl Resumable {
    /// Memory allocated for data that waits, either way.
    pub(super) fn kept_len(&self) -> usize {
        let waiting = self.waiting.frames.iter().map(|(data, _)| data.capacity()).sum::<usize>();
        self.inbox.capacity() + waiting
    }

    pub(super) fn is_idle(&self) -> bool {
        self.away.is_none()
            && self.inbox.is_empty()
            && self.waiting.frames.is_empty()
            && self.grace_ms.is_none()
            && self.resumes.is_none()
            && !(self.wants_room || self.has_final_word || self.is_banned)
    }
}

/// Frames that wait for room in the window, in order.
#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(Vec<u8>, Room)>,
    /// This end's END follows.
    has_end: bool,
}

/// The session has ended.
impl Drop for Waiting {
    fn drop(&mut self) {
        self.frames.iter().for_each(|(_, room)| room.close());
    }
}

/// The state of a session without a link.
#[derive(Debug)]
pub(in crate::server) struct Away {
    ledger: Boxed<Ledger>,
    pub(in crate::server) since: Instant,
    pub(in crate::server) until: Instant,
    /// How much of the log was written.
    written: usize,
    /// Its place among those of its address that are away, where its client was.
    place: Option<(IpAddr, Entered)>,
}

impl<S: Socket> Session<S> {
    pub(in crate::server) fn ledger(&self) -> Option<&Ledger> {
        if self.link_number == 0 {
            return None;
        }
        self.away().map(|away| &*away.ledger).or_else(|| self.link.connection.ledger())
    }

    pub(in crate::server) fn ledger_mut(&mut self) -> Option<&mut Ledger> {
        if self.link_number == 0 {
            return None;
        }
        let Self { extra, link, .. } = self;
        let own = extra.as_mut().and_then(|extra| extra.resumable.as_mut());
        let away = own.and_then(|own| own.away.as_mut());
        away.map(|away| &mut *away.ledger).or_else(|| link.connection.ledger_mut())
    }

    /// Whether the session outlives its link.
    pub(in crate::server) fn is_resumable(&self) -> bool {
        self.ledger().is_some()
    }

    fn resumable(&self) -> Option<&Resumable> {
        self.extra.as_ref()?.resumable.as_deref()
    }

    fn resumable_mut(&mut self) -> &mut Resumable {
        self.extra.get_or_insert_default().resumable.get_or_insert_default()
    }

    /// Makes it a session that can be resumed, with its first link.
    pub(in crate::server) fn make_resumable(&mut self, agreed: &ResumeOffer, longest: Duration) {
        let ledger = Ledger::new(agreed.to_client, agreed.to_server);
        self.link.connection.attach(Boxed::new(ledger));
        self.link_number = 1;
        if agreed.grace < longest {
            let ms = u32::try_from(agreed.grace.as_millis()).unwrap_or(u32::MAX).max(1);
            self.resumable_mut().grace_ms = NonZeroU32::new(ms);
        }
    }

    /// How long it waits for its client; `longest` unless the client wanted less.
    pub(in crate::server) fn grace(&self, longest: Duration) -> Duration {
        let own = self.resumable().and_then(|resumable| resumable.grace_ms);
        own.map_or(longest, |ms| Duration::from_millis(ms.get().into()))
    }

    /// Handles the loss of the link. Returns whether the session goes on without it: only if the
    /// client surely has the key to come back.
    pub(in crate::server) fn lose_link(&mut self) -> bool {
        let goes_on = self.phase == Phase::Live(Standing::Online)
            && self.beats > 0
            && self.is_resumable()
            // Otherwise there is nothing to come back for.
            && !self.ledger().is_some_and(Ledger::is_done);
        if goes_on {
            self.phase = Phase::Live(Standing::Away);
        }
        goes_on
    }

    /// Whether its link is lost.
    pub(in crate::server) fn is_away(&self) -> bool {
        self.phase == Phase::Live(Standing::Away)
    }

    /// Whether its link is lost, and was not [cut](Self::park).
    pub(in crate::server) fn has_lost_link(&self) -> bool {
        self.is_away() && self.away().is_none()
    }

    /// Cuts the lost link, whose socket is to be closed. From `now` on the session waits for its
    /// client, in a `place` among those that are away.
    pub(in crate::server) fn park(
        &mut self,
        now: Instant,
        grace: Duration,
        place: Entered,
    ) -> Option<Cut<S>> {
        let ledger = self.link.connection.detach()?;
        let extra = self.extra.get_or_insert_default();
        let written = extra.outbound.written();
        extra.outbound.rewind(0);
        let until = now.saturating_add(grace);
        let place = Some((self.link.peer().ip(), place));
        let away = Box::new(Away { ledger, since: now, until, written, place });
        extra.resumable.get_or_insert_default().away = Some(away);
        self.link.cut()
    }

    pub(in crate::server) fn away(&self) -> Option<&Away> {
        self.resumable()?.away.as_deref()
    }

    /// Takes its place among the sessions that are away, which it is no more.
    pub(in crate::server) fn leave_away(&mut self) -> Option<(IpAddr, Entered)> {
        self.extra.as_mut()?.resumable.as_mut()?.away.as_mut()?.place.take()
    }

    /// Lets it wait for its client until then.
    pub(in crate::server) fn wait_until(&mut self, until: Instant) {
        if let Some(away) = &mut self.resumable_mut().away {
            away.until = until;
        }
    }

    /// The bytes of the log that need not be written again to a client that has received all up to
    /// `received`. `off`: so many frames more, or less, for the simulator.
    pub(in crate::server) fn resume_at(
        &self,
        received: Position,
        off: isize,
    ) -> Result<usize, Violation> {
        let none = Outbound::default();
        let outbound = self.extra.as_ref().map_or(&none, |extra| &extra.outbound);
        let resumed = self.ledger().map(|ledger| ledger.resume_at(received, outbound.frame_lens()));
        let count = resumed.transpose()?.unwrap_or(0).saturating_add_signed(off);
        Ok(outbound.frame_lens().take(count).sum())
    }

    /// Counts a resume against `rate`, unless the session has carried something since the last one:
    /// two clients that keep taking the session from each other carry nothing. If it is one too
    /// many, returns the time until the next one may come.
    pub(in crate::server) fn admit_resume(
        &mut self,
        rate: Gcra,
        now: Instant,
    ) -> Result<(), Duration> {
        let carried = self.ledger().map_or(0, Ledger::carried);
        let last = self.resumable().and_then(|own| own.resumes);
        let full_at = match last.unwrap_or(Resumes { full_at: now, carried }) {
            last if last.carried == carried => rate.take(last.full_at, now)?,
            last => last.full_at,
        };
        self.resumable_mut().resumes = Some(Resumes { full_at, carried });
        Ok(())
    }

    /// Forgets earlier resumes that do not matter any more.
    pub(in crate::server) fn forget_resumes(&mut self, now: Instant) {
        let own = self.extra.as_mut().and_then(|extra| extra.resumable.as_mut());
        if let Some(own) = own {
            own.resumes = own.resumes.filter(|resumes| resumes.full_at > now);
        }
    }

    /// Gives it another link, on which the log is written again but for its first `skip` bytes.
    /// Returns the old link, and what is written again. The ledger still has to be attached.
    pub(in crate::server) fn change_link(
        &mut self,
        link: Link<S>,
        skip: usize,
    ) -> (Link<S>, Option<Boxed<Ledger>>, Replayed) {
        let mut old = core::mem::replace(&mut self.link, link);
        let Self { extra, phase, .. } = self;
        let mut ledger = old.connection.detach();
        let mut replayed = Replayed::default();
        if let Some(Extra { outbound, resumable, .. }) = extra.as_deref_mut() {
            let mut written = outbound.written();
            if let Some(away) = resumable.as_mut().and_then(|own| own.away.take()) {
                (ledger, written) = (Some(away.ledger), away.written);
            }
            (replayed.frames, replayed.bytes) = outbound.messages(skip, written);
            outbound.rewind(skip);
        }
        *phase = Phase::Live(Standing::Online);
        (old, ledger, replayed)
    }

    /// Frees what the client has taken over, as far as it has said so, and queues what has waited
    /// for the room. Returns whether the application, which waited for it, has some again.
    pub(in crate::server) fn settle(&mut self) -> Result<bool, Violation> {
        let Self { extra, link, .. } = self;
        let Some(ledger) = link.connection.ledger_mut() else { return Ok(false) };
        let Some(extra) = extra else {
            ledger.settle([])?;
            return Ok(false);
        };
        let Extra { outbound, resumable, .. } = &mut **extra;
        let count = ledger.settle(outbound.frame_lens())?;
        if count == 0 {
            return Ok(false);
        }
        let len = outbound.frame_lens().take(count).sum();
        outbound.release(len);
        // Half of the window, so that the application does not come for each frame, and that each
        // frame fits.
        let mut has_room = false;
        if let Some(own) = resumable {
            let is_half_free = ledger.room() >= ledger.longest_frame();
            while let Some((frame, _)) = own.waiting.frames.front().filter(|_| is_half_free) {
                if !ledger.queue(frame_len(frame.len())) {
                    break;
                }
                outbound.push(frame);
                own.waiting.frames.pop_front();
            }
            let all_have_room = own.waiting.frames.is_empty();
            has_room = own.wants_room && all_have_room && is_half_free;
            own.wants_room &= !has_room;
            if own.waiting.has_end && all_have_room && ledger.queue_end() {
                own.waiting.has_end = false;
                outbound.push(&END);
            }
        }
        self.drop_empty();
        Ok(has_room)
    }

    /// Counts a data frame of `len` bytes before it is queued. False if the window has no room for
    /// it: the application is told when it has.
    #[must_use]
    pub(in crate::server) fn count_queued(&mut self, len: usize) -> bool {
        let len = frame_len(len);
        let fits = self.ledger_mut().is_none_or(|ledger| ledger.queue(len));
        if !fits {
            self.resumable_mut().wants_room = true;
        }
        fits
    }

    /// Whether data of a sender waits for room.
    pub(in crate::server) fn has_waiting(&self) -> bool {
        self.resumable().is_some_and(|own| !own.waiting.frames.is_empty())
    }

    /// Keeps a sender's frame until the window has room.
    pub(in crate::server) fn keep_waiting(&mut self, frame: Vec<u8>, room: Room) {
        let own = self.resumable_mut();
        own.wants_room = false;
        own.waiting.frames.push_back((frame, room));
    }

    /// Drops the data of senders that waits for room, and tells them that the session has ended.
    pub(in crate::server) fn drop_waiting(&mut self) {
        if let Some(own) = self.extra.as_mut().and_then(|extra| extra.resumable.as_mut()) {
            own.waiting = Waiting::default();
        }
    }

    /// Whether the application has said that it sends no more.
    pub(in crate::server) fn has_ended_sending(&self) -> bool {
        self.ledger().is_some_and(Ledger::has_ended)
            || self.resumable().is_some_and(|own| own.waiting.has_end)
    }

    /// Queues this end's END, after data that waits for room. Returns false if there is one
    /// already.
    #[must_use]
    pub(in crate::server) fn queue_end(&mut self) -> bool {
        if self.has_ended_sending() {
            return false;
        }
        if self.has_waiting() {
            self.resumable_mut().waiting.has_end = true;
            return true;
        }
        let ends = self.ledger_mut().is_some_and(Ledger::queue_end);
        if ends {
            self.queue(&END);
        }
        ends
    }

    /// Data that waits for room in the application.
    pub(in crate::server) fn has_kept(&self) -> bool {
        self.resumable().is_some_and(|resumable| !resumable.inbox.is_empty())
    }

    /// Keeps data, or the client's END, until the application has room.
    pub(in crate::server) fn keep(&mut self, data: Option<&[u8]>) {
        let inbox = &mut self.resumable_mut().inbox;
        match data {
            Some(data) => inbox.push(data),
            None => inbox.push_end(),
        }
    }

    pub(in crate::server) fn next_kept(&mut self) -> Option<Kept> {
        let kept = self.extra.as_mut()?.resumable.as_mut()?.inbox.pop();
        self.drop_empty();
        kept
    }

    /// The position of everything that the application has, or will have before it is told of the
    /// session's end.
    pub(in crate::server) fn final_position(&self) -> Option<Position> {
        let Position { frames, bytes } = self.ledger()?.received();
        let kept = self.resumable().map_or_else(Position::default, |own| own.inbox.position());
        let (frames, bytes) =
            (frames.saturating_sub(kept.frames), bytes.saturating_sub(kept.bytes));
        Some(Position { frames, bytes })
    }

    /// The client's last word was a BYE, which said what it has taken over, or did not.
    pub(in crate::server) fn handle_final_word(&mut self, has_position: bool) {
        if has_position && self.is_resumable() {
            self.resumable_mut().has_final_word = true;
        }
    }

    /// Lets no client come back to it.
    pub(in crate::server) fn ban(&mut self) {
        if self.is_resumable() {
            self.resumable_mut().is_banned = true;
        }
    }

    pub(in crate::server) fn is_banned(&self) -> bool {
        self.resumable().is_some_and(|own| own.is_banned)
    }

    /// What the client is not known to have taken over, at the end of the session.
    pub(in crate::server) fn undelivered(&self) -> Undelivered {
        let Some(ledger) = self.ledger() else { return Undelivered::NOTHING };
        let resume::Undelivered { frames, bytes } = ledger.undelivered();
        let has_final_word = self.resumable().is_some_and(|resumable| resumable.has_final_word);
        // What was never written was not received.
        let is_unwritten = self.away().is_some() && !ledger.has_unacknowledged();
        Undelivered { frames, bytes, exact: frames == 0 || has_final_word || is_unwritten }
    }
}

fn frame_len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
