//! Bytes, in both directions and however they are cut.

use std::io::Read;

use heartwire::{Caps, Wire};

use super::rig::{BEAT, Rig, data_frame, ms, pass};

#[test]
fn data_go_both_ways() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config);
    peer.expect_beat();
    for n in 0..200_usize {
        let body: Vec<u8> = (0..n * 7).map(|i| u8::try_from(i % 251).unwrap()).collect();
        rig.send(&body);
        peer.expect_data(&body);
        peer.write(&data_frame(&body));
        assert_eq!(rig.expect_data(), body);
    }
}

#[test]
fn frames_may_come_byte_by_byte() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config);
    let stream = [&data_frame(b"one")[..], &BEAT, &data_frame(b""), &data_frame(b"three")].concat();
    for byte in &stream {
        peer.write(&[*byte]);
        pass(ms(1));
    }
    assert_eq!(rig.expect_data(), b"one");
    assert_eq!(rig.expect_data(), b"");
    assert_eq!(rig.expect_data(), b"three");
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 1);
}

#[test]
fn frames_longer_than_a_read_and_many_in_one_read() {
    let caps = Caps::default().body_len_max(4 << 20);
    let (mut rig, _server, mut peer) =
        Rig::online(|config| config.caps(caps).outbound_max(8 << 20));
    peer.expect_beat();
    let long: Vec<u8> = (0..4_usize << 20).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut stream = data_frame(&long);
    for n in 0..500_u16 {
        stream.extend(data_frame(&n.to_le_bytes()));
        stream.extend(BEAT);
    }
    stream.extend(data_frame(&long));
    let mut sender = peer.stream.try_clone().unwrap();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut sender, &stream).unwrap());
    assert!(rig.expect_data() == long);
    for n in 0..500_u16 {
        assert_eq!(rig.expect_data(), n.to_le_bytes());
    }
    assert!(rig.expect_data() == long);
    writer.join().unwrap();
    rig.send(&long);
    peer.expect_data(&long);
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 500);
}

/// The tutorial's server for raw bytes talks; its client turns them into capitals.
#[test]
fn raw_bytes_are_answered_in_capitals() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config.wire(Wire::Raw));
    let text = b"Hello, world! 123\0\xff".repeat(1000);
    peer.write(&text);
    let mut received = 0;
    while received < text.len() {
        let mut data = rig.expect_data();
        received += data.len();
        data.make_ascii_uppercase();
        rig.send(&data);
    }
    assert_eq!(peer.read(text.len()), text.to_ascii_uppercase());
    rig.send(b"");
    rig.client().close();
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}
