//! Runs several jobs at a time. A job mostly waits, so there can be more of them than processors.

use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Runs every job, `at_a_time` at once, and hands over each outcome as it comes. Returns the
/// outcomes in the order of the jobs. A job may decline; a panic in one is passed on when the
/// others are done.
pub(super) fn run_all<J: Sync, R: Send>(
    at_a_time: NonZeroUsize,
    jobs: &[J],
    work: impl Fn(usize, &J) -> Option<R> + Sync,
    mut done: impl FnMut(&R),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..at_a_time.get().min(jobs.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    if let Some(outcome) = work(number, job) {
                        // The receiver outlives this scope.
                        let _ = sender.send((number, outcome));
                    }
                }
            });
        }
        drop(sender);
        let mut all = Vec::new();
        for (number, outcome) in outcomes {
            done(&outcome);
            all.push((number, outcome));
        }
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, outcome)| outcome).collect()
    })
}

#[cfg(test)]
mod tests;
