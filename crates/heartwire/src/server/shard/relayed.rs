//! Clients behind a balancer, whose address is known when its header has come.

use heartwire_core::v1::ByeCode;

use super::Shard;
use crate::reason::Reason;
use crate::server::event::Refusal;
use crate::server::handler::Handler;
use crate::server::link::HeaderRead;
use crate::server::proxy_header::Source;
use crate::world::{ServerWorld, Socket as _};

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Reads a balancer's header. Returns whether it is complete, and what follows can be read.
    pub(super) fn read_header(&mut self, slot: u32) -> bool {
        let addresses = self.state.handle.clone();
        let addresses = addresses.addresses();
        let Some((session, agenda)) = self.state.at(slot) else { return false };
        let now = agenda.world.now();
        self.read_at = now;
        let source = match session.link.read_header(now) {
            HeaderRead::Incomplete => return false,
            HeaderRead::Ended(reason) => {
                agenda.end(session, reason);
                return false;
            }
            HeaderRead::From(source) => source,
        };
        if let Source::Client(client) = source {
            session.link.relay(client);
            // One that was refused when it came counts nowhere.
            if !session.is_refused() {
                match addresses.enter_known(client.ip(), now) {
                    Ok(entered) => session.link.entered = Some(entered),
                    Err(refusal) => return self.refuse_relayed(slot, refusal.into()),
                }
            }
        }
        self.go_on_with_handshake(slot);
        self.state.count_held(slot);
        true
    }

    /// Refuses a client that is over the limits of its address. Returns whether it stays to be told
    /// why.
    fn refuse_relayed(&mut self, slot: u32, cause: Refusal) -> bool {
        let handle = self.state.handle.clone();
        let first = handle.places().refuse(self.awake_at);
        let stays = cause == Refusal::AddressSessions && self.has_room_for_refused();
        let Some((session, agenda)) = self.state.at(slot) else { return false };
        let id = session.id;
        if stays {
            // It has counted as accepted, and goes on as one that was refused when it came.
            session.link.entered = None;
            session.since = agenda.world.now();
            agenda.pending = agenda.pending.saturating_sub(1);
            handle.places().leave();
            self.state.counts().count_end(&Reason::Rejected(ByeCode::Full));
            self.note_refused(id, cause);
            self.go_on_with_handshake(slot);
        } else {
            if let Some(stream) = &mut session.link.stream {
                // Closed with a reset, which leaves no state in the kernel.
                stream.reset_when_closed();
            }
            agenda.end(session, Reason::Rejected(ByeCode::Full));
        }
        self.refused(cause, first);
        stays
    }
}
