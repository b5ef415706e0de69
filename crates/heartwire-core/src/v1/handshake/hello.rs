//! HELLO: the first frame of a client.

#[cfg(any(feature = "alloc", test))]
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZero;

use super::VERSION;
use super::cbor::Reader;
use super::last::LastConnection;
use super::map::{Body, Map, cut, duration, entries};
use super::resume::{ResumeOffer, Resuming};
use crate::frame::Kind;
use crate::v1::contract::Offer;
use crate::violation::Violation;

/// Longest body of a HELLO, and of a WELCOME: more than twice the size of all fields at their
/// longest. Checked on the header alone.
pub const MAX_HELLO_LEN: u32 = 2048;
/// Longest name of a client, in bytes: the longest host name fits (RFC 1035).
pub const MAX_NAME_LEN: usize = 255;
/// Longest token, in bytes, so that a HELLO with one stays far below [`MAX_HELLO_LEN`].
pub const MAX_TOKEN_LEN: usize = 256;
/// Longest description of a program, in bytes.
pub const MAX_AGENT_LEN: usize = 64;

/// HELLO: the first frame of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello<'a> {
    /// The lowest and the highest protocol version that the client speaks.
    pub versions: (u8, u8),
    /// The client's name, if it has one.
    pub name: Option<&'a str>,
    /// The client's token, for authentication. Never printed.
    pub token: Option<&'a [u8]>,
    /// The heartbeat settings that the client can keep to, and wants.
    pub offer: Offer,
    /// The client's program, for logs.
    pub agent: Option<&'a str>,
    /// A random number that the client drew when it started, and keeps over its connections: of
    /// two with the same name, one that comes again is told from another one.
    pub instance: Option<NonZero<u64>>,
    /// The longest DATA body that the client accepts, in bytes, if it says so.
    pub max_frame: Option<u32>,
    /// How the client's last connection ended, if it says so.
    pub last: Option<LastConnection<'a>>,
    /// What the client would keep, so that its session can be resumed; `None` if it cannot.
    pub resume: Option<ResumeOffer>,
    /// The session that it goes on with, if there is one. Not without `resume`.
    pub resuming: Option<Resuming>,
}

/// Debug output omits the token.
impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("versions", &self.versions)
            .field("name", &self.name)
            .field("token", &self.token.map(|_| "(not shown)"))
            .field("offer", &self.offer)
            .field("agent", &self.agent)
            .field("instance", &self.instance)
            .field("max_frame", &self.max_frame)
            .field("last", &self.last)
            .field("resume", &self.resume)
            .field("resuming", &self.resuming)
            .finish()
    }
}

impl<'a> Hello<'a> {
    /// A HELLO with this offer and no name.
    #[must_use]
    pub const fn new(offer: Offer) -> Self {
        Self {
            versions: (VERSION, VERSION),
            name: None,
            token: None,
            offer,
            agent: None,
            instance: None,
            max_frame: None,
            last: None,
            resume: None,
            resuming: None,
        }
    }

