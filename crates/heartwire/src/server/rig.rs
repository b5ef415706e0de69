//! A server in a toy world: the test runs its shards' turns, and is its clients.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod client;
mod machine;

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Wake as WakeShard;

use heartwire_core::{Pause, Verdict};
use heartwire_testkit::Got;

pub(super) use self::machine::Door;
use self::machine::Machine;
use super::assembly::{Place, assemble};
use super::handler::{Control, Handler};
use super::shard::{Ready, Reported, SessionView, Shard, Wake};
use super::{Agreed, EpochClock, Event, Handle, ServerConfig, SessionId};
use crate::Reason;
use crate::toy::Toy;

/// Maximum number of turns in which a server must finish its work.
const MAX_TURNS: usize = 100_000;

/// Events that the application has not taken, and its room for more.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) events: VecDeque<Event<Vec<u8>>>,
    pub(super) pauses: Vec<Pause>,
    /// `Rejected` events, most of which a test knows from the client's side.
    pub(super) rejected: Vec<Event<Vec<u8>>>,
    /// Room for events, and for those of new clients.
    pub(super) room: usize,
    pub(super) has_room_for_newcomers: bool,
    /// There is room for all events when a shard has asked so many more times.
    pub(super) frees_room_when_asked: Option<usize>,
}

type Act = Box<dyn FnMut(&Event<&[u8]>, &mut Control<'_>) + Send>;
type Meanwhile = Box<dyn FnOnce() + Send>;

/// The application of all shards.
#[derive(Clone)]
pub(super) struct Application {
    inbox: Arc<Mutex<Inbox>>,
    act: Arc<Mutex<Act>>,
    /// What happens during its next `Data` events, in order.
    meanwhile: Arc<Mutex<VecDeque<Meanwhile>>>,
}

impl Handler for Application {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        let mut inbox = self.inbox.lock().unwrap();
        if let Event::Paused { pause, .. } = event {
            return inbox.pauses.push(pause);
        }
        if matches!(event, Event::Rejected { .. }) {
            return inbox.rejected.push(event.to_owned());
        }
        inbox.events.push_back(event.to_owned());
        inbox.room = inbox.room.saturating_sub(1);
        drop(inbox);
        if matches!(event, Event::Data { .. }) {
            let meanwhile = self.meanwhile.lock().unwrap().pop_front();
            meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        }
        self.act.lock().unwrap()(&event, control);
    }

    fn has_room(&mut self, _shard: &Waker) -> bool {
        let mut inbox = self.inbox.lock().unwrap();
        inbox.frees_room_when_asked = match inbox.frees_room_when_asked {
            Some(0) => {
                inbox.room = usize::MAX;
                None
            }
            asked => asked.map(|left| left - 1),
        };
        inbox.room > 0
    }

    fn has_room_for_newcomers(&mut self, _shard: &Waker) -> bool {
        self.inbox.lock().unwrap().has_room_for_newcomers
    }
}

#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl WakeShard for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A shard, and when it wants its next turn.
struct Seat {
    shard: Shard<Machine, Application>,
    machine: Machine,
    woken: Arc<Woken>,
    wake: Wake,
    turns: usize,
    /// It gets no turns for now.
    stands_still: bool,
}

/// The server, its application and its listening socket.
pub(super) struct Rig {
    pub(super) toy: Toy,
    pub(super) door: Door,
    pub(super) handle: Handle,
    application: Application,
    seats: Vec<Seat>,
}

impl Rig {
    pub(super) fn start(config: ServerConfig) -> Self {
        Self::acting(config, |_, _| {})
    }

