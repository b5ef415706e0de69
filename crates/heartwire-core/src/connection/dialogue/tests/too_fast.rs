//! The budget for a peer's beats.

use super::*;

#[test]
fn beats_that_are_far_too_fast_get_a_notice_and_then_end_the_connection() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(30));
    let mut sent = 0;
    while pair.server.outcome.is_none() {
        pair.client.connection.beat_now();
        pair.run_for(ms(100));
        sent += 1;
        assert!(sent < 1000, "it is never too much");
        if sent == 80 {
            assert!(pair.link_state(Side::Client).too_fast, "it was told");
        }
    }
    assert_eq!(pair.server.outcome, Some(Err(Violation::TooFast)));
    assert!((120..160).contains(&sent), "{sent}");
}

#[test]
fn beats_that_come_all_at_once_after_a_long_stop_are_not_too_fast() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    // The server is stopped for an hour and a half, while its client beats.
    let mut held = Vec::new();
    for _ in 0..540 {
        pair.now = pair.at(s(10));
        pair.client.connection.handle_heard(pair.now);
        pair.client.connection.beat_now();
        for bytes in pair.client.turn(pair.now) {
            held.extend_from_slice(bytes.as_ref());
        }
    }
    assert_eq!(held.len(), 540 * 40);
    pair.server.take(&held, &pair.terms, pair.now);
    assert_eq!(pair.server.outcome, None);
}

#[test]
fn beats_that_a_dribbling_path_hands_over_late_are_not_too_fast() {
    let mut pair = Pair::usual(ms(40));
    pair.run_for(s(5));
    // Every third beat gets through at once; what is held up comes when the path is well again.
    let (mut held, mut handed_over) = (VecDeque::new(), 0);
    for beat in 0..220 {
        pair.now = pair.at(s(10));
        pair.client.connection.handle_heard(pair.now);
        pair.client.connection.beat_now();
        for bytes in pair.client.turn(pair.now) {
            held.push_back(bytes.as_ref().to_vec());
        }
        if beat % 3 == 0 {
            let bytes: Vec<u8> = held.pop_front().unwrap();
            pair.server.take(&bytes, &pair.terms, pair.now);
            handed_over += 1;
        }
    }
    assert!(held.len() > 128, "{handed_over} were handed over, and {} are left", held.len());
    for bytes in held {
        pair.server.take(&bytes, &pair.terms, pair.now);
        assert!(
            !pair
                .server
                .turn(pair.now)
                .iter()
                .any(|bytes| { Beat::decode(bytes.as_ref()[8..40].try_into().unwrap()).too_fast })
        );
    }
    assert_eq!(pair.server.outcome, None);
}

/// A server's budget for its client's beats, with 10 s agreed; each is read this long after the one
/// before.
struct Book {
    dialogue: Dialogue,
    now: Instant,
}

impl Book {
    fn new() -> Self {
        let now = Instant::from_nanos(0);
        let terms = Terms::new(Offer::new(&usual(Side::Server)));
        let contract = terms.agree(&Offer::new(&usual(Side::Client))).unwrap();
        let dialogue =
            Dialogue::new(Side::Server, (1, contract.into()), Health::Ok, Arrived::at(now), now);
        Self { dialogue, now }
    }

    #[track_caller]
    fn beats(&mut self, count: u32, each_after: Duration, credit: i64) -> &mut Self {
        for _ in 0..count {
            self.now = self.now.saturating_add(each_after);
            self.dialogue.charge(self.now).unwrap();
        }
        assert_eq!(self.dialogue.budget.credit(), credit);
        self
    }

    fn gives_notice(&mut self) -> bool {
        self.dialogue.beat(&Clocks::new(self.now), None, self.now).0.too_fast
    }
}

/// The numbers of PROTOCOL.md.
#[test]
fn the_credit_for_beats_grows_to_15_minutes_of_them_or_to_the_time_since_the_last_one() {
    // One back each 5 s, and each beat takes one.
    Book::new().beats(1, s(10), 65).beats(10, s(10), 75).beats(500, s(10), 179);
    // 20 min are 240 times 5 s.
    Book::new().beats(1, s(0), 63).beats(1, s(20 * 60), 239).beats(1, s(5), 238);
    Book::new().beats(1, s(60 * 60), 719);
}

#[test]
fn a_notice_is_kept_until_the_credit_is_0_again_and_only_beats_tell() {
    let mut book = Book::new();
    book.beats(64, s(0), 0);
    assert!(!book.gives_notice());
    book.beats(1, s(0), -1);
    assert!(book.gives_notice());
    // Silence alone does not lift it, though ten are owed by now.
    book.now = book.now.saturating_add(s(50));
    assert!(book.gives_notice());
    book.beats(1, s(0), 8);
    assert!(!book.gives_notice());
    // One back for one taken.
    book.beats(9, s(0), -1).beats(5, s(5), -1);
    assert!(book.gives_notice());
    book.beats(1, s(10), 0);
    assert!(!book.gives_notice());
    book.beats(64, s(0), -64);
    assert_eq!(book.dialogue.charge(book.now), Err(Violation::TooFast));
}

#[test]
fn twice_as_many_beats_as_agreed_are_allowed() {
    let mut pair = Pair::usual(ms(40));
    for _ in 0..1000 {
        pair.client.connection.beat_now();
        pair.run_for(s(5));
    }
    pair.both_live();
    assert!(!pair.link_state(Side::Client).too_fast);
}

#[test]
fn beats_that_each_come_a_quarter_early_are_not_too_fast() {
    let mut book = Book::new();
    let credit = book.dialogue.budget.credit();
    // Each gains one or two half intervals.
    for _ in 0..10_000 {
        book.now = book.now.saturating_add(ms(7_500));
        book.dialogue.charge(book.now).unwrap();
        assert!(book.dialogue.budget.credit() >= credit - 1);
    }
}

#[test]
fn a_flood_of_beats_without_an_agreed_interval_is_too_fast() {
    let silent = Policy::builder().build().unwrap();
    let mut pair = Pair::new(silent, silent, ms(40));
    assert_eq!(pair.server.connection.contract().unwrap().to_server.interval(), None);
    let mut sent = 0;
    while pair.server.outcome.is_none() {
        pair.client.connection.beat_now();
        pair.run_for(ms(1));
        sent += 1;
        assert!(sent < 1000, "it is never too much");
    }
    assert_eq!(pair.server.outcome, Some(Err(Violation::TooFast)));
}
