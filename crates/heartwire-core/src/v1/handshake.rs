//! HELLO, WELCOME and BYE: frames whose bodies are CBOR maps with small integer keys.
//!
//! Unknown keys are skipped, so that later versions can add some. Anything else that is not as
//! specified is refused: a repeated key, bytes after the map, a text too long, a duration of zero,
//! anything of indefinite length.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZero;
use core::time::Duration;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use super::contract::{Contract, Direction, Offer};
use super::grease::grease;
use crate::codec;
use crate::frame::Kind;
use crate::policy::Millis;
use crate::time;
use crate::violation::Violation;

/// The version of the protocol that this crate speaks besides 0.
const VERSION: u8 = 1;
/// Longest body of a HELLO, and of a WELCOME: more than twice the size of all fields at their
/// longest. Checked on the header alone.
pub const MAX_HELLO_LEN: u32 = 2048;
/// Longest body of a BYE.
pub const MAX_BYE_LEN: u32 = 512;
/// Longest body of a PAD, and so the largest number of bytes that a server can ask to be woken
/// with.
pub const MAX_PAD_LEN: u32 = 64 * 1024;
/// Longest name of a client, in bytes: the longest host name fits (RFC 1035).
pub const MAX_NAME_LEN: usize = 255;
/// Longest token, in bytes, so that a HELLO with one stays far below [`MAX_HELLO_LEN`].
pub const MAX_TOKEN_LEN: usize = 256;
/// Longest description of a program, in bytes.
pub const MAX_AGENT_LEN: usize = 64;
/// Longest explanation in a BYE, in bytes. Longer ones are cut when they are encoded.
pub const MAX_DETAIL_LEN: usize = 256;

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
        }
    }

    /// Encodes the frame. A name that is too long is sent all the same, so that the server rejects
    /// the client: it must not connect without its name. A token or an agent that is too long is
    /// left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.map().frame(Kind::Hello)
    }

    /// Encodes the frame, with [grease](Self#grease) as `seed` says.
    ///
    /// # Grease
    ///
    /// About half of the frames get one more entry, which means nothing and is skipped, so that no
    /// program comes to rely on the keys of today. The same seed gives the same frame.
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.map().greased(Kind::Hello, seed).frame(Kind::Hello)
    }

    fn map(&self) -> Map {
        let mut map = Map::default();
        map.put(0, |e| {
            e.array(2)?.u8(self.versions.0)?.u8(self.versions.1)?;
            Ok(())
        });
        // A part is enough to be rejected, and keeps the frame within its length.
        map.text(1, self.name.map(|name| cut(name, 4 * MAX_NAME_LEN)));
        if let Some(token) = self.token.filter(|token| token.len() <= MAX_TOKEN_LEN) {
            map.put(2, |e| e.bytes(token).map(drop));
        }
        map.duration(3, self.offer.interval());
        map.duration(4, self.offer.shortest_interval());
        map.duration(5, self.offer.want());
        map.duration(6, self.offer.timeout());
        map.duration(7, Some(self.offer.longest_timeout()));
        map.text(8, self.agent.filter(|agent| agent.len() <= MAX_AGENT_LEN));
        if let Some(instance) = self.instance {
            map.put(9, |e| e.u64(instance.get()).map(drop));
        }
        map.u32(10, self.max_frame);
        map
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
        let (mut instance, mut max_frame) = (None, None);
        let mut durations = [None; 5];
        entries(body, |key, d| {
            match key {
                0 => versions = Some(version_range(d)?),
                1 => name = Some(text(d, MAX_NAME_LEN)?),
                2 => token = Some(d.bytes().ok().filter(|token| token.len() <= MAX_TOKEN_LEN)?),
                3..=7 => {
                    let slot = usize::try_from(key).ok()?.checked_sub(3)?;
                    *durations.get_mut(slot)? = Some(duration(d)?);
                }
                8 => agent = Some(text(d, MAX_AGENT_LEN)?),
                9 => instance = Some(NonZero::new(d.u64().ok()?)?),
                10 => max_frame = Some(d.u32().ok()?),
                _ => skip(d)?,
            }
            Some(())
        })?;
        let [interval, min_interval, want, timeout, max_timeout] = durations;
        let offer = Offer::of_parts(interval, min_interval, want, timeout, max_timeout?);
        Some(Self { versions: versions?, name, token, offer, agent, instance, max_frame })
    }
}

