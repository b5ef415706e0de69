use super::*;

/// Microseconds since 1970 in these tests are small numbers after this.
const START: u64 = 1_764_270_000_000_000;

/// A store, its clock, and two nodes that have a lease: `a.00000001` and `b.00000001`.
struct Rig {
    model: Model,
    now: u64,
    calls: u64,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self { model: Model::default(), now: START, calls: 0 };
        for node in ["a.00000001", "b.00000001"] {
            rig.join(node);
        }
        rig
    }

    fn call(&mut self, call: &Call) -> Answer {
        self.model.call(call, self.now)
    }

    fn join(&mut self, id: &str) -> Answer {
        self.call(&Call::Join { node: node(id), address: "".into() })
    }

    fn apply(&mut self, id: &str, op: Op) -> Answer {
        self.calls += 1;
        self.call(&Call::Apply { node: node(id), number: self.calls, ops: vec![op] })
    }

    /// Puts the name `door` online on a node, with an epoch after the start. The number of the
    /// session is its instance too.
    #[track_caller]
    fn online(&mut self, id: &str, epoch: u64, session: u64, outcome: Outcome) {
        let answer = self.apply(id, online("door", START + epoch, session));
        assert_eq!(answer, Answer::Applied(vec![outcome]));
    }

    fn offline(&mut self, id: &str, epoch: u64) {
        let (name, reason) = ("door".into(), "dead".into());
        let op = Op::Offline { name, epoch: START + epoch, reason, incident: None };
        assert_eq!(self.apply(id, op), Answer::Applied(vec![Outcome::Offline]));
    }

    fn reap(&mut self, id: &str, most: u32) -> Answer {
        self.call(&Call::Reap { node: node(id), most })
    }

    fn pass(&mut self, ms: u64) -> &mut Self {
        self.now += ms * 1000;
        self
    }

    /// What was told, such as `online a 10`: the kind, the node and the epoch after the start.
    #[track_caller]
    fn told(&self, expected: &[&str]) {
        let told = self.model.told.iter().map(|told| match told {
            Told::Change(Change { kind, entry, .. }) => {
                format!("{} {} {}", kind.name(), entry.node, entry.epoch - START)
            }
            Told::Incident { kind, .. } => kind.to_string(),
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}

fn node(id: &str) -> NodeId {
    NodeId::from_stored(id)
}

fn online(name: &str, epoch: u64, session: u64) -> Op {
    Op::Online {
        name: name.into(),
        epoch,
        session: format!("0-0-{session}").into(),
        instance: session.try_into().ok(),
        peer: "192.0.2.1:7".into(),
    }
}

fn stored(epoch: u64) -> Outcome {
    Outcome::Online { epoch: START + epoch }
}

#[test]
fn name_that_comes_on_another_node_moves_and_an_offline_of_the_first_does_not_count() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.online("a.00000001", 100, 1, stored(100));
    rig.online("b.00000001", 200, 2, stored(200));
    rig.offline("a.00000001", 100);
    rig.told(&["online a.00000001 100", "moved b.00000001 200"]);
    let command =
        Command::TakenOver { name: "door".into(), epoch: START + 200, same_client: false };
    let commands = rig.model.commands_after(&node("a.00000001"), StreamId::default());
    assert_eq!(commands, [(StreamId { ms: START / 1000 + 1, sequence: 0 }, command)]);
}

#[test]
fn older_session_on_another_node_is_refused_and_hears_whether_the_newer_is_the_same_client() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.online("a.00000001", 200, 1, stored(200));
    let older = |same_client| Outcome::Older { epoch: START + 200, same_client };
    rig.online("b.00000001", 100, 2, older(false));
    rig.online("b.00000001", 200, 1, older(true));
    rig.told(&["online a.00000001 200"]);
}

#[test]
fn last_to_come_is_the_newest_where_clocks_cannot_tell() {
    let mut rig = Rig::new();
    rig.online("a.00000001", 5_000_000, 1, stored(0));
    rig.online("b.00000001", 4_000_000, 2, stored(1));
    rig.now = START - 3_600_000_000;
    rig.online("a.00000001", 0, 3, stored(2));
    rig.told(&["online a.00000001 0", "moved b.00000001 1", "moved a.00000001 2"]);
}

#[test]
fn last_word_of_a_node_is_its_newest_session_and_nothing_is_told() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.online("a.00000001", 200, 1, stored(200));
    rig.online("a.00000001", 100, 2, stored(201));
    rig.online("a.00000001", 100, 2, stored(201));
    rig.offline("a.00000001", 200);
    rig.told(&["online a.00000001 200"]);
    rig.offline("a.00000001", 201);
    rig.told(&["online a.00000001 200", "offline a.00000001 201"]);
}

#[test]
fn offline_takes_out_an_older_session_of_the_node_that_a_failover_brought_back() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.online("a.00000001", 100, 1, stored(100));
    let earlier = rig.model.clone();
    rig.online("a.00000001", 200, 2, stored(200));
    rig.model = earlier;
    rig.offline("a.00000001", 200);
    assert_eq!(rig.model.entries.len(), 0);
}

#[test]
fn node_taken_for_dead_moves_its_sessions_to_its_new_id() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.online("a.00000001", 100, 1, stored(100));
    rig.pass(15_000);
    assert_eq!(rig.reap("a.00000001", 0), reaped(0, 1, REAP_PAUSE));
    rig.join("a.00000002");
    rig.online("a.00000002", 100, 1, stored(100));
    rig.told(&["online a.00000001 100", "moved a.00000002 100"]);
    rig.pass(250);
    assert_eq!(rig.reap("a.00000001", 9), reaped(0, 0, Duration::ZERO));
    assert_eq!(rig.model.about.len(), 2);
}

