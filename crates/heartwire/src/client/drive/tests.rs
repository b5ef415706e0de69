mod ends;
mod looking;
mod pauses;
mod slow_application;
mod v1;

use core::time::Duration;
use std::io;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::v1::{Bye, ByeCode, Offer, Terms, Welcome};
use heartwire_core::{MIN_PAUSE, Policy, Violation};
use tracing::Span;

use super::{Driver, End, Step, Wait};
use crate::Reason;
use crate::client::app::App;
use crate::client::rig::Application;
use crate::client::{ClientConfig, Event};
use crate::toy::Toy;

const TIMEOUT: Duration = Duration::from_secs(30);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A driver in a world of its own.
struct Rig {
    toy: Toy,
    application: Application,
    app: App,
    driver: Driver<Toy>,
}

impl Rig {
    /// One that judges, on protocol v0, and sends a beat at the start only.
    fn new() -> Self {
        let policy = Policy::builder().timeout(TIMEOUT).build().unwrap();
        let mut rig = Self::of(&ClientConfig::new("").policy(policy).v0());
        assert_eq!(rig.application.names(), ["online"]);
        rig.wait();
        assert_eq!(rig.toy.take_written(), [0; 8]);
        rig
    }

    /// One on protocol v1 that was welcomed.
    fn welcomed() -> Self {
        let mut rig = Self::of(&ClientConfig::new(""));
        let offer = Offer::new(&Policy::default());
        rig.toy.send(&Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode());
        rig.wait();
        rig.wait();
        assert_eq!(rig.application.names(), ["online"]);
        rig.toy.take_written();
        rig
    }

    fn of(config: &ClientConfig) -> Self {
        let toy = Toy::new();
        let (application, mut app) = Application::of(config, &toy);
        let driver = Driver::new(toy.clone(), toy.dialled(), config, None, Span::none(), &mut app);
        Self { toy, application, app, driver }
    }

    /// How the connection ends, with time passing as its timer asks, within so many steps.
    fn end(&mut self) -> End {
        for _ in 0..10_000 {
            match self.until_timer() {
                Step::Over(end) => return end,
                Step::Wait(_) => {}
            }
        }
        panic!("it does not end")
    }

    fn wait(&mut self) -> Wait {
        match self.driver.step(&mut self.app) {
            Step::Wait(wait) => wait,
            Step::Over(end) => panic!("{end:?}"),
        }
    }

    /// Time passes until the driver's timer rings, and it steps.
    fn until_timer(&mut self) -> Step {
        let wait = match self.driver.step(&mut self.app) {
            Step::Wait(wait) => wait,
            over @ Step::Over(_) => return over,
        };
        let now = self.toy.now();
        self.toy.pass(wait.until.expect("there is a deadline").saturating_since(now));
        self.driver.step(&mut self.app)
    }
}

/// The timer is punctual: only the clocks, compared, tell of it.
#[test]
fn a_suspend_that_made_nothing_late_gives_the_server_another_timeout() {
    const SUSPENDED: Duration = Duration::from_secs(25);
    let mut rig = Rig::new();
    rig.wait();
    rig.toy.suspend(SUSPENDED);
    rig.wait();
    assert_eq!(rig.application.names(), ["paused"]);
    assert!(matches!(rig.until_timer(), Step::Wait(_)), "it looks at the way to the server");
    assert!(matches!(rig.until_timer(), Step::Wait(_)), "it rings, and the server has longer now");
    let Step::Over(End { reason: Reason::Dead(verdict), .. }) = rig.until_timer() else {
        panic!("no verdict")
    };
    assert!(rig.toy.state().resets, "its system is told to forget the peer");
    assert_eq!((verdict.paused, verdict.silence), (SUSPENDED, SUSPENDED + TIMEOUT));
}

/// A timer that leaves suspended time out rings long after its time: whatever else wakes the driver
/// meanwhile is not late.
#[test]
fn a_timer_that_a_suspend_has_overtaken_is_set_anew() {
    let mut rig = Rig::new();
    let first = rig.wait().until.unwrap();
    rig.toy.pass(ms(1_000));
    rig.toy.suspend(TIMEOUT);
    let again = rig.wait().until.unwrap();
    assert!(again > first, "the server has another timeout");
    assert_eq!(rig.application.names(), ["paused"]);
    rig.toy.pass(ms(3_000));
    rig.wait();
    assert_eq!(rig.application.names(), [""; 0], "nothing was late");
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
    rig.toy.pass(TIMEOUT / 2);
    rig.toy.send(&[0; 8]);
    rig.toy.pass(TIMEOUT / 2);
    let later = rig.wait().until.unwrap();
    assert!(later > at, "another timeout since the byte");
    assert_eq!(rig.application.names(), [""; 0]);
}

