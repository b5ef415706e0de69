//! The client's side of the handshake, after HELLO.

use core::time::Duration;

use super::dialogue::Arrived;
use crate::time::Instant;
use crate::v1::{Contract, Direction, Health, MAX_PAD_LEN, Offer, ResumeOffer, Welcome};
use crate::violation::Violation;

/// State of a client that waits for its WELCOME.
#[derive(Clone, Debug)]
pub(super) struct Awaiting {
    /// When the handshake timeout began to count: at the HELLO, or after the last pause.
    pub(super) since: Instant,
    /// When it sent HELLO.
    said_at: Instant,
    /// When the last bytes came.
    pub(super) arrived: Arrived,
    /// The health that its first beat will report.
    pub(super) health: Health,
    /// The offer in its HELLO.
    offer: Offer,
    resume: Resume,
}

/// What a client said in its HELLO of a resume.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resume {
    pub(super) offer: Option<ResumeOffer>,
    /// The session that it goes on with; and whether it takes no other.
    pub(super) session: Option<(u64, bool)>,
}

impl Resume {
    /// Whether a WELCOME answers to this.
    fn fits(&self, welcome: &Welcome) -> bool {
        let granted = welcome
            .resume
            .is_none_or(|terms| self.offer.is_some_and(|offer| terms.agreed.is_within(&offer)));
        let answers = match (self.session, welcome.resumed) {
            (Some((session, _)), Some(_)) => {
                session == welcome.session && welcome.resume.is_none() && welcome.lost.is_none()
            }
            (Some((_, only)), None) => !only,
            (None, Some(_)) => false,
            (None, None) => welcome.lost.is_none(),
        };
        granted && answers
    }
}

impl Awaiting {
    pub(super) fn new(offer: Offer, resume: Resume, now: Instant) -> Self {
        let (arrived, health) = (Arrived::at(now), Health::Ok);
        Self { since: now, said_at: now, arrived, health, offer, resume }
    }

    /// The round trip of HELLO and WELCOME, without the time that the server held the HELLO, if it
    /// says so.
    pub(super) fn rtt(&self, welcome: &Welcome) -> Option<Duration> {
        let held_us = welcome.held_us.filter(|&held_us| held_us < u32::MAX)?;
        let away = self.arrived.about().saturating_since(self.said_at);
        Some(away.saturating_sub(Duration::from_micros(held_us.into())))
    }

    /// Checks that a WELCOME fits the offer.
    pub(super) fn check(&self, welcome: &Welcome) -> Result<(), Violation> {
        let offer = &self.offer;
        let Contract { to_server, to_client, wake_bytes, .. } = &welcome.contract;
        let fits = |direction: &Direction| match (direction.timeout, direction.interval) {
            (Some(timeout), Some(interval)) => {
                timeout.holds_two(interval) && timeout <= direction.max_timeout
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        let can_beat = to_server.interval.is_none_or(|interval| {
            offer.min_interval.is_some_and(|min_interval| interval >= min_interval)
        });
        let judges_as_offered = match (offer.timeout, to_client.timeout) {
            (Some(least), Some(timeout)) => timeout >= least,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // A promise of the server can extend the timeout to the maximum timeout.
        let can_wait = to_client.max_timeout <= offer.max_timeout;
        // The bytes that wake the server fit into one frame.
        let can_wake = *wake_bytes <= MAX_PAD_LEN;
        if fits(to_server)
            && fits(to_client)
            && can_beat
            && judges_as_offered
            && can_wait
            && can_wake
            && self.resume.fits(welcome)
        {
            Ok(())
        } else {
            Err(Violation::BadWelcome)
        }
    }
}

#[cfg(test)]
mod tests;