/// WELCOME: a server's answer to a client that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Welcome {
    /// The server's id of this session.
    pub session: u64,
    /// Number of this session among those with the client's name: later ones have higher numbers. 0
    /// without a name.
    pub epoch: u64,
    /// The settings in force from now on.
    pub contract: Contract,
    /// How long the server held the HELLO before it wrote this, in µs, if it says so: the client
    /// then knows the round trip at once. [`u32::MAX`] stands for that and more.
    pub held_us: Option<u32>,
    /// The longest DATA body that the server accepts, in bytes, if it says so.
    pub max_frame: Option<u32>,
}

impl Welcome {
    /// A WELCOME that does not say how long the HELLO was held, nor how long a frame may be.
    #[must_use]
    pub const fn new(session: u64, epoch: u64, contract: Contract) -> Self {
        Self { session, epoch, contract, held_us: None, max_frame: None }
    }

    /// Adds how long the HELLO was held.
    #[must_use]
    pub fn held(mut self, held: Duration) -> Self {
        self.held_us = Some(time::micros(held));
        self
    }

    /// Adds the longest DATA body that the server accepts.
    #[must_use]
    pub const fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = Some(bytes);
        self
    }

    /// The whole frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.map().frame(Kind::Welcome)
    }

    /// The whole frame, with [grease](Hello#grease) as `seed` says.
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.map().greased(Kind::Welcome, seed).frame(Kind::Welcome)
    }

    fn map(&self) -> Map {
        let Contract { to_server, to_client, min_interval, wake_bytes } = &self.contract;
        let mut map = Map::default();
        map.put(0, |e| e.u8(VERSION).map(drop));
        map.put(1, |e| e.u64(self.session).map(drop));
        map.put(2, |e| e.u64(self.epoch).map(drop));
        map.duration(3, to_server.interval());
        map.duration(4, to_server.timeout());
        map.duration(5, Some(to_server.max_timeout()));
        map.duration(6, to_client.interval());
        map.duration(7, to_client.timeout());
        map.duration(8, Some(to_client.max_timeout()));
        map.duration(9, Some(*min_interval));
        map.put(10, |e| e.u32(*wake_bytes).map(drop));
        map.u32(11, self.held_us);
        map.u32(12, self.max_frame);
        map
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Violation> {
        Self::read(body).ok_or(Violation::BadWelcome)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (mut version, mut session, mut epoch, mut wake_bytes) = (None, None, None, None);
        let (mut held_us, mut max_frame) = (None, None);
        let mut durations = [None; 7];
        entries(body, |key, d| {
            match key {
                0 => version = Some(d.u8().ok()?),
                1 => session = Some(d.u64().ok()?),
                2 => epoch = Some(d.u64().ok()?),
                3..=9 => {
                    let slot = usize::try_from(key).ok()?.checked_sub(3)?;
                    *durations.get_mut(slot)? = Some(duration(d)?);
                }
                10 => wake_bytes = Some(d.u32().ok()?),
                11 => held_us = Some(d.u32().ok()?),
                12 => max_frame = Some(d.u32().ok()?),
                _ => skip(d)?,
            }
            Some(())
        })?;
        version.filter(|&version| version == VERSION)?;
        let [
            interval,
            timeout,
            max_timeout,
            client_interval,
            client_timeout,
            client_max_timeout,
            min_interval,
        ] = durations;
        let contract = Contract::of_parts(
            Direction::of_parts(interval, timeout, max_timeout?),
            Direction::of_parts(client_interval, client_timeout, client_max_timeout?),
            min_interval?.duration(),
            wake_bytes?,
        );
        Some(Self { session: session?, epoch: epoch?, contract, held_us, max_frame })
    }
}

/// BYE: the last frame of an end, before it closes a connection on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bye<'a> {
    /// Why.
    pub code: ByeCode,
    /// Whether and when the other end should connect again.
    pub retry: RetryHint,
    /// A human-readable explanation; empty if there is none.
    pub detail: &'a str,
}

/// Why an end closes the connection. The numbers are those in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByeCode {
    /// 0: it has nothing more to send.
    Done,
    /// 1: it is being shut down.
    Draining,
    /// 2: the two ends cannot agree on a contract.
    Conflict,
    /// 3: the two ends have no protocol version in common.
    Version,
    /// 4: the token is missing, or not valid for this name.
    Unauthorized,
    /// 5: a newer session has this client's name.
    TakenOver,
    /// 6: another client has that name.
    NameInUse,
    /// 7: two clients take the same name from each other again and again.
    Fighting,
    /// 8: the other end sends beats far more often than agreed.
    TooFast,
    /// 9: the other end broke the protocol.
    Protocol,
    /// 10: there is no room.
    Full,
    /// 11: the other end does not read.
    SlowReader,
    /// 12: the application ended the session.
    Kicked,
    /// Any other number: a later version's reason, or from 1,000 on a private one.
    Other(u32),
}

