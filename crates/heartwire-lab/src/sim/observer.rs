//! Observes one end of a connection, at its socket and in its application's events, and checks it.
//!
//! It does not depend on the driver of the end. It uses what the link knows, the bytes that are
//! written and read, and the application's events.

mod check;
mod interrupted;
mod told;

use core::fmt;
use core::time::Duration;

use heartwire_core::internal::v1::Beat;
use heartwire_core::{Instant, Protocol, Settings, Side};

use super::breach::{Breach, Invariant};
use super::client::MAX_EVENTS;
use super::frames::{Frame, Frames};
use super::ledger::Ledger;
use super::link::{Heard, LinkId, other};
use super::net::Net;
use super::oracle::Oracle;
use super::outbox::Unsent;
use super::queue::HostId;
use super::terms::{InForce, Terms};
use super::time::WorldTime;
use super::unheard::Unheard;

/// Watches one end of a connection.
#[derive(Debug)]
pub(super) struct Observer {
    link: LinkId,
    side: Side,
    host: HostId,
    terms: Terms,
    /// The client's settings.
    client: Settings,
    in_force: InForce,
    oracle: Oracle,
    ledger: Ledger,
    unheard: Unheard,
    /// Frames of data, or on a raw protocol pieces, that its process has read.
    data_read: u64,
    /// When its application last had no room for what was read.
    lacked_room_at: Instant,
    /// When bytes of this end last reached the peer, as far as the peer's last beat could tell.
    heard_by_peer_at: WorldTime,
    /// What its last beat of protocol v1 promised.
    promised: Option<Duration>,
    reads: Frames,
    writes: Frames,
    /// When bytes of the peer had last come as the frame began that is being written.
    begun_at: WorldTime,
    /// Beats that the socket had no room for, and the same for each.
    offered: Vec<(Beat, WorldTime)>,
    /// The state when its process was last held up in its turn, and when bytes of the peer had last
    /// come then.
    before: Option<Box<(Oracle, Loss)>>,
    known_at: WorldTime,
    /// The messages that a client has lost with it.
    unsent: Option<Unsent>,
    /// It has sent BYE.
    has_said_bye: bool,
    /// It has written everything, and gives no verdict any more.
    is_leaving: bool,
    /// The state when its process lost the connection, if that is reported later.
    lost: Option<Loss>,
    /// The client has a name, and has connected again with it, on this link and at this time.
    has_name: bool,
    replaced: Option<(LinkId, Instant)>,
    /// Its application knows of it.
    is_online: bool,
    /// Its socket is closed, and there were so many bytes in it.
    is_closed: bool,
    unread_when_closed: u64,
}

/// The state when a connection was lost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    now: Instant,
    at: WorldTime,
    runs_since: Instant,
    unread: u64,
    has_begun: bool,
    is_healthy: bool,
}

impl Observer {
    /// Watches an end whose connection is made now.
    pub(super) fn new(
        net: &mut Net,
        (link, side, host): (LinkId, Side, HostId),
        (terms, peer): (Terms, &Terms),
    ) -> Self {
        let now = net.clock(host);
        let in_force = InForce::at_first(&terms, peer);
        let mut ledger = Ledger::new(now);
        ledger.note_interval(in_force.interval);
        if side == Side::Client && in_force.begins_with_a_beat(&terms) {
            ledger.note_beat_now();
        }
        let observer = Self {
            link,
            side,
            host,
            terms,
            client: if side == Side::Client { terms.settings() } else { peer.settings() },
            in_force,
            oracle: Oracle::new(in_force.timeout, terms.tick, net.rounding(), now),
            ledger,
            unheard: Unheard::new(now),
            data_read: 0,
            lacked_room_at: now,
            heard_by_peer_at: net.now,
            promised: None,
            reads: Frames::default(),
            writes: Frames::default(),
            begun_at: net.now,
            offered: Vec::new(),
            before: None,
            unsent: None,
            known_at: net.now,
            has_said_bye: false,
            is_leaving: false,
            lost: None,
            has_name: if side == Side::Client { terms.has_name } else { peer.has_name },
            replaced: None,
            is_online: false,
            is_closed: false,
            unread_when_closed: 0,
        };
        observer.log(net, format_args!("connected"));
        observer
    }

