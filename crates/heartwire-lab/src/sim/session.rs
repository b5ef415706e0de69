//! A session that outlives its links, and what is promised about it.
//!
//! The other observers look at one link at a time. This one counts over all links of a session what
//! the applications at both ends sent, got, and were told.

mod way;

use core::time::Duration;

use heartwire::{Reason, Undelivered};
use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Position;
use heartwire_core::v1::ResumeOffer;
use heartwire_core::{Instant, Side, Violation};

use self::way::Way;
use super::breach::{Breach, Invariant};
use super::ledger::len_of;
use super::link::{Body, Both, LinkId, other};
use super::queue::HostId;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    /// Its id, and in which run of the server.
    pub(super) id: (u64, u64),
    pub(super) client: HostId,
    /// The links that the server has accepted for it, and when it did the newest.
    pub(super) links: Vec<LinkId>,
    pub(super) since: Instant,
    /// The server has heard a beat in it.
    pub(super) has_begun: bool,
    /// The client's process has read that the server accepted it.
    pub(super) is_the_clients: bool,
    /// What both ends have agreed on.
    agreed: ResumeOffer,
    /// How much earlier or later than it is told a thing may have happened.
    slack: Duration,
    /// Each by the side that sends.
    ways: Both<Way>,
    /// Each by the side whose application or process it is; and how much earlier than the grace the
    /// process gave the session up.
    told: Both<Told>,
    away: Both<Option<Away>>,
    gave_up: Both<Option<Duration>>,
}

/// What an application was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Online,
    Away,
    Over,
    /// Its process is gone, and everything that it knew.
    Forgotten,
}

/// How long a process has been without a link.
#[derive(Clone, Copy, Debug)]
struct Away {
    since: Instant,
    /// When it is given up at the latest.
    until: Instant,
}

/// Messages that a client had accepted and that were never written whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unwritten {
    pub(super) messages: usize,
    /// Their bytes, if these are known.
    pub(super) bytes: Option<u64>,
}

impl Unwritten {
    pub(super) const NONE: Self = Self { messages: 0, bytes: Some(0) };
}

impl Session {
    pub(super) fn new(
        id: (u64, u64),
        client: HostId,
        agreed: ResumeOffer,
        slack: Duration,
        now: Instant,
    ) -> Self {
        let (ways, told, away, gave_up) =
            (Both::default(), Both::default(), Both::default(), Both::default());
        let (links, since, has_begun, is_the_clients) = (Vec::new(), now, false, false);
        Self {
            id,
            client,
            links,
            since,
            has_begun,
            is_the_clients,
            agreed,
            slack,
            ways,
            told,
            away,
            gave_up,
        }
    }

    const fn window(&self, sender: Side) -> u32 {
        match sender {
            Side::Client => self.agreed.to_server,
            Side::Server => self.agreed.to_client,
        }
    }

    /// The longest message in it.
    pub(super) fn longest(&self, sender: Side) -> usize {
        let longest = usize::try_from(self.window(sender) / 2).unwrap_or(usize::MAX);
        longest.saturating_sub(HEADER_LEN)
    }

    /// Whether an application knows of it, and that it goes on.
    pub(super) const fn is_known(&self, side: Side) -> bool {
        matches!(self.told.of(side), Told::Online | Told::Away)
    }

    /// Whether its application was told last that it is away.
    pub(super) const fn is_told_away(&self, side: Side) -> bool {
        matches!(self.told.of(side), Told::Away)
    }

    /// Whether data in it may wait for the client's application, which has not been told its end.
    pub(super) fn may_wait_for_its_client(&self) -> bool {
        let is_over = matches!(self.told.client, Told::Over | Told::Forgotten);
        let Way { bodies, delivered, .. } = &self.ways.server;
        self.is_the_clients && !is_over && bodies.len() > *delivered
    }

    /// Whether neither end knows of it any more.
    pub(super) fn is_over(&self) -> bool {
        let is_over = |side| matches!(self.told.of(side), Told::Over | Told::Forgotten);
        is_over(Side::Client) && is_over(Side::Server)
    }

    /// The process of an end is gone, and everything that it knew.
    pub(super) const fn forget(&mut self, side: Side) {
        *self.told.of_mut(side) = Told::Forgotten;
        *self.away.of_mut(side) = None;
    }

