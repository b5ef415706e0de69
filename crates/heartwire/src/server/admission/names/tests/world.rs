//! Simulated shards that do what the registry tells them, in any order in which messages can
//! arrive: the events of a name always come in the order of its epochs, and no session waits
//! forever.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A message on its way from one shard to another.
#[derive(Clone, Copy, Debug)]
enum Message {
    /// End this session: its name is taken over.
    End(u32),
    /// This session comes next.
    Welcome(u32, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It claimed the name and waits.
    Waiting,
    /// It was told of, as the holder of the name, with its epoch.
    Online(u64),
    /// It has ended. If it was online, its application has not been told yet.
    Ending(Option<u64>),
}

/// What the application was told, with the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Online(u64),
    Offline(u64),
}

struct World {
    names: Names,
    now: u64,
    sessions: BTreeMap<u32, State>,
    messages: Vec<Message>,
    told: Vec<Told>,
    last: u32,
}

impl World {
    fn new() -> Self {
        Self {
            names: Names::new(EpochClock::stopped(1)),
            now: 0,
            sessions: BTreeMap::new(),
            messages: Vec::new(),
            told: Vec::new(),
            last: 0,
        }
    }

    fn connect(&mut self) {
        self.last += 1;
        let n = self.last;
        match self.names.claim(NAME, alice(), id(n), at(self.now)) {
            Claim::Yours { epoch } => self.welcome(n, epoch),
            Claim::After { holder, replaces, .. } => {
                self.sessions.insert(n, State::Waiting);
                let ends = [Some(holder), replaces].into_iter().flatten();
                self.messages.extend(ends.map(|id| Message::End(id.slot())));
            }
            Claim::InUse => panic!("there is one principal"),
            Claim::Fighting { .. } => {}
        }
    }

    fn welcome(&mut self, n: u32, epoch: u64) {
        self.sessions.insert(n, State::Online(epoch));
        self.told.push(Told::Online(epoch));
    }

    /// The session ends, for whatever reason. It may be ending already, or gone.
    fn end(&mut self, n: u32) {
        let Some(state) = self.sessions.get_mut(&n) else { return };
        match *state {
            State::Waiting => *state = State::Ending(None),
            State::Online(epoch) => *state = State::Ending(Some(epoch)),
            State::Ending(_) => {}
        }
    }

    /// Tells the end of a session, and releases its name after that.
    fn close_ended(&mut self, n: u32) {
        let Some(&State::Ending(epoch)) = self.sessions.get(&n) else { return };
        self.sessions.remove(&n);
        self.told.extend(epoch.map(Told::Offline));
        if let Some(next) = self.names.release(NAME, id(n)) {
            self.messages.push(Message::Welcome(next.id.slot(), next.epoch));
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::End(n) => self.end(n),
            Message::Welcome(n, epoch) if self.sessions.get(&n) == Some(&State::Waiting) => {
                self.welcome(n, epoch);
            }
            // It has ended meanwhile.
            Message::Welcome(..) => {}
        }
    }

    /// One of the sessions, if there is one.
    fn any(&self, n: usize) -> Option<u32> {
        self.sessions.keys().nth(n % self.sessions.len().max(1)).copied()
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Connect => self.connect(),
            Step::Disconnect(n) => self.any(n).into_iter().for_each(|n| self.end(n)),
            Step::TakeLeave(n) => self.any(n).into_iter().for_each(|n| self.close_ended(n)),
            Step::Deliver(_) if self.messages.is_empty() => {}
            Step::Deliver(n) => {
                let message = self.messages.swap_remove(n % self.messages.len());
                self.deliver(message);
            }
            Step::Wait(secs) => self.now += secs,
        }
    }

    /// None connects any more, and everything that is on its way arrives.
    fn settle(&mut self) {
        let is_ending = |state: &State| matches!(state, State::Ending(_));
        while !self.messages.is_empty() || self.sessions.values().any(is_ending) {
            let messages = core::mem::take(&mut self.messages);
            messages.into_iter().for_each(|message| self.deliver(message));
            let sessions: Vec<u32> = self.sessions.keys().copied().collect();
            sessions.into_iter().for_each(|n| self.close_ended(n));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect,
    Disconnect(usize),
    TakeLeave(usize),
    Deliver(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Connect),
        2 => any::<usize>().prop_map(Step::Disconnect),
        5 => any::<usize>().prop_map(Step::TakeLeave),
        5 => any::<usize>().prop_map(Step::Deliver),
        2 => (0_u64..90).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn events_of_a_name_come_in_the_order_of_its_epochs(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.apply(step));
        world.settle();
        // Online and offline in turn, each pair of one epoch, and epochs that grow.
        let mut last = 0;
        for pair in world.told.chunks(2) {
            let Told::Online(epoch) = pair[0] else { panic!("{:?}", world.told) };
            prop_assert!(epoch > last, "{:?}", world.told);
            last = epoch;
            if let Some(&offline) = pair.get(1) {
                prop_assert_eq!(offline, Told::Offline(epoch), "{:?}", &world.told);
            }
        }
        // A session that is left holds the name; none waits.
        prop_assert!(world.sessions.len() <= 1, "{:?}", world.sessions);
        prop_assert!(!world.sessions.values().any(|&state| state == State::Waiting));
        prop_assert_eq!(world.names.count(), world.sessions.len());
    }
}
