use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::policy::{PolicyBuilder, Preset, Side};

const TICK: Duration = Duration::from_millis(100);

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a driver sees when it wakes. Times are in milliseconds.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    BeatDue,
    Dead { silence: u128, paused: u128, late: u128 },
}
use Seen::{BeatDue, Dead};

/// Dead after a silence in which nothing else was remarkable.
const fn silent(silence: u128) -> Seen {
    Dead { silence, paused: 0, late: 0 }
}

/// One peer, judged from 0 ms on. Times are in milliseconds.
struct Rig {
    liveness: Liveness,
}

impl Rig {
    fn new(policy: PolicyBuilder) -> Self {
        Self { liveness: Liveness::new(policy.build().unwrap(), at(0)) }
    }

    fn heard(mut self, millis: u64) -> Self {
        self.liveness.handle_heard(at(millis));
        self
    }

    fn sent(mut self, millis: u64) -> Self {
        self.liveness.handle_sent(at(millis));
        self
    }

    fn beat_sent(mut self, millis: u64) -> Self {
        self.liveness.handle_beat_sent(at(millis));
        self
    }

    fn beat_now(mut self) -> Self {
        self.liveness.beat_now();
        self
    }

    fn resumed(mut self, millis: u64) -> Self {
        self.liveness.handle_pause(Pause::new(at(millis), ms(1_000)));
        self
    }

    #[track_caller]
    fn wake(mut self, millis: u64, expected: &[Seen]) -> Self {
        let mut seen = Vec::new();
        while let Some(verdict) = judge(&mut self.liveness, at(millis)) {
            assert_eq!(verdict.cause, Cause::Silence);
            seen.push(Dead {
                silence: verdict.silence.as_millis(),
                paused: verdict.paused.as_millis(),
                late: verdict.late.as_millis(),
            });
            assert!(seen.len() < 9, "it never stops: {seen:?}");
        }
        if self.liveness.beat_due() {
            seen.push(BeatDue);
        }
        assert_eq!(seen, expected, "at {millis} ms");
        self
    }

    #[track_caller]
    fn next(self, millis: impl Into<Option<u64>>) -> Self {
        assert_eq!(self.liveness.poll_timeout(), millis.into().map(at));
        self
    }
}

/// What a driver comes to that has nothing to read.
fn judge(liveness: &mut Liveness, now: Instant) -> Option<Verdict> {
    let read = liveness.poll(now)?;
    liveness.judge(read, now, Found::All, None, TICK)
}

fn timeout(millis: u64) -> PolicyBuilder {
    Policy::builder().timeout(ms(millis))
}

fn beat(millis: u64) -> PolicyBuilder {
    Policy::builder().interval(ms(millis))
}

#[test]
fn a_verdict_comes_at_the_timeout_and_never_before() {
    Rig::new(timeout(15_000))
        .next(15_000)
        .wake(0, &[])
        .wake(14_999, &[])
        .next(15_000)
        .wake(15_000, &[silent(15_000)]);
}

#[test]
fn a_verdict_does_not_come_one_nanosecond_early() {
    let mut liveness = Liveness::new(timeout(15_000).build().unwrap(), Instant::from_nanos(1));
    assert_eq!(judge(&mut liveness, at(15_000)), None);
    assert!(judge(&mut liveness, Instant::from_nanos(15_000_000_001)).is_some());
}

#[test]
fn the_timeout_counts_from_the_last_byte() {
    Rig::new(timeout(15_000))
        .heard(3_000)
        .next(18_000)
        .heard(9_500)
        .next(24_500)
        .wake(24_499, &[])
        .wake(24_500, &[silent(15_000)]);
}

#[test]
fn bytes_that_arrived_in_the_past_count_from_then() {
    Rig::new(timeout(15_000))
        .wake(20, &[])
        .heard(8_000)
        .heard(5_000)
        .next(23_000)
        .wake(23_000, &[silent(15_000)]);
}

#[test]
fn a_late_verdict_says_how_late() {
    Rig::new(timeout(15_000)).wake(15_073, &[Dead { silence: 15_073, paused: 0, late: 73 }]);
}

