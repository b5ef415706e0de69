//! Stories of one node and a store that does as told. All interleavings of several are in `sim`.

use heartwire::server::SessionId;

use super::*;
use crate::session::Session;
use crate::store::{Op, Outcome};

/// What the store's clock shows at the driver's origin.
const START: u64 = 1_764_270_000_000_000;

/// A node, and the time.
struct Story {
    node: Node,
    now: Instant,
}

impl Story {
    /// A node that has joined.
    fn joined() -> Self {
        let now = Instant::from_nanos(0);
        let node = Node::new(now, "eu-1".parse().unwrap(), "".into(), 1);
        let mut story = Self { node, now };
        story.node.connected(now, "first");
        let join = story.call();
        assert!(matches!(join, Call::Join { .. }), "{join:?}");
        story.leased(join, "1");
        assert_eq!(story.node.poll(story.now).events.len(), 1);
        story
    }

    fn call(&mut self) -> Call {
        self.node.poll(self.now).call.unwrap()
    }

    fn leased(&mut self, call: Call, generation: &str) {
        let now = START + self.now.as_nanos() / 1_000;
        let leased = Answer::Leased { now, generation: generation.into(), namesake: None };
        self.node.answered(self.now, call, Ok(leased));
    }

    fn ops(&mut self) -> (Call, Vec<Op>) {
        let call = self.call();
        let Call::Apply { ops, .. } = &call else { panic!("{call:?}") };
        let ops = ops.clone();
        (call, ops)
    }

    fn applied(&mut self, call: Call, outcomes: &[Outcome]) {
        self.node.answered(self.now, call, Ok(Answer::Applied(outcomes.into())));
    }

    /// A session with the given number and epoch is online, and the store has it.
    fn told(&mut self, number: u32, epoch: u64) {
        self.node.passed(self.now, online(number, epoch));
        let (call, _) = self.ops();
        self.applied(call, &[Outcome::Online { epoch }]);
        assert_eq!(self.node.poll(self.now).call, None);
    }

    /// To the same server. The lease is renewed first.
    fn connects_again(&mut self) {
        assert!(!self.node.connected(self.now, "first"));
        let renew = self.call();
        self.leased(renew, "1");
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }
}

fn id(number: u32) -> SessionId {
    format!("0-{number}-1").parse().unwrap()
}

fn session(number: u32, epoch: u64) -> Session {
    let peer = "127.0.0.1:1".parse().unwrap();
    Session { name: "door".into(), epoch, id: id(number), peer, instance: None }
}

fn online(number: u32, epoch: u64) -> Passed {
    Passed::Online(session(number, epoch))
}

fn offline(number: u32, epoch: u64) -> Passed {
    Passed::Offline { session: session(number, epoch), reason: "dead", incident: None }
}

fn is_online_with(op: &Op, wanted: u64) -> bool {
    matches!(op, Op::Online { epoch, .. } if *epoch == wanted)
}

fn is_offline_with(op: &Op, wanted: u64) -> bool {
    matches!(op, Op::Offline { epoch, .. } if *epoch == wanted)
}

#[test]
fn change_whose_call_had_no_answer_is_told_again_as_it_is_by_then() {
    let mut story = Story::joined();
    story.node.passed(story.now, online(1, START));
    let (call, _) = story.ops();
    story.node.answered(story.now, call, Err(()));
    assert_eq!(story.node.poll(story.now).call, None, "not before there is a connection again");
    story.connects_again();
    let (call, ops) = story.ops();
    assert!(is_online_with(&ops[0], START), "{ops:?}");
    assert!(matches!(call, Call::Apply { number: 2, .. }), "{call:?}");
    story.node.answered(story.now, call, Err(()));
    story.node.passed(story.now, offline(1, START));
    story.connects_again();
    let (call, ops) = story.ops();
    assert!(matches!(ops[0], Op::Offline { epoch, .. } if epoch > START * 2), "{ops:?}");
    story.applied(call, &[Outcome::Offline]);
    assert_eq!(story.node.names.kept(), 0);
}

#[test]
fn only_the_last_state_of_a_name_waits() {
    let mut story = Story::joined();
    story.told(0, START);
    story.node.disconnected();
    for number in 1..100 {
        story.node.passed(story.now, online(number, START + u64::from(number)));
        story.node.passed(story.now, offline(number, START + u64::from(number)));
        assert_eq!(story.node.figures(story.now).waiting, 1);
    }
    assert_eq!(story.node.names.kept(), 1);
    story.connects_again();
    let (call, ops) = story.ops();
    assert!(is_offline_with(&ops[0], START), "{ops:?}");
    story.applied(call, &[Outcome::Offline]);
    assert_eq!(story.node.names.kept(), 0);
}

#[test]
fn name_that_the_store_never_heard_of_is_not_told_offline() {
    let mut story = Story::joined();
    story.node.passed(story.now, online(1, START));
    story.node.passed(story.now, offline(1, START));
    assert_eq!(story.node.poll(story.now).call, None);
    assert_eq!(story.node.names.kept(), 0);
}

