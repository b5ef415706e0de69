//! What comes from the server.

use heartwire_core::Event as FromPeer;
use heartwire_core::order::{Next, Outbound};
use heartwire_core::v1::Welcome;
use heartwire_core::{Connection, Instant, Violation};

use super::session::Outcome;
use super::{Client, Phase, frame};
use crate::abi::{self, Direction, Event, Status};

impl Client<'_> {
    /// These bytes came. Returns how many there was room for.
    pub(crate) fn feed(&mut self, now_ms: u64, bytes: &[u8]) -> Result<usize, Status> {
        if self.phase == Phase::Idle {
            return Err(Status::ERR_STATE);
        }
        let now = self.awake(now_ms);
        let latest = self.end_of(now);
        let taken = match &mut self.connection {
            Some(connection)
                if !connection.has_ended() && !self.is_end_known && self.phase != Phase::Over =>
            {
                if !bytes.is_empty() {
                    connection.handle_heard_between(now, latest);
                }
                self.inbox.push(bytes)
            }
            // Nothing more is taken from it.
            Some(_) | None => bytes.len(),
        };
        self.rest();
        Ok(taken)
    }

    /// The next event.
    pub(crate) fn event(&mut self, now_ms: u64) -> Event {
        let now = self.awake(now_ms);
        self.sessions.take_over(&mut self.connection);
        let event = self.next_event(now);
        self.rest();
        event
    }

    fn next_event(&mut self, now: Instant) -> Event {
        let at = self.end_of(now);
        let Some(connection) = &mut self.connection else { return self.tell_ending() };
        let mut bytes = self.inbox.bytes();
        let event = match connection.handle_received(at, &mut bytes) {
            Ok(Some(FromPeer::Beat)) => Event::beat(),
            Ok(Some(FromPeer::Promise(promise))) => Event::promise(promise),
            Ok(Some(FromPeer::Data(body))) => {
                self.sessions.handle_handed(body.len());
                Event::data(body)
            }
            Ok(Some(FromPeer::End)) => {
                self.sessions.handle_handed(0);
                Event::end()
            }
            Ok(Some(FromPeer::Welcome(welcome))) => {
                let left = bytes.len();
                self.inbox.keep(left);
                return self.welcomed(&welcome, now);
            }
            Ok(Some(FromPeer::Bye(bye))) => {
                let event = Event::bye(&bye);
                let (code, retry) = (bye.code, bye.retry);
                self.end_by_bye(code, retry, now);
                return event;
            }
            // To a client a HELLO is a violation.
            Ok(Some(FromPeer::Hello(_))) => Event::none(),
            Ok(None) => {
                let left = bytes.len();
                self.inbox.keep(left);
                // Of a PAD that has no room the rest is still to come.
                if connection.has_ended() || !self.inbox.is_stuck() || self.inbox.shorten_pad() {
                    return self.tell_ending();
                }
                return self.break_off(self.too_long(), now);
            }
            Err(violation) => return self.break_off(violation, now),
        };
        let left = bytes.len();
        self.inbox.keep(left);
        event
    }

    /// The rest of what came cannot be read.
    fn break_off(&mut self, violation: Violation, now: Instant) -> Event {
        self.inbox.clear();
        if self.phase == Phase::Keeping {
            self.end_broken(violation, now);
        }
        self.tell_ending()
    }

    /// The server sends a frame that has no room.
    fn too_long(&self) -> Violation {
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let length = frame::len_of(self.inbox.bytes()).map_or(0, number);
        Violation::TooLong { length, max: number(self.inbox.size()) }
    }

    /// The server has accepted this client.
    fn welcomed(&mut self, welcome: &Welcome, now: Instant) -> Event {
        let Some(connection) = &mut self.connection else { return Event::none() };
        let Outcome { resumed, lost } = match self.sessions.welcomed(welcome, connection) {
            Ok(outcome) => outcome,
            Err(violation) => {
                if violation != Violation::BadWelcome {
                    self.returning.online(now, welcome.session);
                }
                return self.break_off(violation, now);
            }
        };
        // It may have come before the end of a connection, and been taken after it.
        if self.phase == Phase::Keeping {
            self.returning.online(now, welcome.session);
            self.say_first_beat();
        }
        let (earliest_ms, latest_ms) = self.bound().unwrap_or_default();
        let longest = self.connection.as_ref().map_or(0, Connection::peer_max_frame);
        Event::welcome(abi::Welcome {
            session: welcome.session,
            epoch: welcome.epoch,
            to_server: Direction::of(&welcome.contract.to_server),
            to_client: Direction::of(&welcome.contract.to_client),
            wake_bytes: welcome.contract.wake_bytes,
            max_frame: u32::try_from(longest).unwrap_or(u32::MAX),
            earliest_ms,
            latest_ms,
            resumed,
            lost,
        })
    }

    /// The first frame after the WELCOME is a beat, whatever the application sends now.
    fn say_first_beat(&mut self) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.outbox.takes_beat()) else {
            return;
        };
        // As of the last byte: so there is no silence that a read could end.
        let heard = connection.last_heard();
        if let Next::Write(beat) = connection.poll(heard, Outbound::Waiting) {
            self.outbox.push_first(&beat);
        }
    }
}
