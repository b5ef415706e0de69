//! The settings of a client, once they were checked.

use core::num::NonZero;
use core::time::Duration;

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::frame::HEADER_LEN;
use heartwire_core::v1::{Hello, MAX_AGENT_LEN, MAX_NAME_LEN, MAX_TOKEN_LEN, Offer};
use heartwire_core::{Backoff, FrameLimits, Policy};

use super::time::millis;
use crate::abi::{Config, Status};

/// Bytes of the longest beat that a client of a protocol sends.
const V0_BEAT: u8 = 8;
const V1_BEAT: u8 = 56;

/// What a client says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'m> {
    pub(crate) name: Option<&'m [u8]>,
    pub(crate) token: Option<&'m [u8]>,
    pub(crate) agent: Option<&'m [u8]>,
}

/// A [`Protocol`](crate::abi::Protocol) in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    V1,
    V0,
    Raw,
}

#[derive(Debug)]
pub(crate) struct Settings<'m> {
    protocol: Spoken,
    answers: bool,
    interval_ms: u32,
    timeout_ms: u32,
    min_interval_ms: u32,
    max_timeout_ms: u32,
    handshake_timeout_ms: u32,
    frame_timeout_ms: u32,
    pub(super) tick_ms: u32,
    pub(super) step_ms: u32,
    pub(super) seed: u64,
    first_wait_ms: u32,
    max_wait_ms: u32,
    #[cfg_attr(not(feature = "resume"), expect(dead_code, reason = "there are no such sessions"))]
    pub(super) grace_ms: u32,
    name: Option<&'m str>,
    token: Option<&'m [u8]>,
    agent: Option<&'m str>,
}

/// A number, or the default if it is 0.
const fn or(number: u32, default: u32) -> u32 {
    if number == 0 { default } else { number }
}

fn some_millis(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| millis(ms))
}

impl<'m> Settings<'m> {
    /// Checks the settings.
    pub(crate) fn new(config: &Config, identity: Identity<'m>) -> Result<Self, Status> {
        let protocol = match config.protocol {
            0 => Spoken::V1,
            1 => Spoken::V0,
            2 => Spoken::Raw,
            _ => return Err(Status::ERR_ARGUMENT),
        };
        let is_v1 = protocol == Spoken::V1;
        let has_identity = identity.name.or(identity.token).or(identity.agent).is_some();
        let asks_for_v1 = config.min_interval_ms > 0
            || config.max_timeout_ms > 0
            || config.grace_ms > 0
            || has_identity;
        let answers = config.echo != 0;
        if (!is_v1 && asks_for_v1) || (protocol != Spoken::V0 && answers) {
            return Err(Status::ERR_PROTOCOL);
        }
        if config.grace_ms > 0 && !cfg!(feature = "resume") {
            return Err(Status::ERR_PROTOCOL);
        }
        let settings = Self {
            protocol,
            answers,
            interval_ms: if protocol == Spoken::Raw { 0 } else { config.interval_ms },
            timeout_ms: config.timeout_ms,
            min_interval_ms: config.min_interval_ms,
            max_timeout_ms: config.max_timeout_ms,
            // A server that speaks v0 may stay silent.
            handshake_timeout_ms: or(config.handshake_timeout_ms, if is_v1 { 10_000 } else { 0 }),
            frame_timeout_ms: or(config.frame_timeout_ms, 30_000),
            tick_ms: or(config.tick_ms, 100),
            step_ms: or(config.clock_step_ms, 1),
            seed: config.seed,
            first_wait_ms: or(config.first_wait_ms, 500),
            max_wait_ms: or(config.max_wait_ms, 30_000),
            grace_ms: config.grace_ms,
            name: text(identity.name, MAX_NAME_LEN)?,
            token: some(identity.token, MAX_TOKEN_LEN)?,
            agent: text(identity.agent, MAX_AGENT_LEN)?,
        };
        // The core counts no longer ticks.
        if settings.policy().is_none() || settings.tick_ms > u16::MAX.into() {
            return Err(Status::ERR_ARGUMENT);
        }
        Ok(settings)
    }

