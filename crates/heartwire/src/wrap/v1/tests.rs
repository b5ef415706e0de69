use super::*;

fn decode_all(codec: &mut Codec, bytes: &mut BytesMut) -> Vec<Frame> {
    core::iter::from_fn(|| codec.decode(bytes).unwrap()).collect()
}

fn beat(nonce: u64) -> BeatBody {
    let Frame::Beat(beat) = Heart::new(&Policy::default()).beat(nonce) else { panic!("a beat") };
    beat
}

#[test]
fn frames_in_any_pieces_come_back_as_they_were() {
    let frames = [
        Frame::Beat(beat(7)),
        Frame::Data(Bytes::new()),
        Frame::Data(Bytes::from_static(b"hello")),
        Frame::Pad,
        Frame::bye(ByeCode::Done),
    ];
    let mut whole = BytesMut::new();
    for frame in frames.clone() {
        Codec::new().encode(frame, &mut whole).unwrap();
    }
    for piece_len in 1..whole.len() {
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
fn what_may_not_come_now_or_is_too_long_is_refused_from_its_head() {
    let mut codec = Codec::new().body_len_max(10);
    let mut refuse = |kind, len| {
        let mut bytes = BytesMut::from(&frame::head(kind, len).unwrap()[..]);
        match codec.decode(&mut bytes) {
            Err(Error::Violation(violation)) => violation,
            other => panic!("{kind:?} of {len} bytes: {other:?}"),
        }
    };
    assert_eq!(refuse(Kind::Data, 11), Violation::TooLong { length: 11, max: 10 });
    assert_eq!(refuse(Kind::Pad, 65_537), Violation::TooLong { length: 65_537, max: 65_536 });
    assert_eq!(refuse(Kind::Bye, 513), Violation::TooLong { length: 513, max: 512 });
    assert_eq!(refuse(Kind::Heart, 0), Violation::BeatLength { length: 0 });
    assert_eq!(refuse(Kind::Heart, 33), Violation::BeatLength { length: 33 });
    assert_eq!(refuse(Kind::Hello, 1), Violation::Unexpected { kind: Kind::Hello });
    assert_eq!(refuse(Kind::Welcome, 1), Violation::Unexpected { kind: Kind::Welcome });
    assert_eq!(refuse(Kind::Bye, 0), Violation::BadBye);
}

#[test]
fn an_end_within_a_frame_is_an_error_and_between_frames_it_is_not() {
    let mut codec = Codec::new();
    let mut bytes = BytesMut::new();
    codec.encode(Frame::Pad, &mut bytes).unwrap();
    assert_eq!(codec.decode_eof(&mut bytes.clone()).unwrap(), Some(Frame::Pad));
    assert_eq!(codec.decode_eof(&mut BytesMut::new()).unwrap(), None);
    bytes.truncate(5);
    assert!(matches!(codec.decode_eof(&mut bytes), Err(Error::Truncated { len: 5 })));
}

#[test]
fn a_short_write_is_padded_to_what_wakes_the_peer_and_a_long_one_is_not() {
    for (wake, body, padded) in
        [(161, 0, 161), (161, 145, 161), (161, 150, 166), (161, 153, 161), (0, 5, 13), (1, 0, 8)]
    {
        let mut bytes = BytesMut::new();
        Codec::new().wake_bytes(wake).encode(Bytes::from(vec![1; body]), &mut bytes).unwrap();
        assert_eq!(bytes.len(), padded, "{body} bytes of {wake}");
        let frames = decode_all(&mut Codec::new(), &mut bytes);
        assert_eq!(frames[0], Frame::Data(Bytes::from(vec![1; body])));
    }
}

#[tokio::test(start_paused = true)]
async fn a_beat_gives_back_the_peers_last_nonce_and_how_long_it_was_held() {
    let secs = Duration::from_secs;
    let policy = Policy::builder().beat(secs(3)).limit(secs(10)).build().unwrap();
    let mut heart = Heart::new(&policy);
    let sent = |frame| {
        let Frame::Beat(beat) = frame else { panic!("{frame:?} is no beat") };
        beat
    };
    let first = sent(heart.beat_after(0, secs(0)));
    assert_eq!((first.nonce, first.echo, first.held_us, first.late_ms), (1, 0, 0, 0));
    assert_eq!(first.promise(), Some(secs(3)));
    let theirs = BeatBody { nonce: 500, echo: 1, held_us: 20_000, ..first };
    assert!(heart.is_beat(&Frame::Beat(theirs)));
    assert_eq!(heart.nonce(&Frame::Beat(theirs)), Some(0));
    assert_eq!(heart.held(&Frame::Beat(theirs)), Duration::from_millis(20));
    assert_eq!(heart.answer(&Frame::Beat(theirs)), Answer::Never);
    tokio::time::advance(Duration::from_millis(3_250)).await;
    // Neither is heard as a beat with a nonce.
    assert!(heart.is_beat(&Frame::Pad));
    assert!(!heart.is_beat(&Frame::Data(Bytes::new())));
    let second = sent(heart.beat_after(1, Duration::from_millis(1_500)));
    assert_eq!((second.nonce, second.echo, second.held_us), (2, 500, 3_250_000));
    assert_eq!((second.silence_ms, second.late_ms), (1_500, 250));
    // Before the first one, and where it was held for too long to say.
    assert_eq!(heart.nonce(&Frame::Beat(BeatBody { echo: 0, ..theirs })), None);
    assert_eq!(heart.nonce(&Frame::Beat(BeatBody { held_us: u32::MAX, ..theirs })), None);
}
