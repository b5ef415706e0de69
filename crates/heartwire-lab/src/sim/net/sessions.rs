//! Sessions that outlive their links.

use core::time::Duration;

use heartwire::{Reason, TICK, Undelivered};
use heartwire_core::resume::Position;
use heartwire_core::v1::{ResumeOffer, Welcome};
use heartwire_core::{Settings, Side};

use super::Net;
use crate::sim::breach::{Breach, Invariant};
use crate::sim::frames::welcome_of;
use crate::sim::host::State;
use crate::sim::link::{Body, Link, LinkId};
use crate::sim::packet::Packet;
use crate::sim::queue::{Happening, HostId, SERVER};
use crate::sim::session::{Session, Unwritten};

/// Which links are cut after some bytes.
#[derive(Debug)]
pub(in crate::sim) struct Cuts {
    rng: fastrand::Rng,
    /// Of 100 links, so many.
    pub(in crate::sim) of_100: u32,
}

/// A link is cut within this many bytes of one direction, sooner rather than later: many are cut
/// within the handshake.
const MAX_BEFORE_CUT: u64 = 1 << 12;

impl Cuts {
    pub(in crate::sim) const fn new(rng: fastrand::Rng, of_100: u32) -> Self {
        Self { rng, of_100 }
    }

    /// When the next link is cut, if it is.
    pub(super) fn draw(&mut self) -> Option<(Side, u64)> {
        if self.of_100 == 0 || self.rng.u32(0..100) >= self.of_100 {
            return None;
        }
        let side = if self.rng.bool() { Side::Client } else { Side::Server };
        let most = MAX_BEFORE_CUT >> self.rng.u32(0..8);
        Some((side, self.rng.u64(0..=most)))
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "hosts, links and sessions are never removed, so that their numbers always name one"
)]
impl Net {
    // Links.

    /// How many bytes of a segment of this side arrive, up to `until`. The link is cut behind them,
    /// if it is time.
    pub(super) fn cut_in_time(&mut self, link: LinkId, from: Side, until: u64) -> u64 {
        let Some((side, after)) = self.links[link].ends_after else { return until };
        if side != from || until < after {
            return until;
        }
        self.links[link].ends_after = None;
        self.links[link].is_calm = false;
        self.mishaps.cut_within += 1;
        self.links[link].is_severed = true;
        // Both ends are told, one, or none.
        let told = self.cuts.rng.u32(0..8);
        for (to, is_told) in [(Side::Client, told < 6), (Side::Server, told.is_multiple_of(2))] {
            if is_told {
                let packet = Packet::Reset;
                self.queue.push(self.now, Happening::Packet { link, to, packet });
            }
        }
        after
    }

    /// Decodes a WELCOME on a link of a client with these settings.
    pub(in crate::sim) fn decode_welcome(
        &self,
        link: LinkId,
        frame: &[u8],
        client: Settings,
    ) -> Option<Welcome> {
        let path = self.links[link].path;
        let sessions = self.sessions.iter().rev().filter(|session| session.client == path);
        let resuming = sessions.map(|session| client.resuming(session.id.1, false));
        core::iter::once(client).chain(resuming).find_map(|settings| welcome_of(frame, settings))
    }

    /// A WELCOME was written, or read.
    pub(in crate::sim) fn handle_welcome(&mut self, link: LinkId, by: Side, welcome: &Welcome) {
        let client = self.links[link].path;
        if by == Side::Server {
            if let (Some(_), Some(index)) = (welcome.resumed, self.find_session(welcome.session)) {
                self.carry(link, index);
            }
            return;
        }
        if let Some(resumed) = welcome.resumed {
            self.links[link].next_message = resumed.received.frames;
            // It may lose this link in the same step.
            return self.note_session(client, Some(false));
        }
        self.settle_session(client);
        if let Some(index) = self.links[link].session.filter(|_| welcome.resume.is_some()) {
            let session = &mut self.sessions[index];
            session.is_the_clients = true;
            self.outboxes[client].begin_session(index, session.longest(Side::Client));
        }
    }

