use super::*;

fn frames() -> Frames {
    Frames::new(7, Side::Client, 3)
}

#[track_caller]
fn assert_faults(arrived: &[Vec<u8>], expected: Faults) {
    let mut sink = Sink::new(frames());
    for frame in arrived {
        sink.handle_frame(frame);
    }
    assert_eq!(sink.faults, expected);
}

#[test]
fn frames_that_arrive_as_sent_have_no_faults_and_the_same_checksum() {
    let (mut source, mut sink) = (Source::new(frames()), Sink::new(frames()));
    while let Some(frame) = source.next(1 << 20) {
        sink.handle_frame(frame);
        source.handle_sent();
    }
    assert_eq!(sink.faults, Faults::default());
    assert_eq!(sink.got().checksum(), source.sent().checksum());
    assert!(source.sent().bytes >= 1 << 20 && sink.got().frames == source.sent().frames);
}

#[test]
fn a_frame_that_is_missing_repeated_late_or_damaged_is_a_fault() {
    let get = |number| frames().get(number);
    let none = Faults::default();
    assert_faults(&[get(0), get(1)], none);
    assert_faults(&[get(0), get(3), get(4)], Faults { missing: 2, ..none });
    assert_faults(&[get(0), get(1), get(1), get(2)], Faults { repeated: 1, ..none });
    assert_faults(&[get(1), get(0), get(2)], Faults { missing: 1, repeated: 1, ..none });
    let mut bad = get(1);
    *bad.last_mut().unwrap() ^= 1;
    assert_faults(&[get(0), bad, get(1)], Faults { damaged: 1, ..none });
    assert_faults(&[Vec::new()], Faults { damaged: 1, ..none });
    assert_faults(&[Frames::new(7, Side::Server, 3).get(0)], Faults { damaged: 1, ..none });
}

#[test]
fn frames_are_of_all_sizes_and_differ() {
    let lengths: Vec<usize> = (0..1000).map(|number| frames().get(number).len()).collect();
    let [least, most] = LENGTHS;
    assert!(lengths.iter().all(|len| (least..=most).contains(len)));
    let half = lengths.iter().filter(|&&len| len < 1024).count();
    assert!((300..700).contains(&half), "{half} are short");
    assert!(lengths.iter().any(|&len| len > most / 2));
    assert_ne!(Frames::new(7, Side::Client, 4).get(0), frames().get(0));
}

#[test]
fn joined_frames_have_another_checksum() {
    let (mut two, mut one) = (Total::default(), Total::default());
    two.add(b"ab");
    two.add(b"c");
    one.add(b"abc");
    assert_ne!(two.checksum(), one.checksum());
}
