//! Heartbeats of length-delimited protocols.

use bytes::Bytes;

use super::beat::Beat;

/// Heartbeats as empty frames. For `LengthDelimitedCodec` of tokio-util, and other codecs of byte
/// frames, if the application never sends an empty frame.
///
/// Both ends send the same frame. It is answered only with [`Policy::echo`](crate::Policy::echo).
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "an empty frame has no settings")]
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