    /// The server has accepted a link for a session.
    pub(in crate::sim) fn carry(&mut self, link: LinkId, index: usize) {
        if self.links[link].session.is_some() {
            return;
        }
        self.links[link].session = Some(index);
        let now = self.clock(SERVER);
        let session = &mut self.sessions[index];
        session.links.push(link);
        session.since = now;
    }

    // Sessions.

    /// The server has a session that can be resumed.
    pub(in crate::sim) fn begin_session(&mut self, link: LinkId, id: u64, agreed: ResumeOffer) {
        let lateness = &self.lateness;
        let held_up = if lateness.held_up > 0 { lateness.max_held_up } else { Duration::ZERO };
        let slack = TICK + held_up + lateness.max_interrupted * 8;
        let (client, now) = (self.links[link].path, self.clock(SERVER));
        let index = self.sessions.len();
        self.sessions.push(Session::new((self.run, id), client, agreed, slack, now));
        self.carry(link, index);
    }

    /// A session of the server that runs.
    pub(in crate::sim) fn find_session(&self, id: u64) -> Option<usize> {
        self.sessions.iter().rposition(|session| session.id == (self.run, id))
    }

    pub(in crate::sim) fn session(&mut self, index: usize) -> &mut Session {
        &mut self.sessions[index]
    }

    /// The session that a link carries.
    pub(in crate::sim) fn session_of(&mut self, link: LinkId) -> Option<&mut Session> {
        self.links[link].session.map(|index| &mut self.sessions[index])
    }

    pub(in crate::sim) fn judge_session(
        &mut self,
        index: usize,
        side: Side,
        judge: impl FnOnce(&mut Session) -> Result<(), Breach>,
    ) {
        if let Err(breach) = judge(&mut self.sessions[index]) {
            self.breach.get_or_insert((side, breach));
        }
    }

    /// Whether data of earlier sessions may wait for a client's application. Its process then reads
    /// no data of the session that this link carries.
    pub(in crate::sim) fn has_old_data(&self, link: LinkId) -> bool {
        let Link { path, session, .. } = self.links[link];
        let Some(index) = session.filter(|&index| self.sessions[index].is_the_clients) else {
            return false;
        };
        let earlier = self.sessions.get(self.first_session..index).unwrap_or_default();
        earlier.iter().any(|it| it.client == path && it.may_wait_for_its_client())
    }

    /// A client's process writes a message whole: for the first time, or again.
    pub(in crate::sim) fn write_message(&mut self, link: LinkId) -> Result<(), Breach> {
        let it = &mut self.links[link];
        let number = it.next_message;
        it.next_message += 1;
        let (Some(index), client) = (it.session, it.path) else { return Ok(()) };
        let session = &mut self.sessions[index];
        let is_next = usize::try_from(number) == Ok(session.sent(Side::Client));
        if is_next && session.has_ended(Side::Client) {
            let what = format!("message {number} is written after the end");
            return Err(Breach::new(Invariant::NoGapNoRepeat, what));
        }
        if is_next && let Some(body) = self.outboxes[client].pop() {
            session.tell_sent(Side::Client, body);
            session.accept_all(Side::Client);
            return session.check_window(Side::Client);
        }
        self.mishaps.written_again += 1;
        Ok(())
    }

    /// A client's process writes END whole: for the first time, or again.
    pub(in crate::sim) fn write_end(&mut self, link: LinkId) -> Result<(), Breach> {
        let Link { session, path, next_message: number, .. } = self.links[link];
        self.links[link].next_message += 1;
        let Some(session) = session.map(|index| &mut self.sessions[index]) else { return Ok(()) };
        let is_next = usize::try_from(number) == Ok(session.sent(Side::Client));
        if is_next && session.has_ended(Side::Client) {
            return Ok(());
        }
        let outbox = &mut self.outboxes[path];
        let left = outbox.pop();
        if is_next && left.is_none() && outbox.ends {
            session.tell_end(Side::Client);
            return Ok(());
        }
        let what = format!("an END as frame {number}, with {left:?} in front of it");
        Err(Breach::new(Invariant::NoGapNoRepeat, what))
    }

