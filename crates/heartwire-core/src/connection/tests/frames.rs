//! Frames and raw bytes, and headers that break the protocol.

use super::*;

#[test]
fn frames_of_one_read_come_one_by_one() {
    let bytes = [frame::BEAT.to_vec(), packet(b"a"), packet(b""), frame::BEAT.to_vec()].concat();
    Rig::new(settings(timeout(15_000))).receive(
        1_000,
        &bytes,
        &[Beat, data(b"a"), data(b""), Beat],
    );
}

#[test]
fn bytes_of_a_frame_half_arrived_are_left_alone() {
    let mut connection = Connection::new(settings(timeout(15_000)), at(0));
    let bytes = packet(b"hello");
    let mut rest = &bytes[..12];
    assert_eq!(connection.handle_received(at(1), &mut rest), Ok(None));
    assert_eq!(rest, &bytes[..12]);
}

#[test]
fn every_bad_header_ends_the_connection_once() {
    for (header, violation) in [
        ([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], Violation::NegativeLength { length: -1 }),
        ([1, 0, 0, 0, 0, 0, 0, 0x80], Violation::NegativeLength { length: i32::MIN }),
        ([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], Violation::NegativeLength { length: -1 }),
        ([1, 0, 0, 0, 1, 0, 1, 0], Violation::TooLong { length: 65_537, max: 65_536 }),
        ([0, 0, 0, 0, 1, 0, 0, 0], Violation::BeatWithBody { length: 1 }),
        ([2, 0, 0, 0, 0, 0, 0, 0], unknown([2, 0, 0, 0, 0, 0, 0, 0])),
        ([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], unknown([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])),
        (*b"GET / HT", unknown(*b"GET / HT")),
        ([0x16, 3, 1, 2, 0, 1, 0, 1], unknown([0x16, 3, 1, 2, 0, 1, 0, 1])),
    ] {
        Rig::new(settings(echo().timeout(ms(15_000))))
            .receive(1_000, &header, &[Refused(violation)])
            .ended();
    }
}

fn unknown(header: [u8; 8]) -> Violation {
    Violation::UnknownType { header }
}

#[test]
fn frames_before_a_bad_header_still_count() {
    let bytes = [packet(b"last words"), b"GET / HTTP/1.1\r\n".to_vec()].concat();
    Rig::new(settings(timeout(15_000)))
        .receive(1_000, &bytes, &[data(b"last words"), Refused(unknown(*b"GET / HT"))])
        .ended();
}

#[test]
fn a_bad_header_is_refused_as_soon_as_it_is_whole() {
    Rig::new(settings(timeout(15_000))).receive(1_000, b"GET / H", &[]).receive(
        1_001,
        b"T",
        &[Refused(unknown(*b"GET / HT"))],
    );
}

#[test]
fn the_longest_body_is_the_applications_choice() {
    let capped = |bytes| settings(timeout(15_000)).limits(FrameLimits::default().max_frame(bytes));
    Rig::new(capped(4)).receive(0, &packet(b"four"), &[data(b"four")]);
    let too_long = Violation::TooLong { length: 5, max: 4 };
    Rig::new(capped(4)).receive(0, &packet(b"fives")[..8], &[Refused(too_long)]);
    let limits = FrameLimits::default().max_frame(u32::MAX);
    assert_eq!(limits.max_frame, frame::MAX_FRAME);
}

#[test]
fn on_a_raw_protocol_all_bytes_are_data_and_life() {
    Rig::new(settings(timeout(15_000)).protocol(Protocol::Raw))
        .next(15_000)
        .receive(14_000, b"GET / HTTP/1.1", &[data(b"GET / HTTP/1.1")])
        .receive(14_500, &frame::BEAT, &[data(&frame::BEAT)])
        .next(29_500)
        .wake(29_500, &[Dead { silence: 15_000 }])
        .ended();
}

#[test]
fn on_a_raw_protocol_there_are_no_beats() {
    let settings = Settings::new(Policy::default()).protocol(Protocol::Raw);
    assert_eq!(settings.policy().interval(), None);
    Rig::new(settings).beat_now().wake(10_000, &[]).next(30_000);
    let echoing = Settings::new(echo().build().unwrap()).protocol(Protocol::Raw);
    Rig::new(echoing).receive(1_000, &[0; 8], &[data(&[0; 8])]).next(None);
}

#[test]
fn on_a_raw_protocol_the_peer_promised_no_beats() {
    let settings = Settings::new(Policy::default()).protocol(Protocol::Raw);
    let bound = settings.policy().bound_after_fault(ms(100)).unwrap();
    assert_eq!((bound.earliest, bound.latest), (ms(0), ms(30_100)));
}

#[test]
fn a_body_is_sent_behind_its_header_and_raw_bytes_behind_nothing() {
    let header = |protocol, body_len| {
        let connection = Connection::new(settings(timeout(15_000)).protocol(protocol), at(0));
        connection.data_header(body_len).map(|header| header.as_ref().to_vec())
    };
    assert_eq!(header(Protocol::V0, 5), Some(vec![1, 0, 0, 0, 5, 0, 0, 0]));
    assert_eq!(header(Protocol::V0, usize::MAX), None);
    assert_eq!(header(Protocol::Raw, usize::MAX), Some(vec![]));
}

#[test]
fn no_bytes_are_no_frame() {
    Rig::new(settings(timeout(15_000))).receive(1_000, b"", &[]).next(10_000);
    Rig::new(settings(timeout(15_000)).protocol(Protocol::Raw)).receive(1_000, b"", &[]);
}
