//! The poller of the server's process.

use heartwire::internal::Ready;
use heartwire_core::Side;

use super::Net;
use crate::sim::link::{Link, LinkId, other};
use crate::sim::queue::SERVER;

/// The pending events of the server's poller.
#[derive(Debug, Default)]
pub(in crate::sim) struct Poller {
    /// Links with new events, the oldest first.
    news: Vec<LinkId>,
    /// A client has come.
    has_client: bool,
    /// The process was woken by its own waker.
    is_woken: bool,
}

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    /// The poller watches the server's end of a link for a session from now on.
    pub(in crate::sim) fn register(&mut self, link: LinkId, slot: u32) {
        self.links[link].sockets.server.slot = Some(slot);
        if self.has_news(link, Side::Server) {
            self.make_ready(link, Side::Server);
        }
    }

    /// It reports when that end is writable again.
    pub(in crate::sim) fn register_for_writing(&mut self, link: LinkId) {
        let socket = &mut self.links[link].sockets.server;
        socket.waits_to_write = true;
        if !socket.is_blocked || socket.error.is_some() {
            self.make_writable(link);
        }
    }

    pub(in crate::sim) fn deregister(&mut self, link: LinkId) {
        self.links[link].sockets.server.slot = None;
    }

    /// The server's end of a link is writable again.
    pub(super) fn make_writable(&mut self, link: LinkId) {
        let socket = &mut self.links[link].sockets.server;
        if socket.waits_to_write {
            socket.is_writable = true;
            self.note_news(link);
        }
    }

    pub(super) fn note_news(&mut self, link: LinkId) {
        if !self.poller.news.contains(&link) {
            self.poller.news.push(link);
        }
        self.wake(SERVER);
    }

    /// A client waits for the server to accept it.
    pub(in crate::sim) fn note_client(&mut self) {
        self.poller.has_client = true;
        self.wake(SERVER);
    }

    /// The server's process listens from now on.
    pub(in crate::sim) fn listen(&mut self) {
        self.drains_since = None;
        self.is_listening = true;
    }

    /// It stops listening: its system resets connections that were not accepted.
    pub(in crate::sim) fn hang_up(&mut self) {
        self.is_listening = false;
        while let Some(link) = self.backlog.pop_front() {
            self.abort(link, Side::Server);
        }
    }

    /// A waker of the server's process was used.
    pub(in crate::sim) fn note_woken(&mut self) {
        self.poller.is_woken = true;
        self.wake(SERVER);
    }

    /// The events since the last call.
    pub(in crate::sim) fn poll(&mut self) -> Vec<Ready> {
        let Poller { news, has_client, is_woken } = core::mem::take(&mut self.poller);
        let woken = is_woken.then_some(Ready::Woken);
        let client = has_client.then_some(Ready::Listener(0));
        let sessions = news.into_iter().filter_map(|link| self.poll_session(link));
        woken.into_iter().chain(client).chain(sessions).collect()
    }

    fn poll_session(&mut self, link: LinkId) -> Option<Ready> {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let pipe = pipes.of(other(Side::Server));
        let socket = &mut sockets.server;
        let readable = core::mem::take(&mut socket.is_ready);
        let writable = core::mem::take(&mut socket.is_writable);
        let slot = socket.slot?;
        let closed = pipe.has_ended() || socket.error.is_some();
        socket.was_told |= readable;
        Some(Ready::Session { slot, readable, closed, writable })
    }
}
