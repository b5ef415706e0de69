use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// Lanes on a clock that only the test moves.
struct Rig {
    lanes: Lanes,
    now: Instant,
    number: u64,
}

impl Rig {
    fn new() -> Self {
        Self::with(Settings {
            give_up: secs(600),
            timeout: secs(10),
            max_waiting: 1_000_000,
            keeps_dead: true,
            seed: 7,
        })
    }

    fn with(settings: Settings) -> Self {
        Self { lanes: Lanes::new(settings), now: Instant::from_nanos(0), number: 0 }
    }

    fn push(&mut self, lane: usize) -> u64 {
        self.push_len(lane, 2)
    }

    fn push_len(&mut self, lane: usize, len: usize) -> u64 {
        self.number += 1;
        let json = format!("{{{}}}", " ".repeat(len - 2)).into();
        let place = Place(self.number, 0);
        self.lanes.push(Item { place, lane: LaneId(lane), since: self.now, json });
        self.number
    }

    #[track_caller]
    fn begin(&mut self) -> (LaneId, Arc<Batch>) {
        self.lanes.begin_try(self.now).expect("a try is due")
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        assert_eq!(self.lanes.begin_try(self.now), None);
    }

    fn fail(&mut self, lane: LaneId) {
        self.lanes.handle_failed(lane, self.now, Failure::new("no"));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// Moves the clock to the next thing to do, and returns how long that took.
    #[track_caller]
    fn wait(&mut self) -> Duration {
        let next = self.lanes.poll_timeout(self.now).expect("it waits for something");
        let waited = next.saturating_since(self.now);
        self.now = self.now.max(next);
        waited
    }

    fn event(&mut self) -> Option<HookEvent> {
        self.lanes.poll_event(self.now)
    }
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch.items.iter().map(|item| item.place.0).collect()
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn lane_has_one_batch_under_way_and_the_next_takes_what_came_meanwhile() {
    let mut rig = Rig::new();
    rig.push(0);
    let (lane, first) = rig.begin();
    assert_eq!(numbers(&first), [1]);
    rig.push(0);
    rig.push(1);
    rig.push(0);
    let (other, second) = rig.begin();
    assert_eq!((other, numbers(&second)), (LaneId(1), vec![3]));
    rig.expect_nothing();
    rig.lanes.handle_taken(lane);
    let (_, third) = rig.begin();
    assert_eq!(numbers(&third), [2, 4]);
    assert_eq!(HashSet::from([&first.id, &second.id, &third.id]).len(), 3);
}

#[test]
fn batch_is_bounded_in_changes_and_in_bytes() {
    let mut rig = Rig::new();
    for _ in 0..250 {
        rig.push(0);
    }
    let lens: Vec<_> = (0..3)
        .map(|_| {
            let (lane, batch) = rig.begin();
            rig.lanes.handle_taken(lane);
            batch.items.len()
        })
        .collect();
    assert_eq!(lens, [100, 100, 50]);

    for len in [MAX_BATCH_LEN / 2 - 20, MAX_BATCH_LEN / 2 - 20, 2, MAX_BATCH_LEN * 2, 2] {
        rig.push_len(0, len);
    }
    let mut counts = Vec::new();
    while let Some((lane, batch)) = rig.lanes.begin_try(rig.now) {
        assert!(batch.body().len() <= MAX_BATCH_LEN || batch.items.len() == 1);
        counts.push(batch.items.len());
        rig.lanes.handle_taken(lane);
    }
    assert_eq!(counts, [3, 1, 1]);
}

#[test]
fn failed_batch_is_tried_again_unchanged_after_a_growing_wait() {
    let mut rig = Rig::new();
    rig.push(0);
    let (lane, batch) = rig.begin();
    rig.push(0);
    let mut waits = Vec::new();
    for _ in 0..20 {
        rig.fail(lane);
        rig.expect_nothing();
        while rig.lanes.poll_event(rig.now).is_some() {}
        waits.push(rig.wait());
        assert_eq!(rig.begin(), (lane, Arc::clone(&batch)));
    }
    assert!(waits[0] <= FIRST_WAIT, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= MAX_WAIT), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > MAX_WAIT / 4), "{waits:?}");
    let status = rig.lanes.status(rig.now);
    assert_eq!((status.tries, status.retries, status.queued), (21, 20, 2));
    assert_eq!(status.oldest, Some(rig.now.saturating_since(Instant::from_nanos(0))));
}

