use std::vec;
use std::vec::Vec;

use super::*;
use crate::connection::dialogue::Dialogue;
use crate::liveness::Cause;
use crate::order::{Found, Next, Outbound, Over};
use crate::pause::Pause;
use crate::policy::{PolicyBuilder, Preset, Side};
use crate::violation::Violation;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a driver sees. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Beat,
    Data(Vec<u8>),
    WroteBeat,
    Dead { silence: u128 },
    Refused(Violation),
}
use Seen::{Beat, Dead, Refused, WroteBeat};

fn data(body: &[u8]) -> Seen {
    Seen::Data(body.to_vec())
}

fn slow(millis: u64) -> Seen {
    Refused(Violation::SlowFrame { waited: ms(millis) })
}

fn no_first_frame(millis: u64) -> Seen {
    Refused(Violation::NoFirstFrame { waited: ms(millis) })
}

/// What a driver writes, and its result, with nothing to read and with this last pause.
pub(super) fn turn(
    connection: &mut Connection,
    now: Instant,
    pause: Option<Pause>,
) -> (Vec<Transmit>, Option<Over>) {
    let (mut written, mut end) = (Vec::new(), None);
    let mut next = connection.poll(now, Outbound::Clear);
    loop {
        next = match next {
            Next::ReadFirst(read) => connection.judge(read, Found::All, pause),
            Next::Write(transmit) => {
                assert!(end.is_none(), "{transmit:?} after the end");
                written.push(transmit);
                assert!(written.len() < 2_000, "it never stops");
                connection.poll(now, Outbound::Clear)
            }
            Next::Over(over) => {
                assert_eq!(end.replace(over), None, "it ends twice");
                connection.poll(now, Outbound::Clear)
            }
            Next::SleepUntil(until) => {
                assert_eq!(until, connection.poll_timeout());
                return (written, end);
            }
        };
    }
}

/// A driver of one connection that starts at 0 ms. It keeps the bytes of unfinished frames, and
/// writes whatever is to be written. Times are in milliseconds.
struct Rig {
    connection: Connection,
    unread: Vec<u8>,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings, at(0)), unread: Vec::new() }
    }

    #[track_caller]
    fn receive(mut self, millis: u64, bytes: &[u8], expected: &[Seen]) -> Self {
        self.connection.handle_heard(at(millis));
        self.unread.extend_from_slice(bytes);
        let mut rest = self.unread.as_slice();
        let mut seen = Vec::new();
        loop {
            match self.connection.handle_received(at(millis), &mut rest) {
                Ok(Some(Event::Beat)) => seen.push(Beat),
                Ok(Some(Event::Data(body))) => seen.push(data(body)),
                Ok(Some(event)) => panic!("{event:?} on v0"),
                Ok(None) => break,
                Err(violation) => seen.push(Refused(violation)),
            }
            assert!(seen.len() <= self.unread.len(), "more events than bytes: {seen:?}");
        }
        self.unread = rest.to_vec();
        self.turn(millis, &mut seen);
        assert_eq!(seen, expected, "at {millis} ms");
        self
    }

    #[track_caller]
    fn wake(mut self, millis: u64, expected: &[Seen]) -> Self {
        let mut seen = Vec::new();
        self.turn(millis, &mut seen);
        assert_eq!(seen, expected, "at {millis} ms");
        self
    }

    fn turn(&mut self, millis: u64, seen: &mut Vec<Seen>) {
        let (written, over) = turn(&mut self.connection, at(millis), None);
        for transmit in written {
            assert_eq!(transmit.as_ref(), frame::BEAT);
            seen.push(WroteBeat);
        }
        match over {
            Some(Over::Dead(verdict)) => {
                seen.push(Dead { silence: verdict.silence.as_millis() });
            }
            Some(Over::Broken(violation)) => seen.push(Refused(violation)),
            None => {}
        }
    }

    fn sent(mut self, millis: u64) -> Self {
        self.connection.handle_sent(at(millis));
        self
    }

    fn beat_now(mut self) -> Self {
        self.connection.beat_now();
        self
    }

    fn resumed(mut self, millis: u64) -> Self {
        self.connection.handle_pause(Pause::new(at(millis), ms(1_000)));
        self
    }

    fn no_room(mut self, millis: u64) -> Self {
        self.connection.handle_backpressure(at(millis));
        self
    }

    #[track_caller]
    fn next(self, millis: impl Into<Option<u64>>) -> Self {
        assert_eq!(self.connection.poll_timeout(), millis.into().map(at));
        self
    }

    /// Whatever happens now, nothing comes of it.
    #[track_caller]
    fn ended(self) -> Self {
        assert!(self.connection.has_ended());
        self.next(None)
            .beat_now()
            .receive(100_000, &frame::BEAT, &[])
            .receive(100_001, b"GET / HTTP/1.1", &[])
            .resumed(100_002)
            .no_room(100_002)
            .sent(100_003)
            .wake(1_000_000, &[])
            .next(None)
    }
}