    // Messages.

    /// Where the content of the next message begins.
    pub(super) fn next_at(&self, sender: Side) -> u64 {
        self.ways.of(sender).ends.last().copied().unwrap_or_default()
    }

    /// Bytes that the application may send, as far as the process knows.
    pub(super) fn room(&self, sender: Side) -> usize {
        let way = self.ways.of(sender);
        let kept = way.position(way.bodies.len()).bytes.saturating_sub(way.known.bytes);
        usize::try_from(u64::from(self.window(sender)).saturating_sub(kept)).unwrap_or(usize::MAX)
    }

    /// How many messages were sent.
    pub(super) fn sent(&self, sender: Side) -> usize {
        self.ways.of(sender).bodies.len()
    }

    /// An application sends a message, which the session may still have to accept.
    pub(super) fn tell_sent(&mut self, sender: Side, body: Body) {
        self.ways.of_mut(sender).push(body);
    }

    /// An application sends no more.
    pub(super) fn tell_end(&mut self, sender: Side) {
        let way = self.ways.of_mut(sender);
        way.has_ended = true;
        way.push_frame(0);
    }

    /// Whether an application sends no more.
    pub(super) const fn has_ended(&self, sender: Side) -> bool {
        self.ways.of(sender).has_ended
    }

    /// The process has handled everything that its application sent.
    pub(super) fn accept_all(&mut self, sender: Side) {
        let way = self.ways.of_mut(sender);
        way.certain = way.bodies.len();
    }

    /// The session keeps no more than its window of what was sent.
    pub(super) fn check_window(&self, sender: Side) -> Result<(), Breach> {
        let (way, window) = (self.ways.of(sender), self.window(sender));
        let kept = way.position(way.certain).bytes.saturating_sub(way.known.bytes);
        if kept <= window.into() {
            return Ok(());
        }
        let what = format!("{kept} bytes are on their way in a window of {window}");
        Err(Breach::new(Invariant::WithinTheWindow, what))
    }

    /// The application of the other end gets a message.
    pub(super) fn tell_data(&mut self, sender: Side, data: &[u8]) -> Result<(), Breach> {
        let way = self.ways.of_mut(sender);
        if way.end_is_delivered {
            let what = format!("{} bytes came out after the end", data.len());
            return Err(Breach::new(Invariant::NoGapNoRepeat, what));
        }
        let (number, expected) = (way.delivered, way.bodies.get(way.delivered));
        if expected.is_none_or(|body| body.bytes() != data) {
            let what = format!(
                "{} bytes came out as message {number}, where {expected:?} went in",
                data.len()
            );
            return Err(Breach::new(Invariant::NoGapNoRepeat, what));
        }
        way.delivered += 1;
        if way.exact.is_some_and(|(_, most)| way.delivered > most) {
            let what = format!("message {number} arrives, which was said to be lost");
            return Err(Breach::new(Invariant::TrueLoss, what));
        }
        Ok(())
    }

    /// The application of the other end gets the end of what is sent to it.
    pub(super) fn tell_ended(&mut self, sender: Side) -> Result<(), Breach> {
        let way = self.ways.of_mut(sender);
        let is_true = way.has_ended && way.delivered == way.bodies.len();
        if is_true && !core::mem::replace(&mut way.end_is_delivered, true) {
            return Ok(());
        }
        let what = format!("an end came out after {} messages of {way:?}", way.delivered);
        Err(Breach::new(Invariant::NoGapNoRepeat, what))
    }

    /// An end says what its application has taken over.
    pub(super) fn tell_taken(&mut self, receiver: Side, position: Position) -> Result<(), Breach> {
        let way = self.ways.of_mut(other(receiver));
        let frames = usize::try_from(position.frames).unwrap_or(usize::MAX);
        let delivered = way.delivered + usize::from(way.end_is_delivered);
        let is_true = frames <= delivered && way.position(frames) == position;
        if is_true && position >= way.acknowledged {
            way.acknowledged = position;
            return Ok(());
        }
        let (had, before) = (way.position(way.delivered), way.acknowledged);
        let what = format!("{position:?} is said to be taken over after {before:?}, of {had:?}");
        Err(Breach::new(Invariant::TrueAcks, what))
    }

