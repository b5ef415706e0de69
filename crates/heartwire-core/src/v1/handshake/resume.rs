//! How a client and a server agree that a session can be resumed, and resume it.

use core::fmt;
use core::time::Duration;

use super::cbor::Reader;
use super::map::{Map, duration, nested};
use crate::resume::{MAX_WINDOW, MIN_WINDOW, Position};
use crate::time;

/// A key or a proof. Not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is these bytes")]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// What an end offers to keep for a resume, and what both have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is a part of the frame as sent")]
pub struct ResumeOffer {
    /// The most bytes of frames towards the server that may be unacknowledged.
    pub to_server: u32,
    /// The most bytes of frames towards the client that may be unacknowledged.
    pub to_client: u32,
    /// How long the session is kept without a connection.
    pub grace: Duration,
}

impl ResumeOffer {
    /// What a server grants that would keep as much as `own`: the smaller of each.
    #[must_use]
    pub fn agree(self, own: Self) -> Self {
        let window = |a: u32, b: u32| {
            let window = a.min(b).min(MAX_WINDOW);
            if window < MIN_WINDOW { 0 } else { window }
        };
        Self {
            to_server: window(self.to_server, own.to_server),
            to_client: window(self.to_client, own.to_client),
            grace: self.grace.min(own.grace),
        }
    }

    /// Whether a server may grant this to a client that offered `offered`.
    pub(crate) fn is_within(&self, offered: &Self) -> bool {
        self.to_server <= offered.to_server
            && self.to_client <= offered.to_client
            && self.grace <= offered.grace
    }

    fn put(&self, map: &mut Map<'_>, first: u16) {
        map.number(first, Some(self.to_server));
        map.number(first + 1, Some(self.to_client));
        map.number(first + 2, Some(time::millis(self.grace)));
    }

    fn of_parts(
        to_server: Option<u32>,
        to_client: Option<u32>,
        grace: Option<Duration>,
    ) -> Option<Self> {
        Some(Self { to_server: to_server?, to_client: to_client?, grace: grace? })
    }

    pub(super) fn write(&self, map: &mut Map<'_>, key: u16) {
        map.map(key, |map| self.put(map, 0));
    }

    pub(super) fn read(d: &mut Reader<'_>) -> Option<Self> {
        let (mut to_server, mut to_client, mut grace) = (None, None, None);
        nested(d, |key, d| {
            match key {
                0 => to_server = Some(d.u32()?),
                1 => to_client = Some(d.u32()?),
                2 => grace = Some(duration(d)?.duration()),
                _ => d.skip()?,
            }
            Some(())
        })?;
        Self::of_parts(to_server, to_client, grace)
    }
}

/// A client's demand to go on with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is a part of the frame as sent")]
pub struct Resuming {
    /// The server's number, from [`ResumeTerms::server`].
    pub server: u64,
    /// The session's id.
    pub session: u64,
    /// The number of this connection among those of the session, higher than any before.
    pub link: u32,
    /// Up to where the client has received what the server sent.
    pub received: Position,
    /// The client's proof that it has the session's key.
    pub proof: Secret,
    /// Not to make a new session if this one is gone.
    pub only: bool,
}

impl Resuming {
    pub(super) fn write(&self, map: &mut Map<'_>, key: u16) {
        map.map(key, |map| {
            map.number(0, Some(self.server));
            map.number(1, Some(self.session));
            map.number(2, Some(self.link));
            put_position(map, 3, Some(self.received));
            map.key(4).bytes(&self.proof.0);
            if self.only {
                map.key(5).raw(&[0xf5]);
            }
        });
    }

    pub(super) fn read(d: &mut Reader<'_>) -> Option<Self> {
        let (mut server, mut session, mut link) = (None, None, None);
        let (mut received, mut proof, mut only) = (None, None, false);
        nested(d, |key, d| {
            match key {
                0 => server = Some(d.u64()?),
                1 => session = Some(d.u64()?),
                2 => link = Some(d.u32()?),
                3 => received = Some(position(d)?),
                4 => proof = Some(secret(d)?),
                5 => only = d.bool()?,
                _ => d.skip()?,
            }
            Some(())
        })?;
        Some(Self {
            server: server?,
            session: session?,
            link: link?,
            received: received?,
            proof: proof?,
            only,
        })
    }
}

/// What a server grants to a new session that can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is a part of the frame as sent")]
pub struct ResumeTerms {
    /// A random number that the server drew when it started: ids of its sessions mean nothing to a
    /// server with another one.
    pub server: u64,
    /// The session's key, with which both ends prove that they are those of the first connection.
    pub key: Secret,
    /// The windows and the grace, for as long as the session lasts.
    pub agreed: ResumeOffer,
}

impl ResumeTerms {
    pub(super) fn write(&self, map: &mut Map<'_>, key: u16) {
        map.map(key, |map| {
            map.number(0, Some(self.server));
            map.key(1).bytes(&self.key.0);
            self.agreed.put(map, 2);
        });
    }

    pub(super) fn read(d: &mut Reader<'_>) -> Option<Self> {
        let (mut server, mut secret_key) = (None, None);
        let (mut to_server, mut to_client, mut grace) = (None, None, None);
        nested(d, |key, d| {
            match key {
                0 => server = Some(d.u64()?),
                1 => secret_key = Some(secret(d)?),
                2 => to_server = Some(d.u32()?),
                3 => to_client = Some(d.u32()?),
                4 => grace = Some(duration(d)?.duration()),
                _ => d.skip()?,
            }
            Some(())
        })?;
        let agreed = ResumeOffer::of_parts(to_server, to_client, grace)?;
        Some(Self { server: server?, key: secret_key?, agreed })
    }
}

/// A server's answer to [`Resuming`]: the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is a part of the frame as sent")]
pub struct Resumed {
    /// Up to where the server has received what the client sent.
    pub received: Position,
    /// The server's proof that it has the session's key.
    pub proof: Secret,
}

impl Resumed {
    pub(super) fn write(&self, map: &mut Map<'_>, key: u16) {
        map.map(key, |map| {
            put_position(map, 0, Some(self.received));
            map.key(1).bytes(&self.proof.0);
        });
    }

    pub(super) fn read(d: &mut Reader<'_>) -> Option<Self> {
        let (mut received, mut proof) = (None, None);
        nested(d, |key, d| {
            match key {
                0 => received = Some(position(d)?),
                1 => proof = Some(secret(d)?),
                _ => d.skip()?,
            }
            Some(())
        })?;
        Some(Self { received: received?, proof: proof? })
    }
}

/// Adds a position, as an array of two numbers.
pub(super) fn put_position(map: &mut Map<'_>, key: u16, position: Option<Position>) {
    if let Some(Position { frames, bytes }) = position {
        map.pair(key, frames, bytes);
    }
}

pub(super) fn position(d: &mut Reader<'_>) -> Option<Position> {
    d.array_of(2)?;
    Some(Position { frames: d.u64()?, bytes: d.u64()? })
}

fn secret(d: &mut Reader<'_>) -> Option<Secret> {
    d.bytes()?.try_into().ok().map(Secret)
}

#[cfg(test)]
#[cfg(feature = "resume")]
mod tests;