impl ByeCode {
    const ALL: [(Self, u32, &'static str); 13] = [
        (Self::Done, 0, "done"),
        (Self::Draining, 1, "draining"),
        (Self::Conflict, 2, "conflict"),
        (Self::Version, 3, "version"),
        (Self::Unauthorized, 4, "unauthorized"),
        (Self::TakenOver, 5, "taken_over"),
        (Self::NameInUse, 6, "name_in_use"),
        (Self::Fighting, 7, "fighting"),
        (Self::TooFast, 8, "too_fast"),
        (Self::Protocol, 9, "protocol"),
        (Self::Full, 10, "full"),
        (Self::SlowReader, 11, "slow_reader"),
        (Self::Kicked, 12, "kicked"),
    ];

    /// A short name that does not change between versions, for logs and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or("other", |&(_, _, name)| name)
    }

    /// The number in the frame.
    #[must_use]
    pub fn number(self) -> u32 {
        if let Self::Other(number) = self {
            return number;
        }
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or(0, |&(_, number, _)| number)
    }

    fn of_number(number: u32) -> Self {
        let known = Self::ALL.iter().find(|&&(_, of, _)| of == number);
        known.map_or(Self::Other(number), |&(code, ..)| code)
    }
}

/// Whether and when to connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a client must know what to do with each")]
pub enum RetryHint {
    /// Do not connect again: it would be rejected.
    Never,
    /// When the client's own backoff says so.
    AtWill,
    /// At a random time between these.
    Within {
        /// The shortest wait.
        earliest: Duration,
        /// The longest wait.
        latest: Duration,
    },
}

impl<'a> Bye<'a> {
    /// A BYE without an explanation.
    #[must_use]
    pub const fn new(code: ByeCode, retry: RetryHint) -> Self {
        Self { code, retry, detail: "" }
    }

    /// Adds an explanation, cut to [`MAX_DETAIL_LEN`] bytes.
    #[must_use]
    pub const fn detail(mut self, detail: &'a str) -> Self {
        self.detail = detail;
        self
    }

    /// The whole frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.map().frame(Kind::Bye)
    }

    /// The whole frame, with [grease](Hello#grease) as `seed` says.
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.map().greased(Kind::Bye, seed).frame(Kind::Bye)
    }

    fn map(&self) -> Map {
        let mut map = Map::default();
        map.put(0, |e| e.u32(self.code.number()).map(drop));
        let (retry, window) = match self.retry {
            RetryHint::Never => (0, None),
            RetryHint::AtWill => (1, None),
            RetryHint::Within { earliest, latest } => (2, Some((earliest, latest))),
        };
        map.put(1, |e| e.u8(retry).map(drop));
        if let Some((earliest, latest)) = window {
            map.put(2, |e| e.u32(time::millis(earliest)).map(drop));
            map.put(3, |e| e.u32(time::millis(latest.max(earliest))).map(drop));
        }
        let detail = cut(self.detail, MAX_DETAIL_LEN);
        map.text(4, Some(detail).filter(|detail| !detail.is_empty()));
        map
    }

    /// Decodes the body of a frame. The caller has checked in its header that it is not longer than
    /// [`MAX_BYE_LEN`].
    ///
    /// # Errors
    ///
    /// [`Violation::BadBye`] if it is not as specified.
    #[doc(hidden)]
    pub fn decode(body: &'a [u8]) -> Result<Self, Violation> {
        Self::read(body).ok_or(Violation::BadBye)
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (mut code, mut retry, mut earliest, mut latest) = (None, None, None, None);
        let mut detail = "";
        entries(body, |key, d| {
            match key {
                0 => code = Some(ByeCode::of_number(d.u32().ok()?)),
                1 => retry = Some(d.u8().ok()?),
                2 => earliest = Some(millis(d)?),
                3 => latest = Some(millis(d)?),
                4 => detail = text(d, MAX_DETAIL_LEN)?,
                _ => skip(d)?,
            }
            Some(())
        })?;
        let retry = match (retry?, earliest, latest) {
            (0, _, _) => RetryHint::Never,
            (2, Some(earliest), Some(latest)) if earliest <= latest => {
                RetryHint::Within { earliest, latest }
            }
            (2, _, _) => return None,
            _ => RetryHint::AtWill,
        };
        Some(Self { code: code?, retry, detail })
    }
}