    pub(in crate::sim) fn tell_taken(
        &mut self,
        link: LinkId,
        by: Side,
        position: Position,
    ) -> Result<(), Breach> {
        self.session_of(link).map_or(Ok(()), |session| session.tell_taken(by, position))
    }

    pub(in crate::sim) fn hear_taken(&mut self, link: LinkId, by: Side, position: Position) {
        if let Some(session) = self.session_of(link) {
            session.hear_taken(by, position);
        }
    }

    /// The server's process has handled all that its application sent in a session, which goes on.
    pub(in crate::sim) fn accept_all(&mut self, id: u64) {
        let Some(index) = self.find_session(id) else { return };
        self.judge_session(index, Side::Server, |session| {
            session.accept_all(Side::Server);
            session.check_window(Side::Server)
        });
    }

    /// The server's application sends a message in a session.
    pub(in crate::sim) fn tell_sent_in(&mut self, index: usize, body: Body) {
        self.log(&"server", format_args!("the application sends {} bytes", body.len));
        self.sessions[index].tell_sent(Side::Server, body);
    }

    /// The server's application sends no more in a session.
    pub(in crate::sim) fn tell_end_in(&mut self, index: usize) {
        self.log(&"server", format_args!("the application sends no more"));
        self.sessions[index].tell_end(Side::Server);
    }

    /// An application is told that the other one sends no more.
    pub(in crate::sim) fn tell_ended_in(&mut self, index: usize, to: Side) {
        self.log(&format_args!("session {index}"), format_args!("{to:?} gets the end"));
        self.mishaps.ended += 1;
        let from = crate::sim::link::other(to);
        self.judge_session(index, to, |session| session.tell_ended(from));
    }

    /// An application gets a message of a session.
    pub(in crate::sim) fn tell_data_in(&mut self, index: usize, to: Side, data: &[u8]) {
        let from = crate::sim::link::other(to);
        self.log(
            &format_args!("session {index}"),
            format_args!("{to:?} gets {} bytes", data.len()),
        );
        self.mishaps.after_end += u64::from(self.sessions[index].has_ended(to));
        self.judge_session(index, to, |session| session.tell_data(from, data));
    }

    /// What a client's process says of its session after a step: whether it has one, and is away.
    pub(in crate::sim) fn note_session(&mut self, client: HostId, is_away: Option<bool>) {
        let Some(index) = self.outboxes[client].session() else { return };
        let (now, runs_since) = (self.clock(client), self.hosts[client].runs_since);
        match is_away {
            None => self.settle_session(client),
            Some(true) if self.sessions[index].is_away(Side::Client) => {}
            Some(true) => self.sessions[index].go_away(Side::Client, now),
            Some(false) => self.judge_session(index, Side::Client, |session| {
                session.come_back(Side::Client, now, runs_since)
            }),
        }
    }

    /// The session of a client's process has ended, and it keeps or drops the messages that were
    /// not written.
    fn settle_session(&mut self, client: HostId) {
        let now = self.clock(client);
        let kept = self.keeps_messages;
        let Some(index) = self.outboxes[client].end_session(kept) else { return };
        self.sessions[index].end(Side::Client, now);
    }

