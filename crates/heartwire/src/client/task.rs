//! The task of a client: runs its [`Life`].

use core::future::pending;
use core::pin::{Pin, pin};
use core::time::Duration;

use heartwire_core::Instant;
use tokio::task::consume_budget;
use tokio::time::sleep;

use super::ConnectError;
use super::app::asked_to_close;
use super::dial::Dialled;
use super::life::{Life, Step};
use super::runtime::{Runtime, Stream};
use crate::clock;

/// A spare connection that is being made.
type Spare = Pin<Box<dyn Future<Output = Result<Dialled<Stream>, ConnectError>> + Send>>;

/// Runs a client until it has ended.
pub(super) async fn run(mut life: Box<Life<Runtime>>) {
    let mut timer = pin!(sleep(Duration::ZERO));
    let mut timer_at: Option<Instant> = None;
    let mut spare: Option<Spare> = None;
    loop {
        // A server that sends without a pause must not starve other tasks.
        consume_budget().await;
        let wait = match life.step() {
            Step::Dial => {
                spare = None;
                // In a box, because most of its time a client is connected.
                Box::pin(dial(&mut life)).await;
                continue;
            }
            Step::Wait(wait) => wait,
            Step::Over => return,
        };
        if let Some(at) = wait.until.filter(|_| wait.until != timer_at) {
            timer.as_mut().reset(tokio::time::Instant::now() + at.saturating_since(clock::now()));
        }
        timer_at = wait.until;
        if !wait.spare {
            spare = None;
        } else if spare.is_none() {
            let (mut dialler, mut config) = life.spare_parts();
            spare = Some(Box::pin(async move { dialler.dial(&mut config).await }));
        }
        let mut spare_outcome = None;
        let (socket, app) = life.parts();
        let message = tokio::select! {
            biased;
            () = asked_to_close(&mut app.closing), if wait.close => None,
            () = app.outlet.wait_for_room(), if wait.room => None,
            () = readable(socket), if wait.readable => None,
            () = writable(socket), if wait.writable => None,
            () = app.controls.changed.notified() => None,
            message = app.messages.recv(), if wait.message => message,
            outcome = made(&mut spare) => {
                spare_outcome = Some(outcome);
                None
            }
            () = &mut timer, if timer_at.is_some() => {
                timer_at = None;
                None
            }
        };
        if let Some(message) = message {
            life.push(message);
        }
        if let Some(outcome) = spare_outcome {
            spare = None;
            life.handle_spare(outcome);
        }
    }
}

/// Makes one attempt, unless the client ends meanwhile, and delivers kept events.
async fn dial(life: &mut Life<Runtime>) {
    let goes_on = life.reconnects();
    let Life { config, dialler, app, .. } = life;
    let within = config.close_timeout;
    dialler.session_at = app.away().map(|away| away.peer);
    let outcome = {
        let mut dialled = pin!(dialler.dial(config));
        loop {
            let is_done = app.outlet.deliver();
            let (until, closes) = (app.away_until(), app.leave_by.is_none());
            app.watch.handle_sleep(until);
            tokio::select! {
                biased;
                () = asked_to_close(&mut app.closing), if closes => {}
                outcome = &mut dialled => break outcome,
                () = app.outlet.wait_for_room(), if !is_done => {}
                () = passed(until) => {}
            }
            app.end_in_time(within, goes_on, clock::now_and_suspended());
            if app.is_over {
                return;
            }
        }
    };
    life.handle_dialled(outcome);
}

async fn made(spare: &mut Option<Spare>) -> Result<Dialled<Stream>, ConnectError> {
    match spare {
        Some(spare) => spare.await,
        None => pending().await,
    }
}

async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => sleep(until.saturating_since(clock::now())).await,
        None => pending().await,
    }
}

async fn readable(socket: Option<&Stream>) {
    if let Some(socket) = socket {
        // The read finds the error.
        let _ = socket.readable().await;
    }
}

async fn writable(socket: Option<&Stream>) {
    if let Some(socket) = socket {
        let _ = socket.writable().await;
    }
}

#[cfg(test)]
mod tests;
