//! Settings that end healthy connections.

use core::fmt;
use core::time::Duration;

use super::setup::Setup;
use super::view::{View, name_of, peer_of};
use crate::policy::Side;

/// Settings that each make sense, and together end healthy connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// An end has a limit, and its peer never sends anything of its own accord.
    LimitWithoutTraffic {
        /// The end with the limit.
        on: Side,
        /// That limit.
        limit: Duration,
    },
    /// A limit is less than twice the interval at which the peer really sends, so that one late
    /// beat looks like death.
    LimitTooShort {
        /// The end with the limit.
        on: Side,
        /// That limit.
        limit: Duration,
        /// How often bytes of the peer come.
        every: Duration,
    },
    /// A user timeout is shorter than the limit of the same end: the kernel then gives up on a path
    /// that was down for a moment, before the limit would, and without the figures of a verdict.
    UserTimeoutBelowLimit {
        /// The end with both.
        on: Side,
        /// The user timeout.
        user_timeout: Duration,
        /// The limit.
        limit: Duration,
    },
    /// The middlebox forgets the connection before anything passes it again.
    NatForgets {
        /// How long it remembers a connection on which nothing passes.
        nat: Duration,
        /// The longest time in which nothing passes; `None` if nothing ever needs to.
        quiet: Option<Duration>,
    },
}

impl Warning {
    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LimitWithoutTraffic { .. } => "limit_without_traffic",
            Self::LimitTooShort { .. } => "limit_too_short",
            Self::UserTimeoutBelowLimit { .. } => "user_timeout_below_limit",
            Self::NatForgets { .. } => "nat_forgets",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LimitWithoutTraffic { on, limit } => {
                let (own, peer) = (name_of(on), name_of(peer_of(on)));
                write!(
                    f,
                    "the {own} calls {limit:?} of silence death, but the {peer} sends nothing of \
                     its own accord: healthy connections end. Give the {peer} a beat, or an echo \
                     of the {own}'s beats"
                )
            }
            Self::LimitTooShort { on, limit, every } => write!(
                f,
                "the {} calls {limit:?} of silence death, but bytes come only every {every:?}: one \
                 late beat would look like death. Use a limit of at least {:?}, or a shorter beat",
                name_of(on),
                every.saturating_mul(2)
            ),
            Self::UserTimeoutBelowLimit { on, user_timeout, limit } => write!(
                f,
                "the {}'s user timeout of {user_timeout:?} is shorter than its limit of {limit:?}: \
                 a path that is down for a moment ends the connection before the limit does. Use \
                 {limit:?} or more",
                name_of(on)
            ),
            Self::NatForgets { nat, quiet: Some(quiet) } => write!(
                f,
                "up to {quiet:?} go by without a packet, and the middlebox forgets a connection \
                 after {nat:?}: beat more often"
            ),
            Self::NatForgets { nat, quiet: None } => write!(
                f,
                "nothing passes of its own accord, and the middlebox forgets a connection after \
                 {nat:?}: let the client beat"
            ),
        }
    }
}

impl Setup {
    /// What in this setup ends healthy connections.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        let of_ends = [Side::Client, Side::Server].map(|side| {
            let view = View::new(self, side);
            [limit_without_traffic(&view), limit_too_short(&view), user_timeout(&view)]
        });
        of_ends.into_iter().flatten().chain([self.nat_forgets()]).flatten()
    }

    fn nat_forgets(&self) -> Option<Warning> {
        let (nat, quiet) = (self.nat()?, self.quiet());
        quiet.is_none_or(|quiet| quiet >= nat).then_some(Warning::NatForgets { nat, quiet })
    }
}

fn limit_without_traffic(view: &View) -> Option<Warning> {
    let limit = view.own.policy.limit()?;
    view.hears_every().is_none().then_some(Warning::LimitWithoutTraffic { on: view.side, limit })
}

fn limit_too_short(view: &View) -> Option<Warning> {
    let (limit, every) = (view.own.policy.limit()?, view.hears_every()?);
    (limit < every.saturating_mul(2)).then_some(Warning::LimitTooShort {
        on: view.side,
        limit,
        every,
    })
}

fn user_timeout(view: &View) -> Option<Warning> {
    let (user_timeout, limit) = (view.own.kernel.user_timeout()?, view.own.policy.limit()?);
    (user_timeout < limit).then_some(Warning::UserTimeoutBelowLimit {
        on: view.side,
        user_timeout,
        limit,
    })
}

#[cfg(test)]
mod tests;
