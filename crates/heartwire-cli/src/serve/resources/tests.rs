use super::*;

/// Levels as they come, one per second, and what is told of each: whether it is short, or nothing.
fn told(levels: &[u16]) -> Vec<Option<bool>> {
    let mut watched = Watched::new(RESOURCES[0]);
    let start = Instant::now();
    let told = levels.iter().zip(0..).map(|(&level, second)| {
        let now = start + Duration::from_secs(second);
        let (row, change) = watched.note(usize::from(level), 1000, level, now);
        assert_eq!((row.used, row.percent), (level.into(), level / 10));
        change.map(|change| change.row.short)
    });
    told.collect()
}

#[test]
fn resource_is_told_once_when_it_is_short_and_once_when_it_is_enough() {
    let levels = [0, 899, 900, 1000, 899, 905, 800, 950, 799, 899, 0, 1200];
    let (short, enough) = (Some(true), Some(false));
    assert_eq!(
        told(&levels),
        [None, None, short, None, None, None, None, None, enough, None, None, short]
    );
}

#[test]
fn end_of_a_shortage_tells_how_long_it_lasted() {
    let mut watched = Watched::new(RESOURCES[0]);
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    assert_eq!(watched.note(9, 10, 900, at(1)).1.unwrap().lasted, None);
    assert_eq!(watched.note(0, 10, 0, at(8)).1.unwrap().lasted, Some(Duration::from_secs(7)));
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_that_the_system_does_not_count_are_estimated_from_the_sessions() {
    let estimate = Estimate { others: 10, limit: 100 };
    assert_eq!(estimate.level(80), (90, 100, 900));
    assert_eq!(Estimate { others: 0, limit: 0 }.level(0).2, 1000);
    let here = Estimate::new(0, Some(1 << 40)).unwrap();
    assert!(here.others > 2 && here.others < here.limit, "{here:?}");
}
