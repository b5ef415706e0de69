use super::*;

mod model;
mod world;

const NAME: &str = "alice";

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn id(slot: u32) -> SessionId {
    SessionId::new(0, slot, 0)
}

fn names() -> Names {
    Names::new(EpochClock::stopped(1))
}

fn alice() -> Claimant {
    Claimant { principal: Principal::ANYBODY, instance: None }
}

/// The same, as an instance of that number.
fn instance(n: u64) -> Claimant {
    Claimant { instance: NonZero::new(n), ..alice() }
}

/// A principal other than [`alice`].
fn mallory() -> Claimant {
    use crate::server::admission::tokens::Tokens;
    const TOKEN: &str = "0123456789abcdef";
    let token = Some(TOKEN.as_bytes());
    let principal = Tokens::parse(TOKEN).unwrap().check(None, token, 0).unwrap().principal;
    Claimant { principal, instance: NonZero::new(1) }
}

/// One name, and claims by sessions that are numbers.
struct Rig(Names);

impl Rig {
    fn new() -> Self {
        Self(names())
    }

    #[track_caller]
    fn claim(&self, at_secs: u64, session: u32, expected: Claim) -> &Self {
        let claim = self.0.claim(NAME, alice(), id(session), at(at_secs));
        assert_eq!(claim, expected, "{session} at {at_secs} s");
        self
    }

    #[track_caller]
    fn release(&self, session: u32, expected: Option<(u32, u64)>) -> &Self {
        let expected = expected.map(|(session, epoch)| Next { id: id(session), epoch });
        assert_eq!(self.0.release(NAME, id(session)), expected, "{session}");
        self
    }

    /// Session 0 holds the name, and sessions 1 to 5 have taken it over, one each second until the
    /// fifth; `5` holds it.
    fn before_a_fight() -> Self {
        let rig = Self::new();
        rig.claim(0, 0, yours(1));
        for n in 1..=5 {
            rig.claim(u64::from(n), n, after(n - 1, u64::from(n) + 1));
            rig.release(n - 1, Some((n, u64::from(n) + 1)));
        }
        rig
    }
}

fn yours(epoch: u64) -> Claim {
    Claim::Yours { epoch }
}

fn after(holder: u32, epoch: u64) -> Claim {
    Claim::After { holder: id(holder), epoch, replaces: None }
}

fn instead(holder: u32, replaced: u32, epoch: u64) -> Claim {
    Claim::After { holder: id(holder), epoch, replaces: Some(id(replaced)) }
}

fn fighting(retry_after: u64, first: bool) -> Claim {
    Claim::Fighting { retry_after: secs(retry_after), first }
}

#[test]
fn a_free_name_is_the_first_ones_to_ask() {
    Rig::new().claim(0, 1, yours(1)).release(1, None).claim(0, 2, yours(2));
}

#[test]
fn the_newest_wins_once_the_older_is_offline() {
    Rig::new()
        .claim(0, 1, yours(1))
        .claim(1, 2, after(1, 2))
        .release(1, Some((2, 2)))
        .release(2, None)
        .claim(2, 3, yours(3));
}

#[test]
fn the_newest_of_several_waiting_clients_comes_next() {
    Rig::new()
        .claim(0, 1, yours(1))
        .claim(1, 2, after(1, 2))
        .claim(1, 3, instead(1, 2, 3))
        .release(2, None)
        .claim(1, 4, instead(1, 3, 4))
        .release(1, Some((4, 4)))
        .release(3, None)
        .claim(2, 5, after(4, 5));
}

#[test]
fn a_client_that_waits_for_a_name_and_leaves_is_not_welcomed() {
    let rig = Rig::new();
    rig.claim(0, 1, yours(1)).claim(1, 2, after(1, 2)).release(2, None).release(1, None);
    assert_eq!(rig.0.count(), 0);
}

#[test]
fn a_client_that_leaves_when_it_is_next_frees_the_name() {
    let rig = Rig::new();
    rig.claim(0, 1, yours(1)).claim(1, 2, after(1, 2)).release(1, Some((2, 2))).release(2, None);
    assert_eq!(rig.0.count(), 0);
}

