//! Beats of protocols whose frames are bytes with a length.

use bytes::Bytes;

use super::beat::Beat;

/// An empty frame is a beat. For `LengthDelimitedCodec` of tokio-util, and whatever else carries
/// bytes in frames in which the application never sends an empty one.
///
/// Both ends send the same frame, so nothing is answered, except with
/// [`Policy::echo`](crate::Policy::echo).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say about an empty frame")]
pub struct EmptyFrame;

impl<In: AsRef<[u8]>> Beat<In> for EmptyFrame {
    type Out = Bytes;

    fn is_beat(&mut self, item: &In) -> bool {
        item.as_ref().is_empty()
    }

    fn beat(&mut self, _nonce: u64) -> Bytes {
        Bytes::new()
    }
}