    /// A server whose handler calls this with each event after the rig has recorded it.
    pub(super) fn acting(
        config: ServerConfig,
        act: impl FnMut(&Event<&[u8]>, &mut Control<'_>) + Send + 'static,
    ) -> Self {
        let config = config.reuse_port(false).epoch_clock(EpochClock::stopped(1));
        let toy = Toy::new();
        let door = Door::new(&toy);
        let machines: Vec<(Machine, Arc<Woken>)> =
            (0..config.threads).map(|_| (Machine::new(&toy), Arc::default())).collect();
        let places = machines.iter().zip(0..).map(|((machine, woken), index)| Place {
            world: machine.clone(),
            listeners: Vec::from_iter((index == 0).then(|| door.clone())),
            waker: Arc::clone(woken).into(),
        });
        let inbox = Inbox {
            events: VecDeque::new(),
            pauses: Vec::new(),
            rejected: Vec::new(),
            room: usize::MAX,
            has_room_for_newcomers: true,
            frees_room_when_asked: None,
        };
        let application = Application {
            inbox: Arc::new(Mutex::new(inbox)),
            act: Arc::new(Mutex::new(Box::new(act))),
            meanwhile: Arc::default(),
        };
        let (handle, shards) =
            assemble(&config, places.collect(), true, [7; 32], |_| application.clone());
        let seats = shards.into_iter().zip(machines).map(|(shard, (machine, woken))| Seat {
            shard,
            machine,
            woken,
            wake: Wake::Now(None),
            turns: 0,
            stands_still: false,
        });
        Self { toy, door, handle, application, seats: seats.collect() }
    }

    /// Stops a shard's turns, or resumes them.
    pub(super) fn stand_still(&mut self, shard: usize, stands_still: bool) {
        self.seats[shard].stands_still = stands_still;
    }

    /// Ends the last shard, as if its handler had panicked.
    pub(super) fn end_last_shard(&mut self) {
        self.seats.pop();
    }

    /// Runs turns until no shard has anything left to do now.
    #[track_caller]
    pub(super) fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            if !self.turn() {
                return;
            }
        }
        panic!("there is no end to it");
    }

    /// Runs one turn for each shard that wants one. Returns whether there was any.
    pub(super) fn turn(&mut self) -> bool {
        let now = self.toy.now();
        let mut any = false;
        for (seat, index) in self.seats.iter_mut().zip(0..) {
            if seat.stands_still || seat.wake == Wake::Over {
                continue;
            }
            let mut ready = seat.machine.ready();
            if index == 0 && self.door.is_ready() {
                ready.push(Ready::Listener(0));
            }
            if seat.woken.0.swap(false, Ordering::SeqCst) {
                ready.push(Ready::Woken);
            }
            let is_due = match seat.wake {
                Wake::Now(_) => true,
                Wake::By(at) => at.is_some_and(|at| at <= now),
                Wake::Over => false,
            };
            if is_due || !ready.is_empty() {
                seat.wake = seat.shard.turn(ready, Reported::All);
                seat.turns += 1;
                any = true;
            }
        }
        any
    }

    /// Room in the lists of clients that have said nothing.
    pub(super) fn room_for_silent(&self) -> usize {
        self.seats.iter().map(|seat| seat.shard.room_for_silent()).sum()
    }

    /// The number of turns that a shard has had.
    pub(super) fn turns(&self, shard: usize) -> usize {
        self.seats[shard].turns
    }

    /// Advances time, and runs each shard's turns when it wants them.
    #[track_caller]
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.toy.now().saturating_add(time);
        loop {
            self.run();
            let now = self.toy.now();
            let seats = self.seats.iter().filter(|seat| !seat.stands_still);
            let next = seats.filter_map(|seat| match seat.wake {
                Wake::By(at) => at,
                Wake::Now(_) | Wake::Over => None,
            });
            let next = next.min().filter(|&at| at <= until);
            self.toy.pass(next.unwrap_or(until).saturating_since(now));
            if next.is_none() {
                return self.run();
            }
        }
    }

    /// Advances time, while these clients send v0 beats.
    #[track_caller]
    pub(super) fn pass_beating(&mut self, time: Duration, clients: &[&Toy]) {
        const EACH: Duration = Duration::from_millis(100);
        let until = self.toy.now().saturating_add(time);
        while self.toy.now() < until {
            clients.iter().for_each(|client| client.beat());
            self.pass(until.saturating_since(self.toy.now()).min(EACH));
        }
    }

    /// Runs this during the application's next `Data` event, which pauses its shard.
    pub(super) fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        self.application.meanwhile.lock().unwrap().push_back(Box::new(act));
    }

    #[track_caller]
    pub(super) fn count(&self, name: &str) -> u64 {
        self.handle.stats().get(name).expect(name)
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.application.inbox.lock().unwrap()
    }

    /// Sets the application's room for events, and for new clients if there is any.
    pub(super) fn leave_room(&mut self, for_events: usize) {
        let mut inbox = self.inbox();
        (inbox.room, inbox.has_room_for_newcomers) = (for_events, for_events > 0);
        drop(inbox);
        self.seats.iter().for_each(|seat| seat.woken.0.store(true, Ordering::SeqCst));
    }

    /// A client that is online at once.
    #[track_caller]
    pub(super) fn online(&mut self) -> (Toy, SessionId) {
        let client = self.door.connect();
        self.run();
        (client, self.told_online().0)
    }

    /// A client on v1 that was welcomed.
    #[track_caller]
    pub(super) fn welcomed(&mut self, hello: &[u8]) -> (Toy, SessionId) {
        let client = self.door.connect();
        client.send(hello);
        self.run();
        let got = client.got_but_beats();
        assert!(matches!(got[..], [Got::Welcome(_)]), "{got:?}");
        (client, self.told_online().0)
    }

    /// The next event.
    #[track_caller]
    pub(super) fn next(&mut self) -> Event<Vec<u8>> {
        self.inbox().events.pop_front().expect("the application is told something")
    }

    /// Asserts that there are no more events.
    #[track_caller]
    pub(super) fn expect_nothing(&mut self) {
        self.run();
        let inbox = self.inbox();
        assert!(inbox.events.is_empty(), "{:?}", inbox.events);
    }

    #[track_caller]
    pub(super) fn told_online(&mut self) -> (SessionId, Option<Agreed>) {
        match self.next() {
            Event::Online { id, agreed, .. } => (id, agreed.map(|agreed| *agreed)),
            other => panic!("no client is online: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn expect_data(&mut self, of: SessionId, body: &[u8]) {
        match self.next() {
            Event::Data { id, data } if id == of => assert!(data == body, "{} others", data.len()),
            other => panic!("no data of {of}: {other:?}"),
        }
    }

    /// The end of a session, after the verdict if there was one, and how many beats it counted.
    #[track_caller]
    pub(super) fn offline(&mut self, of: SessionId) -> (Reason, u32) {
        loop {
            match self.next() {
                Event::Offline { id, reason, beats, .. } if id == of => return (reason, beats),
                Event::Verdict { id, .. } if id == of => {}
                other => panic!("{of} is not offline: {other:?}"),
            }
        }
    }

    /// Asserts that the session has ended with a verdict, and without other events.
    #[track_caller]
    pub(super) fn verdict(&mut self, of: SessionId) -> Verdict {
        match self.offline(of).0 {
            Reason::Dead(verdict) => verdict,
            other => panic!("not dead: {other}"),
        }
    }

    /// A session that is not closed.
    #[track_caller]
    pub(super) fn session(&self, id: SessionId) -> SessionView<'_, Toy> {
        let mut sessions = self.seats[id.shard()].shard.sessions();
        sessions.find(|session| session.id == id).expect("it is there")
    }

    /// For how long a session was silent.
    #[track_caller]
    pub(super) fn silence(&self, id: SessionId) -> Duration {
        self.toy.now().saturating_since(self.session(id).connection.last_heard())
    }
}
