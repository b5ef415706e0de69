use heartwire_core::Instant;
use tokio::time::{Duration, timeout};

use super::*;

/// Whether the client's task was woken since the last call.
async fn is_woken(controls: &Controls) -> bool {
    timeout(Duration::ZERO, controls.changed.notified()).await.is_ok()
}

fn collect(receipts: &Receipts, wake_at: usize) -> Tally {
    let mut collected = Tally::default();
    receipts.collect(|taken| {
        collected = taken;
        wake_at
    });
    collected
}

#[tokio::test]
async fn receipts_are_counted_when_they_are_dropped_and_wake_the_task_once() {
    let controls = Arc::new(Controls::new(Instant::from_nanos(1)));
    let receipts = Receipts::new(Arc::clone(&controls));
    let take = |len| drop(Receipt::new(&receipts, len));
    take(100);
    assert!(!is_woken(&controls).await, "it was not asked for");
    assert_eq!(collect(&receipts, 30), Tally { frames: 1, bytes: 100 });
    take(29);
    assert!(!is_woken(&controls).await);
    take(1);
    assert!(is_woken(&controls).await);
    take(50);
    assert!(!is_woken(&controls).await, "it is awake");
    assert_eq!(collect(&receipts, 30), Tally { frames: 3, bytes: 80 });
    assert_eq!(collect(&receipts, 30), Tally::default());
}
