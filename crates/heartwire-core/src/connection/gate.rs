//! Which frames may come when, decided on the head alone.

use super::stage::Stage;
use crate::frame::{self, Head, Kind};
use crate::v1::{BEAT_LEN, BYE_LEN_MAX, HELLO_LEN_MAX, PAD_LEN_MAX};
use crate::violation::Violation;

impl Stage {
    /// Reads a head and says whether such a frame may come now, and may be that long. Everything that
    /// is not allowed is refused.
    pub(super) fn admit(
        &self,
        head: [u8; frame::HEAD_LEN],
        body_len_max: u32,
    ) -> Result<Head, Violation> {
        if matches!(self, Self::V0 { .. }) {
            return frame::v0_head(head, body_len_max);
        }
        let head = frame::read_head(head)?;
        let Head { kind, body_len } = head;
        let unexpected = Err(Violation::Unexpected { kind });
        match (self, kind) {
            (Self::Opening { v0: true, .. }, Kind::Heart | Kind::Data) => {
                frame::check_v0(head, body_len_max)?;
            }
            (Self::Opening { .. }, Kind::Hello) | (Self::Awaiting(_), Kind::Welcome) => {
                frame::check_len(body_len, HELLO_LEN_MAX)?
            }
            // A server that speaks v0 too asks a client that has not spoken yet. It is no answer.
            (Self::Awaiting(_), Kind::Heart) if body_len == 0 => {}
            (Self::Awaiting(_) | Self::V1(_) | Self::V1Rest, Kind::Bye) => {
                frame::check_len(body_len, BYE_LEN_MAX)?;
            }
            (Self::V1(_) | Self::V1Rest, Kind::Heart) => {
                if usize::try_from(body_len) != Ok(BEAT_LEN) {
                    return Err(Violation::BeatLength { length: body_len });
                }
            }
            (Self::V1(_) | Self::V1Rest, Kind::Data) => frame::check_len(body_len, body_len_max)?,
            (Self::V1(_) | Self::V1Rest, Kind::Pad) => frame::check_len(body_len, PAD_LEN_MAX)?,
            (Self::Opening { .. }, Kind::Heart | Kind::Data) => return unexpected,
            (Self::Opening { .. }, Kind::Welcome | Kind::Bye | Kind::Pad)
            | (Self::Awaiting(_), Kind::Heart | Kind::Data | Kind::Hello | Kind::Pad)
            | (Self::V1(_) | Self::V1Rest, Kind::Hello | Kind::Welcome)
            | (Self::Deciding { .. } | Self::Raw | Self::V0 { .. }, _) => return unexpected,
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests;
