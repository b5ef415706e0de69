//! WELCOME: a server's answer to a client that it accepts.

#[cfg(any(feature = "alloc", test))]
use alloc::vec::Vec;
use core::time::Duration;

use super::VERSION;
use super::map::{Body, Map, entries};
use super::resume::{ResumeTerms, Resumed, position, put_position};
use crate::frame::Kind;
use crate::policy::Millis;
use crate::resume::Position;
use crate::time;
use crate::v1::contract::{Contract, Direction};
use crate::violation::Violation;

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
    /// How this new session can be resumed; `None` if it cannot.
    pub resume: Option<ResumeTerms>,
    /// This connection goes on with the session that the client has [asked](super::Resuming) for.
    pub resumed: Option<Resumed>,
    /// The client has asked for a session that has ended: up to where the server had taken over
    /// what the client sent, if that is still known.
    pub lost: Option<Position>,
}

impl Welcome {
    /// A WELCOME that does not say how long the HELLO was held, nor how long a frame may be.
    #[must_use]
    pub const fn new(session: u64, epoch: u64, contract: Contract) -> Self {
        Self {
            session,
            epoch,
            contract,
            held_us: None,
            max_frame: None,
            resume: None,
            resumed: None,
            lost: None,
        }
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

    /// Adds how the session can be resumed.
    #[must_use]
    pub const fn resume(mut self, terms: Option<ResumeTerms>) -> Self {
        self.resume = terms;
        self
    }

    /// Says that the session goes on.
    #[must_use]
    pub const fn resumed(mut self, resumed: Resumed) -> Self {
        self.resumed = Some(resumed);
        self
    }

    /// Says up to where the server had taken over what came in the session that has ended.
    #[must_use]
    pub const fn lost(mut self, taken: Option<Position>) -> Self {
        self.lost = taken;
        self
    }

    /// The whole frame.
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

    /// The whole frame, with [grease](super::Hello#grease) as `seed` says.
    #[cfg(any(feature = "alloc", test))]
    #[must_use]
    pub fn encode_greased(&self, seed: u64) -> Vec<u8> {
        self.to_vec(Some(seed))
    }

    /// As [`encode_to`](Self::encode_to), with [grease](super::Hello#grease) as `seed` says.
    #[must_use]
    pub fn encode_greased_to(&self, seed: u64, out: &mut [u8]) -> Option<usize> {
        self.write_whole(Some(seed), out)
    }

    /// Decodes the body of a frame, whose length was checked in its header.
    ///
    /// # Errors
    ///
    /// [`Violation::BadWelcome`] if it is not as specified.
    #[doc(hidden)]
    pub fn decode(body: &[u8]) -> Result<Self, Violation> {
        Self::read(body).ok_or(Violation::BadWelcome)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let mut numbers = [None; 13];
        let (mut resume, mut resumed, mut lost) = (None, None, None);
        entries(body, |key, d| {
            match key {
                0..=12 => *numbers.get_mut(usize::try_from(key).ok()?)? = Some(d.u64()?),
                // The client has not asked for it.
                13..=15 if !cfg!(feature = "resume") => return None,
                13 => resume = Some(ResumeTerms::read(d)?),
                14 => resumed = Some(Resumed::read(d)?),
                15 => lost = Some(position(d)?),
                _ => d.skip()?,
            }
            Some(())
        })?;
        let [version, session, epoch, durations @ .., wake_bytes, held_us, max_frame] = numbers;
        version.filter(|&version| version == VERSION.into())?;
        let mut millis = [None; 7];
        for (millis, duration) in millis.iter_mut().zip(durations) {
            if let Some(duration) = duration {
                *millis = Some(Millis::new(u32::try_from(duration).ok()?)?);
            }
        }
        let [
            interval,
            timeout,
            max_timeout,
            client_interval,
            client_timeout,
            client_max_timeout,
            min_interval,
        ] = millis;
        let contract = Contract::of_parts(
            Direction::of_parts(interval, timeout, max_timeout?),
            Direction::of_parts(client_interval, client_timeout, client_max_timeout?),
            min_interval?,
            u32::try_from(wake_bytes?).ok()?,
        );
        let (session, epoch) = (session?, epoch?);
        let held_us = held_us.map(u32::try_from).transpose().ok()?;
        let max_frame = max_frame.map(u32::try_from).transpose().ok()?;
        Some(Self { session, epoch, contract, held_us, max_frame, resume, resumed, lost })
    }
}

impl Body for Welcome {
    const KIND: Kind = Kind::Welcome;

    fn fill(&self, map: &mut Map<'_>) {
        let Contract { to_server, to_client, min_interval, wake_bytes } = &self.contract;
        map.number(0, Some(VERSION));
        map.number(1, Some(self.session));
        map.number(2, Some(self.epoch));
        map.millis(3, to_server.interval);
        map.millis(4, to_server.timeout);
        map.millis(5, Some(to_server.max_timeout));
        map.millis(6, to_client.interval);
        map.millis(7, to_client.timeout);
        map.millis(8, Some(to_client.max_timeout));
        map.millis(9, Some(*min_interval));
        map.number(10, Some(*wake_bytes));
        map.number(11, self.held_us);
        map.number(12, self.max_frame);
        if let Some(resume) = &self.resume {
            resume.write(map, 13);
        }
        if let Some(resumed) = &self.resumed {
            resumed.write(map, 14);
        }
        put_position(map, 15, self.lost);
    }
}