/// 250 ms late would be a pause, and the peer would have another timeout.
#[test]
fn a_verdict_later_than_the_tick_keeps_its_bound_without_the_time_that_this_end_was_held_up() {
    for late in [100, 101, 249, 10_000] {
        let mut liveness = Liveness::new(timeout(15_000).build().unwrap(), at(0));
        let verdict = judge(&mut liveness, at(15_000 + late)).unwrap();
        assert_eq!((verdict.silence, verdict.late), (ms(15_000 + late), ms(late)));
        assert_eq!(verdict.paused, ms(late - 100));
        assert!(verdict.bound.unwrap().contains(verdict.silence.saturating_sub(verdict.paused)));
    }
}

#[test]
fn sending_is_no_sign_of_life() {
    Rig::new(timeout(15_000)).sent(5_000).sent(14_999).next(15_000).wake(15_000, &[silent(15_000)]);
}

#[test]
fn a_verdict_is_the_last_event() {
    Rig::new(beat(5_000).timeout(ms(15_000)))
        .wake(10_000, &[BeatDue])
        .wake(15_000, &[silent(15_000)])
        .next(None)
        .wake(15_000, &[])
        .heard(15_001)
        .sent(15_002)
        .beat_now()
        .resumed(15_003)
        .next(None)
        .wake(60_000, &[]);
}

#[test]
fn no_timeout_no_verdict() {
    Rig::new(Policy::builder()).next(None).wake(u64::MAX / 1_000_000, &[]).next(None);
}

#[test]
fn a_beat_is_due_once_until_it_is_sent() {
    Rig::new(beat(3_000))
        .next(3_000)
        .wake(2_999, &[])
        .wake(3_000, &[BeatDue])
        .next(None)
        .wake(9_000, &[BeatDue])
        .beat_sent(9_000)
        .next(12_000)
        .wake(11_999, &[])
        .wake(12_000, &[BeatDue]);
}

/// The tutorial's server counts nothing but beats.
#[test]
fn data_takes_the_place_of_no_beat_to_a_peer_that_alone_judges() {
    Rig::new(beat(3_000))
        .sent(2_999)
        .next(3_000)
        .wake(3_000, &[BeatDue])
        .sent(3_001)
        .wake(3_001, &[BeatDue])
        .beat_sent(3_001)
        .sent(5_000)
        .wake(6_000, &[])
        .wake(6_001, &[BeatDue]);
}

#[test]
fn an_old_write_reported_late_makes_no_beat_sooner() {
    Rig::new(beat(3_000).timeout(ms(9_000))).heard(6_000).sent(5_000).sent(2_000).next(8_000);
}

#[test]
fn bytes_from_the_peer_suppress_no_beat() {
    Rig::new(beat(3_000).timeout(ms(9_000))).heard(2_999).next(3_000).wake(3_000, &[BeatDue]);
}

#[test]
fn data_takes_the_place_of_no_question_to_a_silent_peer_that_is_judged() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .sent(1_000)
        .sent(2_000)
        .next(3_000)
        .wake(2_999, &[])
        .wake(3_000, &[BeatDue])
        .sent(3_000)
        .wake(3_001, &[BeatDue])
        .beat_sent(3_001)
        .wake(3_001, &[])
        .next(6_001);
}

#[test]
fn a_silent_peer_is_asked_once_in_an_interval_and_again_in_the_next() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .wake(3_000, &[BeatDue])
        .beat_sent(3_000)
        .sent(4_000)
        .sent(5_900)
        .next(6_000)
        .wake(5_999, &[])
        .wake(6_000, &[BeatDue]);
}

#[test]
fn data_takes_the_place_of_beats_to_a_peer_that_is_heard() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .sent(2_000)
        .heard(2_500)
        .next(5_000)
        .sent(4_900)
        .heard(5_000)
        .wake(5_499, &[])
        .next(7_900)
        .wake(7_900, &[BeatDue]);
}

#[test]
fn data_that_comes_before_the_peer_has_been_silent_for_long_stands_in_for_a_due_beat() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .heard(2_000)
        .wake(3_000, &[BeatDue])
        .sent(3_001)
        .wake(3_001, &[])
        .next(5_000);
}

#[test]
fn an_answer_that_is_noticed_late_brings_no_question_forward() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .beat_sent(3_000)
        .sent(5_000)
        .heard(1_000)
        .next(6_000)
        .heard(4_000)
        .next(7_000);
}

#[test]
fn a_beat_can_be_made_due_at_once_even_without_an_interval() {
    Rig::new(timeout(15_000)).beat_now().wake(0, &[BeatDue]).sent(0).wake(1, &[]);
}

