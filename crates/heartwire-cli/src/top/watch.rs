//! The program in a terminal: keys, looks at the server, and the clock.

use core::time::Duration;

use anyhow::Context;
use crossterm::event::Event;
use hyper::Method;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::app::{App, Mode, Retry};
use super::args::TopArgs;
use super::keys::Action;
use super::picture::{Asked, Picture};
use super::terminal::{Screen, read_keys};
use crate::exit::Exit;
use crate::http_client::{Endpoint, HttpClient, HttpError, percent_encoded};
use crate::output::flush_stderr;
use crate::signals::Stop;

/// How often the age of an old picture is drawn.
const CLOCK: Duration = Duration::from_secs(1);

/// What a client whose session is ended is told.
const REASON: &str = "ended by an operator";

pub(super) async fn watch(args: &TopArgs, mut client: HttpClient) -> anyhow::Result<Exit> {
    let mut stop = Stop::listen().context("cannot listen for signals")?;
    let mut app = App::new(args);
    // If there is no server, its error stays on the terminal.
    let asked = app.asked();
    tokio::select! {
        picture = Picture::take(&mut client, &args.url, &asked) => app.show(Ok(picture?)),
        () = stop.signal() => return Ok(Exit::Success),
    }
    // A warning about the token's file would else be written over the screen.
    flush_stderr();
    let mut screen = Screen::enter().context("cannot use the terminal")?;
    let mut keys = read_keys();
    let (mut asker, mut answers) = Asker::start(client, args.url.clone());
    asker.rest(app.delay);
    loop {
        screen.draw(&mut app).context("cannot draw on the terminal")?;
        let is_due = !asker.is_waiting() && !app.is_paused;
        let action = tokio::select! {
            () = stop.signal() => return Ok(Exit::Success),
            event = keys.recv() => match event {
                Some(event) => app.event(event),
                // The terminal is gone.
                None => return Ok(Exit::Success),
            },
            answer = answers.recv() => {
                let Some(answer) = answer else { anyhow::bail!("the task that asks has failed") };
                asker.answered(&app);
                app.answer(answer);
                Action::None
            }
            () = sleep_until(asker.next_at), if is_due => Action::Ask,
            () = sleep(CLOCK) => Action::None,
        };
        match action {
            Action::None => {}
            Action::Quit => return Ok(Exit::Success),
            Action::Ask => asker.look(&app),
            Action::Delay => asker.rest(app.delay),
            Action::Kick { session, retry } => asker.kick(session, retry),
            Action::Redraw => screen.clear()?,
            Action::Resized => screen.ask_for_input()?,
            Action::Suspend => screen.suspend()?,
        }
    }
}

impl App {
    fn event(&mut self, event: Event) -> Action {
        match event {
            Event::Key(key) => self.key(key),
            // What is pasted is text, not keys that end sessions.
            Event::Paste(text) if matches!(self.mode, Mode::Search { .. }) => {
                self.search.extend(text.chars().filter(|char| !char.is_control()));
                self.restart_listing();
                Action::Ask
            }
            Event::Resize(..) => Action::Resized,
            Event::Paste(_) | Event::Mouse(_) | Event::FocusGained | Event::FocusLost => {
                Action::None
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Look(picture) => self.show(picture.map(|picture| *picture)),
            Answer::Kick { session, outcome: Ok(()) } => {
                self.notice = Some(format!("{session}: told to end"));
            }
            Answer::Kick { outcome: Err(error), .. } => self.notice = Some(error.to_string()),
        }
    }
}

enum Order {
    Look(Asked),
    Kick { session: String, retry: Retry },
}

enum Answer {
    Look(Result<Box<Picture>, HttpError>),
    Kick { session: String, outcome: Result<(), HttpError> },
}

/// Asks the server, one thing after the other, while the screen goes on.
struct Asker {
    orders: mpsc::UnboundedSender<Order>,
    /// Orders without an answer.
    under_way: usize,
    /// Whether to look once more at once: what is asked for has changed meanwhile.
    again: bool,
    next_at: Instant,
}

impl Asker {
    fn start(mut client: HttpClient, url: Endpoint) -> (Self, mpsc::UnboundedReceiver<Answer>) {
        // At most one look is under way, and a kick needs two keys.
        let (orders, mut to_do) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(order) = to_do.recv().await {
                let done = match order {
                    Order::Look(asked) => {
                        let picture = Picture::take(&mut client, &url, &asked).await;
                        Answer::Look(picture.map(Box::new))
                    }
                    Order::Kick { session, retry } => {
                        let outcome = kick(&mut client, &url, &session, retry).await;
                        Answer::Kick { session, outcome }
                    }
                };
                if answer.send(done).is_err() {
                    return;
                }
            }
        });
        let next_at = Instant::now();
        (Self { orders, under_way: 0, again: false, next_at }, answers)
    }

    fn look(&mut self, app: &App) {
        if self.is_waiting() {
            self.again = true;
        } else {
            self.send(Order::Look(app.asked()));
        }
    }

    fn kick(&mut self, session: String, retry: Retry) {
        self.send(Order::Kick { session, retry });
        // Its end is to be seen.
        self.again = true;
    }

    fn send(&mut self, order: Order) {
        // If the task has failed, the end of the answers says so.
        let _ = self.orders.send(order);
        self.under_way = self.under_way.saturating_add(1);
    }

    const fn is_waiting(&self) -> bool {
        self.under_way > 0
    }

    fn answered(&mut self, app: &App) {
        self.under_way = self.under_way.saturating_sub(1);
        self.rest(app.delay);
        if !self.is_waiting() && core::mem::take(&mut self.again) {
            self.look(app);
        }
    }

    fn rest(&mut self, delay: Duration) {
        self.next_at = Instant::now() + delay;
    }
}

async fn kick(
    client: &mut HttpClient,
    url: &Endpoint,
    session: &str,
    retry: Retry,
) -> Result<(), HttpError> {
    let (session, reason) = (percent_encoded(session), percent_encoded(REASON));
    let path = format!("/v1/sessions/{session}?reason={reason}&retry={}", retry.name());
    client.request(Method::DELETE, &path).await?.successful(url).map(drop)
}
