//! Lives of connections in a simulated world, and drivers that are broken on purpose.

use heartwire_core::Side;
use heartwire_lab::sim::{Broken, Invariant, kept, run_many, run_misplanned, run_seed, trace_seed};

/// What has to be run before each change lands.
const SEEDS: u64 = 10_000;

/// A driver that breaks a rule is found out within so many lives.
const SEEDS_TO_FIND: u64 = 20_000;

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn ten_thousand_lives_keep_every_promise() {
    let totals = run_many(0..SEEDS, jobs(), |_| {});
    let failures: Vec<String> = totals.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(totals.runs, SEEDS);
    // They were lives worth the name.
    assert!(totals.sum.connections > 2 * SEEDS, "{totals:?}");
    assert!(totals.sum.verdicts > SEEDS, "{totals:?}");
}

#[test]
fn seeds_that_once_found_something_find_nothing_any_more() {
    for kept in kept() {
        if let Err(failure) = run_seed(kept.seed, None) {
            panic!("{}: {failure}", kept.why);
        }
    }
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    for seed in 0..50 {
        let (outcome, lines) = trace_seed(seed);
        assert_eq!(outcome, run_seed(seed, None));
        assert_eq!((outcome, lines), trace_seed(seed));
    }
}

/// The driver of one side breaks a rule: the promise that this breaks is the one that is found broken.
#[track_caller]
fn is_found_out(broken: Broken, side: Side) {
    let expected = broken.breaks();
    let found = (0..SEEDS_TO_FIND)
        .filter_map(|seed| run_seed(seed, Some((side, broken))).err())
        .any(|failure| failure.invariant == expected);
    assert!(found, "{broken:?} on the {side:?}: {} never failed", expected.name());
}

#[test]
fn who_plans_wrongly() {
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
    };
}

is_found_out! {
    who_judges_early: JudgesEarly on Client, Server;
    who_judges_late: JudgesLate on Client, Server;
    who_never_judges: NeverJudges on Client, Server;
    who_judges_before_reading: JudgesBeforeReading on Client, Server;
    who_waits_for_writes: WaitsForWrites on Client, Server;
    who_takes_slowness_for_death: TakesSlownessForDeath on Client, Server;
    who_ignores_stalls: IgnoresStalls on Client, Server;
    who_ignores_suspends: IgnoresSuspends on Client, Server;
    who_takes_stalls_for_life: TakesStallsForLife on Server;
    who_hears_whole_frames_only: HearsWholeFramesOnly on Client, Server;
    who_hears_itself: HearsItself on Client, Server;
    who_stamps_before_reading: StampsBeforeReading on Client, Server;
    who_stamps_when_found: StampsWhenFound on Server;
    who_trusts_jiffies: TrustsJiffies on Server;
    who_tells_twice: TellsTwice on Client, Server;
    who_tells_wrong_figures: TellsWrongFigures on Client, Server;
    who_speaks_after_offline: SpeaksAfterOffline on Client, Server;
    who_answers_answers: AnswersAnswers on Client, Server;
    who_never_answers: NeverAnswers on Client, Server;
    who_never_beats: NeverBeats on Client, Server;
    who_loses_partial_frames: LosesPartialFrames on Client, Server;
    who_repeats_partial_frames: RepeatsPartialFrames on Client, Server;
    who_loses_last_words: LosesLastWords on Client, Server;
    who_hurries_frames: HurriesFrames on Client, Server;
}
