use super::carry::Cost;
use super::*;

fn carried(pinned: bool, times: f64) -> Carried {
    let one = Cost { beats_per_s: 1.0, beat_cpu_us: 1.0, wakeups_per_beat: 0.5 };
    Carried { pinned, one, several: one, times }
}

fn counts(shared_accesses: f64) -> Counts {
    Counts {
        clients: "v0",
        beats: 1,
        calls: [("recvfrom".to_owned(), 0.5)].into(),
        own_lines: 7,
        shared_lines: 1,
        shared_accesses,
        shared: vec!["0x40: by both".to_owned()],
    }
}

#[test]
fn bar_of_the_load_holds_where_each_shard_has_a_processor() {
    assert_eq!(missed(2, &[], Some(&carried(true, 1.8))), [""; 0]);
    assert_eq!(missed(2, &[], Some(&carried(false, 1.1))), [""; 0]);
    let expected = "carries 1.79 times the load, and not 1.8";
    assert_eq!(missed(2, &[], Some(&carried(true, 1.79))), [expected]);
    assert_eq!(missed(4, &[], Some(&carried(true, 3.5))).len(), 1);
}

#[test]
fn bar_of_the_counts_is_nothing_shared_per_beat() {
    assert_eq!(missed(2, &[counts(0.0), counts(0.01)], None), [""; 0]);
    let expected = "v0: 7.21 accesses to shared memory per beat";
    assert_eq!(missed(2, &[counts(7.21)], None), [expected]);
}

#[test]
fn report_has_the_counts_and_what_was_missed() {
    let text = render(2, &[counts(3.0)], Some(&carried(false, 1.9)), &["x".to_owned()]);
    for part in ["recvfrom 0.500", "7 written by one shard alone", "0x40", "1.90 times", "MISSED x"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("that takes 4 processors"));
}
