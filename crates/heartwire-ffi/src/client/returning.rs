//! How a client comes back: what its HELLO says, and how long it waits before.

use core::time::Duration;

use heartwire_core::v1::{Hello, LastConnection, RetryHint};
use heartwire_core::{Backoff, Instant};

use super::time::ceil_ms;
use super::{Client, Phase};

/// The way back to the server.
#[derive(Debug)]
pub(super) struct Returning {
    backoff: Backoff,
    wait: Wait,
    /// Since when the connection has worked, and the server's number of it.
    online: Option<(Instant, Option<u64>)>,
    last: Option<Last>,
}

/// When to connect.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// At once: there was no connection yet.
    Nothing,
    /// The wait is drawn when it is asked for.
    Undrawn,
    Until(Instant),
    /// The server would refuse this client.
    Never,
}

/// How the last connection ended on which the server had accepted this client.
#[derive(Clone, Copy, Debug)]
struct Last {
    reason: &'static str,
    at: Instant,
    session: u64,
}

impl Returning {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { backoff, wait: Wait::Nothing, online: None, last: None }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self) {
        (self.wait, self.online) = (Wait::Undrawn, None);
    }

    /// The connection works. `session` is the server's number of it (v1).
    pub(super) fn online(&mut self, now: Instant, session: Option<u64>) {
        self.online = Some((now, session));
    }

    /// The connection has ended. Only the first reason counts.
    pub(super) fn lose(&mut self, reason: &'static str, now: Instant) {
        let Some((since, session)) = self.online.take() else { return };
        self.backoff.handle_connected(since);
        self.backoff.handle_disconnected(now);
        self.last = session.map(|session| Last { reason, at: now, session }).or(self.last);
    }

    /// The server said whether and when to come back.
    pub(super) fn heed(&mut self, hint: RetryHint) {
        match hint {
            RetryHint::Never => self.wait = Wait::Never,
            RetryHint::AtWill => {}
            RetryHint::Within { earliest, latest } => self.backoff.handle_hint(earliest, latest),
        }
    }

    /// An attempt has failed, or its connection has ended.
    fn fail(&mut self) {
        if !matches!(self.wait, Wait::Never) {
            self.wait = Wait::Undrawn;
        }
    }

    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if let Wait::Undrawn = self.wait {
            self.wait = Wait::Until(now.saturating_add(self.backoff.next_wait()));
        }
        match self.wait {
            Wait::Nothing | Wait::Undrawn => Some(Duration::ZERO),
            Wait::Until(at) => Some(at.saturating_since(now)),
            Wait::Never => None,
        }
    }

    fn last(&self, now: Instant) -> Option<LastConnection<'static>> {
        let Last { reason, at, session } = self.last?;
        Some(LastConnection::new(reason, now.saturating_since(at), Some(session)))
    }
}

impl<'m> Client<'m> {
    /// The longest HELLO that this client will ever say.
    pub(super) fn longest_hello(&self) -> Hello<'m> {
        let mut hello = self.settings.hello();
        hello.last = Some(LastConnection::new("protocol_error", Duration::MAX, Some(u64::MAX)));
        hello
    }

    /// Says HELLO.
    pub(super) fn say_hello(&mut self, now: Instant) {
        let mut hello = self.settings.hello();
        hello.last = self.returning.last(now);
        // Other grease on each connection.
        let grease = self.settings.seed ^ now.as_nanos();
        // It was found to have room when the client was made.
        let _ = self.outbox.push_control(|room| encode(&hello, room, Some(grease)));
    }

    /// The transport has ended, or could not be made.
    pub(crate) fn disconnected(&mut self, now_ms: u64) {
        let now = self.awake(now_ms);
        if self.phase != Phase::Idle && !self.is_end_known {
            self.is_end_known = true;
            self.ending = Some(super::Ending::Closed);
        }
        self.returning.lose("disconnected", now);
        self.returning.fail();
        self.outbox.clear();
        (self.phase, self.read) = (Phase::Idle, None);
        self.rest();
    }

    /// How long to wait before connecting; `None`: forever.
    pub(crate) fn retry_ms(&mut self, now_ms: u64) -> Option<u64> {
        let now = self.awake(now_ms);
        let wait = match self.phase {
            Phase::Idle => self.returning.wait(now),
            Phase::Keeping | Phase::Leaving | Phase::Over => Some(Duration::ZERO),
        };
        self.rest();
        wait.map(|wait| ceil_ms(Instant::from_nanos(0).saturating_add(wait)))
    }
}

/// Encodes a HELLO, with grease if it has room. `None`: the HELLO itself has none.
pub(super) fn encode(hello: &Hello<'_>, room: &mut [u8], grease: Option<u64>) -> Option<usize> {
    let greased = grease.and_then(|seed| hello.encode_greased_to(seed, room));
    greased.or_else(|| hello.encode_to(room))
}
