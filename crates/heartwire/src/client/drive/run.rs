//! The driver on the runtime: it waits for what a step asks for, and steps again.

use core::pin::pin;
use core::time::Duration;

use heartwire_core::Instant;
use tokio::task::consume_budget;
use tokio::time::sleep;

use super::{Driver, End, Step};
use crate::client::app::{App, asked_to_close};
use crate::client::runtime::Runtime;
use crate::clock;

impl Driver<Runtime> {
    /// Keeps the connection until it ends.
    pub(in crate::client) async fn run(&mut self, app: &mut App) -> End {
        let mut timer = pin!(sleep(Duration::ZERO));
        let mut timer_at: Option<Instant> = None;
        loop {
            // A peer that sends without a pause must not keep other tasks from running.
            consume_budget().await;
            let wait = match self.step(app) {
                Step::Wait(wait) => wait,
                Step::Over(end) => return end,
            };
            if let Some(at) = wait.until.filter(|_| wait.until != timer_at) {
                timer
                    .as_mut()
                    .reset(tokio::time::Instant::now() + at.saturating_since(clock::now()));
            }
            timer_at = wait.until;
            let socket = &self.transport.socket;
            tokio::select! {
                biased;
                () = asked_to_close(&mut app.closing), if wait.close => {}
                () = app.outlet.wait_for_room(), if wait.room => {}
                _ = socket.readable(), if wait.readable => {}
                _ = socket.writable(), if wait.writable => {}
                () = app.wishes.changed.notified() => {}
                message = app.messages.recv(), if wait.message => if let Some(message) = message {
                    self.push(app, message);
                },
                () = &mut timer, if timer_at.is_some() => timer_at = None,
            }
        }
    }
}
