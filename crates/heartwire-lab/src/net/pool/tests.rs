use std::sync::Barrier;

use super::*;

const fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn outcomes_come_in_the_order_of_the_jobs() {
    let all: Vec<usize> = (0..100).collect();
    let mut seen = 0;
    let outcomes = run_all(jobs(8), &all, |number, job| Some(number + job), |_| seen += 1);
    assert_eq!(outcomes, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(seen, 100);
}

#[test]
fn as_many_run_at_a_time_as_asked() {
    // This blocks until both jobs run.
    let together = Barrier::new(3);
    let outcomes = run_all(jobs(3), &[(), (), ()], |n, ()| Some((together.wait(), n).1), |_| {});
    assert_eq!(outcomes, [0, 1, 2]);
}

#[test]
fn a_job_that_declines_has_no_outcome() {
    let odd = |_, &job: &u32| (job % 2 == 1).then_some(job);
    assert_eq!(run_all(jobs(2), &[1, 2, 3, 4], odd, |_| {}), [1, 3]);
}

#[test]
#[should_panic(expected = "scoped thread panicked")]
fn a_panic_is_passed_on_after_the_others_are_done() {
    run_all(jobs(1), &[1], |_, job| if *job == 1 { panic!("broken") } else { Some(()) }, |()| {});
}