#[test]
fn releasing_twice_or_what_was_never_claimed_does_nothing() {
    let rig = Rig::new();
    rig.release(1, None).claim(0, 1, yours(1)).claim(0, 2, after(1, 2));
    rig.release(1, Some((2, 2))).release(1, None).release(9, None).claim(0, 3, after(2, 3));
    assert_eq!(rig.0.release("bob", id(2)), None);
}

#[test]
fn claiming_again_changes_nothing() {
    Rig::new()
        .claim(0, 1, yours(1))
        .claim(1, 1, yours(1))
        .claim(1, 2, after(1, 2))
        .claim(1, 2, after(1, 2))
        .claim(1, 1, yours(1))
        .release(1, Some((2, 2)))
        .claim(1, 2, yours(2));
}

#[test]
fn another_principal_takes_nothing_over() {
    let rig = Rig::new();
    rig.claim(0, 1, yours(1));
    for n in 0..20 {
        assert_eq!(rig.0.claim(NAME, mallory(), id(100 + n), at(0)), Claim::InUse);
    }
    // Its tries are no takeovers either, and it may not come in after one who waits.
    rig.claim(0, 2, after(1, 2));
    assert_eq!(rig.0.claim(NAME, mallory(), id(9), at(0)), Claim::InUse);
    assert_eq!(rig.0.release(NAME, id(9)), None);
    rig.release(1, Some((2, 2)));
    assert_eq!(rig.0.claim(NAME, mallory(), id(9), at(0)), Claim::InUse);
    rig.release(2, None);
    assert_eq!(rig.0.claim(NAME, mallory(), id(9), at(0)), yours(3));
    assert_eq!(rig.0.claim(NAME, alice(), id(1), at(0)), Claim::InUse);
}

#[test]
fn names_have_nothing_to_do_with_each_other_but_the_counter() {
    let rig = Rig::before_a_fight();
    assert_eq!(rig.0.claim("bob", alice(), id(11), at(5)), yours(7));
    assert_eq!(rig.0.claim("bob", alice(), id(12), at(5)), after(11, 8));
    assert_eq!(rig.0.claim("Alice", alice(), id(13), at(5)), yours(9));
    assert_eq!(rig.0.count(), 3);
}

#[test]
fn more_than_five_takeovers_in_a_minute_are_a_fight_which_is_said_once() {
    let rig = Rig::before_a_fight();
    rig.claim(6, 6, fighting(60, true)).claim(7, 7, fighting(59, false));
    rig.claim(65, 6, fighting(1, false));
    // Those who were refused neither hold the name nor come next.
    rig.release(6, None).release(7, None).release(5, None).claim(66, 6, yours(7));
}

#[test]
fn epochs_are_times_and_grow_when_the_clock_does_not() {
    let clock = EpochClock::stopped(1_000);
    let names = Names::new(clock.clone());
    let claim = |n: u32| names.claim(&n.to_string(), alice(), id(n), at(0));
    assert_eq!((claim(0), claim(1)), (yours(1_000), yours(1_001)));
    clock.correct(500);
    assert_eq!((claim(2), claim(3)), (yours(1_500), yours(1_501)));
    clock.correct(-900);
    assert_eq!(claim(4), yours(1_502));
}

/// A path that cuts the client's end right after each connect, and leaves the server's open.
#[test]
fn a_client_that_takes_over_from_itself_fights_with_no_other() {
    let names = names();
    assert_eq!(names.claim(NAME, instance(7), id(0), at(0)), yours(1));
    for n in 1..=20 {
        let claim = names.claim(NAME, instance(7), id(n), at(2 * u64::from(n)));
        assert_eq!(claim, after(n - 1, u64::from(n) + 1));
        assert!(names.release(NAME, id(n - 1)).is_some());
    }
    // Another one takes the name from it, and it takes it back: those count.
    for n in 21..=25 {
        let by = instance(7 + u64::from(n % 2));
        assert_eq!(names.claim(NAME, by, id(n), at(42)), after(n - 1, u64::from(n) + 1));
        assert!(names.release(NAME, id(n - 1)).is_some());
    }
    assert_eq!(names.claim(NAME, instance(7), id(26), at(42)), fighting(60, true));
    assert_eq!(names.claim(NAME, alice(), id(26), at(43)), fighting(59, false));
    // The last one to take it comes back even so.
    assert_eq!(names.claim(NAME, instance(8), id(27), at(43)), after(25, 27));
}

