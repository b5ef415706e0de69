//! The settings of a client, once they were checked.

use core::num::NonZero;
use core::time::Duration;

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::frame::HEADER_LEN;
use heartwire_core::v1::{Hello, MAX_AGENT_LEN, MAX_NAME_LEN, MAX_TOKEN_LEN, Offer};
use heartwire_core::{Backoff, FrameLimits, Policy};

use super::time::millis;
use crate::abi::{Config, Protocol, Status};

/// Bytes of the longest beat that a client of a protocol sends.
const V0_BEAT: usize = 8;
const V1_BEAT: usize = 56;

/// What a client says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'m> {
    pub(crate) name: Option<&'m [u8]>,
    pub(crate) token: Option<&'m [u8]>,
    pub(crate) agent: Option<&'m [u8]>,
}

#[derive(Debug)]
pub(crate) struct Settings<'m> {
    pub(super) protocol: Protocol,
    pub(super) policy: Policy,
    pub(super) offer: Offer,
    pub(super) limits: FrameLimits,
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
    /// Checks the settings, for a client with so much memory for what comes.
    pub(crate) fn new(
        config: &Config,
        identity: Identity<'m>,
        rx_len: usize,
    ) -> Result<Self, Status> {
        let protocol = match config.protocol {
            0 => Protocol::V1,
            1 => Protocol::V0,
            2 => Protocol::Raw,
            _ => return Err(Status::ERR_ARGUMENT),
        };
        let is_v1 = protocol == Protocol::V1;
        let has_identity = identity.name.or(identity.token).or(identity.agent).is_some();
        let asks_for_v1 = config.min_interval_ms > 0
            || config.max_timeout_ms > 0
            || config.grace_ms > 0
            || has_identity;
        let answers = config.echo != 0;
        if (!is_v1 && asks_for_v1) || (protocol != Protocol::V0 && answers) {
            return Err(Status::ERR_PROTOCOL);
        }
        if config.grace_ms > 0 && !cfg!(feature = "resume") {
            return Err(Status::ERR_PROTOCOL);
        }
        let interval_ms = if protocol == Protocol::Raw { 0 } else { config.interval_ms };
        let mut builder = Policy::builder().echo(answers);
        if let Some(interval) = some_millis(interval_ms) {
            builder = builder.interval(interval);
        }
        if let Some(timeout) = some_millis(config.timeout_ms) {
            builder = builder.timeout(timeout);
        }
        let policy = builder.build().map_err(|_| Status::ERR_ARGUMENT)?;
        let mut offer = Offer::new(&policy);
        if let Some(min_interval) = some_millis(config.min_interval_ms) {
            offer = offer.min_interval(Some(min_interval));
        }
        if let Some(max_timeout) = some_millis(config.max_timeout_ms) {
            offer = offer.max_timeout(max_timeout);
        }
        // A server that speaks v0 may stay silent.
        let handshake_ms = or(config.handshake_timeout_ms, if is_v1 { 10_000 } else { 0 });
        let limits = FrameLimits::default()
            .max_frame(u32::try_from(rx_len.saturating_sub(HEADER_LEN)).unwrap_or(u32::MAX))
            .handshake_timeout(some_millis(handshake_ms))
            .frame_timeout(Some(millis(or(config.frame_timeout_ms, 30_000))));
        Ok(Self {
            protocol,
            policy,
            offer,
            limits,
            tick_ms: or(config.tick_ms, 100),
            step_ms: or(config.clock_step_ms, 1),
            seed: config.seed,
            first_wait_ms: or(config.first_wait_ms, 500),
            max_wait_ms: or(config.max_wait_ms, 30_000),
            grace_ms: config.grace_ms,
            name: text(identity.name, MAX_NAME_LEN)?,
            token: some(identity.token, MAX_TOKEN_LEN)?,
            agent: text(identity.agent, MAX_AGENT_LEN)?,
        })
    }

    pub(super) const fn is_v1(&self) -> bool {
        matches!(self.protocol, Protocol::V1)
    }

    /// Room for a beat that messages leave.
    pub(super) const fn reserve(&self) -> usize {
        match self.protocol {
            Protocol::V1 => V1_BEAT,
            Protocol::V0 => V0_BEAT,
            Protocol::Raw => 0,
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
    pub(super) fn hello(&self) -> Hello<'m> {
        let mut hello = Hello::new(self.offer);
        hello.name = self.name;
        hello.token = self.token;
        hello.agent = self.agent;
        hello.instance = NonZero::new(self.seed);
        hello.max_frame = Some(self.limits.longest_frame());
        hello
    }
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
            let settings = Settings::new(&config, Identity::default(), 1024).unwrap();
            settings.limits.handshake_within()
        };
        let (v1, v0, raw) = (0, 1, 2);
        assert_eq!(within(v1, 0), Some(millis(10_000)));
        assert_eq!([v0, raw].map(|protocol| within(protocol, 0)), [None; 2]);
        assert_eq!([v1, v0].map(|protocol| within(protocol, 500)), [Some(millis(500)); 2]);
    }
}
