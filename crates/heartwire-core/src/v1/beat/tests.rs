use super::*;

/// The beat of the golden frame in `PROTOCOL.md`.
const BEAT: Beat = Beat {
    nonce: 0x0102_0304_0506_0708,
    echo: 0x1112_1314_1516_1718,
    held_us: 0x2122_2324,
    silence_ms: 0x3132_3334,
    promise_ms: 10_000,
    late_ms: 0x4142,
    health: Health::Draining,
    too_fast: true,
};

#[rustfmt::skip]
const BODY: [u8; BEAT_LEN] = [
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, // nonce
    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, // echo
    0x24, 0x23, 0x22, 0x21, // held
    0x34, 0x33, 0x32, 0x31, // silence
    0x10, 0x27, 0x00, 0x00, // promise
    0x42, 0x41, // late
    2, // health
    1, // notices
];

#[test]
fn a_beat_lies_on_the_protocol_as_specified() {
    assert_eq!(BEAT.encode(), BODY);
    assert_eq!(Beat::decode(&BODY), BEAT);
}

#[test]
fn unknown_health_is_degraded_and_unknown_notices_are_ignored() {
    let mut body = BODY;
    body[30] = 77;
    body[31] = 0xfe;
    let beat = Beat::decode(&body);
    assert_eq!((beat.health, beat.too_fast), (Health::Degraded, false));
}

#[test]
fn a_promise_of_nothing_is_none() {
    assert_eq!(Beat { promise_ms: 0, ..BEAT }.promise(), None);
    assert_eq!(BEAT.promise(), Some(Duration::from_secs(10)));
}
