//! Windows, acknowledgements, and half-closes.

use super::*;

/// A message whose frame takes half of the window.
fn half() -> Vec<u8> {
    vec![5; 492]
}

const fn halves(frames: u64) -> Position {
    position(frames, 500 * frames)
}

#[test]
fn message_longer_than_half_a_window_is_given_back() {
    let rig = resumable(|config| config);
    let refused = rig.client.try_send(vec![5; 493]);
    assert!(matches!(refused, Err(SendError::TooLong { max: 492, .. })), "{refused:?}");
    rig.client.try_send(half()).unwrap();
}

#[test]
fn not_even_an_empty_message_fits_into_a_window_of_0() {
    let resume = Resume::default().window(WINDOW).grace(GRACE);
    for (window, fits) in [(0, false), (15, false), (16, true)] {
        let mut rig =
            Rig::new(|config| config.v1(V1::default()).policy(Policy::default()).resume(resume));
        rig.connects();
        rig.hello();
        rig.is_granted(window, None);
        let sent = rig.client.try_send(Vec::new());
        assert_eq!(matches!(sent, Err(SendError::TooLong { max: 0, .. })), !fits, "{window}");
        rig.wait();
        rig.assert_beat_and(if fits { &[1, 0, 0, 0, 0, 0, 0, 0] } else { &[] });
    }
}

#[test]
fn message_that_was_accepted_too_long_is_dropped_when_the_window_is_known() {
    let resume = Resume::default().window(WINDOW).grace(GRACE);
    let mut rig = Rig::new(|config| {
        config.v1(V1::default()).policy(Policy::default()).resume(resume).offline_queue(true)
    });
    rig.client.try_send(vec![5; 493]).unwrap();
    rig.client.try_send(vec![6]).unwrap();
    rig.connects();
    rig.hello();
    rig.is_welcomed(None);
    rig.assert_beat_and(&messages([6]));
}

#[test]
fn full_window_holds_messages_back_until_the_server_takes_some_over() {
    let mut rig = resumable(|config| config.max_queue(1000));
    for _ in 0..4 {
        rig.client.try_send(half()).unwrap();
        rig.wait();
    }
    assert_eq!(rig.toy.take_written().len(), 1000);
    let full = rig.client.try_send(half());
    assert!(matches!(full, Err(SendError::Full(_))), "the window pushes back: {full:?}");
    assert!(!rig.wait().message);
    // A beat tells it, too.
    let mut beat = frame(0, &[0; 48]);
    beat[BEAT_FRAME - 16..].copy_from_slice(&ack(halves(1))[HEADER_LEN..]);
    rig.toy.send(&beat);
    rig.wait();
    assert_eq!(rig.toy.take_written().len(), 500);
    rig.client.try_send(half()).unwrap();
    // What waits for the window is written after the resume, and not before it has room.
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.is_resumed(2, halves(2));
    rig.assert_beat_and(&[&[1, 0, 0, 0, 236, 1, 0, 0], &half()[..]].concat());
    rig.toy.send(&ack(halves(3)));
    rig.wait();
    assert_eq!(rig.toy.take_written().len(), 1000);
}

#[test]
fn data_is_acknowledged_once_a_quarter_of_the_window_is_taken_over() {
    let mut rig = resumable(|config| config);
    let frames: Vec<u8> = [&[1, 0, 0, 0, 242, 0, 0, 0][..], &[5; 242]].concat().repeat(2);
    rig.toy.send(&frames);
    rig.wait();
    rig.wait();
    assert_eq!(rig.toy.take_written(), [0; 0], "the application has taken nothing");
    assert_eq!(rig.told(), ["data", "data"]);
    rig.wait();
    assert_eq!(rig.toy.take_written(), ack(position(2, 500)));
    // Less than that waits for the next beat.
    rig.toy.send(&messages([1]));
    rig.wait();
    assert_eq!(rig.told(), ["data"]);
    rig.wait();
    assert_eq!(rig.toy.take_written(), [0; 0]);
}

#[test]
fn application_that_takes_nothing_has_its_data_kept_and_its_messages_acknowledged() {
    let toy = Toy::new();
    let resume = Resume::default().window(WINDOW).grace(GRACE);
    let config = ClientConfig::new("a:1").resume(resume);
    let (client, events, life) = open(config, toy.clone(), 3);
    let mut rig = Rig { toy, client, events, life };
    rig.connects();
    rig.hello();
    rig.is_welcomed(None);
    rig.toy.take_written();
    rig.sends([1]);
    rig.toy.send(&[messages(1..=9), ack(after(1))].concat());
    let wait = rig.wait();
    assert!(wait.readable && wait.room, "{wait:?}");
    let wait = rig.loses();
    assert_eq!(rig.comes_back(wait).received, after(9));
    rig.is_resumed(2, after(1));
    let written = rig.toy.take_written();
    assert_eq!(written[BEAT_FRAME - 16..], ack(after(0))[HEADER_LEN..], "nothing is taken over");
    // More than the window has room for is a breach.
    rig.toy.send(&messages([0]).repeat(103));
    rig.wait();
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    rig.wait();
    let mut names = Vec::new();
    while let Ok(event) = rig.events.try_recv() {
        names.push(event.name());
        if let Event::Offline { reason, .. } = event {
            assert_eq!(reason, Reason::Protocol(Violation::Window { window: WINDOW }));
        }
        rig.wait();
    }
    assert_eq!(names.iter().filter(|name| **name == "data").count(), 111, "{names:?}");
    let rest: Vec<_> = names.into_iter().filter(|name| *name != "data").collect();
    let expected =
        ["connecting", "online", "away", "waiting", "connecting", "back", "offline", "waiting"];
    assert_eq!(rest, expected);
}

