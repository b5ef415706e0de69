//! What becomes of messages, and what waits are drawn.

use super::*;

#[test]
fn a_message_that_is_not_accepted_is_given_back() {
    let mut rig = Rig::online(|config| config.max_queue(100));
    rig.toy.state().room = 0;
    let refusal = |rig: &Rig, len: usize| rig.client.try_send(vec![5; len]).unwrap_err();
    let too_long = refusal(&rig, 93);
    assert!(matches!(&too_long, SendError::TooLong { data, max: 92 } if data.len() == 93));
    assert!(!too_long.is_retryable());

    rig.client.try_send(vec![5; 82]).unwrap();
    rig.wait();
    let full = refusal(&rig, 3);
    assert!(matches!(full, SendError::Full(_)) && full.is_retryable());
    assert_eq!(full.into_data(), [5; 3]);
    rig.client.try_send(vec![6; 2]).unwrap();
    // When the server reads, so does the longest that there is.
    rig.toy.take_written();
    rig.toy.state().room = 1000;
    rig.wait();
    assert_eq!(rig.toy.take_written().len(), 90 + 10);
    rig.client.try_send(vec![7; 92]).unwrap();
    rig.wait();

    rig.is_left(&[]);
    let refused = refusal(&rig, 4);
    assert_eq!(format!("{refused:?}"), "NotConnected(4 bytes)");
    assert!(refused.is_retryable());
    rig.client.close();
    rig.client.close();
    let closed = refusal(&rig, 4);
    assert!(matches!(closed, SendError::Closed(_)) && !closed.is_retryable());
    assert_eq!(closed.into_data(), [5; 4]);
}

#[test]
fn the_same_seed_draws_the_same_waits_and_another_seed_others() {
    let policy = BackoffPolicy::default().first(SECOND).cap(SECOND * 4).stable(SECOND * 100);
    let waits = |seed: Option<u64>| {
        let mut rig = Rig::new(|config| {
            let reconnect = Reconnect::new(policy);
            config.reconnect(seed.map_or(reconnect, |seed| reconnect.seed(seed)))
        });
        let waits = (0..5).map(|_| {
            let wait = rig.fails();
            let left = rig.left(wait);
            rig.pass_until(wait);
            left
        });
        waits.collect::<Vec<Duration>>()
    };
    let first = waits(Some(1));
    assert_eq!(first, waits(Some(1)));
    assert_ne!(first, waits(Some(2)));
    assert_ne!(waits(None), waits(None));
    assert!(first[0] <= SECOND && first.iter().all(|&wait| wait <= SECOND * 4), "{first:?}");
}

#[test]
fn waits_start_small_again_only_after_a_connection_that_lasted() {
    let ms = Duration::from_millis;
    let policy = BackoffPolicy::default().first(ms(10)).cap(ms(10_000)).stable(ms(2_000));
    let mut rig = Rig::new(|config| config.reconnect(Reconnect::new(policy).seed(7)));
    let mut wait_after = |lasting: Duration| {
        rig.connects();
        rig.toy.pass(lasting);
        let Step::Wait(wait) = rig.is_left(&[]) else { panic!("it comes back") };
        let left = rig.left(wait);
        rig.pass_until(wait);
        left
    };
    // This seed draws something over 10 ms from the sixth maximum timeout of 320 ms.
    let waits: Vec<Duration> = (0..6).map(|_| wait_after(ms(0))).collect();
    assert!(waits[5] > ms(10), "{waits:?}");
    assert!(wait_after(ms(2_000)) <= ms(10));
}

#[test]
fn an_application_that_wants_no_news_is_no_reason_to_end() {
    let Rig { toy, client, events, mut life } = Rig::online(|config| config);
    drop(events);
    toy.send(&[1, 0, 0, 0, 0, 0, 0, 0].repeat(2000));
    client.try_send(vec![7]).unwrap();
    toy.take_written();
    while !toy.state().inbound.is_empty() {
        assert!(matches!(life.step(), Step::Wait(_)));
    }
    assert_eq!(toy.take_written(), [1, 0, 0, 0, 1, 0, 0, 0, 7]);
    toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    let Step::Wait(wait) = life.step() else { panic!("it goes on") };
    toy.pass(wait.until.unwrap().saturating_since(toy.now()));
    assert_eq!(life.step(), Step::Dial);
}
