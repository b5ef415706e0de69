use heartwire_testkit::ms;

use super::*;

/// A histogram of these durations.
fn of(durations: &[Duration]) -> Histogram {
    let measured = Measured::default();
    durations.iter().for_each(|&duration| measured.lateness(duration));
    Measured::read([&measured].into_iter()).lateness
}

fn counted(histogram: &Histogram) -> Vec<(Option<Duration>, u64)> {
    histogram.buckets().filter(|&(_, count)| count > 0).collect()
}

#[test]
fn a_duration_is_counted_in_the_first_bucket_whose_edge_it_does_not_exceed() {
    let just_over = ms(2) + Duration::from_nanos(1);
    let longest = Duration::from_secs(501);
    let histogram = of(&[Duration::ZERO, ms(2), just_over, ms(5), longest]);
    let first = Some(Duration::from_micros(100));
    assert_eq!(counted(&histogram), [(first, 1), (Some(ms(2)), 1), (Some(ms(5)), 2), (None, 1)]);
    assert_eq!(histogram.count(), 5);
    assert_eq!(histogram.sum(), ms(2) + just_over + ms(5) + longest);
    assert!(Histogram::EDGES.is_sorted());
}

#[test]
fn a_quantile_lies_in_the_bucket_that_its_rank_falls_into() {
    assert_eq!(of(&[]).quantile(500), None);
    // One to a bucket: 1 to 2 ms, and 10 to 20 ms.
    let two = of(&[ms(2), ms(15)]);
    assert_eq!([0, 500, 501, 1000].map(|q| two.quantile(q)), [2, 2, 20, 20].map(|at| Some(ms(at))));
    // A quarter of those between 10 and 20 ms.
    assert_eq!(of(&[ms(15); 4]).quantile(250), Some(Duration::from_micros(12_500)));
    let over = Duration::from_secs(9_999);
    assert_eq!(of(&[over]).quantile(999), Some(Duration::from_secs(500)));
}

#[test]
fn beats_that_came_together_count_with_their_mean_gap() {
    let measured = Measured::default();
    measured.gap(ms(40), 4);
    measured.gap(ms(3), 0);
    let gap = Measured::read([&measured].into_iter()).gap;
    assert_eq!(counted(&gap), [(Some(ms(5)), 1), (Some(ms(10)), 4)]);
    assert_eq!(gap.sum(), ms(43));
}

#[test]
fn all_shards_are_added_up() {
    let shards = [Measured::default(), Measured::default()];
    shards.iter().for_each(|shard| shard.round_trip(ms(1)));
    let all = Measured::read(shards.iter());
    assert_eq!((all.round_trip.count(), all.round_trip.sum()), (2, ms(2)));
    assert_eq!((all.lateness, all.gap), Default::default());
}