#[test]
fn takeover_ends_the_session_that_the_store_knows_and_no_newer_one() {
    let mut story = Story::joined();
    story.told(1, START);
    let taken_over = |epoch| Command::TakenOver { name: "door".into(), epoch, same_client: true };
    story.node.command(story.now, &taken_over(START));
    assert_eq!(story.node.poll(story.now).end, [], "its own epoch");
    story.node.command(story.now, &taken_over(START + 1));
    story.node.command(story.now, &taken_over(START + 1));
    let why = Ended::TakenOver { same_client: true };
    assert_eq!(story.node.poll(story.now).end, [End { session: id(1), why }], "once");

    // The client is back here before the older session's end was passed on.
    story.node.passed(story.now, online(2, START + 2));
    story.node.command(story.now, &taken_over(START + 1));
    let (call, ops) = story.ops();
    assert!(is_online_with(&ops[0], START + 2), "{ops:?}");
    story.applied(call, &[Outcome::Online { epoch: START + 2 }]);
    assert_eq!(story.node.poll(story.now).end, []);
}

#[test]
fn takeover_that_comes_before_the_answer_ends_the_session_at_once() {
    let mut story = Story::joined();
    story.node.passed(story.now, online(1, START));
    let (call, _) = story.ops();
    let taken_over =
        Command::TakenOver { name: "door".into(), epoch: START + 9, same_client: false };
    story.node.command(story.now, &taken_over);
    let why = Ended::TakenOver { same_client: false };
    assert_eq!(story.node.poll(story.now).end, [End { session: id(1), why }]);
    story.applied(call, &[Outcome::Online { epoch: START }]);
    // The store may have applied it only after the newer session had ended.
    let (call, ops) = story.ops();
    assert!(matches!(&ops[0], Op::Offline { reason, .. } if **reason == *"taken_over"), "{ops:?}");
    story.applied(call, &[Outcome::Offline]);
    story.node.passed(story.now, offline(1, START));
    assert_eq!(story.node.names.kept(), 0);
}

#[test]
fn session_that_is_older_than_that_of_another_node_ends() {
    let mut story = Story::joined();
    story.node.passed(story.now, online(1, START));
    let (call, _) = story.ops();
    story.applied(call, &[Outcome::Older { epoch: START + 1, same_client: true }]);
    let next = story.node.poll(story.now);
    let why = Ended::TakenOver { same_client: true };
    assert_eq!((next.end, next.call), (vec![End { session: id(1), why }], None));
}

#[test]
fn kick_is_not_for_a_newer_session() {
    let mut story = Story::joined();
    story.told(1, START);
    story.node.command(story.now, &Command::Kick { name: "door".into(), epoch: START - 1 });
    assert_eq!(story.node.poll(story.now).end, []);
    story.node.command(story.now, &Command::Kick { name: "door".into(), epoch: START });
    assert_eq!(story.node.poll(story.now).end, [End { session: id(1), why: Ended::Kicked }]);
}

#[test]
fn epoch_of_a_wrong_clock_is_replaced_by_the_time_at_which_the_session_was_passed() {
    let passed = START + 4_000_000;
    for (drawn, proposed) in [
        (passed + 3_600_000_000, passed),
        (passed - 3_600_000_000, passed),
        (passed + 200_000, passed + 200_000),
        (passed - 200_000, passed - 200_000),
    ] {
        let mut story = Story::joined();
        story.later(Duration::from_secs(4));
        story.node.passed(story.now, online(1, drawn));
        let (_, ops) = story.ops();
        assert!(is_online_with(&ops[0], proposed), "{drawn}: {ops:?}");
    }
}

#[test]
fn fenced_node_says_all_again_under_another_id() {
    let mut story = Story::joined();
    story.told(1, START);
    let old = story.node.id().clone();
    story.later(LEASE / RENEW);
    let renew = story.call();
    assert_eq!(renew, Call::Renew { node: old.clone() });
    story.node.answered(story.now, renew, Ok(Answer::Fenced));
    let next = story.node.poll(story.now);
    assert_eq!(next.events, [PresenceEvent::Fenced { node: old.clone() }]);
    assert_ne!(*story.node.id(), old);
    story.leased(next.call.unwrap(), "2");
    let (call, ops) = story.ops();
    assert!(is_online_with(&ops[0], START), "{ops:?}");
    assert!(matches!(call, Call::Apply { node, .. } if node == *story.node.id()));
}

#[test]
fn emptied_store_is_told_all_again() {
    let mut story = Story::joined();
    story.told(1, START);
    story.later(LEASE / RENEW);
    let renew = story.call();
    story.leased(renew, "2");
    let next = story.node.poll(story.now);
    assert_eq!(next.events, [PresenceEvent::Emptied]);
    assert!(matches!(next.call, Some(Call::Apply { .. })));
}

