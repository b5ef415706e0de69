use core::time::Duration;
use std::sync::Arc;

use heartwire_core::Instant;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{MAX_KEPT, Outlet};
use crate::client::app::Controls;
use crate::client::event::{Delivery, Reports};
use crate::client::outbox::Tally;
use crate::client::receipts::Receipts;
use crate::client::{ConnectError, Event};

/// The short names of what can be taken now, and what tells them apart.
#[expect(clippy::wildcard_enum_match_arm, reason = "the name says enough of the others")]
fn taken(receiver: &mut UnboundedReceiver<Box<Delivery>>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(told) = receiver.try_recv() {
        names.push(match told.event {
            Event::Connecting { attempt } => format!("connecting {attempt}"),
            Event::Waiting { attempt, .. } => format!("waiting {attempt}"),
            Event::Lagged { count } => format!("missed {count}"),
            Event::Data(body) => format!("data {}", body.len()),
            event => event.name().to_owned(),
        });
    }
    names
}

fn fail(outlet: &mut Outlet, attempt: u32) {
    outlet.push_news(Event::Connecting { attempt });
    let error = ConnectError::NoAddress { target: String::new() };
    outlet.push_news(Event::Failed { error });
    outlet.push_news(Event::Waiting { wait: Duration::ZERO, attempt: attempt + 1 });
}

#[test]
fn attempts_that_fail_are_merged_and_the_last_one_is_told() {
    let (reports, mut events) = Reports::new(2);
    let mut outlet = Outlet::new(reports, "");
    for attempt in 1..=100_000 {
        fail(&mut outlet, attempt);
    }
    outlet.push_news(Event::Connecting { attempt: 100_001 });
    outlet.push_news(Event::TooFast);
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["connecting 1", "failed"]);
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["connecting 100001", "too_fast"]);
    assert!(outlet.has_room());
}

#[test]
fn one_attempt_is_told_whole() {
    let (reports, mut events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    outlet.push_news(Event::TooFast);
    outlet.push_news(Event::Waiting { wait: Duration::ZERO, attempt: 1 });
    fail(&mut outlet, 1);
    outlet.finish(Event::Closed);
    assert_eq!(
        taken(&mut events),
        ["too_fast", "waiting 1", "connecting 1", "failed", "waiting 2", "closed"]
    );
}

#[test]
fn kept_events_are_bounded_and_dropped_ones_are_counted_in_their_place() {
    let (reports, mut events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    for _ in 0..MAX_KEPT + 8 {
        outlet.push_news(Event::TooFast);
    }
    outlet.push_news(Event::Connecting { attempt: 1 });
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["too_fast"]);
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["missed 8"]);
    outlet.finish(Event::Closed);
    let rest = taken(&mut events);
    assert_eq!(rest.len(), MAX_KEPT + 1, "the last one had room of its own");
    assert_eq!(rest[MAX_KEPT - 1..], ["connecting 1", "closed"]);
}

#[test]
fn data_waits_for_room_unless_it_is_to_be_kept() {
    let (reports, mut events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    assert!(outlet.has_room());
    outlet.push_data(&[0; 1]);
    assert!(!outlet.has_room());
    outlet.keep_data(true);
    assert!(outlet.has_room());
    outlet.push_data(&[0; 2]);
    outlet.keep_data(false);
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["data 1"]);
    assert!(!outlet.has_room(), "the room is taken by what was kept");
    assert_eq!(taken(&mut events), ["data 2"]);
    assert!(outlet.has_room());
}

#[tokio::test]
async fn an_application_that_is_gone_has_room_for_everything() {
    let (reports, events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    outlet.push_news(Event::TooFast);
    outlet.push_news(Event::TooFast);
    drop(events);
    outlet.wait_for_room().await;
    assert!(outlet.has_room());
}

fn receipts() -> Arc<Receipts> {
    Receipts::new(Arc::new(Controls::new(Instant::from_nanos(1))))
}

fn collect(receipts: &Receipts) -> Tally {
    let mut collected = Tally::default();
    receipts.collect(|taken| {
        collected = taken;
        usize::MAX
    });
    collected
}

#[test]
fn data_of_a_resumable_session_is_kept_in_order_and_never_dropped() {
    const FRAMES: usize = 2 * MAX_KEPT;
    let (reports, mut events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    let receipts = receipts();
    outlet.begin_session(Some(Arc::clone(&receipts)));
    outlet.push_news(Event::TooFast);
    for _ in 0..FRAMES {
        assert!(outlet.has_room());
        outlet.push_data(&[]);
    }
    for _ in 0..MAX_KEPT {
        outlet.push_news(Event::TooFast);
    }
    assert!(outlet.has_room());
    outlet.push_data(&[0; 2]);
    outlet.push_news(Event::TooFast);
    outlet.push_news(Event::Closed);
    assert_eq!(collect(&receipts), Tally::default(), "the application has taken none");
    let told = taken(&mut events);
    assert_eq!(told, ["too_fast"], "there is room for one");
    outlet.finish(Event::Closed);
    let told = taken(&mut events);
    assert_eq!(told[..FRAMES], ["data 0"].repeat(FRAMES));
    assert_eq!(told[FRAMES], "missed 3");
    assert_eq!(told[FRAMES + 1..][..MAX_KEPT - 3], ["too_fast"].repeat(MAX_KEPT - 3));
    assert_eq!(told[FRAMES + MAX_KEPT - 2..], ["data 2", "too_fast", "closed", "closed"]);
    let frames = FRAMES + 1;
    assert_eq!(collect(&receipts), Tally { frames, bytes: 8 * frames + 2 });
}

#[test]
fn data_of_a_second_session_waits_until_that_of_the_first_is_taken() {
    let (reports, mut events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    let (first, second) = (receipts(), receipts());
    outlet.begin_session(Some(Arc::clone(&first)));
    outlet.push_data(&[0; 1]);
    outlet.push_data(&[0; 2]);
    outlet.begin_session(Some(Arc::clone(&second)));
    outlet.push_news(Event::TooFast);
    assert!(!outlet.has_room());
    assert_eq!(taken(&mut events), ["data 1"]);
    assert!(outlet.has_room(), "the rest of the first is on its way");
    outlet.push_data(&[0; 3]);
    assert_eq!(taken(&mut events), ["data 2"]);
    outlet.finish(Event::Closed);
    assert_eq!(taken(&mut events), ["too_fast", "data 3", "closed"]);
    assert_eq!(collect(&first), Tally { frames: 2, bytes: 19 });
    assert_eq!(collect(&second), Tally { frames: 1, bytes: 11 });
}

#[test]
fn an_application_that_is_gone_takes_everything_over() {
    let (reports, events) = Reports::new(1);
    let mut outlet = Outlet::new(reports, "");
    let receipts = receipts();
    outlet.begin_session(Some(Arc::clone(&receipts)));
    for _ in 0..3 {
        assert!(outlet.has_room());
        outlet.push_data(&[0; 2]);
    }
    drop(events);
    assert!(outlet.has_room());
    outlet.push_data(&[0; 2]);
    assert_eq!(collect(&receipts), Tally { frames: 4, bytes: 40 });
    assert_eq!(outlet.kept(), 0);
}
