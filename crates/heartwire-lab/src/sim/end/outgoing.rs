//! What an end sends.

use heartwire_core::{Instant, Side, Transmit, frame};

use super::Holder;
use crate::sim::breach::Breach;
use crate::sim::broken::Broken;
use crate::sim::ledger::len_of;
use crate::sim::link::{SocketError, content};
use crate::sim::net::Net;

impl Holder {
    /// Takes what the application wants to send, and drops what there is no room for.
    pub(in crate::sim) fn take_messages(&mut self, net: &mut Net) {
        if !self.is_online() {
            return;
        }
        for body_len in core::mem::take(&mut self.messages) {
            if self.outbox.has_room_for(body_len) {
                self.send(net, body_len);
            }
        }
    }

    fn send(&mut self, net: &mut Net, body_len: usize) {
        let Some(head) = self.connection.data_head(body_len) else { return };
        let told = net.told(self.link, self.side);
        let sent = told.sent;
        told.sent += len_of(body_len);
        told.bodies.push_back(body_len);
        let body = (sent..told.sent).map(content);
        let frame: Vec<u8> = head.as_ref().iter().copied().chain(body).collect();
        let padding = self.connection.padding(frame.len());
        self.outbox.push(frame);
        let pad = padding.and_then(|len| Some((frame::head(frame::Kind::Pad, len)?, len)));
        if let Some((head, len)) = pad.filter(|_| self.side == Side::Client) {
            self.outbox.push(head.into_iter().chain(core::iter::repeat_n(0, len)).collect());
        }
        self.log(net, format_args!("the application sends {body_len} bytes"));
    }

    /// Queues the beats and answers that are due behind everything else.
    pub(in crate::sim) fn transmit(&mut self, net: &mut Net, now: Instant) -> Result<(), Breach> {
        while let Some(beat) = self.next_beat(net, now)? {
            self.outbox.push(beat.as_ref().to_vec());
        }
        Ok(())
    }

    /// Queues them in front of everything else. Returns whether any was.
    pub(in crate::sim) fn transmit_first(
        &mut self,
        net: &mut Net,
        now: Instant,
    ) -> Result<bool, Breach> {
        let mut any = false;
        while let Some(beat) = self.next_beat(net, now)? {
            self.outbox.push_beat_first(beat);
            any = true;
        }
        Ok(any)
    }

    fn next_beat(&mut self, _net: &mut Net, now: Instant) -> Result<Option<Transmit>, Breach> {
        while let Some(beat) = self.connection.poll_transmit(now) {
            let forgets = self.terms.is(Broken::NeverBeats)
                || (self.terms.is(Broken::NeverAnswers) && self.connection.policy().echo())
                || (self.terms.is(Broken::AsksWithData) && self.has_just_sent(now));
            if !forgets {
                self.last_beat = now;
                return Ok(Some(beat));
            }
        }
        Ok(None)
    }

    /// Whether anything was sent within the beat interval.
    fn has_just_sent(&self, now: Instant) -> bool {
        let quiet = now.saturating_since(self.last_sent);
        self.connection.policy().beat().is_some_and(|beat| quiet < beat)
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(in crate::sim) fn write(&mut self, net: &mut Net) -> Result<(), SocketError> {
        if self.outbox.write(net, self.link, self.side)? {
            let now = net.clock(self.host);
            self.connection.handle_sent(now);
            self.last_sent = now;
            if self.terms.is(Broken::HearsItself) {
                self.connection.handle_heard(now);
            }
        }
        Ok(())
    }
}