    fn policy(&self) -> Option<Policy> {
        let mut builder = Policy::builder().echo(self.answers);
        if let Some(interval) = some_millis(self.interval_ms) {
            builder = builder.interval(interval);
        }
        if let Some(timeout) = some_millis(self.timeout_ms) {
            builder = builder.timeout(timeout);
        }
        builder.build().ok()
    }

    /// As the core has them, for a client with so much memory for what comes.
    pub(super) fn of_core(&self, rx_len: usize) -> heartwire_core::Settings {
        let protocol = match self.protocol {
            Spoken::V1 => heartwire_core::Protocol::V1,
            Spoken::V0 => heartwire_core::Protocol::V0,
            Spoken::Raw => heartwire_core::Protocol::Raw,
        };
        // They were checked.
        let policy = self.policy().unwrap_or_default();
        let limits = FrameLimits::default()
            .max_frame(max_frame(rx_len))
            .handshake_timeout(some_millis(self.handshake_timeout_ms))
            .frame_timeout(Some(millis(self.frame_timeout_ms)));
        heartwire_core::Settings::new(policy)
            .protocol(protocol)
            .offer(self.offer(&policy))
            .limits(limits)
            .tick(millis(self.tick_ms))
    }

    fn offer(&self, policy: &Policy) -> Offer {
        let mut offer = Offer::new(policy);
        if let Some(min_interval) = some_millis(self.min_interval_ms) {
            offer = offer.min_interval(Some(min_interval));
        }
        if let Some(max_timeout) = some_millis(self.max_timeout_ms) {
            offer = offer.max_timeout(max_timeout);
        }
        offer
    }

    pub(super) const fn is_v1(&self) -> bool {
        matches!(self.protocol, Spoken::V1)
    }

    /// Room for a beat that messages leave.
    pub(super) const fn reserve(&self) -> u8 {
        match self.protocol {
            Spoken::V1 => V1_BEAT,
            Spoken::V0 => V0_BEAT,
            Spoken::Raw => 0,
        }
    }

    /// Draws waits, others for each number.
    pub(super) fn backoff(&self, number: u32) -> Backoff {
        let policy = BackoffPolicy::default()
            .first(millis(self.first_wait_ms))
            .cap(millis(self.max_wait_ms));
        Backoff::new(policy, self.seed.rotate_left(32).wrapping_add(number.into()))
    }

    /// The HELLO of a connection, as far as it is the same for all.
    pub(super) fn hello(&self, rx_len: usize) -> Hello<'m> {
        let mut hello = Hello::new(self.offer(&self.policy().unwrap_or_default()));
        hello.name = self.name;
        hello.token = self.token;
        hello.agent = self.agent;
        hello.instance = NonZero::new(self.seed);
        hello.max_frame = Some(max_frame(rx_len));
        hello
    }
}

/// The longest message that there is memory for.
fn max_frame(rx_len: usize) -> u32 {
    u32::try_from(rx_len.saturating_sub(HEADER_LEN)).unwrap_or(u32::MAX)
}

/// Bytes of at least one and at most so many.
fn some(bytes: Option<&[u8]>, longest: usize) -> Result<Option<&[u8]>, Status> {
    if bytes.is_some_and(|bytes| bytes.is_empty() || bytes.len() > longest) {
        return Err(Status::ERR_ARGUMENT);
    }
    Ok(bytes)
}

fn text(bytes: Option<&[u8]>, longest: usize) -> Result<Option<&str>, Status> {
    let Some(bytes) = some(bytes, longest)? else { return Ok(None) };
    core::str::from_utf8(bytes).map(Some).map_err(|_| Status::ERR_ARGUMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_must_answer_is_waited_for_with_a_limit() {
        let within = |protocol, handshake_timeout_ms| {
            let config = Config { protocol, handshake_timeout_ms, ..Config::DEFAULT };
            Settings::new(&config, Identity::default()).unwrap().handshake_timeout_ms
        };
        let (v1, v0, raw) = (0, 1, 2);
        assert_eq!([v1, v0, raw].map(|protocol| within(protocol, 0)), [10_000, 0, 0]);
        assert_eq!([v1, v0].map(|protocol| within(protocol, 500)), [500; 2]);
    }
}
