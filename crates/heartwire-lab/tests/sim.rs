//! Lives of connections in a simulated world, and drivers that are broken on purpose.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use heartwire_core::Side;
use heartwire_lab::sim::{
    Broken, Invariant, kept, run_life, run_many, run_misplanned, run_round_trips, run_seed,
    trace_seed,
};
use serde_json::Value;

/// Lives before each change lands; `.ci/run` has more, in release.
const SEEDS: u64 = 4_000;

/// A driver that breaks a rule is found out within so many lives.
const SEEDS_TO_FIND: u64 = 20_000;

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn thousands_of_seeds_keep_every_promise_and_show_everything_that_can_happen() {
    let totals = run_many(0..SEEDS, jobs(), |_| {});
    let failures: Vec<String> = totals.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(totals.seeds, SEEDS);
    // They were lives worth the name.
    assert!(totals.lives.sums.connections > 2 * SEEDS, "{totals:?}");
    assert!(totals.lives.sums.verdicts > SEEDS, "{totals:?}");
    assert!(totals.never_happened().is_empty(), "{totals:?}");
}

#[test]
fn seeds_that_once_found_something_find_nothing_any_more() {
    for kept in kept() {
        if let Err(failure) = run_seed(kept.seed) {
            panic!("{}: {failure}", kept.why);
        }
    }
}

#[test]
fn a_seed_is_the_same_each_time() {
    for seed in 0..50 {
        let traced = trace_seed(seed);
        assert_eq!(traced, trace_seed(seed));
        let failed = traced.into_iter().find_map(|run| run.failure);
        assert_eq!(failed, run_seed(seed).err());
    }
}

/// The driver of one side breaks a rule, and the promise that this breaks is found broken.
#[track_caller]
fn is_found_out(broken: Broken, side: Side) {
    let expected = broken.breaks();
    let run = |seed| {
        let broken = Some((side, broken));
        if expected == Invariant::TrueRoundTrip {
            return run_round_trips(seed, broken).err();
        }
        run_life(seed, broken).err()
    };
    let mut others = BTreeMap::new();
    let found = (0..SEEDS_TO_FIND).filter_map(run).any(|failure| {
        others.entry(failure.invariant.name()).or_insert_with(|| failure.to_string());
        failure.invariant == expected
    });
    assert!(found, "{broken:?} on the {side:?}: {}, not {others:#?}", expected.name());
}

#[test]
fn plans_wrongly() {
    let found = (0..SEEDS_TO_FIND)
        .filter_map(|seed| run_misplanned(seed).err())
        .any(|failure| failure.invariant == Invariant::AsPlanned);
    assert!(found, "no plan was looked at");
}

/// A test for each way to be broken, on the sides whose drivers could be.
macro_rules! is_found_out {
    ($($name:ident: $broken:ident on $($side:ident),+;)+) => {
        $(
            #[test]
            fn $name() {
                $(is_found_out(Broken::$broken, Side::$side);)+
            }
        )+

        #[test]
        fn every_way_to_be_broken_is_tested() {
            let tested = [$(Broken::$broken),+];
            assert!(Broken::ALL.iter().all(|broken| tested.contains(broken)));
        }

        #[test]
        fn every_promise_is_broken_by_a_mutation() {
            let broken = [$(Broken::$broken.breaks()),+, Invariant::AsPlanned];
            assert!(Invariant::ALL.iter().all(|promise| broken.contains(promise)));
        }
    };
}

