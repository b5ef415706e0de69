//! The client: what the calls of C do, in safe Rust.
//!
//! One connection after the other is kept by [`heartwire_core`]; here is what lies around it: the
//! bytes that wait on both sides, the life of a connection, and when to come back.

mod ending;
mod frame;
mod hearing;
mod inbox;
mod memory;
mod outbox;
mod returning;
mod sending;
mod session;
mod settings;
mod telling;
mod time;
mod turn;

use heartwire_core::v1::Resuming;
use heartwire_core::{Connection, Instant, MIN_PAUSE};

use self::ending::Ending;
use self::inbox::Inbox;
use self::outbox::Outbox;
use self::returning::Returning;
use self::session::Sessions;
pub(crate) use self::settings::{Identity, Settings};
use self::telling::News;
use self::time::Clock;
pub(crate) use self::time::floor_ms;
use self::time::millis;
use crate::abi::Status;

/// A client in memory that the caller gave.
#[derive(Debug)]
pub(crate) struct Client<'m> {
    settings: Settings<'m>,
    clock: Clock,
    inbox: Inbox<'m>,
    outbox: Outbox<'m>,
    phase: Phase,
    /// The connection, or the last one while there is none: what came on it can still be taken.
    connection: Option<Connection>,
    /// How it ended, until the application was told.
    ending: Option<Ending>,
    /// Whether there is, or was, such an event.
    is_end_known: bool,
    /// Whether a read of the socket is demanded, as of `asked_at`, and how many left bytes there.
    must_read: bool,
    reads: u8,
    /// When the caller has to be awake at the latest, and when it last was that late.
    wake_by: Instant,
    paused_until: Instant,
    /// When a read was demanded; of a connection that is left, when the socket last took bytes.
    asked_at: Instant,
    news: News,
    returning: Returning,
    sessions: Sessions,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Idle,
    /// It is kept.
    Keeping,
    /// What waits is written, then it is closed.
    Leaving,
    /// It is to be closed.
    Over,
}

impl<'m> Client<'m> {
    /// A client that is idle.
    pub(crate) fn new(settings: Settings<'m>, rx: &'m mut [u8], tx: &'m mut [u8]) -> Self {
        let zero = Instant::from_nanos(0);
        Self {
            clock: Clock::new(),
            inbox: Inbox::new(rx),
            outbox: Outbox::new(tx, settings.reserve()),
            phase: Phase::Idle,
            connection: None,
            ending: None,
            is_end_known: false,
            must_read: false,
            reads: 0,
            wake_by: Instant::from_nanos(u64::MAX),
            paused_until: zero,
            asked_at: zero,
            news: News::new(zero),
            returning: Returning::new(),
            sessions: Sessions::new(),
            settings,
        }
    }

    /// The caller's clock shows this. Notices a pause of this device, as
    /// [`PauseWatch`](heartwire_core::PauseWatch) does; but as late as its settings say is none.
    fn awake(&mut self, now_ms: u64) -> Instant {
        let now = self.clock.set(now_ms);
        let punctual_until = self.wake_by.saturating_add(millis(self.settings.tick_ms));
        if now > punctual_until && now >= self.wake_by.saturating_add(MIN_PAUSE) {
            self.paused_until = now;
        }
        now
    }

    /// The latest time that `at` can stand for. What was heard counts from then, so that no verdict
    /// is early.
    fn end_of(&self, at: Instant) -> Instant {
        at.saturating_add(millis(self.settings.step_ms))
    }

    /// Back to the caller, which sleeps until the deadline at the latest.
    fn rest(&mut self) {
        let until = self.deadline().unwrap_or(Instant::from_nanos(u64::MAX));
        self.wake_by = until.max(self.clock.latest());
    }

    /// The transport is connected.
    pub(crate) fn connected(&mut self, now_ms: u64) -> Result<(), Status> {
        if self.phase != Phase::Idle {
            return Err(Status::ERR_STATE);
        }
        let now = self.clock.set(now_ms);
        let offer = self.sessions.offer(&self.settings, self.inbox.size());
        let ended_at = self.returning.ended_at();
        let resuming = self.sessions.next_link(&mut self.connection, ended_at, now);
        // A pause before this connection is none of it.
        self.paused_until = Instant::from_nanos(0);
        (self.ending, self.is_end_known, self.must_read) = (None, false, false);
        self.inbox.clear();
        self.outbox.clear();
        self.phase = Phase::Keeping;
        self.returning.begin();
        self.news.begin(now);
        let mut settings = self.settings.of_core(self.inbox.size()).resume(offer);
        if let Some(Resuming { session, only, .. }) = resuming {
            settings = settings.resuming(session, only);
        }
        let mut connection = Connection::new(settings, self.end_of(now));
        connection.set_health(self.news.health());
        if self.settings.is_v1() {
            self.say_hello(offer, resuming, now);
        } else {
            connection.beat_now();
            self.returning.online(now, 0);
        }
        self.connection = Some(connection);
        self.rest();
        Ok(())
    }

    /// The connection, if messages can be sent on it.
    fn online(&self) -> Result<&Connection, Status> {
        let connection = self.connection.as_ref().ok_or(Status::ERR_STATE)?;
        let is_welcomed = !self.settings.is_v1() || connection.contract().is_some();
        if self.phase == Phase::Keeping && is_welcomed {
            Ok(connection)
        } else {
            Err(Status::ERR_STATE)
        }
    }
}
