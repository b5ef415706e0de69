//! How a client's last connection ended, as its HELLO says.

use core::time::Duration;

use super::cbor::Reader;
use super::map::{Map, cut, millis, nested};
use crate::time;

/// Longest reason, in bytes: more than the longest name of one. Longer ones are cut when they are
/// encoded.
pub(in crate::v1) const MAX_REASON_LEN: usize = 32;

/// How a client's last connection ended. It is for people who look into an incident: a verdict of
/// the client reached its server as a reset, or not at all. Nothing checks what the client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastConnection<'a> {
    /// Why it ended: a short name, such as `dead`. Escape it before you show it: the client chose
    /// the text.
    pub reason: &'a str,
    /// How long before the HELLO it ended, in whole milliseconds. [`u32::MAX`] of them stand for
    /// that and more.
    pub ago: Duration,
    /// The id that its server gave it in the WELCOME, if it came that far.
    pub session: Option<u64>,
}

impl<'a> LastConnection<'a> {
    /// The end of a connection. A reason of more than 32 bytes is cut.
    #[must_use]
    pub const fn new(reason: &'a str, ago: Duration, session: Option<u64>) -> Self {
        Self { reason, ago, session }
    }

    pub(super) fn write(&self, map: &mut Map<'_>, key: u16) {
        map.map(key, |map| {
            map.text(0, Some(cut(self.reason, MAX_REASON_LEN)));
            map.number(1, Some(time::millis(self.ago)));
            if let Some(session) = self.session {
                map.number(2, Some(session));
            }
        });
    }

    pub(super) fn read(d: &mut Reader<'a>) -> Option<Self> {
        let (mut reason, mut ago, mut session) = (None, None, None);
        nested(d, |key, d| {
            match key {
                0 => reason = Some(d.text(MAX_REASON_LEN)?),
                1 => ago = Some(millis(d)?),
                2 => session = Some(d.u64()?),
                _ => d.skip()?,
            }
            Some(())
        })?;
        Some(Self { reason: reason?, ago: ago?, session })
    }
}

#[cfg(test)]
mod tests;
