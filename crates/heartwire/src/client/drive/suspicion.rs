//! Suspicion that a link is lost, long before a verdict may say so. In a session that can be
//! resumed the client then makes a spare connection. Nothing ends by a suspicion: if the old link
//! speaks first, the spare one is closed before its HELLO.

use heartwire_core::Instant;
use heartwire_core::order::Found;

use super::{App, Driver};
use crate::Reason;
use crate::world::{Break, Socket as _, World};

/// Maximum number of reads before the spare connection takes over, 1 MiB: after that much the old
/// link is not lost.
const READS_BEFORE_CHANGING: usize = 64;

impl<W: World> Driver<W> {
    /// When the link is suspected to be lost, if nothing comes: after one and a half of the
    /// server's intervals. `None` if it never is.
    fn silent_at(&self, app: &App) -> Option<Instant> {
        let is_able = self.suspects && self.is_online() && app.leave_by.is_none();
        self.connection.ledger().filter(|_| is_able)?;
        let interval = self.connection.policy().peer_interval()?;
        Some(self.connection.last_heard().saturating_add(interval + interval / 2))
    }

    /// Whether the link is suspected to be lost: it is silent, or the network may have changed, and
    /// the server's kernel has acknowledged nothing since.
    fn is_suspect(&self, app: &App, now: Instant) -> bool {
        let Some(silent_at) = self.silent_at(app) else { return false };
        let asked = self.path_check.as_ref();
        let is_asked = asked.is_some_and(|it| it.is_asking(self.connection.last_heard()));
        now >= silent_at || (is_asked && self.transport.socket.unacknowledged() != Some(0))
    }

    /// Whether a spare connection is to be made now.
    pub(super) fn wants_spare(&self, app: &App, now: Instant) -> bool {
        self.spare_at.is_none_or(|at| now >= at) && self.is_suspect(app, now)
    }

    /// When it may be next.
    pub(super) fn spare_deadline(&self, app: &App, now: Instant) -> Option<Instant> {
        let at = self.spare_at.max(self.silent_at(app))?;
        (at > now && self.silent_at(app).is_some()).then_some(at)
    }

    /// There is a spare connection, or it could not be made. Returns why it takes the place of this
    /// one, if it does.
    pub(in crate::client) fn judge_spare(
        &mut self,
        app: &mut App,
        is_made: bool,
        now: Instant,
    ) -> Option<Reason> {
        self.spare_at = Some(now.saturating_add(self.resume_backoff.next_wait()));
        if !is_made {
            return None;
        }
        let leaves = self.world.breaks(Break::LeavesWithoutReading);
        for _ in 0..READS_BEFORE_CHANGING {
            let found = if leaves { Ok(Found::All) } else { self.read_first(app, now) };
            match found {
                Ok(Found::More) => {}
                Ok(Found::All) if self.is_suspect(app, now) => {
                    // Otherwise the kernel would go on sending on it.
                    self.transport.socket.reset_when_closed();
                    self.lost_at = Some(now);
                    return Some(Reason::Suspected);
                }
                Ok(Found::All | Found::NoRoom(_) | Found::Unread(_)) => return None,
                Err(reason) => {
                    self.phase = self.lose(app, reason, now);
                    return None;
                }
            }
        }
        None
    }
}