#[test]
fn lane_that_fails_holds_up_no_other() {
    let mut rig = Rig::new();
    rig.push(3);
    let (lane, _) = rig.begin();
    rig.fail(lane);
    rig.push(LaneId::INCIDENTS.0);
    let (incidents, _) = rig.begin();
    assert_eq!(incidents, LaneId::INCIDENTS);
}

#[test]
fn retry_after_is_kept_to_a_minute_at_most() {
    for (asked, earliest, latest) in [(30, 30, 30), (3_600, 60, 60), (0, 0, 1)] {
        let mut rig = Rig::new();
        rig.push(0);
        let (lane, _) = rig.begin();
        let failure = Failure { error: "busy".into(), retry_after: Some(secs(asked)) };
        rig.lanes.handle_failed(lane, rig.now, failure);
        rig.event();
        let waited = rig.wait();
        assert!((secs(earliest)..=secs(latest)).contains(&waited), "{asked}: {waited:?}");
    }
}

#[test]
fn batch_is_given_up_after_its_time_and_the_next_is_tried() {
    let mut rig = Rig::new();
    let first = rig.push(0);
    rig.pass(secs(1_000));
    let (lane, _) = rig.begin();
    let second = rig.push(0);
    let began_at = rig.now;
    rig.fail(lane);
    assert_eq!(rig.event(), Some(HookEvent::Failing { error: "no".into() }));
    while rig.lanes.dead.is_empty() {
        assert!(rig.now.saturating_since(began_at) < secs(600 + 20 + 10));
        rig.wait();
        rig.begin();
        rig.pass(secs(10));
        rig.fail(lane);
    }
    let failed_for = rig.now.saturating_since(began_at);
    assert!(failed_for >= secs(600), "{failed_for:?}");
    assert_eq!(rig.event(), Some(HookEvent::DeadLetters { count: 1, error: "no".into() }));
    assert_eq!((rig.lanes.oldest(), rig.lanes.held()), (Some(Place(first, 0)), 2));
    let dead = rig.lanes.take_dead(9);
    assert_eq!((dead.len(), dead[0].item.place), (1, Place(first, 0)));
    let (_, batch) = rig.begin();
    assert_eq!(numbers(&batch), [second]);
    assert_eq!(rig.lanes.status(rig.now).dead, 1);
    // It still fails: only a receiver that takes something works.
    rig.pass(secs(10));
    assert_eq!(rig.event(), None);
    rig.lanes.handle_taken(lane);
    let failed_for = rig.now.saturating_since(began_at);
    assert_eq!(rig.event(), Some(HookEvent::Works { failed_for }));
}

#[test]
fn pause_of_this_process_gives_nothing_up() {
    let mut rig = Rig::new();
    rig.push(0);
    let (lane, _) = rig.begin();
    for _ in 0..10 {
        // In a try, and then in a wait.
        rig.pass(secs(3_600));
        rig.fail(lane);
        rig.pass(secs(3_600));
        rig.begin();
    }
    assert_eq!(rig.lanes.status(rig.now).dead, 0);
}

#[test]
fn queue_that_is_full_gives_up_the_oldest_that_waits() {
    let mut rig =
        Rig::with(Settings { max_waiting: 3, keeps_dead: false, ..Rig::new().lanes.settings });
    rig.push(0);
    let (_, under_way) = rig.begin();
    for lane in [1, 0, 2, 0, 0] {
        rig.push(lane);
    }
    assert_eq!((rig.lanes.status(rig.now).dead, rig.lanes.held()), (2, 4));
    assert!(matches!(rig.event(), Some(HookEvent::DeadLetters { count: 2, .. })));
    assert_eq!(numbers(&under_way), [1]);
    rig.lanes.handle_taken(LaneId(0));
    let (_, batch) = rig.begin();
    assert_eq!(numbers(&batch), [5, 6]);
    let (_, batch) = rig.begin();
    assert_eq!(numbers(&batch), [4]);
}