#[test]
fn stale_call_of_a_connection_given_up_is_not_applied() {
    let mut rig = Rig::new();
    let ops = vec![online("door", START, 1)];
    let call = Call::Apply { node: node("a.00000001"), number: 1, ops };
    assert_eq!(rig.call(&call), Answer::Applied(vec![stored(0)]));
    assert_eq!(rig.call(&call), Answer::Applied(vec![stored(0)]));
    rig.calls = 1;
    rig.offline("a.00000001", 0);
    assert_eq!(rig.call(&call), Answer::Stale);
    rig.told(&["online a.00000001 0", "offline a.00000001 0"]);
}

#[test]
fn lease_that_is_over_is_renewed_until_another_node_reaps() {
    let mut rig = Rig::new();
    rig.pass(14_999);
    assert_eq!(rig.call(&Call::Expired), Answer::Expired(vec![]));
    rig.pass(1);
    let both = vec![node("a.00000001"), node("b.00000001")];
    assert_eq!(rig.call(&Call::Expired), Answer::Expired(both));
    let renew = Call::Renew { node: node("a.00000001") };
    assert!(matches!(rig.call(&renew), Answer::Leased { .. }));
    assert_eq!(rig.reap("a.00000001", 500), Answer::Alive);
    assert_eq!(rig.reap("b.00000001", 500), reaped(0, 0, Duration::ZERO));
    let renew = Call::Renew { node: node("b.00000001") };
    assert_eq!(rig.call(&renew), Answer::Fenced);
}

#[test]
fn lease_taken_before_the_clock_stepped_back_is_cut() {
    let mut rig = Rig::new();
    rig.now -= 3_600_000_000;
    assert_eq!(rig.call(&Call::Expired), Answer::Expired(vec![]));
    rig.pass(15_000);
    assert!(matches!(rig.call(&Call::Expired), Answer::Expired(nodes) if nodes.len() == 2));
}

#[test]
fn reaping_keeps_its_pace_for_all_nodes_together() {
    let mut rig = Rig::new();
    for name in ["one", "two", "three"] {
        rig.apply("a.00000001", online(name, START, 1));
    }
    rig.pass(15_000);
    assert_eq!(rig.reap("a.00000001", 2), reaped(2, 1, REAP_PAUSE));
    rig.pass(100);
    assert_eq!(rig.reap("a.00000001", 2), reaped(0, 1, Duration::from_millis(150)));
    assert_eq!(rig.join("a.00000001"), Answer::Fenced);
    rig.pass(150);
    assert_eq!(rig.reap("a.00000001", 2), reaped(1, 0, Duration::ZERO));
    assert_eq!(rig.model.reaping.len(), 0);
}

#[test]
fn namesake_with_a_lease_is_told_to_a_node_that_joins() {
    let mut rig = Rig::new();
    let namesake = Some(node("a.00000001"));
    let generation: Box<str> = START.to_string().into();
    let answer = Answer::Leased { now: START, generation: generation.clone(), namesake };
    assert_eq!(rig.join("a.00000002"), answer);
    rig.pass(15_000);
    let answer = Answer::Leased { now: rig.now, generation, namesake: None };
    assert_eq!(rig.join("a.00000003"), answer);
}

#[test]
fn names_of_a_node_come_in_portions_and_add_up_to_its_digest() {
    let mut rig = Rig::new();
    for name in 0..10 {
        rig.apply("a.00000001", online(&format!("door {name}"), START, 1));
    }
    let (mut all, mut cursor) = (vec![], 0);
    loop {
        let call = Call::Names { node: node("a.00000001"), cursor };
        let Answer::Names { names, cursor: next } = rig.call(&call) else { panic!() };
        all.extend(names);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let hash = all.iter().fold(0, |sum, (name, epoch)| (sum + hash(name, *epoch)) % (1 << 40));
    let digest = Answer::Digest { names: 10, hash };
    assert_eq!(rig.call(&Call::Compare { node: node("a.00000001") }), digest);
}

#[test]
fn kick_reaches_the_node_of_a_name_unless_that_is_being_reaped() {
    let mut rig = Rig::new();
    let kick = Call::Kick { name: "door".into() };
    assert_eq!(rig.call(&kick), Answer::Kicked(None));
    rig.online("a.00000001", 0, 1, stored(0));
    assert_eq!(rig.call(&kick), Answer::Kicked(Some(node("a.00000001"))));
    let command = Command::Kick { name: "door".into(), epoch: START };
    let commands = rig.model.commands_after(&node("a.00000001"), StreamId::default());
    assert_eq!(commands, [(StreamId { ms: START / 1000, sequence: 0 }, command)]);
    rig.call(&Call::Leave { node: node("a.00000001") });
    assert_eq!(rig.call(&kick), Answer::Kicked(None));
}

#[test]
fn numbers_rise_while_the_clock_stands_or_steps_back() {
    let mut rig = Rig::new();
    let tell = Call::Tell { kind: "incident", detail: "{}".into() };
    rig.call(&tell);
    rig.call(&tell);
    rig.now -= 1_000_000;
    rig.call(&tell);
    rig.pass(5_000);
    rig.call(&tell);
    let numbers = rig.model.told.iter().map(|told| match told {
        Told::Incident { number, .. } => number - START,
        Told::Change(_) => panic!(),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2, 4_000_000]);
}

fn reaped(offline: u32, left: u64, wait: Duration) -> Answer {
    Answer::Reaped { offline, left, wait }
}