    /// Writes a line about this end into the log.
    fn log(&self, net: &mut Net, what: fmt::Arguments<'_>) {
        let Self { link, side, host, .. } = *self;
        match side {
            Side::Client => net.log(&format_args!("client {host} #{link}"), what),
            Side::Server => net.log(&format_args!("server   #{link}"), what),
        }
    }

    /// When its connection was made, by its own clock.
    pub(super) const fn connected_at(&self) -> Instant {
        self.ledger.started_at
    }

    /// Whether this end has no timeout.
    const fn is_lenient(&self) -> bool {
        self.terms.is_lenient && self.in_force.contract.is_some()
    }

    /// A newer link carries its session.
    pub(super) const fn handle_superseded(&mut self) {
        self.ledger.is_over = true;
    }

    /// The observation has ended.
    pub(super) const fn is_over(&self) -> bool {
        self.ledger.is_over
    }

    /// Its process has lost the connection.
    pub(super) const fn is_lost(&self) -> bool {
        self.ledger.is_over || self.lost.is_some()
    }

    /// Its client has connected again with its name, on another link.
    pub(super) const fn handle_claim(&mut self, by: LinkId, now: Instant) {
        if self.is_online && !self.ledger.is_over {
            self.replaced = Some((by, now));
        }
    }

    /// Whether it no longer holds its name: it has ended, or its peer was rejected.
    pub(super) const fn has_given_up(&self) -> bool {
        self.ledger.is_over || self.has_said_bye || self.is_leaving
    }

    /// Its process has lost the connection.
    pub(super) fn handle_loss(&mut self, net: &mut Net) {
        if self.lost.is_none() && !self.ledger.is_over {
            self.look(net);
            self.lost = Some(self.loss(net));
            self.forget_before(net);
        }
    }

    /// The limits for a verdict given now.
    fn loss(&self, net: &mut Net) -> Loss {
        let link = net.link(self.link);
        let is_healthy = link.is_calm && link.sockets.of(other(self.side)).is_held;
        Loss {
            now: net.clock(self.host),
            at: net.now,
            runs_since: net.host(self.host).runs_since,
            unread: net.readable(self.link, self.side),
            has_begun: self.reads.has_begun(),
            is_healthy,
        }
    }

    /// It has written everything.
    pub(super) const fn handle_last_word(&mut self) {
        self.is_leaving = true;
    }

    /// Tells the oracle what has arrived.
    fn look(&mut self, net: &Net) {
        self.oracle.look(net.record(self.link, self.side));
    }

    /// Its process has noticed its pause.
    pub(super) fn handle_pause(&mut self, net: &Net, now: Instant) {
        if self.lost.is_some() {
            return;
        }
        self.look(net);
        self.oracle.handle_pause(now);
        self.unheard.excuse(now);
        if self.side == Side::Client {
            // It may ask whether the server is still there.
            self.ledger.note_beat_now();
        }
    }

    /// Its machine has resumed, from a suspend that its peer must not be blamed for.
    pub(super) const fn handle_resume(&mut self, now: Instant) {
        if self.lost.is_none() {
            self.oracle.handle_resume(now);
        }
    }

    /// Whether a client's application may have as many events before it as may wait there, so that
    /// its process has to keep the rest of what it has read, or leave it in the socket: so much
    /// data was not taken, or it was busy and has not had its turn since, and news count too. So do
    /// the data of an earlier session. A server's application has room for everything, unless it is
    /// [busy](Net::is_busy).
    pub(super) fn lacks_room(&self, net: &Net) -> bool {
        let told = net.link(self.link).told.of(other(self.side)).delivered_frames;
        let is_full = self.data_read.saturating_sub(told) >= MAX_EVENTS;
        let has_no_room = is_full || net.is_behind(self.host) || net.has_old_data(self.link);
        self.side == Side::Client && has_no_room
    }

    /// Its process, whose application is slow, found bytes and left them there: they count as life.
    pub(super) fn handle_backpressure(&mut self, net: &mut Net, now: Instant) {
        self.look(net);
        self.oracle.handle_backpressure(now);
        self.unheard.excuse(now);
        self.log(net, format_args!("the application is slow: what waits counts as life"));
    }