#[test]
fn event_is_told_at_most_once_a_second_and_what_has_passed_meanwhile_is_not() {
    let mut rig = Rig::new();
    rig.push(0);
    let (lane, _) = rig.begin();
    rig.fail(lane);
    assert!(matches!(rig.event(), Some(HookEvent::Failing { .. })));
    rig.pass(Duration::from_millis(500));
    rig.begin();
    rig.lanes.handle_taken(lane);
    assert_eq!(rig.event(), None);
    assert_eq!(rig.wait(), Duration::from_millis(500));
    let failed_for = secs(1);
    assert_eq!(rig.event(), Some(HookEvent::Works { failed_for }));
    rig.push(0);
    rig.begin();
    rig.fail(lane);
    rig.pass(Duration::from_millis(500));
    rig.begin();
    rig.lanes.handle_taken(lane);
    rig.pass(secs(9));
    assert_eq!((rig.event(), rig.lanes.poll_timeout(rig.now)), (None, None));
}

#[test]
fn receiver_that_refuses_one_lane_fails_although_it_takes_the_others() {
    let mut rig = Rig::new();
    rig.push(0);
    rig.push(1);
    let (bad, _) = rig.begin();
    let (good, _) = rig.begin();
    rig.fail(bad);
    rig.lanes.handle_taken(good);
    assert!(rig.lanes.status(rig.now).is_failing);
    rig.wait();
    rig.begin();
    rig.push(1);
    let (good, _) = rig.begin();
    rig.lanes.handle_taken(good);
    assert!(rig.lanes.status(rig.now).is_failing);
    rig.lanes.handle_taken(bad);
    assert!(!rig.lanes.status(rig.now).is_failing);
}

#[test]
fn try_does_not_begin_after_the_time_to_deliver() {
    let mut rig = Rig::new();
    rig.lanes.deliver_until(rig.now.saturating_add(secs(15)));
    rig.push(0);
    let (lane, _) = rig.begin();
    rig.fail(lane);
    rig.event();
    rig.push(1);
    rig.pass(secs(15));
    rig.expect_nothing();
    assert_eq!(rig.lanes.poll_timeout(rig.now), None);
    rig.lanes.deliver_until(rig.now.saturating_add(secs(15)));
    rig.begin();
    rig.begin();
    rig.lanes.forget();
    // What is under way when all is forgotten counts no more.
    rig.lanes.handle_taken(lane);
    assert_eq!((rig.lanes.held(), rig.lanes.status(rig.now).delivered), (0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Take(usize),
    Fail(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..LANES).prop_map(Step::Push),
        2 => (0..LANES).prop_map(Step::Take),
        2 => (0..LANES).prop_map(Step::Fail),
        1 => (0_u64..60_000).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn change_is_delivered_in_order_or_given_up_and_never_both(
        steps in prop::collection::vec(step(), 1..400),
        max_waiting in 1_usize..50,
    ) {
        let settings = Settings { give_up: secs(20), max_waiting, ..Rig::new().lanes.settings };
        let mut rig = Rig::with(settings);
        let mut under_way: HashMap<usize, Arc<Batch>> = HashMap::new();
        let mut last = [0; LANES];
        let (mut delivered, mut dead) = (0, 0);
        for step in steps {
            match step {
                Step::Push(lane) => { rig.push(lane); }
                Step::Take(lane) => if let Some(batch) = under_way.remove(&lane) {
                    for number in numbers(&batch) {
                        prop_assert!(number > last[lane]);
                        last[lane] = number;
                        delivered += 1;
                    }
                    rig.lanes.handle_taken(LaneId(lane));
                },
                Step::Fail(lane) => if under_way.remove(&lane).is_some() {
                    rig.fail(LaneId(lane));
                },
                Step::Pass(millis) => rig.pass(Duration::from_millis(millis)),
            }
            while let Some((lane, batch)) = rig.lanes.begin_try(rig.now) {
                prop_assert!(under_way.insert(lane.0, batch).is_none());
            }
            dead += rig.lanes.take_dead(usize::MAX).len();
            let status = rig.lanes.status(rig.now);
            prop_assert_eq!(status.delivered, delivered);
            prop_assert_eq!(status.dead, u64::try_from(dead).unwrap());
            let all = delivered + status.dead + u64::try_from(status.queued).unwrap();
            prop_assert_eq!(all, rig.number);
            prop_assert!(rig.lanes.waiting <= max_waiting);
        }
    }
}