fn cut(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// A CBOR map that is being built.
#[derive(Default)]
pub(super) struct Map {
    entries: u64,
    body: Vec<u8>,
}

pub(super) type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

impl Map {
    pub(super) fn put(
        &mut self,
        key: u16,
        value: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written,
    ) {
        let mut encoder = Encoder::new(&mut self.body);
        // Writing to memory does not fail.
        let _ = encoder.u16(key).map(drop);
        let _ = value(&mut encoder);
        self.entries += 1;
    }

    fn text(&mut self, key: u16, text: Option<&str>) {
        if let Some(text) = text {
            self.put(key, |e| e.str(text).map(drop));
        }
    }

    fn u32(&mut self, key: u16, number: Option<u32>) {
        if let Some(number) = number {
            self.put(key, |e| e.u32(number).map(drop));
        }
    }

    fn duration(&mut self, key: u16, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.put(key, |e| e.u32(time::millis(duration)).map(drop));
        }
    }

    fn greased(mut self, kind: Kind, seed: u64) -> Self {
        grease(&mut self, kind, seed);
        self
    }

    fn frame(self, kind: Kind) -> Vec<u8> {
        let mut map = Vec::new();
        let _ = Encoder::new(&mut map).map(self.entries).map(drop);
        map.extend(self.body);
        let mut frame = Vec::new();
        frame.extend(codec::header(kind, map.len()).unwrap_or_default());
        frame.extend(map);
        frame
    }
}

/// The versions in a HELLO: before them any keys and values that can be skipped, after them
/// anything. `None` if there are none.
fn offered_versions(body: &[u8]) -> Option<(u8, u8)> {
    let mut decoder = Decoder::new(body);
    for _ in 0..decoder.map().ok()?? {
        if decoder.probe().u64().is_ok_and(|key| key == 0) {
            skip(&mut decoder)?;
            return version_range(&mut decoder);
        }
        skip(&mut decoder)?;
        skip(&mut decoder)?;
    }
    None
}

fn version_range(d: &mut Decoder<'_>) -> Option<(u8, u8)> {
    d.array().ok().flatten().filter(|&len| len == 2)?;
    let (lowest, highest) = (d.u8().ok()?, d.u8().ok()?);
    (lowest <= highest).then_some((lowest, highest))
}

/// Calls `take` for each entry of a map with its key and a decoder at its value. `None` if the body
/// is not exactly one map of definite length, or has a key twice.
fn entries<'a>(
    body: &'a [u8],
    mut take: impl FnMut(u64, &mut Decoder<'a>) -> Option<()>,
) -> Option<()> {
    let mut decoder = Decoder::new(body);
    let count = decoder.map().ok()??;
    let mut seen = Vec::new();
    for _ in 0..count {
        // A map that announces more entries than there are bytes ends here.
        let key = decoder.u64().ok()?;
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        take(key, &mut decoder)?;
    }
    (decoder.position() == body.len()).then_some(())
}

/// Skips the value of an unknown key, which must be well-formed CBOR with texts in UTF-8.
/// Everything in it has a definite length, so a counter is enough, however deep it is nested.
fn skip(d: &mut Decoder<'_>) -> Option<()> {
    let mut items = 1_u64;
    while let Some(rest) = items.checked_sub(1) {
        let within = match d.datatype().ok()? {
            Type::Array => d.array().ok()??,
            Type::Map => d.map().ok()??.checked_mul(2)?,
            Type::Tag => {
                d.tag().ok()?;
                1
            }
            Type::ArrayIndef
            | Type::MapIndef
            | Type::BytesIndef
            | Type::StringIndef
            | Type::Break
            | Type::Unknown(_) => return None,
            // RFC 8949, section 3.3: the values below 32 have one byte, and no other form.
            Type::Simple => {
                let at = d.position();
                let value = d.simple().ok()?;
                (d.position() == at + 1 || value >= 32).then_some(0)?
            }
            Type::Bool
            | Type::Null
            | Type::Undefined
            | Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int
            | Type::F16
            | Type::F32
            | Type::F64
            | Type::Bytes
            | Type::String => {
                d.skip().ok()?;
                0
            }
        };
        items = rest.checked_add(within)?;
    }
    Some(())
}

fn text<'a>(d: &mut Decoder<'a>, max_len: usize) -> Option<&'a str> {
    d.str().ok().filter(|text| text.len() <= max_len)
}

fn millis(d: &mut Decoder<'_>) -> Option<Duration> {
    d.u32().ok().map(|millis| Duration::from_millis(u64::from(millis)))
}

fn duration(d: &mut Decoder<'_>) -> Option<Millis> {
    d.u32().ok().and_then(Millis::new)
}

#[cfg(test)]
mod tests;