    // Bytes.

    /// Its process has read these bytes.
    pub(super) fn handle_read(&mut self, net: &mut Net, mut bytes: &[u8]) -> Result<(), Breach> {
        self.unheard.handle_read();
        self.log(net, format_args!("reads {} bytes", bytes.len()));
        if self.terms.protocol == Protocol::Raw {
            self.data_read += 1;
            return Ok(());
        }
        let now = net.clock(self.host);
        while let Some(frame) = self.reads.take(&mut bytes) {
            if let Some(position) = self.reads.taken {
                net.hear_taken(self.link, self.side, position);
            }
            match frame {
                Frame::Beat(beat) => self.handle_heard_beat(net, now, beat),
                Frame::Data => {
                    self.data_read += 1;
                    self.ledger.note_begun();
                }
                Frame::Hello if self.side == Side::Server => {
                    self.in_force = InForce::NOTHING;
                    self.oracle.set_timeout(None, now);
                    if self.has_name {
                        net.note_claim(self.link, now);
                    }
                }
                Frame::Welcome(welcome) if self.side == Side::Client => {
                    self.begin_contract(net, now, &welcome);
                    self.oracle.set_timeout(self.in_force.timeout, now);
                }
                Frame::Hello | Frame::Welcome(_) | Frame::Bye | Frame::Pad | Frame::End => {}
            }
        }
        if self.lacks_room(net) {
            // What is behind it has to wait for another turn, even if there is room at once.
            self.lacked_room_at = now;
        }
        Ok(())
    }

    fn handle_heard_beat(&mut self, net: &mut Net, now: Instant, beat: Option<Beat>) {
        if self.terms.protocol == Protocol::V1 && self.in_force.contract.is_none() {
            // A client that waits for its WELCOME ignores it.
            return;
        }
        self.ledger.beats_heard += 1;
        self.ledger.note_begun();
        self.log(net, format_args!("a beat"));
        if let Some(session) = net.session_of(self.link).filter(|_| self.side == Side::Server) {
            session.has_begun = true;
        }
        let Some(beat) = beat.filter(|_| self.in_force.contract.is_some()) else { return };
        if let Some(heard) = net.told(self.link, other(self.side)).heard.pop_front() {
            self.heard_by_peer_at = heard.last_at;
            let record = net.record(self.link, self.side);
            let arrived_by = record.last.saturating_add(net.rounding()).min(now);
            self.unheard.handle_beat(arrived_by, heard.silence);
        }
        if self.in_force.promised(self.side, beat.promise()) {
            self.oracle.set_timeout(self.in_force.timeout, now);
            self.log(net, format_args!("which promises the next in {:?}", beat.promise()));
        }
    }

