//! The links of a session, and what is under way on them.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::v1::{ResumeOffer, ResumeTerms, Secret};
use heartwire_core::{FrameLimits, Policy, Protocol, Settings};

pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
pub(crate) const GRACE: Duration = Duration::from_secs(120);
pub(crate) const SESSION: u64 = 99;
/// Both ends know the key.
pub(crate) const PROOF: Secret = Secret([7; 32]);

/// What is the same on every link.
pub(crate) struct Links {
    pub(crate) policy: Policy,
    pub(crate) offered: ResumeOffer,
    agreed: ResumeOffer,
    pub(crate) wake_bytes: u8,
    pub(crate) number: u32,
}

impl Links {
    pub(crate) fn new(offered: ResumeOffer, agreed: ResumeOffer, wake_bytes: u8) -> Self {
        let policy = Policy::builder().interval(INTERVAL).build().expect("it has no timeout");
        Self { policy, offered, agreed, wake_bytes, number: 0 }
    }

    pub(crate) fn settings(&self, protocol: Protocol) -> Settings {
        let limits =
            FrameLimits::default().max_frame(1 << 20).handshake_timeout(None).frame_timeout(None);
        Settings::new(self.policy).protocol(protocol).limits(limits)
    }

    pub(crate) fn terms(&self) -> ResumeTerms {
        ResumeTerms { server: 7, key: PROOF, agreed: self.agreed }
    }
}

/// Bytes on their way to an end.
#[derive(Default)]
pub(crate) struct Way(VecDeque<u8>);

impl Way {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The first of them arrive.
    pub(crate) fn arrive(&mut self, len: usize) -> Vec<u8> {
        self.0.drain(..len.min(self.0.len())).collect()
    }
}