#[test]
fn five_takeovers_in_a_minute_again_and_again_are_not_a_fight() {
    let rig = Rig::new();
    rig.claim(0, 0, yours(1));
    for n in 1..100 {
        rig.claim(u64::from(n) * 12, n, after(n - 1, u64::from(n) + 1));
        rig.release(n - 1, Some((n, u64::from(n) + 1)));
    }
}

#[test]
fn a_sixth_takeover_after_exactly_a_minute_is_not_a_fight() {
    Rig::before_a_fight().claim(61, 6, after(5, 7));
    let just_before = Instant::from_nanos(at(61).as_nanos() - 1);
    let claim = Rig::before_a_fight().0.claim(NAME, alice(), id(6), just_before);
    assert_eq!(claim, fighting(60, true));
}

#[test]
fn the_waits_of_a_fight_grow_up_to_five_minutes() {
    let rig = Rig::before_a_fight();
    rig.claim(6, 6, fighting(60, true));
    let (mut now, mut n) = (66, 6);
    for wait in [120, 240, 300, 300] {
        rig.claim(now, n, after(n - 1, u64::from(n) + 1));
        rig.release(n - 1, Some((n, u64::from(n) + 1)));
        rig.claim(now, n + 1, fighting(wait, false));
        (now, n) = (now + wait, n + 1);
    }
}

/// Otherwise a client that does not wait could lock out all others.
#[test]
fn claims_that_come_too_early_do_not_prolong_the_wait() {
    let rig = Rig::before_a_fight();
    rig.claim(6, 6, fighting(60, true));
    for now in 7..66 {
        rig.claim(now, 6, fighting(66 - now, false));
    }
    rig.claim(66, 7, after(5, 7));
}

#[test]
fn a_fight_is_over_after_a_quiet_minute_and_the_next_one_is_said() {
    let rig = Rig::before_a_fight();
    rig.claim(6, 6, fighting(60, true));
    // Just not over: one takeover, and a long wait.
    rig.claim(125, 6, after(5, 7)).release(5, Some((6, 7))).claim(126, 7, fighting(119, false));
    // Over, 60 s after the end of the wait at 245 s: five takeovers again.
    for n in 7..12 {
        rig.claim(305, n, after(n - 1, u64::from(n) + 1));
        rig.release(n - 1, Some((n, u64::from(n) + 1)));
    }
    rig.claim(306, 12, fighting(60, true));
}

#[test]
fn replacing_a_waiting_client_is_a_takeover_too() {
    let rig = Rig::new();
    rig.claim(0, 0, yours(1)).claim(0, 1, after(0, 2));
    for n in 2..=5 {
        rig.claim(0, n, instead(0, n - 1, u64::from(n) + 1));
    }
    rig.claim(0, 6, fighting(60, true)).release(0, Some((5, 6)));
}

#[test]
fn a_fight_goes_on_after_the_name_was_free() {
    let rig = Rig::before_a_fight();
    rig.claim(6, 6, fighting(60, true)).release(5, None).claim(7, 6, yours(7));
    rig.claim(8, 7, fighting(58, false)).claim(66, 7, after(6, 8));
}

/// One that takes a name and leaves at once sends its holder away five times a minute, as if it
/// stayed.
#[test]
fn takeovers_count_after_the_name_was_free() {
    let rig = Rig::new();
    for n in 1..=5 {
        let (holder, epoch) = (2 * n, u64::from(2 * n));
        rig.claim(u64::from(n), holder, yours(epoch - 1));
        rig.claim(u64::from(n), holder + 1, after(holder, epoch));
        rig.release(holder, Some((holder + 1, epoch))).release(holder + 1, None);
    }
    rig.claim(6, 12, yours(11)).claim(6, 13, fighting(60, true));
}

#[test]
fn fights_are_forgotten_when_they_no_longer_matter() {
    let rig = Rig::before_a_fight();
    rig.release(5, None);
    assert_eq!(rig.0.fights(), 1);
    // The last takeover was at 5 s: until 65 s it counts.
    let claim = |secs, n| rig.0.claim("bob", alice(), id(n), at(secs));
    assert_eq!((claim(64, 20), rig.0.fights()), (yours(7), 1));
    assert_eq!((claim(130, 20), rig.0.fights()), (yours(7), 0));
}