    /// The other end learns of it.
    pub(super) fn hear_taken(&mut self, sender: Side, position: Position) {
        let known = &mut self.ways.of_mut(sender).known;
        *known = (*known).max(position);
    }

    // The time without a link.

    /// A process is without a link from now on.
    pub(super) fn go_away(&mut self, side: Side, now: Instant) {
        let until = now.saturating_add(self.agreed.grace);
        *self.away.of_mut(side) = Some(Away { since: now, until });
    }

    /// Whether a process is without a link.
    pub(super) const fn is_away(&self, side: Side) -> bool {
        self.away.of(side).is_some()
    }

    /// A process was paused: it may grant another grace.
    pub(super) fn handle_pause(&mut self, side: Side, now: Instant) {
        let again = now.saturating_add(self.agreed.grace);
        if let Some(away) = self.away.of_mut(side) {
            away.until = away.until.max(again);
        }
    }

    /// A process has a link again.
    pub(super) fn come_back(
        &mut self,
        side: Side,
        now: Instant,
        runs_since: Instant,
    ) -> Result<(), Breach> {
        let Some(away) = self.away.of_mut(side).take() else { return Ok(()) };
        // What came in time is looked at before the time is over.
        let until = away.until.max(runs_since).saturating_add(self.slack);
        if now <= until {
            return Ok(());
        }
        let what = format!("back {:?} after the grace", now.saturating_since(until));
        Err(Breach::new(Invariant::BackInTime, what))
    }

    /// A process gives the session up.
    pub(super) fn end(&mut self, side: Side, now: Instant) {
        let Some(away) = self.away.of_mut(side).take() else { return };
        let due = away.since.saturating_add(self.agreed.grace);
        *self.gave_up.of_mut(side) = Some(due.saturating_since(now));
    }

    /// What has to hold at any time: a session that is away for longer than its grace is given up.
    pub(super) fn check(
        &self,
        side: Side,
        now: Instant,
        runs_since: Instant,
        tick: Duration,
    ) -> Result<(), Breach> {
        let Some(away) = *self.away.of(side) else { return Ok(()) };
        let overdue = away.until.max(runs_since).saturating_add(tick);
        if now <= overdue {
            return Ok(());
        }
        let late = now.saturating_since(overdue);
        let what = format!("a session is away {late:?} after its grace");
        Err(Breach::new(Invariant::BackInTime, what))
    }

    // What the applications are told of the session.

    /// An application gets `Online`.
    pub(super) fn tell_online(&mut self, side: Side) -> Result<(), Breach> {
        let before = core::mem::replace(self.told.of_mut(side), Told::Online);
        if before == Told::Nothing { Ok(()) } else { Err(wrong_order("Online", before)) }
    }

    /// An application gets `Away`.
    pub(super) fn tell_away(&mut self, side: Side, within: Duration) -> Result<(), Breach> {
        let before = core::mem::replace(self.told.of_mut(side), Told::Away);
        if before != Told::Online {
            return Err(wrong_order("Away", before));
        }
        if within == self.agreed.grace {
            return Ok(());
        }
        let what = format!("held for {within:?} instead of {:?}", self.agreed.grace);
        Err(Breach::new(Invariant::BackInTime, what))
    }

    /// An application gets `Back`.
    pub(super) fn tell_back(&mut self, side: Side) -> Result<(), Breach> {
        let before = core::mem::replace(self.told.of_mut(side), Told::Online);
        // The client may have lost a link that the server thought well of.
        let is_right = before == Told::Away || (before == Told::Online && side == Side::Server);
        if is_right { Ok(()) } else { Err(wrong_order("Back", before)) }
    }

