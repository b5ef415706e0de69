use core::time::Duration;

use heartwire_core::{Policy, Wire};

use super::{Driver, End, Step, Wait};
use crate::Reason;
use crate::client::app::App;
use crate::client::rig::{Owner, Toy};
use crate::client::{ClientConfig, Event};

const LIMIT: Duration = Duration::from_secs(30);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A driver in a world of its own.
struct Rig {
    toy: Toy,
    owner: Owner,
    app: App,
    driver: Driver<Toy>,
}

impl Rig {
    /// One that judges, on wire v0, and sends nothing.
    fn new() -> Self {
        let toy = Toy::new();
        let policy = Policy::builder().limit(LIMIT).build().unwrap();
        let config = ClientConfig::new("").policy(policy).wire(Wire::V0);
        let (mut owner, mut app) = Owner::of(&config, &toy);
        let driver = Driver::new(toy.clone(), toy.dialled(), &config, &mut app);
        assert_eq!(owner.names(), ["online"]);
        Self { toy, owner, app, driver }
    }

    fn wait(&mut self) -> Wait {
        match self.driver.step(&mut self.app) {
            Step::Wait(wait) => wait,
            Step::Over(end) => panic!("{end:?}"),
        }
    }

    /// Time passes until the driver's timer rings, and it steps.
    fn until_timer(&mut self) -> Step {
        let at = self.wait().until.expect("there is a deadline");
        let now = self.toy.state().now;
        self.toy.pass(at.saturating_since(now));
        self.driver.step(&mut self.app)
    }
}

/// The timer is punctual: only the clocks, compared, tell of it.
#[test]
fn a_suspend_that_made_nothing_late_gives_the_server_another_limit() {
    const SUSPENDED: Duration = Duration::from_secs(25);
    let mut rig = Rig::new();
    rig.wait();
    rig.toy.suspend(SUSPENDED);
    rig.wait();
    assert_eq!(rig.owner.names(), ["stalled"]);
    assert!(matches!(rig.until_timer(), Step::Wait(_)), "it rings, and the server has longer now");
    let Step::Over(End::Lost(Reason::Dead(verdict))) = rig.until_timer() else {
        panic!("no verdict")
    };
    assert_eq!((verdict.stalled, verdict.silence), (SUSPENDED, SUSPENDED + LIMIT));
}

/// A timer that leaves suspended time out rings long after its time: whatever else wakes the driver
/// meanwhile is not late.
#[test]
fn a_timer_that_a_suspend_has_overtaken_is_set_anew() {
    let mut rig = Rig::new();
    let first = rig.wait().until.unwrap();
    rig.toy.pass(ms(1_000));
    rig.toy.suspend(LIMIT);
    let again = rig.wait().until.unwrap();
    assert!(again > first, "the server has another limit");
    assert_eq!(rig.owner.names(), ["stalled"]);
    rig.toy.pass(ms(3_000));
    rig.wait();
    assert_eq!(rig.owner.names(), [""; 0], "nothing was late");
}

#[test]
fn a_timer_stays_as_it_is_until_it_rings() {
    let mut rig = Rig::new();
    let first = rig.wait().until;
    rig.toy.pass(ms(1_000));
    rig.toy.send(&[0; 8]);
    assert_eq!(rig.wait().until, first, "a later deadline moves no timer");
    let Step::Wait(wait) = rig.until_timer() else { panic!("the server was heard") };
    assert_eq!(wait.until, first.map(|at| at.saturating_add(ms(1_000))));
}

/// What came before a verdict is read before it.
#[test]
fn bytes_that_have_arrived_outrank_a_deadline() {
    let mut rig = Rig::new();
    let at = rig.wait().until.unwrap();
    rig.toy.pass(LIMIT / 2);
    rig.toy.send(&[0; 8]);
    rig.toy.pass(LIMIT / 2);
    let later = rig.wait().until.unwrap();
    assert!(later > at, "another limit since the byte");
    assert_eq!(rig.owner.names(), [""; 0]);
}

#[test]
fn reading_pauses_while_the_application_has_no_room_and_what_waits_counts_as_life() {
    let mut rig = Rig::new();
    let room = rig.owner.leave_room(1);
    let message = [1, 0, 0, 0, 0, 0, 0, 0];
    rig.toy.send(&[message, message].concat());
    let wait = rig.wait();
    assert!(wait.room && !wait.readable, "{wait:?}");
    rig.toy.send(&message);
    for _ in 0..3 {
        let Step::Wait(_) = rig.until_timer() else { panic!("what waits is life") };
    }
    assert_eq!(rig.owner.names(), ["data"]);
    drop(room);
    let wait = rig.wait();
    assert!(wait.readable && !wait.room, "{wait:?}");
    rig.wait();
    let all = rig.owner.events();
    assert!(matches!(all[..], [Event::Data(_), Event::Data(_)]), "{all:?}");
}

#[test]
fn a_message_is_written_by_the_next_step_and_what_the_kernel_does_not_take_waits() {
    let mut rig = Rig::new();
    let wait = rig.wait();
    assert!(wait.message && !wait.writable, "{wait:?}");
    rig.toy.take_written();
    rig.toy.state().room = 5;
    rig.owner.client.try_send(vec![7]).unwrap();
    assert!(rig.wait().writable);
    assert_eq!(rig.toy.take_written(), [1, 0, 0, 0, 1]);
    rig.toy.state().room = 100;
    assert!(!rig.wait().writable);
    assert_eq!(rig.toy.take_written(), [0, 0, 0, 7]);
}

#[test]
fn a_client_without_handles_closes() {
    let Rig { toy: _toy, owner, mut app, mut driver } = Rig::new();
    assert!(matches!(driver.step(&mut app), Step::Wait(_)));
    drop(owner);
    assert!(matches!(driver.step(&mut app), Step::Over(End::Closing)));
}
