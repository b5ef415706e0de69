use core::time::Duration;

use heartwire::{Reason, Verdict};

use super::*;

mod incidents;
mod random;

/// A node's outgoing events on a made-up clock.
struct Rig {
    outgoing: Outgoing,
    now: Instant,
    sessions: u32,
}

impl Rig {
    fn new(settings: Settings) -> Self {
        let now = Instant::from_nanos(0);
        let outgoing = Outgoing::new(settings, &"eu-1".parse().unwrap(), now);
        Self { outgoing, now, sessions: 0 }
    }

    /// A new session of this name is online. Returns it, and what is told.
    fn online(&mut self, name: &str) -> (SessionId, String) {
        self.online_at(name, "192.0.2.1:1")
    }

    fn online_at(&mut self, name: &str, peer: &str) -> (SessionId, String) {
        self.sessions += 1;
        let id = format!("0-{}-1", self.sessions).parse().unwrap();
        let (epoch, peer) = (u64::from(self.sessions), peer.parse().unwrap());
        let session = Session { name: name.into(), epoch, id, peer, instance: None };
        let news = News::Online(session.clone());
        let passed = self.outgoing.handle(self.now, 0, news).unwrap();
        match &passed {
            Passed::Online(of) | Passed::Replaced(of) => assert_eq!(*of, session),
            Passed::Offline { .. } => panic!("an end: {passed:?}"),
        }
        (id, words(&Out::Passed(passed)))
    }

    fn offline(&mut self, id: SessionId, reason: Reason) -> &mut Self {
        assert_eq!(self.outgoing.handle(self.now, 0, News::Offline { id, reason }), None);
        self
    }

    fn paused(&mut self, millis: u64) {
        let news = News::Paused(Duration::from_millis(millis));
        assert_eq!(self.outgoing.handle(self.now, 0, news), None);
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
        self
    }

    /// All that is told now.
    fn told(&mut self) -> Vec<String> {
        let wall = self.now.as_nanos() / 1_000;
        core::iter::from_fn(|| self.outgoing.poll(self.now, wall)).map(|out| words(&out)).collect()
    }

    /// Milliseconds from now.
    fn deadline(&self) -> Option<u128> {
        Some(self.outgoing.deadline()?.saturating_since(self.now).as_millis())
    }
}

fn words(out: &Out) -> String {
    match out {
        Out::Passed(Passed::Online(session)) => format!("online {}", session.name),
        Out::Passed(Passed::Replaced(session)) => format!("replaced {}", session.name),
        Out::Passed(Passed::Offline { session, reason, incident }) => {
            let of = incident.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
            format!("offline {}: {reason}{of}", session.name)
        }
        Out::Incident(incident) => format!("incident {}", incident.text),
        Out::IncidentOver(over) => over.to_string(),
    }
}

fn dead() -> Reason {
    Reason::Dead(Verdict::kernel(Duration::from_secs(30)))
}

/// No end is held back.
fn at_once() -> Settings {
    Settings { hold: None, ..Settings::default() }
}

#[test]
fn offline_is_told_at_once_if_nothing_holds_it_back() {
    let mut rig = Rig::new(at_once());
    let (door, told) = rig.online("door");
    assert_eq!(told, "online door");
    assert_eq!(rig.offline(door, dead()).told(), ["offline door: dead"]);
    assert_eq!(rig.offline(door, dead()).told(), [""; 0], "it has ended once");
    assert_eq!(rig.online("door").1, "online door");
}

#[test]
fn return_before_the_end_is_due_cancels_both() {
    let mut rig = Rig::new(Settings { offline_after: Duration::from_secs(10), ..at_once() });
    let (door, _) = rig.online("door");
    assert_eq!(rig.offline(door, dead()).told(), [""; 0]);
    assert_eq!(rig.deadline(), Some(10_000));
    assert_eq!(rig.after(9_999).told(), [""; 0]);
    let (door, told) = rig.online("door");
    assert_eq!(told, "replaced door");
    assert_eq!(rig.after(60_000).told(), [""; 0]);
    assert_eq!((rig.deadline(), rig.outgoing.counts().cancelled), (None, 1));

    rig.offline(door, Reason::ClosedByPeer).after(10_000);
    assert_eq!(rig.told(), ["offline door: closed_by_peer"]);
    assert_eq!(rig.online("door").1, "online door");
}

#[test]
fn takeover_on_this_node_is_no_change_and_a_lost_one_is_told_soon() {
    let mut rig = Rig::new(at_once());
    let (older, _) = rig.online("door");
    assert_eq!(rig.offline(older, Reason::TakenOver).told(), [""; 0]);
    let (newer, told) = rig.online("door");
    assert_eq!(told, "replaced door");
    assert_eq!(rig.offline(newer, Reason::TakenOver).told(), [""; 0]);
    assert_eq!(rig.deadline(), Some(2_000));
    assert_eq!(rig.after(2_000).told(), ["offline door: taken_over"]);
}

#[test]
fn client_whose_session_was_too_old_may_connect_again() {
    let mut rig = Rig::new(at_once());
    let (older, _) = rig.online("door");
    rig.offline(older, Reason::MaxAge).after(1_500).told();
    assert_eq!(rig.online("door").1, "replaced door");
}

#[test]
fn name_that_moved_to_another_node_is_not_held_here() {
    let mut rig = Rig::new(Settings { offline_after: Duration::from_secs(10), ..at_once() });
    let (door, _) = rig.online("door");
    rig.offline(door, dead());
    rig.outgoing.moved(rig.now, "door", 1);
    rig.outgoing.moved(rig.now, "gate", 9);
    assert_eq!(rig.told(), [""; 0], "that was not a newer session, or not this name");
    rig.outgoing.moved(rig.now, "door", 2);
    assert_eq!(rig.told(), ["offline door: dead"]);
    assert_eq!((rig.deadline(), rig.outgoing.counts().held), (None, 0));
}

#[test]
fn ends_wait_in_a_drain_and_are_told_when_the_node_ends() {
    let mut rig = Rig::new(Settings { offline_after: Duration::from_secs(10), ..at_once() });
    let (door, _) = rig.online("door");
    let (gate, _) = rig.online("gate");
    assert_eq!(rig.offline(door, Reason::Shutdown).told(), [""; 0]);
    rig.outgoing.close(rig.now);
    assert_eq!(rig.told(), ["offline door: shutdown"]);
    assert_eq!(rig.offline(gate, Reason::Shutdown).told(), ["offline gate: shutdown"]);
}

#[test]
fn ends_that_are_held_are_bounded_by_the_names_even_if_one_has_two_sessions() {
    let mut rig = Rig::new(Settings { offline_after: Duration::from_secs(10), ..at_once() });
    let (first, _) = rig.online("door");
    let (second, _) = rig.online("door");
    rig.offline(first, dead()).after(1).offline(second, dead());
    assert_eq!(rig.outgoing.counts().held, 1);
    assert_eq!(rig.after(10_000).told(), ["offline door: dead"]);
    assert_eq!(rig.deadline(), None);
}
