use std::time::SystemTime;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// 1.9 to 3.1 s, by silence or a reset.
fn promise() -> Promise {
    Promise { earliest: ms(1900), latest: ms(3100), by: vec![Mechanism::Silence, Mechanism::Reset] }
}

fn seen(after: [u64; 2], how: How) -> Seen {
    Seen::Something(Sight {
        after: Some(after.map(ms)),
        how,
        detail: String::new(),
        own_bound: None,
    })
}

fn told(side: Side, after_ms: u64, text: &str) -> Told {
    let time = humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + ms(1_000_000 + after_ms));
    Told::parse(side, &format!(r#"{{"time":"{time}",{text}}}"#)).unwrap()
}

/// A fault that took 10 ms to make.
fn fault() -> Moment {
    let from = SystemTime::UNIX_EPOCH + ms(1_000_000);
    Moment { from, to: from + ms(10) }
}

#[test]
fn a_time_is_judged_by_both_ends_of_the_moment_of_the_fault() {
    let judged = |after, how| Judgement::of(&Expected::Found(promise()), &seen(after, how));
    assert_eq!(judged([2500, 2510], How::Silence), Judgement::Inside);
    assert_eq!(judged([2500, 2510], How::Reset), Judgement::Inside);
    assert_eq!(judged([2500, 2510], How::Kernel), Judgement::OtherMechanism);
    assert_eq!(judged([1889, 1899], How::Silence), Judgement::Early);
    assert_eq!(judged([1890, 1900], How::Silence), Judgement::Inside);
    assert_eq!(judged([3100, 3110], How::Silence), Judgement::Inside);
    assert_eq!(judged([3101, 3111], How::Silence), Judgement::Late);
}

#[test]
fn a_sight_before_the_fault_is_early() {
    let promise = Promise { earliest: Duration::ZERO, ..promise() };
    let before = Sight { after: None, how: How::Silence, detail: String::new(), own_bound: None };
    let judged = Judgement::of(&Expected::Found(promise), &Seen::Something(before));
    assert_eq!(judged, Judgement::Early);
}

#[test]
fn silence_is_right_where_no_verdict_is_due() {
    let nothing = |during| Seen::Nothing { during: ms(during) };
    let found = Expected::Found(promise());
    assert_eq!(Judgement::of(&found, &nothing(20_000)), Judgement::Missed);
    assert_eq!(Judgement::of(&found, &nothing(3000)), Judgement::NotYet);
    for expected in [Expected::Never, Expected::Kept] {
        assert_eq!(Judgement::of(&expected, &nothing(20_000)), Judgement::AsPlanned);
        assert_eq!(Judgement::of(&expected, &seen([5, 5], How::Reset)), Judgement::Unplanned);
    }
    let either = Expected::FoundOrKept(promise());
    assert_eq!(Judgement::of(&either, &nothing(20_000)), Judgement::AsPlanned);
    assert_eq!(Judgement::of(&either, &seen([3200, 3200], How::Reset)), Judgement::Late);
}

#[test]
fn the_cause_of_a_verdict_is_told_before_its_end_or_with_it() {
    let dead = r#""event":"offline","reason":"dead""#;
    let found = Expected::Found(promise());
    let server = [
        told(Side::Client, 1, &format!(r#"{dead},"cause":"kernel""#)),
        told(Side::Server, 2500, r#""event":"verdict","cause":"silence""#),
        told(Side::Server, 2501, dead),
    ];
    let sight = |side| sight(side, &found, &fault(), &server).unwrap();
    assert_eq!(sight(Side::Server).how, How::Silence);
    let [least, most] = sight(Side::Server).after.unwrap();
    assert_eq!((least.as_millis(), most.as_millis()), (2491, 2501));
    assert_eq!(sight(Side::Client).how, How::Kernel);
}

#[test]
fn a_pause_is_a_sight_only_where_one_was_made() {
    let paused = [told(Side::Server, 20, r#""event":"paused","gap_ms":9000"#)];
    assert_eq!(sight(Side::Server, &Expected::Found(promise()), &fault(), &paused), None);
    let pause = Promise { by: vec![Mechanism::PauseWatch], ..promise() };
    let sight = sight(Side::Server, &Expected::Found(pause), &fault(), &paused).unwrap();
    assert_eq!((sight.how, sight.detail.as_str()), (How::Paused, "paused for 9.000 s"));
}

#[test]
fn repeated_verdicts_and_verdicts_of_a_paused_end_are_wrong() {
    let offline = |reason: &str| {
        let text = format!(r#""event":"offline","reason":"{reason}""#);
        told(Side::Server, 2500, &text)
    };
    let (found, seen) = (Expected::Found(promise()), seen([2500, 2500], How::Silence));
    let judged = |pauses, told: &[Told]| judge(Side::Server, pauses, &found, &seen, told);
    assert_eq!(judged(false, &[offline("dead")]), Judgement::Inside);
    assert_eq!(judged(false, &[offline("dead"), offline("dead")]), Judgement::Repeated);
    assert_eq!(judged(true, &[offline("dead")]), Judgement::Unplanned);
    assert_eq!(judged(true, &[offline("reset")]), Judgement::Inside);
}

#[test]
fn a_silence_outside_the_bound_of_its_verdict_is_wrong() {
    let judged = |silence_ms: u32, paused_ms: u32| {
        let verdict = format!(
            r#""event":"offline","reason":"dead","cause":"silence","silence_ms":{silence_ms},
            "paused_ms":{paused_ms},"earliest_ms":3000,"latest_ms":3101"#
        );
        let told = [told(Side::Client, 2500, &verdict)];
        let expected = Expected::Found(promise());
        let seen = sight(Side::Client, &expected, &fault(), &told).unwrap();
        assert_eq!(seen.own_bound, Some([3000.0, 3101.0]));
        judge(Side::Client, false, &expected, &Seen::Something(seen), &told)
    };
    assert_eq!([judged(3000, 0), judged(3101, 0), judged(4050, 1000)], [Judgement::Inside; 3]);
    assert_eq!([judged(2999, 0), judged(4050, 1051)], [Judgement::Early; 2]);
    assert_eq!(judged(3102, 0), Judgement::Late);
}
