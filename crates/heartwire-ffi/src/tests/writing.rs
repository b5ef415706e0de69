use heartwire_core::frame::Kind;

use super::rig::{Calls, Rig, Told, beat};
use crate::abi::{Protocol, Status, Step};

#[test]
fn a_socket_that_takes_byte_by_byte_gets_whole_frames() {
    let mut rig = Rig::welcomed(1, |_| {});
    assert_eq!(rig.send(b"one"), Status::OK);
    assert_eq!(rig.send(&[2; 100]), Status::OK);
    for _ in 0..3_000 {
        rig.now += 1;
        if rig.poll() == Step::Write {
            rig.write(1);
        }
        if rig.now % 900 == 0 {
            rig.feed_all(&beat(rig.now));
            rig.events();
        }
    }
    rig.settle();
    let kinds = rig.kinds();
    assert_eq!(kinds.iter().filter(|&&kind| kind == Kind::Data).count(), 2);
    assert!(kinds.iter().filter(|&&kind| kind == Kind::Heart).count() >= 3, "{kinds:?}");
}

#[test]
fn a_beat_overtakes_messages_but_does_not_break_into_one() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    rig.written.clear();
    assert_eq!(rig.send(&[1; 100]), Status::OK);
    assert_eq!(rig.send(&[2; 100]), Status::OK);
    assert_eq!(rig.poll(), Step::Write);
    rig.write(50);
    rig.feed_all(&beat(1));
    rig.events();
    rig.now += 1_000;
    rig.settle();
    assert_eq!(rig.kinds(), [Kind::Data, Kind::Heart, Kind::Data]);
}

#[test]
fn beats_do_not_pile_up_for_a_socket_that_takes_nothing() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    rig.written.clear();
    assert_eq!(rig.send(&[1; 10]), Status::OK);
    rig.write(1);
    for nonce in 0..20 {
        rig.now += 1_000;
        rig.feed_all(&beat(nonce));
        rig.events();
        while rig.poll() == Step::Read {
            rig.read_done(false);
        }
    }
    rig.write_all();
    assert_eq!(rig.kinds(), [Kind::Data, Kind::Heart]);
}

#[test]
fn a_short_message_is_filled_up_so_that_it_wakes_the_server() {
    for (tx_len, piece) in [(600, 1_000), (600, 1), (200, 1_000), (200, 7)] {
        let mut rig = Rig::welcomed(300, |config| config.tx_len = tx_len);
        rig.settle();
        // The first beat is news.
        let frames = rig.frames();
        assert_eq!(
            frames.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [Kind::Heart, Kind::Pad]
        );
        assert_eq!(40 + 8 + frames[1].1.len(), 300);
        assert_eq!(rig.send(b"hi"), Status::OK);
        while rig.poll() == Step::Write {
            rig.write(piece);
        }
        let frames = rig.frames();
        assert_eq!(frames[0], (Kind::Data, b"hi".to_vec()));
        assert_eq!(frames[1], (Kind::Pad, vec![0; 300 - 10 - 8]));
        assert_eq!(frames.len(), 2);
    }
}

#[test]
fn a_message_that_is_long_enough_needs_no_pad() {
    let mut rig = Rig::welcomed(161, |_| {});
    rig.settle();
    rig.written.clear();
    assert_eq!(rig.send(&[1; 153]), Status::OK);
    rig.settle();
    assert_eq!(rig.kinds(), [Kind::Data]);
}

#[test]
fn the_room_for_messages_is_as_told() {
    let mut rig = Rig::welcomed(1, |config| config.tx_len = 400);
    rig.settle();
    assert_eq!(rig.send_room(), 400 - 56 - 8);
    assert_eq!(rig.send(&[1; 400 - 56 - 7]), Status::ERR_TOO_LONG);
    assert_eq!(rig.send(&[1; 200]), Status::OK);
    let room = rig.send_room();
    assert_eq!(rig.send(&vec![2; room + 1]), Status::ERR_ROOM);
    assert_eq!(rig.send(&vec![2; room]), Status::OK);
    assert_eq!(rig.send(b""), Status::ERR_ROOM);
    rig.settle();
    assert_eq!(rig.send(b""), Status::OK);
}

#[test]
fn a_message_longer_than_the_server_takes_is_refused() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    rig.connected();
    rig.write_all();
    let welcome = rig.welcome(1, |welcome| welcome.max_frame(10));
    rig.feed_all(&welcome);
    rig.events();
    assert_eq!(rig.send_room(), 10);
    assert_eq!(rig.send(&[1; 11]), Status::ERR_TOO_LONG);
    assert_eq!(rig.send(&[1; 10]), Status::OK);
}

#[test]
fn data_replaces_beats_of_v0_but_not_of_v1() {
    for (protocol, beats) in [(Protocol::V0, 0), (Protocol::V1, 5)] {
        let mut rig = match protocol {
            Protocol::V1 => Rig::welcomed(1, |_| {}),
            Protocol::V0 | Protocol::Raw => {
                let mut rig = Rig::new(protocol, |_| {});
                rig.connected();
                rig
            }
        };
        rig.settle();
        rig.written.clear();
        for round in 1..=50 {
            rig.now += 100;
            let from_server = if protocol == Protocol::V1 { beat(round) } else { vec![0; 8] };
            if round % 5 == 0 {
                rig.feed_all(&from_server);
                rig.events();
            }
            assert_eq!(rig.send(b"x"), Status::OK);
            rig.settle();
        }
        let kinds = rig.kinds();
        let sent = kinds.iter().filter(|&&kind| kind == Kind::Heart).count();
        assert!((beats..=beats + beats / 2).contains(&sent), "{protocol:?}: {sent}");
    }
}

#[test]
fn a_promise_is_told_and_clamped_and_forgotten_with_the_connection() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    rig.written.clear();
    assert_eq!(rig.promise(5_000), Ok(5_000));
    assert!(rig.deadline() <= rig.now);
    rig.settle();
    let frames = rig.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].1[24..28], 5_000_u32.to_le_bytes());
    assert_eq!(rig.link().unwrap().interval_ms, 5_000);
    assert_eq!(rig.promise(1), Ok(1_000));
    assert_eq!(rig.promise(u32::MAX), Ok(1_800_000));
    assert_eq!(rig.promise(0), Ok(1_000));
    rig.settle();
    assert_eq!(rig.frames().last().unwrap().1[24..28], 1_000_u32.to_le_bytes());
}

#[test]
fn changes_in_haste_are_told_together() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.settle();
    rig.written.clear();
    for round in 0..100 {
        assert_eq!(rig.set_health(round % 2), Status::OK);
        rig.settle();
    }
    assert_eq!(rig.kinds().len(), 16);
    assert_eq!(rig.set_health(2), Status::OK);
    rig.settle();
    rig.run_to(rig.now + 1_100);
    let frames = rig.frames();
    assert_eq!(frames.last().unwrap().1[30], 2);
    assert_eq!(rig.set_health(3), Status::ERR_ARGUMENT);
}

#[test]
fn a_health_from_before_the_connection_is_in_the_first_beat() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    assert_eq!(rig.set_health(1), Status::OK);
    rig.connected();
    rig.write_all();
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.written.clear();
    rig.feed_all(&welcome);
    assert!(matches!(rig.events()[..], [Told::Welcome { .. }]));
    rig.write_all();
    assert_eq!(rig.frames()[0].1[30], 1);
}