#[test]
fn a_due_beat_does_not_hide_the_verdict() {
    Rig::new(beat(3_000).timeout(ms(9_000)))
        .wake(3_000, &[BeatDue])
        .next(9_000)
        .wake(9_000, &[silent(9_000)]);
}

#[test]
fn after_a_pause_the_peer_gets_a_full_timeout() {
    Rig::new(timeout(15_000))
        .heard(2_000)
        .resumed(60_000)
        .next(75_000)
        .wake(60_000, &[])
        .wake(74_999, &[])
        .wake(75_000, &[Dead { silence: 73_000, paused: 58_000, late: 0 }]);
}

#[test]
fn a_pause_before_the_last_byte_changes_nothing() {
    Rig::new(timeout(15_000))
        .heard(10_000)
        .resumed(4_000)
        .resumed(10_000)
        .next(25_000)
        .resumed(11_000)
        .resumed(12_000)
        .resumed(13_000)
        .next(28_000);
}

#[test]
fn one_pause_reported_twice_is_one_grace() {
    Rig::new(timeout(15_000))
        .resumed(10_000)
        .resumed(10_000)
        .resumed(20_000)
        .resumed(30_000)
        .next(45_000);
}

#[test]
fn one_silence_gets_three_graces_and_no_more() {
    Rig::new(timeout(15_000))
        .resumed(10_000)
        .resumed(20_000)
        .resumed(30_000)
        .next(45_000)
        .resumed(40_000)
        .next(45_000)
        .wake(45_000, &[Dead { silence: 45_000, paused: 30_000, late: 0 }]);
}

#[test]
fn a_byte_after_the_pause_ends_the_silence_and_its_graces() {
    Rig::new(timeout(15_000))
        .resumed(10_000)
        .resumed(20_000)
        .resumed(30_000)
        .heard(30_000)
        .next(45_000)
        .resumed(31_000)
        .resumed(32_000)
        .resumed(33_000)
        .next(48_000)
        .wake(48_000, &[Dead { silence: 18_000, paused: 3_000, late: 0 }]);
}

#[test]
fn a_byte_that_came_during_the_pause_takes_no_grace_away() {
    Rig::new(timeout(15_000))
        .resumed(60_000)
        .heard(40_000)
        .next(75_000)
        .wake(75_000, &[Dead { silence: 35_000, paused: 20_000, late: 0 }]);
}

#[test]
fn a_pause_makes_no_beat_later() {
    Rig::new(beat(3_000)).resumed(60_000).next(3_000).wake(60_000, &[BeatDue]);
}

#[test]
fn a_clock_that_steps_back_makes_the_verdict_late_and_not_early() {
    Rig::new(timeout(15_000)).heard(20_000).heard(1_000).wake(1_000, &[]).next(35_000);
}

#[test]
fn no_instant_is_too_late_to_count_from() {
    let last = Instant::from_nanos(u64::MAX);
    let mut liveness = Liveness::new(timeout(15_000).build().unwrap(), at(0));
    liveness.handle_heard(last);
    assert_eq!(liveness.poll_timeout(), Some(last));
}

#[test]
fn a_verdict_carries_the_bound_it_kept() {
    let mut liveness = Liveness::new(Preset::Tutorial.policy(Side::Server), at(0));
    let verdict = judge(&mut liveness, at(15_073)).unwrap();
    assert!(verdict.bound.unwrap().contains(verdict.silence));
    assert_eq!(verdict.to_string(), "silent for 15.073 s (bound 15.0 to 15.1 s, 73 ms late)");
}

#[test]
fn a_verdict_after_a_pause_says_what_was_not_counted() {
    let mut liveness = Liveness::new(Preset::Tutorial.policy(Side::Server), at(0));
    liveness.handle_pause(Pause::new(at(60_000), ms(50_000)));
    let verdict = judge(&mut liveness, at(75_000)).unwrap();
    assert!(verdict.bound.unwrap().contains(verdict.silence.saturating_sub(verdict.paused)));
    assert_eq!(
        verdict.to_string(),
        "silent for 75.000 s (bound 15.0 to 15.1 s, 0 ms late, 60.000 s not counted: this \
         process was paused)"
    );
}

#[test]
fn a_verdict_of_the_system_says_so() {
    let verdict = Verdict::kernel(ms(12_400));
    assert_eq!((verdict.cause.name(), verdict.bound), ("kernel", None));
    assert_eq!(verdict.to_string(), "the kernel gave up after 12.400 s of silence");
    assert_eq!(Cause::Silence.name(), "silence");
}
