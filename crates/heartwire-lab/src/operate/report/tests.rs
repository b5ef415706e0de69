use super::*;

fn outcome() -> Outcome {
    let mut drained =
        Drained { lasted: Duration::from_secs(3), is_whole: true, ..Drained::default() };
    drained.count_live(200);
    drained.count_ready(503);
    let share = Share { idle: 0.3, each: 0.019, cpu: 0.019, slowest: Duration::from_millis(9) };
    let late = Lateness::new(vec![20.0; 1000]).unwrap();
    Outcome {
        sessions: 15_000,
        control: late.clone(),
        with_listings: late,
        listings: Listings { count: 1, ..Listings::default() },
        scrape_ms: 5.0,
        stats_ms: 5.0,
        page: share,
        top: share,
        drained,
    }
}

/// What of this is missed.
fn missed(change: impl FnOnce(&mut Outcome)) -> Value {
    let mut outcome = outcome();
    change(&mut outcome);
    let missed = outcome.object()["missed"].clone();
    assert_eq!(outcome.is_fine(), missed.as_array().unwrap().is_empty());
    missed
}

#[test]
fn each_bar_can_be_missed() {
    assert_eq!(missed(|_| {}), json!([]));
    assert_eq!(missed(|outcome| outcome.scrape_ms = 5.1), json!(["/metrics"]));
    assert_eq!(missed(|outcome| outcome.stats_ms = 5.1), json!(["/v1/stats"]));
    assert_eq!(missed(|outcome| outcome.page.cpu = 0.02), json!(["the page"]));
    assert_eq!(missed(|outcome| outcome.top.cpu = 0.02), json!(["top"]));
    assert_eq!(missed(|outcome| outcome.listings.count = 0), json!(["listings"]));
    assert_eq!(missed(|outcome| outcome.drained.count_live(503)), json!(["/livez in a drain"]));
    assert_eq!(missed(|outcome| outcome.drained.count_ready(200)), json!(["/readyz in a drain"]));
    let both = json!(["/livez in a drain", "/readyz in a drain"]);
    assert_eq!(missed(|outcome| outcome.drained.is_whole = false), both);
}

/// One late verdict of 1,000 is allowed, and two are not. What the control shows is no bar.
#[test]
fn lateness_is_judged_by_one_verdict_in_a_thousand() {
    let late = |count| {
        let mut late = vec![1.0; 1000 - count];
        late.extend(vec![21.0; count]);
        Lateness::new(late).unwrap()
    };
    assert_eq!(missed(|outcome| outcome.with_listings = late(1)), json!([]));
    assert_eq!(missed(|outcome| outcome.with_listings = late(2)), json!(["verdicts, listed"]));
    assert_eq!(missed(|outcome| outcome.control = late(999)), json!([]));
    assert!(Lateness::new(Vec::new()).is_none());
}