is_found_out! {
    judges_early: JudgesEarly on Client, Server;
    ends_young: EndsYoung on Server;
    judges_unheard_early: JudgesUnheardEarly on Client, Server;
    judges_late: JudgesLate on Client, Server;
    never_judges_unheard: NeverJudgesUnheard on Client, Server;
    never_judges: NeverJudges on Client, Server;
    judges_before_reading: JudgesBeforeReading on Client, Server;
    waits_for_writes: WaitsForWrites on Client, Server;
    takes_slowness_for_death: TakesSlownessForDeath on Client, Server;
    ignores_pauses: IgnoresPauses on Client, Server;
    ignores_suspends: IgnoresSuspends on Client, Server;
    takes_pauses_for_life: TakesPausesForLife on Server;
    hears_whole_frames_only: HearsWholeFramesOnly on Client, Server;
    hears_itself: HearsItself on Client, Server;
    stamps_before_reading: StampsBeforeReading on Client, Server;
    stamps_when_found: StampsWhenFound on Client, Server;
    stamps_vaguely: StampsVaguely on Client, Server;
    trusts_jiffies: TrustsJiffies on Client, Server;
    tells_twice: TellsTwice on Server;
    tells_wrong_figures: TellsWrongFigures on Client, Server;
    speaks_after_offline: SpeaksAfterOffline on Client, Server;
    answers_answers: AnswersAnswers on Client, Server;
    never_answers: NeverAnswers on Client, Server;
    never_beats: NeverBeats on Client, Server;
    asks_with_data: AsksWithData on Client, Server;
    loses_partial_frames: LosesPartialFrames on Client, Server;
    repeats_partial_frames: RepeatsPartialFrames on Client, Server;
    loses_last_words: LosesLastWords on Client, Server;
    hurries_frames: HurriesFrames on Client, Server;
    forgets_taken_over: ForgetsTakenOver on Server;
    shares_names: SharesNames on Server;
    tells_offline_twice: TellsOfflineTwice on Client, Server;
    drains_late: DrainsLate on Server;
    forgets_instances: ForgetsInstances on Server;
    stretches_frames: StretchesFrames on Client, Server;
    replays_too_much: ReplaysTooMuch on Client, Server;
    replays_too_little: ReplaysTooLittle on Client, Server;
    acks_when_received: AcksWhenReceived on Client, Server;
    takes_taken_for_received: TakesTakenForReceived on Client;
    never_gives_up: NeverGivesUp on Server;
    tells_less_lost: TellsLessLost on Server;
    ends_with_its_link: EndsWithItsLink on Client, Server;
    tells_away_twice: TellsAwayTwice on Client, Server;
    stretches_windows: StretchesWindows on Server;
    leaves_without_reading: LeavesWithoutReading on Client;
    ends_too_soon: EndsTooSoon on Client;
}

const LAB: &str = env!("CARGO_BIN_EXE_heartwire-lab");

fn lab(args: &[&str]) -> Output {
    Command::new(LAB).arg("sim").args(args).output().unwrap()
}

#[test]
fn the_command_prints_what_happened_in_each_format() {
    let args = ["--seeds", "200", "--from", "7", "--jobs", "2"];
    let text = String::from_utf8(lab(&args).stdout).unwrap();
    assert!(text.contains("200 seeds from 7 on kept every promise"), "{text}");
    let json = lab(&[&args[..], &["--format", "json"]].concat());
    assert!(json.status.success());
    let object: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(object["kept_every_promise"], 200);
    assert!(object["mishaps"]["lost"].as_u64().unwrap() > 0, "{object}");
    assert!(object["ends"]["silence"].as_u64().unwrap() > 0, "{object}");
}

#[test]
fn a_seed_is_told_line_by_line() {
    let text = String::from_utf8(lab(&["--seed", "3"]).stdout).unwrap();
    assert!(text.contains("connected") && text.ends_with("seed 3 keeps every promise\n"), "{text}");
    let json = lab(&["--seed", "3", "--format", "json"]);
    let object: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(object["runs"][0]["run"], "life");
    assert_eq!(object["runs"][0]["failure"], Value::Null);
}

#[test]
fn the_command_runs_the_kept_seeds() {
    let all = lab(&["--kept", "--format", "json"]);
    assert!(all.status.success());
    let object: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(object["kept"].as_array().unwrap().len(), kept().count());
}

#[test]
fn impossible_arguments_are_refused() {
    for args in [&["--seeds", "0"][..], &["--seed", "1", "--kept"], &["--jobs", "0"]] {
        assert_eq!(lab(args).status.code(), Some(2), "{args:?}");
    }
    let beyond = lab(&["--from", "18446744073709551615"]);
    assert_eq!(beyond.status.code(), Some(1));
}