fn timeout(millis: u64) -> PolicyBuilder {
    Policy::builder().timeout(ms(millis))
}

fn echo() -> PolicyBuilder {
    Policy::builder().echo(true)
}

/// Settings under which a frame may take any time, so that only liveness has deadlines.
fn patient(policy: PolicyBuilder) -> Settings {
    settings(policy).limits(FrameLimits::default().handshake_timeout(None).frame_timeout(None))
}

/// With 10 s for a frame, which is told apart from the timeouts.
fn settings(policy: PolicyBuilder) -> Settings {
    Settings::new(policy.build().unwrap())
        .limits(FrameLimits::default().frame_timeout(Some(ms(10_000))))
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&frame::data_header(body.len()).unwrap(), body].concat()
}

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
fn any_byte_is_life_even_of_a_frame_that_never_ends() {
    Rig::new(patient(timeout(15_000)))
        .receive(14_000, &[0], &[])
        .next(29_000)
        .receive(28_000, &[0, 0], &[])
        .next(43_000)
        .wake(42_999, &[])
        .wake(43_000, &[Dead { silence: 15_000 }]);
}

#[test]
fn what_this_end_sends_is_no_sign_of_life() {
    Rig::new(patient(timeout(15_000))).sent(14_999).wake(15_000, &[Dead { silence: 15_000 }]);
}

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

#[test]
fn the_references_client_lives_by_its_beats_and_dies_15_s_after_the_last() {
    let mut rig = Rig::new(Settings::new(Preset::Tutorial.policy(Side::Server)));
    for beat in 0..100 {
        rig = rig.wake(beat * 3_000, &[]).receive(beat * 3_000, &frame::BEAT, &[Beat]);
    }
    rig.wake(311_999, &[]).wake(312_000, &[Dead { silence: 15_000 }]).ended();
}

#[test]
fn a_verdict_carries_the_drivers_tick_in_its_bound() {
    let mut connection = Connection::new(patient(timeout(15_000)).tick(ms(8)), at(0));
    let (_, Some(Over::Dead(verdict))) = turn(&mut connection, at(15_007), None) else {
        panic!("it lives")
    };
    let bound = verdict.bound.unwrap();
    assert_eq!((bound.earliest, bound.latest), (ms(15_000), ms(15_008)));
    assert_eq!((verdict.cause, verdict.late), (Cause::Silence, ms(7)));
}

#[test]
fn nothing_follows_a_verdict() {
    Rig::new(patient(echo().timeout(ms(15_000))))
        .wake(15_000, &[Dead { silence: 15_000 }])
        .receive(15_000, &frame::BEAT, &[])
        .ended();
}

#[test]
fn answers_still_owed_die_with_the_connection() {
    let mut connection = Connection::new(patient(echo().timeout(ms(15_000))), at(0));
    let received = connection.handle_received(at(0), &mut frame::BEAT.as_slice());
    assert_eq!(received, Ok(Some(Event::Beat)));
    let (written, over) = turn(&mut connection, at(15_000), None);
    assert!(written.is_empty() && matches!(over, Some(Over::Dead(_))), "{written:?} {over:?}");
}

