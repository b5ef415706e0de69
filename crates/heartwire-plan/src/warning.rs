//! Settings that end healthy connections, or sessions whose clients would come back.

use core::fmt;
use core::time::Duration;

use heartwire_core::Side;
use heartwire_core::internal::Typed;
use heartwire_core::internal::returning::MAX_WAIT;

use crate::view::{View, name_of, peer_of};
use crate::{Loss, Plan, Resume};

/// Settings that are each valid, but together end healthy connections, or sessions whose clients
/// would come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// An end has a timeout, and its peer never sends anything by itself.
    TimeoutWithoutTraffic {
        /// The end with the timeout.
        on: Side,
        /// That timeout.
        timeout: Duration,
    },
    /// A timeout is less than twice the interval at which the peer really sends, so one late beat
    /// ends a healthy connection.
    TimeoutTooShort {
        /// The end with the timeout.
        on: Side,
        /// That timeout.
        timeout: Duration,
        /// How often bytes of the peer come.
        every: Duration,
    },
    /// A user timeout is shorter than the timeout of the same end: the kernel then gives up on a
    /// path that was down for a moment, before the timeout would, and without the numbers of a
    /// verdict.
    UserTimeoutTooShort {
        /// The end with both.
        on: Side,
        /// The user timeout.
        user_timeout: Duration,
        /// The timeout.
        timeout: Duration,
    },
    /// The middlebox forgets the connection before anything passes it again.
    NatForgets {
        /// After how long without packets it forgets a connection.
        nat_timeout: Duration,
        /// The longest time without a packet; `None` if no packet needs to be sent.
        quiet: Option<Duration>,
    },
    /// The server may give a session up before the client notices that it has to connect again.
    GraceTooShort {
        /// How long a session is kept without a connection.
        grace: Duration,
        /// The shortest grace that is long enough.
        least: Duration,
    },
    /// The grace can be over before all clients that lost their connection together are back, or
    /// between two attempts of one client.
    GraceBelowReturn {
        /// How long a session is kept without a connection.
        grace: Duration,
        /// How many clients there are.
        sessions: u64,
        /// About how long their return takes.
        all_back: Duration,
    },
}

impl Warning {
    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimeoutWithoutTraffic { .. } => "timeout_without_traffic",
            Self::TimeoutTooShort { .. } => "timeout_too_short",
            Self::UserTimeoutTooShort { .. } => "user_timeout_too_short",
            Self::NatForgets { .. } => "nat_forgets",
            Self::GraceTooShort { .. } => "grace_too_short",
            Self::GraceBelowReturn { .. } => "grace_below_return",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TimeoutWithoutTraffic { on, timeout } => {
                let (own, peer, timeout) = (name_of(on), name_of(peer_of(on)), Typed(timeout));
                write!(
                    f,
                    "the {own} has a timeout of {timeout}, but the {peer} sends nothing by \
                     itself: healthy connections end. Give the {peer} a beat, or an echo of the \
                     {own}'s beats"
                )
            }
            Self::TimeoutTooShort { on, timeout, every } => write!(
                f,
                "the {} has a timeout of {}, but bytes come only every {}: one late beat would end \
                 a healthy connection. Use a timeout of at least {}, or a shorter interval",
                name_of(on),
                Typed(timeout),
                Typed(every),
                Typed(every.saturating_mul(2))
            ),
            Self::UserTimeoutTooShort { on, user_timeout, timeout } => write!(
                f,
                "the {}'s user timeout of {} is shorter than its timeout of {timeout}: a path that \
                 is down for a moment ends the connection before the timeout does. Use {timeout} \
                 or more",
                name_of(on),
                Typed(user_timeout),
                timeout = Typed(timeout)
            ),
            Self::NatForgets { nat_timeout, quiet: Some(quiet) } => write!(
                f,
                "up to {} go by without a packet, and the middlebox forgets a connection after {}: \
                 send beats more often",
                Typed(quiet),
                Typed(nat_timeout)
            ),
            Self::NatForgets { nat_timeout, quiet: None } => write!(
                f,
                "no end sends anything by itself, and the middlebox forgets a connection after \
                 {}: let the client send beats",
                Typed(nat_timeout)
            ),
            Self::GraceTooShort { grace, least } => write!(
                f,
                "a session can be given up before its client notices that the connection is lost: \
                 use a grace of at least {} in place of {}, or a shorter timeout on the client",
                Typed(least),
                Typed(grace)
            ),
            Self::GraceBelowReturn { grace, sessions, all_back } => write!(
                f,
                "{sessions} clients that lose their connection together are back after about {}: \
                 up to {} between two attempts, and then as fast as the server accepts them. A \
                 grace of {} is over earlier",
                Typed(all_back),
                Typed(MAX_WAIT),
                Typed(grace)
            ),
        }
    }
}

impl Plan {
    /// Settings in this plan that end healthy connections, or sessions whose clients would come
    /// back.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        let of_ends = [Side::Client, Side::Server].map(|side| {
            let view = View::new(self, side);
            [timeout_without_traffic(&view), timeout_too_short(&view), user_timeout(&view)]
        });
        let of_both = [self.nat_forgets(), self.grace_too_short(), self.grace_below_return()];
        of_ends.into_iter().flatten().chain(of_both).flatten()
    }

    /// The grace begins when the server knows of the loss, perhaps long before the client does.
    fn grace_too_short(&self) -> Option<Warning> {
        let grace = self.resume()?.grace;
        let needed = |loss| {
            let away = self.away(loss, Side::Server)?;
            Some(self.back(loss)?.saturating_sub(away.earliest))
        };
        let least = Loss::ALL.into_iter().filter_map(needed).max()?;
        (grace < least).then_some(Warning::GraceTooShort { grace, least })
    }

    fn grace_below_return(&self) -> Option<Warning> {
        let (resume, all_back) = (self.resume()?, self.all_back()?);
        let Resume { grace, sessions, .. } = resume;
        (grace < all_back).then_some(Warning::GraceBelowReturn { grace, sessions, all_back })
    }

    fn nat_forgets(&self) -> Option<Warning> {
        let (nat_timeout, quiet) = (self.nat_timeout()?, self.quiet());
        quiet
            .is_none_or(|quiet| quiet >= nat_timeout)
            .then_some(Warning::NatForgets { nat_timeout, quiet })
    }
}

fn timeout_without_traffic(view: &View) -> Option<Warning> {
    let timeout = view.own.policy.timeout()?;
    view.hears_every()
        .is_none()
        .then_some(Warning::TimeoutWithoutTraffic { on: view.side, timeout })
}

fn timeout_too_short(view: &View) -> Option<Warning> {
    let (timeout, every) = (view.own.policy.timeout()?, view.hears_every()?);
    (timeout < every.saturating_mul(2)).then_some(Warning::TimeoutTooShort {
        on: view.side,
        timeout,
        every,
    })
}

fn user_timeout(view: &View) -> Option<Warning> {
    let (user_timeout, timeout) = (view.own.kernel.user_timeout()?, view.own.policy.timeout()?);
    (user_timeout < timeout).then_some(Warning::UserTimeoutTooShort {
        on: view.side,
        user_timeout,
        timeout,
    })
}

#[cfg(test)]
mod tests;
