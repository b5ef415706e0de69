//! Beats that are due, and beats that are answered.

use super::*;

#[test]
fn a_beat_is_written_in_each_interval_whatever_else_is_where_the_peer_alone_judges() {
    Rig::new(patient(Policy::builder().interval(ms(3_000))))
        .wake(2_999, &[])
        .wake(3_000, &[WroteBeat])
        .wake(3_000, &[])
        .sent(5_000)
        .next(6_000)
        .wake(6_000, &[WroteBeat])
        .wake(8_000, &[]);
}

#[test]
fn a_full_send_buffer_asks_for_no_more_beats() {
    let mut rig = Rig::new(patient(Policy::builder().interval(ms(3_000)).timeout(ms(9_000))));
    rig.connection.handle_heard(at(2_000));
    let next = rig.connection.poll(at(3_000), Outbound::Waiting);
    assert!(matches!(next, Next::SleepUntil(Some(until)) if until == at(5_000)), "{next:?}");
    rig.wake(3_001, &[]).next(5_000);
}

#[test]
fn a_full_send_buffer_takes_the_place_of_no_question() {
    let mut rig = Rig::new(patient(Policy::builder().interval(ms(3_000)).timeout(ms(9_000))));
    let next = rig.connection.poll(at(3_000), Outbound::Blocked);
    assert!(matches!(next, Next::SleepUntil(Some(until)) if until == at(9_000)), "{next:?}");
    let mut waiting = rig.connection.clone();
    assert!(matches!(waiting.poll(at(3_001), Outbound::Waiting), Next::Write(_)), "in front");
    rig.wake(3_001, &[WroteBeat]).next(6_001);
}

/// A peer that sends only answers to beats lives, whatever other data it receives, and gets a beat
/// once in an interval at most.
#[test]
fn a_peer_that_only_answers_lives_while_data_flows() {
    const BEAT: u64 = 1_000;
    const RTT: u64 = 20;
    for between in [1, 3, 250, 500, 999, 1_000, 1_001, 1_500, 2_500, 2_999, 3_000] {
        let asks = Policy::builder().interval(ms(BEAT)).timeout(ms(3 * BEAT));
        let mut rig = Rig::new(patient(asks));
        let (mut asked, mut answers) = (0, Vec::new());
        for millis in 1..100 * BEAT {
            if answers.first() == Some(&millis) {
                answers.remove(0);
                rig = rig.receive(millis, &frame::BEAT, &[Beat]);
            }
            if millis % between == 0 {
                rig = rig.sent(millis);
            }
            let mut beats = Vec::new();
            rig.turn(millis, &mut beats);
            let lives = beats.iter().all(|seen| *seen == WroteBeat);
            assert!(lives, "data each {between} ms: {beats:?} at {millis} ms");
            answers.extend(beats.iter().map(|_| millis + RTT));
            asked += beats.len();
        }
        assert!((1..100).contains(&asked), "{asked} beats in 100 s, with data each {between} ms");
    }
}

#[test]
fn a_client_can_beat_at_the_start() {
    Rig::new(patient(Policy::builder().interval(ms(3_000))))
        .beat_now()
        .wake(0, &[WroteBeat])
        .next(3_000);
}

#[test]
fn an_end_that_echoes_never_begins() {
    Rig::new(settings(echo()))
        .beat_now()
        .wake(0, &[])
        .receive(1_000, &frame::BEAT, &[Beat, WroteBeat])
        .wake(1_000, &[]);
}

#[test]
fn each_beat_is_answered_once_and_data_is_not() {
    Rig::new(settings(echo()))
        .receive(1_000, &frame::BEAT, &[Beat, WroteBeat])
        .wake(1_000, &[])
        .receive(2_000, &[0; 16], &[Beat, Beat, WroteBeat, WroteBeat])
        .receive(3_000, &packet(b"hello"), &[data(b"hello")])
        .wake(60_000, &[]);
}

#[test]
fn an_end_that_does_not_echo_answers_nothing() {
    Rig::new(settings(timeout(15_000))).receive(1_000, &frame::BEAT, &[Beat]);
}

#[test]
fn a_flood_of_beats_is_owed_64_answers_at_most() {
    let mut expected = vec![Beat; 1_000];
    expected.extend(vec![WroteBeat; 64]);
    Rig::new(settings(echo())).receive(1_000, &[0; 8_000], &expected).receive(
        2_000,
        &frame::BEAT,
        &[Beat, WroteBeat],
    );
}

/// What two ends exchange when the server asks and the client answers, both judging.
#[test]
fn two_ends_that_ask_and_answer_do_not_loop() {
    let asks = settings(Policy::builder().interval(ms(3_000)).timeout(ms(9_000)));
    let answers = settings(echo().peer_interval(ms(3_000)).timeout(ms(9_000)));
    let mut asking = Connection::new(asks, at(0));
    let mut answering = Connection::new(answers, at(0));
    let (mut asked, mut answered) = (0, 0);
    for millis in 0..60_000 {
        let now = at(millis);
        let (beats, over) = turn(&mut asking, now, None);
        assert_eq!(over, None);
        for beat in beats {
            asked += 1;
            answering.handle_heard(now);
            assert_eq!(answering.handle_received(now, &mut beat.as_ref()), Ok(Some(Event::Beat)));
        }
        let (beats, over) = turn(&mut answering, now, None);
        assert_eq!(over, None);
        for beat in beats {
            answered += 1;
            asking.handle_heard(now);
            assert_eq!(asking.handle_received(now, &mut beat.as_ref()), Ok(Some(Event::Beat)));
        }
    }
    assert_eq!((asked, answered), (19, 19));
}
