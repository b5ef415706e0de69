//! `/v1/events`: events as they happen, for any number of readers up to a bound.

use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use heartwire::server::Event;
use hyper::body::{Bytes, Frame};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::reply::Refusal;
use crate::output::{PREVIEW_LEN, timed_json};
use crate::serve::lines::{Client, Line};

/// Readers at one time.
const MAX_READERS: usize = 16;

/// Events that wait for a reader. What comes beyond is dropped, counted, and told to it.
const MAX_WAITING: usize = 4096;

/// Events in one write.
const BATCH: usize = 64;

/// Between comments that show a reader, and what is between, that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The kinds of events that can be asked for, by their names in docs/events.md.
pub(super) const KINDS: &[&str] = &[
    "online",
    "promise",
    "health",
    "rejected",
    "fighting",
    "data",
    "verdict",
    "ended",
    "away",
    "back",
    "offline",
    "paused",
    "refusing",
    "accepting",
    "resource",
    "presence",
    "hook",
    "incident",
    "incident_over",
    "other",
    "stopped",
];

/// The kind of an event, as it is printed.
const fn kind<D>(event: &Event<D>) -> &'static str {
    match event {
        Event::Online { .. } => "online",
        Event::Promise { .. } => "promise",
        Event::Health { .. } => "health",
        Event::Rejected { .. } => "rejected",
        Event::Fighting { .. } => "fighting",
        Event::Data { .. } => "data",
        Event::Verdict { .. } => "verdict",
        Event::Ended { .. } => "ended",
        Event::Away { .. } => "away",
        Event::Back { .. } => "back",
        Event::Offline { .. } => "offline",
        Event::Paused { .. } => "paused",
        Event::Refusing { .. } => "refusing",
        Event::Accepting { .. } => "accepting",
        Event::Room { .. } | _ => "other",
    }
}

/// An event that readers wait for. Each renders it, on the thread of HTTP.
#[derive(Debug)]
struct News {
    time: SystemTime,
    what: What,
}

#[derive(Debug)]
enum What {
    /// With the length of its data, of which it has the beginning, and its session's client.
    Event(Box<Event<Vec<u8>>>, usize, Option<Arc<Client>>),
    /// Of this kind.
    Line(&'static str, Box<Line>),
}

/// All readers of events.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// How many there are, for threads that must not wait for a lock.
    count: AtomicUsize,
    /// How many want data.
    for_data: AtomicUsize,
    readers: Mutex<Vec<Arc<Reader>>>,
}

#[derive(Debug)]
struct Reader {
    kinds: Vec<&'static str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    waker: Option<Waker>,
    is_over: bool,
}

#[derive(Clone, Debug)]
enum Item {
    News(Arc<News>),
    /// So many events were dropped here.
    Lagged(u64),
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Reader>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes an event on; `client` finds the client of its session. Costs two loads without
    /// readers.
    pub(super) fn publish(
        &self,
        event: &Event<&[u8]>,
        client: impl FnOnce() -> Option<Arc<Client>>,
    ) {
        let is_data = matches!(event, Event::Data { .. });
        let readers = if is_data { &self.for_data } else { &self.count };
        if readers.load(Relaxed) == 0 {
            return;
        }
        let what = if let Event::Data { id, data } = *event {
            let shown = data.get(..PREVIEW_LEN).unwrap_or(data).to_vec();
            What::Event(Box::new(Event::Data { id, data: shown }), data.len(), client())
        } else {
            What::Event(Box::new(event.to_owned()), 0, client())
        };
        self.pass_on(kind(event), what);
    }

    /// Passes on a line of this kind.
    pub(super) fn pass_on_line(&self, kind: &'static str, line: Line) {
        self.pass_on(kind, What::Line(kind, Box::new(line)));
    }

    /// Passes on the last line, and ends the streams behind it.
    pub(super) fn close(&self, line: Line) {
        self.pass_on_line("stopped", line);
        for reader in self.lock().iter() {
            let mut state = reader.lock();
            state.is_over = true;
            state.wake();
        }
    }

    /// Whether readers still have something to read.
    pub(super) fn is_read(&self) -> bool {
        self.lock().is_empty()
    }

    fn pass_on(&self, kind: &str, what: What) {
        let news = Arc::new(News { time: SystemTime::now(), what });
        for reader in self.lock().iter().filter(|reader| reader.kinds.contains(&kind)) {
            reader.lock().push(&news);
        }
    }

    /// A stream of events of these kinds.
    pub(super) fn stream(self: &Arc<Self>, kinds: Vec<&'static str>) -> Result<Response, Refusal> {
        let reader = Arc::new(Reader { kinds, state: Mutex::default() });
        {
            let mut readers = self.lock();
            if readers.len() >= MAX_READERS {
                return Err(Refusal::busy("as many read events as can; close a stream first"));
            }
            readers.push(Arc::clone(&reader));
            self.count(&readers);
        }
        let mut keep_alive = interval(KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let body = Body::new(EventStream { readers: Arc::clone(self), reader, keep_alive });
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            // Proxies that know it do not hold events back.
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        Ok((headers, body).into_response())
    }

    fn count(&self, readers: &[Arc<Reader>]) {
        self.count.store(readers.len(), Relaxed);
        let for_data = readers.iter().filter(|reader| reader.kinds.contains(&"data")).count();
        self.for_data.store(for_data, Relaxed);
    }

    fn leave(&self, reader: &Arc<Reader>) {
        let mut readers = self.lock();
        readers.retain(|other| !Arc::ptr_eq(other, reader));
        self.count(&readers);
    }
}

impl Reader {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, news: &Arc<News>) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(Item::News(Arc::clone(news)));
        } else if let Some(Item::Lagged(dropped)) = self.waiting.back_mut() {
            *dropped += 1;
        } else {
            self.waiting.push_back(Item::Lagged(1));
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The body of a reader's response.
struct EventStream {
    readers: Arc<Readers>,
    reader: Arc<Reader>,
    keep_alive: Interval,
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let items: Vec<Item> = {
            let mut state = self.reader.lock();
            let count = state.waiting.len().min(BATCH);
            if count == 0 {
                if state.is_over {
                    return Poll::Ready(None);
                }
                state.waker = Some(cx.waker().clone());
            }
            state.waiting.drain(..count).collect()
        };
        let mut text = String::new();
        items.iter().for_each(|item| item.render(&mut text));
        // The first tick comes at once: the reader sees that the stream has begun.
        if self.keep_alive.poll_tick(cx).is_ready() && text.is_empty() {
            text.push_str(": keep-alive\n\n");
        }
        if text.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Some(Ok(Frame::data(text.into()))))
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.readers.leave(&self.reader);
    }
}

impl Item {
    fn render(&self, text: &mut String) {
        let (kind, data) = match self {
            Self::Lagged(dropped) => ("lagged", format!("{{\"dropped\":{dropped}}}")),
            Self::News(news) => match &news.what {
                What::Event(event, bytes, client) => {
                    let line = Line::of(event, *bytes, client.as_ref());
                    (kind(event), timed_json(&line, news.time))
                }
                What::Line(kind, line) => (*kind, timed_json(line, news.time)),
            },
        };
        text.push_str("event: ");
        text.push_str(kind);
        text.push_str("\ndata: ");
        text.push_str(&data);
        text.push_str("\n\n");
    }
}

#[cfg(test)]
mod tests;