/// The time of the question is not the time of the read, or the byte would seem that much older.
#[test]
fn a_client_held_up_while_it_asks_when_bytes_came_is_not_early() {
    let mut rig = Rig::new();
    rig.wait();
    rig.toy.pass(ms(1_000));
    rig.toy.send(&[0; 8]);
    let arrived_at = rig.toy.state().arrived_at;
    rig.toy.state().held_up_asking = ms(200);
    rig.wait();
    rig.toy.state().held_up_asking = Duration::ZERO;
    let Step::Wait(wait) = rig.until_timer() else { panic!("the server was heard") };
    assert!(wait.until >= Some(arrived_at.saturating_add(TIMEOUT)), "{wait:?}");
}

/// What comes between a read and a look at the clock is as old as it is.
#[test]
fn a_client_held_up_after_a_read_does_not_take_what_came_meanwhile_for_new() {
    let mut rig = Rig::new();
    rig.wait();
    rig.toy.pass(ms(1_000));
    rig.toy.send(&[0; 8]);
    rig.toy.state().held_up_reading = Some((ms(200), vec![0; 8]));
    let arrived_at = rig.toy.now();
    rig.wait();
    rig.wait();
    let late = rig.driver.connection().last_heard().saturating_since(arrived_at);
    assert!(late <= ms(10), "{late:?}");
}

/// The kernel's answer is as old as the look at the clock is late.
#[test]
fn a_client_held_up_after_the_kernel_told_when_bytes_came_asks_again() {
    let mut rig = Rig::new();
    rig.wait();
    rig.toy.pass(ms(1_000));
    rig.toy.send(&[0; 8]);
    let arrived_at = rig.toy.now();
    rig.toy.state().held_up_answered = ms(200);
    rig.wait();
    let late = rig.driver.connection().last_heard().saturating_since(arrived_at);
    assert!(late <= ms(10), "{late:?}");
}

/// A step that takes long is no silence of the server's, either.
#[test]
fn a_client_held_up_between_waking_and_judging_knows_that_it_was_paused() {
    for (held_up, told) in [(MIN_PAUSE, &["paused"][..]), (MIN_PAUSE.saturating_sub(ms(1)), &[])] {
        let mut rig = Rig::new();
        rig.wait();
        rig.toy.pass(ms(1_000));
        rig.toy.send(&[0; 8]);
        rig.toy.state().held_up_reading = Some((held_up, Vec::new()));
        rig.wait();
        assert_eq!(rig.application.names(), told);
    }
}

#[test]
fn reading_pauses_while_the_application_has_no_room_and_what_waits_counts_as_life() {
    let mut rig = Rig::new();
    let room = rig.application.leave_room(1);
    let message = [1, 0, 0, 0, 0, 0, 0, 0];
    rig.toy.send(&[message, message].concat());
    let wait = rig.wait();
    assert!(wait.room && !wait.readable, "{wait:?}");
    rig.toy.send(&message);
    for _ in 0..3 {
        let Step::Wait(_) = rig.until_timer() else { panic!("what waits is life") };
    }
    assert_eq!(rig.application.names(), ["data"]);
    drop(room);
    let wait = rig.wait();
    assert!(wait.readable && !wait.room, "{wait:?}");
    rig.wait();
    let all = rig.application.events();
    assert!(matches!(all[..], [Event::Data(_), Event::Data(_)]), "{all:?}");
}

#[test]
fn a_message_is_written_by_the_next_step_and_what_the_kernel_does_not_take_waits() {
    let mut rig = Rig::new();
    let wait = rig.wait();
    assert!(wait.message && !wait.writable, "{wait:?}");
    rig.toy.state().room = 5;
    rig.application.client.try_send(vec![7]).unwrap();
    assert!(rig.wait().writable);
    assert_eq!(rig.toy.take_written(), [1, 0, 0, 0, 1]);
    rig.toy.state().room = 100;
    assert!(!rig.wait().writable);
    assert_eq!(rig.toy.take_written(), [0, 0, 0, 7]);
}

#[test]
fn a_close_is_over_when_the_server_has_everything_and_has_closed_too() {
    let mut rig = Rig::new();
    rig.application.client.try_send(vec![7]).unwrap();
    rig.application.client.close();
    rig.toy.state().unacknowledged = Some(10);
    let wait = rig.wait();
    assert!(wait.readable && !wait.close && !wait.message, "{wait:?}");
    assert_eq!(rig.toy.take_written(), [1, 0, 0, 0, 1, 0, 0, 0, 7]);
    assert!(rig.toy.state().is_shutdown);
    rig.toy.state().unacknowledged = Some(1);
    rig.toy.send(&[0; 100_000]);
    assert!(rig.wait().until.is_some(), "it has not closed");
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    assert_eq!(rig.end(), End { reason: Reason::Shutdown, lasted_until: None });
    assert_eq!(rig.driver.unacknowledged(), 0, "but for the end itself");
    assert_eq!(rig.application.names(), [""; 0], "what the server still sends is not told");
}