#[test]
fn half_close_follows_the_accepted_messages_and_is_sent_again() {
    let mut rig = resumable(|config| config);
    rig.client.try_send(vec![1]).unwrap();
    assert!(rig.client.end());
    assert!(matches!(rig.client.try_send(vec![2]), Err(SendError::Ended(_))));
    assert!(rig.client.end());
    rig.wait();
    let all = [messages([1]), frame(7, &[])].concat();
    assert_eq!(rig.toy.take_written(), all);
    let wait = rig.loses();
    rig.comes_back(wait);
    rig.is_resumed(2, after(0));
    rig.assert_beat_and(&all);
    assert!(matches!(rig.client.try_send(vec![2]), Err(SendError::Ended(_))));
    rig.toy.send(&[messages([3]), frame(7, &[])].concat());
    rig.wait();
    let told = rig.told();
    assert_eq!(told[told.len() - 2..], ["data", "ended"]);
    let wait = rig.loses();
    assert_eq!(rig.comes_back(wait).received, position(2, 17));
    rig.told();
    let Step::Wait(wait) =
        rig.is_left(&Bye::new(ByeCode::NotResumable, RetryHint::AtWill).encode())
    else {
        panic!("it comes back")
    };
    // An END is no message.
    assert_eq!(rig.end(), (Reason::NotResumed, 0, undelivered(1, 1, false)));
    // The next session begins anew.
    rig.pass_until(wait);
    rig.connects();
    assert_eq!(rig.hello(), None);
    rig.is_welcomed(None);
    rig.assert_beat_and(&[]);
    rig.sends([4]);
    assert_eq!(rig.toy.take_written(), messages([4]));
}

#[test]
fn half_close_of_the_server_is_acknowledged_at_once() {
    let mut rig = resumable(|config| config);
    rig.toy.send(&[messages([1]), frame(7, &[])].concat());
    rig.wait();
    rig.wait();
    assert_eq!(rig.toy.take_written(), [0; 0]);
    assert_eq!(rig.told(), ["data", "ended"]);
    rig.wait();
    assert_eq!(rig.toy.take_written(), ack(position(2, 17)));
}

/// Also if it is read just before a beat, after what was taken over had been counted.
#[tokio::test]
async fn half_close_that_is_read_late_wakes_the_client_when_it_is_taken() {
    let mut rig = resumable(|config| config);
    rig.toy.state().is_unseen = true;
    rig.toy.send(&[messages([1]), frame(7, &[])].concat());
    while !rig.toy.state().inbound.is_empty() {
        let wait = rig.wait();
        rig.pass_until(wait);
    }
    let controls = rig.client.shared.controls.clone();
    let is_woken =
        async || tokio::time::timeout(Duration::ZERO, controls.changed.notified()).await.is_ok();
    while is_woken().await {}
    assert_eq!(rig.told(), ["data", "ended"]);
    assert!(is_woken().await);
    rig.toy.take_written();
    rig.wait();
    // A beat says it, too, if one is due.
    assert!(rig.toy.take_written().ends_with(&ack(position(2, 17))[HEADER_LEN..]));
}

#[test]
fn half_close_is_not_possible_where_the_session_cannot_be_resumed() {
    let rig = Rig::online(|config| config);
    assert!(!rig.client.end());
    rig.client.try_send(vec![1]).unwrap();
}

#[test]
fn data_after_the_servers_half_close_is_a_breach() {
    let mut rig = resumable(|config| config);
    rig.toy.send(&[frame(7, &[]), messages([1])].concat());
    rig.wait();
    rig.is_left(&[]);
    let (reason, ..) = rig.end();
    assert!(matches!(reason, Reason::Protocol(Violation::Unexpected { .. })), "{reason:?}");
}

/// As many messages as are written at once leave no room in the outbox for the END.
#[test]
fn half_close_does_not_wait_for_more_than_the_messages_before_it() {
    for count in [15, 16] {
        let mut rig = resumable(|config| config);
        for byte in 0..count {
            rig.client.try_send(vec![byte]).unwrap();
        }
        assert!(rig.client.end());
        rig.wait();
        assert_eq!(rig.toy.take_written(), [messages(0..count), frame(7, &[])].concat(), "{count}");
    }
}

#[test]
fn half_close_needs_no_room_in_the_window() {
    let mut rig = resumable(|config| config);
    let half = vec![5; 492];
    for _ in 0..2 {
        rig.client.try_send(half.clone()).unwrap();
    }
    assert!(rig.client.end());
    rig.wait();
    let written = rig.toy.take_written();
    assert_eq!((written.len(), &written[1000..]), (1008, &frame(7, &[])[..]));
}