    /// Its process had these bytes to write, and the socket took the first `len` of them.
    pub(super) fn handle_write(
        &mut self,
        net: &mut Net,
        bytes: &[u8],
        len: usize,
    ) -> Result<(), Breach> {
        let now = net.clock(self.host);
        // What came as it was held up, a beat need not tell.
        let interruption = net.interruption(self.link, self.side);
        let last_at = net.record(self.link, self.side).last_at;
        let last_at = interruption.map_or(last_at, |_| self.known_at);
        let (mut taken, mut rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        if !taken.is_empty() {
            self.ledger.note_sent(now);
        }
        if self.terms.protocol == Protocol::Raw {
            return Ok(());
        }
        let mut begun_at = if self.writes.has_begun() { self.begun_at } else { last_at };
        while let Some(frame) = self.writes.take(&mut taken) {
            if let Some(position) = self.writes.taken {
                net.tell_taken(self.link, self.side, position)?;
            }
            self.handle_sent_frame(net, now, frame, begun_at)?;
            begun_at = last_at;
        }
        self.begun_at = begun_at;
        let mut waiting = self.writes.clone();
        while let Some(frame) = waiting.take(&mut rest) {
            let Frame::Beat(Some(beat)) = frame else { continue };
            if self.offered.iter().all(|&(offered, _)| offered != beat) {
                self.offered.push((beat, last_at));
            }
        }
        Ok(())
    }

    fn handle_sent_frame(
        &mut self,
        net: &mut Net,
        now: Instant,
        frame: Frame,
        begun_at: WorldTime,
    ) -> Result<(), Breach> {
        match frame {
            Frame::Beat(beat) => {
                if let Some(beat) = beat {
                    let at = self.offered.iter().position(|&(offered, _)| offered == beat);
                    // Those before it were replaced.
                    let offered = at.and_then(|at| self.offered.drain(..=at).next_back());
                    let last_at = offered.map_or(begun_at, |(_, last_at)| last_at);
                    let heard = Heard { last_at, silence: beat.silence() };
                    net.told(self.link, self.side).heard.push_back(heard);
                    self.handle_promise(net, now, &beat);
                }
                self.account_for_beat(net, now)
            }
            Frame::Welcome(welcome) if self.side == Side::Server => {
                self.begin_contract(net, now, &welcome);
                self.look(net);
                let begun = net.interruption(self.link, self.side).map_or(now, |it| it.from);
                self.oracle.restart(self.in_force.timeout, begun, now);
                Ok(())
            }
            Frame::Data if self.side == Side::Client && net.link(self.link).session.is_some() => {
                net.write_message(self.link)
            }
            Frame::Data => {
                if self.side == Side::Client {
                    let body = net.outbox(self.host).pop();
                    net.told(self.link, self.side).bodies.extend(body);
                }
                net.told(self.link, self.side).written += 1;
                Ok(())
            }
            Frame::End if self.side == Side::Client => net.write_end(self.link),
            Frame::Bye => {
                self.has_said_bye = true;
                Ok(())
            }
            Frame::Hello | Frame::Welcome(_) | Frame::Pad | Frame::End => Ok(()),
        }
    }

    /// The application promises another interval, which makes a beat due. If one that waits is
    /// replaced by one that takes the promise back, that one promises nothing new.
    pub(super) fn note_promise(&mut self, net: &mut Net, interval: Duration) {
        self.ledger.note_beat_now();
        self.log(net, format_args!("the application promises a beat in {interval:?}"));
    }

    /// A beat was sent with the promise of the next one.
    fn handle_promise(&mut self, net: &mut Net, now: Instant, beat: &Beat) {
        let promise = beat.promise();
        let before = core::mem::replace(&mut self.promised, promise);
        if promise == before || promise.is_none() {
            return;
        }
        if promise < before {
            // Until now the peer had no reason to expect a beat so soon.
            self.unheard.excuse(now);
        }
        self.in_force.interval = promise;
        self.ledger.note_interval_v1(promise);
        self.ledger.restart(now);
        self.unheard.handle_promise();
        self.log(net, format_args!("promises a beat in {promise:?}"));
    }

    /// A beat was sent: it must be due, or answer one that was.
    fn account_for_beat(&mut self, net: &mut Net, now: Instant) -> Result<(), Breach> {
        net.sums.beats += 1;
        let asked = net.told(self.link, other(self.side)).beats;
        let (sent, due) = self.ledger.note_beat(now);
        let answers = if self.in_force.echo { asked.min(self.ledger.beats_heard) } else { 0 };
        if sent > due + answers {
            let elapsed = now.saturating_since(self.ledger.started_at);
            let what = format!(
                "{sent} beats in {elapsed:?}, of which {due} were due and {answers} answers"
            );
            return Err(Breach::new(Invariant::NoEchoLoop, what));
        }
        net.told(self.link, self.side).beats = due.min(sent);
        self.log(net, format_args!("sends a beat"));
        Ok(())
    }

    /// A WELCOME has put its contract in force.
    fn begin_contract(&mut self, net: &mut Net, now: Instant, welcome: &[u8]) {
        let Some(welcome) = net.decode_welcome(self.link, welcome, self.client) else { return };
        net.handle_welcome(self.link, self.side, &welcome);
        self.in_force = InForce::agreed(welcome.contract, self.side);
        self.promised = self.in_force.interval;
        self.unheard = Unheard::new(now);
        self.ledger.note_begun();
        self.ledger.note_interval_v1(self.in_force.interval);
        // Each end begins with a beat.
        self.ledger.note_beat_now();
        if self.side == Side::Client {
            self.ledger.note_beat_now();
        }
        self.ledger.restart(now);
        self.log(net, format_args!("agreed: {:?}", self.in_force));
    }
}