#[test]
fn store_that_differs_twice_is_put_right() {
    let mut story = Story::joined();
    story.told(1, START);
    story.node.disconnected();
    assert!(story.node.connected(story.now, "second"));
    let renew = story.call();
    story.leased(renew, "1");
    for _ in 0..2 {
        let compare = story.call();
        assert!(matches!(compare, Call::Compare { .. }), "{compare:?}");
        let digest = Answer::Digest { names: 1, hash: 1 };
        story.node.answered(story.now, compare, Ok(digest));
        story.later(LEASE / COMPARE_AGAIN);
    }
    let names = story.call();
    assert!(matches!(names, Call::Names { cursor: 0, .. }), "{names:?}");
    let answer = Answer::Names { names: vec![("ghost".into(), 7)], cursor: 3 };
    story.node.answered(story.now, names, Ok(answer));
    // Changes have their turn in between.
    let (call, ops) = story.ops();
    assert!(is_offline_with(&ops[0], 7), "{ops:?}");
    story.applied(call, &[Outcome::Offline]);
    let names = story.call();
    let answer = Answer::Names { names: Vec::new(), cursor: 0 };
    story.node.answered(story.now, names, Ok(answer));
    let next = story.node.poll(story.now);
    assert_eq!(next.events, [PresenceEvent::Differed { names: 2 }]);
    let Some(Call::Apply { ops, .. }) = next.call else { panic!("{next:?}") };
    assert!(is_online_with(&ops[0], START), "{ops:?}");
}

#[test]
fn closing_node_tells_all_and_leaves() {
    let mut story = Story::joined();
    story.told(1, START);
    story.node.passed(story.now, offline(1, START));
    story.node.close();
    let (call, _) = story.ops();
    story.applied(call, &[Outcome::Offline]);
    let leave = story.call();
    assert!(matches!(leave, Call::Leave { .. }), "{leave:?}");
    story.node.answered(story.now, leave, Ok(Answer::Told));
    assert!(story.node.poll(story.now).is_closed);
}

#[test]
fn incident_is_told_before_the_changes_that_wait() {
    let mut story = Story::joined();
    story.node.passed(story.now, online(1, START));
    story.node.tell("incident", "{}".into());
    let call = story.call();
    assert!(matches!(call, Call::Tell { kind: "incident", .. }), "{call:?}");
    story.node.answered(story.now, call, Err(()));
    story.connects_again();
    let call = story.call();
    assert!(matches!(call, Call::Tell { kind: "incident", .. }), "{call:?}");
    story.node.answered(story.now, call, Ok(Answer::Told));
    story.ops();
}

#[test]
fn idle_node_makes_four_calls_in_ten_seconds() {
    let mut story = Story::joined();
    let mut calls = 0;
    loop {
        let next = story.node.poll(story.now);
        match next.call {
            Some(call @ Call::Renew { .. }) => story.leased(call, "1"),
            Some(call @ Call::Expired) => {
                story.node.answered(story.now, call, Ok(Answer::Expired(Vec::new())));
            }
            Some(call) => {
                assert!(matches!(call, Call::Compare { .. }), "{call:?}");
                let same = Answer::Digest { names: 0, hash: 0 };
                story.node.answered(story.now, call, Ok(same));
            }
            None => {
                story.now = next.wait_until.unwrap();
                if story.now > Instant::from_nanos(600_000_000_000) {
                    break;
                }
                continue;
            }
        }
        calls += 1;
    }
    assert!((200..=260).contains(&calls), "{calls} in 10 minutes");
}

#[test]
fn names_are_told_in_the_order_in_which_they_began_to_wait() {
    let mut story = Story::joined();
    let many = u32::try_from(BATCH).unwrap() * 2 + 50;
    let named = |number: u32, epoch| {
        Passed::Online(Session { name: format!("{number}").into(), ..session(number, epoch) })
    };
    for number in 0..many {
        story.node.passed(story.now, named(number, START));
    }
    // One that changes again keeps its place.
    story.node.passed(story.now, named(0, START + 1));
    let mut told = Vec::new();
    while let Some(call) = story.node.poll(story.now).call {
        let Call::Apply { ops, .. } = &call else { panic!("{call:?}") };
        assert!(ops.len() <= BATCH);
        told.extend(ops.iter().map(|op| op.name().parse::<u32>().unwrap()));
        let outcomes = vec![Outcome::Online { epoch: START + 2 }; ops.len()];
        story.applied(call, &outcomes);
    }
    assert_eq!(told, (0..many).collect::<Vec<_>>());
}

#[test]
fn new_id_that_is_fenced_too_is_followed_by_another_after_a_pause() {
    let mut story = Story::joined();
    story.later(story.node.lease / RENEW);
    let renew = story.call();
    story.node.answered(story.now, renew, Ok(Answer::Fenced));
    let join = story.call();
    assert!(matches!(join, Call::Join { .. }), "{join:?}");

    story.node.answered(story.now, join, Ok(Answer::Fenced));
    let next = story.node.poll(story.now);
    assert_eq!((next.call, next.wait_until), (None, Some(story.now.saturating_add(JOIN_AGAIN))));
    story.later(JOIN_AGAIN);
    assert!(matches!(story.call(), Call::Join { .. }));
}
