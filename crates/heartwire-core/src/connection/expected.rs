//! Which frames are allowed in each state, decided on the header alone.

use super::stage::Stage;
use crate::codec::{self, Header};
use crate::frame::{self, Kind};
use crate::resume::Ledger;
use crate::v1::{BEAT_LEN, MAX_BEAT_LEN, MAX_BYE_LEN, MAX_HELLO_LEN, MAX_PAD_LEN};
use crate::violation::Violation;

impl Stage {
    /// Decodes a header and checks that its type and length are allowed in this state.
    pub(super) fn admit(
        &self,
        header: [u8; frame::HEADER_LEN],
        max_frame: u32,
    ) -> Result<Header, Violation> {
        if matches!(self, Self::V0 { .. }) {
            return codec::v0_header(header, max_frame);
        }
        let header = codec::read_header(header)?;
        let Header { kind, body_len } = header;
        let unexpected = Err(Violation::Unexpected { kind });
        match (self, kind) {
            (Self::Opening { v0: true, .. }, Kind::Heart | Kind::Data) => {
                codec::check_v0(header, max_frame)?;
            }
            (Self::Opening { .. }, Kind::Hello) | (Self::Awaiting(_), Kind::Welcome) => {
                codec::check_len(body_len, MAX_HELLO_LEN)?
            }
            // A server that also speaks v0 may send a v0 beat before it has read HELLO.
            (Self::Awaiting(_), Kind::Heart) if body_len == 0 => {}
            (Self::Awaiting(_) | Self::V1(_) | Self::V1Rest(_), Kind::Bye) => {
                codec::check_len(body_len, MAX_BYE_LEN)?;
            }
            (Self::V1(_) | Self::V1Rest(_), Kind::Heart) => {
                let len = usize::try_from(body_len).unwrap_or(usize::MAX);
                if !(BEAT_LEN..=MAX_BEAT_LEN).contains(&len) {
                    return Err(Violation::BeatLength { length: body_len });
                }
            }
            (Self::V1(_) | Self::V1Rest(_), Kind::Data | Kind::End)
                if self.ledger().is_some_and(Ledger::peer_has_ended) =>
            {
                return unexpected;
            }
            (Self::V1(_) | Self::V1Rest(_), Kind::Data) => codec::check_len(body_len, max_frame)?,
            (Self::V1(_) | Self::V1Rest(_), Kind::Pad) => codec::check_len(body_len, MAX_PAD_LEN)?,
            (Self::V1(_) | Self::V1Rest(_), Kind::Ack | Kind::End) if self.ledger().is_some() => {
                let len = usize::try_from(body_len).unwrap_or(usize::MAX);
                if kind == Kind::End {
                    codec::check_len(body_len, 0)?;
                } else if len != frame::ACK_LEN {
                    return Err(Violation::BadAck);
                }
            }
            (Self::Opening { .. }, Kind::Heart | Kind::Data) => return unexpected,
            (
                Self::Opening { .. },
                Kind::Welcome | Kind::Bye | Kind::Pad | Kind::Ack | Kind::End,
            )
            | (
                Self::Awaiting(_),
                Kind::Heart | Kind::Data | Kind::Hello | Kind::Pad | Kind::Ack | Kind::End,
            )
            | (
                Self::V1(_) | Self::V1Rest(_),
                Kind::Hello | Kind::Welcome | Kind::Ack | Kind::End,
            )
            | (Self::Deciding { .. } | Self::Raw | Self::V0 { .. }, _) => return unexpected,
        }
        Ok(header)
    }
}

#[cfg(test)]
#[cfg(feature = "resume")]
mod tests;
