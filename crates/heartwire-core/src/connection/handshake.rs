//! A client that has said HELLO.

use core::time::Duration;

use super::dialogue::Arrived;
use crate::time::Instant;
use crate::v1::{Contract, Direction, Health, Offer, PAD_LEN_MAX, Welcome};
use crate::violation::Violation;

/// What a client knows while it waits for its WELCOME.
#[derive(Clone, Debug)]
pub(super) struct Awaiting {
    /// Since when it waits, but for the time that this end stood still.
    pub(super) since: Instant,
    /// When it said HELLO.
    said_at: Instant,
    /// When the last bytes came.
    pub(super) arrived: Arrived,
    /// What its first beat is to say of it.
    pub(super) health: Health,
    /// What it said it can do, and wants.
    offer: Offer,
}

impl Awaiting {
    pub(super) const fn new(offer: Offer, now: Instant) -> Self {
        Self { since: now, said_at: now, arrived: Arrived::at(now), health: Health::Ok, offer }
    }

    /// The time from the HELLO to this WELCOME, without what the server held it, if it says so.
    pub(super) fn rtt(&self, welcome: &Welcome) -> Option<Duration> {
        let held_us = welcome.held_us.filter(|&held_us| held_us < u32::MAX)?;
        let away = self.arrived.about().saturating_since(self.said_at);
        Some(away.saturating_sub(Duration::from_micros(held_us.into())))
    }

    /// Whether a WELCOME is to something that was offered.
    pub(super) fn check(&self, welcome: &Welcome) -> Result<(), Violation> {
        let offer = &self.offer;
        let Contract { to_server, to_client, wake_bytes, .. } = &welcome.contract;
        let fits = |direction: &Direction| match (direction.limit(), direction.beat()) {
            (Some(limit), Some(beat)) => {
                (beat.saturating_mul(2)..=direction.ceiling()).contains(&limit)
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        let can_beat = to_server
            .beat()
            .is_none_or(|beat| offer.beat_floor().is_some_and(|floor| beat >= floor));
        let judges_as_offered = match (offer.limit(), to_client.limit()) {
            (Some(least), Some(limit)) => limit >= least,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // What the server may promise stretches the limit to the ceiling.
        let can_wait = to_client.ceiling() <= offer.limit_ceiling();
        // What it takes to wake a server fits into one frame.
        let can_wake = *wake_bytes <= PAD_LEN_MAX;
        if fits(to_server)
            && fits(to_client)
            && can_beat
            && judges_as_offered
            && can_wait
            && can_wake
        {
            Ok(())
        } else {
            Err(Violation::BadWelcome)
        }
    }
}

#[cfg(test)]
mod tests;
