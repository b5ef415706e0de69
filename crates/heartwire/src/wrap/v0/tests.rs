use super::*;

fn decode_all(codec: &mut Codec, bytes: &mut BytesMut) -> Vec<Frame> {
    core::iter::from_fn(|| codec.decode(bytes).unwrap()).collect()
}

#[test]
fn frames_come_back_as_they_were() {
    let mut codec = Codec::new();
    let mut bytes = BytesMut::new();
    let body = Bytes::from_static(b"hello");
    codec.encode(Frame::Beat, &mut bytes).unwrap();
    codec.encode(Frame::Data(body.clone()), &mut bytes).unwrap();
    codec.encode(body.clone(), &mut bytes).unwrap();
    codec.encode(Bytes::new(), &mut bytes).unwrap();
    assert_eq!(bytes.len(), 8 + 13 + 13 + 8);
    assert_eq!(bytes[..8], BEAT);
    let data = Frame::Data(body);
    let frames = [Frame::Beat, data.clone(), data, Frame::Data(Bytes::new())];
    assert_eq!(decode_all(&mut codec, &mut bytes), frames);
}

#[test]
fn frames_in_any_pieces_are_the_same() {
    let mut codec = Codec::new();
    let mut whole = BytesMut::new();
    for n in 0..5_u8 {
        codec.encode(Frame::Beat, &mut whole).unwrap();
        codec.encode(Bytes::from(vec![n; usize::from(n)]), &mut whole).unwrap();
    }
    let frames = decode_all(&mut codec, &mut whole.clone());
    for piece_len in 1..20 {
        let mut codec = Codec::new();
        let mut bytes = BytesMut::new();
        let mut found = Vec::new();
        for piece in whole.chunks(piece_len) {
            bytes.extend_from_slice(piece);
            found.extend(decode_all(&mut codec, &mut bytes));
        }
        assert_eq!(found, frames, "in pieces of {piece_len}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_from_its_head() {
    let mut codec = Codec::new().body_len_max(10);
    let mut bytes = BytesMut::from(&[1, 0, 0, 0, 11, 0, 0, 0][..]);
    let error = codec.decode(&mut bytes).unwrap_err();
    assert!(matches!(error, Error::Violation(Violation::TooLong { length: 11, max: 10 })));
    assert_eq!(
        error.to_string(),
        "protocol error: a frame announced 11 bytes, more than the 10 allowed"
    );
}

#[test]
fn an_end_within_a_frame_is_an_error_and_between_frames_it_is_not() {
    let mut codec = Codec::new();
    let mut bytes = BytesMut::from(&BEAT[..]);
    assert_eq!(codec.decode_eof(&mut bytes).unwrap(), Some(Frame::Beat));
    assert_eq!(codec.decode_eof(&mut bytes).unwrap(), None);
    let mut bytes = BytesMut::from(&BEAT[..5]);
    assert!(matches!(codec.decode_eof(&mut bytes), Err(Error::Truncated { len: 5 })));
}
