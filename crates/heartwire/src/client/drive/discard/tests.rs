use super::*;
use crate::toy::Toy;

#[test]
fn a_server_that_sends_as_fast_as_it_can_is_read_slowly() {
    let mut toy = Toy::new();
    let mut discard = Discard::default();
    toy.send(&vec![0; 100 * 16 * 1024]);
    toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    let began = toy.now();
    while !discard.has_ended() {
        let now = toy.now();
        discard.run(&mut toy, &mut Inbox::default(), now).unwrap();
        match discard.resumes_at() {
            Some(at) => toy.pass(at.saturating_since(now)),
            None => assert!(discard.has_ended(), "there is more to read, and nothing to wait for"),
        }
    }
    // A pause after each fourth read.
    assert_eq!(toy.now().saturating_since(began), 25 * PAUSE);
}

#[test]
fn an_end_that_has_sent_nothing_is_waited_for() {
    let mut toy = Toy::new();
    let mut discard = Discard::default();
    let now = toy.now();
    discard.run(&mut toy, &mut Inbox::default(), now).unwrap();
    assert!(discard.wants_read() && !discard.has_ended());
    toy.state().end = Some(io::ErrorKind::ConnectionReset);
    let error = discard.run(&mut toy, &mut Inbox::default(), now).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
