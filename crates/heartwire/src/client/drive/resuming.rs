//! A connection as a link of a session that can be resumed.

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Ledger;
use heartwire_core::v1::{Resumed, Welcome};
use heartwire_core::{Boxed, Instant, Violation};

use super::{App, Driver, Event};
use crate::client::outbox::Tally;
use crate::client::receipts::Receipts;
use crate::client::session::{Away, Session};
use crate::world::{Break, World};
use crate::{Reason, Replayed};

impl<W: World> Driver<W> {
    /// The server has accepted this client.
    pub(super) fn handle_welcome(
        &mut self,
        app: &mut App,
        welcome: Box<Welcome>,
        now: Instant,
    ) -> Result<(), Reason> {
        if let Some(resumed) = welcome.resumed {
            return self.go_on(app, welcome, resumed, now);
        }
        // If this client came back to a session, the server does not have it any more.
        app.end_away(Reason::NotResumed, welcome.lost, true);
        self.go_online(app, Some(welcome), now);
        Ok(())
    }

    /// Goes on with the session that this client came back to.
    fn go_on(
        &mut self,
        app: &mut App,
        welcome: Box<Welcome>,
        resumed: Resumed,
        now: Instant,
    ) -> Result<(), Reason> {
        let max_frame = self.connection.peer_max_frame();
        let session =
            app.session.as_deref_mut().filter(|session| session.is_resumed(&resumed, max_frame));
        let Some(away) = session.and_then(|session| session.away.take()) else {
            // It is another server. The session is not touched.
            return Err(Reason::Protocol(Violation::BadWelcome));
        };
        let after = away.lasted(now);
        let Away { ledger, .. } = away;
        let received = ledger.resume_at(resumed.received, app.outbox.log_lens());
        self.span.record("session", welcome.session);
        self.session = Some(welcome.session);
        self.connection.attach(ledger);
        self.online_at = Some(now);
        // What the application has taken over was final when it closed the client.
        self.drops_data = app.last_taken().is_some();
        let received = received.map_err(Reason::Protocol)?;
        let forgets = usize::from(self.world.breaks(Break::ReplaysTooLittle));
        let received = received.saturating_add(forgets);
        app.outbox.release();
        if self.world.breaks(Break::ReplaysTooMuch) {
            app.outbox.repeat(received);
        }
        let Tally { frames, bytes } = if app.controls.aborts() {
            // The BYE waits for nothing.
            app.drop_unwritten();
            Tally::default()
        } else {
            app.outbox.replay(received)
        };
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let replayed = Replayed { frames: number(frames), bytes: number(bytes) };
        app.outlet.push_news(Event::Back { peer: self.peer, after, replayed, welcome });
        self.count_taken(app);
        self.begin_link(app, now);
        Ok(())
    }

    /// Begins a session. Returns the longest message that can be sent in it; `None`: not even an
    /// empty one.
    pub(super) fn begin_session(
        &mut self,
        app: &mut App,
        welcome: Option<&Welcome>,
    ) -> Option<usize> {
        let max_frame = self.connection.peer_max_frame();
        let Some((welcome, terms)) = welcome.and_then(|welcome| Some((welcome, welcome.resume?)))
        else {
            app.outlet.begin_session(None);
            return Some(max_frame);
        };
        let receipts = Receipts::new(app.controls.clone());
        app.outlet.begin_session(Some(receipts.clone()));
        app.outbox.keep_written(true);
        let backoff = self.resume_backoff.clone();
        let session = Session::new(welcome.session, terms, max_frame, receipts, backoff);
        app.session = Some(Box::new(session));
        let ledger = Ledger::new(terms.agreed.to_server, terms.agreed.to_client);
        let longest = usize::try_from(ledger.longest_frame()).unwrap_or(usize::MAX);
        self.connection.attach(Boxed::new(ledger));
        longest.checked_sub(HEADER_LEN).map(|longest| longest.min(max_frame))
    }

    /// Counts what the application has taken over, for the next beat or ACK.
    pub(super) fn count_taken(&mut self, app: &App) {
        if let Some((session, ledger)) = app.session.as_deref().zip(self.connection.ledger_mut()) {
            session.collect(ledger);
            if self.world.breaks(Break::AcksWhenReceived) {
                ledger.take_all();
            }
        }
    }

    /// Counts what the application has taken over of what was read since the last count, if the
    /// server has sent its END: so that it is told at once when all is taken. Returns whether that
    /// is so already.
    pub(super) fn wait_for_acks(&mut self, app: &App) -> bool {
        let Some(ledger) = self.connection.ledger().filter(|it| it.peer_has_ended()) else {
            return false;
        };
        if !ledger.is_done() {
            self.count_taken(app);
        }
        self.connection.ledger().is_some_and(Ledger::ack_due)
    }

    /// Drops messages that the server has taken over.
    pub(super) fn settle(&mut self, app: &mut App) -> Result<(), Reason> {
        let Some(ledger) = self.connection.ledger_mut() else { return Ok(()) };
        let count = ledger.settle(app.outbox.log_lens()).map_err(Reason::Protocol)?;
        app.outbox.acknowledge(count);
        self.has_carried |= count > 0;
        Ok(())
    }

    /// Whether the end of this connection ends its session. Otherwise the session goes on without
    /// one: to deliver the rest, too, if the application `closes` the client, or to tell the server
    /// that the session is done. A frame that stopped in the middle is no breach: its path may have
    /// been cut.
    pub(in crate::client) fn ends_session(&self, app: &App, reason: &Reason) -> bool {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons is open")]
        let is_end = match reason {
            Reason::Protocol(Violation::SlowFrame { .. }) => false,
            Reason::Protocol(_) | Reason::Bye(_) | Reason::Shutdown | Reason::Done => true,
            _ => app.leave_by.is_some() && app.wants_close() && !app.has_undelivered(),
        };
        let is_end = is_end || self.world.breaks(Break::EndsWithItsLink);
        is_end || !self.is_online() || app.session.is_none()
    }

    /// The application closes the client, which has come back to its session with this connection,
    /// and waits for the answer to deliver the rest.
    pub(super) fn comes_back_first(&self, app: &mut App, now: Instant) -> bool {
        !self.is_online()
            && app.stays_to_deliver(self.close_timeout, now)
            && app.leave_by.is_some_and(|leave_by| now < leave_by)
    }
}
