//! A session that can be resumed, and what outlives its connections.

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::{Ledger, Position};
use heartwire_core::v1::{
    ByeCode, ResumeOffer, ResumeTerms, Resumed, Resuming, RetryHint, Secret, Welcome,
};
use heartwire_core::{Boxed, Connection, Instant, Violation};

use super::Outcome;
use super::proof::{Claim, PROOF_LEN, Role};
use crate::client::Settings;
use crate::client::time::{floor_ms, millis};

/// The window towards this client, in so many times the memory for what comes: a message may take
/// half of it, and a quarter is acknowledged at once.
const WINDOW: usize = 4;

#[derive(Debug)]
pub(in crate::client) struct Sessions {
    session: Option<Session>,
    /// Bytes of the frame that the application has, until it asks for the next event.
    handed: usize,
    /// A session has ended with messages that may not have come.
    lost: bool,
}

#[derive(Debug)]
struct Session {
    server: u64,
    id: u64,
    key: Secret,
    grace_ms: u32,
    /// The longest message that the server said it accepts.
    max_frame: usize,
    /// The number of the last connection that was tried.
    link: u32,
    /// The positions, while no connection has them.
    away: Option<Ledger>,
}

impl Session {
    fn new(id: u64, terms: &ResumeTerms, max_frame: usize) -> Self {
        let grace_ms = floor_ms(terms.agreed.grace);
        let (server, key) = (terms.server, terms.key);
        Self { server, id, key, grace_ms, max_frame, link: 1, away: None }
    }

    fn claim(&self, role: Role, Position { frames, bytes }: Position) -> Claim {
        let Self { server, id: session, link, .. } = *self;
        Claim { role, server, session, link, frames, bytes }
    }

    /// What the HELLO of the next connection says.
    fn next_link(&mut self) -> Option<Resuming> {
        let received = self.away.as_ref()?.received();
        self.link = self.link.saturating_add(1);
        let proof = Secret(self.claim(Role::Client, received).prove(&self.key.0));
        let Self { server, id: session, link, .. } = *self;
        Some(Resuming { server, session, link, received, proof, only: false })
    }

    fn is_resumed(&self, resumed: &Resumed, max_frame: usize) -> bool {
        let claim = self.claim(Role::Server, resumed.received);
        claim.is_proven(&self.key.0, &resumed.proof.0) && max_frame >= self.max_frame
    }
}

impl Sessions {
    pub(in crate::client) const fn new() -> Self {
        Self { session: None, handed: 0, lost: false }
    }

    /// What a HELLO offers: nothing comes from this client.
    pub(in crate::client) fn offer(
        &self,
        settings: &Settings<'_>,
        rx_len: usize,
    ) -> Option<ResumeOffer> {
        let to_client = u32::try_from(rx_len.saturating_mul(WINDOW)).unwrap_or(u32::MAX);
        let grace = millis(settings.grace_ms);
        (settings.grace_ms > 0).then_some(ResumeOffer { to_server: 0, to_client, grace })
    }

    /// What takes the most room in a HELLO.
    pub(in crate::client) fn longest_resuming(&self, settings: &Settings<'_>) -> Option<Resuming> {
        let received = Position { frames: u64::MAX, bytes: u64::MAX };
        (settings.grace_ms > 0).then_some(Resuming {
            server: u64::MAX,
            session: u64::MAX,
            link: u32::MAX,
            received,
            proof: Secret([0; PROOF_LEN]),
            only: false,
        })
    }

    /// The application has a counted frame with a body of this length.
    pub(in crate::client) fn handle_handed(&mut self, body_len: usize) {
        if self.session.is_some() {
            self.handed = body_len.saturating_add(HEADER_LEN);
        }
    }

    /// The application has taken that over.
    pub(in crate::client) fn take_over(&mut self, connection: &mut Option<Connection>) {
        let handed = core::mem::take(&mut self.handed);
        if let Some(ledger) = connection.as_mut().and_then(Connection::ledger_mut) {
            if handed > 0 {
                ledger.take(handed);
            }
        }
    }

    /// The last connection, which has ended at `ended_at`, goes. Returns what the HELLO of the next
    /// one says, if its session goes on.
    pub(in crate::client) fn next_link(
        &mut self,
        last: &mut Option<Connection>,
        ended_at: Instant,
        now: Instant,
    ) -> Option<Resuming> {
        self.take_over(last);
        let ledger = last.as_mut().and_then(Connection::detach);
        let session = self.session.as_mut()?;
        session.away = ledger.map(Boxed::into_inner).or_else(|| session.away.take());
        if now.saturating_since(ended_at) >= millis(session.grace_ms) {
            self.end(true);
            return None;
        }
        session.next_link()
    }

    /// The server has accepted this client.
    pub(in crate::client) fn welcomed(
        &mut self,
        welcome: &Welcome,
        connection: &mut Connection,
    ) -> Result<Outcome, Violation> {
        let max_frame = connection.peer_max_frame();
        if let Some(resumed) = &welcome.resumed {
            let session = self.session.as_mut();
            let session = session.filter(|session| session.is_resumed(resumed, max_frame));
            // It is another server. The session is not touched.
            let away = session.and_then(|session| session.away.take());
            let ledger = away.ok_or(Violation::BadWelcome)?;
            let fits = ledger.resume_at(resumed.received, []);
            connection.attach(Boxed::new(ledger));
            return fits.map(|_| Outcome { resumed: true, lost: false });
        }
        self.end(true);
        if let Some(terms) = &welcome.resume {
            let ledger = Ledger::new(terms.agreed.to_server, terms.agreed.to_client);
            connection.attach(Boxed::new(ledger));
            self.session = Some(Session::new(welcome.session, terms, max_frame));
        }
        Ok(Outcome { resumed: false, lost: core::mem::take(&mut self.lost) })
    }

    /// The server said BYE, on a connection that had the session or asked for it.
    pub(in crate::client) fn handle_bye(
        &mut self,
        code: ByeCode,
        hint: RetryHint,
        has_session: bool,
    ) {
        let is_gone = matches!(code, ByeCode::NotResumable | ByeCode::TakenOver);
        if has_session || is_gone || hint == RetryHint::Never {
            self.end(code != ByeCode::Done);
        }
    }

    pub(in crate::client) fn is_resumable(&self) -> bool {
        self.session.is_some()
    }

    /// The session has ended, if there is one.
    pub(in crate::client) fn end(&mut self, is_lost: bool) {
        self.lost |= self.session.take().is_some() && is_lost;
        self.handed = 0;
    }
}