    /// The client's application is told what it has lost with its session.
    pub(in crate::sim) fn tell_lost(
        &mut self,
        index: usize,
        (client, reason): (HostId, &Reason),
        unsent: usize,
        undelivered: &Undelivered,
    ) {
        self.log(&format_args!("session {index}"), format_args!("client: {reason}, {undelivered}"));
        let is_closing = self.outboxes[client].is_closing;
        self.judge_session(index, Side::Client, |session| {
            session.tell_offline(Side::Client, reason, is_closing)?;
            session.check_loss(Side::Server)
        });
        let Some(settled) = self.outboxes[client].settled.pop_front() else { return };
        let Some(dropped) = settled.dropped(unsent) else {
            let what = format!("{unsent} messages are said to be lost, but {settled:?}");
            let breach = Breach::new(Invariant::NothingLost, what);
            self.breach.get_or_insert((Side::Client, breach));
            return;
        };
        self.outboxes[client].drop_too_long(dropped, settled.longest);
        let unwritten = Unwritten { messages: unsent, bytes: settled.bytes(unsent) };
        self.judge_session(index, Side::Client, |session| {
            session.tell_undelivered(Side::Client, undelivered, unwritten)
        });
    }

    /// The server's application is told that a session is over, and what is lost with it.
    pub(in crate::sim) fn tell_over(
        &mut self,
        index: usize,
        reason: &Reason,
        undelivered: &Undelivered,
    ) {
        self.log(&format_args!("session {index}"), format_args!("server: {reason}, {undelivered}"));
        let (now, is_closing) = (self.clock(SERVER), self.drains_since.is_some());
        self.judge_session(index, Side::Server, |session| {
            session.end(Side::Server, now);
            session.tell_offline(Side::Server, reason, is_closing)?;
            session.tell_undelivered(Side::Server, undelivered, Unwritten::NONE)?;
            session.check_loss(Side::Client)
        });
    }

    /// The process of a host is gone.
    pub(super) fn forget_sessions(&mut self, host: HostId) {
        let side = if host == SERVER { Side::Server } else { Side::Client };
        let sessions = self.sessions.iter_mut();
        for session in sessions.filter(|session| host == SERVER || session.client == host) {
            session.forget(side);
        }
    }

    /// A process knows of its pause.
    pub(in crate::sim) fn note_pause_of_sessions(&mut self, host: HostId) {
        let now = self.clock(host);
        let side = if host == SERVER { Side::Server } else { Side::Client };
        let sessions = self.sessions.iter_mut();
        for session in sessions.filter(|session| host == SERVER || session.client == host) {
            session.handle_pause(side, now);
        }
    }

    /// What has to hold of sessions at any time; with `only`, at the ends that a host has.
    pub(super) fn check_sessions(&mut self, only: Option<HostId>) {
        for index in self.first_session..self.sessions.len() {
            let client = self.sessions[index].client;
            if self.sessions[index].is_over() {
                self.first_session += usize::from(index == self.first_session);
                continue;
            }
            for (host, side) in [(client, Side::Client), (SERVER, Side::Server)] {
                let machine = &self.hosts[host];
                let is_asked = only.is_none_or(|only| only == host);
                if is_asked && machine.state == State::Runs && machine.in_turn.is_none() {
                    let (now, runs_since) = (self.clock(host), machine.runs_since);
                    self.judge_session(index, side, |session| {
                        session.check(side, now, runs_since, TICK)
                    });
                    if side == Side::Server {
                        self.check_newest(index);
                    }
                }
            }
        }
    }

    /// The older links of a session are closed.
    fn check_newest(&mut self, index: usize) {
        let session = &self.sessions[index];
        let Some((newest, older)) = session.links.split_last() else { return };
        let (now, runs_since) = (self.clock(SERVER), self.hosts[SERVER].runs_since);
        let overdue = session.since.max(runs_since).saturating_add(TICK * 3);
        let held = older.iter().find(|&&link| self.links[link].sockets.server.is_held);
        if let Some(link) = held.filter(|_| now > overdue) {
            let what = format!("link {link} is still held after {newest} took its session over");
            let breach = Breach::new(Invariant::NewestWins, what);
            self.breach.get_or_insert((Side::Server, breach));
        }
    }
}
