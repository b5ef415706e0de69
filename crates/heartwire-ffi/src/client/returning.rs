//! How a client comes back: what its HELLO says, and how long it waits before.

use core::time::Duration;

use heartwire_core::v1::{Hello, LastConnection, RetryHint};
use heartwire_core::{Backoff, Instant};

use super::time::{millis, up_ms};
use super::{Client, Ending, Phase, Sessions, Settings};

/// The way back to the server. The waits are those of [`Backoff`], of which only the numbers that
/// change are kept.
#[derive(Debug)]
pub(super) struct Returning {
    wait: Wait,
    attempts: u32,
    draws: u16,
    link: Link,
    /// Since when the connection works, or when the last one that did has ended.
    at: Instant,
    /// The server's number of it (v1).
    session: u64,
}

/// When to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// At once: there was no connection yet.
    Nothing,
    /// There is a connection.
    Trying,
    /// So many milliseconds after the caller asks.
    Drawn(u32),
    Until(Instant),
    /// The server would refuse this client.
    Never,
}

/// The last connection that worked: on v1, on which the server has accepted this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Nothing,
    Working,
    Ended(End),
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Dead,
    Broken,
    Bye,
    Closed,
}

impl End {
    /// For the next HELLO.
    const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Broken => "protocol_error",
            Self::Bye => "bye",
            Self::Closed => "disconnected",
        }
    }
}

impl Returning {
    pub(super) fn new() -> Self {
        Self {
            wait: Wait::Nothing,
            attempts: 0,
            draws: 0,
            link: Link::Nothing,
            at: Instant::from_nanos(0),
            session: 0,
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self) {
        self.wait = Wait::Trying;
    }

    /// The connection works; or the last one did, which has ended already.
    pub(super) fn online(&mut self, now: Instant, session: u64) {
        let has_ended = self.wait != Wait::Trying;
        self.link = if has_ended { Link::Ended(End::Closed) } else { Link::Working };
        (self.at, self.session) = (now, session);
    }

    pub(super) fn is_online(&self) -> bool {
        self.link == Link::Working
    }

    /// When the last connection that worked has ended.
    pub(super) fn ended_at(&self) -> Instant {
        self.at
    }

    fn backoff(&mut self, settings: &Settings<'_>) -> Backoff {
        self.draws = self.draws.wrapping_add(1);
        settings.backoff(self.draws.into()).after(self.attempts)
    }

    /// The connection has ended. Only the first reason counts.
    pub(super) fn lose(
        &mut self,
        end: End,
        hint: RetryHint,
        settings: &Settings<'_>,
        now: Instant,
    ) {
        if self.wait != Wait::Trying {
            return self.heed(hint, settings);
        }
        let mut backoff = self.backoff(settings);
        if self.link == Link::Working {
            backoff.handle_connected(self.at);
            backoff.handle_disconnected(now);
            (self.link, self.at) = (Link::Ended(end), now);
        }
        match hint {
            RetryHint::Never => {
                self.wait = Wait::Never;
                return;
            }
            RetryHint::AtWill => {}
            RetryHint::Within { earliest, latest } => backoff.handle_hint(earliest, latest),
        }
        self.draw(backoff);
    }

    /// The server's hint was found in what came before the end, after that was known.
    fn heed(&mut self, hint: RetryHint, settings: &Settings<'_>) {
        match hint {
            RetryHint::Never => self.wait = Wait::Never,
            RetryHint::AtWill => {}
            RetryHint::Within { earliest, latest } => {
                // The attempt that its wait was drawn for is counted already.
                self.attempts = self.attempts.saturating_sub(1);
                let mut backoff = self.backoff(settings);
                backoff.handle_hint(earliest, latest);
                self.draw(backoff);
            }
        }
    }

    /// The transport could not be made.
    fn fail(&mut self, settings: &Settings<'_>) {
        if self.wait != Wait::Never {
            let backoff = self.backoff(settings);
            self.draw(backoff);
        }
    }

    fn draw(&mut self, mut backoff: Backoff) {
        self.wait = Wait::Drawn(up_ms(backoff.next_wait()));
        self.attempts = backoff.attempts();
    }

    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if let Wait::Drawn(ms) = self.wait {
            self.wait = Wait::Until(now.saturating_add(millis(ms)));
        }
        match self.wait {
            Wait::Until(at) => Some(at.saturating_since(now)),
            Wait::Nothing | Wait::Trying | Wait::Drawn(_) => Some(Duration::ZERO),
            Wait::Never => None,
        }
    }

    fn last(&self, now: Instant) -> Option<LastConnection<'static>> {
        let Link::Ended(end) = self.link else { return None };
        let ago = now.saturating_since(self.at);
        Some(LastConnection::new(end.name(), ago, Some(self.session)))
    }
}

impl Settings<'_> {
    /// Whether the longest HELLO of such a client has room in `tx`.
    #[inline(never)] // It takes much stack, and so does what follows.
    pub(crate) fn has_room(&self, rx_len: usize, tx: &mut [u8]) -> bool {
        let mut hello = self.hello(rx_len);
        let reason = End::Broken.name();
        hello.last = Some(LastConnection::new(reason, Duration::MAX, Some(u64::MAX)));
        let sessions = Sessions::new();
        hello.resume = sessions.offer(self, rx_len);
        hello.resuming = sessions.longest_resuming(self);
        !self.is_v1() || hello.encode_to(tx).is_some()
    }
}

impl Client<'_> {
    /// Says HELLO.
    pub(super) fn say_hello(
        &mut self,
        resume: Option<heartwire_core::v1::ResumeOffer>,
        resuming: Option<heartwire_core::v1::Resuming>,
        now: Instant,
    ) {
        let mut hello = self.settings.hello(self.inbox.size());
        hello.last = self.returning.last(now);
        (hello.resume, hello.resuming) = (resume, resuming);
        // Other grease on each connection.
        let grease = self.settings.seed ^ now.as_nanos();
        // It was found to have room when the client was made.
        let _ = self.outbox.push_opening(|room| encode(&hello, room, grease));
    }

    /// The transport has ended, or could not be made.
    pub(crate) fn disconnected(&mut self, now_ms: u64) {
        let now = self.awake(now_ms);
        if self.phase == Phase::Idle {
            self.returning.fail(&self.settings);
        } else {
            if !self.is_end_known {
                self.is_end_known = true;
                self.ending = Some(Ending::Closed);
            }
            self.returning.lose(End::Closed, RetryHint::AtWill, &self.settings, now);
        }
        self.outbox.clear();
        (self.phase, self.must_read) = (Phase::Idle, false);
        self.rest();
    }

    /// How long to wait before connecting; `None`: forever.
    pub(crate) fn retry_ms(&mut self, now_ms: u64) -> Option<u64> {
        let now = self.awake(now_ms);
        // While there is a connection, its end may be known but no time has begun.
        let is_idle = self.phase == Phase::Idle;
        let wait = if is_idle { self.returning.wait(now) } else { Some(Duration::ZERO) };
        self.rest();
        wait.map(|wait| up_ms(wait).into())
    }
}

/// Encodes a HELLO, with grease if it has room. `None`: the HELLO itself has none.
fn encode(hello: &Hello<'_>, room: &mut [u8], grease: u64) -> Option<usize> {
    hello.encode_greased_to(grease, room).or_else(|| hello.encode_to(room))
}
