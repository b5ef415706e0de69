//! Reading: what a driver receives, and when the server was heard.

use heartwire_core::internal::arrival;
use heartwire_core::order::Found;
use heartwire_core::v1::{Bye, Health};
use heartwire_core::{Event as FromPeer, Instant, LinkState};
use tracing::{debug, trace};

use super::{App, Driver, Event};
use crate::Reason;
use crate::tls::{Received, TlsError, TlsFailure, TlsFault};
use crate::world::{World, last_receive};

impl<W: World> Driver<W> {
    /// Reads once if the runtime has seen bytes arrive and the application has room for them.
    pub(super) fn read(&mut self, app: &mut App, now: Instant) -> Result<(), Reason> {
        if self.feed(app, now)? {
            let space = self.inbox.space(self.transport.min_read_len());
            let read = self.transport.read(space);
            self.handle_read(app, read, now)?;
        }
        Ok(())
    }

    /// Whether anything was read.
    pub(super) fn handle_read(
        &mut self,
        app: &mut App,
        read: Result<Received, TlsFailure>,
        now: Instant,
    ) -> Result<bool, Reason> {
        match read {
            Ok(Received::Closed | Received::Truncated) if self.is_answered_in_tls() => {
                Err(Reason::Tls(TlsError(TlsFault::Expected)))
            }
            Ok(Received::Closed) if self.inbox.bytes().is_empty() => Err(Reason::ClosedByPeer),
            Ok(Received::Truncated)
                if self.inbox.bytes().is_empty() && self.transport.ends_between_records() =>
            {
                Err(Reason::NoGoodbye)
            }
            Ok(Received::Closed | Received::Truncated) => Err(Reason::Truncated),
            Ok(Received::Bytes(len)) => {
                self.inbox.filled(len);
                self.handle_heard(now);
                self.feed(app, self.world.now())?;
                Ok(true)
            }
            Ok(Received::Nothing) => Ok(false),
            Err(TlsFailure::Socket(error)) => Err(self.reason_of(&error, now)),
            Err(error @ TlsFailure::Fault { fault, .. }) => {
                debug!(%error, "TLS ended the connection");
                Err(Reason::Tls(TlsError(fault)))
            }
        }
    }

    /// Counts read bytes from when they arrived. That can be earlier than the read, if this process
    /// was paused meanwhile: otherwise a verdict would come later than its bound, and both ends
    /// would measure a longer round trip. `now` is from before the read.
    fn handle_heard(&mut self, now: Instant) {
        let read_at = self.world.now();
        let (mut earliest, mut latest) = (read_at, read_at);
        let asks = read_at.saturating_since(self.unread_since) > arrival::MAX_SPAN;
        if asks {
            let (now, since) = last_receive(&self.world, &self.transport.socket);
            (earliest, latest) = arrival::of_news(now, since.unwrap_or_default(), self.jiffy);
        }
        if !self.transport.has_more(self.inbox.is_full()) {
            self.unread_since = now;
        } else if asks {
            // The kernel's time is that of the last byte, which is still unread.
            self.unread_since = earliest;
        }
        self.connection.handle_heard_between(earliest, latest);
    }

    /// Whether the server's answer is a TLS alert, which begins with its type and version. No frame
    /// does.
    fn is_answered_in_tls(&self) -> bool {
        self.inbox.bytes().starts_with(&[0x15, 3])
    }

    /// Decodes received bytes as long as the application has room. Returns whether it had room for
    /// everything. Only then may more be read: otherwise an end would overtake the rest.
    pub(super) fn feed(&mut self, app: &mut App, now: Instant) -> Result<bool, Reason> {
        // Before the WELCOME no data can come, and other events need no room.
        while !self.is_online() || self.drops_data || app.outlet.has_room() {
            let mut bytes = self.inbox.bytes();
            let held = bytes.len();
            let (mut was_beat, mut welcomed, mut needs_more) = (false, None, false);
            let received = self.connection.handle_received(now, &mut bytes);
            self.has_carried |= matches!(received, Ok(Some(FromPeer::Data(_))));
            match received.map_err(Reason::Protocol)? {
                Some(FromPeer::Beat | FromPeer::Promise(_)) => was_beat = true,
                Some(FromPeer::Data(_) | FromPeer::End) if self.drops_data => {}
                Some(FromPeer::Data(body)) => app.outlet.push_data(body),
                Some(FromPeer::End) => app.outlet.push_end(),
                Some(FromPeer::Welcome(welcome)) => welcomed = Some(Box::new(*welcome)),
                Some(FromPeer::Bye(bye)) => {
                    let Bye { code, retry, detail, taken, .. } = *bye;
                    self.told = taken;
                    self.bye = Some(crate::client::Bye { code, retry, detail: detail.to_owned() });
                    return Err(Reason::Bye(code));
                }
                // Not reached: to a client a HELLO is a violation.
                Some(FromPeer::Hello(_)) => {}
                None => needs_more = true,
            }
            // Also without an event: a PAD is consumed, too.
            let left = bytes.len();
            self.inbox.consume(held - left);
            if needs_more {
                return Ok(true);
            }
            if was_beat {
                self.handle_beat(app, now);
            }
            if let Some(welcome) = welcomed {
                self.handle_welcome(app, welcome, now)?;
            }
        }
        Ok(false)
    }

    fn handle_beat(&mut self, app: &mut App, now: Instant) {
        self.beats += 1;
        let link_state = self.connection.link_state(now);
        app.outlet.meter().handle_beat(link_state.and_then(|link_state| link_state.rtt));
        let Some(link_state) = link_state else { return };
        let before = app.controls.link_state(now);
        let health = |link_state: Option<LinkState>| {
            link_state.map_or(Health::Ok, |link_state| link_state.peer_health)
        };
        if health(before) != link_state.peer_health {
            app.outlet.push_news(Event::Health(link_state.peer_health));
        }
        if link_state.too_fast && !before.is_some_and(|before| before.too_fast) {
            app.outlet.push_news(Event::TooFast);
        }
        app.controls.set_link_state(Some(link_state), now);
    }

    /// Reads before a deadline is handled, because bytes that have arrived count. Reads from the
    /// kernel directly: the runtime's knowledge of the socket is as old as its last turn.
    pub(super) fn read_first(&mut self, app: &mut App, now: Instant) -> Result<Found, Reason> {
        if self.feed(app, now)? {
            let space = self.inbox.space(self.transport.min_read_len());
            let read = self.transport.read_now(space);
            let has_read = self.handle_read(app, read, now)?;
            return Ok(if has_read { Found::More } else { Found::All });
        }
        // Reading has stopped. While anything waits in the socket, even an end, the server cannot
        // be declared dead, and must not be told that it is silent.
        if !self.transport.has_something() {
            return Ok(Found::All);
        }
        trace!("the application is slow: what waits counts as life");
        Ok(Found::NoRoom(self.world.now()))
    }
}

#[cfg(test)]
mod tests;
