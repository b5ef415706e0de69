//! What the beats tell of this end: its promise and its health.

use core::time::Duration;

use heartwire_core::internal::Bucket;
use heartwire_core::v1::{Contract, Health};
use heartwire_core::{Connection, Instant};

use super::Client;
use super::time::floor_ms;
use crate::abi::{self, Status};

/// Maximum number of changes told at once: a quarter of what a server accepts.
const MAX_CREDIT: i64 = 16;

/// What the application wants to be told, and what was.
#[derive(Debug)]
pub(super) struct News {
    /// 0: the agreed interval.
    promise_ms: u32,
    health: Health,
    /// Whether the connection knows both.
    is_told: bool,
    pace: Bucket,
}

impl News {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            promise_ms: 0,
            health: Health::Ok,
            is_told: true,
            pace: Bucket::new(MAX_CREDIT, now),
        }
    }

    /// A connection begins. A promise does not outlive the one before.
    pub(super) fn begin(&mut self, now: Instant) {
        let health = self.health;
        *self = Self { health, ..Self::new(now) };
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    fn set(&mut self, promise_ms: u32, health: Health) {
        self.is_told &= (promise_ms, health) == (self.promise_ms, self.health);
        (self.promise_ms, self.health) = (promise_ms, health);
    }
}

/// How often changes may be told in the long run.
fn pace_of(contract: &Contract) -> Duration {
    contract.to_server.interval().unwrap_or(contract.min_interval()).max(Duration::from_millis(1))
}

impl Client<'_> {
    /// Promises a beat this often; 0: as agreed. Returns what the contract allows.
    pub(crate) fn promise(&mut self, interval_ms: u32) -> Result<u32, Status> {
        if !self.settings.is_v1() {
            return Err(Status::ERR_PROTOCOL);
        }
        let contract = self.online()?.contract().ok_or(Status::ERR_STATE)?;
        let agreed = contract.to_server.interval().ok_or(Status::ERR_STATE)?;
        let wanted = Duration::from_millis(interval_ms.into());
        let wanted = if interval_ms == 0 { agreed } else { wanted };
        let least = contract.min_interval().min(agreed);
        let promised_ms = floor_ms(wanted.min(contract.to_server.max_promise()).max(least));
        let health = self.news.health;
        self.news.set(if interval_ms == 0 { 0 } else { promised_ms }, health);
        self.rest();
        Ok(promised_ms)
    }

    /// Sets the health that beats report.
    pub(crate) fn set_health(&mut self, health: Health) -> Result<(), Status> {
        if !self.settings.is_v1() {
            return Err(Status::ERR_PROTOCOL);
        }
        self.news.set(self.news.promise_ms, health);
        self.rest();
        Ok(())
    }

    /// Puts a changed promise or health into the next beat. If they change faster than the server
    /// may be told, only the latest is.
    pub(super) fn tell_news(&mut self, now: Instant) {
        let Some(connection) = self.connection.as_mut().filter(|_| !self.news.is_told) else {
            return;
        };
        let Some(contract) = connection.contract() else {
            // The first beat will say it.
            connection.set_health(self.news.health);
            self.news.is_told = true;
            return;
        };
        let pace = pace_of(contract);
        let agreed = contract.to_server.interval();
        self.news.pace.refill(pace, |_gained| MAX_CREDIT, now);
        if !self.news.pace.take(0) {
            return;
        }
        let promise = Duration::from_millis(self.news.promise_ms.into());
        if let Some(interval) = Some(promise).filter(|promise| !promise.is_zero()).or(agreed) {
            connection.promise(interval);
        }
        connection.set_health(self.news.health);
        self.news.is_told = true;
    }

    /// When a change can be told.
    pub(super) fn news_at(&self) -> Option<Instant> {
        if self.news.is_told {
            return None;
        }
        let contract = self.connection.as_ref().and_then(Connection::contract);
        let waits = contract.filter(|_| self.news.pace.tokens() <= 0);
        let at = waits.map(|contract| self.news.pace.next_at(pace_of(contract)));
        Some(at.unwrap_or(Instant::from_nanos(0)))
    }
}

impl Client<'_> {
    /// The state of the connection.
    pub(crate) fn link(&self, now_ms: u64) -> Result<abi::Link, Status> {
        let connection = self.online()?;
        let now = self.clock.shown(now_ms);
        let policy = connection.policy();
        let silence = now.saturating_since(connection.last_heard());
        let mut link = abi::Link {
            interval_ms: policy.interval().map_or(0, floor_ms),
            timeout_ms: policy.timeout().map_or(0, floor_ms),
            silence_ms: floor_ms(silence),
            unheard_ms: 0,
            rtt_us: 0,
            rtt_below_us: 0,
            peer_late_ms: 0,
            peer_health: abi::Health::number(Health::Ok),
            too_fast: false,
        };
        if let Some(state) = connection.link_state(now) {
            link.unheard_ms = floor_ms(state.unheard);
            link.rtt_us = state.rtt.map_or(0, floor_us);
            link.rtt_below_us = state.rtt_below.map_or(0, floor_us);
            link.peer_late_ms = floor_ms(state.peer_late);
            link.peer_health = abi::Health::number(state.peer_health);
            link.too_fast = state.too_fast;
        }
        Ok(link)
    }
}

fn floor_us(duration: Duration) -> u32 {
    let us = duration.as_secs().saturating_mul(1_000_000);
    u32::try_from(us.saturating_add(duration.subsec_micros().into())).unwrap_or(u32::MAX)
}
