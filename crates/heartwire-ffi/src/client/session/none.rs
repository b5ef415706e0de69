//! A library without them.

use heartwire_core::v1::{ByeCode, ResumeOffer, Resuming, RetryHint, Welcome};
use heartwire_core::{Connection, Instant, Violation};

use super::Outcome;
use crate::client::Settings;

#[derive(Debug)]
pub(in crate::client) struct Sessions;

impl Sessions {
    pub(in crate::client) const fn new() -> Self {
        Self
    }

    pub(in crate::client) const fn offer(&self, _: &Settings<'_>, _: usize) -> Option<ResumeOffer> {
        None
    }

    pub(in crate::client) const fn longest_resuming(&self, _: &Settings<'_>) -> Option<Resuming> {
        None
    }

    pub(in crate::client) const fn handle_handed(&mut self, _: usize) {}

    pub(in crate::client) const fn take_over(&mut self, _: &mut Option<Connection>) {}

    pub(in crate::client) const fn next_link(
        &mut self,
        _: &mut Option<Connection>,
        _: Instant,
        _: Instant,
    ) -> Option<Resuming> {
        None
    }

    pub(in crate::client) fn welcomed(
        &mut self,
        _: &Welcome,
        _: &mut Connection,
    ) -> Result<Outcome, Violation> {
        Ok(Outcome::default())
    }

    pub(in crate::client) const fn handle_bye(&mut self, _: ByeCode, _: RetryHint, _: bool) {}

    pub(in crate::client) const fn is_resumable(&self) -> bool {
        false
    }

    pub(in crate::client) const fn end(&mut self, _: bool) {}
}
