use super::Outbox;
use crate::sim::link::Body;

#[test]
fn a_message_that_is_lost_with_one_session_is_not_lost_again_with_the_next() {
    let mut outbox = Outbox::new(None);
    for len in [9, 9, 1] {
        outbox.push(Body { at: 0, len });
    }
    outbox.begin_session(0, 5);
    outbox.end_session(true);
    // The next session passes over what is too long before the application is told of the first.
    outbox.begin_session(1, 5);
    assert_eq!(outbox.pop().map(|body| body.len), Some(1));
    outbox.push(Body { at: 0, len: 9 });
    outbox.end_session(true);
    let first = outbox.settled.pop_front().unwrap();
    assert_eq!(first.dropped(2), Some(2));
    outbox.drop_too_long(2, first.longest);
    let second = outbox.settled.pop_front().unwrap();
    assert_eq!((second.begun, second.all), (0, 1));
    assert_eq!(second.dropped(0), Some(0));
}
