//! Frames encoded by hand, so that a fault of the crates' own encoder cannot hide in both ends.

use heartwire::v1::{Hello, Offer};
use heartwire_core::internal::v1::{BEAT_LEN, Beat};

use crate::patient;

/// The type of a beat.
pub const HEART: i32 = 0;
/// The type of data.
pub const DATA: i32 = 1;
/// The type of HELLO.
pub const HELLO: i32 = 2;
/// The type of WELCOME.
pub const WELCOME: i32 = 3;
/// The type of BYE.
pub const BYE: i32 = 4;
/// The type of PAD.
pub const PAD: i32 = 5;

/// The type of an ACK.
pub const ACK: i32 = 6;
/// The type of an END.
pub const END: i32 = 7;

/// The tutorial's empty packet: type 0, length 0.
pub const BEAT: [u8; 8] = [0; 8];

/// The header of a frame, as the tutorial encodes it.
#[must_use]
pub fn header(kind: i32, length: i32) -> Vec<u8> {
    [kind.to_le_bytes(), length.to_le_bytes()].concat()
}

/// A frame of any type.
#[must_use]
pub fn frame(kind: i32, body: &[u8]) -> Vec<u8> {
    [&header(kind, i32::try_from(body.len()).unwrap())[..], body].concat()
}

/// The tutorial's data packet.
#[must_use]
pub fn data(body: &[u8]) -> Vec<u8> {
    frame(DATA, body)
}

/// A HELLO that offers [`patient`].
#[must_use]
pub fn hello() -> Vec<u8> {
    Hello::new(Offer::new(&patient())).encode()
}

/// A HELLO with a name, and perhaps a token.
#[must_use]
pub fn hello_as(name: &str, token: Option<&[u8]>) -> Vec<u8> {
    let mut hello = Hello::new(Offer::new(&patient()));
    hello.name = Some(name);
    hello.token = token;
    hello.encode()
}

/// A beat of v1 without information.
#[must_use]
pub fn beat_of(nonce: u64) -> Beat {
    Beat { nonce, promise_ms: 100, ..Beat::decode(&[0; BEAT_LEN]) }
}
