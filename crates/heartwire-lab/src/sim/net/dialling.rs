//! How clients connect.

use core::time::Duration;

use heartwire_core::Side;

use super::{Dialled, MAX_DIAL, Net};
use crate::sim::host::State;
use crate::sim::link::{Both, Link, Socket};
use crate::sim::pipe::Pipe;
use crate::sim::queue::{Happening, HostId, SERVER};

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    /// A client asks for a connection. The outcome comes as [`Happening::Dialled`].
    pub(in crate::sim) fn dial(&mut self, host: HostId) {
        self.attempts[host] += 1;
        let attempt = self.attempts[host];
        let path = self.paths[host];
        let jitter = self.draw(path.jitter * 2);
        let lost = self.chance(path.loss);
        let takes = if path.cut.client || path.cut.server || !self.hosts[SERVER].state.has_system()
        {
            MAX_DIAL
        } else {
            // A lost SYN is sent again after a second.
            path.delay * 2 + jitter + Duration::from_secs(lost.into())
        };
        self.queue.push(self.now.after(takes.min(MAX_DIAL)), Happening::Dialled { host, attempt });
    }

    pub(in crate::sim) fn handle_dialled(&mut self, host: HostId, attempt: u32) {
        if attempt != self.attempts[host] || !self.hosts[host].state.has_process() {
            return;
        }
        let path = self.paths[host];
        let server = self.hosts[SERVER].state;
        let outcome = if path.cut.client || path.cut.server || !server.has_system() {
            Dialled::TimedOut
        } else if !server.has_process() || !self.is_listening {
            Dialled::Refused
        } else {
            let link = self.links.len();
            let ends_after = self.cuts.draw();
            let (client, by_client) = (host, self.clock(host));
            let by_server = self.clock(SERVER);
            self.links.push(Link {
                path: host,
                sockets: Both {
                    client: Socket::new(client, by_client, self.now),
                    server: Socket::new(SERVER, by_server, self.now),
                },
                pipes: Both {
                    client: Pipe::new(path.send_buffer, path.gives_up_after),
                    server: Pipe::new(path.send_buffer, path.gives_up_after),
                },
                told: Both::default(),
                observers: Both::default(),
                ends: Both::default(),
                seen_at: self.now,
                is_forgotten: false,
                is_severed: false,
                ends_after,
                session: None,
                next_message: 0,
                is_calm: path.is_calm() && self.is_calm(client) && self.is_calm(SERVER),
            });
            self.backlog.push_back(link);
            self.note_client();
            Dialled::Connected(link)
        };
        self.dialled[host] = Some(outcome);
        self.wake(host);
    }

    /// The result of the last attempt. Returned once.
    pub(in crate::sim) fn take_dialled(&mut self, host: HostId) -> Option<Dialled> {
        self.dialled[host].take()
    }

    /// The client gives its attempt up, even if it has just come to something.
    pub(in crate::sim) fn give_up_dialling(&mut self, host: HostId) {
        self.attempts[host] += 1;
        if let Some(Dialled::Connected(link)) = self.dialled[host].take() {
            self.close(link, Side::Client);
        }
    }

    fn is_calm(&self, host: HostId) -> bool {
        let machine = &self.hosts[host];
        machine.state == State::Runs && machine.in_turn.is_none() && !self.is_busy(host)
    }
}
