//! Bytes, in both directions and however they are cut.

use heartwire::FrameLimits;
use heartwire_testkit::{BEAT, ClientRig, Got, data};

#[test]
fn frames_longer_than_a_read_and_many_in_one_read() {
    let limits = FrameLimits::default().max_frame(4 << 20);
    let (rig, _server, mut peer) =
        ClientRig::online_with(|config| config.limits(limits).max_queue(8 << 20));
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
    for body in [b"", &long[..], b"x"] {
        rig.send(body);
        peer.expect_data(body);
    }
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 500);
}

#[test]
fn messages_of_many_tasks_each_arrive_once() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.max_queue(1000));
    for task in 0..8_u8 {
        let client = rig.client().clone();
        rig.runtime.spawn(async move {
            for n in 0..200_u8 {
                client.send(vec![task, n]).await.unwrap();
            }
        });
    }
    peer.expect_heart();
    let mut next = [0_u8; 8];
    for _ in 0..8 * 200 {
        let Got::Data(body) = peer.next() else { panic!("expected a message") };
        assert_eq!(body[1], next[usize::from(body[0])], "in order");
        next[usize::from(body[0])] += 1;
    }
}
