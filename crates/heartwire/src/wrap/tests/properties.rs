//! Random schedules against a model of silence: never early, by the bound, nothing lost, nothing
//! twice.

use core::time::Duration;

use std::sync::{Arc, Mutex};

use crate::wrap::{Error, Heartbeat};
use crate::{Policy, TICK};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use heartwire_core::MIN_PAUSE;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use super::rig::{Far, Fault, Message, Near, Plain, ms, pipe};

/// Something that the peer does after some milliseconds.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Beat,
    Item,
    /// It takes this many messages off the wire.
    Read(usize),
}

/// Something that the application does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Waits for an item for so many milliseconds.
    Next(u64),
    /// Tries to send for so many milliseconds.
    Send(u64),
    Feed,
    /// Does not poll for so many milliseconds.
    Away(u64),
}

#[derive(Clone, Debug)]
struct Schedule {
    timeout: u64,
    beat: Option<u64>,
    room: usize,
    deeds: Vec<(u64, Deed)>,
    steps: Vec<Step>,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    (500_u64..20_000, any::<bool>(), prop_oneof![0_usize..8, Just(1_000_000)]).prop_flat_map(
        |(timeout, beats, room)| {
            let wait = prop_oneof![
                4 => 0..=timeout / 2,
                1 => timeout - 2..=timeout + 2,
                1 => 0..=timeout * 2,
            ];
            let deed = prop_oneof![
                4 => Just(Deed::Beat),
                3 => Just(Deed::Item),
                2 => (1_usize..5).prop_map(Deed::Read),
            ];
            let step = prop_oneof![
                6 => (1..=timeout * 2).prop_map(Step::Next),
                3 => (1..=timeout * 2).prop_map(Step::Send),
                1 => Just(Step::Feed),
                2 => prop_oneof![0_u64..250, 250..=timeout * 2].prop_map(Step::Away),
            ];
            let beat = (1..=timeout / 2).prop_map(move |beat| beats.then_some(beat));
            let deeds = prop::collection::vec((wait, deed), 0..12);
            let steps = prop::collection::vec(step, 1..20);
            (Just(timeout), beat, Just(room), deeds, steps).prop_map(
                |(timeout, beat, room, deeds, steps)| Schedule {
                    timeout,
                    beat,
                    room,
                    deeds,
                    steps,
                },
            )
        },
    )
}

type Log = Arc<Mutex<Vec<(Instant, Message)>>>;

/// Does what the peer does, and notes what it has sent.
async fn play(far: Far, deeds: Vec<(u64, Deed)>, log: Log) {
    for (n, (wait, deed)) in (0_u32..).zip(deeds) {
        sleep(ms(wait)).await;
        let message = match deed {
            Deed::Beat => Message::Beat,
            Deed::Item => Message::Data(n),
            Deed::Read(messages) => {
                far.make_room(messages);
                continue;
            }
        };
        log.lock().unwrap().push((Instant::now(), message));
        far.send(message);
    }
}

/// The application, and what it knows to hold.
struct Run {
    near: Heartbeat<Near, Plain>,
    far: Far,
    log: Log,
    timeout: Duration,
    /// The beat, where the wire has room for every one.
    beat: Option<Duration>,
    /// When it started, or polled again after it had been away.
    back_at: Instant,
    /// When it last waited for something: until then the timer was looked after.
    waited_until: Instant,
    /// When it polled again after the timer had not been polled for so long that it counts as a
    /// pause. Sending while there is room does not poll it, nor does taking an item that is there.
    paused_until: Option<Instant>,
    last_beat_at: Instant,
    received: Vec<Message>,
}

impl Run {
    fn heard_at(&self) -> Option<Instant> {
        self.log.lock().unwrap().last().map(|(at, _)| *at)
    }

