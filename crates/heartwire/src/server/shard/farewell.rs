//! Ending sessions, one or all.

use core::time::Duration;
use std::net::Shutdown;

use heartwire_core::{Cause, Violation};

use super::Shard;
use super::handshake::farewell;
use super::traffic::READS_PER_TURN;
use crate::clock;
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::mailbox::Mailbox;
use crate::server::session::Session;
use crate::server::state::token;

/// Sessions closed before the others get their turn. Closing a socket is the dearest call here
/// (about 20 µs on loopback, measured), and when thousands die at once their verdicts come first.
const CLOSES_PER_TURN: usize = 256;

impl<H: Handler> Shard<H> {
    pub(super) fn mailbox_is_shut_down(&self) -> bool {
        let mailbox = self.state.handle.mailbox(usize::from(self.state.index));
        mailbox.is_some_and(Mailbox::is_shut_down)
    }

    /// Stops accepting. Sessions end once what is queued for them is sent.
    pub(super) fn begin_shutdown(&mut self) {
        self.listener = None;
        self.drained_by = Some(clock::now().saturating_add(self.drain));
    }

    /// While shutting down, ends the sessions that have nothing left to send, or all when the time
    /// is up. This looks at all sessions, once per turn of a server that does nothing else any more.
    pub(super) fn handle_drained(&mut self) {
        let Some(drained_by) = self.drained_by else { return };
        let time_is_up = clock::now() >= drained_by;
        let drained = self
            .state
            .sessions
            .iter()
            .filter(|(_, session)| !session.ending && (time_is_up || session.queued() == 0));
        let drained: Vec<u32> = drained.map(|(id, _)| id.slot()).collect();
        for slot in drained {
            self.state.end(slot, Reason::Shutdown);
        }
    }

    /// Closes sessions that have ended and tells their owner.
    pub(super) fn take_leave(&mut self) {
        for _ in 0..CLOSES_PER_TURN {
            let Some((slot, reason)) = self.state.ending.pop_front() else { return };
            let Some(id) = self.state.sessions.id(slot) else { continue };
            let Some(mut session) = self.state.sessions.remove(slot) else { continue };
            let now = clock::now();
            let without_a_word = session.ends_without_a_word(&reason);
            let bye = farewell(&reason, self.drain).filter(|_| understands_bye(&session, &reason));
            let says_bye = bye.is_some() || matches!(reason, Reason::TurnedAway(_));
            if let Some(bye) = bye {
                session.queue(&bye);
            }
            if says_bye || !matches!(reason, Reason::Dead(_) | Reason::Protocol(_)) {
                // The last chance for what is queued; whether it succeeds changes nothing.
                let _ = session.flush(&self.state.registry, token(slot), now);
            }
            if !matches!(reason, Reason::Dead(_)) {
                session.close_tls();
            }
            if says_bye || matches!(reason, Reason::Shutdown | Reason::Kicked | Reason::Tls(_)) {
                self.say_goodbye(&mut session);
            }
            if session.blocked || matches!(reason, Reason::Dead(_)) {
                // With a reset, so that a client that was called dead but can still hear us learns of
                // it at once. Else the kernel would go on sending what is queued, to nobody, for
                // minutes, and the end would wait behind that. If this fails, it does.
                let _ = socket2::SockRef::from(&session.stream).set_linger(Some(Duration::ZERO));
            }
            let _ = self.state.registry.deregister(&mut session.stream);
            let name = session.guest().map(|guest| guest.name.clone());
            let Session { stream, peer, beats, online_at, online, entered, .. } = session;
            drop(stream);
            self.state.handle.admission().leave();
            if let Some(entered) = entered {
                self.state.handle.addresses().leave(peer.ip(), entered, now);
            }
            self.state.handle.counters().count_end(&reason);
            if let (Reason::Protocol(violation), false) = (reason, without_a_word) {
                let name = violation.name();
                tracing::warn!(
                    session = %id, %peer, violation = name, "closed for a protocol error: {violation}"
                );
            } else {
                tracing::debug!(session = %id, %peer, "offline: {reason}");
            }
            if let Reason::Dead(verdict) = reason {
                // Ours was told when it was given; this one shows only here, as the socket's error.
                if verdict.cause == Cause::Kernel && online {
                    self.tell(Event::Verdict { id, peer, verdict });
                }
            }
            if online {
                let lasted = now.saturating_since(online_at);
                self.tell(Event::Offline { id, peer, reason, beats, lasted });
            }
            // Whoever comes next under this name must not be heard of before.
            if let Some(name) = name {
                self.release_name(&name, id);
            }
        }
    }

    /// Closes the sending half and discards what has come: a socket that is closed with bytes unread
    /// resets the connection, and the client may lose what was just sent to it.
    fn say_goodbye(&mut self, session: &mut Session) {
        // A client that is gone already needs no goodbye.
        let _ = session.stream.shutdown(Shutdown::Write);
        for _ in 0..READS_PER_TURN {
            match session.discard(&mut self.buffer) {
                Ok(len) if len > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Whether the client knows what a BYE is: it has said HELLO at least.
fn understands_bye(session: &Session, reason: &Reason) -> bool {
    let said_hello =
        matches!(reason, Reason::Protocol(Violation::NoCommonVersion { .. } | Violation::BadHello));
    said_hello || session.waits_for_name() || session.understands_bye()
}