#[test]
fn bytes_after_the_end_are_not_touched() {
    let mut connection = Connection::new(patient(timeout(15_000)), at(0));
    assert!(matches!(turn(&mut connection, at(15_000), None), (_, Some(Over::Dead(_)))));
    let mut bytes: &[u8] = b"whatever";
    assert_eq!(connection.handle_received(at(15_001), &mut bytes), Ok(None));
    assert_eq!(bytes, b"whatever");
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
    assert_eq!(
        FrameLimits::default().max_frame(u32::MAX),
        FrameLimits::default().max_frame(frame::MAX_FRAME)
    );
}

#[test]
fn a_peer_that_sends_no_frame_is_refused_after_10_s() {
    Rig::new(settings(timeout(15_000)))
        .next(10_000)
        .wake(9_999, &[])
        .wake(10_000, &[no_first_frame(10_000)])
        .ended();
}

#[test]
fn part_of_a_header_is_no_first_frame() {
    Rig::new(settings(timeout(15_000)))
        .receive(9_000, &[0; 7], &[])
        .next(10_000)
        .wake(10_020, &[no_first_frame(10_020)]);
}

#[test]
fn a_first_header_trickled_byte_by_byte_is_tolerated_within_its_time() {
    let mut rig = Rig::new(settings(timeout(15_000)));
    for second in 1..8 {
        rig = rig.receive(second * 1_000, &[0], &[]).wake(second * 1_000, &[]);
    }
    rig.receive(9_999, &[0], &[Beat]).wake(10_000, &[]).next(24_999);
}

#[test]
fn a_whole_header_ends_the_wait_for_the_first_frame_and_starts_the_wait_for_its_body() {
    Rig::new(settings(timeout(60_000)))
        .receive(4_000, &packet(b"hello")[..7], &[])
        .receive(9_000, &packet(b"hello")[7..8], &[])
        .next(19_000)
        .wake(19_000, &[slow(10_000)])
        .ended();
}

#[test]
fn a_frame_has_as_long_as_a_usual_silence_by_default() {
    let usual = Preset::Default.policy(Side::Server).timeout();
    assert_eq!(FrameLimits::default().frame_within(), usual);
}

#[test]
fn a_frame_has_10_s_from_its_first_byte_however_its_bytes_trickle() {
    let bytes = packet(b"hello");
    let mut rig =
        Rig::new(settings(timeout(60_000))).receive(1_000, &frame::BEAT, &[Beat]).next(61_000);
    for (millis, byte) in (20_000..30_000).step_by(1_000).zip(bytes) {
        rig = rig.receive(millis, &[byte], &[]).next(30_000);
    }
    rig.wake(29_999, &[]).wake(30_000, &[slow(10_000)]);
}

#[test]
fn a_trickled_frame_that_is_whole_in_time_is_a_frame() {
    let bytes = packet(b"hello");
    let mut rig = Rig::new(settings(timeout(60_000))).receive(1_000, &frame::BEAT, &[Beat]);
    for (millis, byte) in (20_000..).step_by(800).zip(&bytes[..12]) {
        rig = rig.receive(millis, &[*byte], &[]).wake(millis, &[]);
    }
    rig.receive(29_999, &bytes[12..], &[data(b"hello")]).wake(30_000, &[]).next(89_999);
}

#[test]
fn a_long_body_gets_a_second_more_for_each_kib() {
    let bytes = packet(&[7; 4_096]);
    let rig = || Rig::new(settings(timeout(60_000))).receive(0, &frame::BEAT, &[Beat]);
    rig().receive(1_000, &bytes[..9], &[]).next(15_000);
    rig().receive(1_000, &packet(&[7; 1_023])[..9], &[]).next(11_000);
    rig()
        .receive(1_000, &bytes[..5], &[])
        .next(11_000)
        .receive(2_000, &bytes[5..100], &[])
        .next(15_000)
        .wake(14_999, &[])
        .wake(15_000, &[slow(14_000)]);
}

