//! What sessions read and write.

use heartwire_core::{Side, Spoken, arrival};

use super::{Arrival, Server};
use crate::sim::breach::Breach;
use crate::sim::broken::Broken;
use crate::sim::end::{READ_MAX, Received};
use crate::sim::ended::End;
use crate::sim::net::Net;
use crate::sim::queue::SERVER;

/// Reads from one session before the others get their turn.
const READS_PER_TURN: usize = 4;

impl Server {
    pub(super) fn read_unread(&mut self, net: &mut Net) -> Result<(), Breach> {
        for _ in 0..self.unread.len() {
            if net.is_busy(SERVER) {
                break;
            }
            let Some(slot) = self.unread.pop_front() else { break };
            let Some(session) = self.session(slot).filter(|session| session.is_unread) else {
                continue;
            };
            session.is_unread = false;
            self.read(net, slot, true, Arrival::Earlier)?;
        }
        Ok(())
    }

    fn read_later(&mut self, slot: usize) {
        let Some(session) = self.session(slot) else { return };
        if !session.is_unread {
            session.is_unread = true;
            self.unread.push_back(slot);
        }
    }

    pub(super) fn read(
        &mut self,
        net: &mut Net,
        slot: usize,
        to_end: bool,
        arrival: Arrival,
    ) -> Result<(), Breach> {
        let Self { awake_at, unread_since, .. } = *self;
        let broken = self.terms.server.broken;
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.session(slot) else { return Ok(()) };
            if net.is_busy(SERVER) {
                break;
            }
            let link = session.holder.link;
            let received = session.holder.read(net, |net, now| match (arrival, broken) {
                (_, Some(Broken::StampsBeforeReading)) => (awake_at, awake_at),
                (Arrival::Now, _) if now.saturating_since(unread_since) <= arrival::SPAN_MAX => {
                    (now, now)
                }
                (_, broken) => net.arrival(link, Side::Server, arrival == Arrival::Now, broken),
            })?;
            match received {
                Received::Nothing => return Ok(()),
                Received::Ended(end) => {
                    self.end(slot, end);
                    return Ok(());
                }
                Received::Bytes { len } => {
                    let mark = match session.holder.connection.spoken() {
                        // The handshake never waits.
                        Spoken::Unknown => 1,
                        Spoken::Raw | Spoken::V0 | Spoken::V1 => session.holder.terms.mark,
                    };
                    let has_begun = session.holder.has_partial();
                    if mark > 1 && has_begun != session.wakes_for_all {
                        session.wakes_for_all = has_begun;
                        net.set_mark(link, Side::Server, if has_begun { 1 } else { mark.into() });
                    }
                    let has_new_terms = session.holder.take_new_terms();
                    if has_begun {
                        self.arm(net, slot);
                    }
                    self.transmit(net, slot)?;
                    if has_new_terms {
                        self.arm(net, slot);
                    }
                    if len < READ_MAX && !to_end {
                        return Ok(());
                    }
                }
            }
        }
        self.read_later(slot);
        Ok(())
    }

    pub(super) fn transmit(&mut self, net: &mut Net, slot: usize) -> Result<(), Breach> {
        let Some(session) = self.session(slot) else { return Ok(()) };
        let now = net.clock(SERVER);
        if session.is_blocked {
            // What is queued will show that we live, as soon as the peer takes it.
            session.holder.connection.handle_sent(now);
            self.arm(net, slot);
            return Ok(());
        }
        if session.holder.transmit_first(net, now)? {
            // A beat that had to wait was due, so that only the limit was waited for.
            self.arm(net, slot);
        }
        Ok(())
    }

    /// The socket of a session takes bytes again.
    pub(super) fn unblock(&mut self, net: &mut Net, slot: usize) -> Result<(), Breach> {
        let Some(session) = self.session(slot) else { return Ok(()) };
        if session.is_blocked && !net.is_blocked(session.holder.link, Side::Server) {
            session.is_blocked = false;
            if session.holder.connection.beat_due() {
                // It says what has been heard, and beats of the client may lie in the socket.
                self.read_before_judging(net, slot)?;
            }
            self.transmit(net, slot)?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, net: &mut Net) -> Result<(), Breach> {
        for slot in 0..self.sessions.len() {
            let Some(session) = self.session(slot) else { continue };
            session.holder.take_messages(net);
            if session.is_blocked {
                continue;
            }
            if let Err(error) = session.holder.write(net) {
                // What the client said before it went is still there to be read.
                self.read(net, slot, true, Arrival::Earlier)?;
                self.end(slot, End::Failed(error));
                continue;
            }
            session.is_blocked = !session.holder.outbox.is_empty();
        }
        Ok(())
    }
}