    /// Takes one step. Returns whether there was a verdict.
    async fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Next(time) => {
                let began_at = Instant::now();
                let next = timeout(ms(time), self.near.next()).await;
                if began_at.elapsed() > Duration::ZERO {
                    self.waited_until = Instant::now();
                }
                match next {
                    Ok(Some(Ok(item))) => self.received.push(item),
                    Ok(Some(Err(error))) => return self.check_verdict(&error),
                    Ok(None) => panic!("no end closed it"),
                    Err(_) => self.check_wait(),
                }
            }
            Step::Send(time) => match timeout(ms(time), self.near.send(Message::Data(0))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return self.check_verdict(&error),
                Err(_) => {
                    self.waited_until = Instant::now();
                    self.check_wait();
                }
            },
            Step::Feed => {
                if let Some(Err(error)) = self.near.feed(Message::Data(0)).now_or_never() {
                    return self.check_verdict(&error);
                }
            }
            Step::Away(time) => {
                sleep(ms(time)).await;
                self.back_at = Instant::now();
                if self.waited_until.elapsed() >= MIN_PAUSE {
                    self.paused_until = Some(self.back_at);
                }
            }
        }
        false
    }

    /// Nothing came of waiting. Nothing should have.
    fn check_wait(&mut self) {
        let judged_from = self.heard_at().unwrap_or(self.back_at).max(self.back_at);
        let silence = judged_from.elapsed();
        assert!(silence <= self.timeout + TICK, "no verdict after {silence:?}");
        let Some(beat) = self.beat else { return };
        let last = self.far.take().last().map_or(self.last_beat_at, |(at, _)| *at);
        self.last_beat_at = last;
        let mute = last.max(self.back_at).elapsed();
        assert!(mute <= beat + TICK, "no beat after {mute:?}");
    }

    fn check_verdict(&self, error: &Error<Fault>) -> bool {
        let verdict = error.verdict().expect("a verdict");
        let now = Instant::now();
        let heard_at = self.heard_at();
        let silence = heard_at.map(|at| now - at);
        assert!(silence.is_none_or(|silence| silence >= self.timeout), "early: {silence:?}");
        assert!(verdict.silence >= self.timeout, "{verdict}");
        // The wrapper knows of it when it reads it, and not before it came.
        assert!(silence.is_none_or(|silence| verdict.silence <= silence), "{verdict}");
        let judged_from = heard_at.unwrap_or(self.back_at).max(self.back_at);
        assert!(now - judged_from <= self.timeout + TICK, "late: {:?}", now - judged_from);
        let paused = self.paused_until.is_some_and(|at| heard_at.is_none_or(|heard| at >= heard));
        // A pause too short for a pause leaves only what it made the verdict late beyond the tick.
        assert!(paused || verdict.paused == verdict.late.saturating_sub(TICK), "{verdict}");
        true
    }

    /// Whatever has come was read before the verdict, and is handed out once, in order.
    async fn check_end(mut self) {
        while let Some(item) = self.near.next().await {
            match item {
                Ok(item) => self.received.push(item),
                Err(error) => assert!(error.verdict().is_some()),
            }
        }
        let log = self.log.lock().unwrap();
        let items = log.iter().map(|(_, message)| *message);
        let items: Vec<_> = items.filter(|message| *message != Message::Beat).collect();
        assert_eq!(self.received, items);
        assert!(self.near.next().now_or_never().unwrap().is_none());
        assert!(self.near.send(Message::Data(0)).now_or_never().unwrap().is_err());
    }
}

async fn run(schedule: Schedule) {
    let mut policy = Policy::builder().timeout(ms(schedule.timeout));
    if let Some(beat) = schedule.beat {
        policy = policy.interval(ms(beat));
    }
    let (near, far) = pipe(schedule.room);
    let log = Log::default();
    let mut run = Run {
        near: Heartbeat::new(near, Plain, policy.build().unwrap()),
        far: far.clone(),
        log: Arc::clone(&log),
        timeout: ms(schedule.timeout),
        beat: schedule.beat.map(ms).filter(|_| schedule.room > 100),
        back_at: Instant::now(),
        waited_until: Instant::now(),
        paused_until: None,
        last_beat_at: Instant::now(),
        received: vec![],
    };
    let peer = tokio::spawn(play(far, schedule.deeds, log));
    let last = core::iter::repeat(Step::Next(schedule.timeout));
    for step in schedule.steps.into_iter().chain(last) {
        if run.step(step).await {
            break;
        }
    }
    peer.abort();
    run.check_end().await;
}

proptest! {
    #[test]
    fn a_silent_peer_gets_one_verdict_within_its_bound(schedule in schedules()) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(schedule));
    }
}