#[test]
fn the_next_frame_has_its_whole_time_again() {
    let bytes = [packet(b"one"), packet(b"two")].concat();
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &bytes[..10], &[])
        .next(11_000)
        .receive(9_000, &bytes[10..12], &[data(b"one")])
        .next(19_000)
        .wake(19_000, &[slow(10_000)]);
}

#[test]
fn bytes_that_complete_a_frame_outrank_its_deadline() {
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &[0; 5], &[])
        .receive(30_000, &[0; 3], &[Beat])
        .wake(30_000, &[]);
}

#[test]
fn times_for_frames_are_the_applications_choice() {
    let capped = |handshake_timeout: Option<u64>, frame: Option<u64>| {
        let limits = FrameLimits::default()
            .handshake_timeout(handshake_timeout.map(ms))
            .frame_timeout(frame.map(ms));
        Rig::new(settings(timeout(60_000)).limits(limits))
    };
    capped(Some(200), None).next(200).receive(100, &packet(b"a")[..8], &[]).next(60_100);
    capped(None, Some(200)).next(60_000).receive(100, &packet(b"a")[..8], &[]).next(300);
    capped(None, None).receive(100, &[0], &[]).next(60_100);
}

#[test]
fn a_pause_gives_a_frame_its_whole_time_again() {
    Rig::new(settings(timeout(60_000))).resumed(9_000).next(19_000).wake(10_000, &[]);
    Rig::new(settings(timeout(60_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .receive(2_000, &[0], &[])
        .resumed(1_500)
        .next(12_000)
        .resumed(40_000)
        .wake(40_000, &[])
        .next(50_000)
        .wake(50_000, &[slow(10_000)]);
}

#[test]
fn a_pause_gives_the_silence_its_whole_timeout_again() {
    Rig::new(patient(timeout(15_000)))
        .resumed(20_000)
        .wake(20_000, &[])
        .next(35_000)
        .wake(35_000, &[Dead { silence: 35_000 }]);
}

#[test]
fn a_pause_between_frames_sets_no_deadline_for_one() {
    Rig::new(settings(timeout(60_000)))
        .receive(0, &frame::BEAT, &[Beat])
        .resumed(5_000)
        .next(65_000);
}

#[test]
fn bytes_that_wait_for_a_slow_application_are_life_and_take_no_time_from_a_frame() {
    Rig::new(settings(timeout(15_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .receive(2_000, &[0], &[])
        .next(12_000)
        .no_room(11_999)
        .wake(12_000, &[])
        .next(21_999)
        .wake(21_999, &[slow(10_000)])
        .ended();
    Rig::new(settings(timeout(15_000)))
        .receive(1_000, &frame::BEAT, &[Beat])
        .no_room(14_000)
        .next(29_000)
        .wake(29_000, &[Dead { silence: 15_000 }]);
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

#[test]
fn the_last_byte_is_remembered_after_the_end() {
    let rig = Rig::new(settings(timeout(15_000))).receive(1_234, &frame::BEAT, &[Beat]);
    assert_eq!(rig.connection.last_heard(), at(1_234));
    let rig = rig.wake(20_000, &[Dead { silence: 18_766 }]);
    assert_eq!(rig.connection.last_heard(), at(1_234));
}

#[test]
fn a_connection_is_small_enough_for_a_million() {
    assert!(size_of::<Connection>() <= 96, "{} bytes", size_of::<Connection>());
    // On protocol v1, in one box each.
    assert!(size_of::<Dialogue>() <= 208, "{} bytes", size_of::<Dialogue>());
    assert!(size_of::<handshake::Awaiting>() <= 64, "{} bytes", size_of::<handshake::Awaiting>());
}
