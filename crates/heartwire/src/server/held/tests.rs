use super::*;

#[test]
fn the_fullest_share_of_a_shard_counts() {
    let level = Level::shared([10, 75, 0, 0].into_iter(), 400);
    assert_eq!(level, Level { used: 85, max: 400, fullest: 750 });
    assert_eq!(Level::new(1, 3).fullest, 333);
}

#[test]
fn a_maximum_of_nothing_is_full_as_soon_as_there_is_something() {
    assert_eq!([Level::new(0, 0).fullest, Level::new(1, 0).fullest], [0, 1000]);
    assert_eq!(Level::new(usize::MAX, 1).fullest, u16::MAX);
}

/// Only a bound from below: other tests of this process have descriptors too.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_are_counted() {
    let open: Vec<_> = (0..10).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    if let Some(used) = descriptors::used() {
        assert!(used >= open.len(), "{used}");
        assert!(used <= descriptors::most());
    } else {
        heartwire_testkit::skip("this kernel does not count descriptors");
    }
}
