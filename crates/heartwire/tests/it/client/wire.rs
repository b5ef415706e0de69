//! Bytes, in both directions and however they are cut.

use std::io::Read;

use heartwire::{Caps, Wire};
use heartwire_testkit::{BEAT, ClientRig, data};

#[test]
fn data_go_both_ways() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    peer.expect_heart();
    for n in 0..200_usize {
        let body: Vec<u8> = (0..n * 7).map(|i| u8::try_from(i % 251).unwrap()).collect();
        rig.send(&body);
        peer.expect_data(&body);
        peer.send(&data(&body));
        assert_eq!(rig.data(), body);
    }
}

#[test]
fn frames_longer_than_a_read_and_many_in_one_read() {
    let caps = Caps::default().body_len_max(4 << 20);
    let (rig, _server, mut peer) =
        ClientRig::online_with(|config| config.caps(caps).outbound_max(8 << 20));
    peer.expect_heart();
    let long: Vec<u8> = (0..4_usize << 20).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut stream = data(&long);
    for n in 0..500_u16 {
        stream.extend(data(&n.to_le_bytes()));
        stream.extend(BEAT);
    }
    stream.extend(data(&long));
    let mut sender = peer.stream.try_clone().unwrap();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut sender, &stream).unwrap());
    assert!(rig.data() == long);
    for n in 0..500_u16 {
        assert_eq!(rig.data(), n.to_le_bytes());
    }
    assert!(rig.data() == long);
    writer.join().unwrap();
    rig.send(&long);
    peer.expect_data(&long);
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 500);
}

/// The tutorial's server for raw bytes talks; its client turns them into capitals.
#[test]
fn raw_bytes_are_answered_in_capitals() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.wire(Wire::Raw));
    let text = b"Hello, world! 123\0\xff".repeat(1000);
    peer.send(&text);
    let mut received = 0;
    while received < text.len() {
        let mut data = rig.data();
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