#[test]
fn of_too_many_fights_the_oldest_are_forgotten() {
    let names = names();
    for n in 0..=u32::try_from(MAX_FIGHTS).unwrap() {
        let name = n.to_string();
        let _ = names.claim(&name, alice(), id(2 * n), at(0));
        let _ = names.claim(&name, alice(), id(2 * n + 1), at(0));
    }
    let fights = &names.lock().fights;
    assert_eq!((fights.past.len(), fights.order.len()), (MAX_FIGHTS, MAX_FIGHTS));
    assert!(!fights.past.contains_key("0"));
}

#[test]
fn a_shard_that_is_gone_holds_no_name_and_waits_for_none() {
    let of = |shard, slot| SessionId::new(shard, slot, 0);
    let names = names();
    let claim = |name, id| names.claim(name, alice(), id, at(0));
    let welcomed = |holder, epoch| Claim::After { holder, epoch, replaces: None };
    assert_eq!(claim("alone", of(1, 0)), yours(1));
    assert_eq!(claim("followed", of(1, 1)), yours(2));
    assert_eq!(claim("followed", of(0, 1)), welcomed(of(1, 1), 3));
    assert_eq!(claim("follows", of(0, 2)), yours(4));
    assert_eq!(claim("follows", of(1, 2)), welcomed(of(0, 2), 5));
    assert_eq!(claim("both", of(1, 3)), yours(6));
    assert_eq!(claim("both", of(1, 4)), welcomed(of(1, 3), 7));
    assert_eq!(claim("neither", of(0, 5)), yours(8));
    let next = Next { id: of(0, 1), epoch: 3 };
    assert_eq!(names.release_shard(1), [("followed".into(), next)]);
    assert_eq!(names.count(), 3);
    assert_eq!(claim("followed", of(0, 1)), yours(3));
    assert_eq!(names.release("follows", of(0, 2)), None);
    assert_eq!(names.release_shard(1), []);
}

/// A name costs its bytes and no more than this.
#[test]
fn a_name_costs_96_bytes_at_most() {
    assert!(size_of::<(Box<str>, Entry)>() <= 96, "{}", size_of::<(Box<str>, Entry)>());
}

#[test]
fn names_have_1_to_255_bytes_of_printable_text() {
    for name in [
        "a",
        "A.b_c:d@e/f-g",
        "00:1B:44:11:3A:B7",
        "{0c1b6a2e-7f54-4f0e-9b3a-2d2f0c3b9a11}",
        "a+tag@host",
        "door 3",
        "网关-1",
        "caf\u{e9}",
        "cafe\u{301}",
        "\"#\\",
        "\u{1f6aa}",
        &"x".repeat(255),
        &"\u{e9}".repeat(127),
    ] {
        valid_name(name).unwrap();
    }
    for (name, error, says) in [
        ("", NameFault::Empty, "at least 1"),
        (&"x".repeat(256), NameFault::TooLong { len: 256 }, "at most 255 bytes, not 256"),
        (&"\u{e9}".repeat(128), NameFault::TooLong { len: 256 }, "at most 255 bytes, not 256"),
        (" a", NameFault::OuterSpace, "may not begin or end with a space"),
        ("a ", NameFault::OuterSpace, "may not begin or end with a space"),
        (" ", NameFault::OuterSpace, "may not begin or end with a space"),
        ("\n", NameFault::Character { at: 0 }, "line ends"),
        ("a\tb", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\0", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\u{7f}", NameFault::Character { at: 1 }, "at byte 1"),
        ("\u{e9}\u{85}", NameFault::Character { at: 2 }, "at byte 2"),
        ("a\u{a0}b", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\u{2028}b", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\u{3000}b", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\u{200d}b", NameFault::Character { at: 1 }, "at byte 1"),
        ("a\u{202e}b", NameFault::Character { at: 1 }, "at byte 1"),
        ("\u{feff}b", NameFault::Character { at: 0 }, "at byte 0"),
        ("b\u{e0041}", NameFault::Character { at: 1 }, "at byte 1"),
    ] {
        let found = valid_name(name).unwrap_err();
        assert_eq!(found.0, error, "{name:?}");
        let said = found.to_string();
        assert!(said.contains(says), "{said}");
    }
    let format = (0..=0x10_ffff).filter_map(char::from_u32).filter(|&c| is_format(c)).count();
    assert_eq!(format, 170, "Unicode 17 has so many");
}
