//! A client that has said HELLO.

use core::time::Duration;

use super::dialogue::Arrived;
use crate::time::Instant;
use crate::v1::{Contract, Direction, Health, MAX_PAD_LEN, Offer, Welcome};
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
        let fits = |direction: &Direction| match (direction.timeout(), direction.interval()) {
            (Some(timeout), Some(interval)) => {
                (interval.saturating_mul(2)..=direction.max_timeout()).contains(&timeout)
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        let can_beat = to_server.interval().is_none_or(|interval| {
            offer.shortest_interval().is_some_and(|min_interval| interval >= min_interval)
        });
        let judges_as_offered = match (offer.timeout(), to_client.timeout()) {
            (Some(least), Some(timeout)) => timeout >= least,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        // What the server may promise stretches the timeout to the maximum timeout.
        let can_wait = to_client.max_timeout() <= offer.longest_timeout();
        // What it takes to wake a server fits into one frame.
        let can_wake = *wake_bytes <= MAX_PAD_LEN;
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