#[test]
fn a_server_that_has_everything_and_does_not_close_has_a_second() {
    let mut rig = Rig::new();
    let began = rig.toy.now();
    rig.application.client.close();
    assert_eq!(rig.end(), End { reason: Reason::Shutdown, lasted_until: None });
    assert_eq!(rig.toy.now().saturating_since(began), ms(1_000));
}

#[test]
fn a_close_without_an_acknowledgement_is_given_up_after_a_tenth_of_its_time() {
    let mut rig = Rig::new();
    let began = rig.toy.now();
    rig.application.client.try_send(vec![7]).unwrap();
    rig.toy.state().unacknowledged = Some(10);
    rig.application.client.close();
    assert_eq!(rig.end(), End { reason: Reason::Unacknowledged, lasted_until: None });
    let took = rig.toy.now().saturating_since(began);
    assert_eq!(took, ClientConfig::CLOSE_TIMEOUT / 10);
}

#[test]
fn a_client_without_handles_closes() {
    let Rig { toy, application, mut app, mut driver } = Rig::new();
    drop(application);
    toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    let Step::Over(End { reason, .. }) = driver.step(&mut app) else { panic!("it goes on") };
    assert_eq!(reason, Reason::Shutdown);
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_and_has_a_second_for_closing() {
    let header = [77, 0, 0, 0, 0, 0, 0, 0];
    let violation = Reason::Protocol(Violation::UnknownType { header });
    for closes in [true, false] {
        let mut rig = Rig::welcomed();
        let began = rig.toy.now();
        rig.toy.send(&header);
        let wait = rig.wait();
        assert!(wait.readable && !wait.close, "{wait:?}");
        assert_eq!(
            Bye::decode(&rig.toy.take_written()[HEADER_LEN..]).unwrap().code,
            ByeCode::Protocol
        );
        assert!(rig.toy.state().is_shutdown);
        if closes {
            rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(rig.end(), End { reason: violation, lasted_until: Some(began) });
        let took = rig.toy.now().saturating_since(began);
        assert_eq!(took, if closes { ms(0) } else { ms(1_000) });
    }
}

/// What had come before an end waits a second for an application that takes nothing.
#[test]
fn data_in_front_of_an_end_is_told_while_the_application_takes_it() {
    let mut rig = Rig::new();
    let began = rig.toy.now();
    let room = rig.application.leave_room(1);
    rig.toy.send(&[1, 0, 0, 0, 0, 0, 0, 0].repeat(3));
    let wait = rig.wait();
    assert!(wait.room && !wait.readable, "{wait:?}");
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    rig.application.client.try_send(vec![7]).unwrap();
    rig.toy.state().write_error = Some(io::ErrorKind::BrokenPipe);
    let wait = rig.wait();
    assert!(wait.room && !wait.readable && !wait.close, "{wait:?}");
    rig.toy.pass(ms(999));
    assert_eq!(rig.application.names(), ["data"]);
    assert!(rig.wait().room, "another second, for it took one");
    let end = rig.end();
    assert_eq!(end, End { reason: Reason::Reset, lasted_until: Some(began) });
    assert_eq!(rig.toy.now().saturating_since(began), ms(1_999));
    drop(room);
    rig.app.outlet.has_room();
    assert_eq!(rig.application.names(), ["data", "data"], "what was read is kept");
}

/// It takes them one by one, and slowly, but it takes them.
#[test]
fn an_application_that_takes_news_has_a_second_for_each_before_data_are_given_up() {
    let mut rig = Rig::new();
    let room = rig.application.leave_room(1);
    for _ in 0..4 {
        rig.app.outlet.push_news(Event::TooFast);
    }
    rig.application.client.try_send(vec![7]).unwrap();
    rig.toy.state().write_error = Some(io::ErrorKind::BrokenPipe);
    rig.wait();
    // These lie in the kernel when the connection is lost.
    rig.toy.send(&[1, 0, 0, 0, 0, 0, 0, 0].repeat(2));
    rig.toy.state().end = Some(io::ErrorKind::UnexpectedEof);
    let mut names = Vec::new();
    while names.len() < 5 {
        rig.toy.pass(ms(600));
        names.extend(rig.application.names());
        assert!(rig.wait().room, "{names:?}");
    }
    assert_eq!(names, ["too_fast", "too_fast", "too_fast", "too_fast", "data"]);
    rig.toy.pass(ms(600));
    assert_eq!(rig.application.names(), ["data"]);
    assert!(matches!(rig.driver.step(&mut rig.app), Step::Over(_)));
    drop(room);
}
