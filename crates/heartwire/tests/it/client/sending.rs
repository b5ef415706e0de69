//! What becomes of messages.

use heartwire::Reason;
use heartwire::client::{SendError, WhileDisconnected};
use heartwire_testkit::{ClientRig, Got, Peer, fixed, ms, pass};

/// A length that fits into no buffer of a kernel without a rest, so that one message is always cut.
const LEN: usize = 65_521;

/// As many of these fit into the default of 256 KiB with their heads.
const WAITING: usize = 4;

fn number(body: &[u8]) -> u32 {
    assert_eq!(body.len(), LEN);
    u32::from_le_bytes(body[..4].try_into().unwrap())
}

fn read_numbers(peer: &mut Peer, count: usize) -> Vec<u32> {
    peer.expect_heart();
    (0..count)
        .map(|_| match peer.next() {
            Got::Data(body) => number(&body),
            other => panic!("expected a message: {other:?}"),
        })
        .collect()
}

#[test]
fn messages_are_refused_without_a_connection() {
    let (rig, server, peer) = ClientRig::online_with(|config| config.retry(fixed(ms(2_000))));
    drop(peer);
    rig.expect_offline();
    let refused = rig.client().try_send(b"news".to_vec()).unwrap_err();
    assert!(matches!(refused, SendError::NotConnected(_)));
    assert!(refused.is_retryable());
    assert_eq!(format!("{refused:?}"), "NotConnected(4 bytes)");
    assert_eq!(refused.into_data(), b"news");
    let refused = rig.wait(rig.client().send(b"news".to_vec())).unwrap_err();
    assert!(matches!(refused, SendError::NotConnected(_)));
    rig.waiting();
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    rig.send(b"fresh news");
    peer.expect_heart();
    peer.expect_data(b"fresh news");
}

#[test]
fn queued_messages_go_out_on_the_next_connection_in_order_after_the_first_beat() {
    let queue = WhileDisconnected::Queue;
    let (rig, server, peer) = ClientRig::online_with(|config| config.while_disconnected(queue));
    drop(peer);
    assert_eq!(rig.expect_offline().unsent, 0);
    for n in 0..100 {
        rig.send(&[n]);
    }
    rig.waiting();
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    peer.expect_heart();
    for n in 0..100 {
        peer.expect_data(&[n]);
    }
}

#[test]
fn refused_mode_drops_and_counts_what_was_waiting() {
    let (rig, server, peer) = ClientRig::online_with(|config| config);
    let accepted = rig.fill(LEN);
    // When the kernel takes no more, as many are left as there is room for.
    peer.reset();
    let offline = rig.expect_offline();
    assert_eq!(offline.reason, Reason::Reset);
    assert_eq!(offline.unsent, WAITING, "of {accepted}");
    // None of them is left over for the next connection.
    rig.waiting();
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    rig.send(b"new");
    peer.expect_heart();
    peer.expect_data(b"new");
}

#[test]
fn a_message_whose_writing_began_is_never_sent_again() {
    let queue = WhileDisconnected::Queue;
    let (rig, server, peer) = ClientRig::online_with(|config| config.while_disconnected(queue));
    let accepted = rig.fill(LEN);
    peer.reset();
    let offline = rig.expect_offline();
    assert_eq!(offline.unsent, 1, "the one that was cut");
    rig.waiting();
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    let left = WAITING - 1;
    let numbers = read_numbers(&mut peer, left);
    let expected: Vec<u32> = (0..accepted).rev().take(left).rev().collect();
    assert_eq!(numbers, expected);
    rig.send(b"new");
    peer.expect_data(b"new");
}

#[test]
fn a_full_queue_refuses_and_gives_the_message_back() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    let accepted = rig.fill(LEN);
    let refused = rig.client().try_send(vec![9; LEN]).unwrap_err();
    assert!(matches!(refused, SendError::Full(_)));
    assert!(refused.is_retryable());
    assert_eq!(refused.into_data().len(), LEN);
    // A small one still fits.
    rig.client().try_send(vec![9]).unwrap();
    // And when the server reads, so does a large one.
    let waiting = rig.client().clone();
    let sender = rig.runtime.spawn(async move { waiting.send(vec![8; LEN]).await });
    let numbers = read_numbers(&mut peer, usize::try_from(accepted).unwrap());
    assert_eq!(numbers, (0..accepted).collect::<Vec<_>>());
    peer.expect_data(&[9]);
    peer.expect_data(&[8; LEN]);
    rig.wait(sender).unwrap().unwrap();
}

#[test]
fn a_message_that_waits_for_room_is_refused_when_the_connection_ends() {
    let (rig, _server, peer) = ClientRig::online_with(|config| config);
    rig.fill(LEN);
    let waiting = rig.client().clone();
    let sender = rig.runtime.spawn(async move { waiting.send(vec![8; LEN]).await });
    peer.reset();
    rig.expect_offline();
    let refused = rig.wait(sender).unwrap();
    // It may also have slipped into the next connection, if that was quicker.
    assert!(matches!(refused, Ok(()) | Err(SendError::NotConnected(_))), "{refused:?}");
}

#[test]
fn a_message_that_waits_for_room_is_refused_when_the_client_is_closed() {
    let (rig, _server, _peer) = ClientRig::online_with(|config| config);
    rig.fill(LEN);
    let waiting = rig.client().clone();
    let sender = rig.runtime.spawn(async move { waiting.send(vec![8; LEN]).await });
    rig.client().close();
    let refused = rig.wait(sender).unwrap();
    assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
}

#[test]
fn the_longest_message_fits_and_a_longer_one_never_does() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.outbound_max(100));
    peer.expect_heart();
    for _ in 0..3 {
        rig.send(&[5; 92]);
        peer.expect_data(&[5; 92]);
    }
    match rig.wait(rig.client().send(vec![5; 93])) {
        Err(SendError::TooLong { data, max: 92 }) => assert_eq!(data.len(), 93),
        other => panic!("{other:?}"),
    }
    assert!(matches!(rig.client().try_send(vec![5; 93]), Err(SendError::TooLong { .. })));
}

#[test]
fn empty_messages_are_frames_too() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    rig.send(b"");
    rig.send(b"x");
    peer.expect_heart();
    peer.expect_data(b"");
    peer.expect_data(b"x");
}

#[test]
fn messages_of_many_threads_each_arrive_once() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.outbound_max(1000));
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

#[test]
fn flushing_waits_until_nothing_waits() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    rig.wait(rig.client().flush());
    rig.fill(LEN);
    let client = rig.client().clone();
    let flushing = rig.runtime.spawn(async move { client.flush().await });
    // Nothing can be written before the server reads.
    pass(ms(50));
    assert!(!flushing.is_finished());
    peer.expect_heart();
    let reader = std::thread::spawn(move || while peer.next() != Got::Closed {});
    rig.wait(flushing).unwrap();
    rig.client().close();
    reader.join().unwrap();
}