    /// Encodes the frame. A name that is too long is sent all the same, so that the server rejects
    /// the client: it must not connect without its name. A token or an agent that is too long is
    /// left out.
    #[cfg(any(feature = "alloc", test))]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_vec(None)
    }

    /// Writes the whole frame to the start of `out`, and returns its length; `None` if it has no
    /// room there.
    #[must_use]
    pub fn encode_to(&self, out: &mut [u8]) -> Option<usize> {
        self.write_whole(None, out)
    }

    /// Encodes the frame, with [grease](Self#grease) as `seed` says.
    ///
    /// # Grease
    ///
    /// About half of the frames get one more entry, which means nothing and is skipped, so that no
    /// program comes to rely on the keys of today. The same seed gives the same frame.
    #[cfg(any(feature = "alloc", test))]
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.to_vec(Some(seed))
    }

    /// As [`encode_to`](Self::encode_to), with [grease](Self#grease) as `seed` says.
    #[must_use]
    pub fn encode_greased_to(&self, seed: u64, out: &mut [u8]) -> Option<usize> {
        self.write_whole(Some(seed), out)
    }

    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Violation> {
        // The other keys of a client of a later version may be different.
        if let Some((lowest, highest)) = offered_versions(body) {
            if !(lowest..=highest).contains(&VERSION) {
                return Err(Violation::NoCommonVersion { lowest, highest });
            }
        }
        Self::read(body).ok_or(Violation::BadHello)
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (mut versions, mut name, mut token, mut agent) = (None, None, None, None);
        let (mut instance, mut max_frame, mut last) = (None, None, None);
        let (mut resume, mut resuming) = (None, None);
        let mut durations = [None; 5];
        entries(body, |key, d| {
            match key {
                0 => versions = Some(version_range(d)?),
                1 => name = Some(d.text(MAX_NAME_LEN)?),
                2 => token = Some(d.bytes().filter(|token| token.len() <= MAX_TOKEN_LEN)?),
                3..=7 => {
                    let slot = usize::try_from(key).ok()?.checked_sub(3)?;
                    *durations.get_mut(slot)? = Some(duration(d)?);
                }
                8 => agent = Some(d.text(MAX_AGENT_LEN)?),
                9 => instance = Some(NonZero::new(d.u64()?)?),
                10 => max_frame = Some(d.u32()?),
                11 => last = Some(LastConnection::read(d)?),
                12 => resume = Some(ResumeOffer::read(d)?),
                13 => resuming = Some(Resuming::read(d)?),
                _ => d.skip()?,
            }
            Some(())
        })?;
        let [interval, min_interval, want, timeout, max_timeout] = durations;
        let offer = Offer::of_parts(interval, min_interval, want, timeout, max_timeout?);
        if resuming.is_some() && resume.is_none() {
            return None;
        }
        Some(Self {
            versions: versions?,
            name,
            token,
            offer,
            agent,
            instance,
            max_frame,
            last,
            resume,
            resuming,
        })
    }
}

impl Body for Hello<'_> {
    const KIND: Kind = Kind::Hello;

    fn fill(&self, map: &mut Map<'_>) {
        map.pair(0, self.versions.0.into(), self.versions.1.into());
        // A part is enough to be rejected, and keeps the frame within its length.
        map.text(1, self.name.map(|name| cut(name, 4 * MAX_NAME_LEN)));
        if let Some(token) = self.token.filter(|token| token.len() <= MAX_TOKEN_LEN) {
            map.key(2).bytes(token);
        }
        map.millis(3, self.offer.interval);
        map.millis(4, self.offer.min_interval);
        map.millis(5, self.offer.want);
        map.millis(6, self.offer.timeout);
        map.millis(7, Some(self.offer.max_timeout));
        map.text(8, self.agent.filter(|agent| agent.len() <= MAX_AGENT_LEN));
        if let Some(instance) = self.instance {
            map.number(9, Some(instance.get()));
        }
        map.number(10, self.max_frame);
        if let Some(last) = &self.last {
            last.write(map, 11);
        }
        if let Some(resume) = &self.resume {
            resume.write(map, 12);
        }
        if let Some(resuming) = &self.resuming {
            resuming.write(map, 13);
        }
    }
}

/// The versions in a HELLO: before them any keys and values that can be skipped, after them
/// anything. `None` if there are none.
fn offered_versions(body: &[u8]) -> Option<(u8, u8)> {
    let mut reader = Reader::new(body);
    for _ in 0..reader.map()? {
        let is_versions = reader.clone().u64() == Some(0);
        reader.skip()?;
        if is_versions {
            return version_range(&mut reader);
        }
        reader.skip()?;
    }
    None
}

fn version_range(d: &mut Reader<'_>) -> Option<(u8, u8)> {
    d.array_of(2)?;
    let (lowest, highest) = (d.u8()?, d.u8()?);
    (lowest <= highest).then_some((lowest, highest))
}

#[cfg(test)]
mod tests;