    /// An application gets `Offline`. One that `is_closing` has nothing more to deliver, perhaps.
    pub(super) fn tell_offline(
        &mut self,
        side: Side,
        reason: &Reason,
        is_closing: bool,
    ) -> Result<(), Breach> {
        let before = core::mem::replace(self.told.of_mut(side), Told::Over);
        if !matches!(before, Told::Online | Told::Away) {
            return Err(wrong_order("Offline", before));
        }
        // Without a beat of the client, a session ends with its link at the server.
        if is_of_the_link(reason) && self.has_begun && !is_closing {
            let what = format!("a session ends with its link: {reason}");
            return Err(Breach::new(Invariant::OutlivesItsLinks, what));
        }
        if *reason == Reason::Done && !self.is_done() {
            let what = format!("a session is done with {:?}", self.ways);
            return Err(Breach::new(Invariant::NothingLost, what));
        }
        match (reason, *self.gave_up.of(side)) {
            // A process that is held up may lose its link and give up in one step.
            (Reason::NotBack, None) if before != Told::Away => {
                Err(wrong_order("the end of the grace", before))
            }
            (Reason::NotBack, Some(early)) if early > self.slack => {
                let what = format!("given up {early:?} before the end of the grace");
                Err(Breach::new(Invariant::BackInTime, what))
            }
            (Reason::NotResumed, _) if self.is_known(Side::Server) => {
                let what = "a client is told that its session is gone, but it is not".to_owned();
                Err(Breach::new(Invariant::OutlivesItsLinks, what))
            }
            _ => Ok(()),
        }
    }

    /// Whether both applications have got everything, and one end knows: that one says so to the
    /// other.
    fn is_done(&self) -> bool {
        let Both { client, server } = &self.ways;
        let is_known = |way: &Way| way.known == way.position(way.ends.len());
        client.end_is_delivered && server.end_is_delivered && (is_known(client) || is_known(server))
    }

    /// The application of the sender is told what was lost.
    pub(super) fn tell_undelivered(
        &mut self,
        sender: Side,
        said: &Undelivered,
        unwritten: Unwritten,
    ) -> Result<(), Breach> {
        let way = self.ways.of_mut(sender);
        let (sent, accepted) = (way.bodies.len(), way.certain);
        let frames = said.frames.checked_sub(len_of(unwritten.messages));
        let frames = frames.and_then(|frames| usize::try_from(frames).ok());
        let is_true = frames.is_some_and(|frames| {
            let bytes = unwritten.bytes.map(|bytes| said.bytes.checked_sub(bytes));
            if !said.exact {
                let lost = way.body_bytes(way.delivered, accepted);
                let has_bytes = bytes.is_none_or(|bytes| bytes >= Some(lost));
                return frames >= accepted.saturating_sub(way.delivered) && has_bytes;
            }
            // The other application may still get what its process has.
            let got = (accepted.saturating_sub(frames), sent.saturating_sub(frames));
            way.exact = Some(got);
            let lost = way.body_bytes(got.1, sent);
            let has_bytes = bytes.is_none_or(|bytes| accepted < sent || bytes == Some(lost));
            way.delivered <= got.1 && has_bytes
        });
        if is_true {
            return self.check_loss(sender);
        }
        let lost = (way.delivered, accepted, sent);
        let what = format!("{said:?}, with {unwritten:?}; delivered, accepted, sent: {lost:?}");
        Err(Breach::new(Invariant::TrueLoss, what))
    }

    /// If the application of the receiver gets nothing more: what was said to be lost, is.
    pub(super) fn check_loss(&self, sender: Side) -> Result<(), Breach> {
        let way = self.ways.of(sender);
        let gets_no_more = *self.told.of(other(sender)) == Told::Over;
        let missing = way.exact.filter(|&(least, _)| gets_no_more && way.delivered < least);
        let Some((least, _)) = missing else { return Ok(()) };
        let what = format!("{} messages arrived, and {least} were said to", way.delivered);
        Err(Breach::new(Invariant::TrueLoss, what))
    }
}

fn wrong_order(event: &str, before: Told) -> Breach {
    Breach::new(Invariant::AwayAndBack, format!("{event} after {before:?}"))
}

/// Whether a link was lost, which a session outlives.
const fn is_of_the_link(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Dead(_)
            | Reason::Reset
            | Reason::ClosedByPeer
            | Reason::Truncated
            | Reason::NoGoodbye
            | Reason::NetworkChanged
            | Reason::Suspected
            | Reason::SlowReader
            | Reason::Failed(_)
            | Reason::Protocol(Violation::SlowFrame { .. })
    )
}

#[cfg(test)]
mod tests;
